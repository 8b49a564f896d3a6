"""Responses of endpoints: reasoning, errors in the forms of the common servers, large bodies and timeouts."""

import asyncio
import json
import re

import pytest
from aiohttp import web
from support.endpoints import CHAT, LIMITED, always, ask
from support.runs import completion

from glan_core.reply_parsing import storable
from glan_core.teachers.contract import (
    Reply,
    TeacherBusy,
    TeacherError,
    TeacherFault,
    TeacherRefusal,
    UnusableReply,
)
from glan_core.teachers.endpoint_errors import error_of
from glan_core.teachers.endpoint_settings import EndpointSettings
from glan_core.teachers.http_teacher import HttpTeacher
from glan_core.teachers.wire_format import StreamParser, listed_models, read_reply

# --------------------------------------------------------------------------------------------------------------- reasoning


@pytest.mark.parametrize(
    "message",
    [
        {"content": "4", "reasoning_content": "Two and two."}, {"content": "4", "reasoning": "Two and two."},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Two and two."}]}, {"type": "text", "text": "4"}]},
        {"content": [{"type": "reasoning", "text": "Two and two."}, {"type": "output_text", "text": "4"}]},
        {"content": "4", "reasoning": None, "reasoning_details": [{"type": "reasoning.text", "text": "Two and two."}]},
        {"content": "<think>Two and two.</think>4"}, {"content": "[THINK]Two and two.[/THINK]4"},
    ],
)  # fmt: skip
@pytest.mark.parametrize("stream", [False, True])
def test_reasoning_in_any_field_is_split_from_the_reply(message, stream):
    usage = {"prompt_tokens": 9, "completion_tokens": 40, "completion_tokens_details": {"reasoning_tokens": 30}}

    async def handle(request):
        if not (await request.json()).get("stream"):
            return web.json_response({"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage})
        events = [{"choices": [{"delta": message, "finish_reason": None}]}, {"choices": [{"delta": {}, "finish_reason": "stop"}]},
                  {"choices": [], "usage": usage}]  # fmt: skip
        body = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + ": keep-alive\n\ndata: [DONE]\n\n"
        return web.Response(body=body.encode(), content_type="text/event-stream")

    reply, _ = ask(handle, stream=stream)
    reasoning, text = reply.split()
    assert (reasoning, text) == ("Two and two.", "4")
    assert reply.reasoning_tokens(reasoning) == 30 and (reply.tokens_in, reply.tokens_out) == (9, 40)


def test_reasoning_tokens_are_estimated_by_share_where_they_are_not_reported():
    reply = Reply("x" * 25, "stop", 9, 40, reasoning="y" * 75)
    assert reply.reasoning_tokens("y" * 75) == 30 and Reply("4", "stop", 9, 40).reasoning_tokens("") == 0


# ------------------------------------------------------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("body", "kind", "says"),
    [
        ({"error": {"message": "Provider returned error", "code": 429, "metadata": {"raw": "rate limited upstream"}}},
         TeacherBusy, "upstream"),
        ({"error": {"message": "Upstream overloaded", "code": 503}}, TeacherFault, "Upstream overloaded"),
        ({"error": {"message": "Insufficient credits", "code": 402}}, TeacherError, "credit is exhausted"),
        ({"error": {"message": "No auth credentials found", "code": 401}}, TeacherError, "rejected the API key"),
        ({"error": {"message": "bad request", "code": 400}}, TeacherRefusal, "bad request"),
        ({"error": "model is broken"}, TeacherFault, "model is broken"), ({"detail": "not found here"}, TeacherFault, "not found"),
        ({"choices": [{"error": {"code": 502, "message": "Network lost"}, "finish_reason": "error", "message": {"content": "ha"}}]},
         TeacherFault, "Network lost"),
        ({"choices": []}, TeacherFault, "error"), (b"<!DOCTYPE html><html><title>Sign in</title></html>", TeacherFault, "Sign in"),
        (b"upstream connect error", TeacherFault, "upstream connect error"), (b"", TeacherFault, "empty body"),
    ],
)  # fmt: skip
def test_an_error_in_a_200_is_read_in_the_servers_words_and_not_billed(body, kind, says):
    error, _ = ask(always(200, body))
    assert type(error) is kind and says in str(error) and not getattr(error, "billed", False)


@pytest.mark.parametrize("status", [201, 203])
@pytest.mark.parametrize("stream", [False, True])
def test_a_reply_is_read_whichever_status_of_success_it_has(status, stream):
    choice = {"index": 0, "message": {"role": "assistant", "content": "4"}, "finish_reason": "stop"}
    reply, _ = ask(always(status, {"choices": [choice]}), stream=stream)
    assert reply.text == "4"


def test_a_success_without_a_body_is_a_transient_error():
    error, _ = ask(always(204, b""))
    assert type(error) is TeacherFault and "empty body" in str(error) and not error.billed


def test_an_error_in_a_200_is_billed_if_its_usage_says_so():
    body = {"error": {"message": "stopped", "code": 502}, "usage": {"prompt_tokens": 9, "completion_tokens": 20}}
    error, _ = ask(always(200, body))
    assert isinstance(error, UnusableReply) and "stopped" in str(error)
    assert (error.reply.tokens_in, error.reply.tokens_out, error.reply.estimated) == (9, 20, False)


@pytest.mark.parametrize(
    ("status", "body", "kind", "wait"),
    [
        (429, [{"error": {"code": 429, "message": "Quota exceeded", "status": "RESOURCE_EXHAUSTED",
                          "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "35s"}]}}],
         TeacherBusy, 35),
        (429, {"error": {"message": "Rate limit reached. Please try again in 6m0s.", "type": "tokens"}}, TeacherBusy, 360),
        (429, {"error": {"message": "Please try again in 20ms."}}, TeacherBusy, 0.02),
        (429, {"error": {"message": "Please retry after 12 seconds."}}, TeacherBusy, 12),
        (429, {"error": {"message": "You exceeded your current quota, please check your plan and billing details."}},
         TeacherError, None),
        (402, {"error": {"message": "pay"}}, TeacherError, None),
        (403, {"error": {"message": "Your input was flagged by moderation.", "code": 403}}, TeacherRefusal, None),
        (403, {"error": {"message": "Country not supported"}}, TeacherError, None),
        (503, {"error": {"message": "Loading model", "type": "unavailable_error", "code": 503}}, TeacherBusy, None),
        (503, {"error": "busy"}, TeacherFault, None), (529, {"type": "error", "error": {"type": "overloaded_error",
                                                      "message": "Overloaded"}}, TeacherFault, None),
    ],
)  # fmt: skip
def test_error_bodies_of_providers(status, body, kind, wait):
    error, _ = ask(always(status, body))
    assert type(error) is kind and getattr(error, "retry_after", None) == wait
    assert getattr(error, "loading", False) is (kind is TeacherBusy and status == 503)


def test_retry_after_is_obeyed_up_to_a_day():
    error, _ = ask(always(429, {}, **{"Retry-After": "3600"}))
    assert error.retry_after == 3600
    error, _ = ask(always(429, {}, **{"Retry-After": "99999999"}))
    assert error.retry_after == 86_400


def test_a_redirect_is_named_with_its_target():
    error, _ = ask(always(302, b"", Location="http://elsewhere/v1?token=abc"))
    assert isinstance(error, TeacherFault) and "http://elsewhere/v1" in str(error) and "token" not in str(error)


# -------------------------------------------------------------------------------------------------------------- large bodies


@pytest.mark.parametrize("stream", [False, True])
def test_a_body_without_end_is_cut_at_a_limit_that_follows_from_max_tokens(stream):
    sent = 0

    async def handle(request):
        nonlocal sent
        kind = "text/event-stream" if stream else "application/json"
        response = web.StreamResponse(headers={"Content-Type": kind})
        await response.prepare(request)
        piece = {"choices": [{"delta": {"content": "x" * 5000}, "finish_reason": None}]}
        chunk = b"data: " + json.dumps(piece).encode() + b"\n\n" if stream else b'{"choices": [' + b" " * 5000
        try:
            while sent < 50_000_000:
                await response.write(chunk)
                sent += len(chunk)
        except (ConnectionError, asyncio.CancelledError):
            pass
        return response

    error, _ = ask(handle, stream=stream)
    assert isinstance(error, UnusableReply) and error.cause == "too large" and "100 tokens" in str(error)
    assert sent < 30_000_000


def test_an_impossible_usage_is_estimated():
    reply, _ = ask(
        always(200, {"choices": [{"message": {"content": "4"}}], "usage": {"prompt_tokens": 10**30, "completion_tokens": 1}})
    )
    assert reply.estimated and reply.tokens_in < 100


# ------------------------------------------------------------------------------------------------------------------ timeouts


def test_after_an_idle_timeout_replies_are_streamed_so_that_a_slow_server_can_finish():
    streamed = []

    async def handle(request):
        body = await request.json()
        streamed.append(bool(body.get("stream")))
        if not body.get("stream"):
            await asyncio.sleep(30)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for nth in range(8):  # 0.8 s in all, never 0.4 s without a token
            await asyncio.sleep(0.1)
            event = {"choices": [{"delta": {"content": f"{nth} "}, "finish_reason": "stop" if nth == 7 else None}]}
            await response.write(b"data: " + json.dumps(event).encode() + b"\n\n")
        return response

    reply, teacher = ask(handle, times=2, idle_timeout=0.4)
    assert reply.text == "0 1 2 3 4 5 6 7 " and streamed == [False, True]
    assert "are streamed from now on" in teacher.notices[0]


def test_the_total_timeout_ends_a_stream_that_never_ends():
    async def handle(request):
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        try:
            while True:
                await asyncio.sleep(0.02)
                await response.write(b": still working\n\n")
        except (ConnectionError, asyncio.CancelledError):
            return response

    error, _ = ask(handle, stream=True, total_timeout=0.5)
    assert isinstance(error, TeacherFault) and error.timed_out


@pytest.mark.parametrize("key", ["x", "EMPTY", "none", "ollama", "lm-studio", "not-needed", "text"])
def test_a_word_in_place_of_a_key_leaves_replies_as_they_are(monkeypatch, key):
    """Servers without keys are given any word, which may occur in every text."""
    said = f"An example text: the set {key} is EMPTY, none of its texts was written by ollama."
    monkeypatch.setenv("OPENAI_API_KEY", key)

    async def handle(request):
        return completion(said)

    for stream in (False, True):
        found, _ = ask(handle, stream=stream)
        assert found.text == said


def test_a_key_in_a_reply_is_replaced(monkeypatch):
    for key in ("sk-0123456789", "token-abc123", "correct-horse-battery"):
        monkeypatch.setenv("OPENAI_API_KEY", key)

        async def handle(request, key=key):
            return completion(f"Your key is {key}.")

        assert ask(handle)[0].text == "Your key is [key]."


ODD = "odd \ud800 \0 \udfff"


def test_texts_of_an_endpoint_can_be_stored_whatever_characters_they_have():
    """Lone surrogates and NULs are refused by the database, by files and by pages."""
    choice = {"message": {"content": ODD, "reasoning": ODD}, "finish_reason": ODD}
    sent = {"choices": [choice], "data": [{"id": ODD}]}
    delta = {"choices": [{"delta": {"content": ODD, "reasoning": ODD}, "finish_reason": ODD}]}
    parser = StreamParser(CHAT)
    shown = parser.feed(b"data: " + json.dumps(delta).encode() + b"\n\n")
    replies = [read_reply(json.dumps(sent).encode(), CHAT), parser.reply()]
    texts = [shown, *listed_models(json.dumps(sent).encode())]
    texts += [text for reply in replies for text in (reply.text, reply.reasoning, reply.finish_reason)]
    for form in ({"error": {"message": ODD}}, {"error": ODD}, {"detail": ODD}, [ODD], ODD):
        raw = json.dumps(form).encode()
        texts += [
            str(error_of(status, raw, {"location": "http://\udcff/"}, where="u", model="m")) for status in (200, 302, 400, 500)
        ]
    assert all(storable(text) == text for text in texts)


@pytest.mark.parametrize("rounds", [0, 20])  # of the event loop before the next request; the client reads in them
@pytest.mark.parametrize("unsolicited", ["response", "end"])
def test_what_a_server_does_on_an_idle_connection_is_not_the_response_to_the_next_request(unsolicited, rounds):
    asyncio.run(_ask_after(unsolicited, rounds))


async def _ask_after(unsolicited, rounds):
    def response(text):
        body = json.dumps({"choices": [{"message": {"content": text}, "finish_reason": "stop"}]})
        return f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()

    connections = []

    async def serve(reader, writer):
        connections.append(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                await reader.readexactly(int(re.search(rb"Content-Length: (\d+)", head)[1]))
                writer.write(response(f"reply {len(connections)}"))
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    teacher = HttpTeacher("m", settings=EndpointSettings(base_url=url))
    try:
        texts = [(await teacher.reply(CHAT, LIMITED)).text for _ in range(2)]
        assert (texts, len(connections)) == (["reply 1"] * 2, 1)  # one connection serves many requests
        if unsolicited == "response":
            connections[0].write(response("a reply to another request"))
        else:
            connections[0].write_eof()
        for _ in range(rounds):
            await asyncio.sleep(0)
        assert (await teacher.reply(CHAT, LIMITED)).text == "reply 2"
    finally:
        await teacher.close()
        server.close()
