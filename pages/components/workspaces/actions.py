"""Actions on workspaces in callbacks: what moves the open workspace also selects what is opened next."""

from pathlib import Path

import streamlit as st

from glan_core.errors import GlanError
from glan_core.operations import workspaces
from pages.components.shared import url_state
from pages.components.shared.untrusted_text import escape, show_error

PICKED = "picked_workspace"  # the selected row: name of a folder, below the archive with its folder in front
ARCHIVED = f"{workspaces.ARCHIVE}/"


def messages() -> None:
    """Show the result or the error of the last action."""
    if error := st.session_state.pop("workspace_error", None):
        show_error(error)
    if said := st.session_state.pop("workspace_said", None):
        st.toast(said, icon=":material/check:")


def open_workspace(name: str) -> None:
    """Make a workspace the open one, without the selection of the former."""
    _clear_picks()
    st.session_state.workspace = st.query_params["workspace"] = name


def rename(home: Path, name: str, new_name: str) -> None:
    """Rename a workspace and keep it open if it is."""
    if (folder := _done(workspaces.rename, home, name, new_name)) is not None:
        if st.session_state.get("workspace") == name:
            st.session_state.workspace = folder.name
            st.query_params["workspace"] = folder.name
        st.session_state[PICKED] = folder.name
        st.session_state.workspace_said = f"Renamed to {escape(folder.name)}."


def archive(home: Path, name: str) -> None:
    """Archive a workspace; if it is open, the next one is opened."""
    if (folder := _done(workspaces.archive, home, name)) is not None:
        _forget(name)
        st.session_state[PICKED] = f"{ARCHIVED}{folder.name}"
        st.session_state.workspace_said = f"Archived {escape(name)}."


def restore(home: Path, name: str, as_name: str = "") -> None:
    """Restore an archived workspace."""
    if (folder := _done(workspaces.restore, home, name, as_name)) is not None:
        st.session_state[PICKED] = folder.name
        st.session_state.workspace_said = f"Restored {escape(folder.name)}."


def reset_demo(home: Path, name: str) -> None:
    """Archive a demo workspace and create a fresh one."""
    if (kept := _done(workspaces.reset_demo, home, name)) is not None:
        if st.session_state.get("workspace") == name:
            _clear_picks()
        st.session_state.workspace_said = f"The demo is as new. The former one is archived as {escape(kept.name)}."


def _forget(name: str) -> None:
    """Leave the open workspace, which is no longer there."""
    if st.session_state.get("workspace") == name:
        _clear_picks()
        st.session_state.workspace = None


def _clear_picks() -> None:
    """Clear the selection, which belongs to one workspace, also in the URL."""
    for name in url_state.PICKS:
        st.session_state[name] = None
        st.query_params.pop(name, None)


def _done(action, *args) -> Path | None:
    try:
        return action(*args)
    except GlanError as error:
        st.session_state.workspace_error = error
        return None
