"""Coverage of the taxonomy as a sunburst or treemap, colored by a measure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import networkx as nx
import pandas as pd
import plotly.graph_objects as go

from glan_core.figures.labels import label
from glan_core.figures.style import Style, at, ink_on
from glan_core.formatting import ago, number, shorten, usd
from glan_core.taxonomy import hierarchy
from glan_core.taxonomy.coverage import Coverage
from glan_core.untrusted import clean_line

TILE_LEVELS = 4  # nested levels of tiles
ALL = "all"  # id of the root
BEGUN_WIDTH = 3  # width of a discipline with data, of one without 1: its name has room


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
        "value": value, "hover": "<br>".join(lines), "begun": coverage.begun > 0,
    }  # fmt: skip


def sunburst(
    frame: pd.DataFrame, measure: str, style: Style, middle: str = ALL, picked: str | None = None, height: int = 620
) -> go.Figure:
    """Draw a `coverage_frame` as a sunburst: sectors sized by disciplines and shaded by the measure.

    Args:
        frame: The frame.
        measure: Key of `MEASURES`.
        style: The theme.
        middle: Id of the center node.
        picked: Id of an outlined node.
        height: Height in pixels.
    """
    return rings(frame, shade_colors(frame, style), coverage_bar(frame, measure, style), style, middle, picked, height)


def rings(
    frame: pd.DataFrame, colors: Sequence[str], bar: go.Scatter, style: Style, middle: str = ALL, picked: str | None = None,
    height: int = 620,
) -> go.Figure:  # fmt: skip
    """Draw nodes (id, parent, name, hover of a `coverage_frame`) as a sunburst with these colors and color bar."""
    trace = go.Sunburst(
        **_parts(frame, colors, style, middle, picked),
        insidetextorientation="auto",
        maxdepth=5,
        leaf={"opacity": 1},
        sort=False,
    )
    return _figure(trace, bar, style, height)


def shade_colors(frame: pd.DataFrame, style: Style) -> list[str]:
    """Return the color of each node by its shade, gray without a value."""
    return [style.nothing if pd.isna(shade) else at(style.ramp, shade) for shade in frame["shade"]]


def treemap(
    frame: pd.DataFrame, measure: str, style: Style, middle: str = ALL, picked: str | None = None, height: int = 620
) -> go.Figure:
    """Draw a `coverage_frame` as a treemap with tiles sized by disciplines; arguments as for `sunburst`."""
    parts = _parts(frame, shade_colors(frame, style), style, middle, picked)
    headings = _parents_in_sight(frame, middle)
    parts["labels"] = [
        label(name) if id in headings else wrapped
        for id, name, wrapped in zip(frame["id"], frame["name"], parts["labels"], strict=True)
    ]
    parts["marker"]["pad"] = {"t": 20, "l": 3, "r": 3, "b": 3}
    trace = go.Treemap(
        **parts, maxdepth=TILE_LEVELS, sort=False, pathbar={"visible": False}, tiling={"pad": 2},
    )  # fmt: skip
    return _figure(trace, coverage_bar(frame, measure, style), style, height)


def _parts(frame: pd.DataFrame, colors: Sequence[str], style: Style, middle: str, picked: str | None) -> dict:
    """Return the trace properties shared by sunburst and treemap."""
    edges = [(style.text, 2.5) if id == picked != middle else (style.background, 1) for id in frame["id"]]
    return {
        "ids": frame["id"], "parents": frame["parent"], "labels": _labels(frame),
        "values": _leaf_sums(frame), "branchvalues": "total", "level": middle,
        "customdata": frame.assign(name=frame["name"].map(label))[["name", "hover"]],
        "hovertemplate": "<b>%{customdata[0]}</b><br>%{customdata[1]}<extra></extra>",
        "marker": {
            "colors": colors, "line": {"color": [color for color, _ in edges], "width": [width for _, width in edges]},
        },
        "textfont": {"color": [ink_on(color) for color in colors]},
    }  # fmt: skip


def _labels(frame: pd.DataFrame) -> list[str]:
    """Return the names of the parts; where some disciplines have data, only these and the groups are named."""
    named = pd.Series([True] * len(frame), index=frame.index)
    if "begun" in frame and (frame["begun"] & (frame["kind"] == "discipline")).any():
        named = frame["begun"] | (frame["kind"] != "discipline")
    return [_wrapped(name) if shown else "" for name, shown in zip(frame["name"], named, strict=True)]


def _figure(trace: go.Sunburst | go.Treemap, bar: go.Scatter, style: Style, height: int) -> go.Figure:
    """Return the figure with its color bar below."""
    figure = go.Figure([trace, bar])
    hidden = {"visible": False, "fixedrange": True}
    figure.update_layout(
        template=style.template, height=height, uniformtext={"minsize": 8, "mode": "hide"}, xaxis=hidden, yaxis=hidden,
        margin={"l": 8, "r": 8, "t": 8, "b": 44},
    )  # fmt: skip
    trace = figure.data[0]
    trace.domain = {"x": [0, 1], "y": [0, 1]}
    return figure


def coverage_bar(frame: pd.DataFrame, measure: str, style: Style) -> go.Scatter:
    """Return the color bar of a measure."""
    ends = {"share": ("0%", "100%"), "kind": ("few", "most of this level"), "recent": _times(frame["value"])}
    return color_bar(style.scale, ends[MEASURES[measure].shaded], style)


def color_bar(scale: list[tuple[float, str]], ends: tuple[str, str], style: Style) -> go.Scatter:
    """Return an empty trace with a color bar labeled at its ends."""
    bar = {
        "orientation": "h", "thickness": 8, "len": 0.42, "x": 0.5, "y": -0.005, "yanchor": "top", "outlinewidth": 0, "ticks": "",
        "tickvals": [0, 1], "ticktext": list(ends), "tickfont": {"color": style.muted, "size": 11},
    }  # fmt: skip
    marker = {"color": [0], "cmin": 0, "cmax": 1, "colorscale": scale, "showscale": True, "colorbar": bar}
    return go.Scatter(x=[None], y=[None], mode="markers", marker=marker, hoverinfo="skip")


def _times(values: pd.Series) -> tuple[str, str]:
    """Format the earliest and latest time so that they differ."""
    if values.isna().all():
        return "", ""
    first, last = ago(values.min()), ago(values.max())
    return (first, last) if first != last else ("earliest", f"latest: {last}")


def _parents_in_sight(frame: pd.DataFrame, middle: str) -> set[str]:
    """Return the nodes whose children are drawn as nested tiles, so that their names are one-line headings."""
    depth = {middle: 0}
    for id, parent in zip(frame["id"], frame["parent"], strict=True):  # children follow their parent in the frame
        if parent in depth:
            depth[id] = depth[parent] + 1
    parents = dict(zip(frame["id"], frame["parent"], strict=True))
    return {parents[id] for id, level in depth.items() if 0 < level < TILE_LEVELS}


def _wrapped(name: str) -> str:
    """Wrap a long name to two lines and truncate it; names are escaped."""
    name = shorten(clean_line(name), 44)
    blanks = [n for n, letter in enumerate(name) if letter == " "]
    middle = min(blanks, key=lambda n: abs(n - len(name) / 2)) if blanks and len(name) > 11 else len(name)
    lines = [shorten(line, 24) for line in (name[:middle], name[middle + 1 :]) if line]
    return "<br>".join(map(label, lines))


def _leaf_sums(frame: pd.DataFrame) -> list[int]:
    """Return sector sizes: 1 for a leaf, 3 for one with data beside leaves without, otherwise the sum of the children."""
    width = dict.fromkeys(frame["id"], 0)
    begun = set(frame.loc[frame["begun"], "id"]) if "begun" in frame else set()
    children: dict[str, list[str]] = {}
    for id, parent in zip(frame["id"], frame["parent"], strict=True):
        children.setdefault(parent, []).append(id)
    for id in reversed(list(frame["id"])):  # children follow their parent in the frame
        width[id] = sum(width[child] for child in children.get(id, ())) or (BEGUN_WIDTH if id in begun else 1)
    return [width[id] for id in frame["id"]]
