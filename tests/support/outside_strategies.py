"""Hypothesis strategies for text from outside: any characters, pieces of markup, JSON with known keys, damaged texts."""

import json

from hypothesis import strategies as st
from support.outside_text import PIECES

ANY = st.characters()  # with lone surrogates, controls and marks
KEYS = (
    "name", "title", "topic", "children", "nodes", "id", "parent", "kind", "description", "path", "subject_name", "level", "subtopics", "session",
    "key_concepts", "question", "answer", "instruction", "input", "output", "messages", "conversations", "role", "content", "from", "value", "text",
    "choices", "message", "usage", "error", "finish_reason", "data", "embedding", "index", "columns", "schema", "format", "edges", "source", "target",
    "root_id", "row", "row_idx", "train", "correct", "clear", "overall", "first", "second", "comment", "url", "model", "teacher",
)  # fmt: skip
WORDS = (
    "user",
    "assistant",
    "Physics",
    "Optics",
    "discipline",
    "field",
    "glan-taxonomy/1",
    "3",
    "",
    " ",
    "a b c",
    "\u202eabc",
    "\ud800",
    "物理",
)


def texts(most: int = 12) -> st.SearchStrategy[str]:
    """Return texts of any characters, of pieces of markup, of JSON, and damaged ones."""
    pieces = st.lists(st.sampled_from(PIECES), max_size=most).map("".join)
    return st.text(ANY, max_size=40) | pieces | damaged(json_texts()) | lines(pieces)


def lines(line: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Return texts of several lines, some indented."""
    indented = st.builds(lambda depth, text: "  " * depth + text, st.integers(0, 3), line)
    return st.lists(indented, max_size=6).map("\n".join)


def json_values() -> st.SearchStrategy:
    """Return values of JSON with keys that the parsers know."""
    numbers = st.integers(-5, 10**20) | st.floats() | st.just(10**400)
    scalars = st.none() | st.booleans() | numbers | st.sampled_from(WORDS) | st.text(ANY, max_size=6)
    keys = st.sampled_from(KEYS) | st.text(ANY, max_size=4)
    return st.recursive(
        scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4), max_leaves=12
    )


def json_texts() -> st.SearchStrategy[str]:
    """Return JSON values as text, one or one per line."""
    written = st.builds(lambda value, plain: json.dumps(value, ensure_ascii=plain), json_values(), st.booleans())
    return written | st.lists(written, min_size=1, max_size=4).map("\n".join) | nested()


def nested() -> st.SearchStrategy[str]:
    """Return values nested too deeply."""
    return st.builds(lambda sign, end, depth: sign * depth + "1" + end * depth, *map(st.sampled_from, (("[", '{"a":'), ("]", "}", ""))),
                     st.sampled_from((30, 3_000)))  # fmt: skip


def damaged(text: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Return texts whole, cut, or with a piece put in."""

    def damage(whole: str, at: int, piece: str, how: int) -> str:
        at = at % (len(whole) + 1)
        return (whole, whole[:at], whole[:at] + piece + whole[at:], whole + piece)[how]

    return st.builds(damage, text, st.integers(0, 10_000), st.sampled_from(PIECES), st.integers(0, 3))


def encoded(text: st.SearchStrategy[str]) -> st.SearchStrategy[bytes]:
    """Return texts as bytes in several encodings, and any bytes."""
    kinds = st.sampled_from(("utf-8", "utf-16", "utf-8-sig", "latin-1", "utf-32-be"))
    written = st.builds(
        lambda value, kind: value.encode(kind, "surrogatepass" if kind.startswith("utf") else "replace"), text, kinds
    )
    return written | st.binary(max_size=60)
