"""Coverage of the taxonomy as rings or tiles, colored by a measure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import networkx as nx
import pandas as pd

from glan_core.figures.rings import rings_chart
from glan_core.figures.style import Style, at
from glan_core.figures.tiles import tiles_chart
from glan_core.figures.tree_parts import ALL, ColorBar
from glan_core.formatting import ago, number, usd
from glan_core.taxonomy import hierarchy
from glan_core.taxonomy.coverage import Coverage

HEIGHT = 620  # pixels


@dataclass(frozen=True, slots=True)
class Measure:
    """A measure by which nodes are colored.

    Attributes:
        title: Title.
        description: What the measure is and which direction is better.
        of: Value of a node's coverage, None if there is none.
        written: Formats a value.
        shaded: How values map to shades: 'share' unchanged, 'kind' relative to the largest node of the same kind, 'recent' from
            the earliest to the latest.
    """

    title: str
    description: str
    of: Callable[[Coverage], float | None]
    written: Callable[[float], str]
    shaded: str


def _percent(value: float) -> str:
    return f"{value:.1%}"


def _count(name: str) -> Callable[[Coverage], float | None]:
    return lambda coverage: coverage.counts[name] or None


MEASURES = {
    "share": Measure(
        "Share of target", "Answered pairs as a share of the target: mean over disciplines, 0 for disciplines without a "
        "target. Higher is better.", lambda coverage: coverage.share, _percent, "share",
    ),
    "subjects": Measure("Subjects", "Subjects of the disciplines below.", _count("subjects"), number, "kind"),
    "sessions": Measure("Sessions", "Class sessions extracted from syllabi.", _count("sessions"), number, "kind"),
    "concepts": Measure("Key concepts", "Key concepts extracted from syllabi.", _count("concepts"), number, "kind"),
    "pairs": Measure("Pairs", "Answered questions.", _count("pairs"), number, "kind"),
    "kept": Measure(
        "Kept share", "Pairs in the dataset as a share of all pairs: neither rejected nor excluded by a filter or check. "
        "Higher is better.",
        lambda coverage: coverage.kept_share, _percent, "share",
    ),
    "tested": Measure(
        "Tested", "Test questions on which a judge compared two models, summed over all matches.", _count("tested"), number, "kind"
    ),
    "money": Measure("Cost", "Cost of the calls for the disciplines below.", _count("cost_usd"), usd, "kind"),
    "activity": Measure(
        "Last activity", "Time of the latest teacher reply.", lambda coverage: coverage.last_at, ago, "recent"
    ),
}  # fmt: skip


def coverage_frame(
    tree: nx.DiGraph, coverages: Mapping[str, Coverage], measure: str = "share", *, only_begun: bool = False
) -> pd.DataFrame:
    """Return one row per node, the root first: id, parent, name, kind, disciplines, value, shade, hover, begun.

    `value` is the measure (NaN if there is none); `shade` is its position on the color ramp from 0 to 1. Counts are relative to
    the largest node of the same kind, because the count of a field would dominate those of its disciplines.

    Args:
        tree: The taxonomy.
        coverages: Coverage by node, that of the whole under ''.
        measure: Key of `MEASURES`.
        only_begun: Leave out nodes without any discipline that has subjects.
    """
    rows = [_row(tree, coverages, ALL, measure), *(_row(tree, coverages, node.id, measure) for node in hierarchy.walk(tree))]
    frame = pd.DataFrame(rows)
    if only_begun:
        frame = frame[frame["begun"] | (frame["id"] == ALL)].reset_index(drop=True)
    frame["value"] = frame["value"].astype(float)
    frame["shade"] = _shades(frame, MEASURES[measure].shaded)
    return frame


def _shades(frame: pd.DataFrame, how: str) -> pd.Series:
    if how == "share":
        return frame["value"]
    if how == "kind":
        return frame["value"] / frame.groupby("kind")["value"].transform("max")
    first, last = frame["value"].min(), frame["value"].max()
    return frame["value"] * 0 + 1 if first == last else (frame["value"] - first) / (last - first)


def _row(tree: nx.DiGraph, coverages: Mapping[str, Coverage], id: str, measure: str) -> dict:
    coverage = coverages["" if id == ALL else id]
    node = None if id == ALL else tree.nodes[id]["node"]
    value = MEASURES[measure].of(coverage)
    lines = [] if node and node.kind == "discipline" else [f"{coverage.begun} of {coverage.disciplines} disciplines started"]
    lines += [f"{number(coverage.counts['subjects'])} subjects", f"{number(coverage.counts['pairs'])} pairs"]
    lines.append("no target yet" if coverage.share is None else f"{coverage.share:.1%} of target")
    if measure not in ("share", "subjects", "pairs"):
        text = "none yet" if value is None else MEASURES[measure].written(value)
        if measure == "money" and coverage.counts["unpriced"]:
            text = coverage.cost
        lines.append(f"{MEASURES[measure].title}: {text}")
    return {
        "id": id, "parent": "" if node is None else node.parent_id or ALL,
        "name": "All knowledge" if node is None else node.name,
        "kind": "all" if node is None else node.kind, "disciplines": max(1, coverage.disciplines),
        "value": value, "hover": lines, "begun": coverage.begun > 0,
    }  # fmt: skip


def coverage_rings(
    frame: pd.DataFrame, measure: str, style: Style, middle: str = ALL, picked: str | None = None, height: int = HEIGHT
) -> dict:
    """Draw a `coverage_frame` as rings: sectors sized by disciplines and shaded by the measure.

    Args:
        frame: The frame.
        measure: Key of `MEASURES`.
        style: The theme.
        middle: Id of the center node.
        picked: Id of an outlined node.
        height: Height in pixels.
    """
    bar = ColorBar(style.ramp, scale_ends(frame, measure))
    return rings_chart(frame, shade_colors(frame, style), bar, style, middle, picked, height)


def coverage_tiles(
    frame: pd.DataFrame, measure: str, style: Style, middle: str = ALL, picked: str | None = None, height: int = HEIGHT
) -> dict:
    """Draw a `coverage_frame` as tiles sized by disciplines; arguments as for `coverage_rings`."""
    bar = ColorBar(style.ramp, scale_ends(frame, measure))
    return tiles_chart(frame, shade_colors(frame, style), bar, style, middle, picked, height)


def scale_ends(frame: pd.DataFrame, measure: str) -> tuple[str, str]:
    """Return the labels of the ends of the color bar of a measure."""
    ends = {"share": ("0%", "100%"), "kind": ("few", "most of this level"), "recent": _times(frame["value"])}
    return ends[MEASURES[measure].shaded]


def shade_colors(frame: pd.DataFrame, style: Style) -> list[str]:
    """Return the color of each node by its shade, gray without a value."""
    return [style.nothing if pd.isna(shade) else at(style.ramp, shade) for shade in frame["shade"]]


def _times(values: pd.Series) -> tuple[str, str]:
    """Format the earliest and latest time so that they differ."""
    if values.isna().all():
        return "", ""
    first, last = ago(values.min()), ago(values.max())
    return (first, last) if first != last else ("earliest", f"latest: {last}")
