"""Rows of a curriculum without a run: subjects, syllabi, class sessions, questions and answers."""

from collections.abc import Sequence

from glan_core import ids
from glan_core.records import SessionDraft, Subject
from glan_core.workspace import Workspace, curriculum_rows, homework_rows
from glan_core.workspace.homework_rows import Question


def add_subjects(ws: Workspace, discipline: str, number: int) -> list[Subject]:
    """Add subjects to a discipline and return them."""
    first = curriculum_rows.count_subjects(ws.db, discipline)
    made = [
        Subject(ids.derive("sub", discipline, n), discipline, f"Subject {n}", "basic", ("one",))
        for n in range(first, first + number)
    ]
    with ws.write() as db:
        curriculum_rows.add_subjects(db, discipline, [(subject, "openai:test") for subject in made], [], [])
    return made


def add_syllabus(ws: Workspace, subject: Subject, sizes: Sequence[int] | None) -> str:
    """Add a syllabus with this number of key concepts per session (None: without sessions) and return its ID."""
    id = ids.syllabus_id(subject.id)
    with ws.write() as db:
        curriculum_rows.add_syllabus(db, id, subject.id, subject.discipline_id, f"Syllabus of {subject.name}.", "openai:test")
        if sizes is not None:
            drafts = [
                SessionDraft(f"Session {s}", "", tuple(f"{id} {s}.{c}" for c in range(size))) for s, size in enumerate(sizes)
            ]
            curriculum_rows.add_sessions(db, id, subject.discipline_id, drafts)
    return id


def add_questions(ws: Workspace, syllabus_id: str, *pairs: tuple[str, str | None]) -> list[str]:
    """Add (question, answer) pairs to a syllabus, each about one further key concept; return the question IDs."""
    syllabus = curriculum_rows.require_syllabus(ws.db, syllabus_id)
    concepts = [(s.id, id) for s in curriculum_rows.sessions(ws.db, syllabus_id) for id, _ in s.concepts]
    made = []
    with ws.write() as db:
        for nth, (text, answer) in enumerate(pairs, start=syllabus.questions):
            session, concept = concepts[nth % len(concepts)]
            id = ids.derive("qst", syllabus_id, nth)
            row = (0, id, syllabus_id, syllabus.discipline_id, "single", "uniform", 0, nth, (session,), (concept,), text)
            homework_rows.add_question(db, Question(*row, "openai:test"))
            if answer is not None:
                homework_rows.add_answer(db, id, syllabus.discipline_id, answer, "openai:test")
            made.append(id)
    return made


def add_pairs(ws: Workspace, discipline: str, *pairs: tuple[str, str | None]) -> list[str]:
    """Add pairs to the syllabus of a new subject of a discipline, one key concept per pair; return the question IDs."""
    (subject,) = add_subjects(ws, discipline, 1)
    return add_questions(ws, add_syllabus(ws, subject, [len(pairs)]), *pairs)
