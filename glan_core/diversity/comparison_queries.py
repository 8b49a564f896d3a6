"""Comparison queries: points, metric table and taxonomy shares of both datasets for display."""

from collections.abc import Mapping

import networkx as nx
import numpy as np
import pandas as pd

from glan_core.diversity.comparison_store import OURS, THEIRS, Comparison, Points
from glan_core.diversity.map_store import Map
from glan_core.diversity.metric_store import METRICS, MetricValue
from glan_core.figures.comparison import ONLY_HERE, ONLY_THERE, SHARED_HERE, SHARED_THERE
from glan_core.taxonomy import hierarchy

SIDES = (SHARED_HERE, SHARED_THERE, ONLY_HERE, ONLY_THERE)  # in drawing order


def comparison_points(shown: Map, points: Points, similarity: float) -> pd.DataFrame:
    """Return the sampled rows of both datasets for the map.

    Args:
        shown: Map of this workspace.
        points: Rows of the comparison.
        similarity: Cosine similarity above which a row is covered.

    Returns:
        Columns `seq`, `x`, `y`, `name` (one of `SIDES`) and `similarity` (to the nearest row of the other dataset). Row `k`
        of the other dataset has `seq` -1 - k.
    """
    ours = np.isin(points.held_ours, shown.seqs)
    seqs = np.asarray(points.held_ours)[ours]
    here, there = np.asarray(shown.xy)[np.searchsorted(shown.seqs, seqs)], np.asarray(points.xy)[points.held_theirs]
    covered = np.asarray(points.covered_ours)[ours], np.asarray(points.covered_theirs)
    names = [
        np.where(near >= similarity, shared, only).astype(object)
        for near, shared, only in zip(covered, (SHARED_HERE, SHARED_THERE), (ONLY_HERE, ONLY_THERE), strict=True)
    ]
    xy = np.concatenate([here, there])
    return pd.DataFrame({
        "seq": np.concatenate([seqs, -1 - np.asarray(points.held_theirs)]), "x": xy[:, 0], "y": xy[:, 1],
        "name": np.concatenate(names), "similarity": np.concatenate(covered),
    })  # fmt: skip


def metric_table(comparison: Comparison) -> pd.DataFrame:
    """Return the metrics of both datasets as formatted text.

    Returns:
        Columns `measure`, `ours`, `theirs`, `difference` (theirs minus ours), and `more`, the more diverse dataset: 'ours',
        'theirs', or '' if the intervals overlap or the metric has no direction.
    """
    ours, theirs = comparison.scopes[OURS], comparison.scopes[THEIRS]
    rows = [
        (name, format_value(ours[name], name), format_value(theirs[name], name), f"{_number(theirs[name].value - ours[name].value, name, '+')}",
         _more(name, ours[name], theirs[name]))
        for name in METRICS if name in ours and name in theirs
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["measure", "ours", "theirs", "difference", "more"])


def format_value(value: MetricValue, measure: str) -> str:
    """Format a value with its confidence interval: '0.81 (0.80 to 0.82)'."""
    text = _number(value.value, measure)
    if value.low is None or value.high is None:
        return text
    return f"{text} ({_number(value.low, measure)} to {_number(value.high, measure)})"


def taxonomy_table(
    tree: nx.DiGraph, ours: Mapping[str, int], theirs: Mapping[str, int], focus: str | None = None
) -> pd.DataFrame:
    """Return how both datasets spread over the fields, or over the disciplines below a node.

    Args:
        tree: Taxonomy.
        ours: Rows per discipline of this workspace.
        theirs: Rows per discipline of the other dataset.
        focus: Node ID; for a discipline, its siblings are shown.

    Returns:
        Columns `id`, `name`, `ours` and `theirs` (percent), `our_rows` and `their_rows`, by descending `theirs`. Nodes without
        rows in both datasets are omitted.
    """
    if focus and tree.nodes[focus]["node"].kind == "discipline":
        focus = tree.nodes[focus]["node"].parent_id
    ids = [node.id for node in hierarchy.walk(tree) if node.kind == "field"] if focus is None else []
    totals = sum(ours.values()) or 1, sum(theirs.values()) or 1
    rows = []
    for id in ids or hierarchy.disciplines_under(tree, focus):
        under = hierarchy.disciplines_under(tree, id)
        here, there = (sum(counts.get(one, 0) for one in under) for counts in (ours, theirs))
        if here or there:
            rows.append((id, tree.nodes[id]["node"].name, 100 * here / totals[0], 100 * there / totals[1], here, there))
    frame = pd.DataFrame(rows, columns=["id", "name", "ours", "theirs", "our_rows", "their_rows"])
    return frame.sort_values(["theirs", "ours"], ascending=False, kind="stable", ignore_index=True)


def kept_rows_by_discipline(shown: Map) -> dict[str, int]:
    """Return the kept rows per discipline of a map."""
    counts = np.bincount(np.asarray(shown.discipline)[np.asarray(shown.dropped) == 0], minlength=len(shown.info.disciplines))
    return dict(zip(shown.info.disciplines, counts.tolist(), strict=False))


def covered_disciplines(tree: nx.DiGraph, counts: Mapping[str, int]) -> int:
    """Return the number of disciplines of the taxonomy with at least one row."""
    return sum(1 for id, rows in counts.items() if rows and id in tree)


def _number(value: float, measure: str, sign: str = "") -> str:
    about = METRICS[measure]
    return f"{value:{sign},.{about.digits}f}{about.unit}"


def _more(measure: str, ours: MetricValue, theirs: MetricValue) -> str:
    better = METRICS[measure].better
    ends = [(v.value if v.low is None else v.low, v.value if v.high is None else v.high) for v in (ours, theirs)]
    if better is None or (ends[0][0] <= ends[1][1] and ends[1][0] <= ends[0][1]):
        return ""
    return THEIRS if (theirs.value > ours.value) == (better == "higher") else OURS
