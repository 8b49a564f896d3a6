"""What a workspace has made so far: one number per step from taxonomy to chat, each a way to its page."""

import streamlit as st

from glan_core.formatting import number
from glan_core.operations.journey import Step
from pages.components.shared import url_state


def strip(steps: list[Step]) -> None:
    """Draw the steps in one line."""
    with st.container(horizontal=True, gap="small", key="made"):
        for step in steps:
            if step.done and st.button(
                f"**{number(step.count)}** {step.noun}",
                key=f"made_{step.title}",
                type="tertiary",
                help=f"Open {step.title.lower()}",
            ):
                url_state.open_page(step.page)
