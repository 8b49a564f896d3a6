"""The search box of the sidebar; its query is in the URL of the Search page."""

import streamlit as st

from glan_core.workspace.search_rows import MOST_LENGTH

PAGE = "Search"
QUERY = "q"  # URL parameter
WORDS = "search_words"  # key of the field


def query() -> str:
    """Return the query of the Search page: that of the URL, else the last one, because Back leads to an address without it."""
    if words := st.query_params.get(QUERY, "")[:MOST_LENGTH]:
        st.session_state.search_last = words
    return st.session_state.get("search_last", "")


def draw(page: str) -> None:
    """Draw the field; Enter opens the results.

    Args:
        page: Title of the page. The field shows the query of the Search page, and is empty on others.
    """
    wanted = query() if page == PAGE else ""
    # Also when pages follow one another quickly (Back pressed twice), and the browser sends what the field showed on the page before.
    if "search_asked" not in st.session_state and st.session_state.get(WORDS) != wanted:
        st.session_state[WORDS] = wanted
    st.text_input(
        "Search this workspace", key=WORDS, placeholder="disciplines, concepts, pairs", icon=":material/search:", max_chars=MOST_LENGTH,
        on_change=_ask, label_visibility="collapsed",
    )  # fmt: skip
    if (asked := st.session_state.pop("search_asked", None)) is not None:
        st.switch_page("pages/search.py", query_params={QUERY: asked})


def _ask() -> None:
    if words := st.session_state[WORDS].strip():
        st.session_state.search_asked = words
