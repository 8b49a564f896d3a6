"""Word diff: what two replies have in common and where they differ."""

import re
from difflib import SequenceMatcher

MOST_WORDS = 3000  # of each reply; matching takes time with the product of both numbers
_TOKEN = re.compile(r"\s*\S+|\s+")

Span = tuple[str, bool]  # text, and whether the other reply lacks it


def word_diff(first: str, second: str) -> tuple[list[Span], list[Span]]:
    """Return two texts as spans of words that both have and of words that only one has, cut at 3,000 words each."""
    words = [_TOKEN.findall(text.rstrip())[:MOST_WORDS] for text in (first, second)]
    a_words, b_words = ([word.strip().casefold() for word in side] for side in words)
    spans: tuple[list[Span], list[Span]] = ([], [])
    for tag, a, b, c, d in SequenceMatcher(None, a_words, b_words, autojunk=False).get_opcodes():
        for side, (start, end) in enumerate(((a, b), (c, d))):
            if start < end:
                spans[side].append(("".join(words[side][start:end]), tag != "equal"))
    return spans
