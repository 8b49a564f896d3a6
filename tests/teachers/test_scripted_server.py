"""The scripted teacher over HTTP: OpenAI-compatible responses, exact fault counts, streams, keys and limits."""

import asyncio
import json
import socket
from collections import Counter
from contextlib import asynccontextmanager

import aiohttp
import pytest

from glan_core.errors import GlanError
from glan_core.teachers.contract import estimate_tokens
from glan_core.teachers.scripted.faults import Schedule
from glan_core.teachers.scripted.http_server import Faults, fingerprint, serving
from glan_core.teachers.scripted.scripted_teacher import answer

QUESTION = [{"role": "user", "content": "What is a standing wave?"}]
BODY = {"model": "scripted", "messages": QUESTION}


def scene(test, **settings):
    """Run a coroutine function of (session, base URL) against a server with these settings."""

    async def play():
        async with client(**settings) as (session, url):
            return await test(session, url)

    return asyncio.run(play())


@asynccontextmanager
async def client(**settings):
    async with serving(**settings) as url, aiohttp.ClientSession() as session:
        yield session, url


async def post(session, url: str, body: object = BODY, **options) -> tuple[int, dict]:
    async with session.post(f"{url}/chat/completions", json=body, **options) as response:
        return response.status, await response.json()


async def get(session, url: str, path: str) -> dict:
    async with session.get(url.removesuffix("/v1") + path) as response:
        return await response.json()


async def outcome(session, url: str, body: object = BODY) -> str:
    """Return the outcome of a request: its status or the type of connection error."""
    try:
        async with session.post(f"{url}/chat/completions", json=body) as response:
            await response.read()
            return str(response.status)
    except aiohttp.ClientPayloadError:
        return "cut"
    except aiohttp.ClientConnectionError:
        return "reset"


def test_a_completion_has_openais_form_and_the_teachers_answer():
    async def test(session, url):
        return await post(session, url)

    status, body = scene(test)
    text = answer(QUESTION)
    assert status == 200 and body["object"] == "chat.completion" and body["model"] == "scripted"
    choice = body["choices"][0]
    assert choice["message"] == {"role": "assistant", "content": text, "refusal": None}
    assert choice["finish_reason"] == "stop"
    tokens = estimate_tokens(QUESTION[0]["content"]), estimate_tokens(text)
    assert body["usage"] == {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "total_tokens": sum(tokens)}


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_a_reply_is_cut_at_the_token_limit(name):
    async def test(session, url):
        return await post(session, url, BODY | {name: 5})

    _, body = scene(test)
    assert body["choices"][0]["finish_reason"] == "length"
    assert body["usage"]["completion_tokens"] == 5
    assert answer(QUESTION).startswith(body["choices"][0]["message"]["content"])


def events(raw: bytes) -> list:
    lines = raw.decode().split("\n\n")
    assert lines.pop() == "" and all(line.startswith("data: ") for line in lines)
    assert lines.pop() == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines]


def test_a_stream_says_what_a_plain_reply_says():
    async def test(session, url):
        options = {"stream": True, "stream_options": {"include_usage": True}}
        async with session.post(f"{url}/chat/completions", json=BODY | options) as response:
            assert response.content_type == "text/event-stream"
            streamed = events(await response.read())
        async with session.post(f"{url}/chat/completions", json=BODY | {"stream": True}) as response:
            without_usage = events(await response.read())
        return streamed, without_usage, await post(session, url)

    streamed, without_usage, (_, plain) = scene(test)
    *chunks, usage = streamed
    deltas = [chunk["choices"][0]["delta"].get("content", "") for chunk in chunks]
    assert "".join(deltas) == plain["choices"][0]["message"]["content"] and len(deltas) > 10
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert usage["choices"] == [] and usage["usage"] == plain["usage"]
    assert not any("usage" in chunk for chunk in without_usage)


@pytest.mark.parametrize(
    ("body", "status", "param", "code"),
    [
        ([], 400, None, None),
        ({"model": "scripted"}, 400, "messages", None),
        ({"model": "scripted", "messages": []}, 400, "messages", None),
        ({"model": "scripted", "messages": ["hello"]}, 400, "messages[0]", None),
        ({"model": "scripted", "messages": [{"role": "user", "content": 3}]}, 400, "messages[0].content", None),
        (BODY | {"max_tokens": 0}, 400, "max_tokens", None),
        (BODY | {"max_tokens": "many"}, 400, "max_tokens", None),
        (BODY | {"n": 2}, 400, "n", None),
        (BODY | {"model": "gpt-4o"}, 404, "model", "model_not_found"),
    ],
)
def test_bad_requests_are_refused_with_the_parameter_at_fault(body, status, param, code):
    async def test(session, url):
        return await post(session, url, body)

    got, reply = scene(test)
    assert got == status
    error = reply["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", param, code)


def test_a_body_that_is_no_json_and_a_route_that_is_none():
    async def test(session, url):
        async with session.post(f"{url}/chat/completions", data=b"{not json") as response:
            bad = response.status, (await response.json())["error"]["type"]
        async with session.get(f"{url}/embeddings") as response:
            missing = response.status, (await response.json())["error"]["type"]
        async with session.get(f"{url}/models") as response:
            return bad, missing, [model["id"] for model in (await response.json())["data"]]

    bad, missing, models = scene(test)
    assert bad == (400, "invalid_request_error") and missing == (404, "invalid_request_error") and models == ["scripted"]


def test_content_in_parts_is_read_as_text():
    async def test(session, url):
        parts = [{"type": "text", "text": "What is a "}, {"type": "text", "text": "standing wave?"}]
        return await post(session, url, BODY | {"messages": [{"role": "user", "content": parts}]})

    _, body = scene(test)
    assert body["choices"][0]["message"]["content"] == answer(QUESTION)


def test_a_key_is_required_where_one_is_set():
    async def test(session, url):
        replies = [await post(session, url, headers=h) for h in ({}, {"Authorization": "Bearer wrong"})]
        replies.append(await post(session, url, headers={"Authorization": "Bearer secret"}))
        async with session.get(f"{url}/models") as response:
            return replies, response.status, await get(session, url, "/stats")

    (missing, wrong, right), models, stats = scene(test, api_key="secret")
    assert missing[0] == wrong[0] == models == 401 and right[0] == 200
    assert missing[1]["error"]["code"] == "invalid_api_key"
    assert (stats["requests"], stats["refused"], stats["served"]) == (3, 2, 1)


def test_faults_come_in_exactly_the_stated_numbers():
    faults = Faults(rate_429=0.05, rate_500=0.02, rate_reset=0.03, rate_cut=0.04, retry_after=0.5)

    async def test(session, url):
        outcomes = [await asyncio.gather(*(outcome(session, url) for _ in range(50))) for _ in range(4)]
        return Counter(one for some in outcomes for one in some), await get(session, url, "/stats")

    outcomes, stats = scene(test, faults=faults, seed=3)
    assert outcomes == {"200": 172, "429": 10, "500": 4, "reset": 6, "cut": 8}
    kinds = {name: stats[name] for name in ("fault_429", "fault_500", "fault_reset", "fault_cut")}
    assert kinds == {"fault_429": 10, "fault_500": 4, "fault_reset": 6, "fault_cut": 8}
    assert (stats["requests"], stats["served"], stats["in_flight"]) == (200, 172, 0)


def test_a_429_says_how_long_to_wait():
    async def test(session, url):
        async with session.post(f"{url}/chat/completions", json=BODY) as response:
            return response.status, response.headers["Retry-After"], (await response.json())["error"]["code"]

    assert scene(test, faults=Faults(rate_429=1.0, retry_after=0.25)) == (429, "0.25", "rate_limit_exceeded")


def test_a_cut_reply_promises_the_whole_and_breaks_off_in_the_middle():
    async def test(_, url):
        host, port = url.removeprefix("http://").removesuffix("/v1").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        body = json.dumps(BODY).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        raw = await reader.read()
        writer.close()
        return raw

    head, body = scene(test, faults=Faults(rate_cut=1.0)).split(b"\r\n\r\n", 1)
    assert head.startswith(b"HTTP/1.1 200")
    length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
    assert 0 < len(body) < length
    with pytest.raises(ValueError):
        json.loads(body)


def test_a_stream_can_be_cut_too():
    async def test(session, url):
        return await outcome(session, url, BODY | {"stream": True})

    assert scene(test, faults=Faults(rate_cut=1.0)) == "cut"


def test_the_schedule_is_exact_in_every_block_and_carries_fractions_over():
    schedule = Schedule(Faults.spread(0.09), seed=1)
    for _ in range(5):
        assert Counter(schedule.next() for _ in range(100)) == {None: 91, "429": 5, "500": 2, "reset": 1, "cut": 1}
    schedule = Schedule(Faults(rate_500=0.005), seed=1)
    assert [sum(schedule.next() == "500" for _ in range(100)) for _ in range(4)] == [0, 1, 0, 1]
    first, second, other = (Schedule(Faults.spread(0.3), seed) for seed in (1, 1, 2))
    settings = [first.next() for _ in range(100)]
    assert settings == [second.next() for _ in range(100)] != [other.next() for _ in range(100)]


@pytest.mark.parametrize("rates", [{"rate_429": -0.1}, {"rate_429": 0.6, "rate_cut": 0.6}])
def test_impossible_shares_are_refused(rates):
    with pytest.raises(GlanError, match="between 0 and 1"):
        Faults(**rates)


def test_served_requests_are_counted_by_their_messages_when_recorded():
    other = [{"role": "user", "content": "What is a triad?"}]

    async def test(session, url):
        for messages in (QUESTION, other, QUESTION):
            await post(session, url, BODY | {"messages": messages, "temperature": 0.3})
        return await get(session, url, "/requests")

    assert scene(test, record=True) == {fingerprint(QUESTION): 2, fingerprint(other): 1}
    assert "error" in scene(test)


def test_latency_lets_requests_overlap():
    async def test(session, url):
        await asyncio.gather(*(post(session, url) for _ in range(5)))
        return await get(session, url, "/stats")

    stats = scene(test, latency_ms=5)
    assert stats["served"] == 5 and stats["max_in_flight"] > 1


def test_a_port_in_use_is_told_to_the_person():
    async def start(port: int):
        async with serving(port=port):
            pass

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(GlanError, match=f"Port {port} .* in use"):
            asyncio.run(start(port))
