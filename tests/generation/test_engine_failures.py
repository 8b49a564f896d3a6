"""Teacher failures never become data; they are recorded, retried, and never exceed the budget."""

import json
import threading
from dataclasses import replace

import pytest
from support.runs import Canned, content, execute_run, latest_run, number, resume_run, rows, stage_of

from glan_core import runs
from glan_core.generation.engine import MAX_FAULTS
from glan_core.generation.stage_specs import STAGE_SPECS
from glan_core.teachers.contract import Reply, TeacherBusy, TeacherError, TeacherFault
from glan_core.workspace import call_rows, homework_rows, run_rows

GOOD_SUBJECT = '{"subject_name": "Good", "level": "basic", "subtopics": ["one"]}'


def first_question(reply):
    """Return this reply only for the first question."""
    return lambda stage, nth, messages: reply if stage == "question" and nth == 0 else None


def outcomes(ws, stage: str) -> dict[str, int]:
    """Return the number of calls of a stage by outcome."""
    return dict(rows(ws, "SELECT outcome, count(*) FROM calls WHERE stage = ? GROUP BY outcome", stage))


@pytest.mark.parametrize(
    ("stage", "bad"),
    [
        ("subjects", "I would rather talk about it."),
        ("subjects", '{"subject_name": "Half'),
        ("subjects", '{"name": "wrong key"}'),
        ("sessions", '{"session": "S", "description": "d", "key_concepts": []}'),
        ("sessions", "[1, 2, 3]"),
        ("sessions", '{"session": "S", "key_concepts": "no list"}'),
        ("question", "Submit a PDF of your work by Friday."),
        ("question", "As discussed in the lecture above, what follows?"),
    ],
)
def test_a_malformed_reply_gets_one_repair_turn(new_workspace, settings, teach, stage, bad):
    ws, undisturbed = new_workspace(), new_workspace("undisturbed")
    teacher = teach(Canned(lambda s, nth, m: bad if s == stage and nth == 0 else None))
    assert execute_run(ws, settings()).state == "finished"
    (turns,) = teacher.requests("repair")
    assert [m["role"] for m in turns[-3:]] == ["user", "assistant", "user"]
    assert turns[-2]["content"] == bad and stage_of(turns[:-2]) == stage
    assert outcomes(ws, stage)["malformed" if stage != "question" else "not self-contained"] == 1
    assert not call_rows.failures(ws.db)
    (repaired,) = [call for call in all_calls(ws) if call.prompt_version == version(ws, "repair")]
    assert (repaired.stage, repaired.outcome, repaired.attempts) == (stage, "stored", 1)
    teach(Canned())
    execute_run(undisturbed, settings())
    assert content(ws) == content(undisturbed)


def all_calls(ws) -> list[call_rows.Call]:
    """Return every call, oldest first."""
    return [call for (id,) in rows(ws, "SELECT work_id FROM calls GROUP BY work_id") for call in call_rows.calls_of(ws.db, id)]


def version(ws, name: str) -> str:
    """Return the version of a prompt stored in the workspace."""
    return number(ws, "SELECT version FROM prompts WHERE name = ?", name)


def test_a_reply_that_stays_malformed_is_listed_and_tried_again_by_the_next_run(ws, settings, teach):
    stubborn = "Submit your essay to your professor."
    teacher = teach(Canned(lambda s, nth, m: stubborn if (s == "question" and nth == 0) or s == "repair" else None))
    run = execute_run(ws, settings())
    assert run.state == "finished" and "1 call failed" in run.message
    (failure,) = call_rows.failures(ws.db)
    assert (failure.stage, failure.cause, failure.reply, failure.run_id) == ("question", "not self-contained", stubborn, run.id)
    assert teacher.seen["repair"] == 1 and teacher.seen["answer"] == 7
    assert number(ws, "SELECT count(*) FROM questions WHERE text = ?", stubborn) == 0
    assert call_rows.counters(ws.db)["mathematics"]["failures"] == 1
    teacher = teach(Canned())
    assert execute_run(ws, settings()).message == ""
    assert teacher.seen == {"question": 1, "answer": 1}
    assert not call_rows.failures(ws.db) and not call_rows.counters(ws.db)["mathematics"]["failures"]


@pytest.mark.long
@pytest.mark.parametrize(
    ("reply", "cause"),
    [
        (Reply("What is the sum of 2 and", "length", 10, 4096), "cut"),
        (Reply("", "stop", 10, 0), "empty"),
        (Reply("  \n\t ", "stop", 10, 3), "empty"),
        (Reply("What is the sum?", "content_filter", 10, 3), "refused"),
        (Reply("I'm sorry, but I can't help with that.", "stop", 10, 9), "refused"),
        (Reply("I’m sorry, but I cannot provide that.", "stop", 10, 9), "refused"),
    ],
)
@pytest.mark.parametrize("stage", ["subject_list", "subjects", "syllabus", "sessions", "question", "answer"])
def test_a_cut_empty_or_refused_reply_is_never_data_at_any_stage(ws, settings, teach, stage, reply, cause):
    tries = STAGE_SPECS[stage].tries
    if cause == "cut":
        reply = replace(reply, tokens_out=STAGE_SPECS[stage].decoding.max_tokens)
    teacher = teach(Canned(lambda s, nth, m: reply if s == stage and nth < tries else None, subjects=2))
    one_by_one = settings(subject_queries=2, questions_per_syllabus=2, max_in_flight=1)
    assert execute_run(ws, one_by_one).state == "finished"
    (failure,) = call_rows.failures(ws.db)
    assert (failure.stage, failure.cause) == (stage, cause)
    assert not teacher.seen["repair"]
    stored = json.dumps(content(ws), default=str)
    assert reply.text.strip() == "" or json.dumps(reply.text)[1:-1] not in stored
    wasted = [call for call in all_calls(ws) if call.outcome == cause]
    assert [(call.tokens_in, call.tokens_out, call.reply) for call in wasted] == tries * [(10, reply.tokens_out, reply.text)]
    execute_run(ws, settings(subject_queries=2, questions_per_syllabus=2))
    assert not call_rows.failures(ws.db)
    assert number(ws, "SELECT count(*) FROM answers") == 4


@pytest.mark.parametrize(
    "strange",
    [
        '{"subject_name": ' + "7" * 5000 + "}",
        '{"subject_name": ' * 3000,
        "[" * 100_000 + '{"subject_name": "x"}',
        '{"subject_name": "\\ud800"}',
        '{"subject_name": NaN}',
        '{"subject_name": "' + "x" * 5000 + '"}',
        '{"subject_name": "x", "subtopics": {"a": 1}}',
        "{" * 50,
    ],
)
def test_no_json_however_strange_ends_the_run(ws, settings, teach, strange):
    teach(Canned(lambda s, nth, m: strange if s in ("subjects", "repair") else None))
    run = execute_run(ws, settings("mathematics"))
    assert run.state == "finished", run.message
    assert {failure.stage for failure in call_rows.failures(ws.db)} <= {"subjects"}


@pytest.mark.parametrize("stage", ["subject_list", "syllabus", "question", "answer"])
def test_half_a_character_or_a_nul_in_a_reply_ends_no_run_and_harms_no_other_reply(ws, settings, teach, stage):
    odd = "Which of \ud83d these \x00 is odd, and why is it so?"
    teach(Canned(lambda s, nth, m: odd if s == stage and nth == 0 else None))
    run = execute_run(ws, settings(questions_per_syllabus=5))
    assert run.state == "finished", run.message
    assert number(ws, "SELECT count(*) FROM answers") == 10


def test_a_passing_fault_is_retried_until_the_reply_comes(ws, settings, teach):
    faults = {nth: TeacherFault("reset") for nth in (0, 3, 4)}
    teacher = teach(Canned(lambda s, nth, m: faults.get(nth) if s == "answer" else None))
    run = execute_run(ws, settings())
    assert (run.state, run.message) == ("finished", "")
    assert teacher.seen["answer"] == 8 + 3
    assert number(ws, "SELECT max(attempts) FROM calls WHERE stage = 'answer'") > 1
    assert run_rows.last_sample(ws.db, run.id).faults == 3


def test_work_whose_every_request_fails_is_listed_with_the_reason_and_tried_by_the_next_run(ws, settings, teach):
    teach(
        Canned(
            lambda s, nth, m: TeacherFault("It failed with status 500.") if s == "syllabus" and "Subject 1" in str(m) else None
        )
    )
    run = execute_run(ws, settings())
    (failure,) = call_rows.failures(ws.db)
    assert run.state == "finished" and (failure.cause, failure.stage) == ("no reply", "syllabus")
    assert "status 500" in failure.message and "6 times" in failure.message
    teach(Canned())
    execute_run(ws, settings())
    assert number(ws, "SELECT count(*) FROM answers") == 8 and not call_rows.failures(ws.db)


def test_a_request_whose_every_sender_ends_is_not_sent_and_paid_for_forever(ws, settings, teach):
    broken = TeacherFault("Ray worker 1 ended.", billed=True, sender_lost=True)
    teacher = teach(Canned(lambda stage, nth, messages: broken if stage == "subject_list" else None))
    run = execute_run(ws, settings("cave-mapping", subject_queries=1, max_calls=50))
    assert run.state == "finished" and len(teacher.asked) == MAX_FAULTS
    assert number(ws, "SELECT count(*) FROM calls WHERE outcome = 'lost'") == MAX_FAULTS


def test_being_refused_as_too_many_does_not_use_up_the_patience_for_faults(ws, settings, teach):
    def behave(stage, nth, messages):
        if stage == "answer":
            return TeacherBusy("busy", 0.001) if nth < 12 else TeacherFault("reset") if nth == 12 else None

    teach(Canned(behave))
    run = execute_run(ws, settings(questions_per_syllabus=1, max_subjects=1))
    assert (run.state, run.message) == ("finished", "")
    assert number(ws, "SELECT attempts FROM calls WHERE stage = 'answer'") == 14


def test_an_endpoint_that_was_never_reached_ends_the_run_with_a_sentence(ws, settings, teach):
    teacher = teach(Canned(lambda s, nth, m: TeacherFault("http://x cannot be reached: refused.", sent=False), subjects=2))
    run = execute_run(ws, settings("mathematics", "music", "cave-mapping", "bell-founding", subject_queries=9))
    assert run.state == "failed" and "cannot be reached" in run.message and run.message.endswith("Check the URL.")
    assert len(teacher.asked) < 60


@pytest.mark.parametrize("stage", ["subject_list", "question", "answer"])
def test_a_teacher_that_cannot_be_used_stops_the_run_and_what_was_in_flight_is_kept(ws, settings, teach, stage):
    unusable = TeacherError("It does not accept the key: set OPENAI_API_KEY to a valid one.")
    teacher = teach(
        Canned(lambda s, nth, m: unusable if s == stage and nth == 3 else None, delay=lambda nth: 0.002 * (nth % 5))
    )
    run = execute_run(ws, settings("mathematics", "music", subject_queries=3, questions_per_syllabus=30, max_in_flight=8))
    assert (run.state, run.message) == ("failed", str(unusable))
    served = len(teacher.asked) - 1
    assert number(ws, "SELECT count(*) FROM calls") == served
    assert teacher.seen[stage] <= 3 + 1 + 8
    teach(Canned())
    assert resume_run(ws, run.id).state == "finished"
    assert number(ws, "SELECT count(*) FROM answers") == 120


@pytest.mark.parametrize("limit", [1, 7, 20, 41])
def test_no_more_calls_are_made_than_allowed_and_the_rest_follows_when_more_are(ws, settings, teach, limit):
    teacher = teach(Canned(delay=lambda nth: 0.001 * (nth % 4)))
    wanted = settings(questions_per_syllabus=10)
    run = execute_run(ws, {**wanted, "max_calls": limit})
    assert (
        run.state == "paused" and f"The limit of {limit} calls is reached" in run.message and "Raise the limit" in run.message
    )
    assert len(teacher.asked) == number(ws, "SELECT count(*) FROM calls") == limit
    assert resume_run(ws, run.id).state == "paused"
    assert len(teacher.asked) == limit
    assert resume_run(ws, run.id, {**wanted, "max_calls": limit + 3}).state == "paused"
    assert len(teacher.asked) == limit + 3
    assert resume_run(ws, run.id, wanted).state == "finished"
    assert len(teacher.asked) == 46


def test_repair_turns_and_wasted_replies_count_towards_the_limit(ws, settings, teach):
    teacher = teach(
        Canned(lambda s, nth, m: "" if s == "answer" else "Submit your essay." if s == "question" and nth % 2 else None)
    )
    execute_run(ws, settings(questions_per_syllabus=10, max_calls=25))
    assert len(teacher.asked) == 25
    assert teacher.seen["repair"] > 3 and teacher.seen["answer"] > 3


@pytest.mark.parametrize("price", ["2,8", "0,50", "50,0"])
@pytest.mark.parametrize("in_flight", [1, 32])
def test_no_more_money_is_spent_than_allowed_whatever_replies_cost(ws, settings, teach, price, in_flight):
    def behave(stage, nth, messages):  # every reply uses all of its max_tokens
        if stage == "answer":
            return Reply("x" * 100, "stop", sum(len(m["content"]) for m in messages) // 3, 4096)

    per_in, per_out = (float(part) / 1e6 for part in price.split(","))
    teacher = teach(Canned(behave, delay=lambda nth: 0.001 * (nth % 3)))
    paid = 0.0

    async def billed(messages, sampling, reply=teacher.reply):
        nonlocal paid
        said = await reply(messages, sampling)
        paid += said.tokens_in * per_in + said.tokens_out * per_out
        return said

    teacher.reply = billed
    budget = 1.2
    wanted = settings(questions_per_syllabus=200, teacher="openai:x", price=price, max_in_flight=in_flight)
    if price == "50,0":
        budget = 0.2
    run = execute_run(ws, {**wanted, "budget_usd": budget})
    assert run.state == "paused" and f"The budget of ${budget:,.2f}" in run.message
    assert 0.3 * budget < paid <= budget
    assert number(ws, "SELECT sum(cost_usd) FROM calls") == pytest.approx(paid)
    before = len(teacher.asked)
    assert resume_run(ws, run.id, {**wanted, "budget_usd": budget * 1.5}).state == "paused"
    assert before < len(teacher.asked) and paid <= budget * 1.5


def test_a_budget_without_a_known_price_is_refused_before_anything_is_asked(ws, settings, teach):
    teacher = teach(Canned())
    run = execute_run(ws, settings(teacher="openai:unheard-of", budget_usd=1))
    assert run.state == "failed" and "price of openai:unheard-of is unknown" in run.message
    assert not teacher.asked


def test_a_budget_that_covers_no_call_sends_none(ws, settings, teach):
    teacher = teach(Canned())
    run = execute_run(ws, settings(teacher="openai:x", price="100,100", budget_usd=0.01))
    assert run.state == "paused" and "does not cover another call" in run.message
    assert not teacher.asked


def test_money_that_was_paid_for_a_reply_lost_on_its_way_counts(ws, settings, teach):
    """A reply that was truncated in transit or timed out is billed; a 500 or a refusal is not."""
    teacher = teach(Canned(lambda s, nth, m: TeacherFault("cut", billed=True) if nth % 3 == 2 else None))
    run = execute_run(ws, settings(questions_per_syllabus=30, max_calls=40))
    assert run.state == "paused" and len(teacher.asked) == 40
    assert resume_run(ws, run.id).state == "paused" and len(teacher.asked) == 40
    assert number(ws, "SELECT count(*) FROM calls WHERE outcome = 'lost'") >= 10


def test_a_fault_of_ours_fails_the_run_in_words_and_loses_nothing_stored(ws, settings, teach, monkeypatch):
    teach(Canned(lambda s, nth, m: ZeroDivisionError("ours") if s == "answer" and nth == 2 else None))
    run = execute_run(ws, settings())
    assert run.state == "failed" and "ZeroDivisionError" in run.message and "Unexpected error" in run.message
    teach(Canned())
    assert resume_run(ws, run.id).state == "finished"
    assert number(ws, "SELECT count(*) FROM answers") == 8


@pytest.mark.parametrize(("wish", "state"), [(runs.pause, "paused"), (runs.cancel, "cancelled")])
def test_a_wish_is_heard_and_the_run_can_go_on(ws, settings, teach, monkeypatch, wish, state):
    monkeypatch.setattr("glan_core.runs.heartbeat.BEAT_SECONDS", 0.01)

    def behave(stage, nth, messages):
        if stage == "answer" and nth == 10:
            threading.Thread(target=lambda: wish(ws, latest_run(ws).id)).start()

    teacher = teach(Canned(behave, delay=lambda nth: 0.002))
    run = execute_run(ws, settings(questions_per_syllabus=100, pair_share=1))
    assert run.state == state and run.wish is None
    assert number(ws, "SELECT count(*) FROM calls") == len(teacher.asked) < 300
    assert resume_run(ws, run.id).state == "finished"
    assert number(ws, "SELECT count(*) FROM answers") == 200
    assert len(teacher.asked) == number(ws, "SELECT count(*) FROM calls") == 406


def test_a_full_disk_fails_the_run_in_words_and_what_was_stored_is_whole(ws, settings, teach, monkeypatch):
    from glan_core.workspace.group_commit import GroupCommit

    small = GroupCommit.__init__

    def with_little_room(self, workspace, **settings):
        small(self, workspace, **settings)
        self._db.pragma("max_page_count", self._db.pragma("page_count") + 12)

    monkeypatch.setattr(GroupCommit, "__init__", with_little_room)
    teach(Canned())
    run = execute_run(ws, settings(questions_per_syllabus=60))
    assert run.state == "failed" and "full" in run.message, run.message
    assert number(ws, "SELECT count(*) FROM calls WHERE stage = 'answer' AND outcome = 'stored'") == number(
        ws, "SELECT count(*) FROM answers"
    )
    monkeypatch.undo()
    teach(Canned())
    assert resume_run(ws, run.id).state == "finished"
    assert len(list(homework_rows.all_pairs(ws.db))) == 120
