"""Consistency of a workspace database: counters against a recount, derived columns, and rows whose owner is missing."""

from typing import Any

import apsw

from glan_core.workspace.homework_rows import LAST_SEQ
from glan_core.workspace.sql import fetch_all, fetch_value
from glan_core.workspace.tag_rows import REASONS
from glan_core.workspace.workspace import set_metadata

_LIVE_CONCEPTS = """concepts c JOIN sessions s ON s.id = c.session_id JOIN syllabi y ON y.id = c.syllabus_id
    WHERE c.retired = 0 AND s.retired = 0"""
# Queries of (discipline, value) that the counters of the same name must equal.
RECOUNTS = {
    "subjects": "SELECT discipline_id, count(*) FROM subjects GROUP BY 1",
    "syllabi": "SELECT discipline_id, count(*) FROM syllabi GROUP BY 1",
    "sessions": "SELECT discipline_id, count(*) FROM sessions JOIN syllabi y ON y.id = syllabus_id WHERE retired = 0 GROUP BY 1",
    "concepts": f"SELECT discipline_id, count(*) FROM {_LIVE_CONCEPTS} GROUP BY 1",
    "concepts_asked": f"""SELECT discipline_id, count(*) FROM {_LIVE_CONCEPTS} AND EXISTS (
        SELECT 1 FROM question_concepts WHERE concept_id = c.id) GROUP BY 1""",
    "questions": "SELECT discipline_id, count(*) FROM questions GROUP BY 1",
    "pairs": "SELECT discipline_id, count(*) FROM questions q JOIN answers a ON a.question_id = q.id GROUP BY 1",
    "kept": "SELECT discipline_id, count(*) FROM questions WHERE review = 'keep' GROUP BY 1",
    "rejected": "SELECT discipline_id, count(*) FROM questions WHERE review = 'reject' GROUP BY 1",
    "starred": "SELECT discipline_id, count(*) FROM questions WHERE starred = 1 GROUP BY 1",
    "failures": "SELECT discipline_id, count(*) FROM failures WHERE discipline_id IS NOT NULL GROUP BY 1",
    "calls": "SELECT discipline_id, count(*) FROM calls WHERE discipline_id IS NOT NULL GROUP BY 1",
    "cost_usd": "SELECT discipline_id, total(cost_usd) FROM calls WHERE discipline_id IS NOT NULL GROUP BY 1",
    "unpriced": "SELECT discipline_id, count(*) FROM calls WHERE discipline_id IS NOT NULL AND cost_usd IS NULL GROUP BY 1",
    **{
        f"dropped_{reason}": f"SELECT discipline_id, count(*) FROM questions WHERE dropped = '{reason}' GROUP BY 1"
        for reason in REASONS
    },
}
# Tables with the condition of orphaned rows, whose owner is missing. Calls and failures may outlive what they were for.
ORPHANS = {
    "answers": "question_id NOT IN (SELECT id FROM questions)",
    "questions": "syllabus_id NOT IN (SELECT id FROM syllabi)",
    "syllabi": "subject_id NOT IN (SELECT id FROM subjects)",
    "sessions": "syllabus_id NOT IN (SELECT id FROM syllabi)",
    "concepts": "session_id NOT IN (SELECT id FROM sessions)",
    "question_concepts": "question_id NOT IN (SELECT id FROM questions)",
    "tags": "seq NOT IN (SELECT seq FROM questions)",
    "judgements": "seq NOT IN (SELECT seq FROM questions)",
    "run_stages": "run_id NOT IN (SELECT id FROM runs)",
    "run_samples": "run_id NOT IN (SELECT id FROM runs)",
    "chat_turns": "conversation_id NOT IN (SELECT id FROM conversations)",
    "chat_replies": "turn_id NOT IN (SELECT id FROM chat_turns)",
    "preferences": "turn_id NOT IN (SELECT id FROM chat_turns)",
    "verdicts": "match NOT IN (SELECT id FROM matches)",
    "arena_votes": "match NOT IN (SELECT id FROM matches)",
}
# What `questions` repeats of its answer, so that lists need not join it.
_DERIVED = """FROM questions q LEFT JOIN answers a ON a.question_id = q.id WHERE q.answered != (a.id IS NOT NULL)
    OR q.answer_length IS NOT length(a.text) OR q.answer_teacher IS NOT a.teacher"""
# Questions of a syllabus that count towards its target: those without a retired session.
_SYLLABI = """SELECT y.id, y.questions AS stored, CASE WHEN EXISTS (SELECT 1 FROM sessions WHERE syllabus_id = y.id AND retired = 1) THEN (
        SELECT count(*) FROM questions q WHERE q.syllabus_id = y.id AND NOT EXISTS (
            SELECT 1 FROM json_each(q.sessions) JOIN sessions s ON s.id = value WHERE s.retired = 1))
    ELSE (SELECT count(*) FROM questions q WHERE q.syllabus_id = y.id) END AS counted FROM syllabi y"""
TOLERANCE = 1e-6  # of sums of costs, relative


def integrity(db: apsw.Connection) -> list[str]:
    """Return what SQLite's own check of the file finds; [] if it is sound."""
    found = [str(line) for (line,) in db.execute("PRAGMA integrity_check(20)")]
    return [] if found == ["ok"] else found


def wrong_counters(db: apsw.Connection) -> dict[tuple[str, str], tuple[float, float]]:
    """Return (discipline, counter) -> (stored value, recounted value) where they differ."""
    stored = {(node, measure): value for node, measure, value in db.execute("SELECT node_id, measure, value FROM counters")}
    wrong = {}
    for measure, query in RECOUNTS.items():
        counted = {node: value for node, value in db.execute(query) if value}
        known = {node for node, name in stored if name == measure}
        for node in known | counted.keys():
            before, after = stored.get((node, measure), 0.0), float(counted.get(node, 0.0))
            if abs(before - after) > TOLERANCE * max(1.0, abs(after)):
                wrong[node, measure] = (before, after)
    return wrong


def set_counters(db: apsw.Connection, values: dict[tuple[str, str], float]) -> None:
    """Store values of counters."""
    db.executemany("INSERT OR REPLACE INTO counters VALUES (?, ?, ?)", [(*key, value) for key, value in values.items()])


def count_orphans(db: apsw.Connection) -> dict[str, int]:
    """Return table -> number of orphaned rows, without tables that have none."""
    found = {table: fetch_value(db, f"SELECT count(*) FROM {table} WHERE {condition}") for table, condition in ORPHANS.items()}
    return {table: number for table, number in found.items() if number}


def take_orphans(db: apsw.Connection) -> list[tuple[str, dict[str, Any]]]:
    """Delete orphaned rows; return them as (table, row). Rows that belonged to them go, too."""
    taken: list[tuple[str, dict[str, Any]]] = []
    last = fetch_value(db, f"SELECT {LAST_SEQ}")
    while count_orphans(db):
        for table, condition in ORPHANS.items():
            names = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
            rows = fetch_all(db, f"SELECT * FROM {table} WHERE {condition}")
            taken += [(table, dict(zip(names, row, strict=True))) for row in rows]
            db.execute(f"DELETE FROM {table} WHERE {condition}")
    set_metadata(db, "last_question", last)
    gone = [(row["seq"],) for table, row in taken if table == "questions"]
    db.executemany("DELETE FROM pair_text WHERE rowid = ?", gone)
    indexed, newest = "SELECT value + 0 FROM meta WHERE key = 'indexed_answer'", "SELECT coalesce(max(seq), 0) FROM answers"
    for (up_to,) in fetch_all(db, indexed):  # the next answers may have the `seq` of removed ones
        set_metadata(db, "indexed_answer", min(up_to, fetch_value(db, newest)))
    return taken


def count_wrong_syllabi(db: apsw.Connection) -> int:
    """Return the number of syllabi whose number of questions, from which runs plan, differs from a recount."""
    return fetch_value(db, f"SELECT count(*) FROM ({_SYLLABI}) WHERE stored != counted")


def repair_syllabi(db: apsw.Connection) -> None:
    """Set the numbers of questions of syllabi from the questions."""
    wrong = fetch_all(db, f"SELECT counted, id FROM ({_SYLLABI}) WHERE stored != counted")
    db.executemany("UPDATE syllabi SET questions = ? WHERE id = ?", wrong)


def count_wrong_questions(db: apsw.Connection) -> int:
    """Return the number of questions whose columns about their answer differ from the answer."""
    return fetch_value(db, f"SELECT count(*) {_DERIVED}")


def repair_questions(db: apsw.Connection) -> None:
    """Set the columns of questions about their answers from the answers."""
    db.execute(
        f"""UPDATE questions SET answered = EXISTS (SELECT 1 FROM answers WHERE question_id = questions.id),
            answer_length = (SELECT length(text) FROM answers WHERE question_id = questions.id),
            answer_teacher = (SELECT teacher FROM answers WHERE question_id = questions.id)
            WHERE seq IN (SELECT q.seq {_DERIVED})"""
    )
