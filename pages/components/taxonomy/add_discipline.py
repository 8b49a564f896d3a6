"""The guided way to a new discipline: describe it, read a preview of it, then plan and start the whole.

The dialog is open while `adding` is set in the session, so that a page which draws itself anew does not close it. What was
typed is kept under keys that begin with `adding_`, so that closing it loses nothing.
"""

from dataclasses import replace

import networkx as nx
import streamlit as st

from glan_core.errors import GlanError
from glan_core.formatting import ago
from glan_core.generation import preview
from glan_core.generation.preview import Waiting
from glan_core.generation.settings import TeacherSettings
from glan_core.records import Node
from glan_core.settings import read_settings
from glan_core.taxonomy import hierarchy, tree_editing
from glan_core.workspace import Workspace
from glan_core.workspace.run_rows import LIVE
from pages.components.shared import teacher_form, url_state
from pages.components.shared.untrusted_text import fault, plain
from pages.components.taxonomy import plan_discipline, preview_panel

STEPS = ("Describe", "Preview", "Plan and start")
NEW = "new"
WAITING = {"finished": "waits to be read"}


def offer(ws: Workspace, tree: nx.DiGraph) -> None:
    """The button in the sidebar, and the dialog while it is open."""
    st.sidebar.button(
        "Add a discipline", icon=":material/add:", width="stretch", key="add_discipline", on_click=open_dialog,
        disabled=ws.read_only,
    )  # fmt: skip
    if st.session_state.get("adding"):
        _dialog(ws, tree)


def open_dialog() -> None:
    """Let the dialog be open from the next run of the page on; a discipline in focus that is empty is what it offers to fill."""
    st.session_state.adding = True
    if st.session_state.get("adding_for") != url_state.focus():
        st.session_state.adding_for = url_state.focus()
        st.session_state.pop("adding_what", None)
    if not st.session_state.get("adding_name"):
        st.session_state.pop("adding_place", None)  # what is near the focus now


def close() -> None:
    """Close the dialog at the next run of the page; what was typed and what was previewed stays."""
    st.session_state.adding = False
    st.session_state.adding_accepted = None


@st.dialog("Add a discipline", width="large", on_dismiss=close)
def _dialog(ws: Workspace, tree: nx.DiGraph) -> None:
    """The step that this session is at."""
    if st.session_state.get("adding_in") != ws.folder.name:  # what was begun in another workspace is begun there
        st.session_state.adding_in = ws.folder.name
        st.session_state.adding_preview = st.session_state.adding_accepted = None
    waits = preview.waiting(ws)
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
    """Where the user is on the way."""
    steps = [
        f":green-badge[:material/check: {step}]" if number < now
        else f":{'blue' if number == now else 'gray'}-badge[{number + 1} {step}]"
        for number, step in enumerate(STEPS)
    ]  # fmt: skip
    st.markdown(" :gray[›] ".join(steps))


def _describe(ws: Workspace, tree: nx.DiGraph, waits: list[Waiting]) -> None:
    """The first step: what the discipline is, and who shall write its preview."""
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
            st.caption("The preview of it that waits is replaced by a new one; what it cost stays in the accounts.")
        try:
            cost = preview.cost(ws, terms)
        except GlanError as error:
            fault(error)
            return
        st.caption(
            "A preview is one list of subjects, one syllabus and three questions with answers. Nothing of it is in the tree or "
            "in the dataset before you accept it."
        )
        label = preview_panel.priced("Write a preview", cost)
        if st.button(label, type="primary", icon=":material/edit_note:", width="stretch", key="begin_preview", help=cost.basis):
            _begin(ws, fields, existing, terms)


def _list_waiting(waits: list[Waiting]) -> None:
    """The previews that wait to be accepted, from this session or another."""
    for waiting in waits[:5]:
        state = "is being written" if waiting.state in LIVE else WAITING.get(waiting.state, "is unfinished")
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            st.markdown(f"A preview of **{plain(waiting.node.name)}** {state}, begun {ago(waiting.begun_at)}.", width="stretch")
            key = f"open_preview_{waiting.node.id}"
            if st.button("Open", key=key, icon=":material/visibility:"):
                show_preview(waiting.node.id)


def show_preview(discipline_id: str) -> None:
    """Go to the second step with the preview of a discipline."""
    st.session_state.adding_preview = discipline_id
    st.rerun()


def _existing(ws: Workspace, tree: nx.DiGraph) -> Node | None:
    """The discipline of the tree that the user wishes filled rather than a new one added; only an empty one can be."""
    id = st.session_state.get("adding_for")
    node = tree.nodes[id]["node"] if id in tree else None
    if node is None or node.kind != "discipline" or not preview.possible(ws, id):
        return None
    names = {id: f"{plain(node.name)}, which is empty so far", NEW: "A new discipline"}
    if st.session_state.get("adding_what") not in names:
        st.session_state.adding_what = id
    what = st.segmented_control(
        "What to fill", list(names), format_func=names.get, key="adding_what", required=True, label_visibility="collapsed"
    )
    return node if what == id else None


def _fields_of(node: Node) -> dict:
    """The fields of a discipline that is in the tree: only the notes can be changed here."""
    st.text_input("Name", node.name, disabled=True)
    key = f"adding_notes_{node.id}"
    st.session_state.setdefault(key, node.description)
    return {"name": node.name, "notes": _notes(key)}


def _fields_of_new(tree: nx.DiGraph) -> dict | None:
    """The fields of a new discipline, with a warning where the tree seems to have it; None where it has no place for one."""
    ids = [node.id for node in hierarchy.walk(tree) if node.kind != "discipline"]
    if not ids:
        st.info("The taxonomy is empty: begin with the starter taxonomy or a field of your own on the Taxonomy page.")
        return None
    name = st.text_input("Name", key="adding_name", placeholder="Virology", max_chars=200)
    if name.strip():
        _warn_of_similar(tree, name)
    if st.session_state.get("adding_place") not in ids:
        st.session_state.adding_place = _near_focus(tree) or ids[0]
    place = st.selectbox(
        "Where in the tree", ids, key="adding_place", format_func=lambda id: _path(tree, id),
        help="The field or sub-field that it belongs to; the Taxonomy page adds new ones.",
    )  # fmt: skip
    return {"name": name, "place": place, "notes": _notes("adding_notes")}


def _notes(key: str) -> str:
    return st.text_area(
        "Notes for the teacher", key=key, height=110,
        placeholder="What belongs to it and what does not, in a line or two: viruses, their replication, the diseases they cause.",
        help="They become the description of the discipline, which every prompt for its subjects holds.",
    )  # fmt: skip


def _warn_of_similar(tree: nx.DiGraph, name: str) -> None:
    nodes = list(hierarchy.walk(tree))
    names = [other for other, _ in hierarchy.similar(name, [node.name for node in nodes])[:3]]
    places = [_path(tree, node.id) for node in nodes if node.name in names][:3]
    if places:
        st.warning(f"The tree already has {plain('; '.join(places))}.", icon=":material/content_copy:")


def _near_focus(tree: nx.DiGraph) -> str | None:
    """The focus, or what is above it where it is a discipline."""
    focus = url_state.focus()
    if focus is None:
        return None
    node = tree.nodes[focus]["node"]
    return node.parent_id if node.kind == "discipline" else node.id


def _path(tree: nx.DiGraph, id: str) -> str:
    return " › ".join(node.name for node in hierarchy.path(tree, id))


def _terms() -> TeacherSettings | None:
    """The teacher as typed; None, with the fault said, while it is none."""
    values = teacher_form.fields("adding", answers=True, over_page=True)
    if values is None:
        return None
    try:
        return read_settings(TeacherSettings, values)
    except GlanError as error:
        fault(error)
        return None


def _begin(ws: Workspace, fields: dict, existing: Node | None, terms: TeacherSettings) -> None:
    """Start the preview and show it, or say why it can't be."""
    try:
        if existing:
            node = replace(existing, description=fields["notes"].strip())
        else:
            node = tree_editing.draft(ws, fields["name"], fields["place"], description=fields["notes"])
        preview.begin(ws, node, terms, teacher_form.environment())
    except GlanError as error:
        fault(error)
    else:
        show_preview(node.id)
