"""Fingerprints of chats: stored ones were computed from the text that Python's json module writes, and must stay the same."""

import hashlib
import json

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as checks
from hypothesis import strategies as st

from glan_core.generation.protocols import fingerprint
from glan_core.json_text import json_bytes

ANY_TEXT = st.text(st.characters(exclude_categories=()))  # lone surrogates included
ON_A_BUSY_MACHINE = checks(deadline=None, suppress_health_check=[HealthCheck.too_slow])
MESSAGES = st.builds(
    lambda role, content: {"role": role, "content": content}, st.sampled_from(["system", "user", "assistant"]), ANY_TEXT
)
CHATS = st.lists(MESSAGES)


def by_definition(messages: list[dict[str, str]]) -> str:
    """Return the first 16 digits of SHA-256 of the chat as JSON with spaces, in UTF-8."""
    return hashlib.sha256(json.dumps(messages, ensure_ascii=False).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def test_the_fingerprint_of_a_chat_has_a_known_value():
    assert fingerprint([{"role": "user", "content": 'Explain "entropy"\nin one\tline: ΔS ≥ 0.'}]) == "59e8e9d0c2cc15e7"


@ON_A_BUSY_MACHINE
@given(CHATS)
def test_fingerprints_follow_their_definition(messages):
    assert fingerprint(messages) == by_definition(messages)


@pytest.mark.parametrize("characters", [999, 1000, 2999, 3000, 3001, 4000, 11_000])
def test_long_prompts_that_begin_alike_follow_the_definition(characters):
    text = ('é\n😀"' * characters)[:characters]
    for end in ("", "a", "\ud800"):
        messages = [{"role": "user", "content": text + end}]
        assert fingerprint(messages) == by_definition(messages)


@pytest.mark.parametrize("text", ["".join(map(chr, range(160))), "\ud800 alone", "😀\u2028\uffff", "/</script>"])
def test_control_characters_and_surrogates_change_nothing(text):
    messages = [{"role": "user", "content": text}, {"role": "assistant", "content": text[::-1]}]
    assert fingerprint(messages) == by_definition(messages)


@ON_A_BUSY_MACHINE
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | ANY_TEXT, lambda inner: st.lists(inner) | st.dictionaries(ANY_TEXT, inner)
    )
)
def test_written_json_says_the_same_when_it_is_read(value):
    assert json.loads(json_bytes(value)) == value


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 10**400, -0.0, 5e-324, 1e16])
def test_numbers_of_further_fields_are_written_as_python_reads_them(number):
    assert repr(json.loads(json_bytes({"field": number}))) == repr({"field": number})


def test_what_cannot_be_written_is_an_error():
    with pytest.raises(TypeError):
        json_bytes({"field": object()})
