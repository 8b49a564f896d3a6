"""Workspaces page: list, create, rename, duplicate, archive and restore workspaces; compare two of them."""

import pandas as pd
import streamlit as st

from glan_core import access
from glan_core.errors import GlanError
from glan_core.formatting import ago, plural, size
from glan_core.operations import workspaces
from glan_core.operations.workspaces import WorkspaceFacts
from pages.components.shared import page_frame, plain_table, row_selection
from pages.components.shared.untrusted_text import show_error
from pages.components.workspaces import actions, comparison, detail

VIEWS = ("All", "Compare")
IN_URL = "selected_workspace"  # URL parameter of the selected row, where it is not the open workspace

ws, tree = page_frame.open_page("Workspaces")
home = page_frame.HOME
found = workspaces.list_workspaces(home)
here = [one for one in found if not one.archived]


def key_of(one: WorkspaceFacts) -> str:
    """Return the name that identifies a row."""
    return f"{actions.ARCHIVED}{one.name}" if one.archived else one.name


def table() -> WorkspaceFacts:
    """Draw the table of workspaces; returns the selected one."""
    names = [key_of(one) for one in found]
    picked = st.session_state.get(actions.PICKED) or st.query_params.get(IN_URL)
    at = names.index(picked if picked in names else ws.folder.name)
    if names[at] == ws.folder.name:
        st.query_params.pop(IN_URL, None)
    else:
        st.query_params[IN_URL] = names[at]

    def choose(row: int | None) -> None:
        if row is not None:
            st.session_state[actions.PICKED] = names[row]

    picking = row_selection.clickable_rows(f"workspaces_{len(names)}_{names[0]}", at, choose, len(names))
    plain_table.draw(
        pd.DataFrame({
            "name": [one.name for one in found], "title": [one.title for one in found],
            "pairs": pd.Series([one.pairs for one in found], dtype="Int64"), "size": [size(one.bytes) for one in found],
            "changed": [ago(one.changed_at or None) for one in found], "state": [marks(one) for one in found],
        }),
        **picking, hide_index=True, placeholder="–", height="content" if len(found) <= 14 else 530,
        alt="Workspaces by name",
        column_config={
            "name": st.column_config.TextColumn("Workspace", width=150, help="Name of the folder."),
            "title": st.column_config.TextColumn("Name", width=140),
            "pairs": st.column_config.NumberColumn("Pairs", format="localized", width=70),
            "size": st.column_config.TextColumn("Size", width=70, alignment="right"),
            "changed": st.column_config.TextColumn("Changed", width=90),
            "state": st.column_config.TextColumn("State", width=140),
        },
    )  # fmt: skip
    return found[at]


def marks(one: WorkspaceFacts) -> str:
    """Return the state of a workspace in a few words."""
    words = {
        "open": not one.archived and one.folder == ws.folder, "archived": one.archived, "demo": one.demo,
        plural(one.live, "live run"): one.live, "cannot be read": one.problem,
    }  # fmt: skip
    return ", ".join(word for word, holds in words.items() if holds)


def new_workspace() -> None:
    """Draw the form for a new workspace."""
    with st.form("create_workspace", border=True):
        st.markdown("**Create workspace**")
        name = st.text_input("Name of the new workspace", placeholder="my-research")
        filled = st.checkbox("Add demo content", key="create_demo")
        if st.form_submit_button("Create workspace", type="primary", icon=":material/add:"):
            try:
                created = workspaces.create(home, name, demo=filled)
            except GlanError as error:
                show_error(error)
            else:
                st.session_state[actions.PICKED] = created.folder.name
                actions.open_workspace(created.folder.name)
                created.close()
                st.rerun()


archived = len(found) - len(here)
page_frame.title_line(
    "Workspaces", tree, f"{plural(len(here), 'workspace')} · {archived or 'none'} archived · {size(sum(one.bytes for one in found))}", ws
)  # fmt: skip
view = st.segmented_control(
    "View", VIEWS, default="All", required=True, key="workspaces_view", bind="query-params", label_visibility="collapsed"
)
if view == "Compare":
    comparison.panel(ws, [one.folder for one in here if not one.problem])
else:
    left, right = page_frame.main_and_detail("workspace")
    with left:
        selected = table()
        if access.refusal() is None:
            new_workspace()
    with right:
        detail.panel(home, selected, ws)
