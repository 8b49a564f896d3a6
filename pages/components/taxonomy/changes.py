"""Changes of the taxonomy: doing one, undoing it, and the record of all."""

from collections.abc import Callable

import pandas as pd
import streamlit as st

from glan_core.errors import GlanError
from glan_core.formatting import ago, exact, plural
from glan_core.taxonomy import tree_editing
from glan_core.workspace import Workspace, taxonomy_rows
from glan_core.workspace.taxonomy_rows import TaxonomyEdit
from pages.components.shared import url_state
from pages.components.shared.untrusted_text import fault, plain

UNDONE = "Undone: "
WORDS = {
    "add": "added", "describe": "described anew", "move": "moved", "remove": "removed", "restore": "restored",
    "import": "changed", "rename": "renamed",
}  # fmt: skip


def act(ws: Workspace, done: str, action: Callable, *args, **kwargs) -> None:
    """Do an edit; say what was done and offer to undo it, or say why it can't be."""
    before = newest(ws)
    try:
        action(ws, *args, **kwargs)
    except GlanError as error:
        fault(error)
        return
    after = newest(ws)
    if after == before:
        st.toast(plain(done), icon=":material/check:")
    st.session_state.taxonomy_done = None if after == before else (ws.folder.name, after, done)
    st.rerun()


def offer_undo(ws: Workspace) -> None:
    """What was done last in this session, while it is the last thing done, with the button that takes it back."""
    folder, batch, done = st.session_state.get("taxonomy_done") or (None, None, "")
    if folder != ws.folder.name or batch != newest(ws):
        return
    with st.container(border=True, horizontal=True, vertical_alignment="center", key="taxonomy_undo"):
        st.markdown(f":green[:material/check:] {plain(done)}", width="content")
        undone = done.startswith(UNDONE)
        label, icon = ("Redo", ":material/redo:") if undone else ("Undo", ":material/undo:")
        if st.button(label, icon=icon, key="undo_last"):
            act(ws, done.removeprefix(UNDONE) if undone else UNDONE + done, tree_editing.undo, batch, url_state.user())


def changes(ws: Workspace) -> None:
    """Who changed what; a picked change can be undone."""
    deeds = taxonomy_rows.deeds(ws.db, 100)
    if not deeds:
        st.info("No changes yet: whatever is added, renamed, moved, removed or imported is listed here, and can be undone.")
        return
    frame = pd.DataFrame(
        {
            "when": [ago(deed.first.at) for deed in deeds],
            "what": [told(deed) for deed in deeds],
            "who": [deed.first.who for deed in deeds],
            "exactly": [exact(deed.first.at) for deed in deeds],
        }
    )
    key = f"changes_{deeds[0].first.batch}"  # a new change is a new first row
    picked = st.dataframe(
        frame, key=key, on_select="rerun", selection_mode="single-row", hide_index=True,
        height="content" if len(deeds) <= 9 else 350,
        column_config={
            "when": st.column_config.TextColumn("When", width=90), "what": st.column_config.TextColumn("What", width=420),
            "who": st.column_config.TextColumn("Who", width=90), "exactly": st.column_config.TextColumn("Time", width=140),
        },
    ).selection.rows  # fmt: skip
    if picked:
        deed = deeds[picked[0]]
        if st.button(f"Undo: {plain(told(deed))}", icon=":material/undo:", key="undo_picked", disabled=ws.read_only):
            act(ws, f"{UNDONE}{told(deed)}.", tree_editing.undo, deed.first.batch, url_state.user())
    else:
        st.caption("Pick a change to undo it. Undoing is a change, too, and can be undone.")


def told(deed: TaxonomyEdit) -> str:
    """A deed in a few words."""
    first, total = deed.first, sum(deed.actions.values())
    name = (first.before or first.after).name
    if total == 1 and first.action == "rename":
        return f"{name} renamed to {first.after.name}"
    if first.action == "import":
        return f"Import of {plural(total, 'change')}"
    if total == 1:
        return f"{name} {WORDS[first.action]}"
    if len(deed.actions) == 1:
        return f"{name} and {plural(total - 1, 'other node')} {WORDS[first.action]}"
    if set(deed.actions) <= {"rename", "describe", "move"}:
        return f"{name} {', '.join(WORDS[action] for action in deed.actions)}"
    return "Import: " + ", ".join(f"{plural(count, 'node')} {WORDS[action]}" for action, count in deed.actions.items())


def newest(ws: Workspace) -> str | None:
    """The batch of the newest change."""
    return next((event.batch for event in taxonomy_rows.events(ws.db, 1)), None)
