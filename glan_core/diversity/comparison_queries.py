"""What a page asks of a comparison: which points of both sets are drawn, both sets' measures, both sets' share of the taxonomy."""

from collections.abc import Mapping

import networkx as nx
import numpy as np
import pandas as pd

from glan_core.diversity.comparison_store import OURS, THEIRS, Comparison, Points
from glan_core.diversity.map_store import Map
from glan_core.diversity.metric_store import MEASURES, Value
from glan_core.figures.comparison import ONLY_HERE, ONLY_THERE, SHARED_HERE, SHARED_THERE
from glan_core.taxonomy import hierarchy

SIDES = (SHARED_HERE, SHARED_THERE, ONLY_HERE, ONLY_THERE)  # in the order in which they are drawn


def both_sets(shown: Map, points: Points, similarity: float) -> pd.DataFrame:
    """The rows of both sets that were held against all of the other: seq, x, y, name (of `SIDES`) and similarity to the
    nearest row of the other set. A row of the other set has its number as -1 - number for its `seq`."""
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


def measure_rows(comparison: Comparison) -> pd.DataFrame:
    """Both sets' measures: measure, ours, theirs, difference (theirs less ours, as texts), and which set is the more diverse
    by it ('ours', 'theirs', or '' where their intervals overlap or neither way is better)."""
    ours, theirs = comparison.scopes[OURS], comparison.scopes[THEIRS]
    rows = [
        (name, said(ours[name], name), said(theirs[name], name), f"{_number(theirs[name].value - ours[name].value, name, '+')}",
         _more(name, ours[name], theirs[name]))
        for name in MEASURES if name in ours and name in theirs
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["measure", "ours", "theirs", "difference", "more"])


def said(value: Value, measure: str) -> str:
    """A value with its interval where it is an estimate: '0.81 (0.80 to 0.82)'."""
    text = _number(value.value, measure)
    return text if value.low is None else f"{text} ({_number(value.low, measure)} to {_number(value.high, measure)})"


def taxonomy_rows(
    tree: nx.DiGraph, ours: Mapping[str, int], theirs: Mapping[str, int], focus: str | None = None
) -> pd.DataFrame:
    """How both sets spread over the fields, or with a focus over the disciplines below it (of one discipline: those beside
    it): id, name, ours and theirs in percent of the set, and the rows of each; what both lack is left out. `ours` and
    `theirs` count rows by discipline. Most of theirs first."""
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


def our_disciplines(shown: Map) -> dict[str, int]:
    """How many rows of a map that are in the dataset each discipline has."""
    counts = np.bincount(np.asarray(shown.discipline)[np.asarray(shown.dropped) == 0], minlength=len(shown.info.disciplines))
    return dict(zip(shown.info.disciplines, counts.tolist(), strict=False))


def reach(tree: nx.DiGraph, counts: Mapping[str, int]) -> int:
    """How many disciplines of the taxonomy a set has rows in."""
    return sum(1 for id, rows in counts.items() if rows and id in tree)


def _number(value: float, measure: str, sign: str = "") -> str:
    about = MEASURES[measure]
    return f"{value:{sign},.{about.digits}f}{about.unit}"


def _more(measure: str, ours: Value, theirs: Value) -> str:
    better = MEASURES[measure].better
    ends = [(value.value, value.value) if value.low is None else (value.low, value.high) for value in (ours, theirs)]
    if better is None or (ends[0][0] <= ends[1][1] and ends[1][0] <= ends[0][1]):
        return ""
    return THEIRS if (theirs.value > ours.value) == (better == "higher") else OURS
