"""Parts of Markdown text that are not prose: code and formulas, found in linear time."""

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from glan_core.delimited_spans import Span

FENCE = re.compile(r"[ \t>]*(?:[-*+][ \t]+|\d{1,9}[.)][ \t]+)?(`{3,}(?=[^`]*$)|~{3,})")
_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_TICKS = re.compile(r"\\`|`+")
_BLANK_LINE = re.compile(r"\n[ \t]*\n")
_MATH = re.compile(r"\\\\|\\\$|\$\$|\$|\\[\[\]()]")
_PARTNER = {"$$": "$$", "$": "$", r"\[": r"\]", r"\(": r"\)"}


@dataclass(frozen=True, slots=True)
class MathSign:
    """A dollar or bracket of TeX in a text.

    Attributes:
        start: Position.
        end: End of the formula that begins here, or of the sign.
        tex: Source of the formula, '' for a sign that begins none.
        sign: The sign: '$', '$$', a bracket, or an escaped one.
    """

    start: int
    end: int
    tex: str
    sign: str

    @property
    def display(self) -> bool:
        """Whether the formula stands on lines of its own."""
        return self.sign in ("$$", r"\[")


def code_parts(text: str) -> list[Span]:
    """Return the spans of fenced blocks, with their fences, and of code spans."""
    found: list[Span] = []
    fence, begun, prose = "", 0, 0
    for line in _LINE.finditer(text):
        if fence:
            bare = line.group().strip(" \t>\r\n")
            if len(bare) >= len(fence) and set(bare) == {fence[0]}:
                found.append((begun, line.end()))
                fence, prose = "", line.end()
        elif opened := FENCE.match(line.group().rstrip("\r\n")):
            found += _code_spans(text, prose, line.start())
            fence, begun = opened.group(1), line.start()
    found += [(begun, len(text))] if fence else _code_spans(text, prose, len(text))
    return found


def _code_spans(text: str, start: int, end: int) -> Iterator[Span]:
    """Yield the code spans of a part of a text: a run of backticks up to the next of equal length in the same paragraph."""
    runs = [run for run in _TICKS.finditer(text, start, end) if run.group()[0] == "`"]
    if not runs:
        return
    blanks = [found.start() for found in _BLANK_LINE.finditer(text, start, end)]
    starts: dict[int, list[int]] = {}
    for run in runs:
        starts.setdefault(len(run.group()), []).append(run.start())
    last = start
    for run in runs:
        if run.start() < last:
            continue
        same = starts[len(run.group())]
        after = bisect_right(same, run.start())
        if after < len(same) and bisect_right(blanks, run.start()) == bisect_right(blanks, same[after]):
            last = same[after] + len(run.group())
            yield run.start(), last


def math_signs(text: str) -> Iterator[MathSign]:
    """Yield the formulas of a text without code, and the dollars that begin no formula, from left to right."""
    signs = list(_MATH.finditer(text))
    places: dict[str, list[int]] = {}
    for number, sign in enumerate(signs):
        places.setdefault(sign.group(), []).append(number)
    blanks = [found.start() for found in _BLANK_LINE.finditer(text)]
    number = 0
    while number < len(signs):
        sign = signs[number]
        closing = places.get(_PARTNER.get(sign.group(), ""), ())
        after = bisect_right(closing, number)
        end = signs[closing[after]] if after < len(closing) else None
        if end and bisect_right(blanks, sign.start()) == bisect_right(blanks, end.start()) and _is_formula(text, sign, end):
            yield MathSign(sign.start(), end.end(), text[sign.end() : end.start()].strip(), sign.group())
            number = closing[after] + 1
            continue
        if sign.group() in ("$", "$$"):
            yield MathSign(sign.start(), sign.end(), "", sign.group())
        number += 1


def _is_formula(text: str, sign: re.Match[str], end: re.Match[str]) -> bool:
    """Return whether two delimiters enclose a formula; '$5 and $6' is not one."""
    start, stop = sign.end(), end.start()
    if sign.group() != "$":
        return stop > start and not text[start:stop].isspace()
    return stop > start and not (
        text[start].isspace()
        or text[stop - 1].isspace()
        or text.find("\n", start, stop) >= 0
        or text[end.end() : end.end() + 1].isdigit()
    )
