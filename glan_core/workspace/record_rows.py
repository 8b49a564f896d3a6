"""Changes that people make to generated records: each field's new value with the older one kept, so that any can be undone."""

import time
from dataclasses import dataclass

import apsw

from glan_core.ids import answer_id
from glan_core.workspace.call_rows import count
from glan_core.workspace.curriculum_rows import syllabus_of
from glan_core.workspace.homework_rows import index_again

# What can be changed, by the kind that an id begins with (`ids.derive`): the table and the fields.
FIELDS = {
    "sub": ("subjects", ("name", "level", "subtopics")),
    "syl": ("syllabi", ("text", "teacher")),
    "ses": ("sessions", ("name", "description", "retired")),
    "con": ("concepts", ("name", "retired")),
    "qst": ("questions", ("text", "review", "reason", "starred")),
    "ans": ("answers", ("text", "teacher")),
}
REVIEW_FIELDS = ("review", "reason", "starred")  # what a person thinks of a pair, as opposed to what it says
REVIEWS = {"keep": "kept", "reject": "rejected"}  # a verdict and the counter of those that have it


@dataclass(frozen=True, slots=True)
class RecordEvent:
    """One change of one field: by whom, when; the newest question of the workspace at that time. Changes of one deed share
    a `batch`."""

    seq: int
    batch: str
    record_id: str
    field: str
    before: str | int | None
    after: str | int | None
    who: str
    at: float
    last_question: int


def change(db: apsw.Connection, batch: str, record_id: str, field: str, value: str | int | None, who: str) -> bool:
    """Give a field another value and keep the older one; whether there was anything to change. KeyError: no such field."""
    table, fields = FIELDS[record_id[:3]]
    if field not in fields:
        raise KeyError(field)
    row = db.execute(f"SELECT {field} FROM {table} WHERE id = ?", (record_id,)).fetchone()
    if row is None or row[0] == value:
        return False
    db.execute(f"UPDATE {table} SET {field} = ? WHERE id = ?", (value, record_id))
    add_event(db, batch, record_id, field, row[0], value, who)
    _follow(db, record_id, field, row[0], value)
    return True


def add_event(db: apsw.Connection, batch: str, record_id: str, field: str, before: object, after: object, who: str) -> None:
    """Keep a change of a field that has been made."""
    db.execute(
        """INSERT INTO record_events (batch, record_id, field, before, after, who, at, last_question)
           VALUES (?, ?, ?, ?, ?, ?, ?, (SELECT coalesce(max(seq), 0) FROM questions))""",
        (batch, record_id, field, before, after, who, time.time()),
    )


def _follow(db: apsw.Connection, record_id: str, field: str, before: object, after: object) -> None:
    """Bring in line what is derived from a field: counters, lengths, marks, the text index."""
    match record_id[:3], field:
        case "qst", "review" | "starred":
            _count_review(db, record_id, field, before, after)
        case "qst", "text":
            index_again(db, record_id)
            _mark(db, "questions", record_id, [record_id, answer_id(record_id)])
        case "ans", "teacher":
            query = "UPDATE questions SET answer_teacher = ? WHERE id = (SELECT question_id FROM answers WHERE id = ?)"
            db.execute(query, (after, record_id))
        case "ans", "text":
            (question_id,) = db.execute("SELECT question_id FROM answers WHERE id = ?", (record_id,)).fetchone()
            db.execute("UPDATE questions SET answer_length = ? WHERE id = ?", (len(str(after)), question_id))
            index_again(db, question_id)
            _mark(db, "questions", question_id, [question_id, record_id])
        case "sub", _:
            if field == "level":
                query = "UPDATE questions SET level = ? WHERE syllabus_id = (SELECT id FROM syllabi WHERE subject_id = ?)"
                db.execute(query, (after, record_id))
            _mark(db, "subjects", record_id, [record_id])
        case "syl" | "ses" | "con", _:
            syllabus_id = syllabus_of(db, record_id) or record_id
            _mark(db, "syllabi", syllabus_id, _changed_records(db, syllabus_id))


def _count_review(db: apsw.Connection, question_id: str, field: str, before: object, after: object) -> None:
    (discipline_id,) = db.execute("SELECT discipline_id FROM questions WHERE id = ?", (question_id,)).fetchone()
    if field == "starred":
        count(db, discipline_id, starred=int(bool(after)) - int(bool(before)))
        return
    for verdict, amount in ((before, -1), (after, 1)):
        if verdict in REVIEWS:
            count(db, discipline_id, **{REVIEWS[verdict]: amount})


def _mark(db: apsw.Connection, table: str, row_id: str, record_ids: list[str]) -> None:
    """Set or clear the mark of an edited row: whether any text of these records differs from what the teacher wrote."""
    edited = any(_differs(db, id) for id in record_ids)
    db.execute(f"UPDATE {table} SET edited = ? WHERE id = ?", (edited, row_id))


def _changed_records(db: apsw.Connection, syllabus_id: str) -> list[str]:
    """A syllabus, its sessions and concepts, as far as they were ever changed."""
    rows = db.execute(
        """SELECT DISTINCT record_id FROM record_events WHERE record_id = ?1
           OR record_id IN (SELECT id FROM sessions WHERE syllabus_id = ?1)
           OR record_id IN (SELECT id FROM concepts WHERE syllabus_id = ?1)""",
        (syllabus_id,),
    )
    return [id for (id,) in rows]


def _differs(db: apsw.Connection, record_id: str) -> bool:
    table, fields = FIELDS[record_id[:3]]
    for field in fields:
        first = db.execute(
            "SELECT before FROM record_events WHERE record_id = ? AND field = ? ORDER BY seq LIMIT 1", (record_id, field)
        ).fetchone()
        if first and field not in REVIEW_FIELDS:
            now = db.execute(f"SELECT {field} FROM {table} WHERE id = ?", (record_id,)).fetchone()
            if now and now[0] != first[0]:
                return True
    return False


def events(db: apsw.Connection, record_id: str, limit: int = 200) -> list[RecordEvent]:
    """The changes of one record, newest first."""
    rows = db.execute("SELECT * FROM record_events WHERE record_id = ? ORDER BY seq DESC LIMIT ?", (record_id, limit))
    return [RecordEvent(*row) for row in rows]


def batch_events(db: apsw.Connection, batch: str, *, before: int | None = None, limit: int = 5000) -> list[RecordEvent]:
    """The changes of one deed, newest first; those older than the event `before` where given."""
    rows = db.execute(
        "SELECT * FROM record_events WHERE batch = ?1 AND (?2 IS NULL OR seq < ?2) ORDER BY seq DESC LIMIT ?3",
        (batch, before, limit),
    )
    return [RecordEvent(*row) for row in rows]


def value_of(db: apsw.Connection, record_id: str, field: str) -> str | int | None:
    """A field as it is now, or None where there is no such record."""
    table, _ = FIELDS[record_id[:3]]
    row = db.execute(f"SELECT {field} FROM {table} WHERE id = ?", (record_id,)).fetchone()
    return row and row[0]


def value_at(db: apsw.Connection, record_id: str, field: str, now: str, at: float) -> str:
    """A field as it was at a time; `now` is what it is."""
    row = db.execute(
        "SELECT before FROM record_events WHERE record_id = ? AND field = ? AND at > ? ORDER BY seq LIMIT 1",
        (record_id, field, at),
    ).fetchone()
    return now if row is None else row[0]


def syllabus_edited_up_to(db: apsw.Connection, syllabus_id: str) -> int:
    """The newest question that was there when a syllabus (its text, sessions, concepts) or its subject was last changed; 0
    where none of them ever was."""
    query = """SELECT coalesce(max(last_question), 0) FROM record_events WHERE record_id IN (
        SELECT ?1 UNION ALL SELECT subject_id FROM syllabi WHERE id = ?1
        UNION ALL SELECT id FROM sessions WHERE syllabus_id = ?1 UNION ALL SELECT id FROM concepts WHERE syllabus_id = ?1)"""
    return db.execute(query, (syllabus_id,)).fetchone()[0]


def changed_since(db: apsw.Connection, batch: str) -> int:
    """How many of the values that a deed changed have been changed again by later ones."""
    query = """SELECT count(DISTINCT mine.record_id || mine.field) FROM record_events mine JOIN record_events later
        ON later.record_id = mine.record_id AND later.field = mine.field AND later.seq > mine.seq AND later.batch != mine.batch
        WHERE mine.batch = ?"""
    return db.execute(query, (batch,)).fetchone()[0]


def syllabus_events(db: apsw.Connection, syllabus_id: str, limit: int = 500) -> list[RecordEvent]:
    """The changes of a syllabus, its subject, sessions and concepts, newest first."""
    rows = db.execute(
        """SELECT * FROM record_events WHERE record_id IN (
           SELECT ?1 UNION ALL SELECT subject_id FROM syllabi WHERE id = ?1
           UNION ALL SELECT id FROM sessions WHERE syllabus_id = ?1 UNION ALL SELECT id FROM concepts WHERE syllabus_id = ?1)
           ORDER BY seq DESC LIMIT ?2""",
        (syllabus_id, limit),
    )
    return [RecordEvent(*row) for row in rows]
