"""Diversity metrics by value: closed forms, plain definitions, thresholds, quantiles and block boundaries."""

import random
import zlib
from math import exp, log, sqrt

import numpy as np
import pytest
from scipy.stats import entropy

from glan_core.diversity import metrics


def unit(rows) -> np.ndarray:
    """Return the rows scaled to length 1."""
    rows = np.asarray(rows, np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def some_rows(n: int, dim: int = 5, seed: int = 1) -> np.ndarray:
    return unit(np.random.default_rng(seed).normal(size=(n, dim)))


ANGLES = np.radians([0, 60, 90])
THREE = np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1).astype(np.float32)  # cosines 1/2, 0 and sqrt(3)/2


# --------------------------------------------------------------------------------------------------------------- distance


def test_mean_distance_of_rows_at_known_angles():
    assert metrics.mean_distance(THREE) == pytest.approx(1 - (0.5 + 0 + sqrt(3) / 2) / 3, abs=1e-6)
    assert metrics.mean_distance(THREE[:2]) == pytest.approx(0.5, abs=1e-6)
    assert metrics.mean_distance(np.eye(2)) == pytest.approx(1.0) and metrics.mean_distance(np.eye(2) * [[1], [1]]) == 1.0
    assert metrics.mean_distance(unit([[1, 0], [-1, 0]])) == pytest.approx(2.0)
    assert metrics.mean_distance(THREE[:1]) == 0.0


def test_nearest_similarity_of_rows_at_known_angles():
    found = metrics.nearest_similarity(THREE)
    assert found.dtype == np.float32 and found == pytest.approx([0.5, sqrt(3) / 2, sqrt(3) / 2], abs=1e-6)
    assert metrics.nearest_similarity(THREE[:2]) == pytest.approx([0.5, 0.5], abs=1e-6)
    assert metrics.nearest_similarity(THREE[:1]).shape == (0,)


@pytest.mark.parametrize("block", [1, 3, 4, 7, 20])
def test_blocks_change_no_value(monkeypatch, block):
    x = some_rows(12)
    nearest, novelty, density = metrics.nearest_similarity(x), metrics.novelsum(x), metrics._density(x)
    monkeypatch.setattr(metrics, "BLOCK", block)
    assert metrics.nearest_similarity(x) == pytest.approx(nearest, abs=1e-6)
    assert metrics.novelsum(x) == pytest.approx(novelty, abs=1e-6)
    assert metrics._density(x) == pytest.approx(density, abs=1e-5)


# ------------------------------------------------------------------------------------------------------------------ vendi


def test_vendi_is_the_exponential_of_the_entropy_of_the_shares():
    x = np.repeat(np.eye(3, dtype=np.float32), [5, 3, 2], axis=0)
    assert metrics.vendi_score(x) == pytest.approx(exp(entropy([0.5, 0.3, 0.2])))
    pair = unit([[1, 0], [0.6, 0.8]])  # kernel [[1, .6], [.6, 1]] / 2: eigenvalues .8 and .2
    assert metrics.vendi_score(pair) == pytest.approx(exp(entropy([0.8, 0.2])), abs=1e-5)
    assert metrics.vendi_score(pair[:1]) == pytest.approx(1.0)


def test_vendi_is_the_same_from_both_gram_matrices():
    for n, dim in ((4, 9), (9, 4), (5, 5)):
        x = some_rows(n, dim).astype(np.float64)
        assert metrics.vendi_of_gram(x.T @ x, n) == pytest.approx(metrics.vendi_of_gram(x @ x.T, n), rel=1e-6)
        assert metrics.vendi_score(x) == pytest.approx(metrics.vendi_of_gram(x @ x.T, n), rel=1e-6)


def test_vendi_takes_the_smaller_gram_matrix(monkeypatch):
    shapes = []
    monkeypatch.setattr(metrics, "vendi_of_gram", lambda gram, n: shapes.append((gram.shape, n)) or 0.0)
    for n, dim in ((4, 9), (9, 4)):
        metrics.vendi_score(some_rows(n, dim))
    assert shapes == [((4, 4), 4), ((4, 4), 9)]


def test_eigenvalues_of_rounding_are_dropped():
    assert metrics.vendi_of_gram(np.diag([1.0, 1e-13, -1e-9]), 1) == 1.0
    assert metrics.vendi_of_gram(np.diag([0.5, 0.5]), 1) == pytest.approx(2)
    assert metrics.vendi_of_gram(np.diag([1.0, 1e-6]), 1) == pytest.approx(exp(-1e-6 * log(1e-6)))


def test_samples_have_equal_size_and_a_small_set_is_scored_whole():
    x = some_rows(30)
    assert metrics.vendi_samples(x, 0, rows=30).tolist() == [metrics.vendi_score(x)]
    assert metrics.vendi_samples(x, 0, rows=31).tolist() == [metrics.vendi_score(x)]
    rng = np.random.default_rng(4)
    plain = [metrics.vendi_score(x[rng.choice(30, 29, replace=False)]) for _ in range(5)]
    assert metrics.vendi_samples(x, 4, rows=29).tolist() == plain
    assert len(metrics.vendi_samples(some_rows(1000, 3), 0)) == 1 and len(metrics.vendi_samples(some_rows(1001, 3), 0)) == 5
    assert len(metrics.vendi_samples(x, 0, rows=10, draws=3)) == 3


# --------------------------------------------------------------------------------------------------------------- novelsum


def plain_novelsum(x: np.ndarray) -> list[float]:
    """NovelSum as in the docstring, in plain loops over float64."""
    x = x.astype(float)
    distinct = np.unique(x, axis=0)

    def distance(a, b):
        return max(0.0, 1 - float(a @ b))

    root = []
    for at, row in enumerate(distinct):
        near = sorted(distance(row, other) for nth, other in enumerate(distinct) if nth != at)[:10]
        root.append(1 / sqrt(sum(near)))
    mean = sum(root) / len(root)
    of = [next(root[nth] for nth, row in enumerate(distinct) if (row == one).all()) / mean for one in x]
    found = []
    for i in range(len(x)):
        others = sorted((distance(x[i], x[j]), j) for j in range(len(x)) if j != i)
        weights = [1 / rank for rank in range(1, len(x))]
        found.append(sum(w * of[j] * d for w, (d, j) in zip(weights, others, strict=True)) / sum(weights))
    return found


@pytest.mark.parametrize("n", [2, 3, 10, 11, 12, 25])
def test_novelsum_is_its_definition_for_few_and_many_neighbors(n):
    x = some_rows(n, 6, seed=n)
    assert metrics.novelsum(x) == pytest.approx(plain_novelsum(x), rel=1e-3)


def test_novelsum_of_two_and_three_rows_by_hand():
    assert metrics.novelsum(THREE[:2]) == pytest.approx([0.5, 0.5], abs=1e-6)
    assert metrics.novelsum(THREE[:1]).tolist() == [0.0] and metrics.novelsum(THREE[:0]).shape == (0,)
    assert metrics.novelsum(np.repeat(THREE[:1], 3, axis=0)) == pytest.approx([0, 0, 0], abs=1e-6)
    d01, d02, d12 = 0.5, 1.0, 1 - sqrt(3) / 2
    root = np.array([1 / sqrt(d01 + d02), 1 / sqrt(d01 + d12), 1 / sqrt(d02 + d12)])
    root /= root.mean()
    weights = np.array([1, 0.5]) / 1.5
    by_hand = [weights @ [d01 * root[1], d02 * root[2]], weights @ [d12 * root[2], d01 * root[0]],
               weights @ [d12 * root[1], d02 * root[0]]]  # fmt: skip
    assert metrics.novelsum(THREE) == pytest.approx(by_hand, rel=1e-5)


def test_constants_are_those_of_the_papers():
    assert (metrics.NEAR, metrics.NOVELSUM_NEIGHBORS, metrics.NOVELSUM_DENSITY_POWER) == (0.9, 10, 0.5)


def test_rows_that_are_nearly_equal_have_a_bounded_density(monkeypatch):
    x = np.array([[1, 0], [1, 1e-9], [0, 1]])  # sums of the two distances: 1, 1 and 2
    root = np.array([1, 1, 1 / sqrt(2)])
    assert metrics._density(x) == pytest.approx(root / root.mean(), rel=1e-6)
    monkeypatch.setattr(metrics, "NOVELSUM_NEIGHBORS", 1)  # sums 0, taken as 1e-9, 0 and 1
    root = np.array([1e4 * sqrt(10), 1e4 * sqrt(10), 1])
    assert metrics._density(x) == pytest.approx(root / root.mean(), rel=1e-6)


# --------------------------------------------------------------------------------------------------------------- evenness


def test_evenness_is_pielous():
    assert metrics.evenness([5, 3, 2]) == pytest.approx(entropy([5, 3, 2]) / log(3))
    assert metrics.evenness([5, 3, 2, 0, 0]) == pytest.approx(entropy([5, 3, 2]) / log(5))
    assert metrics.evenness([1, 1]) == pytest.approx(1.0) and metrics.evenness([1, 0]) == 0.0
    assert metrics.evenness([3, 1]) == pytest.approx(entropy([3, 1]) / log(2))
    assert [metrics.evenness(counts) for counts in ([], [4], [0, 0])] == [0.0, 0.0, 0.0]
    assert metrics.evenness([1e-9, 1e-9]) == pytest.approx(1.0)
    assert metrics.cluster_entropy(np.array([3, 1]), 0.25) == pytest.approx(0.25 * entropy([3, 1]) / log(2))


# --------------------------------------------------------------------------------------------------------------- clusters


def test_the_number_of_clusters_is_a_tenth_of_the_distinct_rows():
    x = some_rows(59)
    assert metrics.fit_clusters(np.repeat(x, 2, axis=0), 0).shape == (5, 5)
    assert metrics.fit_clusters(some_rows(60), 0).shape == (6, 5) and metrics.fit_clusters(some_rows(9), 0).shape == (1, 5)
    assert metrics.fit_clusters(some_rows(60), 0, k=2).shape == (2, 5)
    assert metrics.fit_clusters(some_rows(60), 0).dtype == np.float32
    assert metrics.fit_clusters(some_rows(2600, 3), 0).shape == (256, 3)
    assert (metrics.fit_clusters(some_rows(60), 0) == metrics.fit_clusters(some_rows(60), 0)).all()


def test_rows_are_assigned_to_the_nearest_center_in_euclidean_distance():
    centers = np.array([[3.0, 0.0], [0.9, 0.1], [0.0, 0.5]])  # the largest inner product is with the first
    x = some_rows(50, 2)
    plain = np.square(x[:, None] - centers[None]).sum(axis=2).argmin(axis=1)
    assert metrics.assign(x, centers).tolist() == plain.tolist()
    assert metrics.assign(np.array([[1.0, 0.0]]), centers).tolist() == [1]


# ------------------------------------------------------------------------------------------------------------------ texts


def test_ngrams_are_equal_for_equal_words_only():
    a, b = metrics.ngrams(["The cat, the dog", "the CAT the dog the cat"], 2)
    assert len(a) == 3 and len(b) == 5 and a.tolist() == b[:3].tolist() and b[0] == b[4]
    assert len(set(b.tolist())) == 4
    assert [len(grams) for grams in metrics.ngrams(["", "one", "one two", "one two three"], 3)] == [0, 0, 0, 1]
    assert [grams.tolist() for grams in metrics.ngrams(["a b a", "b"], 1)] == [[0, 1, 0], [1]]
    assert [grams.tolist() for grams in metrics.ngrams(["a b c"], 3)] == [[0 + (1 << 21) + (2 << 42)]]
    one, other = metrics.ngrams(["a b b", "b a b"], 3)
    assert one.tolist() != other.tolist()


def test_distinct_n_is_the_share_of_distinct_ngrams():
    assert metrics.distinct_n(metrics.ngrams(["a b a b"], 2)) == pytest.approx(2 / 3)
    assert metrics.distinct_n(metrics.ngrams(["a b", "a b"], 1)) == 0.5
    assert metrics.distinct_n(metrics.ngrams(["a"], 2)) == 0.0 and metrics.distinct_n([]) == 0.0


def test_compression_is_uncompressed_over_compressed_bytes_in_sorted_order():
    texts = ["zebra stripes", "apple pie", "ünïcode"] * 20
    raw = "\n".join(sorted(texts)).encode()
    assert metrics.compression_ratio(texts) == len(raw) / len(zlib.compress(raw, 6)) > 5
    assert metrics.compression_ratio(texts[::-1]) == metrics.compression_ratio(texts)
    rng = random.Random(0)
    varied = [" ".join(rng.choices(("alpha", "alphabet", "beta", "betatron", "gamma", "gammon"), k=6)) for _ in range(3000)]
    raw = "\n".join(sorted(varied)).encode()
    sizes = {level: len(zlib.compress(raw, level)) for level in (5, 6, 7)}
    assert metrics.compression_ratio(varied) == len(raw) / sizes[6] and len(set(sizes.values())) == 3
    assert metrics.compression_ratio([]) == metrics.compression_ratio([""]) == 1.0


# -------------------------------------------------------------------------------------------------------------- intervals


def test_the_bootstrap_interval_is_from_the_2_5_to_the_97_5_percentile():
    values = np.random.default_rng(0).normal(3, 2, 50)
    rng = np.random.default_rng(9)
    means = np.sort([values[rng.integers(0, 50, 50)].mean() for _ in range(200)])
    assert metrics.bootstrap_interval(values, 9) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])))
    low, high = metrics.bootstrap_interval(values, 9, draws=4000)
    assert (high - low) / (2 * 1.96 * values.std() / sqrt(50)) == pytest.approx(1, abs=0.05)
    assert metrics.bootstrap_interval(np.array([2.0]), 0) == (2.0, 2.0)


def test_the_half_sample_interval_is_1_96_standard_deviations_of_20_halves():
    values = np.random.default_rng(0).normal(3, 2, 41)
    sizes = []

    def measure(places):
        sizes.append(len(places))
        return float(values[places].mean())

    low, high = metrics.half_sample_interval(measure, 41, seed=5)
    assert sizes == [20] * 20 + [41]
    rng = np.random.default_rng(5)
    spread = 1.96 * np.std([values[rng.permutation(41)[:20]].mean() for _ in range(20)])
    assert (low, high) == pytest.approx((values.mean() - spread, values.mean() + spread))
    wide = metrics.half_sample_interval(measure, 41, seed=5, draws=2)
    assert wide != (low, high)
