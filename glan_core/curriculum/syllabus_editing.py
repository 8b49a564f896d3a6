"""Editing subjects and syllabi: every change keeps the older text, and can be undone.

What was made from an older text stays as it is; `record_rows.made_from_older` says how much of it there is.
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

MAX_TEXT = 50_000  # characters of a syllabus or of a session's description
MOST_PARTS = 200  # sessions of a syllabus, key concepts of a session, subtopics of a subject


@dataclass(frozen=True, slots=True)
class SessionEdit:
    """A class session as a person wants it; `id` None: a new one."""

    id: str | None
    name: str
    description: str
    concepts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Seen:
    """What a person had before them when they began to edit a syllabus."""

    subject: Subject
    syllabus: Syllabus
    sessions: Sequence[Session]

    def is_still_so(self, db: apsw.Connection) -> bool:
        """Whether nobody has changed it since."""
        return (
            self.subject == curriculum_rows.subject(db, self.subject.id)
            and self.syllabus.text == curriculum_rows.syllabus(db, self.syllabus.id).text
            and list(self.sessions) == curriculum_rows.sessions(db, self.syllabus.id)
        )


def edit_subject(ws: Workspace, subject_id: str, who: str, *, name: str, level: str, subtopics: Sequence[str]) -> str | None:
    """Give a subject another name, level or subtopics; its id stays. Returns the deed's batch, None where nothing differs.

    GlanError when there is no such subject, the name is empty, or anything is too long or too much.
    """
    if curriculum_rows.subject(ws.db, subject_id) is None:
        raise GlanError(f"There is no subject {quoted(subject_id)}.")
    changes = _of_subject(subject_id, name, level, subtopics)
    with ws.write() as db:
        return edit_batch.change(db, who, changes)


def _of_subject(id: str, name: str, level: str, subtopics: Sequence[str]) -> list[tuple[str, str, str]]:
    topics = _parts([text_validation.name(topic, "subtopic") for topic in unique(subtopics)], "subject", "subtopics")
    return [
        (id, "name", text_validation.name(name, "subject")),
        (id, "level", text_validation.name(level, "level") if level.strip() else ""),
        (id, "subtopics", json.dumps(topics, ensure_ascii=False)),
    ]


def edit_syllabus(
    ws: Workspace, syllabus_id: str, who: str, *, text: str, sessions: Sequence[SessionEdit], subject: Subject | None = None,
    seen: Seen | None = None,
) -> str | None:  # fmt: skip
    """Bring a syllabus to what a person wants: its text, its sessions with their key concepts, and its subject where given.

    A concept is the same one where its name is, or where one name of a session gave way to one other; new ones are added,
    those left out are put out of use. Questions drawn from them stay. Returns the deed's batch, None where nothing differs.
    GlanError, with nothing changed, when there is no such syllabus, its text is empty, no session is left, one has no name or
    no concept, anything is too long or too much, or it is no longer what the person has `seen`.
    """
    if (syllabus := curriculum_rows.syllabus(ws.db, syllabus_id)) is None:
        raise GlanError(f"There is no syllabus {quoted(syllabus_id)}.")
    text = text_validation.text(text, "text of the syllabus", MAX_TEXT)
    if not sessions and syllabus.sizes is not None:
        raise GlanError("A syllabus needs at least one class session.")
    wanted = [_checked(session) for session in _parts(sessions, "syllabus", "class sessions")]
    changes = _of_subject(syllabus.subject_id, subject.name, subject.level, subject.subtopics) if subject else []
    with ws.write() as db:
        if seen is not None and not seen.is_still_so(db):
            raise GlanError("This syllabus has been changed meanwhile: close this, look at it as it now is, and edit it again.")
        deed = edit_batch.EditBatch(db, who)
        for change in changes:
            deed.change(*change)
        if text != syllabus.text.strip():
            deed.change(syllabus_id, "text", text)
        if syllabus.sizes is not None:
            _bring(deed, syllabus_id, wanted)
        return deed.done()


def replace_sessions(db: apsw.Connection, syllabus_id: str, teacher: str, text: str, drafts: Sequence[SessionDraft]) -> None:
    """Put a newly written syllabus in the place of another: all earlier sessions are out of use, in one deed."""
    deed = edit_batch.EditBatch(db, teacher)
    deed.change(syllabus_id, "text", text)
    deed.change(syllabus_id, "teacher", teacher)
    _bring(deed, syllabus_id, [SessionEdit(None, draft.name, draft.description, draft.concepts) for draft in drafts])
    deed.done()


def _checked(session: SessionEdit) -> SessionEdit:
    name = text_validation.name(session.name, "class session")
    concepts = unique(text_validation.name(concept, "key concept") for concept in session.concepts if concept.strip())
    if not concepts:
        raise GlanError(f"The class session {quoted(name)} has no key concept: give it one, or leave the session out.")
    description = text_validation.text(session.description, "description of a class session", MAX_TEXT, empty=True)
    return SessionEdit(session.id, name, description, tuple(_parts(concepts, "class session", "key concepts")))


def _parts(parts: Sequence, whole: str, what: str) -> Sequence:
    if len(parts) > MOST_PARTS:
        raise GlanError(f"A {whole} has at most {MOST_PARTS} {what}; these are {len(parts):,}.")
    return parts


def _bring(deed: edit_batch.EditBatch, syllabus_id: str, wanted: Sequence[SessionEdit]) -> None:
    known = {session.id: session for session in curriculum_rows.sessions(deed.db, syllabus_id)}
    for session in wanted:
        if session.id in known:
            old = known.pop(session.id)
            deed.change(old.id, "name", session.name)
            deed.change(old.id, "description", session.description)
            _bring_concepts(deed, old, session.concepts)
        else:
            id = curriculum_rows.new_session(deed.db, syllabus_id, session.name, session.description)
            deed.added(id)
            for name in session.concepts:
                deed.added(curriculum_rows.new_concept(deed.db, id, syllabus_id, name))
    for old in known.values():
        for id, _ in old.concepts:
            deed.change(id, "retired", 1)
        deed.change(old.id, "retired", 1)


def _bring_concepts(deed: edit_batch.EditBatch, session: Session, wanted: Sequence[str]) -> None:
    names = set(wanted)
    gone = [id for id, name in session.concepts if name not in names]
    new = [name for name in wanted if name not in {known for _, known in session.concepts}]
    if len(gone) == len(new) == 1:  # renamed
        deed.change(gone[0], "name", new[0])
        return
    for id in gone:
        deed.change(id, "retired", 1)
    for name in new:
        deed.added(curriculum_rows.new_concept(deed.db, session.id, session.syllabus_id, name))
