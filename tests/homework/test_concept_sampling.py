"""Concept sampling: counts as in the paper, no duplicates, the configured mix and distribution, deterministic."""

import hashlib
import random
import subprocess
import sys
from collections import Counter
from itertools import combinations, islice
from math import comb

import pytest

from glan_core.homework.concept_sampling import all_combinations, count_draws, count_pair, count_single, draw_key, draws

PINNED = ["0.0+0.2", "1.4+2.1", "0.1+0.2+0.3+0.4", "1.1+1.2+1.3+2.0+2.2"]
SHAPES = [[5] * 10, [5] * 30, [1, 2, 3, 4, 5, 6, 7], [8, 8], [12], [1] * 12, [3, 1, 9, 2]]
TINY = [[1], [2], [5], [1, 1], [2, 2], [1, 3, 2], [3, 3, 3], [6, 1]]


def first(number: int, sizes, **settings):
    """Return the first draws of a syllabus."""
    return list(islice(draws(sizes, **{"seed": 1, "name": "syl-x", **settings}), number))


def test_the_counts_are_the_papers():
    assert count_single([5]) == 31
    assert count_pair([5, 5]) == 575
    assert count_draws([5] * 10, 0.5) == 10 * 31 + comb(10, 2) * 575 == 26_185
    assert count_draws([5] * 30, 0.5) == 30 * 31 + comb(30, 2) * 575 == 251_055


@pytest.mark.parametrize("sizes", [*TINY, [5, 5], [4, 7]])
def test_the_counts_are_those_of_a_plain_enumeration(sizes):
    """Combinations as defined in the paper: up to 5 concepts of one session, or of two with both present."""
    names = [(s, c) for s, size in enumerate(sizes) for c in range(size)]
    plain = Counter(
        len({s for s, _ in chosen}) for i in range(1, 6) for chosen in combinations(names, i) if len({s for s, _ in chosen}) < 3
    )
    assert (count_single(sizes), count_pair(sizes)) == (plain[1], plain[2])
    for strategy, number in (("single", plain[1]), ("pair", plain[2])):
        keys = [draw_key(c) for c in all_combinations(sizes, strategy)]
        assert len(keys) == len(set(keys)) == number


@pytest.mark.parametrize("share", [0, 0.5, 1])
def test_a_strategy_that_is_ruled_out_counts_for_nothing(share):
    assert count_draws([5, 5], share) == {0: 62, 0.5: 637, 1: 575}[share]


@pytest.mark.parametrize("law", ["coverage", "uniform"])
@pytest.mark.parametrize("sizes", SHAPES)
def test_no_combination_comes_twice_and_each_is_one_of_the_papers(sizes, law):
    drawn = first(800, sizes, law=law)
    assert len({draw.key for draw in drawn}) == len(drawn) == min(800, count_draws(sizes, 0.5))
    assert [draw.index for draw in drawn] == list(range(len(drawn)))
    for draw in drawn:
        assert all(0 <= c < sizes[s] for s, c in draw.concepts)
        assert list(draw.concepts) == sorted(set(draw.concepts))
        if draw.strategy == "pair":
            assert 2 <= len(draw.concepts) <= 5 and len(draw.sessions) == 2
        else:
            assert 1 <= len(draw.concepts) <= 5 and len(draw.sessions) == 1


@pytest.mark.parametrize("law", ["coverage", "uniform"])
@pytest.mark.parametrize("share", [0.0, 0.1, 1 / 3, 0.5, 0.7, 0.99, 1.0])
def test_the_mix_is_held_at_every_length(share, law):
    pairs = 0
    for draw in first(200, [5] * 10, pair_share=share, law=law):
        pairs += draw.strategy == "pair"
        assert pairs == int((draw.index + 1) * share + 1e-9)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_the_coverage_law_asks_about_every_concept_in_as_many_draws_as_there_are(seed, share):
    sizes = random.Random(seed).choices(range(1, 9), k=6)
    asked = {concept for draw in first(sum(sizes), sizes, seed=seed, pair_share=share) for concept in draw.concepts}
    assert len(asked) == sum(sizes)


def test_the_coverage_law_keeps_concepts_level():
    asked = Counter(concept for draw in first(400, [5] * 10) for concept in draw.concepts)
    uniform = Counter(concept for draw in first(400, [5] * 10, law="uniform") for concept in draw.concepts)
    assert len(asked) == 50 and max(asked.values()) - min(asked.values()) <= 3
    assert max(uniform.values()) - min(uniform.values()) > 10


@pytest.mark.parametrize(("share", "strategy"), [(0.0, "single"), (1.0, "pair")])
def test_the_uniform_law_gives_every_combination_the_same_chance(share, strategy):
    sizes, rounds = [4, 3, 2], 12_000
    keys = [draw_key(c) for c in all_combinations(sizes, strategy)]
    counted = Counter(
        next(draws(sizes, seed=seed, name="syl-x", pair_share=share, law="uniform")).key for seed in range(rounds)
    )
    expected = rounds / len(keys)
    chi_square = sum((counted[key] - expected) ** 2 / expected for key in keys)
    freedom = len(keys) - 1
    assert set(counted) == set(keys)
    assert chi_square < freedom + 4 * (2 * freedom) ** 0.5  # four standard deviations of the chi-squared distribution


def test_the_uniform_law_stays_uniform_over_what_is_left():
    """The final draw is uniform over all combinations."""
    keys = [draw_key(c) for c in all_combinations([3], "single")]
    last = Counter(list(draws([3], seed=seed, name="x", pair_share=0, law="uniform"))[-1].key for seed in range(3500))
    assert set(last) == set(keys) and all(400 < last[key] < 600 for key in keys)


@pytest.mark.parametrize("law", ["coverage", "uniform"])
@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("sizes", TINY)
def test_a_tiny_syllabus_gives_all_it_has_and_ends(sizes, share, law):
    drawn = first(10_000, sizes, pair_share=share, law=law)
    wanted = [*(all_combinations(sizes, "single") if share < 1 else ()), *(all_combinations(sizes, "pair") if share else ())]
    assert {draw.key for draw in drawn} == {draw_key(c) for c in wanted}
    assert len(drawn) == len(wanted) == count_draws(sizes, share)


@pytest.mark.parametrize("law", ["coverage", "uniform"])
def test_a_longer_sequence_begins_with_the_shorter(law):
    assert first(50, [5] * 10, law=law) == first(300, [5] * 10, law=law)[:50]


def test_syllabi_seeds_and_laws_draw_apart():
    kinds = [{}, {"name": "syl-y"}, {"seed": 2}, {"law": "uniform"}]
    starts = [tuple(draw.key for draw in first(10, [5] * 10, **kind)) for kind in kinds]
    assert len(set(starts)) == len(kinds)


@pytest.mark.parametrize("law", ["coverage", "uniform"])
def test_another_process_draws_the_same(law):
    code = (
        "from glan_core.homework.concept_sampling import draws; from itertools import islice;"
        f"print([d.key for d in islice(draws([5, 3, 6], seed=4, name='syl-x', law={law!r}), 60)])"
    )
    for hash_seed in ("1", "2"):
        told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONHASHSEED": hash_seed},
                              cwd=__file__.rsplit("/tests/", 1)[0])  # fmt: skip
        assert told.stdout.strip() == str([draw.key for draw in first(60, [5, 3, 6], seed=4, law=law)])


def test_the_first_draws_under_a_seed_are_those_of_every_release():
    """A change would produce different questions from the same settings."""
    assert [draw.key for draw in first(4, [5, 5, 5])] == PINNED


@pytest.mark.parametrize(("law", "expected"), [("coverage", "87106805d1200e2b"), ("uniform", "74f8ce081c7f1915")])
def test_later_draws_and_the_last_ones_of_a_small_syllabus_are_those_of_every_release(law, expected):
    keys = [draw.key for sizes in ([5] * 10, [1, 2, 3, 4, 5, 6, 7], [3, 3, 3]) for draw in first(300, sizes, law=law)]
    assert hashlib.sha256(" ".join(keys).encode()).hexdigest()[:16] == expected
