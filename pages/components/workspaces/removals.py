"""What was removed from a workspace: restore it, or delete it permanently."""

import pandas as pd
import streamlit as st

from glan_core.errors import GlanError
from glan_core.formatting import ago, plural, size
from glan_core.operations import removals
from glan_core.operations.removals import Removal
from glan_core.workspace import Workspace
from pages.components.shared import plain_table, row_selection
from pages.components.shared.untrusted_text import escape, show_error

PICKED = "picked_removal"  # key of the selected row
SHOWN = 9  # rows before the table scrolls


def panel(ws: Workspace) -> None:
    """Draw the removed items of a workspace with their actions; nothing if there are none."""
    if error := st.session_state.pop("removal_error", None):
        show_error(error)
    found = removals.list_removals(ws)
    if not found:
        return
    freed = sum(one.bytes for one in found)
    with st.expander(f"Removed: {plural(len(found), 'item')}, {size(freed)}", icon=":material/restore_from_trash:"):
        one = _table(found)
        if ws.read_only:
            return
        with st.container(horizontal=True, gap="small"):
            st.button(
                "Restore", icon=":material/restore_from_trash:", key=f"restore_removal_{one.key}", on_click=_do,
                args=(removals.restore, ws, one), help=f"{one.kind.capitalize()} {escape(one.name)}",
            )  # fmt: skip
            with st.popover("Purge", icon=":material/delete_forever:", key=f"purge_removal_{one.key}"):
                st.markdown(f"Delete the {one.kind} **{escape(one.name)}** permanently?")
                st.button(
                    "Delete permanently", key=f"purge_removal_now_{one.key}", on_click=_do, args=(removals.purge, ws, one)
                )


def _table(found: list[Removal]) -> Removal:
    keys = [one.key for one in found]
    at = keys.index(picked) if (picked := st.session_state.get(PICKED)) in keys else 0

    def choose(row: int | None) -> None:
        if row is not None:
            st.session_state[PICKED] = keys[row]

    plain_table.draw(
        pd.DataFrame({
            "kind": [one.kind for one in found], "name": [one.name for one in found],
            "size": [size(one.bytes) if one.bytes else None for one in found], "at": [ago(one.at) for one in found],
        }),
        **row_selection.clickable_rows(f"removals_{len(keys)}_{keys[0]}", at, choose, len(keys)), hide_index=True, placeholder="–",
        height="content" if len(found) <= SHOWN else 350, alt="Removed items, newest first",
        column_config={
            "kind": st.column_config.TextColumn("Kind", width=90), "name": st.column_config.TextColumn("Name", width=150),
            "size": st.column_config.TextColumn("Size", width=60, alignment="right"),
            "at": st.column_config.TextColumn("Removed", width=80),
        },
    )  # fmt: skip
    return found[at]


def _do(act, ws: Workspace, one: Removal) -> None:
    try:
        one = act(ws, one.key)
    except GlanError as error:
        st.session_state.removal_error = error
    else:
        done = "Restored" if act is removals.restore else "Deleted permanently"
        st.session_state.workspace_said = f"{done}: {one.kind} {escape(one.name)}."
