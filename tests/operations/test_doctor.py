"""Tests for the endpoint check of `glan doctor` with servers that do not behave like an OpenAI-compatible endpoint."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from glan_core.operations import doctor

KEY = "sk-a-secret-key-1234567890"


@pytest.fixture
def endpoint_of(monkeypatch):
    """Return a function that starts a server with one response, and returns the endpoint check's result for it."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    servers, ended = [], threading.Event()

    def check(status: int, body: bytes, *, drips: bool = False, headers: tuple[tuple[str, str], ...] = ()) -> doctor.Check:
        class Endpoint(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(status)
                for header in headers:
                    self.send_header(*header)
                self.end_headers()
                self.wfile.write(body)
                while drips and not ended.wait(0.05):
                    self.wfile.write(b" ")
                    self.wfile.flush()

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return list(doctor.run_checks(f"http://127.0.0.1:{server.server_port}/v1"))[-1]

    yield check
    ended.set()
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    "body",
    [b"<html>Sign in</html>", b"null", b"[]", b"3", b'{"data": null}', b'{"data": [3]}', b'{"data"', b"\xff", b"[" * 99999],
)
def test_what_is_no_list_of_models_is_said_without_python_internals(endpoint_of, body):
    check = endpoint_of(200, body)
    assert check.ok is False and check.text.endswith("/v1 does not return a list of models; check that the address ends in /v1")


@pytest.mark.parametrize(("status", "says"), [
    (401, "rejects the key"), (403, "rejects the key"), (302, "redirects to another address"), (404, "list of models (status 404)"),
    (500, "list of models (status 500)"),
])  # fmt: skip
def test_each_status_is_named_and_the_key_is_not(endpoint_of, status, says):
    check = endpoint_of(status, KEY.encode(), headers=(("Location", f"http://127.0.0.1:1/{KEY}"),))
    assert check.ok is False and says in check.text and KEY not in check.text


def test_a_response_without_end_is_given_up(endpoint_of, monkeypatch):
    monkeypatch.setattr(doctor, "ENDPOINT_SECONDS", 0.3)
    check = endpoint_of(200, b"{", drips=True)
    assert check.ok is False and "cannot be reached" in check.text


def test_a_key_beyond_ascii_does_not_blame_the_endpoint(endpoint_of, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "clé")
    assert endpoint_of(200, b'{"data": [{"id": "tiny"}]}').text.endswith("models: tiny")
