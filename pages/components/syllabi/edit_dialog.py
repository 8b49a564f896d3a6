"""Dialog to edit a subject and its syllabus."""

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
import streamlit as st

from glan_core.curriculum import syllabus_editing
from glan_core.curriculum.syllabus_editing import SessionEdit, SyllabusVersion
from glan_core.errors import GlanError
from glan_core.records import Subject
from glan_core.workspace import Workspace
from glan_core.workspace.curriculum_rows import Session, Syllabus
from pages.components.shared import url_state
from pages.components.shared.untrusted_text import show_error


@st.dialog("Edit syllabus", width="large")
def open_dialog(ws: Workspace, subject: Subject, syllabus: Syllabus, sessions: Sequence[Session]) -> None:
    """Edit all fields of a subject and its syllabus; previous texts stay in the history."""
    with st.grid(2, gap="small", min_column_width=220):
        name = st.text_input("Subject", subject.name)
        level = st.text_input("Level", subject.level)
    topics = st.text_area("Subtopics (one per line)", "\n".join(subject.subtopics), height=110)
    st.markdown("**Class sessions**")
    st.caption("One row per session. Add and remove rows; enter key concepts one by one.")
    wanted = session_table(sessions)
    text = st.text_area("Syllabus text", syllabus.text, height=260)
    if not st.button("Save", type="primary"):
        return
    edited = replace(subject, name=name, level=level, subtopics=tuple(topics.splitlines()))
    seen = SyllabusVersion(subject, syllabus, sessions)
    try:
        batch = syllabus_editing.edit_syllabus(
            ws, syllabus.id, url_state.user(), text=text, sessions=wanted, subject=edited, seen=seen
        )
    except GlanError as error:
        show_error(error)
        return
    if batch:
        st.session_state.deed = (st.session_state.workspace, batch, "Saved.")
    st.rerun()


def session_table(sessions: Sequence[Session]) -> list[SessionEdit]:
    """Draw the sessions as editable rows and return their current values."""
    frame = pd.DataFrame(
        {
            "id": [session.id for session in sessions], "name": [session.name for session in sessions],
            "description": [session.description for session in sessions],
            "concepts": [[name for _, name in session.concepts] for session in sessions],
        }
    )  # fmt: skip
    edited = st.data_editor(
        frame, num_rows="dynamic", hide_index=True, alt="Class sessions", key="edit_sessions", height=300,
        column_order=["name", "description", "concepts"],
        column_config={
            "name": st.column_config.TextColumn("Session", width=170, required=True),
            "description": st.column_config.TextColumn("Description", width=220),
            "concepts": st.column_config.ListColumn("Key concepts", width=270),
        },
    )  # fmt: skip
    return [
        SessionEdit(_text(row["id"]) or None, _text(row["name"]), _text(row["description"]), tuple(_list(row["concepts"])))
        for row in edited.to_dict("records")
    ]


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _list(value: object) -> list[str]:
    return [] if isinstance(value, float | type(None)) else [str(part) for part in value]
