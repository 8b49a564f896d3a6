"""Editing subjects and syllabi, and regenerating a syllabus or an answer; records from the earlier text are kept."""

import json
from dataclasses import replace

import pytest
from support.runs import Canned, execute_run, latest_run, number, resume_run, rows

from glan_core.curriculum import syllabus_editing
from glan_core.curriculum.syllabus_editing import SessionEdit, SyllabusVersion
from glan_core.errors import GlanError
from glan_core.generation import provenance
from glan_core.ids import answer_id, syllabus_id
from glan_core.taxonomy import coverage
from glan_core.workspace import call_rows, curriculum_rows, edit_batch, homework_rows, record_rows
from glan_core.workspace.pair_filter import PairFilter


@pytest.fixture
def syllabus(ws, settings, teach):
    """A syllabus of three sessions with four concepts each, and its questions."""
    teach(Canned())
    execute_run(ws, settings("mathematics", questions_per_syllabus=6))
    return curriculum_rows.syllabus(ws.db, syllabus_id(curriculum_rows.subjects(ws.db, "mathematics")[0].id))


def wanted(ws, syllabus) -> list[SessionEdit]:
    """The sessions of a syllabus as they are."""
    return [
        SessionEdit(s.id, s.name, s.description, tuple(name for _, name in s.concepts))
        for s in curriculum_rows.sessions(ws.db, syllabus.id)
    ]


def edit(ws, syllabus, sessions: list[SessionEdit], text: str | None = None) -> str | None:
    return syllabus_editing.edit_syllabus(
        ws, syllabus.id, "Ada", text=syllabus.text if text is None else text, sessions=sessions
    )


def counts(ws) -> tuple[float, ...]:
    totals = coverage.coverage_by_node(ws)["mathematics"].counts
    return totals["sessions"], totals["concepts"], totals["concepts_asked"]


def truth(ws) -> tuple[float, ...]:
    """Count the same in the tables."""
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
    assert record_rows.count_outdated_questions(ws.db, syllabus.id) == 6
    edit_batch.undo(ws, batch, "Ada")
    assert curriculum_rows.sessions(ws.db, syllabus.id)[0] == old
    assert (
        not curriculum_rows.syllabus(ws.db, syllabus.id).edited
        and record_rows.count_outdated_questions(ws.db, syllabus.id) == 0
    )
    assert edit(ws, syllabus, wanted(ws, syllabus)) is None


def test_of_two_who_edit_the_same_syllabus_the_second_is_told_and_one_who_saves_both_halves_has_one_deed(ws, syllabus):
    subject = curriculum_rows.subject(ws.db, syllabus.subject_id)
    seen = SyllabusVersion(subject, syllabus, curriculum_rows.sessions(ws.db, syllabus.id))
    old = wanted(ws, syllabus)
    edit(ws, syllabus, [*old, SessionEdit(None, "Stripes", "", ("Zebra",))])
    with pytest.raises(GlanError, match="changed in the meantime"):
        syllabus_editing.edit_syllabus(ws, syllabus.id, "Bob", text="Another text.", sessions=old, seen=seen)
    assert len(wanted(ws, syllabus)) == 4 and curriculum_rows.syllabus(ws.db, syllabus.id).text == syllabus.text

    seen, text = replace(seen, sessions=curriculum_rows.sessions(ws.db, syllabus.id)), "Another text."
    settings = {"text": text, "sessions": wanted(ws, syllabus), "seen": seen}
    with pytest.raises(GlanError, match="name of a subject is empty"):
        syllabus_editing.edit_syllabus(ws, syllabus.id, "Bob", **settings, subject=replace(subject, name=" "))
    assert curriculum_rows.syllabus(ws.db, syllabus.id).text == syllabus.text
    batch = syllabus_editing.edit_syllabus(ws, syllabus.id, "Bob", **settings, subject=replace(subject, name="Zebras"))
    assert (curriculum_rows.subject(ws.db, subject.id).name, curriculum_rows.syllabus(ws.db, syllabus.id).text) == (
        "Zebras",
        text,
    )
    edit_batch.undo(ws, batch, "Bob")
    assert curriculum_rows.subject(ws.db, subject.id) == subject


def test_only_questions_made_while_it_read_otherwise_are_said_to_be_made_from_older_text(ws, syllabus, settings):
    first = edit(ws, syllabus, wanted(ws, syllabus), text="Another text.")
    execute_run(ws, settings("mathematics", questions_per_syllabus=8))
    assert record_rows.count_outdated_questions(ws.db, syllabus.id) == 6
    edit_batch.undo(ws, first, "Ada")
    assert record_rows.count_outdated_questions(ws.db, syllabus.id) == 2


def test_an_addition_is_an_edit_and_no_undo_leaves_a_session_without_concepts(ws, syllabus):
    session, *others = wanted(ws, syllabus)
    batch = edit(ws, syllabus, [replace(session, concepts=(*session.concepts, "Zebra")), *others])
    assert curriculum_rows.syllabus(ws.db, syllabus.id).edited
    later = edit(ws, syllabus, [replace(session, concepts=("Zebra",)), *others])
    now = wanted(ws, syllabus)
    with pytest.raises(GlanError, match="no key concept"):
        edit_batch.undo(ws, batch, "Ada")
    assert wanted(ws, syllabus) == now and counts(ws) == truth(ws)
    edit_batch.undo(ws, later, "Ada")
    edit_batch.undo(ws, batch, "Ada")
    assert wanted(ws, syllabus) == [session, *others] and not curriculum_rows.syllabus(ws.db, syllabus.id).edited


def test_questions_on_their_way_while_their_session_is_put_out_of_use_do_not_count(ws, syllabus, settings, teach):
    [first, *_] = wanted(ws, syllabus)

    def behave(stage, nth, messages):
        if stage == "question" and nth == 3 and len(wanted(ws, syllabus)) > 1:
            edit(ws, syllabus, [replace(first, concepts=first.concepts[:2])])

    teach(Canned(behave))
    execute_run(ws, settings("mathematics", questions_per_syllabus=20))
    live = {session.id for session in curriculum_rows.sessions(ws.db, syllabus.id)}
    drawn = rows(ws, "SELECT sessions FROM questions WHERE syllabus_id = ?", syllabus.id)
    counted = sum(live.issuperset(json.loads(sessions)) for (sessions,) in drawn)
    assert curriculum_rows.syllabus(ws.db, syllabus.id).questions == counted < len(drawn) and counts(ws) == truth(ws)


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
    edit_batch.undo(ws, batch, "Ada")
    assert curriculum_rows.sessions(ws.db, syllabus.id) and wanted(ws, syllabus) == [first, second, wanted(ws, syllabus)[2]]
    assert counts(ws) == truth(ws) == before and curriculum_rows.syllabus(ws.db, syllabus.id).questions == 6


def test_the_next_run_asks_about_what_was_added_and_repeats_no_combination(ws, syllabus, settings):
    [first, *others] = wanted(ws, syllabus)
    edit(ws, syllabus, [first, *others, SessionEdit(None, "Stripes", "", ("Zebra", "Okapi"))])
    execute_run(ws, settings("mathematics", questions_per_syllabus=40))
    pairs = homework_rows.pairs_page(ws.db, PairFilter(syllabus_id=syllabus.id), limit=100)
    combinations = [frozenset(pair.question.concepts) for pair in pairs]
    assert len(pairs) == 40 == len(set(combinations))
    assert any("Zebra" in pair.question.text for pair in pairs)
    assert execute_run(ws, settings("mathematics", questions_per_syllabus=40)).state == "finished"
    assert len(homework_rows.pairs_page(ws.db, PairFilter(syllabus_id=syllabus.id), limit=100)) == 40


def test_every_prompt_is_still_shown_as_it_was_sent(ws, syllabus):
    calls = [call for (id,) in rows(ws, "SELECT DISTINCT work_id FROM calls") for call in call_rows.calls_of(ws.db, id)]
    before = [provenance.messages_of(ws, call) for call in calls]
    assert None not in before
    [first, *_] = wanted(ws, syllabus)
    edit(ws, syllabus, [replace(first, name="Another", concepts=("Zebras",))], text="Another text.")
    syllabus_editing.edit_subject(ws, syllabus.subject_id, "Ada", name="Else", level="hard", subtopics=["Three"])
    assert [provenance.messages_of(ws, call) for call in calls] == before


def test_a_subject_is_edited_and_its_level_reaches_the_filters(ws, syllabus):
    old = curriculum_rows.subject(ws.db, syllabus.subject_id)
    batch = syllabus_editing.edit_subject(
        ws, old.id, "Ada", name=" Else ", level="expert", subtopics=["Three", " three", "Four"]
    )
    now = curriculum_rows.subject(ws.db, old.id)
    assert (now.name, now.level, now.subtopics) == ("Else", "expert", ("Three", "Four"))
    assert {p.question.syllabus_id for p in homework_rows.pairs_page(ws.db, PairFilter(level="expert"))} == {syllabus.id}
    assert [e.who for e in record_rows.events(ws.db, old.id)] == ["Ada"] * 3
    edit_batch.undo(ws, batch, "Ada")
    assert curriculum_rows.subject(ws.db, old.id) == old


@pytest.mark.parametrize(
    ("sessions", "text", "problem"),
    [
        (lambda s: [], "T", "at least one class session"),
        (lambda s: [replace(s[0], name="  ")], "T", "name of a class session is empty"),
        (lambda s: [replace(s[0], concepts=(" ",))], "T", "no key concept"),
        (lambda s: [replace(s[0], concepts=("x" * 201,))], "T", "longer than 200"),
        (lambda s: s, "  ", "text of the syllabus is empty"),
        (lambda s: s, "x" * 50_001, "longer than 50,000"),
        (lambda s: s, "Half a character: \ud800", "cannot be stored"),
        (lambda s: [replace(s[0], name="\0")], "T", "name of a class session"),
        (lambda s: [replace(s[0], description="x" * 50_001)], "T", "longer than 50,000"),
        (lambda s: [replace(s[0], concepts=("x" * 10_000,))], "T", 'The name "x{60}..." is longer than 200'),
        (lambda s: [replace(s[0], concepts=("\udfff",))], "T", "cannot be stored"),
        (lambda s: [replace(s[0], concepts=tuple(map(str, range(201))))], "T", "at most 200 key concepts; this one has 201"),
        (lambda s: [replace(s[0], id=None)] * 201, "T", "at most 200 class sessions"),
    ],
)
def test_what_is_no_syllabus_is_refused_with_nothing_changed(ws, syllabus, sessions, text, problem):
    before = wanted(ws, syllabus)
    with pytest.raises(GlanError, match=problem):
        edit(ws, syllabus, sessions(before), text)
    assert wanted(ws, syllabus) == before and number(ws, "SELECT count(*) FROM record_events") == 0


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"name": " "}, "name of a subject is empty"),
        ({"level": "x" * 201}, "longer than 200"),
        ({"level": "\ud800"}, "cannot be stored"),
        ({"subtopics": ["x" * 201]}, "longer than 200"),
        ({"subtopics": list(map(str, range(300)))}, "at most 200 subtopics"),
    ],
)
def test_what_is_no_subject_is_refused_with_nothing_changed(ws, syllabus, values, problem):
    old = curriculum_rows.subject(ws.db, syllabus.subject_id)
    with pytest.raises(GlanError, match=problem):
        syllabus_editing.edit_subject(ws, old.id, "Ada", **({"name": "N", "level": "", "subtopics": []} | values))
    assert curriculum_rows.subject(ws.db, old.id) == old


def test_a_syllabus_written_anew_takes_the_place_of_the_old_one_in_one_step(ws, syllabus, settings, teach):
    teacher = teach(Canned(lambda stage, nth, m: "Another syllabus." if stage == "syllabus" else None, sessions=2))
    old = curriculum_rows.sessions(ws.db, syllabus.id)
    assert execute_run(ws, {"record_id": syllabus.id}, "redo").state == "finished"
    now = curriculum_rows.syllabus(ws.db, syllabus.id)
    assert (now.text, now.sizes, now.questions) == ("Another syllabus.", (4, 4), 0)
    assert counts(ws) == truth(ws) and record_rows.count_outdated_questions(ws.db, syllabus.id) == 6
    assert [stage for stage, _ in teacher.asked] == ["syllabus", "sessions"]
    calls = call_rows.calls_of(ws.db, syllabus.id)
    assert len(calls) == 4 and None not in [provenance.messages_of(ws, call) for call in calls]
    assert provenance.reply_of(ws, calls[0], syllabus.id, now.text) == syllabus.text
    execute_run(ws, settings("mathematics", questions_per_syllabus=6))
    assert curriculum_rows.syllabus(ws.db, syllabus.id).questions == 6
    assert number(ws, "SELECT count(*) FROM questions WHERE syllabus_id = ?", syllabus.id) == 12
    [event] = [e for e in record_rows.events(ws.db, syllabus.id) if e.field == "text"]
    edit_batch.undo(ws, event.batch, "Ada")
    assert curriculum_rows.sessions(ws.db, syllabus.id) == old and counts(ws) == truth(ws)
    assert curriculum_rows.syllabus(ws.db, syllabus.id).text == syllabus.text


def test_a_new_syllabus_whose_sessions_cannot_be_read_changes_nothing_and_goes_on_where_it_was(ws, syllabus, teach):
    old = wanted(ws, syllabus)
    teach(
        Canned(
            lambda stage, nth, m: "nonsense" if stage in ("sessions", "repair") else "Another." if stage == "syllabus" else None
        )
    )
    execute_run(ws, {"record_id": syllabus.id}, "redo")
    assert wanted(ws, syllabus) == old and curriculum_rows.syllabus(ws.db, syllabus.id).text == syllabus.text
    run = latest_run(ws)
    assert "No usable reply was received" in run.message
    with ws.write() as db:
        db.execute("UPDATE runs SET state = 'lost' WHERE id = ?", (run.id,))
    teacher = teach(Canned(sessions=1))
    resume_run(ws, run.id)
    assert [stage for stage, _ in teacher.asked] == ["sessions"]
    assert curriculum_rows.syllabus(ws.db, syllabus.id).text == "Another."


def test_an_answer_written_anew_keeps_the_older_one(ws, syllabus, teach):
    [pair, *_] = homework_rows.pairs_page(ws.db, PairFilter())
    id = answer_id(pair.question.id)
    teach(Canned(lambda stage, nth, m: "A better answer.", name="another"))
    assert execute_run(ws, {"record_id": pair.question.id}, "redo").state == "finished"
    now = homework_rows.pair(ws.db, pair.question.id)
    assert (now.answer, now.answer_teacher, now.edited) == ("A better answer.", "another", True)
    calls = call_rows.calls_of(ws.db, id)
    assert [provenance.reply_of(ws, call, id, now.answer) for call in calls] == [pair.answer, "A better answer."]
    assert coverage.coverage_by_node(ws)["mathematics"].counts["pairs"] == 12
    edit_batch.undo(ws, record_rows.events(ws.db, id)[0].batch, "Ada")
    assert homework_rows.pair(ws.db, pair.question.id) == pair


def test_an_answer_is_written_anew_by_its_own_id_too_and_after_another_run_wrote_one_meanwhile(ws, syllabus, teach, settings):
    [pair, *_] = homework_rows.pairs_page(ws.db, PairFilter())
    teach(Canned(lambda stage, nth, m: "A better answer."))
    assert execute_run(ws, {"record_id": answer_id(pair.question.id)}, "redo").state == "finished"
    assert homework_rows.pair(ws.db, pair.question.id).answer == "A better answer."

    teach(Canned(lambda stage, nth, m: "" if stage == "answer" else None))
    execute_run(ws, settings("mathematics", questions_per_syllabus=7))
    [open_one, *_] = homework_rows.pairs_page(ws.db, PairFilter(answered=False))
    id = open_one.question.id

    def behave(stage, nth, messages):
        with ws.write() as db:
            homework_rows.add_answer(db, id, "mathematics", "An answer of another run.", "other")
        return "The answer asked for."

    teach(Canned(behave))
    execute_run(ws, {"record_id": id}, "redo")
    assert homework_rows.pair(ws.db, id).answer == "The answer asked for."


def test_a_reply_with_white_space_around_it_is_shown_and_taken_up_without(ws, teach, settings):
    teach(Canned(lambda stage, nth, m: "\nA syllabus.\n\n" if stage == "syllabus" else None))
    execute_run(ws, settings("mathematics", max_subjects=1))
    [syllabus] = curriculum_rows.syllabus_states(ws.db, "mathematics").values()
    assert None not in [provenance.messages_of(ws, call) for call in call_rows.calls_of(ws.db, syllabus.id)]
    teach(Canned(lambda stage, nth, m: "\nAnother.\n" if stage == "syllabus" else "nonsense"))
    execute_run(ws, {"record_id": syllabus.id}, "redo")
    with ws.write() as db:
        db.execute("UPDATE runs SET state = 'lost'")
    teach(Canned())
    resume_run(ws, latest_run(ws).id)
    assert curriculum_rows.syllabus(ws.db, syllabus.id).text == "Another."


def test_what_is_not_there_cannot_be_written_anew(ws):
    run = execute_run(ws, {"record_id": "qst-0"}, "redo")
    assert run.state == "failed" and "neither a question nor a syllabus" in run.message


def test_a_rewriting_that_failed_leaves_no_failure_for_later_runs(ws, syllabus, teach):
    [pair, *_] = homework_rows.pairs_page(ws.db, PairFilter())
    teach(Canned(lambda stage, nth, m: ""))
    run = execute_run(ws, {"record_id": pair.question.id}, "redo")
    assert "No usable reply was received" in run.message
    assert number(ws, "SELECT count(*) FROM failures") == 0 == coverage.coverage_by_node(ws)["mathematics"].counts["failures"]
    assert homework_rows.pair(ws.db, pair.question.id) == pair
