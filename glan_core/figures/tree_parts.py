"""The parts of the taxonomy that one picture draws, in the order in which ECharts counts them; and what rings and tiles share."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import pandas as pd

from glan_core.figures.labels import chart_html
from glan_core.figures.style import Style, ink_on

ALL = "all"  # id of the root
BEGUN_WIDTH = 3  # width of a discipline with data, of one without 1: its name has room
BAR_WIDTH, BAR_HEIGHT, BAR_ROOM = 160, 8, 32  # pixels; room for the color bar in the lower left corner


class ColorBar(NamedTuple):
    """A color bar: the colors of its ramp, and the labels of its ends."""

    ramp: Sequence[str]
    ends: tuple[str, str]


@dataclass(slots=True)
class Part:
    """A node in a picture.

    Attributes:
        id: Id of the node.
        name: Its name, untrusted.
        lines: Lines of its tooltip below the name.
        color: Its color.
        depth: Levels below the center or frame.
        size: Its size relative to its siblings.
        named: Whether it is labeled where there is room.
        picked: Whether it is outlined.
        parts: The parts within it that are drawn.
    """

    id: str
    name: str
    lines: Sequence[str]
    color: str
    depth: int
    size: int
    named: bool
    picked: bool
    parts: list["Part"] = field(default_factory=list)


def drawn_part(frame: pd.DataFrame, colors: Sequence[str], middle: str, picked: str | None, levels: int) -> Part:
    """Return the node `middle` with the parts below it.

    Args:
        frame: Nodes (id, parent, name, hover, optionally kind and begun), children after their parent.
        colors: Color of each node.
        middle: Id of the center or frame.
        picked: Id of the outlined node; the center is not outlined.
        levels: Levels drawn, that of `middle` included.
    """
    sizes, named = leaf_sums(frame), named_parts(frame)
    drawn: dict[str, Part] = {}
    for row, color, size, shown in zip(frame.itertuples(), colors, sizes, named, strict=True):
        above = drawn.get(row.parent)
        if row.id != middle and (above is None or above.depth + 1 >= levels):
            continue
        depth = above.depth + 1 if above else 0
        part = Part(row.id, row.name, row.hover, color, depth, size, shown or depth == 0, row.id == picked != middle)
        drawn[row.id] = part
        if above:
            above.parts.append(part)
    return drawn[middle]


def drawn_ids(frame: pd.DataFrame, middle: str, levels: int) -> list[str]:
    """Return the node at each data index of ECharts, in rings or tiles of so many levels; index 0 is around all, so `middle`."""
    return [middle, *_ids(drawn_part(frame, [""] * len(frame), middle, None, levels))]


def _ids(part: Part) -> list[str]:
    return [part.id, *(id for one in part.parts for id in _ids(one))]


def part_item(part: Part, style: Style) -> dict:
    """Return what rings and tiles share of an item: size, colors and tooltip as HTML."""
    edge = (style.text, 2.5) if part.picked else (style.background, 1)
    return {
        **({} if part.parts else {"value": part.size}),
        "itemStyle": {"color": part.color, "borderColor": edge[0], "borderWidth": edge[1]},
        "tooltip": {"formatter": "<br>".join([f"<b>{chart_html(part.name)}</b>", *map(chart_html, part.lines)])},
        "label": {"show": False, "color": ink_on(part.color)},
    }


def tree_chart(series: dict, bar: ColorBar, style: Style) -> dict:
    """Return the option of a picture of the taxonomy: its series and its color bar."""
    stops = [{"offset": n / (len(bar.ramp) - 1), "color": color} for n, color in enumerate(bar.ramp)]
    text = {"fill": style.muted, "fontSize": 11, "fontFamily": "Source Sans, sans-serif", "y": BAR_HEIGHT + 5}
    return {
        "animation": False,
        "tooltip": {
            "confine": True, "backgroundColor": style.background, "borderColor": style.grid, "borderWidth": 1,
            "textStyle": {"color": style.text, "fontSize": 13}, "extraCssText": "max-width:320px;white-space:normal",
        },
        "series": [series],
        "graphic": [{
            "type": "group", "left": 8, "bottom": 4, "silent": True, "children": [
                {"type": "rect", "shape": {"width": BAR_WIDTH, "height": BAR_HEIGHT},
                 "style": {"fill": {"type": "linear", "x": 0, "y": 0, "x2": 1, "y2": 0, "colorStops": stops}}},
                {"type": "text", "style": {**text, "text": bar.ends[0], "x": 0, "align": "left"}},
                {"type": "text", "style": {**text, "text": bar.ends[1], "x": BAR_WIDTH, "align": "right"}},
            ],
        }],
    }  # fmt: skip


def named_parts(frame: pd.DataFrame) -> list[bool]:
    """Return which parts are named: where some disciplines have data, only these and the groups."""
    if "begun" in frame and (frame["begun"] & (frame["kind"] == "discipline")).any():
        return list(frame["begun"] | (frame["kind"] != "discipline"))
    return [True] * len(frame)


def leaf_sums(frame: pd.DataFrame) -> list[int]:
    """Return sizes: 1 for a leaf, 3 for one with data beside leaves without, otherwise the sum of the children."""
    width = dict.fromkeys(frame["id"], 0)
    begun = set(frame.loc[frame["begun"], "id"]) if "begun" in frame else set()
    children: dict[str, list[str]] = {}
    for id, parent in zip(frame["id"], frame["parent"], strict=True):
        children.setdefault(parent, []).append(id)
    for id in reversed(list(frame["id"])):  # children follow their parent in the frame
        width[id] = sum(width[child] for child in children.get(id, ())) or (BEGUN_WIDTH if id in begun else 1)
    return [width[id] for id in frame["id"]]
