"""Area of a map: a box, a lasso or a cluster, as text for URLs, and the questions in it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from glan_core.diversity import map_queries
from glan_core.diversity.map_store import Map, list_maps, read_map
from glan_core.ids import slug
from glan_core.workspace import Workspace

BOX, LASSO, CLUSTER = "box", "lasso", "cluster"
MOST_CORNERS = 48  # of a lasso; more are thinned out evenly, so that the URL stays short
MOST_ROWS = 50_000  # of an area that filters other pages


@dataclass(frozen=True, slots=True)
class Area:
    """An area of a 2-D map, or a cluster of any map.

    Attributes:
        kind: 'box', 'lasso' or 'cluster'.
        embedder: Slug of the map's embedder.
        dims: Dimensions of the map.
        xs: x of the corners; of a box its two sides; the number of a cluster.
        ys: y of the corners, empty for a cluster.
    """

    kind: str
    embedder: str
    dims: int
    xs: tuple[float, ...]
    ys: tuple[float, ...] = ()

    def to_text(self) -> str:
        """Return the area as text, see `parse_area`."""
        corners = ";".join(f"{x:.4g},{y:.4g}" for x, y in zip(self.xs, self.ys, strict=False)) or f"{self.xs[0]:.0f}"
        return f"{self.kind}~{self.dims}~{self.embedder}~{corners}"


def area_of(kind: str, shown: Map, xs: Sequence[float], ys: Sequence[float] = ()) -> Area:
    """Return an area of a map; a lasso with many corners is thinned out."""
    if len(xs) > MOST_CORNERS:
        kept = np.linspace(0, len(xs) - 1, MOST_CORNERS).round().astype(int)
        xs, ys = [xs[n] for n in kept], [ys[n] for n in kept]
    return Area(kind, slug(shown.info.embedder), shown.info.dims, tuple(map(float, xs)), tuple(map(float, ys)))


def parse_area(text: str) -> Area | None:
    """Return the area that a text stands for, None if it is not one."""
    try:
        kind, dims, embedder, corners = text.split("~")
        if kind == CLUSTER:
            return Area(kind, embedder, int(dims), (float(int(corners)),))
        points = [tuple(map(float, corner.split(","))) for corner in corners.split(";")]
        xs, ys = zip(*points, strict=True)
    except (ValueError, OverflowError):
        return None
    fewest = {BOX: 2, LASSO: 3}.get(kind)
    good = fewest is not None and fewest <= len(xs) <= MOST_CORNERS and np.isfinite([*xs, *ys]).all()
    return Area(kind, embedder, int(dims), xs, ys) if good and dims == "2" and (kind == LASSO or len(xs) == 2) else None


def area_mask(shown: Map, area: Area) -> np.ndarray | None:
    """Return a mask of a map's rows in an area; None if the area is of another map."""
    if (area.embedder, area.dims) != (slug(shown.info.embedder), shown.info.dims):
        return None
    if area.kind == CLUSTER:
        return np.asarray(shown.cluster) == int(area.xs[0])
    xy = np.asarray(shown.xy)
    if area.kind == BOX:
        (x0, x1), (y0, y1) = sorted(area.xs), sorted(area.ys)
        return map_queries.in_window(xy, (x0, x1, y0, y1))
    return map_queries.in_polygon(xy, area.xs, area.ys)


def area_seqs(ws: Workspace, area: Area) -> tuple[int, ...] | None:
    """Return the `seq` of the questions in an area; None if its map does not exist or the area has too many."""
    for info in list_maps(ws):
        if (slug(info.embedder), info.dims) == (area.embedder, area.dims):
            shown = read_map(ws, info.embedder, info.dims)
            mask = None if shown is None else area_mask(shown, area)
            if shown is None or mask is None or int(mask.sum()) > MOST_ROWS:
                return None
            return tuple(shown.seqs[np.flatnonzero(mask)].tolist())
    return None
