"""Syllabi page: the subjects below the focus, and each syllabus as a course plan."""

import pandas as pd
import streamlit as st

from glan_core.formatting import number, plural
from glan_core.ids import syllabus_id
from glan_core.taxonomy import coverage, hierarchy
from glan_core.workspace import curriculum_rows
from glan_core.workspace.curriculum_rows import SubjectState
from pages.components.shared import empty_state, page_frame, plain_table, row_selection, url_state
from pages.components.shared.print_button import NOT_PRINTED
from pages.components.shared.untrusted_text import escape
from pages.components.syllabi import syllabus_view

FEW = 200  # with more subjects than this, the list shows disciplines instead
MOST = 500  # subjects shown at once

ws, tree = page_frame.open_page("Syllabi")
focus = url_state.focus()
node = tree.nodes[focus]["node"] if focus else None
standings = coverage.coverage_by_node(ws, tree)
counts = standings[focus or ""].counts


def subject_list() -> str | None:
    """Draw the list of subjects, or of disciplines if there are too many; returns the selected subject's id."""
    words = st.text_input(
        "Search", placeholder="subject name", key="subject_words", bind="query-params", icon=":material/search:"
    )
    if not words.strip() and counts["subjects"] > FEW and not (node and node.kind == "discipline"):
        disciplines()
        return url_state.subject()
    found = curriculum_rows.subject_states(ws.db, hierarchy.disciplines_under(tree, focus), words, MOST)
    if not found:
        st.info("No subjects match this search." if words.strip() else "No subjects yet.")
        return url_state.subject()
    picked = url_state.subject() or (found[0].id if found[0].has_syllabus else None)
    table(found, picked, words)
    if len(found) == MOST:
        st.caption(f"Showing the first {number(MOST)}; use the search to narrow.")
    return picked


def table(found: list[SubjectState], picked: str | None, words: str) -> None:
    """Draw the table of subjects with the state of their syllabi; a click selects one."""
    key = f"subjects_{focus}_{words}"
    at = next((n for n, state in enumerate(found) if state.id == picked), None)

    def choose(row: int | None) -> None:
        if row is not None:
            url_state.set_subject(found[row].id, found[row].discipline_id)

    several = len({state.discipline_id for state in found}) > 1
    frame = pd.DataFrame(
        {
            "name": [f"{state.name}{' ✎' if state.edited else ''}" for state in found],
            "discipline": [tree.nodes[state.discipline_id]["node"].name for state in found],
            "sessions": [len(state.sizes) if state.sizes else None for state in found],
            "questions": [state.questions if state.has_syllabus else None for state in found],
        }
    )
    plain_table.draw(
        frame, **row_selection.clickable_rows(key, at, choose, len(found)), hide_index=True, alt="Subjects",
        height="content" if len(found) <= 16 else 600, placeholder="–",
        column_config={
            "name": st.column_config.TextColumn("Subject", width=120 if several else 150, help="✎ edited since it was generated"),
            "discipline": st.column_config.TextColumn("Discipline", width=90) if several else None,
            "sessions": st.column_config.NumberColumn("Sessions", width=60, help="Number of class sessions; –: no syllabus yet."),
            "questions": None if several else st.column_config.NumberColumn("Questions", format="localized", width=50,
                                                                              help="Questions generated from the syllabus."),
        },
    )  # fmt: skip


def disciplines() -> None:
    """Draw the table of disciplines with subjects; a click moves the focus."""
    ids = [id for id in hierarchy.disciplines_under(tree, focus) if standings[id].counts["subjects"]]
    if not ids:
        return
    key = f"syllabi_disciplines_{focus}"

    def choose(row: int | None) -> None:
        if row is not None:
            url_state.set_focus(ids[row])

    frame = pd.DataFrame(
        {
            "name": [tree.nodes[id]["node"].name for id in ids],
            "subjects": [int(standings[id].counts["subjects"]) for id in ids],
            "syllabi": [int(standings[id].counts["syllabi"]) for id in ids],
        }
    )
    plain_table.draw(
        frame, **row_selection.clickable_rows(key, None, choose, len(ids)), hide_index=True, alt="Disciplines with subjects",
        height="content" if len(ids) <= 16 else 600,
        column_config={
            "name": st.column_config.TextColumn("Discipline", width=125),
            "subjects": st.column_config.NumberColumn("Subjects", format="localized", width=62),
            "syllabi": st.column_config.NumberColumn("Syllabi", format="localized", width=55),
        },
    )  # fmt: skip


sentence = (
    f"{number(counts['syllabi'])} of {plural(int(counts['subjects']), 'subject')} "
    f"{'has' if counts['subjects'] == 1 else 'have'} a syllabus"
)
if counts["concepts"]:
    sentence += f" · {number(counts['concepts_asked'])} of {number(counts['concepts'])} key concepts covered by questions"
page_frame.title_line("Syllabi", tree, sentence, ws)
if not counts["subjects"]:
    where = f"in {escape(node.name)}" if node else "in this workspace"
    st.info(
        f"No subjects {where} yet. A run generates subjects and their syllabi.",
        icon=":material/menu_book:",
    )
    if st.button("Plan a run", type="primary", icon=":material/play_circle:"):
        url_state.open_page("pages/runs.py")
    if node is None:
        empty_state.still("syllabi")
    st.stop()
left, right = page_frame.list_and_detail("syllabi")
with left, st.container(key=f"{NOT_PRINTED}_list"):
    picked = subject_list()
with right:
    subject = curriculum_rows.subject(ws.db, picked) if picked else None
    if subject:
        syllabus_view.panel(ws, tree, subject, curriculum_rows.syllabus(ws.db, syllabus_id(subject.id)))
    else:
        what = "a subject" if node and node.kind == "discipline" else "a discipline, then a subject"
        st.info(f"Select {what} to read its syllabus, or search by name.", icon=":material/menu_book:")
