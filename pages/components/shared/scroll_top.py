"""Return to the top of a page that is opened from another: Streamlit keeps the scroll position of the page before."""

import streamlit as st

_COMPONENT = st.components.v2.component(
    "glan_scroll_top",
    js="""export default function ({ data }) {
        const before = window.__glanPage;
        window.__glanPage = data.page;
        if (before !== undefined && before !== data.page)
            document.querySelector('[data-testid="stMain"]')?.scrollTo(0, 0);
    }""",
)


def on_opening(page: str) -> None:
    """Scroll to the top if the browser showed another page before."""
    _COMPONENT(key="scroll_top", data={"page": page}, height="content")
