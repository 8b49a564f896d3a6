"""Drafted text: what a language model writes around a tree, such as a greeting and a code fence, is left out."""

import json
import re

from glan_core.delimited_spans import NextPlaces, replaced, spans

_FENCE = re.compile(r"^[ \t]*(```|~~~)[ \t]*+(\w*+)[^\n`]*+$", re.MULTILINE)
_STRING_OR_COMMENT = re.compile(r'"|//|/\*')
_STRING, _REST_OF_LINE = re.compile(r'"(?:\\.|[^"\\\n])*+', re.DOTALL), re.compile(r"[^\n]*")
_JSON_START = re.compile(r"^[ \t]*(?:[\w.]{1,40}\s*=\s*)?(?P<value>\{\s*(?:[\"'}]|$)|\[\s*(?:[\[{\"']|$))", re.MULTILINE)


def without_prose(text: str) -> str:
    """Return the text with everything blanked that a language model writes around its draft; line numbers are kept."""
    marks = list(_FENCE.finditer(text))
    blocks = []
    for n in range(0, len(marks), 2):
        end = marks[n + 1].start() if n + 1 < len(marks) else len(text)  # a reply that was cut has no closing fence
        blocks.append((marks[n].end(), end, marks[n][2].lower()))
    if blocks:
        start, end, language = max(blocks, key=lambda block: block[1] - block[0])
        inside = text[start:end].strip()
        drafted = inside[:1] in ("{", "[") or language in ("json", "jsonl", "yaml", "yml", "csv", "tsv")
        if inside and (drafted or 2 * (inside.count("\n") + 1) >= len([line for line in text.split("\n") if line.strip()]) - 2):
            return _only(text, start, end)
    opening = _JSON_START.search(text)
    if opening is None or (text[: opening.start()].strip() and opening.group().strip() == "["):
        return text
    start = opening.start("value")
    until = _end_of_json(text, start)
    return text if until is None else _only(text, start, until)


def _end_of_json(text: str, start: int) -> int | None:
    """Return the end of the JSON value that begins at a position, perhaps one with faults; None if it cannot be told."""
    try:
        value, end = json.JSONDecoder().raw_decode(text, start)
    except (ValueError, RecursionError):
        last = max((match.end() for match in re.finditer(r"^[^\n]*[}\]][,;]?[ \t]*$", text, re.MULTILINE)), default=0)
        return last if last > start else None
    if not isinstance(value, list | dict) or not value or re.match(r"\s*[{\[]", text[end:]):
        return None  # lines of JSON
    return end


def _only(text: str, start: int, end: int) -> str:
    """Return a part of a text at its lines."""
    return "\n" * text.count("\n", 0, start) + text[start:end]


def without_comments(text: str) -> str:
    """Return JSON without the comments of JavaScript; line numbers are kept."""
    places, unclosed = NextPlaces(text), -1

    def end_of(found: re.Match[str]) -> int | None:
        nonlocal unclosed
        if found[0] == "//":
            return _REST_OF_LINE.match(text, found.end()).end()  # type: ignore[union-attr]
        if found[0] == "/*":
            return closing[1] if (closing := places.find("*/", found.end())) else None
        if found.start() < unclosed:
            return None  # within a string that does not end, where every quotation mark is escaped
        end = _STRING.match(text, found.start()).end()  # type: ignore[union-attr]
        if text.startswith('"', end):
            return end + 1
        unclosed = end
        return None

    found = spans(text, _STRING_OR_COMMENT, end_of)
    return replaced(text, found, lambda part: part if part[0] == '"' else "\n" * part.count("\n"))
