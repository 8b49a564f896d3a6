"""Diversity metrics as pure functions of vectors or texts.

`x` is an `(n, dim) float32` array of unit vectors, one per question. Samples are drawn by the caller. Values are comparable
only for the same embedder.
"""

import zlib
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np

from glan_core.dataset.text_normalization import words
from glan_core.diversity.nearest_neighbors import BLOCK

NEAR = 0.9  # cosine similarity above which two questions count as near
NOVELSUM_NEIGHBORS, NOVELSUM_DENSITY_POWER = 10, 0.5  # K and beta of the paper; its alpha, the power of the rank, is 1


def mean_distance(x: np.ndarray) -> float:
    """Return the mean pairwise cosine distance, the mean of 1 - x_i · x_j over all pairs i != j; 0 for one row.

    Computed in one pass as 1 - (|sum of x|^2 - n) / (n (n - 1)). Higher is more diverse.
    """
    return mean_distance_of_sum(np.asarray(x, dtype=np.float64).sum(axis=0), len(x))


def mean_distance_of_sum(total: np.ndarray, n: int) -> float:
    """Return `mean_distance` from the sum of the rows and their number."""
    return 0.0 if n < 2 else float(1 - (total @ total - n) / (n * (n - 1)))


def nearest_similarity(x: np.ndarray) -> np.ndarray:
    """Return the cosine similarity of each row to its nearest other row, `(n,) float32`; empty for one row."""
    if len(x) < 2:
        return np.empty(0, dtype=np.float32)
    best = np.empty(len(x), dtype=np.float32)
    for start in range(0, len(x), BLOCK):
        scores = x[start : start + BLOCK] @ x.T
        scores[np.arange(len(scores)), start + np.arange(len(scores))] = -np.inf
        best[start : start + BLOCK] = scores.max(axis=1)
    return best


def vendi_score(x: np.ndarray) -> float:
    """Return the Vendi score with the cosine kernel: exp of the entropy of the eigenvalues of X X' / n.

    It is the effective number of distinct rows: 1 for equal rows, n for orthogonal ones, at most the dimension.

    Source: Friedman, Dieng, 2023, arXiv 2210.02410.
    """
    x = np.asarray(x, dtype=np.float64)
    return vendi_of_gram(x.T @ x if len(x) > x.shape[1] else x @ x.T, len(x))


def vendi_of_gram(gram: np.ndarray, n: int) -> float:
    """Return the Vendi score from X'X or XX' of n rows, whose nonzero eigenvalues are the same."""
    with _linear_algebra().limit(limits=1):  # threads slow such small matrices down by up to 50 times on a busy machine
        values = np.linalg.eigvalsh(gram / n)
    values = values[values > 1e-12]
    return float(np.exp(-(values * np.log(values)).sum()))


@cache
def _linear_algebra():
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def vendi_samples(x: np.ndarray, seed: int, rows: int = 1000, draws: int = 5) -> np.ndarray:
    """Return Vendi scores of random samples of equal size, so that datasets of different size are comparable.

    Returns:
        `(draws,)` scores, or the single score of all rows if there are at most `rows`.
    """
    if len(x) <= rows:
        return np.array([vendi_score(x)])
    rng = np.random.default_rng(seed)
    return np.array([vendi_score(x[rng.choice(len(x), rows, replace=False)]) for _ in range(draws)])


def novelsum(x: np.ndarray) -> np.ndarray:
    """Return the NovelSum novelty of each row; the metric is its mean. Higher is more diverse; 0 for one row.

    v(i) = sum over j != i of w(i, j) s(j)^0.5 d(i, j), where d is the cosine distance, w(i, j) is 1 / rank of j among the
    neighbors of i (normalized to sum 1, as in the authors' code), and s(j) is 1 / sum of the distances from j to its 10
    nearest rows. The paper estimates s on a large reference corpus; here it is estimated on the distinct rows of `x`, with
    the mean of s^0.5 scaled to 1.

    Source: Yang et al., ACL 2025, arXiv 2502.17184.
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
        distances[np.arange(len(distances)), start + np.arange(len(distances))] = -1  # a row itself sorts first
        order = np.argsort(distances, axis=1, kind="stable")[:, 1:]
        novelty[start : start + BLOCK] = (np.take_along_axis(distances, order, axis=1) * density[order]) @ weights
    return novelty


def _density(x: np.ndarray) -> np.ndarray:
    """Return s(j)^0.5 of `novelsum` for each row, with mean 1."""
    distinct, back = np.unique(x, axis=0, return_inverse=True)
    if len(distinct) < 2:
        return np.ones(len(x))
    k = min(NOVELSUM_NEIGHBORS, len(distinct) - 1)
    sums = np.empty(len(distinct))
    for start in range(0, len(distinct), BLOCK):
        distances = np.clip(1 - distinct[start : start + BLOCK] @ distinct.T, 0, None)
        distances[np.arange(len(distances)), start + np.arange(len(distances))] = np.inf
        sums[start : start + BLOCK] = np.partition(distances, k - 1, axis=1)[:, :k].sum(axis=1)
    density = (1 / np.maximum(sums, 1e-9)) ** NOVELSUM_DENSITY_POWER
    return (density / density.mean())[back.ravel()]


def cluster_entropy(counts: np.ndarray, distinct_share: float) -> float:
    """Return the normalized entropy of cluster sizes times the share of distinct rows, from 0 to 1.

    Clusters are those of k-means fitted on distinct rows. The second factor is an addition: without it, duplicates look more
    evenly spread than distinct rows because k-means gives each group of them its own cluster.
    """
    return evenness(counts) * distinct_share


def evenness(counts: np.ndarray) -> float:
    """Return Pielou's evenness: the entropy of the shares / log of the number of categories, including empty ones.

    1 if all categories have equal shares; 0 if one has all, or if there is only one category.

    Source: Pielou, 1966.
    """
    counts = np.asarray(counts, dtype=np.float64)
    if len(counts) < 2 or not counts.sum():
        return 0.0
    shares = counts[counts > 0] / counts.sum()
    return float(max(0.0, -(shares * np.log(shares)).sum() / np.log(len(counts))))


def fit_clusters(sample: np.ndarray, seed: int, k: int = 256) -> np.ndarray:
    """Fit k-means centers on the distinct rows of a sample; k is at most a tenth of them.

    Returns:
        `(k, dim) float32` centers.
    """
    from sklearn.cluster import MiniBatchKMeans

    distinct = np.unique(sample, axis=0)
    k = max(1, min(k, len(distinct) // 10))
    means = MiniBatchKMeans(k, init="random", random_state=seed, batch_size=2048, n_init=1)  # k-means++ takes 20 times as long
    return means.fit(distinct).cluster_centers_.astype(np.float32)


def assign(x: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """Return the index of the nearest center of each row."""
    return (x @ centers.T - 0.5 * np.square(centers).sum(axis=1)).argmax(axis=1)


def ngrams(texts: Sequence[str], n: int) -> list[np.ndarray]:
    """Return the word n-grams of each text as integers, equal for equal n-grams; case-insensitive, n at most 3."""
    known: dict[str, int] = {}
    coded = [np.array([known.setdefault(w, len(known)) for w in words(text)], dtype=np.int64) for text in texts]
    return [_packed_ngrams(codes, n) for codes in coded]


def _packed_ngrams(codes: np.ndarray, n: int) -> np.ndarray:
    number = max(0, len(codes) - n + 1)
    packed = np.zeros(number, np.int64)
    for i in range(n):  # 21 bits per word
        packed += codes[i : number + i] << (21 * i)
    return packed


def distinct_n(grams: Sequence[np.ndarray]) -> float:
    """Return Distinct-n: distinct n-grams / all n-grams, from `ngrams`. Higher is more diverse.

    The value falls with the number of texts, so only samples of equal size are comparable.

    Source: Li et al., 2016, arXiv 1510.03055.
    """
    together = np.concatenate(grams) if len(grams) else np.empty(0)
    return len(np.unique(together)) / len(together) if len(together) else 0.0


def compression_ratio(texts: Sequence[str]) -> float:
    """Return the compression ratio: bytes / bytes after zlib. Higher is less diverse.

    Texts are sorted first: zlib finds no repetition more than 32 kB away, and the value must not depend on row order.

    Source: Shaib et al., 2024, arXiv 2403.00553.
    """
    raw = "\n".join(sorted(texts)).encode("utf-8", "replace")
    return len(raw) / len(zlib.compress(raw, 6)) if raw else 1.0


def bootstrap_interval(values: np.ndarray, seed: int, draws: int = 200) -> tuple[float, float]:
    """Return the 95% bootstrap interval of the mean of sampled rows.

    Source: Efron, 1979.
    """
    rng = np.random.default_rng(seed)
    means = [values[rng.integers(0, len(values), len(values))].mean() for _ in range(draws)]
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)


def half_sample_interval(measure: Callable[[np.ndarray], float], n: int, seed: int, draws: int = 20) -> tuple[float, float]:
    """Return a 95% interval of a metric of n sampled rows, from its spread over random halves.

    A bootstrap with replacement would duplicate rows, which these metrics measure. Halves drawn without replacement vary as
    much as the whole sample does.

    Args:
        measure: Function of row indices.
        n: Number of sampled rows.
        seed: Seed of the halves.
        draws: Number of halves.

    Source: McCarthy, 1969.
    """
    rng = np.random.default_rng(seed)
    spread = 1.96 * float(np.std([measure(rng.permutation(n)[: n // 2]) for _ in range(draws)]))
    value = measure(np.arange(n))
    return value - spread, value + spread
