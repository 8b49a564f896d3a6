"""Measures of diversity, each a pure function of vectors or texts.

`x` are unit vectors, a row for each question. Where a measure looks at a sample, the caller draws it and says its size: values
of one embedder compare, values of different embedders do not.
"""

import re
import zlib
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np

from glan_core.diversity.nearest_neighbors import BLOCK

NEAR = 0.9  # the cosine from which two questions count as near
NOVELSUM_NEIGHBOURS, NOVELSUM_DENSITY_POWER = 10, 0.5  # K and beta of the paper; its alpha, the power of the rank, is 1
_WORD = re.compile(r"\w+")


def mean_distance(x: np.ndarray) -> float:
    """Mean pairwise cosine distance: the mean of 1 - x_i . x_j over all pairs i != j. 0 for equal rows, higher is more diverse.

    Computed as 1 - (|sum of x|^2 - n) / (n (n - 1)), which looks at each row once. 0 for a single row.
    """
    return mean_distance_of_sum(np.asarray(x, dtype=np.float64).sum(axis=0), len(x))


def mean_distance_of_sum(total: np.ndarray, n: int) -> float:
    """`mean_distance` from the sum of the rows and their number."""
    return 0.0 if n < 2 else float(1 - (total @ total - n) / (n * (n - 1)))


def nearest_similarity(x: np.ndarray) -> np.ndarray:
    """The cosine of each row with the row nearest to it, itself left out; higher is less diverse. Empty for a single row."""
    if len(x) < 2:
        return np.empty(0, dtype=np.float32)
    best = np.empty(len(x), dtype=np.float32)
    for start in range(0, len(x), BLOCK):
        scores = x[start : start + BLOCK] @ x.T
        scores[np.arange(len(scores)), start + np.arange(len(scores))] = -np.inf
        best[start : start + BLOCK] = scores.max(axis=1)
    return best


def vendi_score(x: np.ndarray) -> float:
    """Vendi score (Friedman, Dieng 2023, arXiv 2210.02410) with the cosine kernel: exp(- sum of l log l) over the eigenvalues l
    of X X' / n. The effective number of different rows: 1 for equal rows, n for orthogonal ones; at most the dimension."""
    x = np.asarray(x, dtype=np.float64)
    return vendi_of_gram(x.T @ x if len(x) > x.shape[1] else x @ x.T, len(x))


def vendi_of_gram(gram: np.ndarray, n: int) -> float:
    """The Vendi score from X'X or XX' of n rows: their eigenvalues above zero are the same."""
    with _linear_algebra().limit(limits=1):  # threads cost such small matrices up to 50 times the time on a busy machine
        values = np.linalg.eigvalsh(gram / n)
    values = values[values > 1e-12]
    return float(np.exp(-(values * np.log(values)).sum()))


@cache
def _linear_algebra():
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def vendi_samples(x: np.ndarray, seed: int, rows: int = 1000, draws: int = 5) -> np.ndarray:
    """The Vendi scores of random samples of 1,000 rows, so that data of different size compare; of all rows, once, where
    there are no more."""
    if len(x) <= rows:
        return np.array([vendi_score(x)])
    rng = np.random.default_rng(seed)
    return np.array([vendi_score(x[rng.choice(len(x), rows, replace=False)]) for _ in range(draws)])


def novelsum(x: np.ndarray) -> np.ndarray:
    """The novelty of each row after NovelSum (Yang et al., ACL 2025, arXiv 2502.17184); its mean is the measure, higher is more
    diverse. 0 for a single row.

    v(i) = sum over j != i of w(i, j) s(j)^0.5 d(i, j): d is the cosine distance, w(i, j) is 1 / the rank of j among i's
    neighbours, scaled to sum 1 as in the authors' code, s(j) = 1 / the sum of the distances from j to its 10 nearest other
    rows. The paper takes s from a large reference corpus; here there is none, so it is taken from the distinct rows of x
    itself, with the mean of s^0.5 scaled to 1.
    """
    n = len(x)
    if n < 2:
        return np.zeros(n)
    density = _density(x)
    weights = 1 / np.arange(1, n)
    weights /= weights.sum()
    novelty = np.empty(n)
    for start in range(0, n, BLOCK):
        distances = np.clip(1 - x[start : start + BLOCK] @ x.T, 0, None)
        distances[np.arange(len(distances)), start + np.arange(len(distances))] = -1  # itself: the first of its order
        settings = np.argsort(distances, axis=1, kind="stable")[:, 1:]
        novelty[start : start + BLOCK] = (np.take_along_axis(distances, settings, axis=1) * density[settings]) @ weights
    return novelty


def _density(x: np.ndarray) -> np.ndarray:
    """s(j)^0.5 of `novelsum` for each row, its mean 1."""
    distinct, back = np.unique(x, axis=0, return_inverse=True)
    if len(distinct) < 2:
        return np.ones(len(x))
    k = min(NOVELSUM_NEIGHBOURS, len(distinct) - 1)
    sums = np.empty(len(distinct))
    for start in range(0, len(distinct), BLOCK):
        distances = np.clip(1 - distinct[start : start + BLOCK] @ distinct.T, 0, None)
        distances[np.arange(len(distances)), start + np.arange(len(distances))] = np.inf
        sums[start : start + BLOCK] = np.partition(distances, k - 1, axis=1)[:, :k].sum(axis=1)
    density = (1 / np.maximum(sums, 1e-9)) ** NOVELSUM_DENSITY_POWER
    return (density / density.mean())[back.ravel()]


def cluster_entropy(counts: np.ndarray, distinct_share: float) -> float:
    """How evenly rows lie over k clusters: the entropy of their shares / log k, times the share of rows that repeat no other.

    From 0 (all in one cluster) to 1. Clusters are those of k-means fitted on distinct rows. The second factor is ours:
    without it k-means finds repeated rows more evenly spread than distinct ones, since it gives each a cluster of its own.
    """
    return evenness(counts) * distinct_share


def evenness(counts: np.ndarray) -> float:
    """Pielou's evenness (1966): the entropy of the shares / log of the number of kinds, those with none included. 1 where
    all kinds have the same share, 0 where one has all, or where there is only one kind."""
    counts = np.asarray(counts, dtype=np.float64)
    if len(counts) < 2 or not counts.sum():
        return 0.0
    shares = counts[counts > 0] / counts.sum()
    return float(max(0.0, -(shares * np.log(shares)).sum() / np.log(len(counts))))


def fit_clusters(sample: np.ndarray, seed: int, k: int = 256) -> np.ndarray:
    """The centres of k-means (Lloyd 1982, in mini-batches) on the distinct rows of a sample; k is at most a tenth of them."""
    from sklearn.cluster import MiniBatchKMeans

    distinct = np.unique(sample, axis=0)
    k = max(1, min(k, len(distinct) // 10))
    means = MiniBatchKMeans(k, init="random", random_state=seed, batch_size=2048, n_init=1)  # k-means++ takes 20 times as long
    return means.fit(distinct).cluster_centers_.astype(np.float32)


def assign(x: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """The nearest centre of each row."""
    return (x @ centres.T - 0.5 * np.square(centres).sum(axis=1)).argmax(axis=1)


def ngrams(texts: Sequence[str], n: int) -> list[np.ndarray]:
    """The word n-grams of each text as numbers, equal for equal n-grams; words in lower case. n is at most 3."""
    known: dict[str, int] = {}
    coded = [np.array([known.setdefault(w, len(known)) for w in _WORD.findall(text.lower())], dtype=np.int64) for text in texts]
    return [
        sum(words[i : len(words) - n + 1 + i] << (21 * i) for i in range(n)) if len(words) >= n else words[:0]
        for words in coded
    ]


def distinct_n(grams: Sequence[np.ndarray]) -> float:
    """Distinct-n (Li et al. 2016, arXiv 1510.03055): different n-grams / all n-grams, from `ngrams`. Higher is more diverse;
    it falls with the number of texts, so only equal samples compare."""
    together = np.concatenate(grams) if len(grams) else np.empty(0)
    return len(np.unique(together)) / len(together) if len(together) else 0.0


def compression_ratio(texts: Sequence[str]) -> float:
    """How much shorter the texts get (Shaib et al. 2024, arXiv 2403.00553): bytes / bytes after zlib. Higher is less diverse.

    Texts are sorted first: zlib sees no repetition more than 32 kB away, and the value must not depend on the rows' order.
    """
    raw = "\n".join(sorted(texts)).encode("utf-8", "replace")
    return len(raw) / len(zlib.compress(raw, 6)) if raw else 1.0


def bootstrap_mean(values: np.ndarray, seed: int, draws: int = 200) -> tuple[float, float]:
    """The 95 % bootstrap interval (Efron 1979) of a mean over sampled rows."""
    rng = np.random.default_rng(seed)
    means = [values[rng.integers(0, len(values), len(values))].mean() for _ in range(draws)]
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)


def half_samples(measure: Callable[[np.ndarray], float], n: int, seed: int, draws: int = 20) -> tuple[float, float]:
    """A 95 % interval of a measure of n sampled rows, which is given the places of rows: its value, give or take 1.96 standard
    deviations over random halves.

    A bootstrap with replacement would repeat rows, which is the very thing that these measures look for; halves without
    replacement vary as much as the whole sample does (McCarthy 1969).
    """
    rng = np.random.default_rng(seed)
    spread = 1.96 * float(np.std([measure(rng.permutation(n)[: n // 2]) for _ in range(draws)]))
    value = measure(np.arange(n))
    return value - spread, value + spread
