"""Metrics of many scopes in one pass: each row is processed once for its discipline, its field and the whole.

The sample of a scope consists of the rows with the smallest of some per-row random numbers. Samples of a discipline, its
field and the whole therefore overlap, and one pass finds them all.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from glan_core.diversity import metrics
from glan_core.diversity.metric_store import Histogram, MetricValue
from glan_core.diversity.nearest_neighbors import Take

BLOCK = 4096
FEWEST_ROWS = 3  # of a scope whose rows are compared with each other; below, a metric would describe one pair
DRAWN = 5000  # rows of a scope from which `vendi_1000` samples
CENTER_ROWS = 20_000  # rows used to fit clusters
NEAREST_EDGES = tuple(round(edge, 3) for edge in np.linspace(0, 1, 41).tolist())
LENGTH_EDGES = tuple(
    float(edge) for edge in (0, 50, 100, 150, 200, 300, 400, 600, 800, 1200, 1600, 2400, 3200, 4800, 6400, 12_800, 1e6)
)


@dataclass
class Scope:
    """A set of rows and its metrics.

    Attributes:
        id: Node ID, '' for all rows.
        drawn: Row indices for `vendi_1000`, ascending.
        sample: Row indices for all other sampled metrics, ascending.
        best: Largest cosine similarity of each sampled row to another row.
        total: Sum of the vectors.
        gram: X'X of the vectors.
        counts: Rows per cluster.
        n: Number of rows processed.
        values: Metrics, available once all rows were processed.
        asked: Vectors of the sample while rows are processed.
        prints: Row fingerprints while rows are processed.
    """

    id: str
    drawn: np.ndarray
    sample: np.ndarray
    best: np.ndarray
    total: np.ndarray
    gram: np.ndarray
    counts: np.ndarray
    n: int = 0
    values: dict[str, MetricValue] = field(default_factory=dict)
    asked: np.ndarray | None = None
    prints: list[np.ndarray] = field(default_factory=list)

    @property
    def sampled(self) -> bool:
        """Whether the sample is smaller than the scope."""
        return len(self.sample) < self.n


class Scorer:
    """Computes the metrics of scopes of unit vectors.

    Args:
        take: Function that returns the vectors of row indices.
        leaves: Row indices of each leaf scope, ascending.
        above: IDs of the further scopes that the rows of a leaf belong to.
        sample: Maximum sample size per scope.
        seed: Seed of samples and clusters.
        centers: `(k, dim)` cluster centers; fitted on the rows if None.
    """

    def __init__(
        self, take: Take, leaves: Mapping[str, np.ndarray], above: Mapping[str, Sequence[str]], sample: int, seed: int,
        centers: np.ndarray | None = None,
    ) -> None:  # fmt: skip
        self._take, self._leaves, self._seed = take, leaves, seed
        self._of = {id: list(dict.fromkeys([id, *above.get(id, ())])) for id in leaves}
        most = max((int(places[-1]) for places in leaves.values()), default=-1) + 1
        self._chance = np.random.default_rng(seed).random(most, dtype=np.float32)
        drawn: dict[str, np.ndarray] = {}
        for id, places in leaves.items():
            some = self._first(places, max(sample, DRAWN))
            for scope in self._of[id]:
                drawn[scope] = self._first(np.concatenate([drawn.get(scope, some[:0]), some]), max(sample, DRAWN))
        if centers is None:
            every = np.concatenate(list(leaves.values()))
            centers = metrics.fit_clusters(np.asarray(take(self._first(every, CENTER_ROWS)), np.float32), seed)
        self.centers = centers
        self.scopes = {id: self._scope(id, places, sample) for id, places in drawn.items()}

    def _first(self, places: np.ndarray, most: int) -> np.ndarray:
        places = np.unique(places)
        if len(places) > most:
            places = np.sort(places[np.argpartition(self._chance[places], most)[:most]])
        return places

    def _scope(self, id: str, drawn: np.ndarray, most: int) -> Scope:
        sample = self._first(drawn, most)
        dim = self.centers.shape[1]
        return Scope(
            id, drawn, sample, np.full(len(sample), -np.inf, dtype=np.float32), np.zeros(dim), np.zeros((dim, dim)),
            np.zeros(len(self.centers), dtype=np.int64),
        )  # fmt: skip

    def run(self) -> Iterator[Scope]:
        """Process all rows leaf by leaf and yield each scope once it is complete: leaves first, then the others."""
        finished: set[str] = set()
        for id, places in self._leaves.items():
            scopes = [self.scopes[scope] for scope in self._of[id]]
            for start in range(0, len(places), BLOCK):
                self._process(places[start : start + BLOCK], scopes)
            if not any(id in of for leaf, of in self._of.items() if leaf != id):
                finished.add(id)
                yield self._finish(scopes[0])
        yield from (self._finish(scope) for id, scope in self.scopes.items() if id not in finished)

    def _process(self, places: np.ndarray, scopes: Sequence[Scope]) -> None:
        x = np.asarray(self._take(places), dtype=np.float32)
        total, gram = x.sum(axis=0, dtype=np.float64), (x.T @ x).astype(np.float64)
        counts = np.bincount(metrics.assign(x, self.centers), minlength=len(self.centers))
        prints = fingerprints(x)
        for scope in scopes:
            if scope.asked is None:
                scope.asked = np.asarray(self._take(scope.sample), dtype=np.float32)
            scope.n += len(places)
            scope.total, scope.gram, scope.counts = scope.total + total, scope.gram + gram, scope.counts + counts
            scope.prints.append(prints)
            scores = scope.asked @ x.T
            inside = np.searchsorted(places, scope.sample)
            here = np.flatnonzero(places[np.minimum(inside, len(places) - 1)] == scope.sample)
            scores[here, inside[here]] = -np.inf  # a row is not its own neighbor
            np.maximum(scope.best, scores.max(axis=1, initial=-np.inf), out=scope.best)

    def _finish(self, scope: Scope) -> Scope:
        """Compute the metrics of a complete scope and release its intermediate data; those that too few rows define are missing."""
        n, found = scope.n, scope.values
        if n >= FEWEST_ROWS:
            found["mean_distance"] = MetricValue(metrics.mean_distance_of_sum(scope.total, n), n=n)
            best = np.clip(scope.best, -1, 1)
            found["nearest_similarity"] = self._mean(best, scope)
            found["near_share"] = self._mean(100.0 * (best > metrics.NEAR), scope)
            found["vendi"] = MetricValue(metrics.vendi_of_gram(scope.gram, n), n=n)
            found["vendi_1000"] = self._vendi_of_samples(scope)
        if n >= FEWEST_ROWS and len(scope.counts) > 1:
            distinct = len(np.unique(np.concatenate(scope.prints))) / n
            found["cluster_entropy"] = MetricValue(metrics.cluster_entropy(scope.counts, distinct), n=n)
        if n >= FEWEST_ROWS and scope.asked is not None:
            found["novelsum"] = self._mean(metrics.novelsum(scope.asked), scope)
        scope.asked, scope.gram, scope.prints = None, np.zeros((0, 0)), []
        return scope

    def _vendi_of_samples(self, scope: Scope) -> MetricValue:
        draws = metrics.vendi_samples(np.asarray(self._take(scope.drawn), dtype=np.float32), self._seed)
        mean, spread = float(draws.mean()), 1.96 * float(draws.std())
        low, high = (mean - spread, mean + spread) if len(draws) > 1 else (None, None)
        return MetricValue(mean, low, high, n=min(scope.n, 1000))

    def _mean(self, values: np.ndarray, scope: Scope) -> MetricValue:
        low, high = metrics.bootstrap_interval(values, self._seed) if scope.sampled else (None, None)
        return MetricValue(float(values.mean()), low, high, n=len(values))


def text_values(texts: Sequence[str], *, sampled: bool, seed: int) -> dict[str, MetricValue]:
    """Return the text metrics of the sampled questions of a scope; `sampled` adds confidence intervals."""
    found: dict[str, MetricValue] = {}
    if not any(text.strip() for text in texts):
        return found
    for n in (1, 2, 3):
        grams = metrics.ngrams(texts, n)
        if sum(map(len, grams)) > 1:  # one n-gram alone is always distinct
            found[f"distinct_{n}"] = _distinct(grams, sampled=sampled, seed=seed)

    def compression(places: np.ndarray) -> float:
        return metrics.compression_ratio([texts[place] for place in places])

    if len(texts) >= FEWEST_ROWS:
        found["compression"] = _value(compression, len(texts), sampled=sampled, seed=seed)
    found["question_length"] = MetricValue(float(np.median([len(text) for text in texts])), n=len(texts))
    return found


def _distinct(grams: Sequence[np.ndarray], *, sampled: bool, seed: int) -> MetricValue:
    share = lambda places: 100 * metrics.distinct_n([grams[place] for place in places])  # noqa: E731
    return _value(share, len(grams), sampled=sampled, seed=seed)


def _value(measure: Callable[[np.ndarray], float], number: int, *, sampled: bool, seed: int) -> MetricValue:
    low, high = metrics.half_sample_interval(measure, number, seed) if sampled and number > 1 else (None, None)
    return MetricValue(measure(np.arange(number)), low, high, n=number)


def histogram(values: np.ndarray | Sequence[float], edges: Sequence[float]) -> Histogram:
    """Count values per interval between edges; values beyond the ends are clipped into the outermost intervals."""
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), bins=edges)
    return Histogram(tuple(counts.tolist()), edges=tuple(edges))


def fingerprints(x: np.ndarray) -> np.ndarray:
    """Return a `uint64` hash of each row, equal for equal rows."""
    bits = np.ascontiguousarray(x, dtype=np.float32).view(np.uint32).astype(np.uint64)
    odd = np.random.default_rng(0).integers(1, 2**63, x.shape[1], dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    return (bits * odd).sum(axis=1, dtype=np.uint64)
