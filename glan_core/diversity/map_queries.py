"""Map queries: row selections and colors of a map for display.

All functions work on arrays with one entry per row, so a million rows take a fraction of a second; texts are read only for
rows that are drawn as points.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import networkx as nx
import numpy as np
import pandas as pd

from glan_core.diversity.map_store import Map
from glan_core.taxonomy import hierarchy
from glan_core.taxonomy.hierarchy import GROUPS
from glan_core.workspace import Workspace, tag_rows, taxonomy_rows

COLORINGS = {
    "field": "Field", "discipline": "Discipline", "cluster": "Cluster", "level": "Level", "strategy": "Strategy",
    "teacher": "Answer teacher", "state": "Dataset status", "novelty": "Novelty", "length": "Answer length",
    "order": "Generation order",
}  # fmt: skip
STATES = ("in the dataset", "kept by a person", "rejected", "quality", "near-duplicate", "contaminated")
MOST_NAMES = 8  # names shown per coloring; the rest share one color
OTHERS = "others"
EVERYTHING = (-np.inf, np.inf, -np.inf, np.inf)

Window = tuple[float, float, float, float]  # x from, x to, y from, y to


@dataclass(frozen=True)
class Coloring:
    """Colors of the rows of a map: either categories or a numeric quantity.

    Attributes:
        label: Display name.
        names: Category names.
        codes: `(n,) int16` index into `names`.
        values: `(n,) float32` quantity.
        groups: Taxonomy group that gives each name its hue, or None.
    """

    label: str
    names: tuple[str, ...] = ()
    codes: np.ndarray | None = None
    values: np.ndarray | None = None
    groups: tuple[str | None, ...] = ()


def color_rows(ws: Workspace, tree: nx.DiGraph, shown: Map, by: str, focus: str | None = None) -> Coloring:
    """Color the rows of a map by one of `COLORINGS`.

    Names beyond the eight most frequent (within the focus, if given) become 'others'.
    """
    label, info = COLORINGS[by], shown.info
    match by:
        case "field":
            return _fields(ws, tree, shown)
        case "discipline":
            names = [_name(ws, tree, id) for id in info.disciplines]
            return _names(label, names, shown.discipline, in_focus(tree, shown, focus))
        case "cluster":
            return _names(label, [cluster.label for cluster in info.clusters], shown.cluster, None, none="no cluster")
        case "level":
            return _names(label, [name or "not specified" for name in info.levels], shown.level)
        case "strategy":
            return _names(label, info.strategies, shown.strategy)
        case "teacher":
            return _names(label, [name or "no answer" for name in info.teachers], shown.teacher)
        case "state":
            return Coloring(label, STATES, _states(ws, shown.seqs), groups=(None,) * len(STATES))
        case "novelty":
            return Coloring(label, values=np.asarray(shown.novelty, dtype=np.float32))
        case "order":
            return Coloring(label, values=np.arange(1, len(shown.seqs) + 1, dtype=np.float32))
    return Coloring(label, values=np.asarray(shown.length, dtype=np.float32))


def in_focus(tree: nx.DiGraph, shown: Map, focus: str | None) -> np.ndarray | None:
    """Return a mask of the rows below a taxonomy node; None selects all rows."""
    if focus is None:
        return None
    wanted = set(hierarchy.disciplines_under(tree, focus))
    return np.array([id in wanted for id in shown.info.disciplines], dtype=bool)[shown.discipline]


def in_window(xy: np.ndarray, window: Window) -> np.ndarray:
    """Return a mask of the points inside a window, including its edges."""
    left, right, low, high = window
    return (xy[:, 0] >= left) & (xy[:, 0] <= right) & (xy[:, 1] >= low) & (xy[:, 1] <= high)


def in_polygon(xy: np.ndarray, xs: Sequence[float], ys: Sequence[float]) -> np.ndarray:
    """Return a mask of the points inside a polygon, by the even-odd rule."""
    inside = in_window(xy, (min(xs), max(xs), min(ys), max(ys)))
    at = np.flatnonzero(inside)
    x, y = np.asarray(xy[at, 0], dtype=np.float64), np.asarray(xy[at, 1], dtype=np.float64)
    odd = np.zeros(len(at), dtype=bool)
    for (x0, y0), (x1, y1) in zip(zip(xs, ys, strict=True), zip([*xs[1:], xs[0]], [*ys[1:], ys[0]], strict=True), strict=True):
        if y0 != y1:
            odd ^= ((y0 > y) != (y1 > y)) & (x < (x1 - x0) * (y - y0) / (y1 - y0) + x0)
    inside[at] = odd
    return inside


def sample_rows(rows: np.ndarray, most: int, seed: int = 0) -> np.ndarray:
    """Return up to `most` random indices of true entries, ascending and deterministic."""
    places = np.flatnonzero(rows)
    if len(places) <= most:
        return places
    return np.sort(np.random.default_rng(seed).choice(places, most, replace=False))


def cluster_boxes(shown: Map, most: int) -> pd.DataFrame:
    """Return the places of the largest clusters: x0, y0, x1, y1, which bound 98 % of their points on each axis, and a label of two terms."""
    xy, of = np.asarray(shown.xy)[:, :2], np.asarray(shown.cluster)
    largest = sorted(shown.info.clusters, key=lambda cluster: -cluster.size)
    there = [cluster for cluster in largest if (of == cluster.id).any()][:most]
    boxes = [np.percentile(xy[of == cluster.id], [1, 99], axis=0).ravel() for cluster in there]
    places = pd.DataFrame(boxes, columns=["x0", "y0", "x1", "y1"], dtype=float)
    return places.assign(label=[", ".join(cluster.terms[:2]) for cluster in there])


def _fields(ws: Workspace, tree: nx.DiGraph, shown: Map) -> Coloring:
    """Color by field, in taxonomy group order, each with the hue of its group."""
    field_of = [hierarchy.path(tree, id)[0] if id in tree else None for id in shown.info.disciplines]
    fields = {field.id: field for field in field_of if field}
    place = {group: n for n, group in enumerate(GROUPS)}
    ordered = sorted(fields.values(), key=lambda field: place.get(field.group or "", len(GROUPS)))
    code_of = {field.id: n for n, field in enumerate(ordered)}
    gone = len(ordered)
    codes = np.array([code_of[field.id] if field else gone for field in field_of], dtype=np.int16)[shown.discipline]
    lost = ("removed from the taxonomy",) if any(field is None for field in field_of) else ()
    names = (*(field.name for field in ordered), *lost)
    return Coloring(COLORINGS["field"], names, codes, groups=(*(field.group for field in ordered), *(None for _ in lost)))


def _names(
    label: str, names: Sequence[str], codes: np.ndarray, counted: np.ndarray | None = None, none: str | None = None
) -> Coloring:
    """Color by the most frequent names, most frequent first; code -1 is labeled `none`."""
    codes = np.asarray(codes, dtype=np.int64)
    counts = np.bincount((codes if counted is None else codes[counted]) + 1, minlength=len(names) + 1)
    by_number = [n for n in np.argsort(-counts[1:], kind="stable") if counts[n + 1]]
    shown = by_number if len(by_number) <= MOST_NAMES else by_number[: MOST_NAMES - 1]
    rest = [OTHERS] if len(shown) < len(by_number) or counted is not None else []
    table = np.full(len(names) + 1, len(shown), dtype=np.int16)
    for place, n in enumerate(shown):
        table[n + 1] = place
    final = [*(names[n] for n in shown), *rest]
    if counts[0] and none:
        table[0] = len(final)
        final.append(none)
    return Coloring(label, tuple(final), table[codes + 1], groups=(None,) * len(final))


def _states(ws: Workspace, seqs: np.ndarray) -> np.ndarray:
    """Return the current state of each row as an index into `STATES`."""
    codes = np.zeros(len(seqs), dtype=np.int16)
    code_of = {"keep": 1, **{reason: n for n, reason in enumerate(tag_rows.REASONS, start=2)}}
    for rows in (tag_rows.kept_in_review(ws.db), tag_rows.dropped(ws.db)):
        if rows:
            wanted = np.array([seq for seq, _ in rows], dtype=np.int64)
            at = np.minimum(np.searchsorted(seqs, wanted), len(seqs) - 1)
            there = seqs[at] == wanted
            codes[at[there]] = np.array([code_of[name] for _, name in rows], dtype=np.int16)[there]
    return codes


def _name(ws: Workspace, tree: nx.DiGraph, id: str) -> str:
    node = tree.nodes[id]["node"] if id in tree else taxonomy_rows.node(ws.db, id)
    return node.name if node else "deleted discipline"
