"""Tests for the endpoint check of `glan doctor` with servers that do not behave like an OpenAI-compatible endpoint."""

import asyncio
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from aiohttp import web
from support.child_servers import free_port
from support.runs import Served, completion

from glan_core.operations import doctor
from glan_core.teachers import endpoint_check
from glan_core.teachers.endpoint_check import check_endpoint
from glan_core.teachers.endpoint_settings import EndpointSettings

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

            do_POST = do_GET

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


@pytest.mark.long
@pytest.mark.parametrize(
    "body",
    [b"<html>Sign in</html>", b"null", b"[]", b"3", b'{"data": null}', b'{"data": [3]}', b'{"data"', b"\xff", b"[" * 99999],
)
def test_what_is_no_list_of_models_is_said_without_python_internals(endpoint_of, body):
    check = endpoint_of(200, body)
    assert check.ok is False
    assert check.text.endswith("/v1 does not return a list of models. Check that the address ends in /v1, or name a model.")


@pytest.mark.parametrize(("status", "says"), [
    (401, "rejects the key"), (403, "rejects the key"), (302, "redirects to another address"), (404, "list of models (status 404)"),
    (500, "list of models (status 500)"),
])  # fmt: skip
def test_each_status_is_named_and_the_key_is_not(endpoint_of, status, says):
    check = endpoint_of(status, KEY.encode(), headers=(("Location", f"http://127.0.0.1:1/{KEY}"),))
    assert check.ok is False and says in check.text and KEY not in check.text


def test_a_list_without_end_is_given_up(endpoint_of, monkeypatch):
    monkeypatch.setattr(endpoint_check, "LIST_SECONDS", 0.3)
    check = endpoint_of(200, b"{", drips=True)
    assert check.ok is False and "within 0.3 s" in check.text


def test_a_key_beyond_ascii_does_not_blame_the_endpoint(endpoint_of, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "clé")
    body = {"data": [{"id": "tiny"}], "choices": [{"message": {"content": "Hi"}, "finish_reason": "length"}]}
    assert endpoint_of(200, json.dumps(body).encode()).text.endswith("with tiny; models: tiny.")


def test_an_endpoint_may_answer_with_any_status_of_success(endpoint_of):
    body = {"data": [{"id": "tiny"}], "choices": [{"message": {"content": "Hi"}, "finish_reason": "length"}]}
    check = endpoint_of(203, json.dumps(body).encode())
    assert check.ok and check.text.endswith("with tiny; models: tiny.")


def test_an_address_where_nobody_listens_is_absent():
    check = list(doctor.run_checks(f"http://127.0.0.1:{free_port()}/v1"))[-1]
    assert check.ok is False and "cannot be reached" in check.text and "connection was refused" in check.text


def chat_endpoint(listed: web.Response | None, answer):
    """Return a handler of a server that lists models or not and answers chats with `answer(body)`."""

    async def handle(request):
        if request.method == "GET":
            return listed or web.Response(status=500, text="Internal Server Error")
        return await answer(await request.json())

    return handle


async def one_token(body):
    """Answer with one token, as asked."""
    assert body["max_tokens"] == 1 and "temperature" not in body and "top_p" not in body
    return completion("Hi", prompt_tokens=8, completion_tokens=1)


def test_one_token_is_requested_from_the_model_that_is_named_or_listed_first():
    listed = {"data": [{"id": "small"}, {"id": "large"}]}
    with Served(chat_endpoint(web.json_response(listed), one_token), everything=True) as endpoint:
        settings = EndpointSettings(base_url=endpoint.url)
        found = check_endpoint("", settings)
        assert (found.ok, found.state, found.models) == (True, "ready", ("small", "large"))
    with Served(chat_endpoint(None, one_token), everything=True) as endpoint:  # as transformers serve without a cache folder
        settings = EndpointSettings(base_url=endpoint.url)
        assert check_endpoint("", settings).state == "no model list"
        found = check_endpoint("mine", settings)
        assert (found.ok, found.state) == (True, "ready") and "with mine; it lists no models" in found.text


def test_a_slow_server_is_told_from_an_absent_one(monkeypatch):
    monkeypatch.setattr(endpoint_check, "REPLY_SECONDS", 0.2)

    async def never(body):
        await asyncio.sleep(30)

    with Served(chat_endpoint(None, never), everything=True) as endpoint:
        found = check_endpoint("mine", EndpointSettings(base_url=endpoint.url))
    assert (found.ok, found.state) == (False, "slow") and "is reachable" in found.text


@pytest.mark.parametrize(("status", "error", "state", "ok"), [
    (401, {"message": "bad key"}, "wrong key", False), (404, {"message": "no such model"}, "no model", False),
    (503, {"message": "Loading model", "type": "unavailable_error", "code": 503}, "loading", True),
    (429, {"message": "slow down"}, "busy", False), (500, {"message": "broken"}, "error", False),
    (400, {"message": "Could not finish the message because max_tokens or model output limit was reached."}, "ready", True),
])  # fmt: skip
def test_the_state_of_an_endpoint_follows_from_what_it_says(status, error, state, ok):
    async def refuse(body):
        return web.json_response({"error": error}, status=status)

    with Served(chat_endpoint(None, refuse), everything=True) as endpoint:
        found = check_endpoint("mine", EndpointSettings(base_url=endpoint.url))
    assert (found.state, found.ok) == (state, ok)


def lists(*names: str) -> web.Response:
    """Return a list of models."""
    return web.json_response({"data": [{"id": name} for name in names]})


def test_a_test_states_which_replicas_can_be_used():
    absent = "http://127.0.0.1:9/v1"
    with (
        Served(chat_endpoint(lists("mine"), one_token), everything=True) as first,
        Served(chat_endpoint(None, one_token), everything=True) as unlisted,
    ):
        found = check_endpoint("mine", EndpointSettings(base_url=first.url, replicas=(unlisted.url, absent)))
    assert (found.ok, found.state) == (True, "replica absent") and "1 of 2 replicas can be used." in found.text
    assert f"{absent} cannot be reached" in found.text


def test_a_replica_that_serves_another_model_fails_the_test():
    with (
        Served(chat_endpoint(lists("mine"), one_token), everything=True) as first,
        Served(chat_endpoint(lists("other"), one_token), everything=True) as wrong,
    ):
        found = check_endpoint("mine", EndpointSettings(base_url=first.url, replicas=(wrong.url,)))
    assert (found.ok, found.state) == (False, "no model") and f"{wrong.url} does not serve mine" in found.text
