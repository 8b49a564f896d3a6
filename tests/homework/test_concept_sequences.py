"""Complete sequences of draws under a seed, which every release must repeat."""

from hashlib import sha256
from itertools import islice

import pytest

from glan_core.homework.concept_sampling import Draw, all_combinations, count_draws, count_pair, count_single, draw_key, draws


def digest(sizes, number=None, **settings) -> str:
    """Return the hash of the keys of a sequence."""
    drawn = islice(draws(sizes, **{"seed": 3, "name": "syl-pinned", **settings}), number)
    return sha256(" ".join(draw.key for draw in drawn).encode()).hexdigest()[:12]


@pytest.mark.parametrize(("sizes", "settings", "expected"), [
    ([2, 3], {}, "5ff3d82885eb"), ([2, 3], {"law": "uniform"}, "d4d0faa75592"),
    ([6, 1, 4], {}, "f86c64486456"),
    ([6, 1, 4], {"law": "uniform"}, "edd7ffba5dc1"),
    ([4, 4, 4], {"pair_share": 0.0}, "e24bc6f086cb"), ([4, 4, 4], {"pair_share": 1.0, "law": "uniform"}, "ae103029a92d"),
    ([4, 4, 4], {"pair_share": 0.3}, "0502a53ff9f0"), ([3, 3], {"pair_share": 1.0}, "5eac2a61272d"),
])  # fmt: skip
def test_a_sequence_up_to_its_last_draw_is_that_of_every_release(sizes, settings, expected):
    assert digest(sizes, **settings) == expected


def test_a_draw_names_its_sessions_and_its_key_in_sorted_order():
    draw = Draw(0, "pair", ((2, 3), (0, 1), (2, 0)))
    assert draw.sessions == (0, 2) and draw.key == "0.1+2.0+2.3" == draw_key(draw.concepts)


def test_counts_by_hand():
    assert [count_single([n]) for n in (1, 2, 5, 6, 7)] == [1, 3, 31, 62, 119]
    assert [count_pair([1, 1]), count_pair([1, 2]), count_pair([2, 2]), count_pair([1, 1, 1]), count_pair([3, 4])] == [
        1,
        3,
        9,
        3,
        97,
    ]
    assert [count_draws([1, 2], share) for share in (0, 0.01, 0.99, 1)] == [4, 7, 7, 3]


def test_combinations_by_hand():
    assert list(all_combinations([2, 1], "single")) == [((0, 0),), ((0, 1),), ((0, 0), (0, 1)), ((1, 0),)]
    assert list(all_combinations([2, 1], "pair")) == [((0, 0), (1, 0)), ((0, 1), (1, 0)), ((0, 0), (0, 1), (1, 0))]


def test_a_share_decides_which_draws_are_pairs():
    for share, expected in ((0.5, "spspsp"), (1 / 3, "ssp" * 2), (0.75, "sppp" * 2), (0.25, "sssp" * 2)):
        drawn = islice(draws([5] * 6, seed=0, name="x", pair_share=share), len(expected))
        assert "".join(draw.strategy[0] for draw in drawn) == expected


def test_an_exhausted_strategy_is_replaced_by_the_other_unless_its_share_is_0():
    assert [draw.strategy for draw in draws([1, 1], seed=0, name="x", pair_share=0.9)] == ["single", "pair", "single"]
    assert [draw.strategy for draw in draws([1, 1], seed=0, name="x", pair_share=0.0)] == ["single", "single"]
    assert [draw.strategy for draw in draws([1, 1], seed=0, name="x", pair_share=1.0)] == ["pair"]
