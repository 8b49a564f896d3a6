"""Outages: the endpoint gets pauses, no task fails because of it, and a run does not wait forever."""

import pytest
from support.runs import Canned, execute_run, number

from glan_core.errors import GlanError
from glan_core.generation.rate_limits import Concurrency, Outage, Rate
from glan_core.generation.settings import GenerationSettings
from glan_core.settings import read_settings
from glan_core.teachers.contract import TeacherFault, TeacherRefusal
from glan_core.workspace import call_rows


class Clock:
    """A clock that is set manually."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_single_faults_between_replies_are_no_outage():
    outage = Outage(Clock())
    for _ in range(1000):
        outage.fault(sent=True)
        outage.end()
    assert not outage.down and not outage.gone


def test_an_endpoint_that_was_there_is_waited_for_and_given_up_in_the_end():
    outage = Outage(clock := Clock())
    outage.end()
    for _ in range(Outage.IN_A_ROW):
        outage.fault(sent=False)
    assert outage.down and not outage.gone and outage.pause == 1.0
    clock.now = Outage.GONE_SECONDS + 1
    assert outage.gone and outage.pause == 30.0
    outage.end()
    assert not outage.down and not outage.gone


def test_an_endpoint_that_never_answered_is_given_up_at_once():
    outage = Outage(Clock())
    for _ in range(Outage.NEVER_REACHED):
        outage.fault(sent=False)
    assert outage.gone


def test_after_a_collapse_one_call_probes_and_replies_bring_the_rest_back():
    limit = Concurrency(64, clock := Clock())
    limit.collapse(5.0)
    assert limit.limit == 1 and limit.closed_until == 5.0
    clock.now = 6.0
    assert limit.allows(0) and not limit.allows(1)
    for _ in range(4 + 4 + 16):
        clock.now += 0.01 / limit.limit
        limit.served()
    assert limit.limit == 64


def test_an_outage_in_the_middle_costs_few_requests_and_no_work(ws, settings, teach, monkeypatch):
    monkeypatch.setattr(Outage, "pause", 0.001)
    down = range(40, 75)

    def behave(stage, nth, messages):
        return TeacherFault("http://x failed with status 503.") if stage == "question" and nth in down else None

    teacher = teach(Canned(behave, subjects=2, sessions=5))
    run = execute_run(ws, settings(questions_per_syllabus=60, max_in_flight=16))
    assert run.state == "finished" and number(ws, "SELECT count(*) FROM failures") == 0
    assert number(ws, "SELECT count(*) FROM answers") == 120
    assert teacher.seen["question"] == 120 + len(down)


def test_an_endpoint_that_stays_down_stops_the_run_with_its_work_unblamed(ws, settings, teach, monkeypatch):
    monkeypatch.setattr(Outage, "pause", 0.001)
    monkeypatch.setattr(Outage, "GONE_SECONDS", 0.05)
    gone = TeacherFault("http://x failed with status 503.")
    teach(Canned(lambda stage, nth, messages: gone if stage == "question" and nth > 20 else None))
    run = execute_run(ws, settings(questions_per_syllabus=40))
    assert run.state == "failed" and "status 503" in run.message and "not replied for a while" in run.message
    assert number(ws, "SELECT count(*) FROM failures") == 0 and number(ws, "SELECT count(*) FROM questions") >= 20


def test_one_refused_request_is_one_failure_and_the_run_goes_on(ws, settings, teach):
    refusal = TeacherRefusal("http://x refuses the request (status 400). It says: too long")
    teach(Canned(lambda stage, nth, messages: refusal if stage == "question" and nth == 3 else None))
    run = execute_run(ws, settings(questions_per_syllabus=10))
    assert run.state == "finished"
    [failure] = call_rows.failures(ws.db)
    assert failure.cause == "refused" and "too long" in failure.message and number(ws, "SELECT count(*) FROM questions") == 19


def test_an_endpoint_that_refuses_everything_stops_the_run(ws, settings, teach):
    refusal = TeacherRefusal("http://x refuses the request (status 422). It says: no such parameter")
    teach(Canned(lambda stage, nth, messages: refusal))
    run = execute_run(ws, settings(subject_queries=20))
    assert run.state == "failed" and "no such parameter" in run.message and "first 5 requests" in run.message


def test_tokens_a_minute_hold_for_long_replies_too():
    rate = Rate(60_000, clock := Clock())
    sent = 0
    while clock.now < 120:
        if rate.wait() == 0:
            rate.take(1000)  # estimated tokens
            rate.take(4000 - 1000)  # actual tokens
            sent += 4000
        clock.now += 0.05
    assert 110_000 < sent <= 125_000


def test_the_address_becomes_part_of_the_order(settings, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", "http://here:1/v1/")
    made = read_settings(GenerationSettings, settings(teacher="openai:x"))
    monkeypatch.setenv("OPENAI_BASE_URL", "http://elsewhere:1/v1")
    assert read_settings(GenerationSettings, made.model_dump(mode="json")).base_url == "http://here:1/v1"
    assert read_settings(GenerationSettings, settings()).base_url is None
    by_stage = settings(stages={"question": {"teacher": "openai:y"}})
    assert read_settings(GenerationSettings, by_stage).base_url == "http://elsewhere:1/v1"


def test_orders_that_could_not_be_stored_or_would_ask_twice_are_mended_or_refused(settings):
    assert read_settings(GenerationSettings, settings("music", "music")).target.disciplines == ("music",)
    for seed in (2**63, -(2**63) - 1):
        with pytest.raises(GlanError, match="seed"):
            read_settings(GenerationSettings, settings(seed=seed))
