"""Unicode normalization in linear time.

Source: the Stream-Safe Text Format of Unicode Standard Annex 15, which allows 30 marks in a row. Ordering more takes quadratic time.
"""

import unicodedata
from typing import Literal

import regex

_MARKS = regex.compile(r"\p{M}{30}(?=\p{M})")
_JOINER = "\u034f"  # combining grapheme joiner, which begins a new run


def normalized(form: Literal["NFC", "NFD", "NFKC", "NFKD"], text: str) -> str:
    """Return a text in a normalization form, with a joiner after every 30 marks in a row."""
    if text.isascii():
        return text
    return unicodedata.normalize(form, _MARKS.sub(lambda run: run.group() + _JOINER, text))
