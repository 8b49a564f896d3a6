r"""Spans between delimiters, found in one pass: a text with many openings and no closing takes no longer than any other.

A lazy pattern such as `\\\(.+?\\\)` reads the rest of the text once per opening that is never closed.
"""

import re
from collections.abc import Callable, Iterable, Iterator

Span = tuple[int, int]  # (start, end) in characters


class NextPlaces:
    """The next place of a delimiter at or after a position, found without reading a part of the text twice.

    Args:
        text: The text.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._known: dict[str | re.Pattern[str], tuple[int, Span | None]] = {}

    def find(self, delimiter: str | re.Pattern[str], start: int) -> Span | None:
        """Return the span of the first delimiter that begins at `start` or later, or None.

        Args:
            delimiter: A string, or a pattern that matches no empty text.
            start: Position in the text; positions may be asked for in any order, but ascending ones are fast.
        """
        asked, found = self._known.get(delimiter, (-1, (-1, -1)))
        if asked >= 0 and asked <= start and (found is None or start <= found[0]):
            return found
        found = None
        if isinstance(delimiter, str):
            if (at := self._text.find(delimiter, start)) >= 0:
                found = at, at + len(delimiter)
        elif match := delimiter.search(self._text, start):
            found = match.span()
        self._known[delimiter] = start, found
        return found


def spans(text: str, opening: re.Pattern[str], end_of: Callable[[re.Match[str]], int | None]) -> Iterator[Span]:
    """Yield the spans from an opening to its end, from left to right without overlaps; an opening without an end is passed over.

    Args:
        text: The text.
        opening: Pattern of what may begin a span; must match at least one character.
        end_of: Function of an opening that returns the end of its span, or None if it begins none.
    """
    at = 0
    while found := opening.search(text, at):
        end = end_of(found)
        at = found.end() if end is None else end
        if end is not None:
            yield found.start(), end


def replaced(text: str, found: Iterable[Span], by: str | Callable[[str], str] = " ") -> str:
    """Return the text with every span replaced by a text, or by what a function makes of its content."""
    parts, last = [], 0
    for start, end in found:
        parts += [text[last:start], by if isinstance(by, str) else by(text[start:end])]
        last = end
    return "".join([*parts, text[last:]])
