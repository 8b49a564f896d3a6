"""Subject queries, subjects, syllabi, class sessions and key concepts in the database."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import apsw

from glan_core.ids import derive
from glan_core.records import SessionDraft, Subject
from glan_core.reply_parsing import storable
from glan_core.workspace.call_rows import count


@dataclass(frozen=True, slots=True)
class Syllabus:
    """A stored syllabus. `sizes` is how many concepts each of its sessions holds, None until they have been read out of it;
    `questions` how many questions it has; `version` grows when its sessions or concepts become others, so that its draws are
    new ones; `edited`: whether a person changed it or anything of it."""

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
    def drawn_as(self) -> str:
        """The name that its draws and questions go by: another one once its sessions or concepts are others."""
        return f"{self.id}/{self.version}" if self.version else self.id


@dataclass(frozen=True, slots=True)
class Session:
    """A class session with its key concepts, as (concept id, name) in the order of the syllabus."""

    id: str
    syllabus_id: str
    position: int
    name: str
    description: str
    concepts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class SubjectQuery:
    """One of the queries for a discipline's subjects: the list as free text, and the subjects read out of it, if they are."""

    id: str
    discipline_id: str
    index: int
    list_text: str
    subjects: str | None
    settled: bool


def add_subject_list(db: apsw.Connection, query_id: str, discipline_id: str, index: int, text: str) -> None:
    """Store the free-text list of a query's first turn."""
    db.execute("INSERT OR IGNORE INTO subject_queries (id, discipline_id, idx, list_text) VALUES (?, ?, ?, ?)",
               (query_id, discipline_id, index, text))  # fmt: skip


def set_query_subjects(db: apsw.Connection, query_id: str, subjects_json: str) -> None:
    """Store the subjects read out of a query's second turn, until the discipline is settled."""
    db.execute("UPDATE subject_queries SET subjects = ? WHERE id = ? AND subjects IS NULL", (subjects_json, query_id))


def subject_queries(db: apsw.Connection, discipline_id: str) -> list[SubjectQuery]:
    """The queries made for a discipline, by index."""
    rows = db.execute("SELECT * FROM subject_queries WHERE discipline_id = ? ORDER BY idx", (discipline_id,))
    return [SubjectQuery(*row[:5], bool(row[5])) for row in rows]


def subject_query(db: apsw.Connection, query_id: str) -> SubjectQuery | None:
    """One query, or None."""
    row = db.execute("SELECT * FROM subject_queries WHERE id = ?", (query_id,)).fetchone()
    return row and SubjectQuery(*row[:5], bool(row[5]))


def queries_naming(db: apsw.Connection, subject_id: str) -> list[str]:
    """The ids of the queries that named a subject, by index."""
    rows = db.execute(
        "SELECT q.id FROM subject_mentions m JOIN subject_queries q ON q.id = m.query_id WHERE m.subject_id = ? ORDER BY q.idx",
        (subject_id,),
    )
    return [id for (id,) in rows]


def add_subjects(
    db: apsw.Connection, discipline_id: str, subjects: Iterable[tuple[Subject, str]], mentions: Iterable[tuple[str, str]],
    settled_queries: Iterable[str],
) -> None:  # fmt: skip
    """Store the new subjects (with the teacher that named them), which queries named which, and mark those queries settled."""
    (known,) = db.execute("SELECT count(*) FROM subjects WHERE discipline_id = ?", (discipline_id,)).fetchone()
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
    """A discipline's subjects in the order they were settled in; only the first `limit` where given."""
    rows = db.execute(
        "SELECT id, discipline_id, name, level, subtopics FROM subjects WHERE discipline_id = ? ORDER BY position LIMIT ?",
        (discipline_id, -1 if limit is None else limit),
    )
    return [Subject(id, discipline, name, level, tuple(json.loads(topics))) for id, discipline, name, level, topics in rows]


def subject(db: apsw.Connection, subject_id: str) -> Subject | None:
    """One subject, or None."""
    row = db.execute("SELECT id, discipline_id, name, level, subtopics FROM subjects WHERE id = ?", (subject_id,)).fetchone()
    return row and Subject(*row[:4], tuple(json.loads(row[4])))


def add_syllabus(db: apsw.Connection, syllabus_id: str, subject_id: str, discipline_id: str, text: str, teacher: str) -> None:
    """Store a syllabus as written."""
    db.execute("INSERT OR IGNORE INTO syllabi (id, subject_id, discipline_id, text, teacher) VALUES (?, ?, ?, ?, ?)",
               (syllabus_id, subject_id, discipline_id, text, teacher))  # fmt: skip
    if db.changes():
        count(db, discipline_id, syllabi=1)


_SYLLABUS = "id, subject_id, discipline_id, text, teacher, sizes, questions, version, edited"


def syllabus(db: apsw.Connection, syllabus_id: str) -> Syllabus | None:
    """One syllabus, or None."""
    row = db.execute(f"SELECT {_SYLLABUS} FROM syllabi WHERE id = ?", (syllabus_id,)).fetchone()
    return row and Syllabus(*row[:5], _sizes(row[5]), *row[6:8], bool(row[8]))


def _sizes(stored: str | None) -> tuple[int, ...] | None:
    return None if stored is None else tuple(json.loads(stored))


def syllabus_of(db: apsw.Connection, id: str) -> str | None:
    """The id of the syllabus that a session or a concept belongs to, or None."""
    row = db.execute(
        "SELECT syllabus_id FROM sessions WHERE id = ?1 UNION ALL SELECT syllabus_id FROM concepts WHERE id = ?1", (id,)
    ).fetchone()
    return row and row[0]


@dataclass(frozen=True, slots=True)
class SyllabusState:
    """How far a syllabus is: `sizes` and `questions` as in `Syllabus`."""

    id: str
    sizes: tuple[int, ...] | None
    questions: int


def syllabus_states(db: apsw.Connection, discipline_id: str) -> dict[str, SyllabusState]:
    """How far the syllabi of a discipline are, by the id of their subject."""
    rows = db.execute("SELECT subject_id, id, sizes, questions FROM syllabi WHERE discipline_id = ?", (discipline_id,))
    return {subject_id: SyllabusState(id, _sizes(sizes), questions) for subject_id, id, sizes, questions in rows}


def syllabus_shapes(
    db: apsw.Connection, discipline_id: str, first: int | None = None
) -> list[tuple[tuple[int, ...] | None, int, int]]:
    """How far the syllabi of a discipline are, those alike together: (sizes, questions, how many of them); only those of its
    `first` subjects where given. A plan of all disciplines reads this, so that it costs no row of Python a subject."""
    wanted = "SELECT id FROM subjects WHERE discipline_id = ?1 ORDER BY position LIMIT ?2"
    which = "discipline_id = ?1" + ("" if first is None else f" AND subject_id IN ({wanted})")
    rows = db.execute(
        f"SELECT sizes, questions, count(*) FROM syllabi WHERE {which} GROUP BY sizes, questions",
        (discipline_id,) if first is None else (discipline_id, first),
    )
    return [(_sizes(sizes), questions, number) for sizes, questions, number in rows]


def count_subjects(db: apsw.Connection, discipline_id: str) -> int:
    """How many subjects a discipline has."""
    return db.execute("SELECT count(*) FROM subjects WHERE discipline_id = ?", (discipline_id,)).fetchone()[0]


def add_sessions(db: apsw.Connection, syllabus_id: str, discipline_id: str, drafts: Iterable[SessionDraft]) -> None:
    """Store the sessions and concepts read out of a syllabus, once only."""
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
    """The class sessions of a syllabus with their key concepts, in order. `retired` ones, that an edit or a new syllabus put
    out of use, come only where asked for: questions made from them stay."""
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
    return [Session(*row, tuple(concepts.get(row[0], ()))) for row in rows]


def new_session(db: apsw.Connection, syllabus_id: str, name: str, description: str) -> str:
    """Add a session behind all others of a syllabus, without concepts; its id. `recount` must follow."""
    query = "SELECT coalesce(max(position), -1) + 1 FROM sessions WHERE syllabus_id = ?"
    (position,) = db.execute(query, (syllabus_id,)).fetchone()
    id = derive("ses", syllabus_id, position)
    db.execute("INSERT INTO sessions (id, syllabus_id, position, name, description) VALUES (?, ?, ?, ?, ?)",
               (id, syllabus_id, position, name, description))  # fmt: skip
    return id


def new_concept(db: apsw.Connection, session_id: str, syllabus_id: str, name: str) -> str:
    """Add a key concept behind all others of a session; its id. `recount` must follow."""
    query = "SELECT coalesce(max(position), -1) + 1 FROM concepts WHERE session_id = ?"
    (position,) = db.execute(query, (session_id,)).fetchone()
    id = derive("con", session_id, position)
    db.execute("INSERT INTO concepts (id, session_id, syllabus_id, position, name) VALUES (?, ?, ?, ?, ?)",
               (id, session_id, syllabus_id, position, name))  # fmt: skip
    return id


def recount(db: apsw.Connection, syllabus_id: str) -> list[int]:
    """Bring in line what is counted of a syllabus whose sessions or concepts were added or put out of use; returns how many
    concepts each of its sessions now has.

    Questions drawn from a session that is out of use stay, but no longer count towards its target; and its version grows.
    """
    old = syllabus(db, syllabus_id)
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


def times_asked(db: apsw.Connection, syllabus_id: str) -> dict[str, int]:
    """How many questions asked about each key concept of a syllabus; those never asked about are absent."""
    rows = db.execute(
        """SELECT c.id, count(*) FROM concepts c JOIN question_concepts q ON q.concept_id = c.id
           WHERE c.syllabus_id = ? GROUP BY c.id""",
        (syllabus_id,),
    )
    return dict(rows)


def concept_name(db: apsw.Connection, concept_id: str) -> str | None:
    """The name of a key concept, or None."""
    row = db.execute("SELECT name FROM concepts WHERE id = ?", (concept_id,)).fetchone()
    return row and row[0]


@dataclass(frozen=True, slots=True)
class SubjectState:
    """A subject as lists show it, with how far its syllabus is: `sizes` None before its sessions are read."""

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
    """Subjects of some disciplines (None: of all) whose name holds all the words, in the order in which they were settled;
    those with a syllabus first."""
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
    return [SubjectState(*row[:4], bool(row[4]), bool(row[5]), _sizes(row[6]), row[7]) for row in rows]


def subject_teacher(db: apsw.Connection, subject_id: str) -> str:
    """Who named a subject."""
    return db.execute("SELECT teacher FROM subjects WHERE id = ?", (subject_id,)).fetchone()[0]
