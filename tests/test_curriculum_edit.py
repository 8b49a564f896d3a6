"""Editing subjects and syllabi, and having a syllabus or an answer written anew: nothing made from the older text is lost."""

import json
from dataclasses import replace

import pytest
from helpers import Canned, go_on, latest_run, number, rows, run_order

from glan_core import coverage, curriculum_edit, provenance, record_edit
from glan_core.curriculum_edit import SessionEdit
from glan_core.errors import GlanError
from glan_core.ids import answer_id, syllabus_id
from glan_core.workspace import call_rows, curriculum_rows, homework_rows, record_rows
from glan_core.workspace.homework_rows import PairFilter


@pytest.fixture
def syllabus(ws, order, teach):
    """A syllabus of three sessions with four concepts each, and its questions."""
    teach(Canned())
    run_order(ws, order("mathematics", questions_per_syllabus=6))
    return curriculum_rows.syllabus(ws.db, syllabus_id(curriculum_rows.subjects(ws.db, "mathematics")[0].id))


def wanted(ws, syllabus) -> list[SessionEdit]:
    """The sessions of a syllabus as they are."""
    return [
        SessionEdit(s.id, s.name, s.description, tuple(name for _, name in s.concepts))
        for s in curriculum_rows.sessions(ws.db, syllabus.id)
    ]


def edit(ws, syllabus, sessions: list[SessionEdit], text: str | None = None) -> str | None:
    return curriculum_edit.edit_syllabus(
        ws, syllabus.id, "Ada", text=syllabus.text if text is None else text, sessions=sessions
    )


def counts(ws) -> tuple[float, ...]:
    totals = coverage.standings(ws)["mathematics"].counts
    return totals["sessions"], totals["concepts"], totals["concepts_asked"]


def truth(ws) -> tuple[float, ...]:
    """The same, counted in the tables."""
    return (
        number(ws, "SELECT count(*) FROM sessions WHERE retired = 0"),
        number(ws, "SELECT count(*) FROM concepts WHERE retired = 0"),
        number(ws, "SELECT count(*) FROM concepts WHERE retired = 0 AND id IN (SELECT concept_id FROM question_concepts)"),
    )


def test_a_renamed_concept_is_the_same_one_and_questions_keep_it(ws, syllabus):
    first, *others = wanted(ws, syllabus)
    old = curriculum_rows.sessions(ws.db, syllabus.id)[0]
    batch = edit(ws, syllabus, [replace(first, concepts=("Zebras", *first.concepts[1:])), *others])
    now = curriculum_rows.sessions(ws.db, syllabus.id)[0]
    assert now.concepts[0] == (old.concepts[0][0], "Zebras") and now.concepts[1:] == old.concepts[1:]
    edited = curriculum_rows.syllabus(ws.db, syllabus.id)
    assert edited.edited and edited.version == 0 and edited.sizes == (4, 4, 4)
    assert curriculum_edit.made_before(ws, syllabus.id) == 6
    record_edit.undo(ws, batch, "Ada")
    assert curriculum_rows.sessions(ws.db, syllabus.id)[0] == old
    assert not curriculum_rows.syllabus(ws.db, syllabus.id).edited
    assert edit(ws, syllabus, wanted(ws, syllabus)) is None


def test_sessions_and_concepts_come_and_go_counted_and_undone(ws, syllabus):
    before = counts(ws)
    first, second, _ = wanted(ws, syllabus)
    sessions = [replace(first, concepts=first.concepts[:2]), replace(second, name="Renamed"),
                SessionEdit(None, "Stripes", "On animals.", ("Zebra", "Okapi", "Tiger"))]  # fmt: skip
    batch = edit(ws, syllabus, sessions)
    now = curriculum_rows.sessions(ws.db, syllabus.id)
    assert [s.name for s in now] == [first.name, "Renamed", "Stripes"] and [len(s.concepts) for s in now] == [2, 4, 3]
    edited = curriculum_rows.syllabus(ws.db, syllabus.id)
    assert edited.sizes == (2, 4, 3) and edited.version == 1 and counts(ws) == truth(ws) != before
    live = {s.id for s in now}
    assert edited.questions == sum(live.issuperset(json.loads(s)) for (s,) in rows(
        ws, "SELECT sessions FROM questions WHERE syllabus_id = ?", syllabus.id))  # fmt: skip
    record_edit.undo(ws, batch, "Ada")
    assert curriculum_rows.sessions(ws.db, syllabus.id) and wanted(ws, syllabus) == [first, second, wanted(ws, syllabus)[2]]
    assert counts(ws) == truth(ws) == before and curriculum_rows.syllabus(ws.db, syllabus.id).questions == 6


def test_the_next_run_asks_about_what_was_added_and_repeats_no_combination(ws, syllabus, order):
    [first, *others] = wanted(ws, syllabus)
    edit(ws, syllabus, [first, *others, SessionEdit(None, "Stripes", "", ("Zebra", "Okapi"))])
    run_order(ws, order("mathematics", questions_per_syllabus=40))
    pairs = homework_rows.pairs_page(ws.db, PairFilter(syllabus_id=syllabus.id), limit=100)
    combinations = [frozenset(pair.question.concepts) for pair in pairs]
    assert len(pairs) == 40 == len(set(combinations))
    assert any("Zebra" in pair.question.text for pair in pairs)
    assert run_order(ws, order("mathematics", questions_per_syllabus=40)).state == "finished"
    assert len(homework_rows.pairs_page(ws.db, PairFilter(syllabus_id=syllabus.id), limit=100)) == 40


def test_every_prompt_is_still_shown_as_it_was_sent(ws, syllabus):
    calls = [call for (id,) in rows(ws, "SELECT DISTINCT work_id FROM calls") for call in call_rows.calls_of(ws.db, id)]
    before = [provenance.messages_of(ws, call) for call in calls]
    assert None not in before
    [first, *_] = wanted(ws, syllabus)
    edit(ws, syllabus, [replace(first, name="Another", concepts=("Zebras",))], text="Another text.")
    curriculum_edit.edit_subject(ws, syllabus.subject_id, "Ada", name="Else", level="hard", subtopics=["Three"])
    assert [provenance.messages_of(ws, call) for call in calls] == before


def test_a_subject_is_edited_and_its_level_reaches_the_filters(ws, syllabus):
    old = curriculum_rows.subject(ws.db, syllabus.subject_id)
    batch = curriculum_edit.edit_subject(
        ws, old.id, "Ada", name=" Else ", level="expert", subtopics=["Three", " three", "Four"]
    )
    now = curriculum_rows.subject(ws.db, old.id)
    assert (now.name, now.level, now.subtopics) == ("Else", "expert", ("Three", "Four"))
    assert {p.question.syllabus_id for p in homework_rows.pairs_page(ws.db, PairFilter(level="expert"))} == {syllabus.id}
    assert [e.who for e in record_rows.events(ws.db, old.id)] == ["Ada"] * 3
    record_edit.undo(ws, batch, "Ada")
    assert curriculum_rows.subject(ws.db, old.id) == old


@pytest.mark.parametrize(
    ("sessions", "text", "problem"),
    [
        (lambda s: [], "T", "at least one class session"),
        (lambda s: [replace(s[0], name="  ")], "T", "name of a class session is empty"),
        (lambda s: [replace(s[0], concepts=(" ",))], "T", "no key concept"),
        (lambda s: [replace(s[0], concepts=("x" * 201,))], "T", "longer than 200"),
        (lambda s: s, "  ", "text of the syllabus is empty"),
    ],
)
def test_what_is_no_syllabus_is_refused_with_nothing_changed(ws, syllabus, sessions, text, problem):
    before = wanted(ws, syllabus)
    with pytest.raises(GlanError, match=problem):
        edit(ws, syllabus, sessions(before), text)
    assert wanted(ws, syllabus) == before and number(ws, "SELECT count(*) FROM record_events") == 0


def test_a_syllabus_written_anew_takes_the_place_of_the_old_one_in_one_step(ws, syllabus, order, teach):
    teacher = teach(Canned(lambda stage, nth, m: "Another syllabus." if stage == "syllabus" else None, sessions=2))
    old = curriculum_rows.sessions(ws.db, syllabus.id)
    assert run_order(ws, {"record_id": syllabus.id}, "redo").state == "finished"
    now = curriculum_rows.syllabus(ws.db, syllabus.id)
    assert (now.text, now.sizes, now.questions) == ("Another syllabus.", (4, 4), 0)
    assert counts(ws) == truth(ws) and curriculum_edit.made_before(ws, syllabus.id) == 6
    assert [stage for stage, _ in teacher.asked] == ["syllabus", "sessions"]
    calls = call_rows.calls_of(ws.db, syllabus.id)
    assert len(calls) == 4 and None not in [provenance.messages_of(ws, call) for call in calls]
    assert provenance.reply_of(ws, calls[0], syllabus.id, now.text) == syllabus.text
    run_order(ws, order("mathematics", questions_per_syllabus=6))
    assert curriculum_rows.syllabus(ws.db, syllabus.id).questions == 6
    assert number(ws, "SELECT count(*) FROM questions WHERE syllabus_id = ?", syllabus.id) == 12
    [event] = [e for e in record_rows.events(ws.db, syllabus.id) if e.field == "text"]
    record_edit.undo(ws, event.batch, "Ada")
    assert curriculum_rows.sessions(ws.db, syllabus.id) == old and counts(ws) == truth(ws)
    assert curriculum_rows.syllabus(ws.db, syllabus.id).text == syllabus.text


def test_a_new_syllabus_whose_sessions_cannot_be_read_changes_nothing_and_goes_on_where_it_was(ws, syllabus, teach):
    old = wanted(ws, syllabus)
    teach(
        Canned(
            lambda stage, nth, m: "nonsense" if stage in ("sessions", "repair") else "Another." if stage == "syllabus" else None
        )
    )
    run_order(ws, {"record_id": syllabus.id}, "redo")
    assert wanted(ws, syllabus) == old and curriculum_rows.syllabus(ws.db, syllabus.id).text == syllabus.text
    run = latest_run(ws)
    with ws.write() as db:
        db.execute("UPDATE runs SET state = 'lost' WHERE id = ?", (run.id,))
    teacher = teach(Canned(sessions=1))
    go_on(ws, run.id)
    assert [stage for stage, _ in teacher.asked] == ["sessions"]
    assert curriculum_rows.syllabus(ws.db, syllabus.id).text == "Another."


def test_an_answer_written_anew_keeps_the_older_one(ws, syllabus, teach):
    [pair, *_] = homework_rows.pairs_page(ws.db, PairFilter())
    id = answer_id(pair.question.id)
    teach(Canned(lambda stage, nth, m: "A better answer.", name="another"))
    assert run_order(ws, {"record_id": pair.question.id}, "redo").state == "finished"
    now = homework_rows.pair(ws.db, pair.question.id)
    assert (now.answer, now.answer_teacher, now.edited) == ("A better answer.", "another", True)
    calls = call_rows.calls_of(ws.db, id)
    assert [provenance.reply_of(ws, call, id, now.answer) for call in calls] == [pair.answer, "A better answer."]
    assert coverage.standings(ws)["mathematics"].counts["pairs"] == 12
    record_edit.undo(ws, record_rows.events(ws.db, id)[0].batch, "Ada")
    assert homework_rows.pair(ws.db, pair.question.id) == pair


def test_what_is_not_there_cannot_be_written_anew(ws):
    run = run_order(ws, {"record_id": "qst-0"}, "redo")
    assert run.state == "failed" and "no question and no syllabus" in run.message
