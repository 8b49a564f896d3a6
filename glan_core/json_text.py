"""JSON text: reading what comes from outside, and writing fast."""

import json
from typing import Any

import pydantic_core


def parse_json(text: str | bytes) -> Any:
    """Parse a JSON text.

    Raises:
        ValueError: If it is malformed, or nested more deeply than Python can read.
    """
    try:
        return pydantic_core.from_json(text)  # a fourth of the time of Python's
    except ValueError:  # also lone surrogates, other encodings and deeper nesting, which Python reads
        pass
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def json_bytes(value: object) -> bytes:
    """Return a value as compact JSON in UTF-8; pydantic's writer takes a fifth of the time of Python's for a long text."""
    try:
        return pydantic_core.to_json(value)
    except pydantic_core.PydanticSerializationError:  # lone surrogates, which Python escapes
        return json.dumps(value, separators=(",", ":")).encode()
