"""Requests to endpoints: parameters, addresses, keys and headers, and secrets that come back."""

import json

import pytest
from aiohttp import web
from support.endpoints import always, ask
from support.runs import completion

from glan_core.teachers.contract import (
    DecodingParams,
    TeacherError,
    TeacherRefusal,
)
from glan_core.teachers.endpoint_errors import rejected_parameter
from glan_core.teachers.endpoint_settings import EndpointSettings, chat_url, endpoint, is_local

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


# ----------------------------------------------------------------------------------------------------- secrets


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
