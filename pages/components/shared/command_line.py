"""A shell command with a button that copies it.

`st.code` would load Streamlit's syntax highlighter, 1.5 MB of code that takes a fifth of the time of a first visit to Runs.
"""

import streamlit as st

_COMPONENT = st.components.v2.component(
    "glan_command",
    html='<pre role="group"><code></code></pre><button type="button">Copy</button><span role="status"></span>',
    css=""":host { display: block; }
        div:has(> pre) { position: relative; }
        pre { margin: 0; min-height: 1.5em; padding: 0.9rem 6rem 0.9rem 0.9rem; border-radius: var(--st-base-radius); white-space: pre-wrap;
            overflow-wrap: anywhere; font: 0.87rem/1.5 var(--st-code-font); color: var(--st-text-color);
            background: var(--st-code-background-color); box-sizing: content-box; }
        code { font: inherit; }
        button { position: absolute; top: 0.55rem; right: 0.55rem; padding: 0.15rem 0.55rem; cursor: pointer; font: inherit; font-size: 0.8rem;
            border-radius: var(--st-button-radius); color: var(--st-text-color); background: var(--st-background-color);
            border: 1px solid var(--st-border-color); }
        button:is(:hover, :focus-visible) { border-color: var(--st-primary-color); }
        span, textarea { position: fixed; width: 1px; height: 1px; overflow: hidden; opacity: 0; }
        @media print { button { display: none; } pre { padding-right: 0.9rem; color: black; background: white; } }""",
    js="""export default function ({ parentElement, data }) {
        const [block, button, status] = ["pre", "button", "span"].map((name) => parentElement.querySelector(name));
        const say = (words) => {
            status.textContent = words;
            button.textContent = words || "Copy";
        };
        if (block.textContent !== data.command) say("");
        block.firstElementChild.textContent = data.command;
        block.ariaLabel = data.label;
        button.title = `Copy: ${data.label}`;
        const copyBySelection = () => {  // browsers offer the clipboard to localhost and HTTPS addresses only
            const field = parentElement.appendChild(document.createElement("textarea"));
            try {
                field.value = data.command;
                field.focus({ preventScroll: true });
                field.select();
                if (!document.execCommand("copy")) throw new Error("The browser does not copy.");
            } finally {
                field.remove();
                button.focus({ preventScroll: true });
            }
        };
        const isShown = () => block.textContent === data.command;
        button.onblur = button.onpointerleave = () => say("");
        button.onclick = () => (navigator.clipboard?.writeText(data.command) ?? Promise.reject())
            .catch(copyBySelection)
            .then(() => isShown() && say("Copied"), () => isShown() && say("Not copied"));
    }""",
)


def command_line(command: str, key: str = "command", label: str = "Command") -> None:
    """Draw a command.

    Args:
        command: One command, or one per line.
        key: Key of the element, for a page with several commands.
        label: What it is, for screen readers.
    """
    _COMPONENT(data={"command": command, "label": label}, key=key, height="content")
