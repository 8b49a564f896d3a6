"""The HTTP client: what is sent, what is read of a response, timeouts, and what a failed request leaves."""

import asyncio
import contextlib
import gc
import gzip
import time

import pycurl
import pytest
from support.byte_server import MOST, OK, with_server

from glan_core.errors import GlanError
from glan_core.http_client import Form, HttpClient
from glan_core.http_transfer import ConnectionLost, NotConnected, TimedOut


def test_requests_share_a_connection_and_send_only_what_they_say():
    async def test(client, server):
        posted = await client.request(server.url, b"{}", most=MOST)
        got = await client.request(server.url, most=MOST)
        assert [(response.status, response.body) for response in (posted, got)] == [(200, b"OK")] * 2
        (post, body), (get, nothing) = server.requests
        assert (body, nothing, server.connections) == (b"{}", b"", 1)
        headers = [sorted(line.split(":")[0] for line in head.strip().split("\r\n")[1:]) for head in (post, get)]
        assert headers == [["Accept", "Content-Length", "Content-Type", "Host", "X"], ["Accept", "Host", "X"]]
        assert post.startswith("POST /v1 HTTP/1.1") and get.startswith("GET /v1 ") and "X: 1\r\n" in post

    with_server(test, [OK], repeat=True, headers={"X": "1"})


def test_a_header_may_be_empty_and_name_the_type_but_has_no_line_break():
    async def test(client, server):
        await client.request(server.url, b"<a/>", most=MOST)
        lines = server.requests[0][0].lower().split("\r\n")
        assert "x-empty:" in lines and [line for line in lines if line.startswith("content-type")] == ["content-type: text/xml"]

    with_server(test, [OK], headers={"x-empty": "", "content-TYPE": "text/xml"})


@pytest.mark.parametrize(
    ("value", "what"),
    [("1\r\nY: 2", "a line break"), ("\udc80", "a character that cannot be sent"), ("a\0b", "a character that cannot be sent")],
)
def test_a_header_that_cannot_be_sent_is_an_error_for_people(value, what):
    with pytest.raises(GlanError, match=f"'X' contains {what}"):
        HttpClient("http://localhost", {"X": value})


def test_characters_that_an_address_may_not_have_are_encoded():
    async def test(client, server):
        for path in ("/a model", "/\u00e4%20b?q=\u00df", "/a|b\udc80", "/a\tb\0"):
            assert (await client.request(server.url + path, most=MOST)).status == 200
        assert [head.split(" ")[1] for head, _ in server.requests] == [
            "/v1/a%20model", "/v1/%C3%A4%20b?q=%C3%9F", "/v1/a%7Cb%ED%B2%80", "/v1/a%09b%00"
        ]  # fmt: skip

    with_server(test, [OK], repeat=True)


@pytest.mark.parametrize("size", [9, 10, 11])
def test_no_more_than_what_is_allowed_is_read(size):
    async def test(client, server):
        response = await client.request(server.url, most=10)
        assert (response.status, len(response.body) > 10) == (200, size > 10)
        await client.request(server.url, most=10)
        assert server.connections == (2 if size > 10 else 1)  # the connection with the rest is not used again

    with_server(test, [b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size, b"x" * size], repeat=True)


def test_an_endless_response_is_cut():
    async def test(client, server):
        response = await client.request(server.url, most=100_000)
        assert 100_000 < len(response.body) < 1_000_000
        await server.ended.wait()

    with_server(test, [b"HTTP/1.1 200 OK\r\n\r\n", *[b"x" * 100_000] * 100])


def test_what_is_compressed_unasked_is_read():
    packed = gzip.compress(b"a reply")

    async def test(client, server):
        assert (await client.request(server.url, most=MOST)).body == b"a reply"
        assert "ncoding" not in server.requests[0][0]

    with_server(test, [b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed) + packed])


def test_headers_are_those_of_the_final_response_and_redirects_are_not_followed():
    interim = b"HTTP/1.1 103 Early Hints\r\nX-Early: 1\r\n\r\n"

    async def test(client, server):
        response = await client.request(server.url, most=MOST)
        assert response.headers == {"location": "http://example.org/", "content-length": "0", "retry-after": "7"}
        assert (response.status, response.media_type, len(server.requests)) == (302, "", 1)

    with_server(
        test, [interim, b"HTTP/1.1 302 Found\r\nLocation: http://example.org/\r\nContent-Length: 0\r\nRetry-After:  7 \r\n\r\n"]
    )


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://127.0.0.1:9/v1", "the connection was refused"),
        ("http://no-such-host.invalid/", "host name is unknown"),
        ("http://exa mple/", "address is not valid"),
        ("http://exa\0mple/", "address is not valid"),
        ("file:///etc/passwd", "not supported|disabled"),
    ],
)
def test_a_request_without_a_connection_says_why(url, why):
    async def run():
        async with contextlib.aclosing(HttpClient(url)) as client:
            await client.request(url, b"{}", most=MOST)

    with pytest.raises(NotConnected, match=why):
        asyncio.run(run())


@pytest.mark.parametrize(
    ("parts", "status"),
    [
        ([None], 0),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", None], 200),
        ([b"HTTP/1.1 500 Oh\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", None], 500),
        ([b"SSH-2.0-OpenSSH\r\n", None], 0),
        ([b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000 + b"\r\n", None], 200),
        ([b"HTTP/1.1 200 OK\r\n", None], 200),
        ([b"HTTP/1.1 200 OK\r\nContent-Type: app", None], 200),
        ([b"HTTP/1.1 429 Wait\r\nRetry-After: 7\r\n", None], 429),
        ([b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nX: ", None], 200),
    ],
)
def test_an_incomplete_response_is_a_lost_connection(parts, status):
    async def test(client, server):
        with pytest.raises(ConnectionLost) as lost:
            await client.request(server.url, b"{}", most=MOST)
        assert lost.value.status == status and len(server.requests) == 1 and str(lost.value)

    with_server(test, parts)


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\nX: 1\n\n",
        b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Trailer: 1\r\n\r\n",
    ],
)
def test_a_response_may_have_no_body(response):
    async def test(client, server):
        received = await client.request(server.url, b"{}", most=MOST)
        assert (received.status, received.body) == (200, b"")

    with_server(test, [response, None])


@pytest.mark.parametrize(
    ("part", "why"),
    [
        (None, "the connection ended without a response"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", "the connection ended within the response"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "begin with https"),  # what a server with TLS says to a request without
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: unknown\r\nContent-Length: 2\r\n\r\nOK", "content encoding"),
    ],
)
def test_a_lost_response_says_why(part, why):
    async def test(client, server):
        with pytest.raises(ConnectionLost, match=why):
            await client.request(server.url, b"{}", most=MOST)

    with_server(test, [part, None])


@pytest.mark.long
def test_interim_responses_keep_a_request_from_the_idle_timeout():
    async def test(client, server):
        assert (await client.request(server.url, b"{}", most=MOST)).body == b"OK"  # after twice the timeout

    with_server(test, [*[b"HTTP/1.1 102 Processing\r\n\r\n", 0.25] * 8, OK], idle=1)


@pytest.mark.long
def test_the_idle_timeout_counts_from_the_last_part_of_each_response():
    async def test(client, server):
        slow = client.request(server.url, b"{}", most=MOST)
        silent = client.request(server.url, b"{}", most=MOST)
        began = time.monotonic()
        tasks, times = [asyncio.ensure_future(one) for one in (slow, silent)], {}
        for nth, task in enumerate(tasks):
            task.add_done_callback(lambda _, nth=nth: times.setdefault(nth, time.monotonic()))
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert found[0].body == b"12345678"  # which took twice the timeout
        assert isinstance(found[1], TimedOut) and found[1].idle and 1 <= times[1] - began < 1.9  # not twice the timeout

    parts = [part for digit in b"12345678" for part in (0.25, bytes([digit]))]
    with_server(test, [b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n", *parts], [60], idle=1)


def test_the_total_timeout_ends_a_response_that_goes_on():
    async def test(client, server):
        with pytest.raises(TimedOut) as late:
            await client.request(server.url, most=MOST)
        assert not late.value.idle
        await server.ended.wait()

    with_server(test, [b"HTTP/1.1 200 OK\r\n\r\n", *[b"x", 0.05] * 1000], idle=5, total=0.3)


def test_a_stream_gives_parts_as_they_come_and_ends_the_connection_with_its_context():
    async def test(client, server):
        async with client.stream(server.url, b"{}", most=MOST) as response:
            assert (response.status, response.media_type) == (200, "text/event-stream")
            async for part in response.parts():
                assert part == b"first"
                break
        await server.ended.wait()

    head = b"HTTP/1.1 200 OK\r\nContent-Type: Text/Event-Stream; charset=utf-8\r\nContent-Length: 10\r\n\r\n"
    with_server(test, [head + b"first", 60])


def test_a_stream_that_is_lost_gives_its_parts_first():
    async def test(client, server):
        parts = []
        with pytest.raises(ConnectionLost):
            async with client.stream(server.url, most=MOST) as response:
                async for part in response.parts():
                    parts.append(part)
        assert b"".join(parts) == b"first"

    with_server(test, [b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", b"first", None])


def test_a_cancelled_request_ends_its_connection_and_the_next_one_is_answered():
    async def test(client, server):
        task = asyncio.create_task(client.request(server.url, b"1", most=MOST))
        while not server.requests:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await client.request(server.url, b"2", most=MOST)).body == b"OK"
        await server.ended.wait()

    with_server(test, [60], [OK])


def test_requests_that_fail_leave_nothing_to_the_garbage_collection():
    """A run collects garbage rarely, and a handle has buffers."""

    async def test(client, server):
        before = {id(one) for one in gc.get_objects()}
        gc.disable()
        try:
            for _ in range(3):
                with pytest.raises((ConnectionLost, TimedOut, NotConnected)):
                    await client.request(server.url, b"{}", most=MOST)
            task = asyncio.create_task(client.request(server.url, b"{}", most=MOST))
            while len(server.requests) < 4:
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            assert (await client.request(server.url, most=MOST)).status == 200
            left = [one for one in gc.get_objects() if type(one) is pycurl.Curl and id(one) not in before]
            assert all(one.closed for one in left)
        finally:
            gc.enable()

    with_server(test, [None], [b"HTTP/1.1 200 OK\r\n\r\n", 60], [b"nonsense", None], [60], [OK], idle=0.2)


def test_a_form_sends_a_file_with_its_name_and_type(tmp_path):
    file = tmp_path / "local.jsonl"
    file.write_bytes(b'{"n": 1}\n' * 50_000)

    async def test(client, server):
        form = Form({"purpose": "batch"}, file, 'a "name".jsonl', "application/jsonl")
        assert (await client.request(server.url, form, most=MOST)).body == b"OK"
        head, body = server.requests[0]
        assert "Content-Type: multipart/form-data; boundary=" in head and "json\r\n" not in head and "Expect" not in head
        assert b'name="purpose"\r\n\r\nbatch\r\n' in body and file.read_bytes() in body
        assert b'name="file"; filename="a %22name%22.jsonl"\r\nContent-Type: application/jsonl\r\n' in body

    with_server(test, [OK])
