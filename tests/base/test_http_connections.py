"""Connections of the HTTP client: which are used again, how often a request is sent, certificates and proxies."""

import asyncio
import contextlib
import re
import socket
import ssl
import sys

import pytest
import trustme
from support.byte_server import MOST, OK, Server, with_server

from glan_core.http_client import HttpClient
from glan_core.http_connections import Connection, Connections
from glan_core.http_transfer import ConnectionLost, NotConnected


@pytest.fixture
def authority():
    """A certificate authority that nobody knows."""
    return trustme.CA()


def _tls(authority, name="localhost"):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


def _asked_over_tls(context):
    async def test(client, server):
        responses = [await client.request(server.url, b"{}", most=MOST) for _ in range(3)]
        return [response.body for response in responses], server.connections

    return with_server(test, [OK], tls=context, repeat=True)


def test_a_request_is_not_sent_again_when_a_used_connection_ends_without_a_response():
    async def test(client, server):
        await client.request(server.url, b"1", most=MOST)
        with pytest.raises(ConnectionLost, match="the connection ended without a response"):
            await client.request(server.url, b"2", most=MOST)
        await client.request(server.url, b"3", most=MOST)
        assert [body for _, body in server.requests] == [b"1", b"2", b"3"]

    with_server(test, [OK], [None], [OK])


@pytest.mark.parametrize("left", [b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong", None])
def test_a_connection_with_something_to_read_is_not_used_again(left):
    async def test(client, server):
        for _ in range(2):
            assert (await client.request(server.url, most=MOST)).body == b"OK"
            await asyncio.sleep(0.05)  # what is left arrives without a request
        assert (len(server.requests), server.connections) == (2, 2)

    with_server(test, [OK, 0.01, left], repeat=True)


@pytest.mark.skipif(sys.platform != "linux", reason="the bytes that were read are known on Linux only")
def test_what_tls_read_ahead_is_not_the_response_to_the_next_request(authority, tmp_path, monkeypatch):
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))

    async def test(client, server):
        assert (await client.request(server.url, b"1", most=MOST)).body == b"OK"
        with pytest.raises(ConnectionLost, match="unsolicited") as lost:
            await client.request(server.url, b"2", most=MOST)
        assert lost.value.status == 0
        assert (await client.request(server.url, b"3", most=MOST)).body == b"right"

    wrong = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong"
    with_server(test, [OK, wrong], [60], [wrong.replace(b"wrong", b"right")], tls=_tls(authority))


def test_connections_with_the_same_local_port_are_told_apart():
    """Connections to several addresses of one server may have it."""
    known, accepted = Connections(encrypted=False), []
    with contextlib.ExitStack() as stack:
        port = 0
        for address in ("127.0.0.1", "127.0.0.2"):
            server = stack.enter_context(socket.create_server((address, 0)))
            client = stack.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            client.bind(("127.0.0.1", port))
            port = client.getsockname()[1]
            client.connect(server.getsockname())
            accepted.append(stack.enter_context(server.accept()[0]))
            connection = Connection(known)
            connection.opened(client.fileno(), 0)
            assert connection.is_clean(address, port)
        accepted[0].sendall(b"unsolicited")
        assert [Connection(known).is_clean(address, port) for address in ("127.0.0.1", "127.0.0.2")] == [False, True]


def test_descriptors_of_failed_connections_may_be_used_by_others():
    async def test(client, server):
        with pytest.raises(NotConnected):
            await client.request("http://127.0.0.1:9/v1", most=MOST)
        held = [socket.socketpair() for _ in range(8)]  # one of them gets the descriptor
        assert [(await client.request(server.url, most=MOST)).body for _ in range(2)] == [b"OK"] * 2
        for sockets in held:
            for one in sockets:
                one.close()

    with_server(test, [OK], repeat=True)


def test_only_known_certificates_are_trusted(authority, tmp_path, monkeypatch):
    with pytest.raises(NotConnected, match="certificate"):
        _asked_over_tls(_tls(authority))
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    assert _asked_over_tls(_tls(authority)) == ([b"OK"] * 3, 1)
    with pytest.raises(NotConnected, match="match"):
        _asked_over_tls(_tls(authority, "another.example"))


def test_a_self_signed_certificate_can_be_trusted(authority, tmp_path, monkeypatch):
    issued = authority.issue_cert("localhost")
    chain = issued.cert_chain_pems[0]
    chain.write_to_path(tmp_path / "server.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "server.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued.configure_cert(context)
    assert _asked_over_tls(context)[0] == [b"OK"] * 3


@pytest.mark.parametrize(("excepted", "through_proxy"), [("", True), ("localhost", False)])
def test_a_proxy_of_the_environment_is_used(monkeypatch, excepted, through_proxy):
    async def run():
        async with Server([OK]) as proxy, Server([OK]) as server:
            monkeypatch.setenv("http_proxy", f"http://localhost:{proxy.port}")
            monkeypatch.setenv("no_proxy", excepted)
            async with contextlib.aclosing(HttpClient(server.url)) as client:
                await client.request(server.url, most=MOST)
            return len(proxy.requests), len(server.requests)

    assert asyncio.run(run()) == ((1, 0) if through_proxy else (0, 1))


def test_a_proxy_that_refuses_is_no_connection(monkeypatch):
    async def run():
        async with Server([b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n", None]) as proxy:
            monkeypatch.setenv("https_proxy", f"http://localhost:{proxy.port}")
            monkeypatch.setenv("no_proxy", "")
            async with contextlib.aclosing(HttpClient("https://example.org/v1")) as client:
                await client.request("https://example.org/v1", b"{}", most=MOST)

    with pytest.raises(NotConnected, match="407"):
        asyncio.run(run())


@pytest.mark.parametrize(
    ("proxy", "named"),
    [
        ("foo://user:pass@localhost:1", "Unsupported proxy scheme for 'foo://localhost:1'"),
        ("http://user:pa ss@localhost:70000", "Unsupported proxy syntax in 'http://localhost:70000'"),
        ("user:pa'ss@localhost:70000", "Unsupported proxy syntax in 'localhost:70000'"),
        ("user:pa//ss@localhost:70000", "Unsupported proxy syntax in 'localhost:70000'"),
        ("user:pa://ss@localhost:70000", "Unsupported proxy syntax in 'localhost:70000'"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_named_without_its_password(proxy, named, monkeypatch):
    async def run():
        monkeypatch.setenv("http_proxy", proxy)
        monkeypatch.setenv("no_proxy", "")
        async with contextlib.aclosing(HttpClient("http://example.org/v1")) as client:
            await client.request("http://example.org/v1", b"{}", most=MOST)

    with pytest.raises(NotConnected, match=re.escape(named)):
        asyncio.run(run())


def test_a_proxy_with_tls_is_trusted_as_a_server_is(authority, tmp_path, monkeypatch):
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))

    async def run():
        async with Server([OK], tls=_tls(authority)) as proxy:
            monkeypatch.setenv("http_proxy", f"https://localhost:{proxy.port}")
            monkeypatch.setenv("no_proxy", "")
            async with contextlib.aclosing(HttpClient("http://example.org/v1")) as client:
                return (await client.request("http://example.org/v1", most=MOST)).body

    assert asyncio.run(run()) == b"OK"
