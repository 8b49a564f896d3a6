"""The tour's card above a page."""

import streamlit as st

from glan_core.operations.tour import STOPS, is_offered, position, set_seen
from glan_core.workspace import Workspace
from pages.components.shared import url_state

AT = "tour_stop"  # index of the current stop; None: no tour


def card(ws: Workspace, page: str) -> None:
    """Draw the current stop if it is about this page; the first visit of a demo workspace begins the tour.

    Args:
        ws: Workspace.
        page: Name of the page, such as 'Overview'.
    """
    state = st.session_state
    if AT not in state:
        state[AT] = 0 if is_offered(ws) else None
    if (target := state.pop("tour_page", None)) is not None:
        url_state.open_page(target)
    at = state[AT]
    if at is None or STOPS[at].page != f"pages/{page.lower()}.py":
        return
    stop = STOPS[at]
    with st.container(border=True, key="tour", gap="xsmall"):
        st.markdown(f"**{stop.title}** :gray[· {position(at)}]")
        st.markdown(stop.text)
        with st.container(horizontal=True, gap="small"):
            if at + 1 < len(STOPS):
                st.button(
                    "Next stop", type="primary", icon=":material/arrow_forward:", key="tour_next", on_click=_go, args=(at + 1,)
                )
            if at:
                st.button("Back", icon=":material/arrow_back:", key="tour_back", on_click=_go, args=(at - 1,))
            st.button("End tour" if at + 1 == len(STOPS) else "Skip tour", type="tertiary", key="tour_end", on_click=_end)


def begin() -> None:
    """Begin the tour again, in a callback."""
    _go(0)


def _go(at: int) -> None:
    st.session_state[AT], st.session_state.tour_page = at, STOPS[at].page


def _end() -> None:
    st.session_state[AT] = None
    set_seen()
