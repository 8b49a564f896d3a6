"""Editing of subjects and syllabi; every change keeps the previous text and can be undone.

Questions generated from an earlier text are kept; `record_rows.count_outdated_questions` counts them.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import apsw

from glan_core import text_validation
from glan_core.curriculum.curriculum_parsing import unique
from glan_core.errors import GlanError
from glan_core.formatting import quoted
from glan_core.records import SessionDraft, Subject
from glan_core.workspace import Workspace, curriculum_rows, edit_batch
from glan_core.workspace.curriculum_rows import Session, Syllabus

MAX_TEXT = 50_000  # characters of a syllabus or a session description
MAX_PARTS = 200  # sessions per syllabus, key concepts per session, subtopics per subject


@dataclass(frozen=True, slots=True)
class SessionEdit:
    """The edited content of a class session; `id` is None for a new session."""

    id: str | None
    name: str
    description: str
    concepts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SyllabusVersion:
    """The state of a syllabus when a user started to edit it."""

    subject: Subject
    syllabus: Syllabus
    sessions: Sequence[Session]

    def is_current(self, db: apsw.Connection) -> bool:
        """Return whether the syllabus is unchanged since."""
        return (
            self.subject == curriculum_rows.subject(db, self.subject.id)
            and self.syllabus.text == curriculum_rows.require_syllabus(db, self.syllabus.id).text
            and list(self.sessions) == curriculum_rows.sessions(db, self.syllabus.id)
        )


def edit_subject(ws: Workspace, subject_id: str, who: str, *, name: str, level: str, subtopics: Sequence[str]) -> str | None:
    """Change the name, level or subtopics of a subject; its id is kept.

    Returns:
        Id of the edit batch, None if nothing changed.

    Raises:
        GlanError: If the subject does not exist, the name is empty, or a value exceeds its limit.
    """
    if curriculum_rows.subject(ws.db, subject_id) is None:
        raise GlanError(f"Subject {quoted(subject_id)} does not exist.")
    changes = _subject_changes(subject_id, name, level, subtopics)
    with ws.write() as db:
        return edit_batch.change(db, who, changes)


def _subject_changes(id: str, name: str, level: str, subtopics: Sequence[str]) -> list[tuple[str, str, str]]:
    topics = _limited([text_validation.name(topic, "subtopic") for topic in unique(subtopics)], "subject", "subtopics")
    return [
        (id, "name", text_validation.name(name, "subject")),
        (id, "level", text_validation.name(level, "level") if level.strip() else ""),
        (id, "subtopics", json.dumps(topics, ensure_ascii=False)),
    ]


def edit_syllabus(
    ws: Workspace, syllabus_id: str, who: str, *, text: str, sessions: Sequence[SessionEdit], subject: Subject | None = None,
    seen: SyllabusVersion | None = None,
) -> str | None:  # fmt: skip
    """Change the text, class sessions and key concepts of a syllabus, and optionally its subject.

    A key concept keeps its id if its name is unchanged, or if exactly one name of its session was replaced by one other. Omitted
    sessions and concepts are retired; their questions are kept.

    Args:
        ws: The workspace.
        syllabus_id: The syllabus.
        who: The editor.
        text: The complete text.
        sessions: The complete list of sessions.
        subject: The edited subject, None to keep it.
        seen: State that the user edited, None to skip the check for concurrent changes.

    Returns:
        Id of the edit batch, None if nothing changed.

    Raises:
        GlanError: If the syllabus does not exist or changed since `seen`, its text is empty, no session remains, a session has no
            name or key concept, or a value exceeds its limit. The syllabus is unchanged.
    """
    if (syllabus := curriculum_rows.syllabus(ws.db, syllabus_id)) is None:
        raise GlanError(f"Syllabus {quoted(syllabus_id)} does not exist.")
    text = text_validation.text(text, "text of the syllabus", MAX_TEXT)
    if not sessions and syllabus.sizes is not None:
        raise GlanError("A syllabus needs at least one class session.")
    wanted = [_validated(session) for session in _limited(sessions, "syllabus", "class sessions")]
    changes = _subject_changes(syllabus.subject_id, subject.name, subject.level, subject.subtopics) if subject else []
    with ws.write() as db:
        if seen is not None and not seen.is_current(db):
            raise GlanError(
                "This syllabus was changed in the meantime. Close this form, review the current version and edit it again."
            )
        edit = edit_batch.EditBatch(db, who)
        for change in changes:
            edit.change(*change)
        if text != syllabus.text.strip():
            edit.change(syllabus_id, "text", text)
        if syllabus.sizes is not None:
            _apply_sessions(edit, syllabus_id, wanted)
        return edit.finish()


def replace_sessions(db: apsw.Connection, syllabus_id: str, teacher: str, text: str, drafts: Sequence[SessionDraft]) -> None:
    """Replace the text and class sessions of a syllabus by a regenerated version, as one batch."""
    edit = edit_batch.EditBatch(db, teacher)
    edit.change(syllabus_id, "text", text)
    edit.change(syllabus_id, "teacher", teacher)
    _apply_sessions(edit, syllabus_id, [SessionEdit(None, draft.name, draft.description, draft.concepts) for draft in drafts])
    edit.finish()


def _validated(session: SessionEdit) -> SessionEdit:
    name = text_validation.name(session.name, "class session")
    concepts = unique(text_validation.name(concept, "key concept") for concept in session.concepts if concept.strip())
    if not concepts:
        raise GlanError(f"The class session {quoted(name)} has no key concept. Add one or remove the session.")
    description = text_validation.text(session.description, "description of a class session", MAX_TEXT, empty=True)
    return SessionEdit(session.id, name, description, tuple(_limited(concepts, "class session", "key concepts")))


def _limited(parts: Sequence, whole: str, what: str) -> Sequence:
    if len(parts) > MAX_PARTS:
        raise GlanError(f"A {whole} has at most {MAX_PARTS} {what}; this one has {len(parts):,}.")
    return parts


def _apply_sessions(edit: edit_batch.EditBatch, syllabus_id: str, wanted: Sequence[SessionEdit]) -> None:
    known = {session.id: session for session in curriculum_rows.sessions(edit.db, syllabus_id)}
    for session in wanted:
        if session.id in known:
            old = known.pop(session.id)
            edit.change(old.id, "name", session.name)
            edit.change(old.id, "description", session.description)
            _apply_concepts(edit, old, session.concepts)
        else:
            id = curriculum_rows.append_session(edit.db, syllabus_id, session.name, session.description)
            edit.added(id)
            for name in session.concepts:
                edit.added(curriculum_rows.append_concept(edit.db, id, syllabus_id, name))
    for old in known.values():
        for id, _ in old.concepts:
            edit.change(id, "retired", 1)
        edit.change(old.id, "retired", 1)


def _apply_concepts(edit: edit_batch.EditBatch, session: Session, wanted: Sequence[str]) -> None:
    names = set(wanted)
    removed = [id for id, name in session.concepts if name not in names]
    new = [name for name in wanted if name not in {known for _, known in session.concepts}]
    if len(removed) == len(new) == 1:  # renamed
        edit.change(removed[0], "name", new[0])
        return
    for id in removed:
        edit.change(id, "retired", 1)
    for name in new:
        edit.added(curriculum_rows.append_concept(edit.db, session.id, session.syllabus_id, name))
