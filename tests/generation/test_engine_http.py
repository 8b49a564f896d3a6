"""The engine over real sockets, with endpoints that refuse, fail, reset, truncate, reject parameters or send invalid data."""

import asyncio
import json
import time
from collections import Counter, defaultdict

import pytest
from aiohttp import web
from support.runs import Canned, Served, completion, content, execute_run, number, resume_run, rows, stage_of

from glan_core.generation import engine
from glan_core.teachers.contract import DecodingParams
from glan_core.teachers.http_teacher import HttpTeacher
from glan_core.teachers.scripted.faults import Faults
from glan_core.workspace import call_rows, run_rows

FAULTS = Faults(rate_429=0.05, rate_500=0.02, rate_reset=0.01, rate_cut=0.01, retry_after=0.05)
KEY = "a-key-that-looks-like-none-4711"


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    """Retry errors without long waits."""
    monkeypatch.setattr(engine, "BACKOFF", 0.01)


@pytest.mark.long
def test_a_thousand_calls_through_faults_lose_nothing_and_mix_nothing_up(new_workspace, settings):
    wanted = settings("cave-mapping", "bell-founding", "music", questions_per_syllabus=34, max_in_flight=32, seed=9)
    undisturbed, ws = new_workspace("undisturbed"), new_workspace()
    execute_run(undisturbed, wanted)
    with Served(faults=FAULTS, latency_ms=200, record=True) as endpoint:  # a busy machine, too, has many calls in flight
        run = execute_run(ws, {**wanted, "teacher": "openai:scripted", "base_url": endpoint.url})
        stats, served = endpoint.tells("/stats"), endpoint.tells("/requests")
    assert (run.state, run.message) == ("finished", "")
    assert content(ws, teachers=False) == content(undisturbed, teachers=False)
    total = number(ws, "SELECT count(*) FROM calls WHERE outcome = 'stored'")
    assert total == number(undisturbed, "SELECT count(*) FROM calls") == sum(served.values()) > 900
    faults = [stats[f"fault_{kind}"] for kind in ("429", "500", "reset", "cut")]
    assert min(faults) >= 9 and stats["requests"] == total + sum(faults), "each fault costs one more request"
    last = run_rows.last_sample(ws.db, run.id)
    assert (last.requests, last.throttled) == (stats["requests"], stats["fault_429"])
    assert last.faults == stats["fault_500"] + stats["fault_reset"] + stats["fault_cut"]
    assert number(ws, "SELECT count(*) FROM calls WHERE outcome = 'lost'") == stats["fault_cut"]
    assert last.concurrency > 8  # of 32: occasional refusals do not collapse the concurrency


def test_the_cost_of_a_run_includes_replies_that_were_lost(new_workspace, settings):
    ws = new_workspace()
    with Served(faults=Faults(rate_cut=0.2)) as endpoint:
        run = execute_run(ws, settings("cave-mapping", teacher="openai:scripted", base_url=endpoint.url, price="1,2"))
    lost, cost = rows(ws, "SELECT sum(outcome = 'lost'), sum(cost_usd) FROM calls")[0]
    assert lost and run_rows.last_sample(ws.db, run.id).cost_usd == pytest.approx(cost)


@pytest.mark.parametrize("limit", [5, 60, 201])
def test_a_limit_of_calls_holds_at_the_endpoint_through_faults(new_workspace, settings, limit):
    ws = new_workspace()
    with Served(faults=Faults(0.05, 0.05, 0.0, 0.1, retry_after=0.05), latency_ms=2) as endpoint:
        run = execute_run(
            ws,
            settings(
                "cave-mapping", questions_per_syllabus=50, teacher="openai:scripted", base_url=endpoint.url, max_calls=limit
            ),
        )
        stats = endpoint.tells("/stats")
    assert run.state == "paused"
    assert stats["served"] + stats["fault_cut"] == limit == number(ws, "SELECT count(*) FROM calls")


@pytest.mark.long
def test_under_a_hard_rate_limit_the_engine_slows_down_to_it(ws, settings):
    teacher, times, refused = Canned(), [], 0

    async def handle(request):  # at most 10 requests in any 0.1 s
        nonlocal refused
        now = time.monotonic()
        if sum(now - at < 0.1 for at in times[-10:]) >= 10:
            refused += 1
            return web.json_response({"error": {"message": "slow down", "code": "rate_limit_exceeded"}}, status=429,
                                     headers={"Retry-After": "0.1"})  # fmt: skip
        times.append(now)
        await asyncio.sleep(0.02)
        messages = (await request.json())["messages"]
        return completion(teacher.usual(stage_of(messages), messages))

    with Served(handle) as endpoint:
        run = execute_run(ws, settings(questions_per_syllabus=60, teacher="openai:x", base_url=endpoint.url, max_in_flight=64))
    assert (run.state, run.message) == ("finished", "")
    calls = number(ws, "SELECT count(*) FROM calls")
    assert calls == len(times) == 246
    assert refused < calls  # constant concurrency of 64 would be refused five times as often
    seconds = times[-1] - times[0]
    assert calls / seconds > 50  # the endpoint allows 100 per second
    assert min(sample.concurrency for sample in run_rows.samples(ws.db, run.id)) < 64


def test_a_refused_request_waits_as_long_as_it_is_told(ws, settings):
    teacher, arrivals, refused_at = Canned(), defaultdict(list), {}

    async def handle(request):
        messages = (await request.json())["messages"]
        chat = json.dumps(messages)
        arrivals[chat].append(time.monotonic())
        if len(arrivals[chat]) == 1 and len(arrivals) % 3 == 0:
            refused_at[chat] = time.monotonic()
            return web.Response(status=429, headers={"Retry-After": "0.3"})
        return completion(teacher.usual(stage_of(messages), messages))

    with Served(handle) as endpoint:
        run = execute_run(ws, settings(teacher="openai:x", base_url=endpoint.url))
    assert run.message == "" and len(refused_at) >= 5
    for chat, at in refused_at.items():
        assert len(arrivals[chat]) == 2 and arrivals[chat][1] - at >= 0.3


def test_no_wait_at_all_makes_no_storm_of_requests(ws, settings):
    teacher, requests = Canned(), 0
    opens = time.monotonic() + 0.6

    async def handle(request):
        nonlocal requests
        requests += 1
        if time.monotonic() < opens:
            return web.Response(status=429, headers={"Retry-After": "0"})
        messages = (await request.json())["messages"]
        return completion(teacher.usual(stage_of(messages), messages))

    with Served(handle) as endpoint:
        run = execute_run(ws, settings(teacher="openai:x", base_url=endpoint.url))
    assert run.message == ""
    assert requests - number(ws, "SELECT count(*) FROM calls") < 20


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (401, "invalid_api_key", "rejected the API key"),
        (403, "", "does not allow this key to use x"),
        (404, "model_not_found", "has no model x"),
        (429, "insufficient_quota", "quota or credit is exhausted"),
        (400, "context_length_exceeded", "rejected the request (status 400)"),
    ],
)
def test_an_error_that_no_retry_mends_stops_the_run_with_one_sentence_and_without_the_key(
    ws, settings, monkeypatch, capfd, status, code, words
):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    requests = []

    async def handle(request):
        requests.append(request.headers["Authorization"])
        message = f"Incorrect API key provided: {KEY} ({request.headers['Authorization']}), or sk-proj-12345678 maybe."
        return web.json_response({"error": {"message": message, "code": code, "type": code}}, status=status)

    with Served(handle) as endpoint:
        run = execute_run(ws, settings("mathematics", "music", teacher="openai:x", base_url=endpoint.url, subject_queries=9))
    assert set(requests) == {f"Bearer {KEY}"} and len(requests) <= 8
    assert run.state == "failed" and words in run.message and "\n" not in run.message
    assert KEY not in run.message and "sk-proj" not in run.message and "[key]" in run.message
    ws.db.pragma("wal_checkpoint(truncate)")
    assert all(KEY.encode() not in file.read_bytes() for file in ws.folder.rglob("*") if file.is_file())
    assert KEY not in "".join(capfd.readouterr())


def test_parameters_that_an_endpoint_refuses_are_left_out_even_with_many_requests_under_way(ws, settings):
    teacher, sent = Canned(), Counter()

    async def handle(request):
        body = await request.json()
        sent.update(set(body) - {"model", "messages"})
        await asyncio.sleep(0.005)
        for name in ("temperature", "max_tokens", "top_p"):
            if name in body:
                error = {"message": f"Unsupported parameter: '{name}' is not supported with this model.", "param": name,
                         "type": "invalid_request_error", "code": "unsupported_parameter"}  # fmt: skip
                return web.json_response({"error": error}, status=400)
        return completion(teacher.usual(stage_of(body["messages"]), body["messages"]))

    with Served(handle) as endpoint:
        run = execute_run(
            ws, settings("mathematics", "music", "cave-mapping", teacher="openai:x", base_url=endpoint.url, subject_queries=8)
        )
    assert (run.state, run.message) == ("finished", "")
    assert sent["max_completion_tokens"] >= number(ws, "SELECT count(*) FROM calls")
    assert sent["temperature"] <= 8 and sent["top_p"] <= 24


@pytest.mark.parametrize(
    "body",
    [
        b"", b"<html>Bad gateway</html>", b"{}", b'{"choices": []}', b'{"choices": [{"message": null}]}', b"[1]", b"null",
        b'{"choices": [{"message": {"content": 7}}]}', b"[" * 100_000, b"\xff\xfe\x00",
        b'{"choices": [{"message": {"content": "cut of',
    ],
)  # fmt: skip
def test_a_body_that_is_no_completion_is_a_passing_fault(ws, settings, body):
    teacher, asked = Canned(), Counter()

    async def handle(request):
        messages = (await request.json())["messages"]
        asked[json.dumps(messages)] += 1
        if asked[json.dumps(messages)] == 1 and stage_of(messages) == "answer":
            return web.Response(body=body, content_type="application/json")
        return completion(teacher.usual(stage_of(messages), messages))

    with Served(handle) as endpoint:
        run = execute_run(ws, settings(teacher="openai:x", base_url=endpoint.url, questions_per_syllabus=1))
    assert (run.state, run.message) == ("finished", "")
    assert number(ws, "SELECT count(*) FROM answers") == 2


@pytest.mark.parametrize("usage", [None, [], "many", {"prompt_tokens": "x", "completion_tokens": 3}, {"prompt_tokens": 3}])
def test_without_usable_token_counts_they_are_estimated_and_marked(ws, settings, usage):
    teacher = Canned()

    async def handle(request):
        messages = (await request.json())["messages"]
        choice = {"message": {"content": teacher.usual(stage_of(messages), messages)}}
        return web.json_response({"choices": [choice], "usage": usage})

    with Served(handle) as endpoint:
        run = execute_run(ws, settings(teacher="openai:x", base_url=endpoint.url, price="1,1"))
    assert run.message == ""
    assert rows(ws, "SELECT DISTINCT estimated FROM calls") == [(1,)]
    assert number(ws, "SELECT min(tokens_out) FROM calls") > 0 and number(ws, "SELECT sum(cost_usd) FROM calls") > 0


def test_content_in_parts_is_joined(ws):
    parts = [{"type": "text", "text": "Two "}, {"type": "text", "text": "parts."}]

    async def ask(url):
        teacher = HttpTeacher("x", url)
        try:
            return await teacher.reply([{"role": "user", "content": "?"}], DecodingParams())
        finally:
            await teacher.close()

    async def handle(request):
        return completion(parts)

    with Served(handle) as endpoint:
        assert asyncio.run(ask(endpoint.url)).text == "Two parts."


def test_an_address_where_nobody_listens_fails_the_run_and_a_right_one_takes_it_up(ws, settings):
    with Served() as endpoint:
        wanted = settings(
            "mathematics", "music", subject_queries=12, max_subjects=1, questions_per_syllabus=1, teacher="openai:scripted"
        )
        run = execute_run(ws, {**wanted, "base_url": "http://127.0.0.1:9/v1", "max_in_flight": 64})
        assert run.state == "failed" and "127.0.0.1:9" in run.message and "cannot be reached" in run.message
        assert resume_run(ws, run.id, {**wanted, "base_url": endpoint.url}).state == "finished"
    assert number(ws, "SELECT count(*) FROM answers") == 2 and not call_rows.failures(ws.db)
