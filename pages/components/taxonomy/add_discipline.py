"""Dialog to add a discipline: describe it, review a preview, then plan and start the full run.

`adding` in the session state keeps the dialog open across reruns. Field values are kept under keys with the prefix
`adding_`, so closing the dialog loses nothing.
"""

from dataclasses import replace

import networkx as nx
import streamlit as st

from glan_core.errors import GlanError
from glan_core.formatting import ago
from glan_core.generation import preview
from glan_core.generation.preview import PendingPreview
from glan_core.generation.settings import TeacherSettings
from glan_core.records import Node
from glan_core.settings import read_settings
from glan_core.taxonomy import hierarchy, tree_editing
from glan_core.workspace import Workspace
from glan_core.workspace.run_rows import LIVE
from pages.components.shared import teacher_form, url_state
from pages.components.shared.untrusted_text import escape, show_error
from pages.components.taxonomy import plan_discipline, preview_panel

STEPS = ("Describe", "Preview", "Plan and start")
NEW = "new"
WAITING = {"finished": "is ready for review"}


def sidebar_button(ws: Workspace, tree: nx.DiGraph) -> None:
    """Draw the sidebar button, and the dialog while it is open."""
    st.sidebar.button(
        "Add discipline", icon=":material/add:", width="stretch", key="add_discipline", on_click=open_dialog,
        disabled=ws.read_only,
    )  # fmt: skip
    if st.session_state.get("adding"):
        _dialog(ws, tree)


def open_dialog() -> None:
    """Open the dialog at the next rerun; it offers to fill the focused discipline if that is empty."""
    st.session_state.adding = True
    if st.session_state.get("adding_for") != url_state.focus():
        st.session_state.adding_for = url_state.focus()
        st.session_state.pop("adding_what", None)
    if not st.session_state.get("adding_name"):
        st.session_state.pop("adding_place", None)  # defaults to the current focus


def close() -> None:
    """Close the dialog at the next rerun; field values and the preview are kept."""
    st.session_state.adding = False
    st.session_state.adding_accepted = None


@st.dialog("Add discipline", width="large", on_dismiss=close)
def _dialog(ws: Workspace, tree: nx.DiGraph) -> None:
    """Draw the current step."""
    if st.session_state.get("adding_in") != ws.folder.name:  # previews belong to one workspace
        st.session_state.adding_in = ws.folder.name
        st.session_state.adding_preview = st.session_state.adding_accepted = None
    waits = preview.pending(ws)
    if st.session_state.adding_preview not in [waiting.node.id for waiting in waits]:
        st.session_state.adding_preview = None
    if st.session_state.adding_accepted:
        _steps(2)
        plan_discipline.panel(ws, tree)
    elif st.session_state.adding_preview:
        _steps(1)
        preview_panel.panel(ws, tree, st.session_state.adding_preview)
    else:
        _steps(0)
        _describe(ws, tree, waits)


def _steps(now: int) -> None:
    """Draw the step indicator."""
    steps = [
        f":green-badge[:material/check: {step}]" if number < now
        else f":{'blue' if number == now else 'gray'}-badge[{number + 1} {step}]"
        for number, step in enumerate(STEPS)
    ]  # fmt: skip
    st.markdown(" :gray[›] ".join(steps))


def _describe(ws: Workspace, tree: nx.DiGraph, waits: list[PendingPreview]) -> None:
    """Draw the first step: name, place and notes of the discipline, and the teacher."""
    _list_waiting(waits)
    grid = st.grid(2, gap="large", min_column_width=390)
    with grid.cell():
        existing = _existing(ws, tree)
        fields = _fields_of(existing) if existing else _fields_of_new(tree)
    if fields is None:
        return
    with grid.cell():
        terms = _terms()
        if terms is None:
            return
        name = fields["name"].strip()
        if any(waiting.node.name == name for waiting in waits):
            st.caption("A new preview replaces the existing preview of this discipline; its cost stays in the records.")
        try:
            cost = preview.plan_preview(ws, terms)
        except GlanError as error:
            show_error(error)
            return
        st.caption(
            "A preview is one list of subjects, one syllabus, and three questions with answers. It enters the taxonomy and the "
            "dataset only when you accept it."
        )
        label = preview_panel.cost_label("Generate preview", cost)
        if st.button(label, type="primary", icon=":material/edit_note:", width="stretch", key="begin_preview", help=cost.basis):
            _begin(ws, fields, existing, terms)


def _list_waiting(waits: list[PendingPreview]) -> None:
    """List the previews that are not accepted yet, including those of other sessions."""
    for waiting in waits[:5]:
        state = "is being generated" if waiting.state in LIVE else WAITING.get(waiting.state, "is incomplete")
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            st.markdown(
                f"The preview of **{escape(waiting.node.name)}** {state}, started {ago(waiting.begun_at)}.", width="stretch"
            )
            key = f"open_preview_{waiting.node.id}"
            if st.button("Open", key=key, icon=":material/visibility:"):
                show_preview(waiting.node.id)


def show_preview(discipline_id: str) -> None:
    """Open the second step with the preview of a discipline."""
    st.session_state.adding_preview = discipline_id
    st.rerun()


def _existing(ws: Workspace, tree: nx.DiGraph) -> Node | None:
    """Return the focused discipline if it is empty and the user chose to fill it, else None."""
    id = st.session_state.get("adding_for")
    node = tree.nodes[id]["node"] if id in tree else None
    if node is None or node.kind != "discipline" or not preview.can_preview(ws, id):
        return None
    names = {id: f"{escape(node.name)} (empty)", NEW: "New discipline"}
    if st.session_state.get("adding_what") not in names:
        st.session_state.adding_what = id
    what = st.segmented_control(
        "Discipline to fill", list(names), format_func=names.get, key="adding_what", required=True, label_visibility="collapsed"
    )
    return node if what == id else None


def _fields_of(node: Node) -> dict:
    """Draw the fields of an existing discipline, of which only the notes can be changed."""
    st.text_input("Name", node.name, disabled=True)
    key = f"adding_notes_{node.id}"
    st.session_state.setdefault(key, node.description)
    return {"name": node.name, "notes": _notes(key)}


def _fields_of_new(tree: nx.DiGraph) -> dict | None:
    """Draw the fields of a new discipline and warn of similar nodes; returns None if the taxonomy is empty."""
    ids = [node.id for node in hierarchy.walk(tree) if node.kind != "discipline"]
    if not ids:
        st.info("The taxonomy is empty. Add the default taxonomy or your own field on the Taxonomy page.")
        return None
    name = st.text_input("Name", key="adding_name", placeholder="Virology", max_chars=200)
    if name.strip():
        _warn_of_similar(tree, name)
    if st.session_state.get("adding_place") not in ids:
        st.session_state.adding_place = _near_focus(tree) or ids[0]
    place = st.selectbox(
        "Parent", ids, key="adding_place", format_func=lambda id: _path(tree, id),
        help="The field or sub-field of the discipline. Add new ones on the Taxonomy page.",
    )  # fmt: skip
    return {"name": name, "place": place, "notes": _notes("adding_notes")}


def _notes(key: str) -> str:
    return st.text_area(
        "Notes for the teacher", key=key, height=110,
        placeholder="What the discipline covers and what it excludes, in one or two lines: viruses, their replication, diseases they cause.",
        help="Stored as the discipline's description, which is part of every subject prompt.",
    )  # fmt: skip


def _warn_of_similar(tree: nx.DiGraph, name: str) -> None:
    nodes = list(hierarchy.walk(tree))
    names = [other for other, _ in hierarchy.similar(name, [node.name for node in nodes])[:3]]
    places = [_path(tree, node.id) for node in nodes if node.name in names][:3]
    if places:
        st.warning(f"The taxonomy already contains {escape('; '.join(places))}.", icon=":material/content_copy:")


def _near_focus(tree: nx.DiGraph) -> str | None:
    """Return the focused node, or its parent if it is a discipline."""
    focus = url_state.focus()
    if focus is None:
        return None
    node = tree.nodes[focus]["node"]
    return node.parent_id if node.kind == "discipline" else node.id


def _path(tree: nx.DiGraph, id: str) -> str:
    return " › ".join(node.name for node in hierarchy.path(tree, id))


def _terms() -> TeacherSettings | None:
    """Return the teacher settings, or None after showing the error."""
    values = teacher_form.fields("adding", answers=True, over_page=True)
    if values is None:
        return None
    try:
        return read_settings(TeacherSettings, values)
    except GlanError as error:
        show_error(error)
        return None


def _begin(ws: Workspace, fields: dict, existing: Node | None, terms: TeacherSettings) -> None:
    """Start the preview and show it, or show the error."""
    try:
        if existing:
            node = replace(existing, description=fields["notes"].strip())
        else:
            node = tree_editing.draft(ws, fields["name"], fields["place"], description=fields["notes"])
        preview.start(ws, node, terms, teacher_form.environment())
    except GlanError as error:
        show_error(error)
    else:
        show_preview(node.id)
