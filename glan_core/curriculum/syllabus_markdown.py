"""Syllabus export as a Markdown document."""

from collections.abc import Sequence

from glan_core.curriculum.curriculum_parsing import before_sessions
from glan_core.records import Subject
from glan_core.workspace.curriculum_rows import Session, Syllabus


def markdown(subject: Subject, syllabus: Syllabus, sessions: Sequence[Session], discipline: str) -> str:
    """Render a syllabus: title, level, text before the sessions, then the sessions with their key concepts.

    Without extracted sessions, the text of the syllabus is used unchanged.
    """
    head = [f"# {subject.name}", f"{discipline}{f' · {subject.level}' if subject.level else ''}"]
    if not sessions:
        return "\n\n".join([*head, syllabus.text.strip()]) + "\n"
    parts = [*head, before_sessions(syllabus.text), "## Class sessions"]
    for number, session in enumerate(sessions, start=1):
        parts.append(f"### {number}. {session.name}")
        if session.description:
            parts.append(session.description)
        parts.append("\n".join(f"- {name}" for _, name in session.concepts))
    return "\n\n".join(part for part in parts if part) + "\n"
