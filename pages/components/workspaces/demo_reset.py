"""The button that resets a demo workspace, with its confirmation."""

from pathlib import Path

import streamlit as st

from pages.components.shared.untrusted_text import escape
from pages.components.workspaces import actions


def popover(home: Path, name: str, key: str, *, disabled: bool = False, **looks) -> None:
    """Draw the button; nothing is lost by a reset.

    Args:
        home: The home folder.
        name: Name of the demo workspace.
        key: Prefix of the widget keys.
        disabled: Whether it cannot be pressed, as in a read-only workspace.
        **looks: Further arguments of the popover.
    """
    with st.popover("Reset demo", icon=":material/restart_alt:", key=f"{key}_reset", disabled=disabled, **looks):
        st.markdown(
            f"Archive **{escape(name)}** as it is, and create a fresh demo in its place? You can restore the archived one on the "
            "Workspaces page."
        )
        st.button(
            "Archive and reset", icon=":material/restart_alt:", key=f"{key}_reset_now", on_click=actions.reset_demo,
            args=(home, name), disabled=disabled,
        )  # fmt: skip
