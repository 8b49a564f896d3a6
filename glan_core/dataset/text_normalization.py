"""Text normalization for comparisons: words without case and punctuation, their hashes, and their position in the original.

A word is a run of letters and digits with their combining marks. Apostrophes within words, thousands separators and invisible
characters (joiners, soft hyphens, variation selectors) are dropped, and a decimal number is one word. In scripts without
spaces between words (Chinese, Japanese, Thai, Lao, Khmer, Burmese) every character with its marks is one word, and so is
every emoji. `words` is optimized for bulk use; `placed_words` also returns positions, so that a match can be highlighted in
the original text.

Source: Unicode Standard Annex 29 (grapheme clusters) and the character properties of the Unicode database, by `regex`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain, groupby
from typing import TYPE_CHECKING

import regex

from glan_core.unicode_text import normalized

if TYPE_CHECKING:
    import numpy as np

# Characters of scripts without spaces. Line_Break=SA is Unicode's class for those of South East Asia.
_CONTINUOUS = r"[[\p{scx=Han}\p{scx=Hira}\p{scx=Kana}\p{sc=Bopo}\p{lb=SA}]&&[\p{L}\p{N}\p{M}]]"
# Emoji, flags and other pictorial symbols; not those of units and brands, arrows, and the shapes that serve as bullets.
_PICTURE = r"[[\p{Extended_Pictographic}\p{So}\p{RI}]--[©®°¦\u2190-\u22ff\u2500-\u25ff]]"
_INVISIBLE = r"\p{Default_Ignorable_Code_Point}"
_LETTER = rf"[[\p{{L}}\p{{N}}]--{_CONTINUOUS}--{_INVISIBLE}]"
_LETTERS = rf"{_LETTER}[[\p{{L}}\p{{N}}\p{{M}}{_INVISIBLE}]--{_CONTINUOUS}]*+"
_INNER = r"(?:['’]+|(?<=\d)\.(?=\d)|(?<=\d),(?=\d{3}(?!\d)))"
_WORD = rf"{_LETTERS}(?:{_INNER}{_LETTERS})*+|(?=[{_CONTINUOUS}{_PICTURE}])\X"
# Signs that change a formula. '-' counts only next to a number (elsewhere it joins words), '*' not as Markdown emphasis.
_SIGN = r"[+/=<>^%~|±×÷¬√\u2190-\u22ff]|[-−](?=\s?\d)|(?<=\d)\s?[-−]|(?<=[\w)])\*+(?=[\w(])|(?<= )\*(?= )"
WORD = regex.compile(_WORD, regex.V1)
WORD_OR_SIGN = regex.compile(f"{_WORD}|{_SIGN}", regex.V1)
_DROPPED = regex.compile(rf"[,'’\s{_INVISIBLE}]+", regex.V1)
# The same words in texts of Latin, Greek and Cyrillic letters and common punctuation, which need no Unicode rules.
_EUROPEAN = re.compile("[\0-\xac\xae-\u02af\u0370-\u0481\u048a-\u052f\u1e00-\u1fff\u2010-\u2027\u2030-\u205e\u2190-\u22ff]*")
_PLAIN_WORD = rf"[^\W_]+(?:{_INNER}[^\W_]+)*"
_EUROPEAN_WORD, _EUROPEAN_WORD_OR_SIGN = re.compile(_PLAIN_WORD), re.compile(f"{_PLAIN_WORD}|{_SIGN}")
_PICTURES, _VARIANT = regex.compile(_PICTURE, regex.V1), re.compile("[\ufe00-\ufe0f]")
_CONTINUOUS_START = regex.compile(_CONTINUOUS, regex.V1)
_CHARACTER, _SYLLABIC = regex.compile(f"[{_CONTINUOUS}{_PICTURE}]", regex.V1), regex.compile(r"\p{lb=SA}")
_CLUSTER = regex.compile(r"\X")
DIGITS = re.compile(r"\d+(?:\.\d+)*")
MOST_REMEMBERED = 400_000  # cached word hashes, about 60 MB
# A faster equivalent of `WORD` for plain ASCII, which is most text.
_THOUSANDS, _DECIMAL = re.compile(r",(?=\d{3}(?!\d))(?<=\d,)"), re.compile(r"\.(?=\d)(?<=\d\.)")
_MAYBE_SIGN = re.compile(r"[+/=<>^%~|*-]")
_TO_SPACES = str.maketrans({sign: " " for sign in map(chr, range(128)) if not sign.isalnum()} | {"\0": "."})
SENTENCE_END = re.compile(r"[.!?:;](?=\s|$|[)\]*])|[\n。！？“”\"]")


def normalize(text: str) -> str:
    """Return the text in NFKC form and case-folded."""
    if text.isascii():
        return text.lower()
    folded = normalized("NFKC", text).casefold()
    return normalized("NFKC", folded)  # folding may leave letters and marks apart, as in 'ǰ'


def words(text: str) -> list[str]:
    """Return the words of a text in order."""
    if not text.isascii():
        text = normalize(text)
        return _plain((_EUROPEAN_WORD if _EUROPEAN.fullmatch(text) else WORD).findall(text))
    text = text.lower().replace("\0", " ").replace("'", "")
    text = _DECIMAL.sub("\0", _THOUSANDS.sub("", text))
    return text.translate(_TO_SPACES).split()


def words_and_signs(text: str) -> list[str]:
    """Return the words and formula signs of a text; 'what is 2 + 2' and 'what is 2 - 2' differ only in these."""
    if text.isascii() and not _MAYBE_SIGN.search(text):
        return words(text)
    text = normalize(text)
    return _plain((_EUROPEAN_WORD_OR_SIGN if _EUROPEAN.fullmatch(text) else WORD_OR_SIGN).findall(text))


def _plain(found: list[str]) -> list[str]:
    """Return words without the separators and invisible characters within them; emoji keep what tells them apart."""
    return [word if word.isalnum() else _shown(word) for word in found]


def _shown(word: str) -> str:
    return _VARIANT.sub("", word) if _PICTURES.match(word) else _DROPPED.sub("", word)


def is_character(word: str) -> bool:
    """Return whether a word is one character of a script without spaces, or an emoji."""
    return bool(_CHARACTER.match(word))


def word_count(run: Sequence[str]) -> float:
    """Return the length of a run in words as in English text: three characters of a South East Asian script are about one."""
    return len(run) if all(map(str.isascii, run)) else sum(1 / 3 if _SYLLABIC.match(word) else 1.0 for word in run)


def joined_characters(found: Sequence[str]) -> Sequence[str]:
    """Return words in which adjacent characters of scripts without spaces are overlapping runs of about a word and a half.

    Three words in a row then tell as much in Chinese (5 characters) and Thai (7) as in English, where single characters
    would make different short questions alike. Runs have 3 characters, or 5 in South East Asian scripts.
    """
    if all(map(str.isascii, found)):
        return found
    joined: list[str] = []
    for characters, run in groupby(found, key=lambda word: bool(_CONTINUOUS_START.match(word))):
        part = list(run)
        size = 5 if characters and _SYLLABIC.match(part[0]) else 3
        if characters:
            part = ["".join(part[at : at + size]) for at in range(max(1, len(part) - size + 1))]
        joined += part
    return joined


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
        matches = list(_EUROPEAN_WORD.finditer(text.lower()))
        return PlacedWords(_plain([m.group() for m in matches]), [m.span() for m in matches])
    characters, origins = [], []
    for cluster in _CLUSTER.finditer(text):
        of_cluster = normalize(cluster.group())
        characters.append(of_cluster)
        origins += [cluster.span()] * len(of_cluster)
    matches = list(WORD.finditer("".join(characters)))
    spans = [(origins[m.start()][0], origins[m.end() - 1][1]) for m in matches]
    return PlacedWords(_plain([m.group() for m in matches]), spans)


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
