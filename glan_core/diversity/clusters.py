"""Clusters of a map and the keywords that characterize them."""

from collections.abc import Sequence

import numpy as np

from glan_core.dataset.text_normalization import DIGITS
from glan_core.diversity.terms import readable_terms, stop_words

FEWEST = 20  # minimum number of landmarks for clustering
TERMS = 4
MOST_OF_MAP = 0.5
TASK_WORDS = (  # task words, which say nothing about the topic
    "answer", "calculate", "case", "compare", "consider", "correct", "describe", "determine", "did", "discuss", "does", "doing", "explain",
    "false", "following", "given", "mistake", "practice", "problem", "provide", "question", "show", "suppose", "true", "using", "write", "wrong",
)  # fmt: skip


def find_clusters(xy: np.ndarray) -> np.ndarray:
    """Cluster landmarks by map position with HDBSCAN.

    Clusters are numbered by size, the largest first. The minimum size is 8 landmarks or 0.5% of them. If one cluster would
    cover most of the map, leaf clusters are selected instead of the most stable ones.

    Args:
        xy: `(n, dims) float32` positions.

    Returns:
        `(n,) int32` cluster numbers, -1 for noise.

    Source: Campello, Moulavi, Sander, 2013.
    """
    if len(xy) < FEWEST or np.ptp(xy) == 0:
        return np.full(len(xy), -1, dtype=np.int32)
    labels = _hdbscan(xy, "eom")
    if np.bincount(labels + 1)[1:].max(initial=0) > MOST_OF_MAP * len(xy):
        labels = _hdbscan(xy, "leaf")
    found, sizes = np.unique(labels[labels >= 0], return_counts=True)
    rank = {label: place for place, label in enumerate(found[np.argsort(-sizes, kind="stable")].tolist())}
    return np.array([rank.get(label, -1) for label in labels.tolist()], dtype=np.int32)


def _hdbscan(xy: np.ndarray, method: str) -> np.ndarray:
    from sklearn.cluster import HDBSCAN

    smallest = max(8, len(xy) // 200)
    return HDBSCAN(min_cluster_size=smallest, min_samples=5, cluster_selection_method=method, copy=True).fit_predict(xy)


def _candidates(text: str) -> list[str]:
    """Return the words of a text that may be keywords."""
    return [term for term in readable_terms(text) if not (term in stop_words() or term in TASK_WORDS or DIGITS.fullmatch(term))]


def keywords(texts: Sequence[str], clusters: np.ndarray, number: int, most: int = TERMS) -> list[list[str]]:
    """Return the keywords of each cluster, most distinctive first, by class-based TF-IDF.

    The weight of a word is its share of the cluster's words times log(1 + mean number of words per cluster / total frequency
    of the word).

    Args:
        texts: Texts of the landmarks.
        clusters: Cluster number of each text, -1 for none.
        number: Number of clusters.
        most: Maximum number of keywords per cluster.

    Source: Grootendorst, 2022, arXiv 2203.05794.
    """
    if not number:
        return []
    from sklearn.feature_extraction.text import CountVectorizer

    inside = np.flatnonzero(clusters >= 0)
    counter = CountVectorizer(analyzer=_candidates, max_features=50_000)
    try:
        counts = counter.fit_transform([texts[n] for n in inside.tolist()])
    except ValueError:  # the texts contain no words
        return [[] for _ in range(number)]
    from scipy.sparse import csr_matrix

    member = csr_matrix((np.ones(len(inside)), (clusters[inside], np.arange(len(inside)))), shape=(number, len(inside)))
    words = np.asarray((member @ counts).todense(), dtype=np.float64)
    totals = words.sum(axis=1, keepdims=True)
    weights = words / np.maximum(totals, 1) * np.log1p(totals.mean() / np.maximum(words.sum(axis=0), 1))
    names = counter.get_feature_names_out()
    best = np.argsort(-weights, axis=1, kind="stable")[:, :most]
    return [[str(names[n]) for n in row if weights[c, n] > 0] for c, row in enumerate(best)]
