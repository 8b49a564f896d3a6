"""What a GLAN-Test keeps out of training: rows that combine the same key concepts, and rows that nearly repeat a question.

Likeness is the Jaccard similarity of the sets of 3-word runs, as in `dataset.near_duplicates`. Of two sets A and B at t or more,
B holds at least t of A: so it holds one of any |A| - ceil(t |A|) + 1 runs of A (prefix filtering: Chaudhuri et al., ICDE 2006).
The rarest so many of each question are indexed, and only rows that hold one of them are compared, exactly.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from glan_core.dataset.glan_test_store import Item, list_tests, read_items
from glan_core.dataset.text_normalization import words_and_signs
from glan_core.ids import name_key
from glan_core.workspace import Workspace

Runs = frozenset[tuple[str, ...]]


class Guard:
    """Tells which rows may not be trained on, given the items of tests, each with the likeness from which a row repeats it."""

    def __init__(self, items: Iterable[tuple[Item, float]]) -> None:
        items = list(items)
        self._runs = [(runs_of(item.question), threshold) for item, threshold in items]
        self._combinations: defaultdict[frozenset[str], set[int]] = defaultdict(set)
        self._index: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
        frequency = Counter(run for runs, _ in self._runs for run in runs)
        for nth, (runs, threshold) in enumerate(self._runs):
            if concepts := items[nth][0].concepts:
                self._combinations[combination(concepts)].add(nth)
            rarest = sorted(runs, key=lambda run: (frequency[run], run))
            for run in rarest[: len(runs) - math.ceil(threshold * len(runs)) + 1]:
                self._index[run].append(nth)

    def __bool__(self) -> bool:
        return bool(self._runs)

    def hits(self, question: str, concepts: Sequence[str]) -> set[int]:
        """The numbers of the items that a row gives away: it combines the same key concepts, or nearly repeats the question."""
        runs = runs_of(question)
        near = {nth for run in runs & self._index.keys() for nth in self._index[run]}
        repeated = {nth for nth in near if likeness(runs, self._runs[nth][0]) >= self._runs[nth][1]}
        return repeated | self._combinations.get(combination(concepts), set()) if concepts else repeated


def guard_of(ws: Workspace) -> Guard:
    """The guard of all tests of a workspace."""
    return Guard((item, test.threshold) for test in list_tests(ws) for item in read_items(ws, test.name))


def combination(concepts: Sequence[str]) -> frozenset[str]:
    """Key concepts as they are compared: by their names, in any order."""
    return frozenset(map(name_key, concepts))


def runs_of(text: str) -> Runs:
    """The 3-word runs of a text; a shorter text is one run."""
    words = words_and_signs(text) or [text.strip()]
    return frozenset(zip(words, words[1:], words[2:], strict=False)) if len(words) >= 3 else frozenset([tuple(words)])


def likeness(one: Runs, other: Runs) -> float:
    """The Jaccard similarity of two sets."""
    both = len(one & other)
    return both / (len(one) + len(other) - both)
