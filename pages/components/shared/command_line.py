"""A shell command with a button that copies it.

`st.code` would load Streamlit's syntax highlighter, 1.5 MB of code that takes a fifth of the time of a first visit to Runs.
"""

import streamlit as st

_COMPONENT = st.components.v2.component(
    "glan_command",
    html='<pre role="group" aria-label="Command"><code></code></pre><button type="button">Copy</button>',
    css=""":host { display: block; }
        div:has(> pre) { position: relative; }
        pre { margin: 0; padding: 0.9rem 5rem 0.9rem 0.9rem; border-radius: var(--st-base-radius); white-space: pre-wrap;
            overflow-wrap: anywhere; font: 0.87rem/1.5 var(--st-code-font); color: var(--st-text-color);
            background: var(--st-code-background-color); }
        code { font: inherit; }
        button { position: absolute; top: 0.55rem; right: 0.55rem; padding: 0.15rem 0.55rem; cursor: pointer; font: inherit; font-size: 0.8rem;
            border-radius: var(--st-button-radius); color: var(--st-text-color); background: var(--st-background-color);
            border: 1px solid var(--st-border-color); }
        button:is(:hover, :focus-visible) { border-color: var(--st-primary-color); }
        @media print { button { display: none; } }""",
    js="""export default function ({ parentElement, data }) {
        const [code, button] = ["code", "button"].map((name) => parentElement.querySelector(name));
        code.textContent = data;
        button.textContent = "Copy";
        const copyBySelection = () => {  // browsers offer the clipboard to localhost and HTTPS addresses only
            const field = parentElement.appendChild(document.createElement("textarea"));
            field.value = data;
            field.select();
            const copied = document.execCommand("copy");
            field.remove();
            return copied ? Promise.resolve() : Promise.reject();
        };
        button.onclick = () => (navigator.clipboard?.writeText(data) ?? Promise.reject())
            .catch(copyBySelection)
            .then(() => { button.textContent = "Copied"; }, () => { button.textContent = "Not copied"; });
    }""",
)


def command_line(command: str, key: str = "command") -> None:
    """Draw a command.

    Args:
        command: One command, or one per line.
        key: Key of the element, for a page with several commands.
    """
    _COMPONENT(data=command, key=key, height="content")
