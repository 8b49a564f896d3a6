"""Texts as checks compare them: words without case and punctuation, their hashes, and where each word stands in the original.

A word is a run of letters and digits; an apostrophe within it and the commas of 1,204 fall away, a decimal number is one word,
every Chinese or Japanese character is one. `words` is for bulk; `placed_words` also says where the words stand, so that a match
can be shown in the text as it was written.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

IDEOGRAPHS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_LETTERS = rf"[^\W_{IDEOGRAPHS}]+"
_WORD = rf"{_LETTERS}(?:(?:['’]+|(?<=\d)\.(?=\d)|(?<=\d),(?=\d{{3}}(?!\d))){_LETTERS})*|[{IDEOGRAPHS}]"
WORD = re.compile(_WORD)
# Signs that change what a formula asks; '-' only beside a number, since elsewhere it joins words, '*' not where it marks words.
_SIGN = r"[+/=<>^%~|±×÷¬√\u2190-\u22ff]|[-−](?=\s?\d)|(?<=\d)\s?[-−]|(?<=[\w)])\*+(?=[\w(])|(?<= )\*(?= )"
WORD_OR_SIGN = re.compile(f"{_WORD}|{_SIGN}")
DIGITS = re.compile(r"\d+(?:\.\d+)*")
MOST_REMEMBERED = 400_000  # words whose hashes are kept: some 60 MB
# What `WORD` does, in the way that is quickest for plain ASCII: most texts are, and there are millions of them.
_THOUSANDS, _DECIMAL = re.compile(r",(?=\d{3}(?!\d))(?<=\d,)"), re.compile(r"\.(?=\d)(?<=\d\.)")
_MAYBE_SIGN = re.compile(r"[+/=<>^%~|*-]")
_TO_SPACES = str.maketrans({sign: " " for sign in map(chr, range(128)) if not sign.isalnum()} | {"\0": "."})
SENTENCE_END = re.compile(r"[.!?:;](?=\s|$|[)\]*])|[\n。！？“”\"]")


def folded(text: str) -> str:
    """The text in one form of its characters (NFKC) and without case."""
    return text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()


def words(text: str) -> list[str]:
    """The words of a text, in their order."""
    if not text.isascii():
        return _plain(WORD.findall(folded(text)))
    text = text.lower().replace("\0", " ").replace("'", "")
    text = _DECIMAL.sub("\0", _THOUSANDS.sub("", text))
    return text.translate(_TO_SPACES).split()


def words_and_signs(text: str) -> list[str]:
    """The words and the signs of formulas: 'what is 2 + 2' and 'what is 2 - 2' differ by these alone."""
    if text.isascii() and not _MAYBE_SIGN.search(text):
        return words(text)
    return _plain(WORD_OR_SIGN.findall(folded(text)))


def _plain(found: list[str]) -> list[str]:
    return [re.sub("[,'’ ]", "", word) if not word.isalnum() else word for word in found]


def masked(word: str) -> str:
    """The word with every number as one zero."""
    return DIGITS.sub("0", word)


@dataclass(frozen=True, slots=True)
class Placed:
    """The words of a text and, for each, where it begins and ends in the text as it was written."""

    words: list[str]
    spans: list[tuple[int, int]]

    def span(self, first: int, number: int) -> tuple[int, int]:
        """From the beginning of a word to the end of the `number`th from there, in characters of the original."""
        return self.spans[first][0], self.spans[first + number - 1][1]


def placed_words(text: str) -> Placed:
    """The words of a text with their places; the same words as `words` gives."""
    if text.isascii():
        matches = list(WORD.finditer(text.lower()))
        return Placed(_plain([m.group() for m in matches]), [m.span() for m in matches])
    characters, origins = [], []
    for start, end in _clusters(text):
        of_cluster = folded(text[start:end])
        characters.append(of_cluster)
        origins += [(start, end)] * len(of_cluster)
    matches = list(WORD.finditer("".join(characters)))
    spans = [(origins[m.start()][0], origins[m.end() - 1][1]) for m in matches]
    return Placed(_plain([m.group() for m in matches]), spans)


def _clusters(text: str) -> Iterable[tuple[int, int]]:
    """Characters with the marks that belong to them, and the parts of a Korean syllable, as (start, end)."""
    start = 0
    for at in range(1, len(text) + 1):
        if at == len(text) or not (unicodedata.combining(text[at]) or "\u1160" <= text[at] <= "\u11ff"):
            yield start, at
            start = at


def sentences(text: str) -> list[list[str]]:
    """The words and signs of each sentence, and of each line, that has any."""
    return [found for part in SENTENCE_END.split(text) if (found := words_and_signs(part))]


class Hashes(dict):
    """word -> a number of 64 bits; those of words seen lately are remembered. With `mask`, numbers of any digits are alike."""

    def __init__(self, mask: bool = False) -> None:
        super().__init__()
        self._mask = mask

    def __missing__(self, word: str) -> int:
        if len(self) >= MOST_REMEMBERED:
            self.clear()
        digest = blake2b((masked(word) if self._mask else word).encode("utf-8", "replace"), digest_size=8).digest()
        value = self[word] = int.from_bytes(digest, "little")
        return value

    def flat(self, texts: Sequence[Sequence[str]]) -> "tuple[np.ndarray, np.ndarray]":
        """The hashes of the words of some texts one after another, and where each text begins, with the end at the end."""
        import numpy as np

        starts = np.zeros(len(texts) + 1, np.int64)
        np.cumsum([len(text) for text in texts], out=starts[1:])
        hashes = np.fromiter(map(self.__getitem__, chain.from_iterable(texts)), np.uint64, count=int(starts[-1]))
        return hashes, starts


def grams(hashes: "np.ndarray", n: int) -> "np.ndarray":
    """A hash for every run of `n` words, by its first word; shorter than `hashes` by n - 1, empty where that is not possible."""
    import numpy as np

    number = max(0, len(hashes) - n + 1)
    mixed = np.zeros(number, np.uint64)
    for place in range(n):  # order matters: what was mixed so far is multiplied before the next word joins
        mixed = (mixed ^ hashes[place : place + number]) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
    return mixed
