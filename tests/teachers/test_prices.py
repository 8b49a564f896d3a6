"""Prices of models: by name, as given, and none for what is local."""

import pytest

from glan_core.errors import GlanError
from glan_core.teachers.prices import FREE, Price, parse_price, price_of


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
