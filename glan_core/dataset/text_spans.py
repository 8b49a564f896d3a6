"""Text spans to highlight in a review: words that differ between two texts, and text quoted by a filter."""

import re
from collections.abc import Sequence
from difflib import SequenceMatcher

from glan_core.dataset.text_normalization import placed_words

Span = tuple[int, int]  # (start, end) in characters
MOST_WORDS = 2000  # of each text are compared; matching takes time with the product of both numbers
ALIKE = 0.3  # minimum share of common words for differences to be worth highlighting


def differing_spans(one: str, other: str) -> tuple[list[Span], list[Span]]:
    """Return the spans of the words that differ between the first 2,000 words of two texts; empty if these have little in common."""
    first, second = placed_words(one), placed_words(other)
    matcher = SequenceMatcher(None, first.words[:MOST_WORDS], second.words[:MOST_WORDS], autojunk=False)
    spans: tuple[list[Span], list[Span]] = ([], [])
    if matcher.ratio() < ALIKE:
        return spans
    for tag, i1, i2, j1, j2 in matcher.get_opcodes():
        if tag == "equal":
            continue
        if i2 > i1:
            spans[0].append(first.span(i1, i2 - i1))
        if j2 > j1:
            spans[1].append(second.span(j1, j2 - j1))
    return spans


def quoted_spans(text: str, found: str) -> list[Span]:
    """Return the span of the text that a filter quotes (“…”); empty if it quotes nothing or the text does not contain it."""
    phrase = _quoted(found)
    words = re.split(r"\s+", phrase.strip())
    if not any(words):
        return []
    gap = r"[\s\W]+" if phrase.islower() and phrase.replace(" ", "").isalnum() else r"\s+"
    pattern = gap.join(re.escape(word).replace("'", "['’]") for word in words)
    last = None
    for match in re.finditer(pattern, text, re.IGNORECASE):
        last = match
        if not found.startswith("it ends"):
            break
    return [last.span()] if last else []


def _quoted(found: str) -> str:
    """Return the first text in quotation marks, without an ellipsis at either end."""
    start = found.find("“")
    end = found.find("”", start + 2)
    if start < 0 or end < 0:
        return ""
    inside = found[start + 1 : end]
    inside = inside.removeprefix("…") or inside
    return inside.removesuffix("…") or inside


def excerpt(text: str, spans: Sequence[Span], most: int) -> tuple[str, list[Span]]:
    """Return at most `most` characters around the first span, with an ellipsis where text was cut, and the visible spans."""
    if len(text) <= most:
        return text, list(spans)
    first = min((start for start, _ in spans), default=0)
    begin = 0 if first < most * 2 // 3 else max(0, first - most // 3)
    if begin:
        begin = next((at for at in range(begin, min(first, begin + 30)) if text[at].isspace()), begin)
    end = min(len(text), begin + most)
    before, after = "…" if begin else "", "…" if end < len(text) else ""
    moved = ((max(start, begin), min(stop, end)) for start, stop in spans)
    shift = len(before) - begin
    return before + text[begin:end] + after, [(start + shift, stop + shift) for start, stop in moved if stop > start]
