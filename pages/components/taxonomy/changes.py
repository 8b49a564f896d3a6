"""Edits of the taxonomy: apply one, undo it, and list all."""

from collections.abc import Callable

import pandas as pd
import streamlit as st

from glan_core.errors import GlanError
from glan_core.formatting import ago, exact, plural
from glan_core.taxonomy import tree_editing
from glan_core.workspace import Workspace, taxonomy_rows
from glan_core.workspace.taxonomy_rows import TaxonomyEdit
from pages.components.shared import plain_table, row_selection, url_state
from pages.components.shared.untrusted_text import escape, show_error

UNDONE = "Undone: "
WORDS = {
    "add": "added", "describe": "edited", "move": "moved", "remove": "removed", "restore": "restored",
    "import": "changed", "rename": "renamed",
}  # fmt: skip


def apply_edit(ws: Workspace, done: str, action: Callable, *args, **kwargs) -> None:
    """Apply an edit and offer to undo it, or show the error."""
    before = newest_batch(ws)
    try:
        action(ws, *args, **kwargs)
    except GlanError as error:
        show_error(error)
        return
    after = newest_batch(ws)
    if after == before:
        st.toast(escape(done), icon=":material/check:")
    st.session_state.taxonomy_done = None if after == before else (ws.folder.name, after, done)
    st.rerun()


def undo_bar(ws: Workspace) -> None:
    """Show the session's last edit with an undo button while no later edit exists."""
    folder, batch, done = st.session_state.get("taxonomy_done") or (None, None, "")
    if folder != ws.folder.name or batch != newest_batch(ws):
        return
    with st.container(border=True, horizontal=True, vertical_alignment="center", key="taxonomy_undo"):
        st.markdown(f":green[:material/check:] {escape(done)}", width="content")
        undone = done.startswith(UNDONE)
        label, icon = ("Redo", ":material/redo:") if undone else ("Undo", ":material/undo:")
        if st.button(label, icon=icon, key="undo_last"):
            apply_edit(ws, done.removeprefix(UNDONE) if undone else UNDONE + done, tree_editing.undo, batch, url_state.user())


def panel(ws: Workspace) -> None:
    """List all edits; the selected one can be undone."""
    edits = taxonomy_rows.recent_edits(ws.db, 100)
    if not edits:
        st.info("No edits yet. Additions, renames, moves, removals and imports are listed here and can be undone.")
        return
    frame = pd.DataFrame(
        {
            "when": [ago(edit.first.at) for edit in edits],
            "what": [describe(edit) for edit in edits],
            "who": [edit.first.who for edit in edits],
            "exactly": [exact(edit.first.at) for edit in edits],
        }
    )
    key = f"changes_{edits[0].first.batch}"  # a new change is a new first row
    at, picking = row_selection.optional_row(key, len(edits))
    plain_table.draw(
        frame, **picking, hide_index=True, alt="Changes, newest first",
        height="content" if len(edits) <= 9 else 350,
        column_config={
            "when": st.column_config.TextColumn("When", width=90), "what": st.column_config.TextColumn("What", width=420),
            "who": st.column_config.TextColumn("Who", width=90), "exactly": st.column_config.TextColumn("Time", width=140),
        },
    )  # fmt: skip
    if at is not None:
        edit = edits[at]
        if st.button(f"Undo: {escape(describe(edit))}", icon=":material/undo:", key="undo_picked", disabled=ws.read_only):
            apply_edit(ws, f"{UNDONE}{describe(edit)}.", tree_editing.undo, edit.first.batch, url_state.user())
    else:
        st.caption("Select an edit to undo it. An undo is an edit, too, and can be undone.")


def describe(edit: TaxonomyEdit) -> str:
    """Describe an edit in a few words."""
    first, total = edit.first, sum(edit.actions.values())
    name = (first.before or first.after).name
    if total == 1 and first.action == "rename":
        return f"{name} renamed to {first.after.name}"
    if first.action == "import":
        return f"Import of {plural(total, 'change')}"
    if total == 1:
        return f"{name} {WORDS[first.action]}"
    if len(edit.actions) == 1:
        return f"{name} and {plural(total - 1, 'other node')} {WORDS[first.action]}"
    if set(edit.actions) <= {"rename", "describe", "move"}:
        return f"{name} {', '.join(WORDS[action] for action in edit.actions)}"
    return "Import: " + ", ".join(f"{plural(count, 'node')} {WORDS[action]}" for action, count in edit.actions.items())


def newest_batch(ws: Workspace) -> str | None:
    """Return the batch id of the newest edit."""
    return next((event.batch for event in taxonomy_rows.events(ws.db, 1)), None)
