"""Seeded draws of class sessions and key concepts, from which questions are written.

Two strategies (paper, section 2.4): `single` takes one session and 1 to 5 of its concepts; `pair` takes two sessions and 2
to 5 of their concepts, at least one of each. The mix of the two and the law of the draw are not stated there; here they are
settings. Draw k of a syllabus under a seed and settings is always the same, and no combination comes twice.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from math import comb
from typing import Literal

MAX_CONCEPTS = 5
TRIES = 30  # draws by the law that may hit a used combination, then draws of any, before the unused ones are listed

DrawDistribution = Literal["coverage", "uniform"]


@dataclass(frozen=True, slots=True)
class Draw:
    """One combination: its strategy, its sessions and concepts as positions (session number, concept number)."""

    index: int
    strategy: str
    concepts: tuple[tuple[int, int], ...]

    @property
    def sessions(self) -> tuple[int, ...]:
        """The numbers of the one or two sessions."""
        return tuple(sorted({session for session, _ in self.concepts}))

    @property
    def key(self) -> str:
        """What tells this combination from all others of its syllabus, such as '2.0+2.3'."""
        return draw_key(self.concepts)


def draw_key(concepts: Sequence[tuple[int, int]]) -> str:
    """The name of a combination of concepts, whatever order they come in."""
    return "+".join(f"{session}.{concept}" for session, concept in sorted(concepts))


def count_single(sizes: Sequence[int]) -> int:
    """How many `single` combinations a syllabus has, from the number of concepts of each session."""
    return sum(comb(m, i) for m in sizes for i in range(1, MAX_CONCEPTS + 1))


def count_pair(sizes: Sequence[int]) -> int:
    """How many `pair` combinations a syllabus has, from the number of concepts of each session."""
    return _count_pair(tuple(sorted(sizes)))


@lru_cache(maxsize=4096)  # a plan counts thousands of syllabi, most of them of a few shapes
def _count_pair(sizes: tuple[int, ...]) -> int:
    return sum(_pair_count(a, b, i) for a, b in combinations(sizes, 2) for i in range(2, MAX_CONCEPTS + 1))


def count_draws(sizes: Sequence[int], pair_share: float) -> int:
    """How many distinct draws a syllabus gives: both strategies, unless `pair_share` rules one of them out."""
    singles = count_single(sizes) if pair_share < 1 else 0
    return singles + (count_pair(sizes) if pair_share > 0 else 0)


def _pair_count(a: int, b: int, i: int) -> int:
    return comb(a + b, i) - comb(a, i) - comb(b, i)


def draws(
    sizes: Sequence[int], *, seed: int, name: str, pair_share: float = 0.5, law: DrawDistribution = "coverage"
) -> Iterator[Draw]:
    """All draws of a syllabus, one after another, until no unused combination is left.

    `sizes` is the number of concepts of each session; `name` (the syllabus's id) keeps syllabi apart under one seed;
    `pair_share` is the share of `pair` draws, held at every length of the sequence (a strategy that is used up gives way
    to the other, unless its share is 0). `law`: 'uniform' draws every unused combination of the strategy with the same
    chance; 'coverage' takes the concepts asked about least so far, so that every concept has been asked about after at
    most as many draws as there are concepts.
    """
    rng = random.Random(f"{seed}/{name}/{law}")
    left = {
        "single": count_single(sizes) if pair_share < 1 else 0,
        "pair": count_pair(sizes) if pair_share > 0 else 0,
    }
    used: set[str] = set()
    asked = [[0] * size for size in sizes]
    index = 0
    while left["single"] + left["pair"]:
        wanted = "pair" if int((index + 1) * pair_share + 1e-9) > int(index * pair_share + 1e-9) else "single"
        strategy = wanted if left[wanted] else ("single" if wanted == "pair" else "pair")
        concepts = _unused(rng, sizes, asked, strategy, law, used)
        used.add(draw_key(concepts))
        left[strategy] -= 1
        for session, concept in concepts:
            asked[session][concept] += 1
        yield Draw(index, strategy, concepts)
        index += 1


def _unused(rng, sizes, asked, strategy, law, used) -> tuple[tuple[int, int], ...]:
    pick = {
        ("single", "uniform"): _uniform_single, ("pair", "uniform"): _uniform_pair,
        ("single", "coverage"): _coverage_single, ("pair", "coverage"): _coverage_pair,
    }[strategy, law]  # fmt: skip
    anywhere = _uniform_single if strategy == "single" else _uniform_pair
    for attempt in range(2 * TRIES):
        concepts = tuple(sorted((pick if attempt < TRIES else anywhere)(rng, sizes, asked)))
        if draw_key(concepts) not in used:
            return concepts
    return rng.choice([c for c in all_combinations(sizes, strategy) if draw_key(c) not in used])


def all_combinations(sizes: Sequence[int], strategy: str) -> Iterator[tuple[tuple[int, int], ...]]:
    """Every combination of a strategy, for small syllabi and for checks: a session of 5 has 31, a pair of 5 has 575."""
    names = [[(s, c) for c in range(size)] for s, size in enumerate(sizes)]
    if strategy == "single":
        for session in names:
            for i in range(1, MAX_CONCEPTS + 1):
                yield from combinations(session, i)
    else:
        for first, second in combinations(names, 2):
            for i in range(2, MAX_CONCEPTS + 1):
                yield from (c for c in combinations(first + second, i) if len({s for s, _ in c}) == 2)


def _size(rng: random.Random, counts: Sequence[int]) -> int:
    """An index, each with a chance in proportion to its count."""
    return rng.choices(range(len(counts)), weights=counts)[0]


@lru_cache(maxsize=64)
def _pairs(sizes: tuple[int, ...]) -> tuple[list[tuple[int, int]], list[int]]:
    """Every two sessions, and how many `pair` combinations they have."""
    pairs = list(combinations(range(len(sizes)), 2))
    return pairs, [count_pair([sizes[a], sizes[b]]) for a, b in pairs]


def _uniform_single(rng, sizes, asked):
    session = _size(rng, [count_single([m]) for m in sizes])
    i = _size(rng, [0] + [comb(sizes[session], i) for i in range(1, MAX_CONCEPTS + 1)])
    return [(session, c) for c in rng.sample(range(sizes[session]), i)]


def _uniform_pair(rng, sizes, asked):
    pairs, counts = _pairs(tuple(sizes))
    a, b = pairs[_size(rng, counts)]
    i = _size(rng, [0, 0] + [_pair_count(sizes[a], sizes[b], i) for i in range(2, MAX_CONCEPTS + 1)])
    both = [(a, c) for c in range(sizes[a])] + [(b, c) for c in range(sizes[b])]
    while True:
        concepts = rng.sample(both, i)
        if len({session for session, _ in concepts}) == 2:
            return concepts


def _least(rng, asked, concepts):
    """The concepts by how often they were asked about, least first, ties in random order."""
    return sorted(concepts, key=lambda sc: (asked[sc[0]][sc[1]], rng.random()))


def _coverage_single(rng, sizes, asked):
    anchor = _least(rng, asked, [(s, c) for s, m in enumerate(sizes) for c in range(m)])[0]
    m = sizes[anchor[0]]
    i = _size(rng, [0] + [comb(m, i) for i in range(1, MAX_CONCEPTS + 1)])
    others = _least(rng, asked, [(anchor[0], c) for c in range(m) if c != anchor[1]])
    return [anchor, *others[: i - 1]]


def _coverage_pair(rng, sizes, asked):
    order = _least(rng, asked, [(s, c) for s, m in enumerate(sizes) for c in range(m)])
    first = order[0]
    second = next(sc for sc in order if sc[0] != first[0])
    a, b = first[0], second[0]
    i = _size(rng, [0, 0] + [_pair_count(sizes[a], sizes[b], i) for i in range(2, MAX_CONCEPTS + 1)])
    others = [sc for sc in order if sc[0] in (a, b) and sc not in (first, second)]
    return [first, second, *others[: i - 2]]
