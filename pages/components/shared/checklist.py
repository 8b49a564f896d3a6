"""Checklist in the sidebar: the steps from taxonomy to chat with the state of the workspace."""

import streamlit as st

from glan_core.operations.journey import journey, next_step
from glan_core.resources import STUDIO
from glan_core.taxonomy import coverage
from glan_core.workspace import Workspace
from pages.components.shared import tour, url_state


def sidebar(ws: Workspace) -> None:
    """Draw the steps, collapsed; the label names the next one."""
    steps = journey(ws, coverage.coverage_by_node(ws)[""])
    done, coming = sum(step.done for step in steps), next_step(steps)
    label = f"Steps · {done} of {len(steps)}" + (f", next: {coming.title.lower()}" if coming else "")
    with st.sidebar, st.expander(label, icon=":material/checklist:", key="checklist"), st.container(gap=None):
        for step in steps:
            st.button(
                f"{step.title} · {step.state or 'not yet'}", key=f"step_{step.title}", type="tertiary",
                icon=":material/check_circle:" if step.done else ":material/radio_button_unchecked:",
                on_click=_go, args=(step.page,),
            )  # fmt: skip
        if (STUDIO / "site" / "index.html").is_file():
            st.link_button("Documentation", "/docs/index.html", type="tertiary", icon=":material/menu_book:")
        st.button("Take the tour", key="tour_again", type="tertiary", icon=":material/tour:", on_click=tour.begin)
    if page := st.session_state.pop("step_page", None):
        url_state.open_page(page)


def _go(page: str) -> None:
    st.session_state.step_page = page
