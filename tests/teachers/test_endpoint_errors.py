"""Responses of endpoints that are no replies, their waits and keys; token estimates; names and addresses that are refused."""

import json
import time
from email.utils import formatdate

import pytest

from glan_core.teachers import check_spec, endpoint_errors, open_teacher, wire_format
from glan_core.teachers.contract import (
    DecodingParams,
    Message,
    TeacherBusy,
    TeacherError,
    TeacherFault,
    TeacherRefusal,
    estimate_tokens,
)
from glan_core.teachers.endpoint_settings import endpoint
from glan_core.teachers.http_teacher import HttpTeacher

ASKED: list[Message] = [{"role": "user", "content": "What is 2 + 2?"}]
SENT = ("temperature", "top_p", "max_tokens")


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None), ({"retry-after": "2"}, 2.0), ({"retry-after": "0.25"}, 0.25), ({"retry-after-ms": "125"}, 0.125),
        ({"retry-after-ms": "125", "retry-after": "9"}, 0.125), ({"retry-after": "999999"}, endpoint_errors.MAX_RETRY_AFTER),
        ({"retry-after": "soon"}, None), ({"retry-after": "-3"}, None), ({"retry-after-ms": "nan"}, None),
        ({"retry-after-ms": "-5"}, 0.0), ({"retry-after-ms": "inf"}, endpoint_errors.MAX_RETRY_AFTER), ({"retry-after": ""}, None),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0), ({"retry-after": "²"}, None),
    ],
)  # fmt: skip
def test_the_wait_that_a_response_asks_for_in_all_its_forms(headers, seconds):
    assert endpoint_errors.retry_after(headers) == seconds


def test_a_date_is_a_wait_until_then():
    assert 25 < endpoint_errors.retry_after({"retry-after": formatdate(time.time() + 30, usegmt=True)}) <= 30


@pytest.mark.parametrize(
    "text",
    [
        "key sk-proj-abcdef123456",
        "sk_live_abcdef123456",
        "Authorization: Bearer abc.def",
        "hf_AbCdEf123456 leaked",
        "mine: s3cret!word",
    ],
)
def test_keys_and_what_looks_like_one_are_blotted_out(text):
    shown = endpoint_errors.redact(text, "s3cret!word")
    assert "[key]" in shown
    assert not any(part in shown for part in ("abcdef", "abc.def", "AbCdEf", "s3cret"))


@pytest.mark.parametrize(
    "key",
    [
        "gsk_4fT9aBcDeFgHiJkLmNoPqRsT", "xai-7Zb1aBcDeFgHiJkLmNoPqRsT", "csk-9aBcDeFgHiJkLmNoPqRsTuVw", "nvapi-Q1_aBcDeFgHiJkLmNoPqRs",
        "ghp_16C7e42F292c6912E7710c838347Ae178B4a", "github_pat_11ABCDEFG0aBcDeFgHiJkLm", "AKIAIOSFODNN7EXAMPLE",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P",
    ],
)  # fmt: skip
def test_keys_of_other_services_are_blotted_out(key):
    assert endpoint_errors.redact(f"Incorrect API key provided: {key}.") == "Incorrect API key provided: [key]."


def test_ordinary_words_are_not_blotted_out():
    text = "The task-key pair of the risk-averse keyboard; a sky-blue pk was asked: fw_cross_entropy_of_level, eyJ, AKIAN, gsk_short1."
    assert endpoint_errors.redact(text, "") == text


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [(401, "", TeacherError), (403, "", TeacherError), (404, "", TeacherError), (400, "", TeacherRefusal),
    (413, "", TeacherRefusal), (422, "", TeacherRefusal),
     (301, "", TeacherFault), (429, "", TeacherBusy), (429, "rate_limit_exceeded", TeacherBusy),
     (429, "insufficient_quota", TeacherError),
     (429, "billing_hard_limit_reached", TeacherError), (408, "", TeacherFault),
     (409, "", TeacherFault), (500, "", TeacherFault),
     (502, "", TeacherFault), (503, "", TeacherFault), (529, "", TeacherFault)],
)  # fmt: skip
def test_every_status_stands_for_one_kind_of_trouble(status, code, kind):
    raw = json.dumps({"error": {"message": "no", "code": code}}).encode()
    assert type(endpoint_errors.error_of(status, raw, {}, where="http://x", model="m")) is kind


@pytest.mark.parametrize(
    "raw", [b"", b"\xff\xff", b"<html>", b'{"error": null}', b'{"error": "text"}', b'{"error": []}', b"[]", b"7"]
)
def test_an_error_body_of_any_form_is_read(raw):
    assert isinstance(endpoint_errors.error_of(500, raw, {}, where="http://x", model="m"), TeacherFault)
    assert endpoint_errors.rejected_parameter(400, raw, SENT) is None


@pytest.mark.parametrize(
    ("error", "parameter"),
    [
        ({"message": "Unsupported parameter: 'max_tokens' is not supported with this model. "
          "Use 'max_completion_tokens' instead.",
          "type": "invalid_request_error", "param": "max_tokens", "code": "unsupported_parameter"}, "max_tokens"),
        ({"message": "Unsupported value: 'temperature' does not support 0.7 with this model.", "param": "temperature",
          "code": "unsupported_value"}, "temperature"),
        ({"message": "'top_p' is not supported here"}, "top_p"),
        ({"message": "max_tokens is too large: 99999.", "param": "max_tokens", "code": "invalid_value"}, "max_tokens"),
        ({"message": "This model's maximum context length is 4096 tokens.", "param": "messages",
          "code": "context_length_exceeded"}, None),
    ],
)  # fmt: skip
def test_a_parameter_that_can_be_left_out_is_told_from_other_complaints(error, parameter):
    raw = json.dumps({"error": error}).encode()
    assert endpoint_errors.rejected_parameter(400, raw, SENT) == endpoint_errors.rejected_parameter(422, raw, SENT) == parameter
    assert endpoint_errors.rejected_parameter(404, raw, SENT) is None
    assert endpoint_errors.rejected_parameter(400, raw, ["stop"]) is None


def test_the_limit_has_the_name_that_the_endpoint_knows(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-abcdef")
    for url, name in ((wire_format.OPENAI_URL, "max_completion_tokens"), ("http://localhost:8000/v1", "max_tokens")):
        teacher = HttpTeacher("m", url)
        body = wire_format.chat_body("m", ASKED, DecodingParams(), new_limit_name=teacher._new_limit_name)
        assert body == {"model": "m", "messages": ASKED, "temperature": 1.0, "top_p": 0.95, name: 4096}


def test_withheld_and_cut_replies_are_told_by_their_finish_reason():
    def reply(**choice):
        return wire_format.read_reply(json.dumps({"choices": [choice]}).encode(), ASKED)

    assert reply(message={"content": "4"}, finish_reason="length").finish_reason == "length"
    assert reply(message={"content": "4"}).finish_reason == "stop"
    refused = reply(message={"content": None, "refusal": "I won't."}, finish_reason="stop")
    assert (refused.finish_reason, refused.text, refused.estimated) == ("refusal", "", True)


def test_tokens_are_estimated_from_bytes_and_are_never_none():
    assert (estimate_tokens(""), estimate_tokens("abcdefgh"), estimate_tokens("日本語日本語")) == (1, 2, 4)


# -------------------------------------------------------------------------------------------------------------- teachers


@pytest.mark.parametrize("spec", ["", "openai", "openai:", "local: ", "gpt-4o", "scripted:x", "anthropic:y"])
def test_what_names_no_teacher_is_refused(spec):
    with pytest.raises(TeacherError, match="is not a valid teacher"):
        check_spec(spec)


def test_openai_without_a_key_is_refused_before_anything_is_asked():
    with pytest.raises(TeacherError, match="OPENAI_API_KEY is not set"):
        open_teacher("openai:gpt-4o")


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://x/v1", "http://", "http://x:port/v1", "http://x:0/v1", "nonsense"])
def test_what_is_no_address_is_refused(url):
    with pytest.raises(TeacherError, match="is not a valid URL"):
        endpoint(url)


@pytest.mark.parametrize("url", ["http://me:pass@x/v1", "https://x/v1?api_key=abc"])
def test_an_address_that_holds_a_secret_is_refused_without_repeating_it(url):
    with pytest.raises(TeacherError, match="Set the key in OPENAI_API_KEY") as caught:
        endpoint(url)
    assert "pass" not in str(caught.value).replace("password", "") and "abc" not in str(caught.value)
