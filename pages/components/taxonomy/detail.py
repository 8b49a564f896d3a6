"""Detail panel of the Taxonomy page: the selection, its counts and actions."""

from collections.abc import Mapping

import networkx as nx
import streamlit as st

from glan_core.formatting import number, plural, short
from glan_core.generation import preview
from glan_core.records import Node, Subject
from glan_core.taxonomy import hierarchy, tree_editing
from glan_core.taxonomy.coverage import Coverage
from glan_core.taxonomy.hierarchy import GROUPS
from glan_core.workspace import Workspace, curriculum_rows, taxonomy_rows
from pages.components.shared import url_state
from pages.components.shared.untrusted_text import escape
from pages.components.taxonomy import add_discipline, changes


def panel(ws: Workspace, tree: nx.DiGraph, standings: Mapping[str, Coverage], subject: Subject | None) -> None:
    """Draw the panel for the selected subject or node, or for the whole taxonomy."""
    focus = url_state.focus()
    if subject:
        _subject(ws, tree, subject)
    elif focus:
        _node(ws, tree, tree.nodes[focus]["node"], standings[focus])
    else:
        _everything(ws, standings[""])


def _everything(ws: Workspace, standing: Coverage) -> None:
    st.header("All knowledge", anchor=False)
    st.caption(f"{plural(standing.disciplines, 'discipline')}, {number(standing.begun)} started")
    _numbers(standing)
    st.markdown("Select a node to see its description, edit it or expand it.")
    with st.popover("Add field", icon=":material/add:", disabled=ws.read_only):
        _add_form(ws, None)


def _numbers(standing: Coverage) -> None:
    counts = standing.counts
    with st.grid(3, gap="small", min_column_width=80):
        st.metric("Subjects", short(counts["subjects"]), help=f"{number(counts['subjects'])} subjects generated so far.")
        st.metric("Pairs", short(counts["pairs"]), help=f"{number(counts['pairs'])} answered questions.")
        share = "–" if standing.share is None else f"{standing.share:.0%}"
        st.metric("Target", share, help="Answered pairs as a share of the target, averaged over disciplines. Higher is better.")


def _node(ws: Workspace, tree: nx.DiGraph, node: Node, standing: Coverage) -> None:
    st.header(escape(node.name), anchor=False)
    st.caption(f"{node.kind.capitalize()} · {hierarchy.group_of(tree, node.id) or 'no group'}")
    st.markdown(escape(node.description) or ":gray[No description yet: prompts contain only the name.]")
    _numbers(standing)
    if node.kind == "discipline" and st.button("Plan a run", icon=":material/play_circle:", type="primary", width="stretch"):
        url_state.open_page("pages/runs.py")
    with st.container(horizontal=True, gap="xsmall"):
        if node.kind == "discipline":
            if preview.can_preview(ws, node.id):
                st.button("Preview…", icon=":material/visibility:", on_click=add_discipline.open_dialog, key="preview_node",
                          disabled=ws.read_only,
                          help="Generate one list of subjects, one syllabus and three questions before paying for a full run.")  # fmt: skip
        else:
            with st.popover("Add below", icon=":material/add:", disabled=ws.read_only):
                _add_form(ws, node)
        with st.popover("Edit", icon=":material/edit:", disabled=ws.read_only):
            _edit_form(ws, tree, node)
        with st.popover("Remove", icon=":material/delete:", disabled=ws.read_only):
            _remove(ws, tree, node)
    _votes(ws, node.id)


def _votes(ws: Workspace, target_id: str) -> None:
    keep, against = taxonomy_rows.vote_counts(ws.db).get(target_id, (0, 0))
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.caption("Keep this node?", width="content")
        vote_buttons(ws, target_id, keep, against)


def vote_buttons(ws: Workspace, target_id: str, keep: int, against: int) -> None:
    """Draw the keep and remove buttons of a node or proposal, with the number of votes."""
    for verdict, icon, count in ((True, ":material/thumb_up:", keep), (False, ":material/thumb_down:", against)):
        word = "keep" if verdict else "remove"
        if st.button(
            f"{word.capitalize()} · {count}", icon=icon, key=f"vote_{target_id}_{verdict}", type="tertiary", disabled=ws.read_only,
            help=f"{plural(count, 'vote')} to {word}. One vote per person; a later vote replaces an earlier one.",
        ):  # fmt: skip
            changes.apply_edit(ws, "Vote recorded.", tree_editing.vote, target_id, keep=verdict, voter=url_state.user())


def _add_form(ws: Workspace, parent: Node | None) -> None:
    """Draw the form for a new field, sub-field or discipline."""
    change = changes.newest_batch(ws)  # a successful edit clears the fields, a failed one keeps them
    with st.form(f"add_node_{change}", border=False):
        kind = "field" if parent is None else st.segmented_control(
            "Kind", ["discipline", "sub-field"], default="discipline", required=True, format_func=str.capitalize, key=f"new_kind_{change}"
        )  # fmt: skip
        name = st.text_input("Name", key=f"new_name_{change}")
        group = st.selectbox("Group", GROUPS, help="Determines the color of the field.") if parent is None else None
        description = st.text_area(
            "Description", height=90, key=f"new_description_{change}", placeholder="One line, used in prompts."
        )
        if not st.form_submit_button("Add", type="primary"):
            return
        if removed := tree_editing.removed_from(ws, name, parent and parent.id):
            changes.apply_edit(ws, f"Restored {removed.name} with its generated data.", tree_editing.restore, removed.id,
                url_state.user())  # fmt: skip
        else:
            changes.apply_edit(ws, f"Added {name.strip()}.", tree_editing.add, name, parent and parent.id, url_state.user(),
                kind=kind, group=group, description=description)  # fmt: skip


def _edit_form(ws: Workspace, tree: nx.DiGraph, node: Node) -> None:
    """Draw the form for name, description and parent of the selected node."""
    below = {n.id for n in hierarchy.walk(tree, node.id)}
    places = [n.id for n in hierarchy.walk(tree) if n.kind != "discipline" and n.id not in below]
    with st.form(f"edit_{node.id}", border=False):
        name = st.text_input("Name", node.name)
        description = st.text_area("Description", node.description, height=90)
        parent = node.parent_id
        if node.kind != "field":
            parent = st.selectbox("Parent", places, places.index(parent), format_func=lambda id: path_name(tree, id))
        if st.form_submit_button("Save", type="primary"):
            changes.apply_edit(ws, f"Saved {name.strip()}.", tree_editing.edit, node.id, url_state.user(), name=name, description=description,
                parent_id=parent)  # fmt: skip


def _remove(ws: Workspace, tree: nx.DiGraph, node: Node) -> None:
    count = sum(1 for _ in hierarchy.walk(tree, node.id))
    st.markdown(f"Removes {plural(count, 'node')} from the taxonomy. Generated data is kept, and *Undo* restores the nodes.")

    def remove(ws: Workspace) -> None:
        tree_editing.remove(ws, node.id, url_state.user())
        url_state.set_focus(node.parent_id)

    if st.button(f"Remove {plural(count, 'node')}", icon=":material/delete:"):
        rest = f" with {plural(count - 1, 'node')} below it" if count > 1 else ""
        changes.apply_edit(ws, f"Removed {node.name}{rest}.", remove)


def path_name(tree: nx.DiGraph, id: str) -> str:
    """Return the path of a node, as 'Humanities › The arts'."""
    return " › ".join(node.name for node in hierarchy.path(tree, id))


def _subject(ws: Workspace, tree: nx.DiGraph, subject: Subject) -> None:
    """Draw the selected subject and the key concept selected below it."""
    st.header(escape(subject.name), anchor=False)
    st.caption(f"Subject of {escape(tree.nodes[subject.discipline_id]['node'].name)} · {escape(subject.level) or 'no level'}")
    if subject.subtopics:
        st.markdown("\n".join(f"- {escape(topic)}" for topic in subject.subtopics[:12]))
    state = curriculum_rows.syllabus_states(ws.db, subject.discipline_id).get(subject.id)
    if state is None:
        st.markdown(":gray[No syllabus yet. A run generates it.]")
    else:
        st.caption(f"{plural(len(state.sizes or ()), 'class session')} · {plural(sum(state.sizes or ()), 'key concept')} · "
                   f"{plural(state.questions, 'question')}")  # fmt: skip
    concept = url_state.selected("concept")
    if concept and (name := curriculum_rows.concept_name(ws.db, concept)):
        asked = curriculum_rows.concept_question_counts(ws.db, state.id).get(concept, 0) if state else 0
        st.markdown(f"**{escape(name)}** · covered by {plural(asked, 'question')}")
        if asked and st.button("Read questions", icon=":material/quiz:"):
            url_state.open_page("pages/homework.py")
    with st.container(horizontal=True, gap="small"):
        if st.button("Open syllabus" if state else "Open on Syllabi page", icon=":material/menu_book:", type="primary"):
            url_state.open_page("pages/syllabi.py")
        st.button("All subjects", icon=":material/arrow_upward:", on_click=url_state.set_subject, args=(None,))
