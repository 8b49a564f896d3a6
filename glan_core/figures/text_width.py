"""Widths of texts in the font of the studio: a figure is built without a browser that could measure them."""

from functools import lru_cache

# Widths of the characters from ' ' to '~' in Source Sans, in hundredths of the font size.
WIDTHS = (
    20, 29, 43, 50, 50, 82, 61, 25, 30, 30, 42, 50, 25, 31, 25, 35, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 25, 25, 50, 50, 50, 42,
    85, 54, 59, 57, 61, 53, 49, 62, 65, 26, 48, 58, 49, 73, 65, 66, 57, 66, 57, 53, 54, 64, 51, 79, 51, 48, 54, 30, 35, 30, 50, 50,
    54, 50, 55, 46, 55, 50, 29, 50, 54, 25, 25, 49, 25, 83, 55, 54, 55, 55, 35, 42, 34, 54, 47, 72, 45, 47, 42, 30, 24, 30, 50,
)  # fmt: skip
OTHER, WIDE, FIRST_WIDE = 70, 100, 0x2E80  # of other characters, and of those from Chinese radicals on
ELLIPSIS = 95
SHORT = 8  # characters of a text that stays in one line
LONGEST = 100  # characters of a text that is broken into lines


@lru_cache(maxsize=20_000)
def text_width(text: str, size: float) -> float:
    """Return the width of a line in pixels in a font size of `size` pixels."""
    return size * sum(map(_share, text)) / 100


def _share(letter: str) -> int:
    place = ord(letter) - ord(" ")
    if 0 <= place < len(WIDTHS):
        return WIDTHS[place]
    return ELLIPSIS if letter == "…" else WIDE if ord(letter) >= FIRST_WIDE else OTHER


@lru_cache(maxsize=20_000)
def wrapped(text: str, lines: int) -> tuple[str, ...]:
    """Return a text broken at blanks into at most so many lines, of which the widest is as narrow as possible.

    A text of more than `LONGEST` characters stays in one line: the ways to break it grow with the square of its length.
    """
    words = text.split(" ")
    if lines == 1 or len(words) == 1 or len(text) > LONGEST:
        return (text,)
    ways = [(" ".join(words[:cut]), *wrapped(" ".join(words[cut:]), lines - 1)) for cut in range(1, len(words))]
    return min([(text,), *ways], key=lambda way: (max(text_width(line, 1) for line in way), len(way)))


def two_lines(text: str) -> tuple[str, ...]:
    """Return a text in two lines, or in one if it is short."""
    return wrapped(text, 2 if len(text) > SHORT else 1)
