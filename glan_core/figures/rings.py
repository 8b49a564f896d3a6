"""The taxonomy as rings: an ECharts sunburst in which every label fits into its sector."""

from collections.abc import Sequence
from itertools import pairwise
from math import pi, tan

import pandas as pd

from glan_core.figures.labels import chart_text
from glan_core.figures.style import Style
from glan_core.figures.text_width import text_width, wrapped
from glan_core.figures.tree_parts import ColorBar, Part, drawn_part, part_item, tree_chart

LEVELS = 5  # the center and four rings
CENTER, RING, LEAVES = 0.95, 0.95, 0.65  # relative thickness of the center, of a ring, and added to it if it has all the leaves
SIZES = (12, 11, 10)  # of labels, in pixels
LINE = 1.15  # height of a line as a multiple of the size
PAD = 3  # pixels between a label and the edge of its sector
LINES = 3  # most lines of a label
LETTERS = 44  # most characters of a name
FEWEST = 6  # characters of a truncated name; a shorter one says nothing


def rings_chart(
    frame: pd.DataFrame, colors: Sequence[str], bar: ColorBar, style: Style, middle: str, picked: str | None = None, height: int = 620
) -> dict:  # fmt: skip
    """Build the ECharts option of the taxonomy as rings around a node. Names are untrusted: labels are text, tooltips escaped.

    Args:
        frame: Nodes of a `coverage_frame` or `difference_frame`.
        colors: Color of each node.
        bar: The color bar.
        style: The theme.
        middle: Id of the center node.
        picked: Id of an outlined node.
        height: Height in pixels.
    """
    center = drawn_part(frame, colors, middle, picked, LEVELS)
    radius = height / 2 - 4  # the color bar is beside the circle
    edges = _edges(center, radius)
    levels: list[dict] = [{}] + [
        {"r0": f"{100 * inner / (height / 2):.2f}%", "r": f"{100 * outer / (height / 2):.2f}%"}
        for inner, outer in pairwise(edges)
    ]
    series = {
        "type": "sunburst", "id": "rings", "center": ["50%", "50%"],
        "radius": [0, levels[-1]["r"]], "levels": levels, "sort": None, "nodeClick": False, "label": {"textBorderWidth": 0}, "selectedMode": "single",
        "labelLayout": {"hideOverlap": True}, "emphasis": {"focus": "none"}, "select": {"disabled": True},
        "data": [_item(center, 2 * pi, edges, style)],
    }  # fmt: skip
    return tree_chart(series, bar, style)


def _edges(center: Part, radius: float) -> list[float]:
    """Return the radii between the rings, from the center to the edge: the more leaves in a ring, the thicker it is."""
    leaves: dict[int, int] = {}
    _count_leaves(center, leaves)
    shares = [leaves.get(depth, 0) / sum(leaves.values()) for depth in range(1, max(leaves) + 1)]
    widths = [CENTER, *(RING + LEAVES * share for share in shares)]
    return [0.0, *(radius * sum(widths[: n + 1]) / sum(widths) for n in range(len(widths)))]


def _count_leaves(part: Part, leaves: dict[int, int]) -> None:
    """Count the leaves by depth."""
    if not part.parts:
        leaves[part.depth] = leaves.get(part.depth, 0) + 1
    for one in part.parts:
        _count_leaves(one, leaves)


def _item(part: Part, angle: float, edges: list[float], style: Style) -> dict:
    """Return a part and those within it; `angle` is its extent in radians."""
    item = part_item(part, style)
    if part.named and (label := _label(part.name, edges[part.depth], edges[part.depth + 1], angle)):
        item["label"] |= {"show": True, **label}
    if part.parts:
        total = sum(one.size for one in part.parts)
        item["children"] = [_item(one, angle * one.size / total, edges, style) for one in part.parts]
    return item


def _label(name: str, inner: float, outer: float, angle: float) -> dict | None:
    """Return text, size and direction of a label that fits into a sector, None if there is no room for it."""
    name = chart_text(name, LETTERS)
    for size in SIZES:
        rooms = _rooms(inner, outer, angle, size)
        for lines in range(1, LINES + 1):
            for turn, room in rooms:
                text = wrapped(name, lines)
                if lines <= len(room) and max(text_width(line, size) for line in text) <= room[len(text) - 1]:
                    return {"formatter": "\n".join(text), "fontSize": size, "rotate": turn, "lineHeight": round(LINE * size)}
    turn, room = max(_rooms(inner, outer, angle, SIZES[-1]), key=lambda one: max(one[1], default=0))
    for most in range(len(name) - 1, FEWEST, -1):
        short = chart_text(name, most)
        if room and text_width(short, SIZES[-1]) <= room[0]:
            return {"formatter": short, "fontSize": SIZES[-1], "rotate": turn, "lineHeight": round(LINE * SIZES[-1])}
    return None


def _rooms(inner: float, outer: float, angle: float, size: int) -> list[tuple[str | int, list[float]]]:
    """Return for each direction of a label the pixels of room in a line, if there are one, two or three lines."""
    thick, middle = outer - inner - 2 * PAD, (inner + outer) / 2
    tall = [LINE * size * lines for lines in range(1, LINES + 1)]
    if inner == 0:  # the center: lines are chords
        return [(0, [2 * max(0.0, (outer - PAD) ** 2 - (high / 2) ** 2) ** 0.5 for high in tall if high < 2 * thick])]
    along = []  # straight lines across a ring: a chord at the outer edge of the lines, which must stay outside of the inner edge
    for high in tall:
        bend = (outer - PAD) ** 2 - (middle + high / 2) ** 2
        chord = 2 * bend**0.5 if bend > 0 else 0.0
        if middle - high / 2 >= inner + PAD / 2 and chord:
            extent = 2 * (middle - high / 2) * _tangent(angle) - 2 * PAD
            along.append(min(chord, extent))
    across = []
    for high in tall:
        nearest = (high / 2 + 1) / _tangent(angle)  # where the sector is wide enough for the lines
        across.append(outer - PAD - max(inner + PAD, nearest))
    across = [room for room in across if room > 0]
    directions: list[tuple[str | int, list[float]]] = [("tangential", along), ("radial", across)]
    return directions if angle * middle > thick else directions[::-1]


def _tangent(angle: float) -> float:
    """Return half the width of a sector at distance 1 along its middle."""
    return tan(angle / 2) if angle < 0.9 * pi else 100.0
