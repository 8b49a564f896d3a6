"""Exact nearest neighbors among unit vectors, computed in blocks so that memory is bounded by the block size."""

from collections.abc import Callable

import numpy as np

Take = Callable[[np.ndarray], np.ndarray]
BLOCK = 512
GROUP = 64
MOST_EARLIER = 20_000  # earlier rows compared with each new one: if there are more, a random sample and the rows just before it


def nearest(queries: np.ndarray, rows: np.ndarray, k: int, bias: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return the `k` rows with the highest score for each query, best first.

    The score is the inner product plus the optional bias. Scores are split into groups; the top k lie in the k groups with the
    largest maxima, so a single pass over all scores suffices.

    Args:
        queries: `(m, dim)` vectors.
        rows: `(n, dim)` vectors.
        k: Number of neighbors.
        bias: `(n,)` score offset of each row.

    Returns:
        `(m, k)` row indices and `(m, k)` scores.
    """
    k, scores = min(k, len(rows)), queries @ rows.T
    if bias is not None:
        scores += bias
    groups = len(rows) // GROUP
    if groups <= 2 * k:
        places = _largest(scores, k)
    else:
        whole = groups * GROUP
        best = _largest(scores[:, :whole].reshape(len(queries), groups, GROUP).max(axis=2), k)
        candidates = (best[:, :, None] * GROUP + np.arange(GROUP)).reshape(len(queries), -1)
        rest = np.broadcast_to(np.arange(whole, len(rows)), (len(queries), len(rows) - whole))
        candidates = np.concatenate([candidates, rest], axis=1)
        inside = _largest(np.take_along_axis(scores, candidates, axis=1), k)
        places = np.take_along_axis(candidates, inside, axis=1)
    found = np.take_along_axis(scores, places, axis=1)
    order = np.argsort(-found, axis=1, kind="stable")
    return np.take_along_axis(places, order, axis=1), np.take_along_axis(found, order, axis=1)


def _largest(scores: np.ndarray, k: int) -> np.ndarray:
    return np.argpartition(scores, -k, axis=1)[:, -k:]


def nearest_earlier(take: Take, number: int, which: np.ndarray | None = None, seed: int = 0) -> np.ndarray:
    """Return the cosine distance of each row to the nearest earlier row; 1 for the first row.

    Exact up to 20,000 rows; beyond that, each row is compared with a random sample of 20,000 and with the rows just before it.

    Args:
        take: Function that returns the unit vectors of row indices.
        number: Number of rows, in chronological order.
        which: Row indices to compute, ascending; None computes all.
        seed: Seed of the sample.

    Returns:
        `(len(which),) float32` distances.
    """
    which = np.arange(number) if which is None else which
    found = np.full(len(which), -np.inf, dtype=np.float32)
    drawn = _drawn(number, seed)
    against = np.asarray(take(drawn), dtype=np.float32)
    for start in range(0, len(which), BLOCK):
        places = which[start : start + BLOCK]
        asked = np.asarray(take(places), dtype=np.float32)
        best = _best_before(asked, places, against, drawn)
        if len(drawn) < number:
            just = np.union1d(places, np.arange(max(0, places[0] - BLOCK), places[0]))
            best = np.maximum(best, _best_before(asked, places, np.asarray(take(just), dtype=np.float32), just))
        found[start : start + BLOCK] = best
    return np.where(np.isfinite(found), np.clip(1 - found, 0, None), 1).astype(np.float32)


def _drawn(number: int, seed: int) -> np.ndarray:
    if number <= MOST_EARLIER:
        return np.arange(number)
    return np.sort(np.random.default_rng(seed).choice(number, MOST_EARLIER, replace=False))


def _best_before(asked: np.ndarray, places: np.ndarray, against: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return the largest cosine of each query row with the rows of `against` that precede it; -inf if there are none."""
    whole, some = np.searchsorted(at, [places[0], places[-1]])
    best = np.full(len(asked), -np.inf, dtype=np.float32)
    if whole:
        best = (asked @ against[:whole].T).max(axis=1)
    if some > whole:  # rows of the same block
        scores = asked @ against[whole:some].T
        scores[at[None, whole:some] >= places[:, None]] = -np.inf
        best = np.maximum(best, scores.max(axis=1))
    return best
