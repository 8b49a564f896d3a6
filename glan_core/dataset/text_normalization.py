"""Text normalization for comparisons: words without case and punctuation, their hashes, and their position in the original.

A word is a run of letters and digits. Apostrophes within words and thousands separators are dropped, a decimal number is one
word, and every Chinese or Japanese character is one word. `words` is optimized for bulk use; `placed_words` also returns
positions, so that a match can be highlighted in the original text.
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
# Signs that change a formula. '-' counts only next to a number (elsewhere it joins words), '*' not as Markdown emphasis.
_SIGN = r"[+/=<>^%~|±×÷¬√\u2190-\u22ff]|[-−](?=\s?\d)|(?<=\d)\s?[-−]|(?<=[\w)])\*+(?=[\w(])|(?<= )\*(?= )"
WORD_OR_SIGN = re.compile(f"{_WORD}|{_SIGN}")
DIGITS = re.compile(r"\d+(?:\.\d+)*")
MOST_REMEMBERED = 400_000  # cached word hashes, about 60 MB
# A faster equivalent of `WORD` for plain ASCII, which is most text.
_THOUSANDS, _DECIMAL = re.compile(r",(?=\d{3}(?!\d))(?<=\d,)"), re.compile(r"\.(?=\d)(?<=\d\.)")
_MAYBE_SIGN = re.compile(r"[+/=<>^%~|*-]")
_TO_SPACES = str.maketrans({sign: " " for sign in map(chr, range(128)) if not sign.isalnum()} | {"\0": "."})
SENTENCE_END = re.compile(r"[.!?:;](?=\s|$|[)\]*])|[\n。！？“”\"]")


def normalize(text: str) -> str:
    """Return the text in NFKC form and case-folded."""
    return text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()


def words(text: str) -> list[str]:
    """Return the words of a text in order."""
    if not text.isascii():
        return _plain(WORD.findall(normalize(text)))
    text = text.lower().replace("\0", " ").replace("'", "")
    text = _DECIMAL.sub("\0", _THOUSANDS.sub("", text))
    return text.translate(_TO_SPACES).split()


def words_and_signs(text: str) -> list[str]:
    """Return the words and formula signs of a text; 'what is 2 + 2' and 'what is 2 - 2' differ only in these."""
    if text.isascii() and not _MAYBE_SIGN.search(text):
        return words(text)
    return _plain(WORD_OR_SIGN.findall(normalize(text)))


def _plain(found: list[str]) -> list[str]:
    return [re.sub("[,'’ ]", "", word) if not word.isalnum() else word for word in found]


def mask_numbers(word: str) -> str:
    """Return the word with every number replaced by a zero."""
    return DIGITS.sub("0", word)


@dataclass(frozen=True, slots=True)
class PlacedWords:
    """The words of a text with their (start, end) positions in the original."""

    words: list[str]
    spans: list[tuple[int, int]]

    def span(self, first: int, number: int) -> tuple[int, int]:
        """Return the (start, end) of `number` words from word `first` on, in characters of the original."""
        return self.spans[first][0], self.spans[first + number - 1][1]


def placed_words(text: str) -> PlacedWords:
    """Return the words of a text with their positions; the same words as `words`."""
    if text.isascii():
        matches = list(WORD.finditer(text.lower()))
        return PlacedWords(_plain([m.group() for m in matches]), [m.span() for m in matches])
    characters, origins = [], []
    for start, end in _clusters(text):
        of_cluster = normalize(text[start:end])
        characters.append(of_cluster)
        origins += [(start, end)] * len(of_cluster)
    matches = list(WORD.finditer("".join(characters)))
    spans = [(origins[m.start()][0], origins[m.end() - 1][1]) for m in matches]
    return PlacedWords(_plain([m.group() for m in matches]), spans)


def _clusters(text: str) -> Iterable[tuple[int, int]]:
    """Yield the (start, end) of each character with its combining marks, or of each Korean syllable."""
    start = 0
    for at in range(1, len(text) + 1):
        if at == len(text) or not (unicodedata.combining(text[at]) or "\u1160" <= text[at] <= "\u11ff"):
            yield start, at
            start = at


def sentences(text: str) -> list[list[str]]:
    """Return the words and signs of each nonempty sentence or line."""
    return [found for part in SENTENCE_END.split(text) if (found := words_and_signs(part))]


class WordHashes(dict):
    """Maps words to 64-bit hashes, with a bounded cache.

    Args:
        mask: Hash all numbers alike.
    """

    def __init__(self, *, mask: bool = False) -> None:
        super().__init__()
        self._mask = mask

    def __missing__(self, word: str) -> int:
        if len(self) >= MOST_REMEMBERED:
            self.clear()
        digest = blake2b((mask_numbers(word) if self._mask else word).encode("utf-8", "replace"), digest_size=8).digest()
        value = self[word] = int.from_bytes(digest, "little")
        return value

    def flat(self, texts: Sequence[Sequence[str]]) -> "tuple[np.ndarray, np.ndarray]":
        """Return the word hashes of texts, concatenated.

        Returns:
            `(n_words,) uint64` hashes, and `(n_texts + 1,) int64` offsets of the texts.
        """
        import numpy as np

        starts = np.zeros(len(texts) + 1, np.int64)
        np.cumsum([len(text) for text in texts], out=starts[1:])
        hashes = np.fromiter(map(self.__getitem__, chain.from_iterable(texts)), np.uint64, count=int(starts[-1]))
        return hashes, starts


def ngram_hashes(hashes: "np.ndarray", n: int) -> "np.ndarray":
    """Return a hash for every run of `n` words: `(max(0, len(hashes) - n + 1),) uint64`."""
    import numpy as np

    number = max(0, len(hashes) - n + 1)
    mixed = np.zeros(number, np.uint64)
    for place in range(n):  # multiply before each word, so that word order matters
        mixed = (mixed ^ hashes[place : place + number]) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
    return mixed
