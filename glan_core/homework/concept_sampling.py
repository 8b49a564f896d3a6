"""Seeded sampling of class sessions and key concepts for questions.

Strategy `single` samples one session and 1 to 5 of its key concepts; `pair` samples two sessions and 2 to 5 of their
concepts, at least one from each. The mix and the sampling distribution, which the paper does not state, are settings. Draw k
of a syllabus is deterministic for a seed and settings, and combinations do not repeat.

Source: GLAN, arXiv 2402.13064, section 2.4.
"""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from math import comb
from typing import Literal

MAX_CONCEPTS = 5
TRIES = 30  # attempts with the sampling distribution, then uniformly, before unused combinations are enumerated

DrawDistribution = Literal["coverage", "uniform"]
Concept = tuple[int, int]  # (session number, concept number)
Counts = dict[Concept, int]  # how often each concept was sampled


@dataclass(frozen=True, slots=True)
class Draw:
    """One combination of key concepts.

    Attributes:
        index: Index in the sequence of draws.
        strategy: 'single' or 'pair'.
        concepts: The concepts as (session number, concept number).
    """

    index: int
    strategy: str
    concepts: tuple[tuple[int, int], ...]

    @property
    def sessions(self) -> tuple[int, ...]:
        """The numbers of the one or two sessions."""
        return tuple(sorted({session for session, _ in self.concepts}))

    @property
    def key(self) -> str:
        """Key of the combination within its syllabus, such as '2.0+2.3'."""
        return draw_key(self.concepts)


def draw_key(concepts: Sequence[tuple[int, int]]) -> str:
    """Return the key of a combination of concepts in any order."""
    return "+".join(f"{session}.{concept}" for session, concept in sorted(concepts))


def count_single(sizes: Sequence[int]) -> int:
    """Return the number of `single` combinations, given the number of key concepts per session."""
    return sum(comb(m, i) for m in sizes for i in range(1, MAX_CONCEPTS + 1))


def count_pair(sizes: Sequence[int]) -> int:
    """Return the number of `pair` combinations, given the number of key concepts per session."""
    return _count_pair(tuple(sorted(sizes)))


@lru_cache(maxsize=4096)  # a plan counts thousands of syllabi with few distinct sizes
def _count_pair(sizes: tuple[int, ...]) -> int:
    return sum(_pair_count(a, b, i) for a, b in combinations(sizes, 2) for i in range(2, MAX_CONCEPTS + 1))


def count_draws(sizes: Sequence[int], pair_share: float) -> int:
    """Return the number of distinct draws of a syllabus; a `pair_share` of 0 or 1 excludes one strategy."""
    singles = count_single(sizes) if pair_share < 1 else 0
    return singles + (count_pair(sizes) if pair_share > 0 else 0)


def _pair_count(a: int, b: int, i: int) -> int:
    return comb(a + b, i) - comb(a, i) - comb(b, i)


def draws(
    sizes: Sequence[int], *, seed: int, name: str, pair_share: float = 0.5, law: DrawDistribution = "coverage"
) -> Iterator[Draw]:
    """Iterate over all draws of a syllabus until no unused combination is left.

    Args:
        sizes: Number of key concepts per session.
        seed: Random seed.
        name: Syllabus id, which makes the draws of syllabi independent under one seed.
        pair_share: Fraction of `pair` draws, kept at every length of the sequence; an exhausted strategy is replaced by the
            other unless its share is 0.
        law: 'uniform' samples every unused combination of a strategy with equal probability; 'coverage' prefers the least
            sampled concepts, so that each concept is sampled after at most as many draws as there are concepts.
    """
    rng = random.Random(f"{seed}/{name}/{law}")
    left = {
        "single": count_single(sizes) if pair_share < 1 else 0,
        "pair": count_pair(sizes) if pair_share > 0 else 0,
    }
    used: set[tuple[Concept, ...]] = set()
    sampled = {(session, concept): 0 for session, size in enumerate(sizes) for concept in range(size)}
    index = 0
    while left["single"] + left["pair"]:
        wanted = "pair" if int((index + 1) * pair_share + 1e-9) > int(index * pair_share + 1e-9) else "single"
        strategy = wanted if left[wanted] else ("single" if wanted == "pair" else "pair")
        concepts = _unused(rng, sizes, sampled, strategy, law, used)
        used.add(concepts)
        left[strategy] -= 1
        for concept in concepts:
            sampled[concept] += 1
        yield Draw(index, strategy, concepts)
        index += 1


def _unused(
    rng: random.Random, sizes: Sequence[int], sampled: Counts, strategy: str, law: DrawDistribution,
    used: Set[tuple[Concept, ...]],
) -> tuple[Concept, ...]:  # fmt: skip
    """Sample a combination that is not in `used`."""
    for attempt in range(2 * TRIES):
        sampler = _SAMPLERS[strategy, law if attempt < TRIES else "uniform"]
        concepts = tuple(sorted(sampler(rng, sizes, sampled)))
        if concepts not in used:
            return concepts
    return rng.choice([concepts for concepts in all_combinations(sizes, strategy) if concepts not in used])


def all_combinations(sizes: Sequence[int], strategy: str) -> Iterator[tuple[Concept, ...]]:
    """Enumerate the combinations of a strategy, each in order; a session of 5 concepts has 31, a pair of such sessions has 575."""
    names = [[(s, c) for c in range(size)] for s, size in enumerate(sizes)]
    if strategy == "single":
        for session in names:
            for i in range(1, MAX_CONCEPTS + 1):
                yield from combinations(session, i)
    else:
        for first, second in combinations(names, 2):
            for i in range(2, MAX_CONCEPTS + 1):
                yield from (c for c in combinations(first + second, i) if len({s for s, _ in c}) == 2)


def _weighted_index(rng: random.Random, counts: Sequence[int]) -> int:
    """Sample an index with probability proportional to its count."""
    return rng.choices(range(len(counts)), weights=counts)[0]


@lru_cache(maxsize=64)
def _pairs(sizes: tuple[int, ...]) -> tuple[list[tuple[int, int]], list[int]]:
    """Return all pairs of sessions and their numbers of `pair` combinations."""
    pairs = list(combinations(range(len(sizes)), 2))
    return pairs, [count_pair([sizes[a], sizes[b]]) for a, b in pairs]


@lru_cache(maxsize=64)
def _single_counts(sizes: tuple[int, ...]) -> list[int]:
    """Return the number of `single` combinations of each session."""
    return [count_single([m]) for m in sizes]


@lru_cache(maxsize=256)
def _sizes_of_single(m: int) -> list[int]:
    """Return the number of `single` combinations of i concepts for each i from 0, of a session with m concepts."""
    return [0] + [comb(m, i) for i in range(1, MAX_CONCEPTS + 1)]


@lru_cache(maxsize=1024)
def _sizes_of_pair(a: int, b: int) -> list[int]:
    """Return the number of `pair` combinations of i concepts for each i from 0, of sessions with a and b concepts."""
    return [0, 0] + [_pair_count(a, b, i) for i in range(2, MAX_CONCEPTS + 1)]


def _uniform_single(rng: random.Random, sizes: Sequence[int], sampled: Counts) -> list[Concept]:
    session = _weighted_index(rng, _single_counts(tuple(sizes)))
    i = _weighted_index(rng, _sizes_of_single(sizes[session]))
    return [(session, c) for c in rng.sample(range(sizes[session]), i)]


def _uniform_pair(rng: random.Random, sizes: Sequence[int], sampled: Counts) -> list[Concept]:
    pairs, counts = _pairs(tuple(sizes))
    a, b = pairs[_weighted_index(rng, counts)]
    i = _weighted_index(rng, _sizes_of_pair(sizes[a], sizes[b]))
    both = [(a, c) for c in range(sizes[a])] + [(b, c) for c in range(sizes[b])]
    while True:
        concepts = rng.sample(both, i)
        if len({session for session, _ in concepts}) == 2:
            return concepts


def _ranks(rng: random.Random, sampled: Iterable[tuple[Concept, int]]) -> list[tuple[int, float, Concept]]:
    """Return how often each concept was sampled, a random number that breaks ties, and the concept."""
    drawn = rng.random
    return [(times, drawn(), concept) for concept, times in sampled]


def _coverage_single(rng: random.Random, sizes: Sequence[int], sampled: Counts) -> list[Concept]:
    *_, anchor = min(_ranks(rng, sampled.items()))
    m = sizes[anchor[0]]
    i = _weighted_index(rng, _sizes_of_single(m))
    others = [(anchor[0], c) for c in range(m) if c != anchor[1]]
    ranks = sorted(_ranks(rng, [(concept, sampled[concept]) for concept in others]))
    return [anchor, *(concept for *_, concept in ranks[: i - 1])]


def _coverage_pair(rng: random.Random, sizes: Sequence[int], sampled: Counts) -> list[Concept]:
    ranks = _ranks(rng, sampled.items())
    first = min(ranks)
    a = first[2][0]
    second = min([rank for rank in ranks if rank[2][0] != a])
    b = second[2][0]
    i = _weighted_index(rng, _sizes_of_pair(sizes[a], sizes[b]))
    others = sorted([rank for rank in ranks if rank[2][0] in (a, b) and rank not in (first, second)])
    return [concept for *_, concept in (first, second, *others[: i - 2])]


_SAMPLERS: dict[tuple[str, str], Callable[[random.Random, Sequence[int], Counts], list[Concept]]] = {
    ("single", "uniform"): _uniform_single, ("pair", "uniform"): _uniform_pair,
    ("single", "coverage"): _coverage_single, ("pair", "coverage"): _coverage_pair,
}  # fmt: skip
