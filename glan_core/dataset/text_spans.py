"""What is marked in a text when a person judges what a check found: the words that differ, the words that were found."""

import re
from collections.abc import Sequence
from difflib import SequenceMatcher

from glan_core.dataset.text_normalization import placed_words

Span = tuple[int, int]  # (start, end) in characters
ALIKE = 0.3  # the least share of words two texts have in common for their differences to be worth marking


def differing(one: str, other: str) -> tuple[list[Span], list[Span]]:
    """Where the words stand in which two texts differ, in each; nothing where they are different all over."""
    first, second = placed_words(one), placed_words(other)
    matcher = SequenceMatcher(None, first.words, second.words, autojunk=False)
    spans: tuple[list[Span], list[Span]] = ([], [])
    if matcher.ratio() < ALIKE:
        return spans
    for tag, *ends in matcher.get_opcodes():
        if tag == "equal":
            continue
        for placed, found, start, end in ((first, spans[0], *ends[:2]), (second, spans[1], *ends[2:])):
            if end > start:
                found.append(placed.span(start, end - start))
    return spans


def found_in(text: str, found: str) -> list[Span]:
    """Where what a filter quotes (“…”) stands in a text; nothing where it quotes nothing, or that is not there."""
    quoted = re.search(r"“…?(.+?)…?”", found, re.DOTALL)
    words = re.split(r"\s+", quoted[1].strip()) if quoted else []
    if not any(words):
        return []
    pattern = r"[\s\W]+" if quoted[1].islower() and quoted[1].replace(" ", "").isalnum() else r"\s+"
    pattern = pattern.join(re.escape(word).replace("'", "['’]") for word in words)
    last = None
    for match in re.finditer(pattern, text, re.IGNORECASE):
        last = match
        if not found.startswith("it ends"):
            break
    return [last.span()] if last else []


def excerpt(text: str, spans: Sequence[Span], most: int) -> tuple[str, list[Span]]:
    """At most some `most` characters of a text, around the first thing that is marked in it, with the marks where they are
    there; an ellipsis stands where something was cut."""
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
