"""The picture of coverage: the taxonomy as a sunburst, coloured by how much of it is there."""

from collections.abc import Mapping

import networkx as nx
import pandas as pd
import plotly.graph_objects as go

from glan_core import taxonomy
from glan_core.coverage import Standing
from glan_core.figures.style import Style, at, ink_on
from glan_core.wording import number, shorten

ALL = "all"  # the id of the middle of the sunburst

MEASURES = {
    "share": (
        "Share of target",
        "Answered pairs as a share of those wanted: the mean over disciplines, 0 for one without a target. More is better.",
    ),
    "pairs": ("Pairs", "Answered questions. Grey: none yet."),
    "subjects": ("Subjects", "Subjects found for the disciplines below. Grey: none yet."),
    "concepts": ("Key concepts", "Key concepts read out of syllabi. Grey: none yet."),
}


def coverage_frame(tree: nx.DiGraph, standings: Mapping[str, Standing], measure: str = "share") -> pd.DataFrame:
    """One row a node, the whole first: id, parent, name, kind, disciplines, value, shade and what hovering says.

    `value` is the measure (None: nothing yet); `shade` its place on the colour ramp, 0 to 1: a share as it is, a count
    relative to the largest node of the same kind, since a field's count would else drown its disciplines'.
    """
    rows = [_row(tree, standings, ALL, measure), *(_row(tree, standings, node.id, measure) for node in taxonomy.walk(tree))]
    frame = pd.DataFrame(rows)
    frame["shade"] = frame["value"] if measure == "share" else frame["value"] / frame.groupby("kind")["value"].transform("max")
    return frame


def _row(tree: nx.DiGraph, standings: Mapping[str, Standing], id: str, measure: str) -> dict:
    standing = standings["" if id == ALL else id]
    node = None if id == ALL else tree.nodes[id]["node"]
    value = standing.share if measure == "share" else standing.counts[measure] or None
    share = "no target yet" if standing.share is None else f"{standing.share:.1%} of target"
    what = (
        f"{standing.begun} of {standing.disciplines} disciplines begun<br>" if node is None or node.kind != "discipline" else ""
    )
    return {
        "id": id, "parent": "" if node is None else node.parent_id or ALL,
        "name": "All knowledge" if node is None else node.name,
        "kind": "all" if node is None else node.kind, "disciplines": max(1, standing.disciplines),
        "value": value, "hover": f"{what}{number(standing.counts['subjects'])} subjects<br>"
        f"{number(standing.counts['pairs'])} pairs<br>{share}",
    }  # fmt: skip


def sunburst(frame: pd.DataFrame, style: Style, middle: str = ALL, picked: str | None = None, height: int = 620) -> go.Figure:
    """The sunburst of a `coverage_frame`: sectors as wide as they hold disciplines, shaded by the measure, grey where there
    is nothing. `middle` is the id of the node in the middle, `picked` of one to be outlined."""
    edges = [(style.text, 2.5) if id == picked != middle else (style.background, 1) for id in frame["id"]]
    colors = [style.nothing if pd.isna(shade) else at(style.ramp, shade) for shade in frame["shade"]]
    figure = go.Figure(go.Sunburst(
        ids=frame["id"], parents=frame["parent"], labels=frame["name"].map(_wrapped),
        values=_leaf_sums(frame), branchvalues="total",
        customdata=frame[["name", "hover"]], hovertemplate="<b>%{customdata[0]}</b><br>%{customdata[1]}<extra></extra>",
        marker={"colors": colors, "line": {"color": [color for color, _ in edges], "width": [width for _, width in edges]}},
        textfont={"color": [ink_on(color) for color in colors]}, insidetextorientation="auto",
        level=middle, maxdepth=5, leaf={"opacity": 1}, sort=False,
    ))  # fmt: skip
    figure.update_layout(template=style.template, height=height, uniformtext={"minsize": 8, "mode": "hide"})
    return figure


def _wrapped(name: str) -> str:
    """A name on two lines where it is long, cut where it is longer: rings are narrow. Names are text, never markup."""
    name = shorten(name, 44)
    blanks = [n for n, letter in enumerate(name) if letter == " "]
    middle = min(blanks, key=lambda n: abs(n - len(name) / 2)) if blanks and len(name) > 11 else len(name)
    lines = [shorten(line, 24) for line in (name[:middle], name[middle + 1 :]) if line]
    return "<br>".join(line.replace("&", "&amp;").replace("<", "&lt;") for line in lines)


def _leaf_sums(frame: pd.DataFrame) -> list[int]:
    """Sector widths: 1 for a node without children, else the sum of its children's, as 'total' branches demand."""
    width = dict.fromkeys(frame["id"], 0)
    children: dict[str, list[str]] = {}
    for id, parent in zip(frame["id"], frame["parent"], strict=True):
        children.setdefault(parent, []).append(id)
    for id in reversed(list(frame["id"])):  # children stand after their parent in the frame
        width[id] = sum(width[child] for child in children.get(id, ())) or 1
    return [width[id] for id in frame["id"]]
