"""N-gram index: finds benchmark questions in texts and decides whether a shared word run is evidence of contamination.

Words are normalized by `text_normalization.words`. 8-word runs are indexed; adjacent matching runs are joined, so runs of 13
and of any other length come from the same index. A run counts as a match if

- it is the whole benchmark question;
- or it has at least 13 words, or at least half of the words of the benchmark question (and at least 8).

The second rule is weaker evidence because exams share phrases. Phrases that many benchmark questions share ("Express your
answer as a common fraction") are trimmed from both ends of a run before it is measured, and a run must contain some words
that are not in `STOPWORDS`. A question shorter than 8 words counts only as a whole, as the entire text or a sentence of
its own; for these, formula signs are compared too, and answers are not searched.

A text that contains a whole question with different numbers counts only if `digits` is set.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING

from glan_core.dataset.benchmark_files import BenchmarkItem
from glan_core.dataset.stopwords import STOPWORDS
from glan_core.dataset.text_normalization import (
    DIGITS,
    WordHashes,
    mask_numbers,
    ngram_hashes,
    sentences,
    word_count,
    words,
    words_and_signs,
)

if TYPE_CHECKING:
    import numpy as np

SHORT, LONG = 8, 13  # words in an indexed run, and in a run that counts regardless of the question's length
MIN_KEYWORDS, MIN_KEYWORDS_SHORT = 3, 4  # distinct non-stopwords required in a run of 13 words, and in a shorter run
LEAST_SENTENCE = 3  # words and signs of a short question that may match one sentence among others
MOST_SHIFTS = 16  # alignments tried per text and question; only repetitive texts have more
FEW, MANY = 3, 10  # questions that must share a phrase for it to be stock, in small and large benchmarks


@dataclass(frozen=True, slots=True)
class Match:
    """A benchmark question found in a text.

    Attributes:
        item: Index of the question.
        at: First matching word in the text.
        item_at: First matching word in the question.
        run: Length of the match in words.
        share: Share of the question's words that match, 0 to 1.
        digits: Whether numbers differ within the match.
    """

    item: int
    at: int
    item_at: int
    run: int
    share: float
    digits: bool = False


class NgramIndex:
    """An index of benchmark questions that can be searched in any number of texts.

    Attributes:
        items: Indexed questions.
        digits: Whether questions that differ only in numbers match.
        twins: For each distinct question, the indices of all items with the same text; matches name the first of them.
    """

    def __init__(self, items: Sequence[BenchmarkItem], *, digits: bool = False) -> None:
        import numpy as np

        self.items, self.digits = items, digits
        self.twins: dict[int, list[int]] = {}
        self._short: dict[tuple[str, ...], int] = {}
        self._hashes = WordHashes(mask=True)
        self._item_words = lru_cache(4096)(lambda item: words(items[item].text))
        self._long: list[int] = []
        lengths, hashes = [], []
        first: dict[bytes, int] = {}
        for number, item in enumerate(items):
            found = words(item.text)
            asked = found if len(found) >= SHORT else words_and_signs(item.text)
            if not asked:
                continue
            key = blake2b(" ".join(asked).encode("utf-8", "replace"), digest_size=16).digest()
            self.twins.setdefault(first.setdefault(key, number), []).append(number)
            if first[key] != number:
                continue
            if len(found) < SHORT:
                self._short[self._mask(asked)] = number
            else:
                self._long.append(number)
                lengths.append(len(found))
                hashes.append(self._hashes.flat([found])[0])
        self._starts = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        self._index(np.concatenate(hashes) if hashes else np.zeros(0, np.uint64))

    def _mask(self, key: Sequence[str]) -> tuple[str, ...]:
        return tuple(map(mask_numbers, key)) if self.digits else tuple(key)

    def _index(self, hashes: "np.ndarray") -> None:
        """Sort the 8-word runs and drop stock phrases, except the rarest one of a question that has no other run."""
        import numpy as np

        values, places, owner = _runs(hashes, self._starts)
        order = np.argsort(values, kind="stable")
        values, places, owner = values[order], places[order], owner[order]
        new = np.diff(values, prepend=values[:1] ^ np.uint64(1)) != 0
        own = new | (np.diff(owner, prepend=-1) != 0)  # a run that occurs twice in a question counts once
        questions = np.add.reduceat(own, np.flatnonzero(new), dtype=np.int32)[np.cumsum(new) - 1] if len(values) else places
        number = len(self._starts) - 1
        stock = questions >= max(FEW, min(MANY, number // 50))
        self._stock = np.zeros(len(hashes), bool)
        self._stock[places[stock]] = True
        bare = np.ones(number, bool)
        bare[owner[~stock]] = False
        of_bare = np.flatnonzero(bare[owner])
        of_bare = of_bare[np.lexsort((questions[of_bare], owner[of_bare]))]
        stock[of_bare[np.diff(owner[of_bare], prepend=-1) != 0]] = False
        self._values, self._places = values[~stock], places[~stock]
        bits = int(max(1, 8 * len(self._values))).bit_length()
        self._low = np.uint64((1 << min(bits, 27)) - 1)
        self._seen = np.zeros(int(self._low) + 1, bool)  # fast rejection: most runs of a text are in no benchmark
        self._seen[self._values & self._low] = True

    def matches(self, texts: Sequence[str]) -> list[list[Match]]:
        """Find the questions of at least 8 words that each text contains, one match per question."""
        import numpy as np

        text_words = [words(text) for text in texts]
        found: list[list[Match]] = [[] for _ in texts]
        hashes, starts = self._hashes.flat(text_words)
        values, places, owner = _runs(hashes, starts)
        maybe = np.flatnonzero(self._seen[values & self._low])
        left = np.searchsorted(self._values, values[maybe], "left")
        number = np.searchsorted(self._values, values[maybe], "right") - left
        spread = np.repeat(np.arange(len(maybe)), number)
        item_place = self._places[np.repeat(left - np.cumsum(number) + number, number) + np.arange(len(spread))]
        own = np.searchsorted(self._starts, item_place, "right") - 1
        text = owner[maybe[spread]]
        shift = (places[maybe[spread]] - starts[text]) - (item_place - self._starts[own])
        shifts: dict[tuple[int, int], Counter[int]] = defaultdict(Counter)
        for text_number, own_number, by in zip(text.tolist(), own.tolist(), shift.tolist(), strict=True):
            shifts[text_number, own_number][by] += 1
        for (text_number, own_number), of in shifts.items():
            each = (self._match(text_words[text_number], own_number, by) for by, _ in of.most_common(MOST_SHIFTS))
            if best := max(filter(None, each), key=lambda match: match.run, default=None):
                found[text_number].append(best)
        return found

    def short_matches(self, text: str) -> list[Match]:
        """Find the questions of fewer than 8 words that a text asks, as a whole or in sentences of their own."""
        if not self._short:
            return []
        parts = [self._mask(part) for part in sentences(text)]
        found = {}
        for start in range(len(parts)):
            joined: tuple[str, ...] = ()
            for end in range(start, len(parts)):
                joined += parts[end]
                if len(joined) > 2 * SHORT:
                    break
                all_of_it = start == 0 and end == len(parts) - 1
                if joined in self._short and (all_of_it or (len(joined) >= LEAST_SENTENCE and _has_keywords(joined, 1))):
                    item = self._short[joined]
                    before = [word for part in parts[:start] for word in part]
                    found[item] = self._placed_short(text, item, len(before))
        return list(found.values())

    def _placed_short(self, text: str, item: int, signs_before: int) -> Match:
        """Return a short match with its position counted in words, without signs."""
        asked, own = words(text), words(self.items[item].text)
        number = len(own)
        same = [at for at in range(len(asked) - number + 1) if self._mask(asked[at : at + number]) == self._mask(own)]
        at = min(same, key=lambda at: abs(at - signs_before), default=0)
        return Match(item, at, 0, number, 1.0, asked[at : at + number] != own)

    def _match(self, text: list[str], own: int, shift: int) -> Match | None:
        """Return the longest run that counts at one alignment of text and question, or None."""
        item = self._long[own]
        asked = self._item_words(item)
        begin, end = max(0, -shift), min(len(asked), len(text) - shift)
        pairs = list(zip(asked[begin:end], text[begin + shift : end + shift], strict=True))
        equal = [one == other for one, other in pairs]
        same = equal if all(equal) else [one == other or mask_numbers(one) == mask_numbers(other) for one, other in pairs]
        if len(same) == len(asked) and all(same) and not all(equal):
            return Match(item, shift, 0, len(asked), 1.0, digits=True) if self.digits else None
        best = None
        for start, stop in _stretches(same if self.digits else equal):
            run = stop - start
            if run >= SHORT and (best is None or run > best.run) and self._counts(own, asked, start + begin, run):
                differ = not all(equal[start:stop])
                best = Match(item, start + begin + shift, start + begin, run, run / len(asked), differ)
        return best

    def _counts(self, own: int, asked: list[str], at: int, run: int) -> bool:
        """Return whether a run of a question is evidence that the text contains the question."""
        import numpy as np

        if run == len(asked):
            return True
        first = int(self._starts[own]) + at
        distinctive = np.flatnonzero(~self._stock[first : first + run - SHORT + 1])
        if not len(distinctive):
            return False
        begin, length = at + int(distinctive[0]), int(distinctive[-1] - distinctive[0]) + SHORT
        in_words = word_count(asked[begin : begin + length])
        if in_words >= LONG:
            return _has_keywords(asked[at : at + run], MIN_KEYWORDS)
        return 2 * length >= len(asked) and in_words >= SHORT and _has_keywords(asked[at : at + run], MIN_KEYWORDS_SHORT)


def _has_keywords(run: Sequence[str], least: int) -> bool:
    """Return whether a run has enough keywords; all its numbers count as one, single letters and signs as none."""
    own = {DIGITS.sub("", word) and word for word in run if len(word) > 1 or word.isdigit() or not word.isascii()}
    return len(own - STOPWORDS) >= least


def _runs(hashes: "np.ndarray", starts: "np.ndarray") -> "tuple[np.ndarray, np.ndarray, np.ndarray]":
    """Return the hash of every 8-word run within one text, the position of its first word, and the index of its text."""
    import numpy as np

    values = ngram_hashes(hashes, SHORT)
    places = np.arange(len(values), dtype=np.int32)
    owner = np.repeat(np.arange(len(starts) - 1, dtype=np.int32), np.diff(starts))[: len(values)]
    inside = places + SHORT <= starts[owner + 1] if len(values) else np.zeros(0, bool)
    return values[inside], places[inside], owner[inside]


def _stretches(flags: Sequence[bool]) -> list[tuple[int, int]]:
    """Return the (start, end) of each stretch of true flags."""
    stretches, start = [], None
    for at, flag in enumerate([*flags, False]):
        if flag and start is None:
            start = at
        elif not flag and start is not None:
            stretches.append((start, at))
            start = None
    return stretches
