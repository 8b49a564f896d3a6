"""Subject queries, subjects, syllabi, class sessions and key concepts."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import apsw

from glan_core.errors import GlanError
from glan_core.ids import derive
from glan_core.records import SessionDraft, Subject
from glan_core.reply_parsing import storable
from glan_core.workspace.call_rows import count
from glan_core.workspace.sql import fetch_value, from_row, json_tuple


@dataclass(frozen=True, slots=True)
class Syllabus:
    """A stored syllabus.

    Attributes:
        text: The syllabus as free text.
        sizes: Number of key concepts in each class session, None until the sessions are extracted.
        questions: Number of questions.
        version: Incremented when sessions or key concepts change, so that new combinations are sampled.
        edited: Whether a user changed the syllabus or a part of it.
    """

    id: str
    subject_id: str
    discipline_id: str
    text: str
    teacher: str
    sizes: tuple[int, ...] | None
    questions: int
    version: int
    edited: bool

    @property
    def sampling_key(self) -> str:
        """Identifier that seeds sampling and derives question ids; it changes with `version`."""
        return f"{self.id}/{self.version}" if self.version else self.id


@dataclass(frozen=True, slots=True)
class Session:
    """A class session with its key concepts as (concept id, name) in syllabus order."""

    id: str
    syllabus_id: str
    position: int
    name: str
    description: str
    concepts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class SubjectQuery:
    """One query for the subjects of a discipline.

    Attributes:
        index: Index of the query within its discipline.
        list_text: Subject list as free text (first turn).
        subjects: Subjects as JSON (second turn), None until extracted.
        settled: Whether the subjects are merged into the discipline.
    """

    id: str
    discipline_id: str
    index: int
    list_text: str
    subjects: str | None
    settled: bool


def add_subject_list(db: apsw.Connection, query_id: str, discipline_id: str, index: int, text: str) -> None:
    """Store the free-text subject list from the first turn of a query."""
    db.execute("INSERT OR IGNORE INTO subject_queries (id, discipline_id, idx, list_text) VALUES (?, ?, ?, ?)",
               (query_id, discipline_id, index, text))  # fmt: skip


def set_query_subjects(db: apsw.Connection, query_id: str, subjects_json: str) -> None:
    """Store the subjects extracted in the second turn of a query."""
    db.execute("UPDATE subject_queries SET subjects = ? WHERE id = ? AND subjects IS NULL", (subjects_json, query_id))


def subject_queries(db: apsw.Connection, discipline_id: str) -> list[SubjectQuery]:
    """Return the subject queries of a discipline, by index."""
    rows = db.execute("SELECT * FROM subject_queries WHERE discipline_id = ? ORDER BY idx", (discipline_id,))
    return [from_row(SubjectQuery, row, settled=bool) for row in rows]


def subject_query(db: apsw.Connection, query_id: str) -> SubjectQuery | None:
    """Return one subject query, or None."""
    row = db.execute("SELECT * FROM subject_queries WHERE id = ?", (query_id,)).fetchone()
    return from_row(SubjectQuery, row, settled=bool) if row else None


def queries_mentioning(db: apsw.Connection, subject_id: str) -> list[str]:
    """Return the ids of the queries that mention a subject, by index."""
    rows = db.execute(
        "SELECT q.id FROM subject_mentions m JOIN subject_queries q ON q.id = m.query_id WHERE m.subject_id = ? ORDER BY q.idx",
        (subject_id,),
    )
    return [id for (id,) in rows]


def add_subjects(
    db: apsw.Connection, discipline_id: str, subjects: Iterable[tuple[Subject, str]], mentions: Iterable[tuple[str, str]],
    settled_queries: Iterable[str],
) -> None:  # fmt: skip
    """Store new subjects and mark their queries as settled.

    Args:
        db: The workspace database.
        discipline_id: The discipline.
        subjects: Each new subject with the teacher that listed it.
        mentions: (subject id, query id) for each subject that a query lists.
        settled_queries: Ids of the queries whose subjects are now merged.
    """
    known = count_subjects(db, discipline_id)
    rows = [
        (s.id, discipline_id, known + n, s.name, s.level, json.dumps(s.subtopics, ensure_ascii=False), teacher)
        for n, (s, teacher) in enumerate(subjects)
    ]
    db.executemany(
        "INSERT INTO subjects (id, discipline_id, position, name, level, subtopics, teacher) VALUES (?, ?, ?, ?, ?, ?, ?)", rows
    )
    db.executemany("INSERT OR IGNORE INTO subject_mentions VALUES (?, ?)", list(mentions))
    db.executemany("UPDATE subject_queries SET settled = 1 WHERE id = ?", [(q,) for q in settled_queries])
    count(db, discipline_id, subjects=len(rows))


def subjects(db: apsw.Connection, discipline_id: str, limit: int | None = None) -> list[Subject]:
    """Return the subjects of a discipline in stored order, at most `limit`."""
    rows = db.execute(
        "SELECT id, discipline_id, name, level, subtopics FROM subjects WHERE discipline_id = ? ORDER BY position LIMIT ?",
        (discipline_id, -1 if limit is None else limit),
    )
    return [from_row(Subject, row, subtopics=json_tuple) for row in rows]


def subject(db: apsw.Connection, subject_id: str) -> Subject | None:
    """Return one subject, or None."""
    row = db.execute("SELECT id, discipline_id, name, level, subtopics FROM subjects WHERE id = ?", (subject_id,)).fetchone()
    return from_row(Subject, row, subtopics=json_tuple) if row else None


def require_subject(db: apsw.Connection, subject_id: str) -> Subject:
    """Return one subject.

    Raises:
        GlanError: If it does not exist.
    """
    if (found := subject(db, subject_id)) is None:
        raise GlanError(f"Subject {subject_id} does not exist.")
    return found


def add_syllabus(db: apsw.Connection, syllabus_id: str, subject_id: str, discipline_id: str, text: str, teacher: str) -> None:
    """Store a generated syllabus."""
    db.execute("INSERT OR IGNORE INTO syllabi (id, subject_id, discipline_id, text, teacher) VALUES (?, ?, ?, ?, ?)",
               (syllabus_id, subject_id, discipline_id, text, teacher))  # fmt: skip
    if db.changes():
        count(db, discipline_id, syllabi=1)


_SYLLABUS = "id, subject_id, discipline_id, text, teacher, sizes, questions, version, edited"


def syllabus(db: apsw.Connection, syllabus_id: str) -> Syllabus | None:
    """Return one syllabus, or None."""
    row = db.execute(f"SELECT {_SYLLABUS} FROM syllabi WHERE id = ?", (syllabus_id,)).fetchone()
    return from_row(Syllabus, row, sizes=_sizes, edited=bool) if row else None


def require_syllabus(db: apsw.Connection, syllabus_id: str) -> Syllabus:
    """Return one syllabus.

    Raises:
        GlanError: If it does not exist.
    """
    if (found := syllabus(db, syllabus_id)) is None:
        raise GlanError(f"Syllabus {syllabus_id} does not exist.")
    return found


def _sizes(stored: str | None) -> tuple[int, ...] | None:
    return None if stored is None else tuple(json.loads(stored))


def syllabus_of(db: apsw.Connection, id: str) -> str | None:
    """Return the id of the syllabus that contains a class session or key concept, or None."""
    row = db.execute(
        "SELECT syllabus_id FROM sessions WHERE id = ?1 UNION ALL SELECT syllabus_id FROM concepts WHERE id = ?1", (id,)
    ).fetchone()
    return row[0] if row else None


@dataclass(frozen=True, slots=True)
class SyllabusState:
    """Progress of a syllabus; `sizes` and `questions` as in `Syllabus`."""

    id: str
    sizes: tuple[int, ...] | None
    questions: int


def syllabus_states(db: apsw.Connection, discipline_id: str) -> dict[str, SyllabusState]:
    """Return the progress of a discipline's syllabi by subject id."""
    rows = db.execute("SELECT subject_id, id, sizes, questions FROM syllabi WHERE discipline_id = ?", (discipline_id,))
    return {subject_id: SyllabusState(id, _sizes(sizes), questions) for subject_id, id, sizes, questions in rows}


def syllabus_shapes(
    db: apsw.Connection, discipline_id: str, first: int | None = None
) -> list[tuple[tuple[int, ...] | None, int, int]]:
    """Count the syllabi of a discipline by progress; used for planning because it creates no object per syllabus.

    Args:
        db: The workspace database.
        discipline_id: The discipline.
        first: Only syllabi of the first so many subjects.

    Returns:
        (sizes, questions, number of syllabi) for each combination; see `Syllabus`.
    """
    wanted = "SELECT id FROM subjects WHERE discipline_id = ?1 ORDER BY position LIMIT ?2"
    which = "discipline_id = ?1" + ("" if first is None else f" AND subject_id IN ({wanted})")
    rows = db.execute(
        f"SELECT sizes, questions, count(*) FROM syllabi WHERE {which} GROUP BY sizes, questions",
        (discipline_id,) if first is None else (discipline_id, first),
    )
    return [(_sizes(sizes), questions, number) for sizes, questions, number in rows]


def questions_by_syllabus(db: apsw.Connection, disciplines: Sequence[str] | None = None) -> dict[str, int]:
    """Return the number of questions of each syllabus, from its counter.

    Args:
        db: The workspace database.
        disciplines: Only syllabi of these disciplines; None for all.
    """
    which = "" if disciplines is None else "WHERE discipline_id IN (SELECT value FROM json_each(?))"
    values = () if disciplines is None else (json.dumps(disciplines),)
    return dict(db.execute(f"SELECT id, questions FROM syllabi {which}", values))


def count_subjects(db: apsw.Connection, discipline_id: str) -> int:
    """Return the number of subjects of a discipline."""
    return fetch_value(db, "SELECT count(*) FROM subjects WHERE discipline_id = ?", (discipline_id,))


def add_sessions(db: apsw.Connection, syllabus_id: str, discipline_id: str, drafts: Iterable[SessionDraft]) -> None:
    """Store the class sessions and key concepts of a syllabus unless it already has them."""
    drafts = list(drafts)
    sizes = json.dumps([len(draft.concepts) for draft in drafts])
    db.execute("UPDATE syllabi SET sizes = ? WHERE id = ? AND sizes IS NULL", (sizes, syllabus_id))
    if not db.changes():
        return
    session_rows, concept_rows = [], []
    for position, draft in enumerate(drafts):
        session_id = derive("ses", syllabus_id, position)
        session_rows.append((session_id, syllabus_id, position, draft.name, draft.description))
        concept_rows += [
            (derive("con", session_id, n), session_id, syllabus_id, n, name) for n, name in enumerate(draft.concepts)
        ]
    db.executemany("INSERT INTO sessions (id, syllabus_id, position, name, description) VALUES (?, ?, ?, ?, ?)", session_rows)
    db.executemany("INSERT INTO concepts (id, session_id, syllabus_id, position, name) VALUES (?, ?, ?, ?, ?)", concept_rows)
    count(db, discipline_id, sessions=len(session_rows), concepts=len(concept_rows))


def sessions(db: apsw.Connection, syllabus_id: str, *, retired: bool = False) -> list[Session]:
    """Return the class sessions of a syllabus with their key concepts, in order.

    Args:
        db: The workspace database.
        syllabus_id: The syllabus.
        retired: Whether to include sessions and concepts that an edit or a regenerated syllabus replaced.
    """
    concepts: dict[str, list[tuple[str, str]]] = {}
    rows = db.execute(
        "SELECT session_id, id, name FROM concepts WHERE syllabus_id = ? AND retired <= ? ORDER BY session_id, position",
        (syllabus_id, retired),
    )
    for session_id, id, name in rows:
        concepts.setdefault(session_id, []).append((id, name))
    rows = db.execute(
        """SELECT id, syllabus_id, position, name, description FROM sessions WHERE syllabus_id = ? AND retired <= ?
           ORDER BY position""",
        (syllabus_id, retired),
    )
    return [from_row(Session, (*row, tuple(concepts.get(row[0], ())))) for row in rows]


def append_session(db: apsw.Connection, syllabus_id: str, name: str, description: str) -> str:
    """Append an empty class session to a syllabus; return its id. The caller must call `update_counts`."""
    query = "SELECT coalesce(max(position), -1) + 1 FROM sessions WHERE syllabus_id = ?"
    position = fetch_value(db, query, (syllabus_id,))
    id = derive("ses", syllabus_id, position)
    db.execute("INSERT INTO sessions (id, syllabus_id, position, name, description) VALUES (?, ?, ?, ?, ?)",
               (id, syllabus_id, position, name, description))  # fmt: skip
    return id


def append_concept(db: apsw.Connection, session_id: str, syllabus_id: str, name: str) -> str:
    """Append a key concept to a class session; return its id. The caller must call `update_counts`."""
    query = "SELECT coalesce(max(position), -1) + 1 FROM concepts WHERE session_id = ?"
    position = fetch_value(db, query, (session_id,))
    id = derive("con", session_id, position)
    db.execute("INSERT INTO concepts (id, session_id, syllabus_id, position, name) VALUES (?, ?, ?, ?, ?)",
               (id, session_id, syllabus_id, position, name))  # fmt: skip
    return id


def update_counts(db: apsw.Connection, syllabus_id: str) -> list[int]:
    """Update the counts of a syllabus after sessions or concepts were added or retired, and increment its version.

    Questions from retired sessions remain stored but no longer count towards the syllabus's target.

    Returns:
        Number of key concepts in each class session.
    """
    old = require_syllabus(db, syllabus_id)
    live = sessions(db, syllabus_id)
    sizes = [len(session.concepts) for session in live]
    ids = {session.id for session in live}
    drawn = db.execute("SELECT sessions FROM questions WHERE syllabus_id = ?", (syllabus_id,))
    questions = sum(ids.issuperset(json.loads(row)) for (row,) in drawn)
    db.execute(
        "UPDATE syllabi SET sizes = ?, questions = ?, version = version + 1 WHERE id = ?",
        (json.dumps(sizes), questions, syllabus_id),
    )
    before = old.sizes or ()
    count(db, old.discipline_id, sessions=len(sizes) - len(before), concepts=sum(sizes) - sum(before))
    db.execute(
        """INSERT OR REPLACE INTO counters SELECT ?1, 'concepts_asked', count(*) FROM syllabi y JOIN concepts c
           ON c.syllabus_id = y.id JOIN sessions s ON s.id = c.session_id WHERE y.discipline_id = ?1 AND c.retired = 0
           AND s.retired = 0 AND EXISTS (SELECT 1 FROM question_concepts WHERE concept_id = c.id)""",
        (old.discipline_id,),
    )
    return sizes


def concept_question_counts(db: apsw.Connection, syllabus_id: str) -> dict[str, int]:
    """Return the number of questions per key concept of a syllabus; concepts without questions are absent."""
    rows = db.execute(
        """SELECT c.id, count(*) FROM concepts c JOIN question_concepts q ON q.concept_id = c.id
           WHERE c.syllabus_id = ? GROUP BY c.id""",
        (syllabus_id,),
    )
    return dict(rows)


def concept_name(db: apsw.Connection, concept_id: str) -> str | None:
    """Return the name of a key concept, or None."""
    row = db.execute("SELECT name FROM concepts WHERE id = ?", (concept_id,)).fetchone()
    return row[0] if row else None


@dataclass(frozen=True, slots=True)
class SubjectState:
    """A subject with the progress of its syllabus; `sizes` is None until sessions are extracted."""

    id: str
    discipline_id: str
    name: str
    level: str
    edited: bool
    has_syllabus: bool
    sizes: tuple[int, ...] | None
    questions: int


def subject_states(
    db: apsw.Connection, disciplines: Sequence[str] | None, words: str = "", limit: int = 1000
) -> list[SubjectState]:
    """Return subjects, those with a syllabus first.

    Args:
        db: The workspace database.
        disciplines: Only subjects of these disciplines; None for all.
        words: Only subjects whose name contains all of these words.
        limit: Maximum number of subjects.
    """
    conditions, values = ["TRUE"], []
    if disciplines is not None:
        conditions.append("s.discipline_id IN (SELECT value FROM json_each(?))")
        values.append(json.dumps(list(disciplines)))
    if words.split():
        conditions.append("NOT EXISTS (SELECT 1 FROM json_each(?) WHERE NOT instr(lower(s.name), value))")
        values.append(json.dumps(storable(words).lower().split()))
    rows = db.execute(
        f"""SELECT s.id, s.discipline_id, s.name, s.level, s.edited OR coalesce(y.edited, 0), y.id IS NOT NULL, y.sizes,
            coalesce(y.questions, 0) FROM subjects s LEFT JOIN syllabi y ON y.subject_id = s.id
            WHERE {" AND ".join(conditions)} ORDER BY y.id IS NULL, s.discipline_id, s.position LIMIT ?""",
        (*values, limit),
    )
    return [from_row(SubjectState, row, edited=bool, has_syllabus=bool, sizes=_sizes) for row in rows]
