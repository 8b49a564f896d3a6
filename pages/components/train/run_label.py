"""Title and tags of a run, which people may change."""

import streamlit as st

from glan_core import runs
from glan_core.errors import GlanError
from glan_core.workspace import Workspace
from glan_core.workspace.run_rows import Run


def edit(ws: Workspace, run: Run) -> None:
    """Draw the fields for title and tags."""
    with st.popover(
        "Rename run", icon=":material/label:", key=f"label_run_{run.id}", type="tertiary", help="Rename run, edit tags"
    ):
        st.text_input("Title", run.title, key=f"run_title_{run.id}")
        st.text_input(
            "Tags", ", ".join(run.tags), key=f"run_tags_{run.id}", placeholder="baseline, low rate", help="Separated by commas."
        )
        st.button("Save", key=f"save_label_{run.id}", on_click=_save, args=(ws, run.id))


def renamed() -> str:
    """Return a suffix of widget keys that changes when a run is renamed, because browsers keep the labels of options."""
    return str(st.session_state.get("runs_renamed", ""))


def _save(ws: Workspace, run_id: int) -> None:
    """Store the fields; they are read here because a click may come before the page has taken what was typed."""
    try:
        runs.label(ws, run_id, st.session_state[f"run_title_{run_id}"], st.session_state[f"run_tags_{run_id}"].split(","))
    except GlanError as error:
        st.session_state.job_error = error
    else:
        st.session_state.runs_renamed = st.session_state.get("runs_renamed", 0) + 1
