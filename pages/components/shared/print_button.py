"""A button that opens the browser's print dialog; print styles are in assets/studio.css."""

import streamlit as st

NOT_PRINTED = "not_printed"  # prefix of container keys that the print stylesheet hides

_COMPONENT = st.components.v2.component(
    "glan_print",
    html='<button type="button">Print</button>',
    css="""button { font: inherit; font-size: 0.9rem; height: 2.5rem; padding: 0 0.75rem; cursor: pointer; border-radius: 0.5rem;
        color: var(--st-text-color); background: var(--st-background-color); border: 1px solid var(--st-border-color); }
        button:hover, button:focus-visible { border-color: var(--st-primary-color); color: var(--st-primary-color); }""",
    js="""export default function ({ parentElement }) {
        parentElement.querySelector("button").onclick = () => window.print();
    }""",
)


def print_button() -> None:
    """Draw the print button."""
    _COMPONENT(key="print", width="content", height="content")
