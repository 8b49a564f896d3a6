"""Edits of generated records, stored with the previous value so that they can be undone."""

import time
from dataclasses import dataclass, replace

import apsw

from glan_core.ids import answer_id
from glan_core.workspace import tag_rows
from glan_core.workspace.call_rows import count
from glan_core.workspace.homework_rows import reindex
from glan_core.workspace.pair_filter import VERDICTS
from glan_core.workspace.sql import fetch_all, fetch_one, fetch_value

# Table and editable fields by the kind that an id starts with (`ids.derive`).
FIELDS = {
    "sub": ("subjects", ("name", "level", "subtopics")),
    "syl": ("syllabi", ("text", "teacher")),
    "ses": ("sessions", ("name", "description", "retired")),
    "con": ("concepts", ("name", "retired")),
    "qst": ("questions", ("text", "review", "reason", "starred")),
    "ans": ("answers", ("text", "teacher")),
}
NUMBERS = ("retired", "starred")
NON_CONTENT_FIELDS = "'review', 'reason', 'starred', 'teacher'"  # fields that are not part of a record's content


@dataclass(frozen=True, slots=True)
class RecordEvent:
    """One change of one field.

    Attributes:
        seq: Number of the event.
        batch: Id shared by changes that were made together.
        before: Previous value.
        after: New value.
        who: The editor.
        at: Time in seconds since 1970.
        last_question: `seq` of the newest question at that time.
    """

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
    """Set a field and record the previous value.

    Returns:
        Whether the value changed.

    Raises:
        KeyError: If the field is not editable.
    """
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
    """Record a change that was already made."""
    db.execute(
        """INSERT INTO record_events (batch, record_id, field, before, after, who, at, last_question)
           VALUES (?, ?, ?, ?, ?, ?, ?, (SELECT coalesce(max(seq), 0) FROM questions))""",
        (batch, record_id, field, before, after, who, time.time()),
    )


def _follow(db: apsw.Connection, record_id: str, field: str, before: object, after: object) -> None:
    """Update what is derived from a field: counters, lengths, edit marks and the full-text index."""
    match record_id[:3], field:
        case "qst", "review" | "starred":
            _count_review(db, record_id, field, before, after)
        case "qst", "text":
            reindex(db, record_id)
            _mark_pair(db, record_id)
        case "ans", "teacher":
            query = "UPDATE questions SET answer_teacher = ? WHERE id = (SELECT question_id FROM answers WHERE id = ?)"
            db.execute(query, (after, record_id))
        case "ans", "text":
            question_id = fetch_value(db, "SELECT question_id FROM answers WHERE id = ?", (record_id,))
            db.execute("UPDATE questions SET answer_length = ? WHERE id = ?", (len(str(after)), question_id))
            reindex(db, question_id)
            _mark_pair(db, question_id)
        case "sub", _:
            if field == "level":
                query = "UPDATE questions SET level = ? WHERE syllabus_id = (SELECT id FROM syllabi WHERE subject_id = ?)"
                db.execute(query, (after, record_id))
            _mark(db, "subjects", record_id, "SELECT ?1", record_id)


def _count_review(db: apsw.Connection, question_id: str, field: str, before: object, after: object) -> None:
    seq, discipline_id = fetch_one(db, "SELECT seq, discipline_id FROM questions WHERE id = ?", (question_id,))
    if field == "starred":
        count(db, discipline_id, starred=int(bool(after)) - int(bool(before)))
        return
    for verdict, amount in ((before, -1), (after, 1)):
        if verdict in VERDICTS:
            count(db, discipline_id, **{VERDICTS[verdict]: amount})
    tag_rows.update_dropped(db, [seq])


def _mark_pair(db: apsw.Connection, question_id: str) -> None:
    _mark(db, "questions", question_id, "SELECT ?1 UNION ALL SELECT ?2", question_id, answer_id(question_id))


_OF_SYLLABUS = """SELECT ?1 UNION ALL SELECT id FROM sessions WHERE syllabus_id = ?1
    UNION ALL SELECT id FROM concepts WHERE syllabus_id = ?1"""
_OF_SUBJECT = f"SELECT subject_id FROM syllabi WHERE id = ?1 UNION ALL {_OF_SYLLABUS}"


def mark_syllabus(db: apsw.Connection, syllabus_id: str) -> None:
    """Update the edit mark of a syllabus after changes of its text, sessions or concepts."""
    _mark(db, "syllabi", syllabus_id, _OF_SYLLABUS, syllabus_id)


def _mark(db: apsw.Connection, table: str, row_id: str, records: str, *values: str) -> None:
    """Set or clear the edit mark of a row: whether any of these records differs from the generated text."""
    query = f"""SELECT EXISTS (SELECT 1 FROM (
        SELECT first_value(before) OVER field AS was, last_value(after) OVER field AS now FROM record_events
        WHERE record_id IN ({records}) AND field NOT IN ({NON_CONTENT_FIELDS})
        WINDOW field AS (PARTITION BY record_id, field ORDER BY seq ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
        ) WHERE was IS NOT now)"""
    edited = fetch_value(db, query, values)
    db.execute(f"UPDATE {table} SET edited = ? WHERE id = ?", (edited, row_id))


def _event(row: tuple) -> RecordEvent:
    """Build an event from its row, whose values are stored as text."""
    event = RecordEvent(*row)
    return replace(event, before=int(row[4]), after=int(row[5])) if event.field in NUMBERS else event


def events(db: apsw.Connection, record_id: str, limit: int = 200) -> list[RecordEvent]:
    """Return the changes of one record, newest first."""
    rows = db.execute("SELECT * FROM record_events WHERE record_id = ? ORDER BY seq DESC LIMIT ?", (record_id, limit))
    return [_event(row) for row in rows]


def batch_events(db: apsw.Connection, batch: str, *, before: int | None = None, limit: int = 5000) -> list[RecordEvent]:
    """Return the changes of one batch, newest first; `before` limits them to older events."""
    rows = db.execute(
        "SELECT * FROM record_events WHERE batch = ?1 AND (?2 IS NULL OR seq < ?2) ORDER BY seq DESC LIMIT ?3",
        (batch, before, limit),
    )
    return [_event(row) for row in rows]


def value_of(db: apsw.Connection, record_id: str, field: str) -> str | int | None:
    """Return the current value of a field, or None if the record does not exist."""
    table, _ = FIELDS[record_id[:3]]
    row = db.execute(f"SELECT {field} FROM {table} WHERE id = ?", (record_id,)).fetchone()
    return row[0] if row else None


def value_at(db: apsw.Connection, record_id: str, field: str, now: str, at: float) -> str:
    """Return the value of a field at a time; `now` is its current value."""
    row = db.execute(
        "SELECT before FROM record_events WHERE record_id = ? AND field = ? AND at > ? ORDER BY seq LIMIT 1",
        (record_id, field, at),
    ).fetchone()
    return now if row is None else row[0]


def count_outdated_questions(db: apsw.Connection, syllabus_id: str) -> int:
    """Return the number of questions generated from an earlier text of the syllabus or its subject."""
    query = f"""WITH changes AS (
        SELECT before, lag(last_question, 1, 0) OVER field AS since, last_question AS until,
            first_value(after) OVER (PARTITION BY record_id, field ORDER BY seq DESC) AS now
        FROM record_events WHERE record_id IN ({_OF_SUBJECT}) AND field NOT IN ({NON_CONTENT_FIELDS})
        WINDOW field AS (PARTITION BY record_id, field ORDER BY seq))
        SELECT count(*) FROM questions WHERE syllabus_id = ?1
        AND EXISTS (SELECT 1 FROM changes WHERE before IS NOT now AND seq > since AND seq <= until)"""
    return fetch_value(db, query, (syllabus_id,))


def count_changed_since(db: apsw.Connection, batch: str) -> int:
    """Return how many values of a batch have changed since, to neither their old nor their new value."""
    query = """WITH mine AS (
            SELECT record_id, field, min(seq) AS first, max(seq) AS last FROM record_events WHERE batch = ?
            GROUP BY record_id, field)
        SELECT count(*) FROM mine JOIN record_events f ON f.seq = mine.first JOIN record_events l ON l.seq = mine.last
        JOIN record_events now ON now.seq = (
            SELECT max(seq) FROM record_events WHERE record_id = mine.record_id AND field = mine.field)
        WHERE now.after IS NOT l.after AND now.after IS NOT f.before"""
    return fetch_value(db, query, (batch,))


def syllabus_events(db: apsw.Connection, syllabus_id: str, limit: int = 500) -> list[RecordEvent]:
    """Return the changes of a syllabus, its subject, sessions and concepts, newest first."""
    rows = db.execute(
        f"SELECT * FROM record_events WHERE record_id IN ({_OF_SUBJECT}) ORDER BY seq DESC LIMIT ?2", (syllabus_id, limit)
    )
    return [_event(row) for row in rows]


def last_event(db: apsw.Connection) -> int:
    """Return the number of the newest change, 0 if there is none."""
    return fetch_value(db, "SELECT coalesce(max(seq), 0) FROM record_events")


def edited_questions(db: apsw.Connection, since: int) -> list[tuple[int, str]]:
    """Return (seq, current text) of the questions edited after event `since`, in order."""
    return fetch_all(
        db,
        """SELECT DISTINCT q.seq, q.text FROM record_events e JOIN questions q ON q.id = e.record_id
           WHERE e.seq > ? AND e.field = 'text' AND substr(e.record_id, 1, 3) = 'qst' ORDER BY q.seq""",
        (since,),
    )
