"""Streams from an OpenAI-compatible endpoint: pieces, the complete reply, and every failure mode."""

import asyncio
import contextlib
import json

import pytest
from aiohttp import web
from support.byte_server import Server
from support.runs import Served

from glan_core.teachers.contract import DecodingParams, Reply, TeacherBusy, TeacherError, TeacherFault
from glan_core.teachers.endpoint_settings import EndpointSettings
from glan_core.teachers.http_teacher import HttpTeacher
from glan_core.teachers.scripted.faults import Faults
from glan_core.teachers.scripted.scripted_teacher import answer
from glan_core.teachers.wire_format import StreamParser

QUESTION = [{"role": "user", "content": "What is a standing wave?"}]


def streamed(url: str, model: str = "scripted", decoding: DecodingParams = DecodingParams()) -> tuple[list[str], Reply]:
    """Return the pieces of a stream and its last item."""

    async def ask():
        teacher = HttpTeacher(model, url, key="sk-secret-4711")
        try:
            *pieces, last = [item async for item in teacher.stream(QUESTION, decoding)]
            return pieces, last
        finally:
            await teacher.close()

    return asyncio.run(ask())


def events(*chunks: object, end: bytes = b"data: [DONE]\n\n") -> bytes:
    return b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks) + end


def chunk(content: object = None, finish: str | None = None, **more: object) -> dict:
    delta = {} if content is None else {"content": content}
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}


def sends(raw: bytes, content_type: str = "text/event-stream"):
    async def handle(request: web.Request) -> web.Response:
        return web.Response(body=raw, content_type=content_type)

    return handle


def test_a_stream_gives_pieces_and_then_the_reply_with_the_endpoints_counts():
    with Served() as endpoint:
        pieces, reply = streamed(endpoint.url)
        short, cut = streamed(endpoint.url, decoding=DecodingParams(max_tokens=5))
    assert "".join(pieces) == reply.text == answer(QUESTION)
    assert reply.finish_reason == "stop" and reply.tokens_out > 10 and not reply.estimated
    assert "".join(short) == cut.text and (cut.finish_reason, cut.tokens_out) == ("length", 5)


def test_a_slow_stream_arrives_bit_by_bit():
    async def ask(url: str) -> list[int]:
        teacher, lengths = HttpTeacher("scripted", url), []
        stream = teacher.stream(QUESTION, DecodingParams())
        lengths.append(len(await anext(stream)))
        lengths += [len(item) async for item in stream if isinstance(item, str)]
        await teacher.close()
        return lengths

    with Served(latency_ms=300) as endpoint:
        lengths = asyncio.run(ask(endpoint.url))
    assert len(lengths) > 5 and max(lengths) < sum(lengths) / 2


@pytest.mark.parametrize("end", [None, 60])
def test_a_reply_is_complete_once_the_server_says_so(end):
    """Some servers do not end the response after it, or not properly."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    sent = events(chunk("a reply", "stop"), {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2}})

    async def ask():
        async with Server([head + b"%x\r\n%b\r\n" % (len(sent), sent), end]) as server:
            teacher = HttpTeacher("m", server.url, settings=EndpointSettings(idle_timeout=0.3))
            async with contextlib.aclosing(teacher.stream(QUESTION, DecodingParams())) as stream:
                *_, reply = [item async for item in stream]
            await teacher.close()
            return reply

    reply = asyncio.run(ask())
    assert (reply.text, reply.tokens_out, reply.estimated) == ("a reply", 2, False)


def test_events_are_read_however_the_network_cuts_them():
    raw = b": a comment\r\n\r\n" + events(
        {"choices": []}, chunk("Täg"), chunk([{"type": "text", "text": " zwei"}]), chunk(None, "stop"),
        {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}},
    ).replace(b"\n", b"\r\n")  # fmt: skip
    for size in (1, 2, 7, len(raw)):
        stream = StreamParser(QUESTION)
        text = "".join(stream.feed(raw[start : start + size]) for start in range(0, len(raw), size))
        assert text == "Täg zwei" and stream.reply() == Reply("Täg zwei", "stop", 7, 3)


@pytest.mark.parametrize("field", ["content", "reasoning_content"])
def test_a_character_may_come_in_two_halves(field):
    halves = [
        {"choices": [{"delta": {field: text}}]} for text in ("Good \ud83d", "\ude00 day", "", "\ud83d", "\ude00\ud83d", " half")
    ]
    stream = StreamParser(QUESTION)
    shown = stream.feed(events(*halves, chunk(None, "stop")))
    reply = stream.reply()
    assert shown.removeprefix("<think>") == (reply.text or reply.reasoning) == "Good 😀 day😀? half"


@pytest.mark.parametrize("halves", ["\ud83d\ude00", "\ud835\udcd0", "\ud800\udc00", "\udbff\udfff"])
def test_only_a_first_half_is_withheld(halves):
    stream = StreamParser(QUESTION)
    high, low = ({"choices": [{"delta": {"content": half}}]} for half in halves)
    assert stream.feed(events(low, end=b"")) == "?"
    assert stream.feed(events(high, end=b"")) == ""
    assert stream.feed(events(low)) == halves.encode("utf-16-le", "surrogatepass").decode("utf-16-le")


def indexed(number: object, content: str, finish: str | None = None) -> dict:
    return {"index": number, "delta": {"content": content}, "finish_reason": finish}


@pytest.mark.parametrize("own", [0, 1])
def test_pieces_of_another_reply_in_the_stream_are_not_mixed_in(own):
    sent = [[indexed(5, "X"), indexed(own, "One ")], [indexed(own, "reply")], [indexed(5, "X", "length")]]
    sent += [[indexed(own, ".")], [indexed(None, "", "stop")]]
    stream = StreamParser(QUESTION)
    text = stream.feed(events(*({"choices": choices} for choices in sent)))
    assert (text, stream.reply().text, stream.reply().finish_reason) == ("One reply.", "One reply.", "stop")


@pytest.mark.parametrize("index", [None, "0", {}])
def test_a_stream_may_have_no_numbers_of_replies(index):
    stream = StreamParser(QUESTION)
    pieces = [{"choices": [indexed(index, "One ")]}, {"choices": [indexed(index, "reply", "stop")]}]
    assert stream.feed(events(*pieces)) == stream.reply().text == "One reply"


def test_without_counts_they_are_estimated():
    with Served(sends(events(chunk("Some words"), chunk(None, "stop")))) as endpoint:
        _, reply = streamed(endpoint.url, "any")
    assert (reply.tokens_in, reply.tokens_out, reply.estimated) == (6, 2, True)


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (events(chunk("Half a"), end=b""), "ended early"),
        (events(chunk("Half a"), {"error": {"message": "overloaded, sk-secret-4711"}}), "overloaded"),
        (b"data: <html>\n\n", "not a chat completion"),
        (events({"choices": [3]}), "not a chat completion"),
    ],
)
def test_a_stream_that_breaks_is_a_fault_that_was_paid_for(raw, says):
    with Served(sends(raw)) as endpoint, pytest.raises(TeacherFault, match=says) as caught:
        streamed(endpoint.url, "any")
    assert caught.value.billed and "4711" not in str(caught.value)


def test_a_stream_that_the_network_cuts_is_a_fault_too():
    with (
        Served(faults=Faults(rate_cut=1.0)) as endpoint,
        pytest.raises(TeacherFault, match=r"sent no complete response: .* ended within") as caught,
    ):
        streamed(endpoint.url)
    assert caught.value.billed


def test_refusals_are_those_of_a_plain_reply():
    with Served(faults=Faults(rate_429=1.0, retry_after=0.25)) as endpoint, pytest.raises(TeacherBusy) as caught:
        streamed(endpoint.url)
    assert caught.value.retry_after == 0.25
    with Served(api_key="another") as endpoint, pytest.raises(TeacherError, match="rejected the API key"):
        streamed(endpoint.url)
    with pytest.raises(TeacherFault, match="cannot be reached: the connection was refused") as nobody:
        streamed("http://127.0.0.1:9/v1")
    assert not nobody.value.sent


def test_an_endpoint_that_knows_no_stream_options_or_no_streams_serves_all_the_same():
    async def picky(request: web.Request) -> web.Response:
        if "stream_options" in await request.json():
            message = "'stream_options' is not supported."
            return web.json_response({"error": {"message": message, "param": "stream_options"}}, status=400)
        whole = {"choices": [{"message": {"content": "All at once."}, "finish_reason": "stop"}]}
        return web.json_response(whole)

    with Served(picky) as endpoint:
        pieces, reply = streamed(endpoint.url, "any")
    assert pieces == ["All at once."] and reply.text == "All at once." and reply.estimated
