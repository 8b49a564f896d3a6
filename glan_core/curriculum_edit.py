"""Editing subjects and syllabi: every change keeps the older text, and can be undone.

What was made from an older text stays as it is; `made_before` says how much of it there is.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import apsw

from glan_core import record_edit
from glan_core.curriculum import MAX_NAME, SessionDraft, unique
from glan_core.errors import GlanError
from glan_core.taxonomy import quoted
from glan_core.workspace import Workspace, curriculum_rows, homework_rows, record_rows
from glan_core.workspace.curriculum_rows import Session


@dataclass(frozen=True, slots=True)
class SessionEdit:
    """A class session as a person wants it; `id` None: a new one."""

    id: str | None
    name: str
    description: str
    concepts: tuple[str, ...]


def edit_subject(
    ws: Workspace, subject_id: str, who: str, *, name: str, level: str, subtopics: Sequence[str], batch: str | None = None
) -> str | None:
    """Give a subject another name, level or subtopics; its id stays. `batch` makes it a part of another deed. Returns the
    deed's batch, None where nothing differs.

    GlanError when there is no such subject or the name is empty or too long.
    """
    if curriculum_rows.subject(ws.db, subject_id) is None:
        raise GlanError(f"There is no subject {quoted(subject_id)}.")
    values = {
        "name": _name(name, "subject"), "level": level.strip(),
        "subtopics": json.dumps(unique(subtopics), ensure_ascii=False),
    }  # fmt: skip
    with ws.write() as db:
        return record_edit.change(db, who, [(subject_id, field, value) for field, value in values.items()], batch)


def edit_syllabus(
    ws: Workspace, syllabus_id: str, who: str, *, text: str, sessions: Sequence[SessionEdit], batch: str | None = None
) -> str | None:
    """Bring a syllabus to what a person wants: its text, and its sessions with their key concepts.

    A concept is the same one where its name is, or where one name of a session gave way to one other; new ones are added,
    those left out are put out of use. Questions drawn from them stay. `batch` makes it a part of another deed. Returns the
    deed's batch, None where nothing differs; GlanError when there is no such syllabus, its text is empty, no session is
    left, or one has no name or no concept.
    """
    if (syllabus := curriculum_rows.syllabus(ws.db, syllabus_id)) is None:
        raise GlanError(f"There is no syllabus {quoted(syllabus_id)}.")
    if not text.strip():
        raise GlanError("The text of the syllabus is empty.")
    if not sessions and syllabus.sizes is not None:
        raise GlanError("A syllabus needs at least one class session.")
    wanted = [_checked(session) for session in sessions]
    with ws.write() as db:
        deed = record_edit.Deed(db, who, batch)
        if text.strip() != syllabus.text.strip():
            deed.change(syllabus_id, "text", text.strip())
        if syllabus.sizes is not None:
            _bring(deed, syllabus_id, wanted)
        return deed.done()


def replace_sessions(db: apsw.Connection, syllabus_id: str, teacher: str, text: str, drafts: Sequence[SessionDraft]) -> None:
    """Put a newly written syllabus in the place of another: all earlier sessions are out of use, in one deed."""
    deed = record_edit.Deed(db, teacher)
    deed.change(syllabus_id, "text", text)
    deed.change(syllabus_id, "teacher", teacher)
    _bring(deed, syllabus_id, [SessionEdit(None, draft.name, draft.description, draft.concepts) for draft in drafts])
    deed.done()


def made_before(ws: Workspace, syllabus_id: str) -> int:
    """How many questions were made from an older text of a syllabus, its sessions, concepts or subject."""
    newest = record_rows.syllabus_edited_up_to(ws.db, syllabus_id)
    return homework_rows.count_of_syllabus(ws.db, syllabus_id, newest) if newest else 0


def _checked(session: SessionEdit) -> SessionEdit:
    name, concepts = _name(session.name, "class session"), unique(session.concepts)
    if not concepts:
        raise GlanError(f"The class session {quoted(name)} has no key concept: give it one, or leave the session out.")
    for concept in concepts:
        _name(concept, "key concept")
    return SessionEdit(session.id, name, session.description.strip(), concepts)


def _name(text: str, what: str) -> str:
    text = " ".join(text.split())
    if not text:
        raise GlanError(f"The name of a {what} is empty.")
    if len(text) > MAX_NAME:
        raise GlanError(f"The name {quoted(text)} is longer than {MAX_NAME} characters.")
    return text


def _bring(deed: record_edit.Deed, syllabus_id: str, wanted: Sequence[SessionEdit]) -> None:
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


def _bring_concepts(deed: record_edit.Deed, session: Session, wanted: Sequence[str]) -> None:
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
