"""Held-out filter: excludes training rows that combine the same key concepts as, or nearly repeat, a test question.

Similarity is the Jaccard similarity of sets of 3-word shingles, as in `duplicate_finder`. Candidates are found by prefix
filtering: if J(A, B) >= t, B contains at least one of any |A| - ceil(t |A|) + 1 shingles of A. The rarest ones are indexed.

Source: Chaudhuri et al., "A Primitive Operator for Similarity Joins in Data Cleaning", ICDE 2006.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from glan_core.dataset.glan_test_store import GlanTestItem, list_tests, read_items
from glan_core.dataset.text_normalization import joined_characters, words_and_signs
from glan_core.ids import name_key
from glan_core.workspace import Workspace

Runs = frozenset[tuple[str, ...]]


class HeldOutFilter:
    """Matches rows against test items, each with the similarity threshold of its test."""

    def __init__(self, items: Iterable[tuple[GlanTestItem, float]]) -> None:
        items = list(items)
        self._runs = [(shingles(item.question), threshold) for item, threshold in items]
        self._combinations: defaultdict[frozenset[str], set[int]] = defaultdict(set)
        self._index: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
        frequency = Counter(run for runs, _ in self._runs for run in runs)
        for nth, (runs, threshold) in enumerate(self._runs):
            if concepts := items[nth][0].concepts:
                self._combinations[concept_set(concepts)].add(nth)
            rarest = sorted(runs, key=lambda run: (frequency[run], run))
            for run in rarest[: len(runs) - math.ceil(threshold * len(runs)) + 1]:
                self._index[run].append(nth)

    def __bool__(self) -> bool:
        return bool(self._runs)

    def hits(self, question: str, concepts: Sequence[str]) -> set[int]:
        """Return the indices of the items that a row would leak.

        Args:
            question: Question of the row.
            concepts: Key concepts of the row.
        """
        runs = shingles(question)
        near = {nth for run in runs & self._index.keys() for nth in self._index[run]}
        repeated = {nth for nth in near if jaccard(runs, self._runs[nth][0]) >= self._runs[nth][1]}
        return repeated | self._combinations.get(concept_set(concepts), set()) if concepts else repeated


def load_held_out_filter(ws: Workspace) -> HeldOutFilter:
    """Return a filter for all tests of a workspace."""
    return HeldOutFilter((item, test.threshold) for test in list_tests(ws) for item in read_items(ws, test.name))


def concept_set(concepts: Sequence[str]) -> frozenset[str]:
    """Return key concept names as a normalized set for comparison."""
    return frozenset(map(name_key, concepts))


def shingles(text: str) -> Runs:
    """Return the 3-word shingles of a text; a shorter text is one shingle."""
    words = joined_characters(words_and_signs(text) or [text.strip()])
    return frozenset(zip(words, words[1:], words[2:], strict=False)) if len(words) >= 3 else frozenset([tuple(words)])


def jaccard(one: Runs, other: Runs) -> float:
    """Return the Jaccard similarity of two sets."""
    both = len(one & other)
    return both / (len(one) + len(other) - both)
