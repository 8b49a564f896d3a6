"""Empty state of a page: one sentence, one next step, and a still of what will be there."""

import streamlit as st

from glan_core.resources import ASSETS

STILLS = ASSETS / "stills"
CAPTION = "What this page shows in the demo workspace."


def still(page: str) -> None:
    """Draw the picture of a page as it looks in the demo, in the user's theme; nothing if there is none.

    Args:
        page: Name of the page's file, such as 'homework'.
    """
    file = STILLS / f"{page}-{'dark' if st.context.theme.type == 'dark' else 'light'}.webp"
    if file.is_file():
        with st.container(key="still"):
            st.image(str(file), caption=CAPTION, width=760, alt=f"Screenshot of the {page} page with demo content")
