"""The measures of many scopes at once: every row is looked at once, as part of its discipline, its field and the whole.

A scope's sample are its rows with the smallest of some random numbers, one for each row: so the samples of a discipline, of its
field and of the whole share rows, and one pass finds them all.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from glan_core.diversity import metrics
from glan_core.diversity.metric_store import Histogram, Value
from glan_core.diversity.nearest_neighbors import Take

BLOCK = 4096
DRAWN = 5000  # rows of a scope that the Vendi score of 1,000 draws from
CENTRE_ROWS = 20_000  # rows that clusters are fitted on
NEAREST_EDGES = tuple(round(edge, 3) for edge in np.linspace(0, 1, 41).tolist())
LENGTH_EDGES = tuple(
    float(edge) for edge in (0, 50, 100, 150, 200, 300, 400, 600, 800, 1200, 1600, 2400, 3200, 4800, 6400, 12_800, 1e6)
)


@dataclass
class Scope:
    """Some rows and what was found of them: `values`, once all were looked at. `drawn` and `sample` are places of rows,
    ascending: for the Vendi score of 1,000, and for all other measures of a sample; `best` the largest cosine of each sampled
    row with another row. The rest is held while rows are looked at."""

    id: str
    drawn: np.ndarray
    sample: np.ndarray
    best: np.ndarray
    n: int = 0
    values: dict[str, Value] = field(default_factory=dict)
    asked: np.ndarray | None = None
    total: np.ndarray | float = 0.0
    gram: np.ndarray | float = 0.0
    counts: np.ndarray | float = 0
    prints: list[np.ndarray] = field(default_factory=list)

    @property
    def sampled(self) -> bool:
        """Whether the sample is less than all rows."""
        return len(self.sample) < self.n


class Scorer:
    """Measures unit vectors, which `take(places)` gives.

    `leaves`: id -> places of its rows, ascending, the first scopes to be measured; `above`: id of a leaf -> ids of the other
    scopes that its rows belong to. `centres` of clusters are fitted on the rows where none are given.
    """

    def __init__(
        self, take: Take, leaves: Mapping[str, np.ndarray], above: Mapping[str, Sequence[str]], sample: int, seed: int,
        centres: np.ndarray | None = None,
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
        self.scopes = {id: self._scope(id, places, sample) for id, places in drawn.items()}
        if centres is None:
            every = np.concatenate(list(leaves.values()))
            centres = metrics.fit_clusters(np.asarray(take(self._first(every, CENTRE_ROWS)), np.float32), seed)
        self.centres = centres

    def _first(self, places: np.ndarray, most: int) -> np.ndarray:
        places = np.unique(places)
        if len(places) > most:
            places = np.sort(places[np.argpartition(self._chance[places], most)[:most]])
        return places

    def _scope(self, id: str, drawn: np.ndarray, most: int) -> Scope:
        sample = self._first(drawn, most)
        return Scope(id, drawn, sample, np.full(len(sample), -np.inf, dtype=np.float32))

    def run(self) -> Iterator[Scope]:
        """Look at all rows, a leaf at a time; gives each scope when it has its values: the leaves, then those above them."""
        for id, places in self._leaves.items():
            scopes = [self.scopes[scope] for scope in self._of[id]]
            for start in range(0, len(places), BLOCK):
                self._look(places[start : start + BLOCK], scopes)
            if not any(id in of for leaf, of in self._of.items() if leaf != id):
                yield self._finish(scopes[0])
        yield from (self._finish(scope) for scope in self.scopes.values() if not scope.values)

    def _look(self, places: np.ndarray, scopes: Sequence[Scope]) -> None:
        x = np.asarray(self._take(places), dtype=np.float32)
        total, gram = x.sum(axis=0, dtype=np.float64), (x.T @ x).astype(np.float64)
        counts = np.bincount(metrics.assign(x, self.centres), minlength=len(self.centres))
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
            scores[here, inside[here]] = -np.inf  # itself
            np.maximum(scope.best, scores.max(axis=1, initial=-np.inf), out=scope.best)

    def _finish(self, scope: Scope) -> Scope:
        """Take the measures of a scope whose rows were all looked at, and let go of what only they needed."""
        n, found = scope.n, scope.values
        found["mean_distance"] = Value(metrics.mean_distance_of_sum(scope.total, n), n=n)
        if n > 1:
            best = np.clip(scope.best, -1, 1)
            found["nearest_similarity"] = self._mean(best, scope)
            found["near_share"] = self._mean(100.0 * (best > metrics.NEAR), scope)
        found["vendi"] = Value(metrics.vendi_of_gram(scope.gram, n), n=n)
        found["vendi_1000"] = self._vendi_of_samples(scope)
        distinct = len(np.unique(np.concatenate(scope.prints))) / n
        found["cluster_entropy"] = Value(metrics.cluster_entropy(scope.counts, distinct), n=n)
        found["novelsum"] = self._mean(metrics.novelsum(scope.asked), scope)
        scope.asked, scope.gram, scope.prints = None, 0.0, []
        return scope

    def _vendi_of_samples(self, scope: Scope) -> Value:
        draws = metrics.vendi_samples(np.asarray(self._take(scope.drawn), dtype=np.float32), self._seed)
        mean, spread = float(draws.mean()), 1.96 * float(draws.std())
        bounds = (mean - spread, mean + spread) if len(draws) > 1 else (None, None)
        return Value(mean, *bounds, n=min(scope.n, 1000))

    def _mean(self, values: np.ndarray, scope: Scope) -> Value:
        bounds = metrics.bootstrap_mean(values, self._seed) if scope.sampled else (None, None)
        return Value(float(values.mean()), *bounds, n=len(values))


def text_values(texts: Sequence[str], sampled: bool, seed: int) -> dict[str, Value]:
    """The measures of a scope that look at the words of its sampled questions."""
    found = {f"distinct_{n}": _distinct(texts, n, sampled, seed) for n in (1, 2, 3)}

    def compression(places: np.ndarray) -> float:
        return metrics.compression_ratio([texts[place] for place in places])

    found["compression"] = _value(compression, len(texts), sampled, seed)
    found["question_length"] = Value(float(np.median([len(text) for text in texts])), n=len(texts))
    return found


def _distinct(texts: Sequence[str], n: int, sampled: bool, seed: int) -> Value:
    grams = metrics.ngrams(texts, n)
    return _value(lambda places: 100 * metrics.distinct_n([grams[place] for place in places]), len(texts), sampled, seed)


def _value(measure: Callable[[np.ndarray], float], number: int, sampled: bool, seed: int) -> Value:
    bounds = metrics.half_samples(measure, number, seed) if sampled and number > 1 else (None, None)
    return Value(measure(np.arange(number)), *bounds, n=number)


def histogram(values: np.ndarray | Sequence[float], edges: Sequence[float]) -> Histogram:
    """How many values fall between each two edges; those beyond the ends count in the outermost."""
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), bins=edges)
    return Histogram(tuple(counts.tolist()), edges=tuple(edges))


def fingerprints(x: np.ndarray) -> np.ndarray:
    """A number for each row, equal for equal rows and else almost surely different."""
    bits = np.ascontiguousarray(x, dtype=np.float32).view(np.uint32).astype(np.uint64)
    odd = np.random.default_rng(0).integers(1, 2**63, x.shape[1], dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    return (bits * odd).sum(axis=1, dtype=np.uint64)
