"""Runs over several endpoints that serve the same model: slow, killed, restarted, misconfigured, rate-limited."""

import asyncio
import time
from collections import Counter
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from support.runs import Canned, Served, completion, content, execute_run, number, resume_run, rows, stage_of

from glan_core.generation import engine as engines
from glan_core.generation.rate_limits import Concurrency, Outage
from glan_core.workspace import call_rows, run_rows

ELSEWHERE = "http://127.0.0.1:9/v1"  # nobody listens there


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    """Retry and probe without long waits, and report often."""
    monkeypatch.setattr(engines, "BACKOFF", 0.01)
    monkeypatch.setattr(Outage, "pause", property(lambda self: 0.05))
    monkeypatch.setattr("glan_core.runs.heartbeat.BEAT_SECONDS", 0.02)


class Server:
    """One endpoint: counts its chats, lists one model, and may answer otherwise."""

    def __init__(self, *, model: str = "x", before=None) -> None:
        self.model, self.before = model, before
        self.chats: Counter[str] = Counter()
        self.keys: set[str | None] = set()
        self._teacher = Canned()

    async def __call__(self, request):
        self.keys.add(request.headers.get("Authorization"))
        if request.method == "GET":
            return web.json_response({"data": [{"id": self.model}]})
        messages = (await request.json())["messages"]
        other = await self.before(messages) if self.before else None
        if other is not None:
            return other
        self.chats[str(messages)] += 1
        return completion(self._teacher.usual(stage_of(messages), messages))

    def served(self, port: int = 0) -> Served:
        return Served(self, everything=True, port=port)


def error(status: int, message: str = "no", **headers):
    """Return a handler of one error response."""

    async def respond(messages):
        return web.json_response({"error": {"message": message}}, status=status, headers=headers)

    return respond


def endpoint(run, url: str):
    """Return what a run reports about an endpoint."""
    return next(one for one in run.endpoints if one.name == urlsplit(url).netloc)


@pytest.fixture
def undisturbed(new_workspace, settings, teach):
    """Return the content of a run with one teacher that never fails."""
    ws = new_workspace("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("glan_core.generation.run.open_teacher", lambda spec, base_url=None, **key: Canned())
        execute_run(ws, settings(questions_per_syllabus=40))
    return content(ws, teachers=False)


# ------------------------------------------------------------------------------------------------------------ distribution


@pytest.mark.long
def test_the_faster_of_two_endpoints_gets_more_calls_and_the_rows_are_those_of_one(new_workspace, settings):
    wanted = settings("cave-mapping", questions_per_syllabus=60, max_in_flight=4, seed=3, teacher="openai:scripted")
    alone, ws = new_workspace("alone"), new_workspace()
    with Served() as one:
        execute_run(alone, {**wanted, "base_url": one.url})
    with Served(latency_ms=400, record=True) as slow, Served(latency_ms=10, record=True) as fast:
        run = execute_run(ws, {**wanted, "base_url": slow.url, "replicas": fast.url})
        chats = [Counter(served.tells("/requests")) for served in (slow, fast)]
    assert (run.state, run.message) == ("finished", "") and content(ws) == content(alone)
    first, second = (chat.total() for chat in chats)
    assert first + second == number(ws, "SELECT count(*) FROM calls") and max((chats[0] + chats[1]).values()) == 1
    assert second > 2 * first > 0
    assert [(one.state, one.in_flight, one.answered) for one in run.endpoints] == [("in use", 0, first), ("in use", 0, second)]
    recorded = dict(rows(ws, "SELECT endpoint, count(*) FROM calls GROUP BY endpoint"))
    assert recorded == {urlsplit(slow.url).netloc: first, urlsplit(fast.url).netloc: second}
    assert rows(alone, "SELECT DISTINCT endpoint FROM calls") == [(None,)]


def test_an_endpoint_whose_replies_arrive_together_gets_as_many_calls_as_allowed(ws, settings, monkeypatch):
    """With one latency for all calls, those in flight return at the same moment."""
    monkeypatch.setattr(Concurrency, "_is_saturated", lambda self, *rates: False)  # a busy machine may look like it
    waiting = most = 0

    async def together(messages):
        nonlocal waiting, most
        waiting += 1
        most = max(most, waiting)
        now = asyncio.get_running_loop().time()
        await asyncio.sleep(0.05 - now % 0.05)
        waiting -= 1

    with Server(before=together).served() as one:
        wanted = settings("cave-mapping", questions_per_syllabus=150, max_in_flight=32, seed=3, teacher="openai:x")
        assert execute_run(ws, {**wanted, "base_url": one.url}).state == "finished"
    assert most > 16


def test_of_four_endpoints_one_is_killed_and_restarted_and_used_again(ws, settings, undisturbed):
    servers = [Server() for _ in range(4)]
    killed, back = servers[1], Server()
    state = {"answers": 0}

    async def until_it_is_back(messages):
        """Hold the last calls until the restarted endpoint has answered, so that the run cannot end before."""
        state["answers"] += 1
        deadline = time.monotonic() + 20
        while state["answers"] > 100 and back.chats.total() < 5 and time.monotonic() < deadline:
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.002)

    for server in servers:
        server.before = until_it_is_back
    with ExitStack() as stack:
        served = [stack.enter_context(server.served()) for server in servers[:1] + servers[2:]]
        dying = killed.served().__enter__()
        states = []

        def watch(sample, stages, notes):
            if "killed" not in state and sample.done > 40:
                state["killed"] = dying.__exit__(None, None, None)
            seen = run_rows.run(ws.db, 1).endpoints
            if seen and seen[1].state == "out of use" and "back" not in state:
                state["back"] = stack.enter_context(back.served(urlsplit(dying.url).port))
            states.append(seen and seen[1].state)

        urls = [served[0].url, dying.url, served[1].url, served[2].url]
        run = execute_run(
            ws,
            settings(
                teacher="openai:x", base_url=urls[0], replicas=urls[1:], questions_per_syllabus=40, price="0,0", max_in_flight=8
            ),
            watch=watch,
        )  # fmt: skip
    assert (run.state, run.message) == ("finished", "") and content(ws, teachers=False) == undisturbed
    assert not call_rows.failures(ws.db)
    assert killed.chats.total() > 0 and back.chats.total() >= 5
    again = endpoint(run, dying.url)
    assert again.state == "in use" and again.outages >= 1 and again.faults >= 1
    assert sum(one.answered for one in run.endpoints) == number(ws, "SELECT count(*) FROM calls WHERE outcome = 'stored'")
    assert number(ws, "SELECT count(DISTINCT work_id || stage) FROM calls WHERE outcome = 'stored'") == number(
        ws, "SELECT count(*) FROM calls WHERE outcome = 'stored'"
    )


@pytest.mark.long
def test_streamed_replies_are_distributed_too(ws, settings):
    with Served() as first, Served() as second:
        run = execute_run(ws, settings(teacher="openai:scripted", base_url=first.url, replicas=second.url, live=True))
        assert first.tells("/stats")["served"] and second.tells("/stats")["served"]
    assert run.message == "" and all(one.answered for one in run.endpoints)


def test_a_resumed_run_adds_to_the_totals_and_keeps_endpoints_that_it_no_longer_uses(ws, settings):
    with Server().served() as first, Server().served() as second, Server().served() as third:
        wanted = settings(teacher="openai:x", base_url=first.url, questions_per_syllabus=40, price="0,0")
        run = execute_run(ws, {**wanted, "replicas": second.url, "max_calls": 30})
        assert run.state == "paused" and sum(one.answered for one in run.endpoints) == 30
        before = {one.name: one.answered for one in run.endpoints}
        run = resume_run(ws, run.id, {**wanted, "replicas": (third.url,)})
    assert run.state == "finished" and [one.state for one in run.endpoints] == ["in use", "in use", "not used"]
    assert endpoint(run, first.url).answered > before[urlsplit(first.url).netloc]
    assert endpoint(run, second.url).answered == before[urlsplit(second.url).netloc]
    assert sum(one.answered for one in run.endpoints) == number(ws, "SELECT count(*) FROM calls")


def test_a_run_with_one_endpoint_reports_none(ws, settings):
    with Served() as only:
        run = execute_run(ws, settings(teacher="openai:scripted", base_url=only.url, replicas=only.url))
    assert run.message == "" and run.endpoints == ()


# --------------------------------------------------------------------------------------------------------------- the start


def test_an_endpoint_that_is_down_at_the_start_is_stated_and_not_used(ws, settings):
    with Server().served() as first:
        run = execute_run(ws, settings(teacher="openai:x", base_url=first.url, replicas=ELSEWHERE, price="0,0"))
    assert (run.state, run.message) == ("finished", "")
    [notice] = run.notices
    assert notice.startswith(f"{ELSEWHERE} cannot be reached") and notice.endswith("It is used as soon as it answers.")
    assert [one.state for one in run.endpoints] == ["in use", "out of use"] and endpoint(run, ELSEWHERE).answered == 0


def test_a_base_url_that_is_down_is_replaced_by_its_replica(ws, settings):
    with Server().served() as second:
        run = execute_run(ws, settings(teacher="openai:x", base_url=ELSEWHERE, replicas=second.url, price="0,0"))
    assert (run.state, run.message) == ("finished", "") and endpoint(run, second.url).answered > 0


def test_without_any_endpoint_the_run_fails_at_once(ws, settings):
    run = execute_run(ws, settings(teacher="openai:x", base_url=ELSEWHERE, replicas="http://127.0.0.1:10/v1"))
    assert run.state == "failed" and run.message.startswith("None of the 2 endpoints answers.")
    assert "cannot be reached" in run.message and "Check that the servers are running" in run.message


def test_a_replica_that_serves_another_model_is_refused_before_the_first_call(ws, settings):
    right, wrong = Server(), Server(model="other")
    with right.served() as first, wrong.served() as second:
        run = execute_run(ws, settings(teacher="openai:x", base_url=first.url, replicas=second.url))
    assert run.state == "failed" and not right.chats and not wrong.chats
    assert run.message.startswith(
        f"{second.url} does not serve x, which another endpoint of this run serves. Models there: other."
    )


# --------------------------------------------------------------------------------------------------- endpoints with a fault


@pytest.mark.parametrize(
    ("status", "words"), [(404, "has no model x"), (401, "rejected the API key"), (402, "quota or credit is exhausted")]
)
def test_an_endpoint_that_cannot_be_used_is_excluded_and_the_others_go_on(ws, settings, undisturbed, status, words):
    right, wrong = Server(), Server(before=error(status))
    with right.served() as first, wrong.served() as second:
        run = execute_run(
            ws, settings(teacher="openai:x", base_url=second.url, replicas=first.url, questions_per_syllabus=40, price="0,0")
        )
    assert (run.state, run.message) == ("finished", "") and content(ws, teachers=False) == undisturbed
    [notice] = run.notices
    assert words in notice and notice.endswith(f"{urlsplit(second.url).netloc} is not used for the rest of the run.")
    assert endpoint(run, second.url).state == "excluded" and not call_rows.failures(ws.db)


def test_if_every_endpoint_rejects_the_model_the_run_fails_with_its_message(ws, settings):
    with Server(before=error(404)).served() as first, Server(before=error(404)).served() as second:
        run = execute_run(ws, settings(teacher="openai:x", base_url=first.url, replicas=second.url))
    assert run.state == "failed" and "has no model x" in run.message


def test_an_endpoint_that_always_fails_costs_no_task(ws, settings, undisturbed):
    with Server().served() as first, Server(before=error(500)).served() as second:
        run = execute_run(
            ws, settings(teacher="openai:x", base_url=second.url, replicas=first.url, questions_per_syllabus=40, price="0,0")
        )
    assert (run.state, run.message) == ("finished", "") and content(ws, teachers=False) == undisturbed
    failing = endpoint(run, second.url)
    assert failing.answered == 0 and failing.outages >= 1


def test_a_task_that_fails_everywhere_is_given_up(ws, settings):
    asked = Counter()

    async def some(messages):
        if stage_of(messages) == "answer":
            asked[str(messages)] += 1
            return await error(500)(messages)

    with Server(before=some).served() as first, Server(before=some).served() as second:
        run = execute_run(
            ws,
            settings(
                teacher="openai:x",
                base_url=first.url,
                replicas=second.url,
                questions_per_syllabus=1,
                max_subjects=1,
                price="0,0",
            ),
        )
    assert run.state == "finished" and [group.cause for group in call_rows.failure_groups(ws.db, run.id)] == ["no reply"]
    assert engines.MAX_FAULTS <= max(asked.values()) < 200


def test_a_rate_limit_of_one_endpoint_does_not_hold_up_the_run(ws, settings, undisturbed):
    limited = Server(before=error(429, "Too many requests", **{"Retry-After": "3600"}))
    with Server().served() as first, limited.served() as second:
        run = execute_run(
            ws, settings(teacher="openai:x", base_url=second.url, replicas=first.url, questions_per_syllabus=40, price="0,0")
        )
    assert (run.state, run.message) == ("finished", "") and content(ws, teachers=False) == undisturbed
    assert endpoint(run, second.url).answered == 0 and run.waiting == ""


# -------------------------------------------------------------------------------------------------------------------- keys


def test_the_key_goes_to_the_host_of_the_base_url_only(ws, settings, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "first-key-1234")
    monkeypatch.setenv("OTHER_KEY", "other-key-5678")
    first, same, other, own = Server(), Server(), Server(), Server()
    with first.served() as a, same.served() as b, other.served() as c, own.served() as d:
        elsewhere = [c.url.replace("127.0.0.1", "localhost"), d.url.replace("127.0.0.1", "localhost") + "#OTHER_KEY"]
        wanted = settings(
            teacher="openai:x", base_url=a.url, replicas=[b.url, *elsewhere], questions_per_syllabus=40, price="0,0",
            headers={"X-Title": "GLAN"},
        )  # fmt: skip
        run = execute_run(ws, wanted)
    assert run.message == "" and all(server.chats for server in (first, same, other, own))
    assert [server.keys for server in (first, same, other, own)] == [
        {"Bearer first-key-1234"}, {"Bearer first-key-1234"}, {None}, {"Bearer other-key-5678"}
    ]  # fmt: skip
    stored = b"".join(file.read_bytes() for file in ws.folder.rglob("*") if file.is_file())
    assert b"first-key-1234" not in stored and b"other-key-5678" not in stored
