"""Habits of common servers: what the teacher sends to each, and what it makes of their responses."""

import asyncio
import json

import pytest
from aiohttp import web
from support.runs import Served, completion

from glan_core.teachers.contract import (
    DecodingParams,
    Reply,
    TeacherBusy,
    TeacherError,
    TeacherFault,
    TeacherRefusal,
    UnusableReply,
)
from glan_core.teachers.endpoint_errors import rejected_parameter
from glan_core.teachers.endpoint_settings import EndpointSettings, chat_url, endpoint, is_local
from glan_core.teachers.http_teacher import HttpTeacher

CHAT = [{"role": "user", "content": "What is 2 + 2?"}]
LIMITED = DecodingParams(0.7, 0.95, 100)


def ask(handle, decoding=LIMITED, times: int = 1, model: str = "m", path: str = "", stream: bool = False, **settings):
    """Ask a served handler `times` times with one teacher; return the last reply or error, and the teacher."""

    async def run(url):
        teacher = HttpTeacher(model, settings=EndpointSettings(base_url=url, **settings))
        result = None
        try:
            for _ in range(times):
                try:
                    if stream:
                        [*pieces, result] = [item async for item in teacher.stream(CHAT, decoding)]
                        assert all(isinstance(piece, str) for piece in pieces)
                    else:
                        result = await teacher.reply(CHAT, decoding)
                except Exception as error:
                    result = error
            return result, teacher
        finally:
            await teacher.close()

    with Served(handle, everything=True) as served:
        return asyncio.run(run(served.url.removesuffix("/v1") + path if path else served.url))


def always(status: int, body, **headers):
    """Return a handler with one response."""

    async def handle(request):
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return web.Response(status=status, body=raw, headers=headers)

    return handle


# ------------------------------------------------------------------------------------------------------------ parameters


def rejecting(complaint: dict | str, *names: str, status: int = 400):
    """Return a handler that complains while any of these parameters is sent, and the bodies that it received."""
    bodies: list[dict] = []

    async def handle(request):
        bodies.append(body := await request.json())
        if any(name in body for name in names):
            error = complaint if isinstance(complaint, dict) else {"error": {"message": complaint}}
            return web.json_response(error, status=status)
        return completion("4", prompt_tokens=9, completion_tokens=1)

    return handle, bodies


@pytest.mark.parametrize(
    ("complaint", "name", "status"),
    [
        ("Unsupported parameter: 'temperature' is not supported with this model.", "temperature", 400),
        ('Unsupported value: "temperature" does not support 0.7 with this model. Only the default (1) value is supported.',
         "temperature", 400),
        ("`temperature` may only be set to 1 when thinking is enabled.", "temperature", 400),
        ("`temperature` and `top_p` cannot both be specified for this model. Please use only one.", "top_p", 400),
        ("top_p: Extra inputs are not permitted", "top_p", 422),
        ({"detail": [{"loc": ["body", "top_p"], "msg": "extra fields not permitted", "type": "value_error.extra"}]}, "top_p", 422),
        ({"object": "error", "message": "Unknown field `top_p`", "type": "BadRequestError", "code": 400}, "top_p", 400),
        ([{"error": {"code": 400, "message": "Invalid value for topP: top_p must be 1.", "status": "INVALID_ARGUMENT"}}],
         "top_p", 400),
        ({"error": {"message": "rejected", "param": "top_p", "code": "unsupported_parameter"}}, "top_p", 400),
        ({"error": "invalid option provided: top_p"}, "top_p", 400),
        ({"error": {"message": "top_p is deprecated and no longer accepted", "code": 400}}, "top_p", 200),
    ],
)  # fmt: skip
def test_a_rejected_parameter_is_left_out_remembered_and_reported_once(complaint, name, status):
    handle, bodies = rejecting(complaint, name, status=status)
    reply, teacher = ask(handle, times=3)
    assert reply.text == "4" and name not in reply.sent and len(bodies) == 4, "one retry, then remembered"
    assert all(name not in body for body in bodies[1:])
    assert teacher.notices == [f"{teacher.url} rejects {name} for m. Calls continue without it."]


@pytest.mark.parametrize(
    "complaint",
    [
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
        "max_tokens: extra fields not permitted",
    ],
)
def test_the_token_limit_is_renamed_where_its_old_name_is_rejected(complaint):
    handle, bodies = rejecting(complaint, "max_tokens")
    reply, teacher = ask(handle, times=2)
    assert bodies[-1]["max_completion_tokens"] == 100 and reply.sent["max_completion_tokens"] == 100
    assert len(bodies) == 3 and not teacher.notices


@pytest.mark.parametrize(
    "complaint",
    [
        "max_tokens is too large: 100. This model supports at most 64 completion tokens.",
        "'max_tokens' or 'max_completion_tokens' is too large: 100. This model's maximum context length is 64 tokens.",
    ],
)
def test_a_token_limit_that_is_too_large_is_not_sent(complaint):
    handle, bodies = rejecting(complaint, "max_tokens", "max_completion_tokens")
    reply, teacher = ask(handle, times=2)
    assert reply.text == "4" and "max_tokens" not in bodies[-1] and "max_completion_tokens" not in bodies[-1]
    assert teacher.notices == [f"{teacher.url} rejects max_tokens for m. Calls continue without a token limit."]


def test_parameters_that_are_none_are_not_sent_and_extra_fields_are():
    handle, bodies = rejecting("")
    extra = {"reasoning_effort": "low", "chat_template_kwargs": {"enable_thinking": False}}
    reply, _ = ask(handle, DecodingParams(None, None, None), extra_body=extra)
    assert set(bodies[0]) == {"model", "messages", "reasoning_effort", "chat_template_kwargs"}
    assert reply.sent == extra


def test_an_extra_field_that_is_rejected_is_reported_too():
    handle, _ = rejecting("Unrecognized request argument supplied: reasoning_effort", "reasoning_effort")
    reply, teacher = ask(handle, extra_body={"reasoning_effort": "low"})
    assert reply.text == "4" and "rejects reasoning_effort" in teacher.notices[0]


def test_a_request_that_is_too_long_is_refused_with_the_endpoints_words():
    message = "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens."
    error, _ = ask(always(400, {"error": {"message": message, "code": "context_length_exceeded", "param": "messages"}}))
    assert isinstance(error, TeacherRefusal) and message in str(error)


# ------------------------------------------------------------------------------------------------------ addresses and keys


def test_azures_classic_address_names_deployment_and_version_and_the_key_has_its_header(monkeypatch):
    monkeypatch.setenv("MY_AZURE_KEY", "azure-secret-1")
    seen = {}

    async def handle(request):
        seen.update(path=request.path_qs, key=request.headers.get("api-key"), bearer=request.headers.get("Authorization"))
        return completion("4", prompt_tokens=9, completion_tokens=1)

    reply, _ = ask(handle, model="gpt-deploy", path="?api-version=2024-10-21", key_variable="MY_AZURE_KEY")
    assert reply.text == "4"
    assert seen == {
        "path": "/openai/deployments/gpt-deploy/chat/completions?api-version=2024-10-21", "key": "azure-secret-1", "bearer": None
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "kept", "chat"),
    [
        ("https://x.openai.azure.com?api-version=1", "https://x.openai.azure.com?api-version=1",
         "https://x.openai.azure.com/openai/deployments/m/chat/completions?api-version=1"),
        ("https://x.openai.azure.com/openai/deployments/d/chat/completions?api-version=1",
         "https://x.openai.azure.com/openai/deployments/d?api-version=1",
         "https://x.openai.azure.com/openai/deployments/d/chat/completions?api-version=1"),
        ("https://x.openai.azure.com/openai/v1/", "https://x.openai.azure.com/openai/v1",
         "https://x.openai.azure.com/openai/v1/chat/completions"),
        ("http://localhost:8000/v1/chat/completions", "http://localhost:8000/v1", "http://localhost:8000/v1/chat/completions"),
    ],
)  # fmt: skip
def test_addresses_as_people_paste_them(given, kept, chat):
    assert endpoint(given) == kept and chat_url(endpoint(given), "m") == chat


@pytest.mark.parametrize("url", ["http://localhost:1/v1?key=x", "http://u:p@localhost/v1", "http://x/v1?api-version=1&key=2"])
def test_an_address_with_a_secret_is_refused(url):
    with pytest.raises(TeacherError, match="user name, password or query"):
        endpoint(url)


@pytest.mark.parametrize(
    ("url", "local"),
    [("http://localhost:1/v1", True), ("http://127.0.0.1:1/v1", True), ("http://[::1]:1/v1", True), ("http://192.168.1.5/v1", True),
     ("http://10.0.0.3/v1", True), ("http://box.local/v1", True), ("https://api.openai.com/v1", False), ("http://8.8.8.8/v1", False)],
)  # fmt: skip
def test_which_addresses_are_local(url, local):
    assert is_local(url) is local


def test_headers_take_values_from_the_environment_and_those_are_never_shown(monkeypatch):
    monkeypatch.setenv("MY_TOKEN", "very-secret-token")
    seen = {}

    async def handle(request):
        seen.update(request.headers)
        return web.json_response({"error": {"message": f"no {request.headers['X-Token']}"}}, status=400)

    error, _ = ask(handle, headers={"X-Token": "$MY_TOKEN", "X-Title": "GLAN"})
    assert seen["X-Token"] == "very-secret-token" and seen["X-Title"] == "GLAN"
    assert "very-secret-token" not in str(error) and "[key]" in str(error)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"headers": {"Authorization": "Bearer abc"}}, "credential"), ({"headers": {"api-key": "abc"}}, "credential"),
        ({"headers": {"X-Y": "sk-proj-12345678"}}, "credential"), ({"headers": {"X Y": "1"}}, "not valid"),
        ({"headers": {"X-Y": "1\n2"}}, "not valid"), ({"key_variable": "sk-proj-12345678"}, "not the key itself"),
        ({"extra_body": {"model": "x"}}, "set by the studio"), ({"extra_body": {"k": "sk-proj-12345678"}}, "looks like a key"),
        ({"extra_body": "{"}, "not valid JSON"), ({"headers": "[1]"}, "not a JSON object"),
    ],
)  # fmt: skip
def test_secrets_and_invalid_values_are_refused_before_they_are_stored(values, says):
    with pytest.raises(TeacherError, match=says) as error:
        EndpointSettings(**values)
    assert "12345678" not in str(error.value)


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


# ----------------------------------------------------------------------------------------------------- secrets, found by attack


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, '{"error": {"message": "No: %s and %s"}, "usage": {"prompt_tokens": 5, "completion_tokens": 5}}'),
        (200, "<html><title>Login %s %s</title></html>"), (200, "no such thing: %s %s"),
        (200, '{"choices": [{"message": {"content": "%s %s"}, "finish_reason": "stop"}]}'),
        (400, '{"error": {"message": "' + "x" * 280 + '%s %s"}}'), (401, '{"detail": "bad %s, %s"}'), (500, "%s %s"),
    ],
)  # fmt: skip
def test_no_response_can_bring_back_the_key_or_a_header_value(monkeypatch, status, body):
    monkeypatch.setenv("MY_SECRET", "plainsecretvalue123")
    monkeypatch.setenv("OPENAI_API_KEY", "zz9plainkeyvalue777")
    raw = body.replace("%s", "plainsecretvalue123", 1).replace("%s", "zz9plainkeyvalue777", 1).encode()
    result, _ = ask(always(status, raw), headers={"X-My": "Token $MY_SECRET"})
    shown = repr(result) + str(result) + str(getattr(result, "reply", ""))
    assert not any(part in shown for part in ("plainsecret", "zz9plain")), shown


@pytest.mark.parametrize(
    ("complaint", "name"),
    [
        ("Use 'max_completion_tokens' instead of 'max_tokens'.", "max_tokens"), ("Please use max_completion_tokens.", "max_tokens"),
        ("temperature and top_p are mutually exclusive", "top_p"), ("Specify either temperature or top_p", "top_p"),
        ("Only temperature=1 works", "temperature"), ("temperature must equal 1", "temperature"),
        ("`temperature` should be 1", "temperature"), ("Please remove `temperature`", "temperature"),
        ("temperature isn't possible with thinking mode", "temperature"), ("Parameter topP cannot be used", "top_p"),
        ("maximum context length is 2048 tokens. However, you requested 4096 max_tokens. Please reduce the length.", "max_tokens"),
        ("Your prompt about temperature is not allowed by the safety policy", None),
    ],
)  # fmt: skip
def test_further_wordings_of_complaints(complaint, name):
    raw = json.dumps({"error": {"message": complaint}}).encode()
    assert rejected_parameter(400, raw, ("temperature", "top_p", "max_tokens")) == name


def test_a_parameter_named_with_spaces_or_in_an_inner_error_is_recognized():
    raw = json.dumps({"error": {"message": "reasoning effort 'low' is not supported"}}).encode()
    assert rejected_parameter(400, raw, ("reasoning_effort",)) == "reasoning_effort"
    raw = json.dumps({"error": {"message": "no", "inner": {"param": "top_p"}}}).encode()
    assert rejected_parameter(400, raw, ("top_p",)) == "top_p"


def test_a_quota_code_ends_the_run_even_with_a_retry_after():
    error, _ = ask(always(429, {"error": {"message": "no", "code": "insufficient_quota"}}, **{"Retry-After": "3600"}))
    assert isinstance(error, TeacherError)


@pytest.mark.parametrize("name", ["HF_API_TOKEN", "KEY_OPENROUTER", "OPENAI_API_KEY", "none"])
def test_names_of_variables_are_not_taken_for_keys(name):
    assert EndpointSettings(key_variable=name).key_variable == name


@pytest.mark.parametrize(
    "values",
    [
        {"headers": {"X-Auth-Token": "abcd1234abcd1234"}}, {"extra_body": {"api_key": "abcd1234abcd1234"}},
        {"extra_body": {"provider": {"auth": "abcd"}}},
    ],
)  # fmt: skip
def test_pasted_credentials_are_refused(values):
    with pytest.raises(TeacherError, match="would be stored"):
        EndpointSettings(**values)


def test_ordinary_extra_fields_are_accepted():
    extra = {"provider": {"only": ["hf-inference"]}, "max_thinking_tokens": 5, "reasoning": {"max_tokens": 100}}
    assert EndpointSettings(extra_body=extra).extra_body == extra


@pytest.mark.parametrize(
    "content", [{"type": "text", "text": "4"}, [{"type": "text", "text": "Hm", "thought": True}, {"text": "4"}]]
)
def test_content_as_an_object_and_parts_marked_as_thoughts(content):
    reply, _ = ask(always(200, {"choices": [{"message": {"content": content}, "finish_reason": "stop"}]}))
    assert reply.split()[1] == "4"
