"""Keys in what an endpoint sends, in every spelling of JSON, HTML and streams, never reach a text."""

import asyncio
import json
from html import escape

import pytest
from aiohttp import web
from support.endpoints import CHAT, always, ask
from support.runs import Served

from glan_core.errors import GlanError
from glan_core.teachers.contract import DecodingParams, Reply, TeacherFault, UnusableReply
from glan_core.teachers.endpoint_errors import error_of, read_error
from glan_core.teachers.endpoint_settings import EndpointSettings
from glan_core.teachers.http_teacher import HttpTeacher
from glan_core.teachers.secret_filter import SecretFilter
from glan_core.teachers.wire_format import FINISH_LENGTH, StreamParser, read_reply

KEY = "correct-horse-battery-7"  # looks like no key of a known provider
SECRETS = SecretFilter((KEY,))
ESCAPED = "".join(f"\\u{ord(letter):04x}" for letter in KEY)
ENTITIES = "".join(f"&#{ord(letter)};" for letter in KEY)


def test_a_key_that_is_not_utf_8_is_named_as_what_is_wrong():
    teacher = HttpTeacher("m", "http://127.0.0.1:9/v1", key=f"{KEY}\udcfc")
    with pytest.raises(GlanError, match="header 'Authorization' contains a character that cannot be sent"):
        asyncio.run(teacher.reply(CHAT, DecodingParams()))


def spelled(value: object, encoding: str) -> bytes:
    """Return JSON in which the key has escapes or another encoding."""
    raw = json.dumps(value, ensure_ascii=False)
    return raw.replace(KEY, ESCAPED).encode() if encoding == "escapes" else raw.encode(encoding)


def event(**delta: object) -> dict:
    return {"choices": [{"index": 0, "delta": delta}]}


ENDS = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "utf-32", "escapes"])
def test_a_reply_has_no_key_in_any_encoding(encoding):
    choice = {"message": {"content": f"It is {KEY}.", "reasoning": f"{KEY}?"}, "finish_reason": KEY}
    reply = read_reply(spelled({"choices": [choice]}, encoding), CHAT, SECRETS)
    assert (reply.text, reply.reasoning, reply.finish_reason) == ("It is [key].", "[key]?", "[key]")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "escapes"])
@pytest.mark.parametrize("start", [0, 290])
def test_an_error_has_no_part_of_a_key(encoding, start):
    """A message is shortened, which must not leave the beginning of a key."""
    said = "." * start + KEY
    raw = spelled({"error": {"message": said}}, encoding)
    paid = spelled({"error": {"message": said}, "usage": {"prompt_tokens": 1, "completion_tokens": 1}}, encoding)
    with pytest.raises(UnusableReply) as unusable:
        read_reply(paid, CHAT, SECRETS)
    shown = [read_error(raw, KEY).message, str(unusable.value)]
    shown += [str(error_of(status, raw, {}, where="u", model="m", secrets=(KEY,))) for status in (200, 400, 401, 429, 500)]
    assert not any(KEY[:6] in text for text in shown)


@pytest.mark.parametrize("page", [f"<html><title>{ENTITIES}</title></html>", f"<html>{ENTITIES}</html>", f"Key: {KEY}"])
def test_a_page_in_place_of_a_reply_has_no_key(page):
    with pytest.raises(TeacherFault) as fault:
        read_reply(page.encode(), CHAT, SECRETS)
    assert KEY not in str(fault.value) and "[key]" in str(fault.value)


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_a_stream_has_no_key_however_it_is_divided(size):
    """The key may lie in two packets, in two events, and be spelled with escapes."""
    text = f"It is {KEY}, and {KEY[:9]} begins it; {KEY}"
    events = [event(content=text[start : start + size]) for start in range(0, len(text), size)]
    raw = b"".join(b"data: " + json.dumps(one).encode() + b"\n\n" for one in [*events, ENDS])
    raw = raw.replace(KEY.encode(), ESCAPED.encode())
    for packet in (1, 50, len(raw)):
        parser = StreamParser(CHAT, SECRETS)
        pieces = [parser.feed(raw[start : start + packet]) for start in range(0, len(raw), packet)]
        shown = "".join([*pieces, parser.rest()])
        assert shown == parser.reply().text == f"It is [key], and {KEY[:9]} begins it; [key]"


def test_a_stream_withholds_no_more_than_the_beginning_of_a_key():
    shown = SECRETS.stream()
    assert [shown.feed(piece) for piece in ("A c", "at cor", "rectly", " corr")] == ["A ", "cat ", "correctly", " "]
    assert shown.rest() == "corr"


def test_an_endpoint_gets_no_key_into_a_reply_a_stream_or_its_list_of_models(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    body = spelled({"choices": [{"message": {"content": KEY}, "finish_reason": "stop"}], "data": [{"id": KEY}]}, "escapes")
    for stream in (False, True):
        reply, _ = ask(always(200, body), stream=stream)
        assert isinstance(reply, Reply) and reply.text == "[key]"
    error, _ = ask(always(401, spelled({"error": {"message": KEY}}, "escapes")))
    assert KEY not in str(error)


@pytest.mark.parametrize("value", [{"a": [1]}, ["stop"], 7, True, 0.5, "z" * 100_000])
def test_a_finish_reason_of_any_type_is_a_short_text(value):
    parser = StreamParser(CHAT)
    parser.feed(
        b"data: " + json.dumps({"choices": [{"delta": {"content": "text"}, "finish_reason": value}]}).encode() + b"\n\n"
    )
    whole = read_reply(json.dumps({"choices": [{"message": {"content": "text"}, "finish_reason": value}]}).encode(), CHAT)
    assert parser.reply().finish_reason == whole.finish_reason == str(value)[:FINISH_LENGTH]


def test_reasoning_nested_too_deeply_to_be_read_is_a_fault():
    deep = "[" * 900 + '"a"' + "]" * 900
    with pytest.raises(TeacherFault, match="not a chat completion"):
        read_reply(f'{{"choices":[{{"message":{{"content":"x","reasoning":{deep}}}}}]}}'.encode(), CHAT)


def test_markup_of_pages_stays_readable():
    assert read_error(f"<html><title>Busy {escape('<now>')}</title></html>".encode()).message == "Busy <now>"


@pytest.mark.parametrize("key", [KEY, 'a/b"c\\d-12345678', "clé-à-🔑-12345678"])
@pytest.mark.parametrize("spelling", [
    str, lambda key: json.dumps(key)[1:-1], lambda key: json.dumps(key, ensure_ascii=False)[1:-1].replace("/", "\\/"),
    lambda key: "".join(f"\\u{unit:04X}" for unit in memoryview(key.encode("utf-16-le")).cast("H")),
])  # fmt: skip
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_downloaded_file_has_no_key_however_it_is_spelled_and_divided(monkeypatch, tmp_path, key, spelling, size):
    raw = f'{{"custom_id": "1", "body": "It is {spelling(key)}, and \\u0063orrect-hors\\u0065."}}\n'.encode()

    async def handle(request):
        response = web.StreamResponse()
        await response.prepare(request)
        for start in range(0, len(raw), size):
            await response.write(raw[start : start + size])
        return response

    async def download(url):
        teacher = HttpTeacher("m", settings=EndpointSettings(base_url=url, key_variable="A_KEY"))
        try:
            return await teacher.download(f"{teacher.url}/files/1/content", tmp_path / "file", 10_000)
        finally:
            await teacher.close()

    monkeypatch.setenv("A_KEY", key)
    with Served(handle, everything=True) as served:
        assert asyncio.run(download(served.url)) == (200, b"")
    assert (tmp_path / "file").read_text("utf-8") == (
        '{"custom_id": "1", "body": "It is [key], and \\u0063orrect-hors\\u0065."}\n'
    )
