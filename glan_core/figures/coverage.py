"""The picture of coverage: the taxonomy as rings or as tiles, coloured by how much of something is there."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import networkx as nx
import pandas as pd
import plotly.graph_objects as go

from glan_core.figures.style import Style, at, ink_on
from glan_core.formatting import ago, number, shorten, usd
from glan_core.taxonomy import hierarchy
from glan_core.taxonomy.coverage import Coverage

TILE_LEVELS = 4  # of tiles inside one another
ALL = "all"  # the id of the middle of the rings, and of the whole of the tiles


@dataclass(frozen=True, slots=True)
class Measure:
    """What a picture is coloured by: its title, what it says and which way is better, its value of a standing (None: nothing
    yet), how a value is written, and how it becomes a shade: 'share' as it is, 'kind' relative to the largest node of the same
    kind, 'recent' from the earliest to the latest."""

    title: str
    told: str
    of: Callable[[Coverage], float | None]
    written: Callable[[float], str]
    shaded: str


def _percent(value: float) -> str:
    return f"{value:.1%}"


def _count(name: str) -> Callable[[Coverage], float | None]:
    return lambda standing: standing.counts[name] or None


MEASURES = {
    "share": Measure(
        "Share of target", "Answered pairs as a share of those wanted: the mean over disciplines, 0 for one without a target. "
        "More is better.", lambda standing: standing.share, _percent, "share",
    ),
    "subjects": Measure("Subjects", "Subjects found for the disciplines below.", _count("subjects"), number, "kind"),
    "sessions": Measure("Sessions", "Class sessions read out of syllabi.", _count("sessions"), number, "kind"),
    "concepts": Measure("Key concepts", "Key concepts read out of syllabi.", _count("concepts"), number, "kind"),
    "pairs": Measure("Pairs", "Answered questions.", _count("pairs"), number, "kind"),
    "kept": Measure(
        "Kept share", "Pairs that the dataset takes, as a share of all: nobody rejected them, and no filter or check left them "
        "out. More is better.",
        lambda standing: standing.kept_share, _percent, "share",
    ),
    "tested": Measure(
        "Tested", "Test questions on which a judge compared two models, over all matches.", _count("tested"), number, "kind"
    ),
    "money": Measure("Money", "What the calls for the disciplines below cost.", _count("cost_usd"), usd, "kind"),
    "activity": Measure(
        "Last activity", "When the latest reply of a teacher arrived.", lambda standing: standing.last_at, ago, "recent"
    ),
}  # fmt: skip


def coverage_frame(tree: nx.DiGraph, standings: Mapping[str, Coverage], measure: str = "share") -> pd.DataFrame:
    """One row a node, the whole first: id, parent, name, kind, disciplines, value, shade and what hovering says.

    `value` is the measure (None: nothing yet); `shade` its place on the colour ramp, 0 to 1. A count is relative to the
    largest node of the same kind, since a field's count would else drown its disciplines'.
    """
    rows = [_row(tree, standings, ALL, measure), *(_row(tree, standings, node.id, measure) for node in hierarchy.walk(tree))]
    frame = pd.DataFrame(rows)
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


def _row(tree: nx.DiGraph, standings: Mapping[str, Coverage], id: str, measure: str) -> dict:
    standing = standings["" if id == ALL else id]
    node = None if id == ALL else tree.nodes[id]["node"]
    value = MEASURES[measure].of(standing)
    lines = [] if node and node.kind == "discipline" else [f"{standing.begun} of {standing.disciplines} disciplines begun"]
    lines += [f"{number(standing.counts['subjects'])} subjects", f"{number(standing.counts['pairs'])} pairs"]
    lines.append("no target yet" if standing.share is None else f"{standing.share:.1%} of target")
    if measure not in ("share", "subjects", "pairs"):
        said = "nothing yet" if value is None else MEASURES[measure].written(value)
        lines.append(f"{MEASURES[measure].title}: {said}")
    return {
        "id": id, "parent": "" if node is None else node.parent_id or ALL,
        "name": "All knowledge" if node is None else node.name,
        "kind": "all" if node is None else node.kind, "disciplines": max(1, standing.disciplines),
        "value": value, "hover": "<br>".join(lines),
    }  # fmt: skip


def sunburst(
    frame: pd.DataFrame, measure: str, style: Style, middle: str = ALL, picked: str | None = None, height: int = 620
) -> go.Figure:
    """The rings of a `coverage_frame`: sectors as wide as they hold disciplines, shaded by the measure, grey where there is
    nothing. `middle` is the id of the node in the middle, `picked` of one to be outlined."""
    return rings(frame, shade_colors(frame, style), coverage_bar(frame, measure, style), style, middle, picked, height)


def rings(
    frame: pd.DataFrame, colors: Sequence[str], bar: go.Scatter, style: Style, middle: str = ALL, picked: str | None = None,
    height: int = 620,
) -> go.Figure:  # fmt: skip
    """Nodes (id, parent, name, hover of a `coverage_frame`) as rings in these colours, over the `bar` that explains them."""
    trace = go.Sunburst(
        **_parts(frame, colors, style, middle, picked),
        insidetextorientation="auto",
        maxdepth=5,
        leaf={"opacity": 1},
        sort=False,
    )
    return _figure(trace, bar, style, height)


def shade_colors(frame: pd.DataFrame, style: Style) -> list[str]:
    """The colour of each node by its shade, grey for nothing yet."""
    return [style.nothing if pd.isna(shade) else at(style.ramp, shade) for shade in frame["shade"]]


def treemap(
    frame: pd.DataFrame, measure: str, style: Style, middle: str = ALL, picked: str | None = None, height: int = 620
) -> go.Figure:
    """The same as tiles, each as large as it holds disciplines."""
    parts = _parts(frame, shade_colors(frame, style), style, middle, picked)
    headings = _parents_in_sight(frame, middle)
    parts["labels"] = [
        (_safe if id in headings else _wrapped)(name) for id, name in zip(frame["id"], frame["name"], strict=True)
    ]
    parts["marker"]["pad"] = {"t": 20, "l": 3, "r": 3, "b": 3}
    trace = go.Treemap(
        **parts, maxdepth=TILE_LEVELS, sort=False, pathbar={"visible": False}, tiling={"pad": 2},
    )  # fmt: skip
    return _figure(trace, coverage_bar(frame, measure, style), style, height)


def _parts(frame: pd.DataFrame, colors: Sequence[str], style: Style, middle: str, picked: str | None) -> dict:
    """What rings and tiles have in common."""
    edges = [(style.text, 2.5) if id == picked != middle else (style.background, 1) for id in frame["id"]]
    return {
        "ids": frame["id"], "parents": frame["parent"], "labels": frame["name"].map(_wrapped),
        "values": _leaf_sums(frame), "branchvalues": "total", "level": middle,
        "customdata": frame[["name", "hover"]], "hovertemplate": "<b>%{customdata[0]}</b><br>%{customdata[1]}<extra></extra>",
        "marker": {
            "colors": colors, "line": {"color": [color for color, _ in edges], "width": [width for _, width in edges]},
        },
        "textfont": {"color": [ink_on(color) for color in colors]},
    }  # fmt: skip


def _figure(trace, bar: go.Scatter, style: Style, height: int) -> go.Figure:
    """The picture with the ramp that its colours are read by, below it."""
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
    """The colour bar of a measure."""
    ends = {"share": ("0%", "100%"), "kind": ("few", "most of its kind"), "recent": _times(frame["value"])}
    return color_bar(style.scale, ends[MEASURES[measure].shaded], style)


def color_bar(scale: list[tuple[float, str]], ends: tuple[str, str], style: Style) -> go.Scatter:
    """An empty trace that carries a colour bar with words at its two ends."""
    bar = {
        "orientation": "h", "thickness": 8, "len": 0.42, "x": 0.5, "y": -0.005, "yanchor": "top", "outlinewidth": 0, "ticks": "",
        "tickvals": [0, 1], "ticktext": list(ends), "tickfont": {"color": style.muted, "size": 11},
    }  # fmt: skip
    marker = {"color": [0], "cmin": 0, "cmax": 1, "colorscale": scale, "showscale": True, "colorbar": bar}
    return go.Scatter(x=[None], y=[None], mode="markers", marker=marker, hoverinfo="skip")


def _times(values: pd.Series) -> tuple[str, str]:
    """The earliest and the latest of times, in words that differ."""
    if values.isna().all():
        return "", ""
    first, last = ago(values.min()), ago(values.max())
    return (first, last) if first != last else ("earliest", f"latest: {last}")


def _parents_in_sight(frame: pd.DataFrame, middle: str) -> set[str]:
    """The nodes whose children are drawn inside of them as tiles, so that their names are headings of one line."""
    depth = {middle: 0}
    for id, parent in zip(frame["id"], frame["parent"], strict=True):  # children stand after their parent in the frame
        if parent in depth:
            depth[id] = depth[parent] + 1
    parents = dict(zip(frame["id"], frame["parent"], strict=True))
    return {parents[id] for id, level in depth.items() if 0 < level < TILE_LEVELS}


def _wrapped(name: str) -> str:
    """A name on two lines where it is long, cut where it is longer: rings are narrow. Names are text, never markup."""
    name = shorten(name, 44)
    blanks = [n for n, letter in enumerate(name) if letter == " "]
    middle = min(blanks, key=lambda n: abs(n - len(name) / 2)) if blanks and len(name) > 11 else len(name)
    lines = [shorten(line, 24) for line in (name[:middle], name[middle + 1 :]) if line]
    return "<br>".join(map(_safe, lines))


def _safe(name: str) -> str:
    """A name as plotly takes it for text, not for markup."""
    return name.replace("&", "&amp;").replace("<", "&lt;")


def _leaf_sums(frame: pd.DataFrame) -> list[int]:
    """Sector widths: 1 for a node without children, else the sum of its children's, as 'total' branches demand."""
    width = dict.fromkeys(frame["id"], 0)
    children: dict[str, list[str]] = {}
    for id, parent in zip(frame["id"], frame["parent"], strict=True):
        children.setdefault(parent, []).append(id)
    for id in reversed(list(frame["id"])):  # children stand after their parent in the frame
        width[id] = sum(width[child] for child in children.get(id, ())) or 1
    return [width[id] for id in frame["id"]]
