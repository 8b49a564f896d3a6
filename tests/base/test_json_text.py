"""JSON texts are read as Python's json module reads them, also where the fast reader refuses them."""

import json

import pytest

from glan_core.json_text import parse_json

READ = [
    '{"a": 1, "a": 2}', "[NaN, Infinity, -Infinity]", "[1e400, -0, -0.0, 5e-324, 9007199254740993.0]", '"\\ud800"', '"\\u0000"',
    "[123456789012345678901234567890]", '"\\ud83d\\ude00"', "[" * 500 + "]" * 500, "[1]".encode("utf-16"), b"\xef\xbb\xbf{}",
]  # fmt: skip
REFUSED = ["", "[1,]", "{} x", '"a\nb"', "[01]", "nan", "'a'", b"\xff", "[" * 100_000, f"[{'9' * 5000}]"]


@pytest.mark.parametrize("text", READ)
def test_what_python_reads_is_read_alike(text):
    assert repr(parse_json(text)) == repr(json.loads(text))


@pytest.mark.parametrize("text", REFUSED)
def test_what_python_refuses_is_an_error(text):
    with pytest.raises(ValueError):
        parse_json(text)
