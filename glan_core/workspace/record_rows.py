"""Changes that people make to generated records: each field's new value with the older one kept, so that any can be undone."""

import time
from dataclasses import dataclass, replace

import apsw

from glan_core.ids import answer_id
from glan_core.workspace import tag_rows
from glan_core.workspace.call_rows import count
from glan_core.workspace.homework_rows import index_again
from glan_core.workspace.pair_filter import VERDICTS

# What can be changed, by the kind that an id begins with (`ids.derive`): the table and the fields.
FIELDS = {
    "sub": ("subjects", ("name", "level", "subtopics")),
    "syl": ("syllabi", ("text", "teacher")),
    "ses": ("sessions", ("name", "description", "retired")),
    "con": ("concepts", ("name", "retired")),
    "qst": ("questions", ("text", "review", "reason", "starred")),
    "ans": ("answers", ("text", "teacher")),
}
NUMBERS = ("retired", "starred")
ASIDE = "'review', 'reason', 'starred', 'teacher'"  # fields that are no part of what a record says


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
            _mark_pair(db, record_id)
        case "ans", "teacher":
            query = "UPDATE questions SET answer_teacher = ? WHERE id = (SELECT question_id FROM answers WHERE id = ?)"
            db.execute(query, (after, record_id))
        case "ans", "text":
            (question_id,) = db.execute("SELECT question_id FROM answers WHERE id = ?", (record_id,)).fetchone()
            db.execute("UPDATE questions SET answer_length = ? WHERE id = ?", (len(str(after)), question_id))
            index_again(db, question_id)
            _mark_pair(db, question_id)
        case "sub", _:
            if field == "level":
                query = "UPDATE questions SET level = ? WHERE syllabus_id = (SELECT id FROM syllabi WHERE subject_id = ?)"
                db.execute(query, (after, record_id))
            _mark(db, "subjects", record_id, "SELECT ?1", record_id)


def _count_review(db: apsw.Connection, question_id: str, field: str, before: object, after: object) -> None:
    seq, discipline_id = db.execute("SELECT seq, discipline_id FROM questions WHERE id = ?", (question_id,)).fetchone()
    if field == "starred":
        count(db, discipline_id, starred=int(bool(after)) - int(bool(before)))
        return
    for verdict, amount in ((before, -1), (after, 1)):
        if verdict in VERDICTS:
            count(db, discipline_id, **{VERDICTS[verdict]: amount})
    tag_rows.settle(db, [seq])


def _mark_pair(db: apsw.Connection, question_id: str) -> None:
    _mark(db, "questions", question_id, "SELECT ?1 UNION ALL SELECT ?2", question_id, answer_id(question_id))


_OF_SYLLABUS = """SELECT ?1 UNION ALL SELECT id FROM sessions WHERE syllabus_id = ?1
    UNION ALL SELECT id FROM concepts WHERE syllabus_id = ?1"""
_OF_SUBJECT = f"SELECT subject_id FROM syllabi WHERE id = ?1 UNION ALL {_OF_SYLLABUS}"


def mark_syllabus(db: apsw.Connection, syllabus_id: str) -> None:
    """Bring the mark of an edited syllabus in line, after changes of its text, sessions or concepts."""
    _mark(db, "syllabi", syllabus_id, _OF_SYLLABUS, syllabus_id)


def _mark(db: apsw.Connection, table: str, row_id: str, records: str, *values: str) -> None:
    """Set or clear the mark of an edited row: whether any of these records no longer says what the teacher wrote."""
    query = f"""SELECT EXISTS (SELECT 1 FROM (
        SELECT first_value(before) OVER field AS was, last_value(after) OVER field AS now FROM record_events
        WHERE record_id IN ({records}) AND field NOT IN ({ASIDE})
        WINDOW field AS (PARTITION BY record_id, field ORDER BY seq ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
        ) WHERE was IS NOT now)"""
    (edited,) = db.execute(query, values).fetchone()
    db.execute(f"UPDATE {table} SET edited = ? WHERE id = ?", (edited, row_id))


def _event(row: tuple) -> RecordEvent:
    """An event as stored; its values are kept as text."""
    event = RecordEvent(*row)
    return replace(event, before=int(event.before), after=int(event.after)) if event.field in NUMBERS else event


def events(db: apsw.Connection, record_id: str, limit: int = 200) -> list[RecordEvent]:
    """The changes of one record, newest first."""
    rows = db.execute("SELECT * FROM record_events WHERE record_id = ? ORDER BY seq DESC LIMIT ?", (record_id, limit))
    return [_event(row) for row in rows]


def batch_events(db: apsw.Connection, batch: str, *, before: int | None = None, limit: int = 5000) -> list[RecordEvent]:
    """The changes of one deed, newest first; those older than the event `before` where given."""
    rows = db.execute(
        "SELECT * FROM record_events WHERE batch = ?1 AND (?2 IS NULL OR seq < ?2) ORDER BY seq DESC LIMIT ?3",
        (batch, before, limit),
    )
    return [_event(row) for row in rows]


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


def made_from_older(db: apsw.Connection, syllabus_id: str) -> int:
    """How many questions of a syllabus were made while it (its text, sessions, concepts) or its subject read otherwise."""
    query = f"""WITH changes AS (
        SELECT before, lag(last_question, 1, 0) OVER field AS since, last_question AS until,
            first_value(after) OVER (PARTITION BY record_id, field ORDER BY seq DESC) AS now
        FROM record_events WHERE record_id IN ({_OF_SUBJECT}) AND field NOT IN ({ASIDE})
        WINDOW field AS (PARTITION BY record_id, field ORDER BY seq))
        SELECT count(*) FROM questions WHERE syllabus_id = ?1
        AND EXISTS (SELECT 1 FROM changes WHERE before IS NOT now AND seq > since AND seq <= until)"""
    return db.execute(query, (syllabus_id,)).fetchone()[0]


def changed_since(db: apsw.Connection, batch: str) -> int:
    """How many of the values that a deed changed are by now neither what it made of them nor what they were before it."""
    query = """WITH mine AS (
            SELECT record_id, field, min(seq) AS first, max(seq) AS last FROM record_events WHERE batch = ?
            GROUP BY record_id, field)
        SELECT count(*) FROM mine JOIN record_events f ON f.seq = mine.first JOIN record_events l ON l.seq = mine.last
        JOIN record_events now ON now.seq = (
            SELECT max(seq) FROM record_events WHERE record_id = mine.record_id AND field = mine.field)
        WHERE now.after IS NOT l.after AND now.after IS NOT f.before"""
    return db.execute(query, (batch,)).fetchone()[0]


def syllabus_events(db: apsw.Connection, syllabus_id: str, limit: int = 500) -> list[RecordEvent]:
    """The changes of a syllabus, its subject, sessions and concepts, newest first."""
    rows = db.execute(
        f"SELECT * FROM record_events WHERE record_id IN ({_OF_SUBJECT}) ORDER BY seq DESC LIMIT ?2", (syllabus_id, limit)
    )
    return [_event(row) for row in rows]


def last_event(db: apsw.Connection) -> int:
    """The number of the newest change; 0 where nothing was ever changed."""
    return db.execute("SELECT coalesce(max(seq), 0) FROM record_events").fetchone()[0]


def edited_questions(db: apsw.Connection, since: int) -> list[tuple[int, str]]:
    """The questions whose text was changed after the event `since`: their `seq` and text as it is now, in order."""
    return db.execute(
        """SELECT DISTINCT q.seq, q.text FROM record_events e JOIN questions q ON q.id = e.record_id
           WHERE e.seq > ? AND e.field = 'text' AND substr(e.record_id, 1, 3) = 'qst' ORDER BY q.seq""",
        (since,),
    ).fetchall()
