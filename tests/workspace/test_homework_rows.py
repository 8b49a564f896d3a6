"""Questions and answers are stored once, and counted as a recount counts them, also where what they belong to has changed."""

from dataclasses import replace

import pytest
from support.curriculum import add_questions, add_subjects, add_syllabus
from support.runs import number, rows

from glan_core.ids import derive
from glan_core.workspace import consistency, curriculum_rows, homework_rows, tag_rows
from glan_core.workspace.homework_rows import Question
from glan_core.workspace.tag_rows import Tag


@pytest.fixture
def question(ws) -> Question:
    """A question about two concepts of the first session of a new syllabus, of which another question has asked the first."""
    (subject,) = add_subjects(ws, "mathematics", 1)
    syllabus = add_syllabus(ws, subject, [3, 2])
    add_questions(ws, syllabus, ("What is asked first?", None))
    first = curriculum_rows.sessions(ws.db, syllabus)[0]
    concepts = tuple(id for id, _ in first.concepts[:2])
    id = derive("qst", syllabus, 1)
    return Question(0, id, syllabus, "mathematics", "single", "uniform", 0, 1, (first.id,), concepts, "What?", "openai:test")


def counted(ws) -> tuple[int, int, int]:
    """Return the questions of the syllabus, and the counters of questions and of concepts that were asked, if a recount agrees."""
    db = ws.db
    assert (
        not consistency.wrong_counters(db)
        and not consistency.count_wrong_syllabi(db)
        and not consistency.count_wrong_questions(db)
    )
    counters = dict(rows(ws, "SELECT measure, value FROM counters WHERE node_id = 'mathematics'"))
    return number(ws, "SELECT sum(questions) FROM syllabi"), counters["questions"], counters["concepts_asked"]


def add(ws, question: Question) -> None:
    with ws.write() as db:
        homework_rows.add_question(db, question)


def test_a_question_is_stored_and_counted_once(ws, question):
    add(ws, question)
    add(ws, replace(question, text="Another text?", concepts=question.concepts[:1]))
    assert counted(ws) == (2, 2, 2)
    assert rows(ws, "SELECT seq, text, level FROM questions ORDER BY seq")[1:] == [(2, "What?", "basic")]


@pytest.mark.parametrize(("table", "expected"), [("sessions", (0, 2, 0)), ("concepts", (2, 2, 1))])
def test_what_was_retired_while_the_question_was_written_is_not_counted(ws, question, table, expected):
    retired = question.sessions[0] if table == "sessions" else question.concepts[1]
    with ws.write() as db:
        db.execute(f"UPDATE {table} SET retired = 1 WHERE id = ?", (retired,))
        curriculum_rows.update_counts(db, question.syllabus_id)
    add(ws, question)
    assert counted(ws) == expected


def test_a_question_of_a_removed_syllabus_is_stored_for_the_repair(ws, question):
    add(ws, replace(question, syllabus_id="gone", sessions=("gone",), concepts=("gone",)))
    assert rows(ws, "SELECT level FROM questions WHERE syllabus_id = 'gone'") == [("",)]
    assert counted(ws) == (1, 2, 1)


@pytest.mark.parametrize(
    ("cause", "dropped"),
    [("tag", "duplicate"), ("overruled", None), ("reject", "rejected"), ("keep", None), ("lost tag", None)],
)
def test_an_answer_that_is_added_again_is_excluded_for_the_reasons_that_still_hold(ws, question, cause, dropped):
    add(ws, question)
    (seq,) = rows(ws, "SELECT seq FROM questions WHERE id = ?", question.id)[0]
    with ws.write() as db:
        homework_rows.add_answer(db, question.id, "mathematics", "First.", "openai:test")
        if cause in ("keep", "reject"):
            db.execute("UPDATE questions SET review = ? WHERE seq = ?", (cause, seq))
            tag_rows.update_dropped(db, [seq])
        else:
            tag_rows.put_tags(db, [Tag(seq, "duplicate", "near")], None)
        db.execute("DELETE FROM answers WHERE question_id = ?", (question.id,))
        consistency.repair_questions(db)
        if cause == "overruled":
            tag_rows.overrule(db, seq, "duplicate", "near", "a user")
        if cause == "lost tag":
            db.execute("DELETE FROM tags")
        consistency.set_counters(db, {key: after for key, (_, after) in consistency.wrong_counters(db).items()})
        homework_rows.add_answer(db, question.id, "mathematics", "Again.", "openai:test")
        homework_rows.add_answer(db, question.id, "mathematics", "Too late.", "openai:test")
    pair = homework_rows.require_pair(ws.db, question.id)
    assert (pair.answer, pair.dropped) == ("Again.", dropped)
    counted(ws)
