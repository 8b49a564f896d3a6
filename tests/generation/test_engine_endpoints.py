"""Runs against endpoints with habits of their own: slow, serial, loading, truncating, rate-limited, and several at once."""

import asyncio
import json
import time
from collections import Counter

import pytest
from aiohttp import web
from support.runs import Canned, Served, completion, execute_run, number, rows, stage_of, wait_for

from glan_core.generation import engine as engines
from glan_core.generation.failure_causes import CAUSES, advice_for, summary
from glan_core.generation.reply_checks import repetition
from glan_core.teachers.contract import Reply, TeacherBusy, TeacherFault, UnusableReply
from glan_core.workspace import call_rows, run_rows
from glan_core.workspace.call_rows import FailureGroup


def answering(teacher: Canned, before=None):
    """Return a handler that replies as `teacher` does; `before(messages, body)` may return or await another response."""

    async def handle(request):
        body = await request.json()
        other = await before(body["messages"], body) if before else None
        if other is not None:
            return other
        text = teacher.usual(stage_of(body["messages"]), body["messages"])
        words = sum(len(m["content"].split()) for m in body["messages"])
        return completion(text, prompt_tokens=2 * words, completion_tokens=2 * len(text.split()))

    return handle


# ------------------------------------------------------------------------------------------------ reasoning and truncation


@pytest.mark.parametrize(
    ("reply", "cause", "says"),
    [
        (Reply("Half an ans", "length", 900, 4096), "cut", "max_tokens"),
        (Reply("Half an ans", "length", 1900, 148), "context full", "1,900 prompt and 148 completion tokens"),
        (Reply("Half an ans", "stop", 40, 20), "prompt truncated", "used 40 tokens of a prompt of"),
        (Reply("It is 4. " * 300, "length", 900, 4096), "repetition", "the reply repeats “"),
        (Reply("", "length", 900, 4096, tokens_reasoning=4096), "reasoning only", "raise max_tokens"),
        (Reply("", "stop", 900, 300, reasoning="Hmm."), "reasoning only", "within the reasoning"),
        (UnusableReply("too large", "It sent too much.", Reply("[[[", "length", 900, 4096, estimated=True)), "too large", "too much"),
        (UnusableReply("endpoint error", "It said no.", Reply("", "error", 900, 30)), "endpoint error", "It said no."),
    ],
)  # fmt: skip
def test_a_reply_that_is_no_record_fails_with_its_cause_and_advice(ws, settings, teach, monkeypatch, reply, cause, says):
    monkeypatch.setattr("glan_core.generation.reply_checks.MIN_WORDS", 5)
    long = "Explain in detail how " + "each of these ideas follows " * 40

    def behave(stage, nth, messages):
        return long if stage == "question" else reply if stage == "answer" else None

    teach(Canned(behave))
    run = execute_run(ws, settings(questions_per_syllabus=1, max_subjects=1, price="1,1"))
    [group] = call_rows.failure_groups(ws.db, run.id)
    assert (group.stage, group.cause, group.count) == ("answer", cause, 1) and says in group.message
    assert (
        CAUSES[cause].advice.format(stage="answer") == advice_for(cause, "answer")
        and advice_for(cause, "answer") in run.message
    )
    assert not rows(ws, "SELECT 1 FROM answers")
    spent = run_rows.last_sample(ws.db, run.id).cost_usd
    assert spent == pytest.approx(number(ws, "SELECT sum(cost_usd) FROM calls"))
    assert spent == pytest.approx(sum(c.get("cost_usd", 0) for c in call_rows.counters(ws.db).values()))


@pytest.mark.parametrize("tokens_in", [10, 95, 1000])
def test_a_plausible_or_meaningless_count_of_prompt_tokens_is_no_truncation(ws, settings, teach, tokens_in):
    long = "Explain " + "word " * 99

    def behave(stage, nth, messages):
        return long if stage == "question" else Reply("An answer.", "stop", tokens_in, 9) if stage == "answer" else None

    teach(Canned(behave))
    run = execute_run(ws, settings(questions_per_syllabus=1, max_subjects=1))
    assert run.message == "" and number(ws, "SELECT count(*) FROM answers") == 1


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("So it is. " * 30, "So it is."), ("abc" * 100, "abc"), ("ha" * 100, "ha"), ("ha" * 60, None), ("-" * 500, None),
        ("\n".join(f"{n}. Item {n * n}" for n in range(200)), None), ("Once. Twice. Twice. Twice.", None), ("", None),
    ],
)  # fmt: skip
def test_repetition_loops_are_found_at_the_end_of_a_reply(text, found):
    loop = repetition(text)
    assert loop is None if found is None else set(found.split()) <= set(loop.split()) or found in loop * 3


@pytest.mark.parametrize("stage", ["subject_list", "subjects", "syllabus", "sessions"])
def test_early_stages_try_again_within_the_run(ws, settings, teach, stage):
    teacher = teach(Canned(lambda s, nth, m: Reply("Half", "length", 900, 8192) if s == stage and nth < 2 else None))
    run = execute_run(ws, settings(max_subjects=1, questions_per_syllabus=1, max_in_flight=1))
    assert (run.state, run.message) == ("finished", "") and not call_rows.failures(ws.db)
    assert teacher.seen[stage] == 3 and teacher.seen["answer"] == 1


def test_a_summary_says_what_to_change_or_that_repeating_may_help():
    assert summary([]) == ""
    cut = [FailureGroup("answer", "cut", 3, "", ""), FailureGroup("question", "empty", 1, "", "")]
    assert summary(cut) == (
        "4 calls failed, mostly: cut (3). Raise the token limit (--stage answer:max_tokens=…). Running again without a change is "
        "likely to fail again."
    )
    assert summary([FailureGroup("answer", "no reply", 1, "", "")]) == (
        "1 call failed: no reply. Check the endpoint's log, then continue the run. The next run retries them."
    )


# ------------------------------------------------------------------------------------------------------- slow and serial


@pytest.mark.long
def test_a_serial_server_is_asked_for_few_replies_at_once(ws, settings):
    lock, at_once, most = asyncio.Lock(), 0, 0

    async def one_by_one(messages, body):
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        async with lock:
            await asyncio.sleep(0.03)
        at_once -= 1

    with Served(answering(Canned(subjects=3), one_by_one)) as endpoint:
        run = execute_run(
            ws, settings(teacher="openai:x", base_url=endpoint.url, max_in_flight=64, questions_per_syllabus=15, price="0,0")
        )
    assert run.message == "" and number(ws, "SELECT count(*) FROM answers") == 45
    assert most <= 16


def test_a_server_that_loads_its_model_is_waited_for_with_a_message(ws, settings, monkeypatch):
    monkeypatch.setattr(engines, "LOADING_PAUSE", 0.3)
    monkeypatch.setattr(engines, "SHOWN_WAIT", 0.0)
    monkeypatch.setattr("glan_core.runs.heartbeat.BEAT_SECONDS", 0.02)
    ready = time.monotonic() + 1.0
    requests = 0

    async def loading(messages, body):
        nonlocal requests
        requests += 1
        if time.monotonic() < ready:
            return web.json_response(
                {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}, status=503
            )

    said: set[str] = set()
    with Served(answering(Canned(), loading)) as endpoint:
        values = settings(teacher="openai:x", base_url=endpoint.url, price="0,0")
        run = execute_run(ws, values, watch=lambda sample, stages, notes: said.update(notes))
    assert (run.state, run.message, run.waiting) == ("finished", "", "")
    assert any("is loading the model. The next attempt is at" in note for note in said)
    calls = number(ws, "SELECT count(*) FROM calls")
    assert requests - calls <= 8 and run_rows.last_sample(ws.db, run.id).throttled == 0


def test_an_hour_of_retry_after_is_stated_and_the_run_can_be_cancelled_meanwhile(ws, settings, monkeypatch):
    monkeypatch.setattr("glan_core.runs.heartbeat.BEAT_SECONDS", 0.02)

    async def closed(messages, body):
        return web.json_response({"error": {"message": "Too many requests"}}, status=429, headers={"Retry-After": "3600"})

    seen = []

    def watch(sample, stages, notes):
        seen.extend(notes)
        if notes:
            with ws.write() as db:
                run_rows.update_run(db, 1, wish="cancel")

    with Served(answering(Canned(), closed)) as endpoint:
        begun = time.monotonic()
        run = execute_run(ws, settings(teacher="openai:x", base_url=endpoint.url), watch=watch)
    assert run.state == "cancelled" and time.monotonic() - begun < 20
    assert "rate limit (status 429). Message: Too many requests. The next attempt is at " in seen[0]


def test_a_wait_of_a_day_ends_the_run_with_the_endpoints_message(ws, settings, teach):
    teach(Canned(lambda stage, nth, messages: TeacherBusy("Daily limit reached.", 86_400.0)))
    run = execute_run(ws, settings())
    assert run.state == "failed" and "Daily limit reached." in run.message and "Resume the run after that" in run.message


@pytest.mark.parametrize("wish", ["cancel", "pause"])
def test_calls_that_hang_are_abandoned_after_a_while_and_recorded(ws, settings, teach, monkeypatch, wish):
    monkeypatch.setattr("glan_core.runs.heartbeat.BEAT_SECONDS", 0.02)
    monkeypatch.setattr("glan_core.generation.run.CANCEL_SECONDS", 0.1)
    hanging = Canned(delay=lambda nth: 0 if nth < 6 else 60)
    monkeypatch.setattr(engines.Engine.stop, "__defaults__", (0.1,))
    teach(hanging)
    said: set[str] = set()

    def watch(sample, stages, notes):
        said.update(notes)
        if len(hanging.asked) > 8 and sample.in_flight:
            with ws.write() as db:
                run_rows.update_run(db, 1, wish=wish)

    begun = time.monotonic()
    run = execute_run(ws, settings(questions_per_syllabus=4), watch=watch)
    assert time.monotonic() - begun < 20 and run.state == {"cancel": "cancelled", "pause": "paused"}[wish]
    lost = number(ws, "SELECT count(*) FROM calls WHERE outcome = 'lost'")
    assert lost > 0, "an abandoned call may be billed"
    assert lost + number(ws, "SELECT count(*) FROM calls WHERE outcome = 'stored'") == len(hanging.asked)


# ------------------------------------------------------------------------------------------------------- several endpoints


def test_a_closed_endpoint_of_one_stage_does_not_hold_up_the_others(ws, settings):
    answers: Counter[str] = Counter()
    opened = asyncio.Event()

    async def closed(messages, body):
        answers["asked"] += 1
        if not opened.is_set():
            return web.json_response({"error": {"message": "wait"}}, status=429, headers={"Retry-After": "0.3"})

    async def counting(messages, body):
        answers[stage_of(messages)] += 1
        if answers["question"] == 40:  # all questions are there before the first answer
            opened.set()

    with Served(answering(Canned(), counting)) as first, Served(answering(Canned(), closed)) as second:
        run = execute_run(
            ws,
            settings(
                teacher="openai:x", base_url=first.url, questions_per_syllabus=20, price="0,0",
                stages={"answer": {"teacher": "openai:y", "base_url": second.url}},
            ),
        )  # fmt: skip
    assert run.message == "" and number(ws, "SELECT count(*) FROM answers") == 40
    assert answers["asked"] < 200 and answers["answer"] == 0, "answers go to their own endpoint"
    assert rows(ws, "SELECT DISTINCT answer_teacher FROM questions") == [("openai:y",)]


def test_each_endpoint_gets_its_own_key_headers_and_fields(ws, settings, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "first-key-1234")
    monkeypatch.setenv("OTHER_KEY", "other-key-5678")
    seen: dict[str, set] = {"first": set(), "second": set()}

    def noting(which):
        async def handle(request):
            body = await request.json()
            extra = json.dumps({name: body.get(name) for name in ("reasoning_effort", "provider")})
            seen[which].add((request.headers.get("Authorization"), request.headers.get("X-Title"), extra))
            return completion(
                Canned().usual(stage_of(body["messages"]), body["messages"]), prompt_tokens=999, completion_tokens=9
            )

        return handle

    with Served(noting("first")) as first, Served(noting("second")) as second:
        stage = {
            "teacher": "openai:y", "base_url": second.url, "key_variable": "OTHER_KEY", "extra_body": {"provider": {"sort": "price"}}
        }  # fmt: skip
        run = execute_run(
            ws,
            settings(
                teacher="openai:x", base_url=first.url, headers={"X-Title": "GLAN"}, extra_body={"reasoning_effort": "low"},
                stages={"answer": stage}, price="0,0",
            ),
        )  # fmt: skip
    assert run.message == ""
    assert seen["first"] == {("Bearer first-key-1234", "GLAN", '{"reasoning_effort": "low", "provider": null}')}
    assert seen["second"] == {("Bearer other-key-5678", None, '{"reasoning_effort": null, "provider": {"sort": "price"}}')}
    assert rows(ws, "SELECT DISTINCT sent FROM calls WHERE stage = 'answer'") == [('{"provider": {"sort": "price"}}',)]
    stored = b"".join(file.read_bytes() for file in ws.folder.rglob("*") if file.is_file())
    assert b"first-key-1234" not in stored and b"other-key-5678" not in stored


def test_the_calls_table_records_what_was_sent_and_rejections_are_reported_once(ws, settings):
    async def rejects(messages, body):
        if "temperature" in body:
            return web.json_response({"error": {"message": "`temperature` may only be set to 1"}}, status=400)

    with Served(answering(Canned(), rejects)) as endpoint:
        stages = {"answer": {"top_p": "none", "max_tokens": "none"}}
        run = execute_run(ws, settings(teacher="openai:x", base_url=endpoint.url, stages=stages, price="0,0"))
    assert run.notices == (f"{endpoint.url} rejects temperature for x. Calls continue without it.",)
    sent = rows(ws, "SELECT DISTINCT temperature, top_p, max_tokens FROM calls WHERE stage = 'answer'")
    assert sent == [(None, None, None)]
    assert rows(ws, "SELECT DISTINCT temperature, top_p, max_tokens FROM calls WHERE stage = 'question'") == [
        (None, 0.95, 2048)
    ]


def test_a_single_odd_response_costs_at_most_itself(ws, settings):
    odd = iter([
        web.Response(status=302, headers={"Location": "http://elsewhere/"}),
        completion("x", prompt_tokens=10**30, completion_tokens=10**30), web.Response(body=b"<html>Sign in</html>"),
    ])  # fmt: skip

    async def sometimes(messages, body):
        return next(odd, None) if stage_of(messages) == "answer" else None

    with Served(answering(Canned(), sometimes)) as endpoint:
        run = execute_run(ws, settings(teacher="openai:x", base_url=endpoint.url, price="1,1", questions_per_syllabus=3))
    assert (run.state, run.message) == ("finished", "") and number(ws, "SELECT count(*) FROM answers") == 6
    assert number(ws, "SELECT max(tokens_in) FROM calls") < 10**6


@pytest.mark.parametrize("status", [200, 302])
def test_an_address_that_only_leads_to_a_page_ends_the_run_soon(ws, settings, status):
    requests = 0

    async def page(messages, body):
        nonlocal requests
        requests += 1
        return web.Response(
            status=status, body=b"<html><title>Sign in</title></html>", headers={"Location": "http://elsewhere/"}
        )

    with Served(answering(Canned(), page)) as endpoint:
        begun = time.monotonic()
        run = execute_run(ws, settings("mathematics", "music", subject_queries=5, teacher="openai:x", base_url=endpoint.url))
    assert run.state == "failed" and requests < 12 and time.monotonic() - begun < 20
    assert ("Sign in" if status == 200 else "http://elsewhere/") in run.message and "Check the URL" in run.message


def test_the_latest_fault_is_part_of_what_a_run_says(ws, settings, teach):
    teach(Canned(lambda stage, nth, messages: TeacherFault("http://x failed with status 500.") if stage == "answer" else None))
    run = execute_run(ws, settings(questions_per_syllabus=1, max_subjects=1))
    assert "no reply" in run.message and wait_for(lambda: call_rows.failures(ws.db), "the failure")[0].message.startswith(
        "http://x"
    )
