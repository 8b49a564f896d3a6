"""Map projection: UMAP of landmarks, with all other rows placed among them.

    projection = fit(landmarks, dims=2, seed=0)     # landmarks: distinct unit vectors
    xy, nearest = projection.place(vectors)

UMAP runs on the first 50 principal components. With too few distinct rows, the principal components are the map.

Source: McInnes, Healy, Melville, 2018, arXiv 1802.03426.
"""

import warnings
from dataclasses import dataclass

import numpy as np

from glan_core.compile_cache import with_compile_cache
from glan_core.diversity.nearest_neighbors import Take, nearest

COMPONENTS = 50
FEWEST = 40  # minimum number of distinct rows for UMAP
NEIGHBORS = 15  # `n_neighbors` of UMAP
AMONG = 5  # landmarks used to place another row
BLOCK = 512
SPAN = 20.0  # width of the widest side of a map


@dataclass(frozen=True)
class Projection:
    """A fitted map.

    Attributes:
        mean: `(dim,)` mean of the landmarks.
        axes: `(dim, components)` principal axes.
        landmarks: `(n, components)` landmarks in component space.
        xy: `(n, dims)` landmark positions on the map.
    """

    mean: np.ndarray
    axes: np.ndarray
    landmarks: np.ndarray
    xy: np.ndarray

    def place(self, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Place rows on the map.

        A row is placed at the mean of its five nearest landmarks, weighted by 1 / distance^4, so that a row between two clusters
        joins the nearer one. A row equal to a landmark is placed at its position.

        Returns:
            `(n, dims) float32` positions and `(n,)` index of the nearest landmark.
        """
        xy = np.empty((len(vectors), self.xy.shape[1]), dtype=np.float32)
        first = np.empty(len(vectors), dtype=np.int64)
        bias = -0.5 * np.square(self.landmarks).sum(axis=1)
        for start in range(0, len(vectors), BLOCK):
            at = slice(start, start + BLOCK)
            rows = (np.asarray(vectors[at], dtype=np.float32) - self.mean) @ self.axes
            places, _ = nearest(rows, self.landmarks, AMONG, bias)
            apart = np.square(self.landmarks[places] - rows[:, None]).sum(axis=2)
            weights = 1 / np.maximum(np.square(apart), 1e-12)
            weights[apart[:, 0] < 1e-6, 1:] = 0
            weights /= weights.sum(axis=1, keepdims=True)
            xy[at], first[at] = (self.xy[places] * weights[:, :, None]).sum(axis=1), places[:, 0]
        return xy, first


def choose_landmarks(take: Take, number: int, most: int, seed: int) -> np.ndarray:
    """Choose up to `most` distinct rows at random.

    Args:
        take: Function that returns the vectors of row indices.
        number: Number of rows.
        most: Maximum number of landmarks.
        seed: Sampling seed.

    Returns:
        Row indices, ascending.
    """
    places = np.arange(number)
    if number > most:
        places = np.sort(np.random.default_rng(seed).choice(number, most, replace=False))
    rows = np.ascontiguousarray(take(places))
    _, first = np.unique(rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel(), return_index=True)
    return places[np.sort(first)]


def fit(landmarks: np.ndarray, dims: int, seed: int) -> Projection:
    """Fit a map to distinct rows; deterministic for the same rows and seed."""
    landmarks = np.asarray(landmarks, dtype=np.float32)
    mean, axes = _principal(landmarks)
    rows = np.ascontiguousarray((landmarks - mean) @ axes)
    xy = _umap(rows, dims, seed) if len(rows) >= FEWEST else _components(rows, dims)
    return Projection(mean, axes, rows, _scaled(xy))


def _principal(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and the principal axes as columns, with the largest entry of each positive."""
    mean = rows.mean(axis=0, dtype=np.float64)
    centered = rows - mean.astype(np.float32)
    _, vectors = np.linalg.eigh((centered.T @ centered).astype(np.float64))
    axes = vectors[:, ::-1][:, : min(COMPONENTS, rows.shape[1])]
    axes = axes * np.where(axes[np.abs(axes).argmax(axis=0), range(axes.shape[1])] < 0, -1, 1)
    return mean.astype(np.float32), np.ascontiguousarray(axes, dtype=np.float32)


def _components(rows: np.ndarray, dims: int) -> np.ndarray:
    return np.pad(rows[:, :dims], ((0, 0), (0, max(0, dims - rows.shape[1]))))


def _umap(rows: np.ndarray, dims: int, seed: int) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # UMAP warns that a seed disables parallelism, and its dependencies emit deprecation warnings
        model = with_compile_cache(_umap_class)(
            n_neighbors=min(NEIGHBORS, len(rows) - 1), n_components=dims, min_dist=0.1, init="pca", random_state=seed,
            n_epochs=100 if len(rows) > 5000 else 200, n_jobs=1,
        )  # fmt: skip
        return model.fit_transform(rows)


def _umap_class() -> type:
    from umap import UMAP

    return UMAP


def _scaled(xy: np.ndarray) -> np.ndarray:
    """Center a map and scale its widest side to 20, so that marker sizes suit every map."""
    low, high = xy.min(axis=0), xy.max(axis=0)
    widest = float((high - low).max())
    return ((xy - (low + high) / 2) * (SPAN / widest if widest > 0 else 1)).astype(np.float32)
