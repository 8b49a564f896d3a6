"""The taxonomy as a radial tree; the selection expands into subjects, class sessions and key concepts."""

from collections.abc import Mapping

import networkx as nx
import streamlit as st

from glan_core.figures.radial import ALL, MORE, ExpandedNode, radial_frame, session_nodes, subject_nodes
from glan_core.figures.radial_chart import captions, radial_chart
from glan_core.formatting import number, plural
from glan_core.records import Subject
from glan_core.taxonomy.coverage import Coverage
from glan_core.workspace import Workspace, curriculum_rows
from pages.components.shared import page_frame, url_state

HEIGHT = 660
READ_AT_MOST = 500  # subjects read per discipline; those with a syllabus are drawn first
KEY = "taxonomy_graph"


def panel(ws: Workspace, tree: nx.DiGraph, standings: Mapping[str, Coverage], subject: Subject | None) -> None:
    """Draw the radial tree; a click selects a node, subject or key concept, or opens all subjects of a discipline."""
    if st.session_state.pop("to_syllabi", False):
        url_state.open_page("pages/syllabi.py")
    focus = url_state.focus()
    twigs = _unfolded(ws, tree, standings, subject)
    frame = radial_frame(tree, standings, subject.id if subject else focus or ALL, twigs)
    drawn = list(zip(frame["id"], frame["kind"], frame["parent"], strict=True))
    captioned = captions(frame)

    def pick() -> None:
        spot = _spot()
        if spot is None:
            return
        data_type, item = spot
        if data_type == "edge":
            item += 1  # edge n leads to row n + 1: the root is row 0 and has no edge
        if item < len(drawn):
            _go(*drawn[item])
        elif item - len(drawn) < len(captioned):
            url_state.set_focus(captioned[item - len(drawn)])

    st.echarts_chart(
        radial_chart(frame, page_frame.figure_style(), HEIGHT), key=f"{KEY}_{ws.folder.name}", on_select=pick, height=HEIGHT,
        renderer="svg", alt=_told(tree, standings, twigs),
    )  # fmt: skip
    st.caption(
        "Saturation shows the share of the target reached; gray: nothing generated yet. Click to select; a discipline expands "
        "into subjects, a subject into class sessions and key concepts. Click the center to clear the selection."
    )


def _spot() -> tuple[str, int] | None:
    """Return the clicked item as (node or edge, index); a second click on it clears ECharts' selection, not ours."""
    state = st.session_state[f"{KEY}_{st.session_state.workspace}"]
    spot = next(
        ((group["data_type"], group["data_indices"][0]) for group in state.selection.selected if group["data_indices"]), None
    )
    spot = spot or st.session_state.get("taxonomy_spot")
    st.session_state.taxonomy_spot = spot
    return spot


def _go(id: str, kind: str, parent: str) -> None:
    """Select the clicked item."""
    if kind in ("all", "field", "sub-field", "discipline"):
        url_state.set_focus(id or None)
    elif kind == "subject":
        url_state.set_subject(id, parent)
    elif kind == "session":
        url_state.set_subject(parent)
    elif kind == "concept":
        url_state.select(concept=id)
    elif kind == MORE and url_state.subject():
        url_state.set_subject(None)
    elif kind == MORE:
        st.session_state.to_syllabi = True


def _unfolded(
    ws: Workspace, tree: nx.DiGraph, standings: Mapping[str, Coverage], subject: Subject | None
) -> list[ExpandedNode]:
    """Return the items drawn below the focused discipline."""
    focus = url_state.focus()
    if focus is None or tree.nodes[focus]["node"].kind != "discipline":
        return []
    states = curriculum_rows.syllabus_states(ws.db, focus)
    known = int(standings[focus].counts["subjects"])
    if subject is None:
        return subject_nodes(curriculum_rows.subjects(ws.db, focus, READ_AT_MOST), states, known)
    state = states.get(subject.id)
    sessions = curriculum_rows.sessions(ws.db, state.id) if state else []
    return session_nodes(
        subject, state, sessions, curriculum_rows.concept_question_counts(ws.db, state.id) if state else {}, known
    )


def _told(tree: nx.DiGraph, standings: Mapping[str, Coverage], twigs: list[ExpandedNode]) -> str:
    """Describe the figure in one sentence for screen readers."""
    whole = standings[""]
    fields = sum(1 for _, parents in tree.in_degree() if parents == 0)
    unfolded = {kind: sum(twig.kind == kind for twig in twigs) for kind in ("subject", "session", "concept")}
    below = ", ".join(plural(count, "key concept" if kind == "concept" else kind) for kind, count in unfolded.items() if count)
    focus = url_state.focus()
    return (
        f"The taxonomy as a radial tree: {plural(fields, 'field')}, {plural(whole.disciplines, 'discipline')}, "
        f"{number(whole.begun)} started"
        + (f"; {tree.nodes[focus]['node'].name} is selected" if focus else "")
        + (f" and expanded: {below}." if below else ".")
        + " The view Outline lists the same nodes as a table."
    )
