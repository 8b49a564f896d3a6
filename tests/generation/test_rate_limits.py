"""Limits of a run (concurrency, rates, budget), prices, and parsing of endpoint responses."""

import json
import time
from email.utils import formatdate
from types import SimpleNamespace

import pytest

from glan_core.errors import GlanError
from glan_core.generation.endpoint_gates import EndpointGates
from glan_core.generation.rate_limits import Budget, Concurrency, Rate
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
from glan_core.teachers.prices import FREE, Price, parse_price, price_of

ASKED: list[Message] = [{"role": "user", "content": "What is 2 + 2?"}]


SENT = ("temperature", "top_p", "max_tokens")


class Clock:
    """A clock that is advanced manually."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def outcomes(limit: Concurrency, number: int, refuse_every: int | None) -> None:
    """Record this number of results, every nth of them a refusal."""
    for n in range(1, number + 1):
        if refuse_every and n % refuse_every == 0:
            limit.refused(0.1)
        else:
            limit.served()


# ----------------------------------------------------------------------------------------------------------- concurrency


def test_concurrency_multiplies_per_window_up_to_the_most_while_it_completes_more():
    clock = Clock()
    limit = Concurrency(1000, clock, local=True)
    seen = []
    for _ in range(7):
        seen.append(limit.limit)
        number = max(4, int(limit.limit))
        clock.now += number / limit.limit  # every call takes one second
        outcomes(limit, number, None)
    assert seen == [2, 8, 32, 64, 128, 256, 512]


def test_a_serial_server_is_not_flooded_and_tried_again_much_later():
    clock = Clock()
    limit = Concurrency(256, clock, local=True)
    seen = []
    for _ in range(50):
        number = max(4, int(limit.limit))
        clock.now += number  # one call a second, however many are in flight
        outcomes(limit, number, None)
        seen.append(int(limit.limit))
    assert seen[:3] == [8, 2, 2] and max(seen[2:40]) == 2
    assert 8 in seen[40:], "the server may have changed"


def test_windows_that_are_not_full_say_nothing_about_the_limit():
    limit = Concurrency(256, Clock(), local=True)
    for _ in range(96):
        limit.served(10, full=False)
    assert limit.limit == 2
    for _ in range(4):
        limit.served(10, full=True)
    assert limit.limit == 8


@pytest.mark.parametrize("fault", ["refused", "timed_out"])
def test_faults_do_not_make_a_limit_grow_that_is_not_used(fault):
    limit = Concurrency(256, Clock())
    start = limit.limit
    for number in range(5000):
        limit.served(full=False)
        if number % 50 == 0:
            limit.refused(None) if fault == "refused" else limit.timed_out()
        assert limit.limit <= start


def test_a_server_that_answers_five_at_a_time_is_not_flooded():
    """Its groups do not divide the limit, so that windows end amid a group."""
    clock = Clock()
    gates = EndpointGates({"question": SimpleNamespace(name="openai:m", url="http://127.0.0.1:1/v1")}, 256, clock)
    gate, seen = next(iter(gates.all())), []
    for _ in range(80):
        gate.in_flight = int(gate.concurrency.limit)
        gates.record_full()
        clock.now += 1.0
        for _ in range(min(5, gate.in_flight)):
            gate.in_flight -= 1
            gate.concurrency.served(full=gate.full)
        seen.append(int(gate.concurrency.limit))
    assert max(seen) == 32 and max(seen[10:40]) == 8


def test_a_timeout_halves_the_limit_once_per_window():
    limit = Concurrency(64, Clock())
    limit.timed_out()
    limit.timed_out()
    assert limit.limit == 32
    for _ in range(29):
        limit.served()
    limit.timed_out()
    assert limit.limit == 34, "still the same window, at whose end the limit grows by a 32nd of the most"
    limit.timed_out()
    assert limit.limit == 17


def test_a_modest_concurrency_is_tried_at_once():
    assert Concurrency(64).limit == 64 and Concurrency(100).limit == 64


def test_a_small_most_is_never_passed():
    limit = Concurrency(3)
    outcomes(limit, 100, None)
    assert limit.limit == 3


def test_all_refused_brings_concurrency_down_to_one_and_success_brings_it_back():
    limit = Concurrency(256)
    outcomes(limit, 600, 1)
    assert 1 <= limit.limit < 2
    outcomes(limit, 5000, None)
    assert limit.limit == 256


def test_a_few_refusals_in_a_hundred_cost_little_concurrency():
    limit = Concurrency(256)
    outcomes(limit, 20_000, 20)
    assert limit.limit > 150


def test_half_refused_settles_well_below_the_most():
    limit = Concurrency(256)
    outcomes(limit, 20_000, 2)
    assert 2 <= limit.limit < 40


def test_an_endpoint_is_closed_by_the_share_of_refusals_and_then_probed_with_one_call():
    clock = Clock()
    limit = Concurrency(64, clock)
    for _ in range(4):
        limit.served()
    for nth in range(12):  # 12 of the latest 16 results
        assert limit.allows(0) and limit.closed_until <= clock.now
        limit.refused(5 if nth < 11 else 7)
    assert limit.closed_until == clock.now + 7 and not limit.allows(0)
    clock.now += 7
    assert limit.allows(0) and not limit.allows(1)
    limit.refused(3)
    assert limit.closed_until == clock.now + 3
    clock.now += 3
    assert limit.allows(0) and not limit.allows(1)
    limit.served()
    assert limit.allows(20)


@pytest.mark.parametrize("every", [2, 3, 20])
def test_refusals_of_some_requests_never_close_an_endpoint(every):
    clock = Clock()
    limit = Concurrency(64, clock)
    outcomes(limit, 500, every)
    limit.refused(9)
    limit.refused(9)
    assert limit.closed_until <= clock.now


def test_a_refused_call_waits_as_told_else_a_while_and_never_not_at_all():
    limit = Concurrency(64, Clock())
    assert limit.refused(3.5) == 3.5
    assert limit.refused(None) == Concurrency.PAUSE
    assert limit.refused(0) == Concurrency.MIN_PAUSE > 0


# ----------------------------------------------------------------------------------------------------------------- rates


def sent_in(seconds: float, per_minute: int, units: float) -> int:
    """Return how many calls of this size a rate allows in a time if each is sent as soon as possible."""
    clock, sent = Clock(), 0
    rate = Rate(per_minute, clock)
    end = clock.now + seconds
    while clock.now < end:
        if wait := rate.wait():
            clock.now += max(wait, 1e-6)
        else:
            rate.take(units)
            sent += 1
    return sent


@pytest.mark.parametrize(("per_minute", "units"), [(60, 1), (600, 1), (6000, 1), (7, 1), (90_000, 1500), (1000, 4000)])
def test_a_rate_lets_through_what_it_says_and_at_most_a_seconds_worth_or_one_call_more(per_minute, units):
    allowed = per_minute * 10 / units
    extra = max(1, per_minute / 60 / units) + 1
    assert allowed - 1 <= sent_in(600, per_minute, units) <= allowed + extra


def test_after_a_long_rest_a_rate_allows_no_more_than_a_seconds_worth_at_once():
    clock = Clock()
    rate = Rate(600, clock)
    clock.now += 3600
    burst = 0
    while not rate.wait():
        rate.take(1)
        burst += 1
    assert burst in (10, 11)


def test_no_rate_never_waits():
    rate = Rate(None)
    rate.take(10**9)
    assert rate.wait() == 0


# ---------------------------------------------------------------------------------------------------------------- budget


def test_a_budget_counts_what_is_in_flight_at_its_worst():
    budget = Budget(usd=1.0)
    assert budget.reserve(0.4) and budget.reserve(0.4)
    assert not budget.reserve(0.4)
    budget.settle(0.4, 0.1)
    assert budget.reserve(0.4)
    assert (budget.spent_usd, budget.spent_calls, budget.reserved_calls) == (0.1, 1, 2)
    budget.settle(0.4, 0, paid=False)
    assert budget.spent_calls == 1


def test_a_budget_of_calls_counts_those_in_flight():
    budget = Budget(calls=2, spent_calls=1)
    assert budget.reserve(0) and not budget.reserve(0)
    budget.settle(0, 0, paid=False)
    assert budget.reserve(0)
    budget.settle(0, 0)
    assert not budget.reserve(0) and budget.reason() == "The limit of 2 calls is reached"


def test_amounts_that_only_rounding_tells_apart_fit():
    budget = Budget(usd=0.3)
    assert all(budget.reserve(0.1) for _ in range(3))


# ---------------------------------------------------------------------------------------------------------------- prices


@pytest.mark.parametrize(
    ("teacher", "same_as"),
    [("openai:gpt-4o-2024-08-06", "openai:gpt-4o"), ("openai:gpt-4o-mini-2024-07-18", "openai:gpt-4o-mini"),
     ("openai:gpt-4.1-mini", "openai:gpt-4.1-mini"), ("openai:gpt-4-0613", "openai:gpt-4")],
)  # fmt: skip
def test_a_dated_model_costs_what_its_family_costs(teacher, same_as):
    assert price_of(teacher) == price_of(same_as) is not None


def test_families_are_not_mixed_up():
    prices = [price_of(f"openai:{model}") for model in ("gpt-4o", "gpt-4o-mini", "gpt-4", "gpt-4.1", "gpt-4.1-mini")]
    assert len(set(prices)) == 5
    assert price_of("openai:gpt-40") is price_of("openai:llama-3") is price_of("openai:") is None


@pytest.mark.parametrize(
    "model",
    ["gpt-5-pro", "gpt-5-pro-2025-10-06", "gpt-5-codex", "gpt-4o-mini-search", "gpt-4o-mini-search-preview-2025-03-11",
     "gpt-4o-audio-preview", "gpt-4o-realtime-preview-2024-12-17", "gpt-4-1106-preview", "gpt-4-32k", "gpt-4-32k-0613",
     "gpt-3.5-turbo-16k", "gpt-3.5-turbo-instruct", "gpt-5-2025-13-01", "gpt-5-2025-08", "gpt-5-2025-08-07-eu", "gpt-5-",
     "openai/gpt-5", "azure/gpt-4o", "ft:gpt-4o-2024-08-06:acme::abc", "GPT-5", " gpt-5"],
)  # fmt: skip
def test_a_name_that_only_begins_like_a_listed_model_has_no_price(model):
    assert price_of(f"openai:{model}") is None
    assert price_of(f"openai:{model}", "1,2") == Price(1, 2)


def test_a_snapshot_that_is_listed_itself_has_its_own_price():
    assert price_of("openai:gpt-4o-2024-05-13") == Price(5, 15) != price_of("openai:gpt-4o")
    assert price_of("openai:gpt-5-2025-08-07") == price_of("openai:gpt-5") == Price(1.25, 10)


def test_local_and_scripted_teachers_cost_nothing_unless_said():
    assert price_of("scripted") == price_of("local:gpt-4o") == price_of("openai:scripted") == FREE
    assert price_of("local:gpt-4o", "1,2") == Price(1, 2)


def test_a_price_is_per_million_tokens():
    assert Price(2.5, 10).of(1_000_000, 100_000) == pytest.approx(3.5)


@pytest.mark.parametrize("text", ["", "1", "1,2,3", "a,b", "-1,2", "nan,1", "1,inf", "1;2"])
def test_what_is_no_price_is_refused(text):
    with pytest.raises(GlanError, match="is not a valid price"):
        parse_price(text)


# ------------------------------------------------------------------------------------------------------------------ wire


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
