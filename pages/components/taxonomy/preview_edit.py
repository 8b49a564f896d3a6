"""Edit a preview before it is accepted: subjects, syllabus, class sessions, questions and answers."""

from collections.abc import Iterator

import pandas as pd
import streamlit as st

from glan_core.curriculum import syllabus_editing
from glan_core.curriculum.syllabus_editing import SessionEdit
from glan_core.errors import GlanError
from glan_core.generation import preview
from glan_core.generation.preview import Preview
from glan_core.homework import review
from glan_core.workspace import Workspace
from pages.components.shared import url_state
from pages.components.shared.untrusted_text import show_error


def form(ws: Workspace, shown: Preview) -> None:
    """Draw the form; saving keeps the previous text of each record in its history."""
    with st.form("preview_form", border=False):
        grid = st.grid(2, gap="medium", min_column_width=390)
        with grid.cell():
            subjects = _subjects(shown)
            text, sessions = _syllabus(shown) if shown.syllabus else ("", None)
        with grid.cell():
            pairs = _pairs(shown)
        with st.container(horizontal=True):
            save = st.form_submit_button("Save changes", type="primary", icon=":material/check:")
            leave = st.form_submit_button("Discard changes", icon=":material/close:")
    if save:
        try:
            _save(ws, shown, subjects, text, sessions, pairs)
        except GlanError as error:
            show_error(error)
            return
    if save or leave:
        st.session_state.editing_preview = None
        st.rerun()


def _subjects(shown: Preview) -> pd.DataFrame:
    st.markdown("**Subjects**")
    rows = [(subject.id, subject.name, subject.level, list(subject.subtopics)) for subject in shown.subjects]
    return st.data_editor(
        pd.DataFrame(rows, columns=["id", "name", "level", "subtopics"]), key="preview_subjects", hide_index=True, alt="Subjects", height=180,
        column_order=["name", "level", "subtopics"],
        column_config={
            "name": st.column_config.TextColumn("Subject", width=170, required=True),
            "level": st.column_config.TextColumn("Level", width=90),
            "subtopics": st.column_config.ListColumn("Subtopics", width=280),
        },
    )  # fmt: skip


def _syllabus(shown: Preview) -> tuple[str, pd.DataFrame | None]:
    text = st.text_area("Syllabus of the first subject", shown.syllabus.text, key="preview_syllabus", height=230)
    if not shown.sessions:
        return text, None
    st.markdown("**Class sessions and key concepts**, from which questions are sampled")
    rows = [(s.id, s.name, [name for _, name in s.concepts], s.description) for s in shown.sessions]
    edited = st.data_editor(
        pd.DataFrame(rows, columns=["id", "name", "concepts", "description"]), key="preview_sessions", hide_index=True,
        height=220, alt="Class sessions", num_rows="dynamic", column_order=["name", "concepts", "description"],
        column_config={
            "name": st.column_config.TextColumn("Class session", width=170, required=True),
            "concepts": st.column_config.ListColumn("Key concepts", width=250),
            "description": st.column_config.TextColumn("Description", width=200),
        },
    )  # fmt: skip
    return text, edited


def _pairs(shown: Preview) -> list[tuple[str, str, str | None]]:
    """Return question id, question text and answer text as entered."""
    found = []
    for number, pair in enumerate(shown.pairs, start=1):
        question = st.text_area(f"Question {number}", pair.question.text, key=f"preview_question_{number}", height=90)
        answer = None
        if pair.answer is not None:
            answer = st.text_area(f"Answer {number}", pair.answer, key=f"preview_answer_{number}", height=130)
        found.append((pair.question.id, question, answer))
    return found


def _save(
    ws: Workspace, shown: Preview, subjects: pd.DataFrame, text: str, sessions: pd.DataFrame | None,
    pairs: list[tuple[str, str, str | None]],
) -> None:  # fmt: skip
    who = url_state.user()
    with preview.workspace_of(ws, shown.node.id) as small:
        for id, name, level, subtopics in subjects.itertuples(index=False):
            syllabus_editing.edit_subject(small, id, who, name=_text(name), level=_text(level), subtopics=_list(subtopics))
        if shown.syllabus:
            wanted = list(_sessions(sessions)) if sessions is not None else []
            syllabus_editing.edit_syllabus(small, shown.syllabus.id, who, text=text, sessions=wanted)
        for id, question, answer in pairs:
            review.edit(small, id, who, question=question, answer=answer)


def _sessions(rows: pd.DataFrame) -> Iterator[SessionEdit]:
    for row in rows.itertuples(index=False):
        id = row.id if isinstance(row.id, str) else None  # added rows have no id
        yield SessionEdit(id, _text(row.name), _text(row.description), _list(row.concepts))


def _text(value: object) -> str:
    """Return the text of a cell; empty cells hold None or NaN."""
    return value if isinstance(value, str) else ""


def _list(value: object) -> tuple[str, ...]:
    """Return the items of a list cell, empty if it holds no list."""
    return tuple(str(item) for item in value) if isinstance(value, list | tuple) or hasattr(value, "tolist") else ()
