"""The radial tree as an ECharts option, drawn from a `radial.radial_frame`."""

from math import degrees, hypot

import pandas as pd

from glan_core.figures.labels import chart_html, chart_text
from glan_core.figures.radial import ALL, MORE, RADIUS
from glan_core.figures.style import Style, mix

SIZES = {"all": 20, "field": 16, "sub-field": 8, "discipline": 6, "subject": 7, "session": 9, "concept": 6, MORE: 8}
MIN_WIDTH = 7.3  # minimum pixels along the ring for a label
LABEL = 110  # maximum pixels of a label outside the outermost ring
LETTER = 0.455  # mean letter width as a fraction of the font size
LEVEL_LETTERS = 30
CENTER = ["50%", "50%"]


def radial_chart(frame: pd.DataFrame, style: Style, height: int = 660) -> dict:
    """Build the ECharts option of a `radial_frame` for a roughly square chart of this height in pixels.

    It has two series: the sectors of the fields in the hues of their groups, and the graph. Item n of the graph is row n of the
    frame, followed by field captions (see `captions`) and two invisible corners that fix the scale. Names are untrusted: labels
    are plain text, and tooltips are escaped.
    """
    rows = list(frame.itertuples())
    row_of = {row.id: number for number, row in enumerate(rows)}
    captioned = captions(frame)
    level = _level_labels(rows, captioned)
    nodes = [_node(row, style, captioned, level) for row in rows]
    nodes += [_caption(rows[row_of[id]], frame, style) for id in captioned]
    nodes += [
        {"id": f"corner {at}", "x": at, "y": at, "symbolSize": 0, "label": {"show": False}, "tooltip": {"show": False}}
        for at in (-1, 1)
    ]
    links = [_link(rows[row_of[row.parent]], row, row_of, style) for row in rows if row.id != ALL]
    margin = f"{50 - 100 * RADIUS / height:.1f}%"
    return {
        "animationDuration": 0, "animationDurationUpdate": 600, "animationEasingUpdate": "cubicInOut",
        "tooltip": {
            "confine": True, "backgroundColor": style.background, "borderColor": style.grid, "borderWidth": 1,
            "textStyle": {"color": style.text, "fontSize": 13}, "extraCssText": "max-width:320px;white-space:normal",
        },
        "series": [_sectors(frame, style, f"{200 * RADIUS / height:.1f}%"), {
            "id": "tree", "type": "graph", "layout": "none", "z": 3, "selectedMode": "single",
            "left": margin, "right": margin, "top": margin, "bottom": margin, "preserveAspect": "contain", "data": nodes, "links": links,
            "label": {
                "show": True, "color": style.text, "fontSize": 10, "position": CENTER, "verticalAlign": "middle",
                "textBorderColor": style.background, "textBorderWidth": 2.5,
            },
            "lineStyle": {"width": 1, "opacity": 0.4}, "emphasis": {"scale": 1.4, "label": {"fontWeight": "bold"}},
            "select": {"itemStyle": {"borderColor": None}},
        }],
    }  # fmt: skip


def captions(frame: pd.DataFrame) -> list[str]:
    """Return the fields labeled outside the discipline ring: unselected ones whose disciplines have no space for labels."""
    beside = frame[(frame["near"] == "") & ~frame["field"].isin(frame.loc[frame["near"] != "", "field"])]
    if not (beside.loc[beside["kind"] == "discipline", "width"] < MIN_WIDTH).any():
        return []
    return list(beside.loc[beside["kind"] == "field", "id"])


def _hue(group: str | None, style: Style) -> str:
    return style.groups.get(group or "", style.muted)


def _sectors(frame: pd.DataFrame, style: Style, radius: str) -> dict:
    """Return a tinted sector behind each field."""
    fields = list(frame[frame["parent"] == ALL].itertuples())
    data = [
        {"value": row.end - row.begin, "itemStyle": {"color": mix(style.background, _hue(row.group, style), 0.13)}}
        for row in fields
    ]
    start = fields[0].begin if fields else 0.0
    return {
        "id": "fields", "type": "pie", "silent": True, "z": 1, "radius": ["7%", radius], "padAngle": 0.6, "data": data,
        "startAngle": round(90 - degrees(start), 2), "label": {"show": False}, "labelLine": {"show": False},
        "itemStyle": {"borderRadius": 6}, "tooltip": {"show": False}, "emphasis": {"disabled": True},
    }  # fmt: skip


def _node(row, style: Style, captioned: list[str], level: dict[str, dict]) -> dict:
    """Return a row as an item of the graph."""
    hue, empty = _hue(row.group, style), mix(style.nothing, style.muted, 0.5)
    edge = (style.text, 2.5) if row.near == "picked" and row.id != ALL else (hue if row.begun else empty, 1)
    return {
        "id": row.id, "x": round(row.x, 4), "y": round(row.y, 4), "symbolSize": _size(row, captioned),
        "itemStyle": {"color": _color(row, hue, style), "borderColor": edge[0], "borderWidth": edge[1]},
        "label": _label(row, style, captioned, level), "tooltip": {"formatter": _hover(row)},
    }  # fmt: skip


def _color(row, hue: str, style: Style) -> str:
    """Return gray for nodes without content; disciplines are the more saturated the more of their target is reached."""
    if row.id == ALL:
        return style.text
    if not row.begun:
        return style.nothing
    return mix(style.background, hue, 0.45 + 0.55 * min(1.0, row.share)) if row.kind == "discipline" else hue


def _size(row, captioned: list[str]) -> float:
    size = SIZES[row.kind] * (0.7 if captioned and row.kind in ("all", "field") else 1)
    if row.id == ALL or row.near in ("path", "branch"):
        return size
    return size + 5 if row.near == "picked" else round(max(3.5, min(size, 0.8 * row.width)), 1)


def _label(row, style: Style, captioned: list[str], level: dict[str, dict]) -> dict:
    hidden = {"show": False}
    if row.id == ALL or (row.field in captioned and not row.near):
        return hidden
    way = row.near in ("picked", "path")
    bold = {"fontWeight": "bold"} if way or row.kind == "field" else {}
    quiet = {} if row.begun or way or not row.leaf else {"color": style.muted}
    gap = _size(row, captioned) / 2 + 4
    if row.leaf and (row.width >= MIN_WIDTH or way or row.kind == MORE):
        size = round(max(10, min(12, 0.85 * row.width)), 1)
        return {
            "formatter": _text(row, int(LABEL / (LETTER * size))),
            "fontSize": size,
            **_along(row.angle, gap),
            **bold,
            **quiet,
        }
    if row.kind == "field" or way:
        return {"formatter": _text(row, LEVEL_LETTERS), "fontSize": 12, **level[row.id], **bold}
    letters = int((row.room - gap - 8) / 4.8)
    if row.near == "branch" and not row.leaf and row.width >= 20 and letters > 8:
        return {"formatter": _text(row, letters), "color": style.muted, **_along(row.angle, gap)}
    if row.id in level:
        return {"formatter": _text(row, LEVEL_LETTERS), "color": style.muted, **level[row.id]}
    return hidden


def _level_labels(rows: list, captioned: list[str]) -> dict[str, dict]:
    """Place horizontal labels, of fields and of the path to the selection, where they overlap least."""
    on_way = [row for row in rows if row.near in ("picked", "path") and row.id != ALL]
    fields = [row for row in rows if row.kind == "field" and not row.near and row.id not in captioned]
    wide = [row for row in rows if row.near == "branch" and row.kind == "sub-field" and row.radius < 0.65 and row.width >= 60]
    occupied = [
        _box(row, -half, -half, half, half) for row in [rows[0], *on_way, *fields] for half in [_size(row, captioned) / 2]
    ]
    labels = {}
    for row in [*on_way, *fields, *wide]:
        gap, width = _size(row, captioned) / 2 + 4, 6.3 * min(len(row.name), LEVEL_LETTERS)
        inwards = 1 if row.y < 0 else -1
        sides = [
            ({"align": "left", "offset": [gap, 0]}, _box(row, gap, -7, gap + width, 7)),
            ({"align": "right", "offset": [-gap, 0]}, _box(row, -gap - width, -7, -gap, 7)),
        ]
        sides = sides if row.x >= 0 else sides[::-1]
        for turn in (inwards, -inwards):
            y = turn * (gap + 6)
            sides.append(({"align": "center", "offset": [0, y]}, _box(row, -width / 2, y - 7, width / 2, y + 7)))
        if row.kind == "discipline":  # labels of neighbors are next to it, expanded nodes outside
            sides = [sides[2], *sides[:2], sides[3]]
        label, box = min(sides, key=lambda side: sum(_overlap(side[1], other) for other in occupied))
        occupied.append(box)
        labels[row.id] = label
    return labels


def _box(row, left: float, top: float, right: float, bottom: float) -> tuple[float, float, float, float]:
    """Return a box around a node, in pixels from the center."""
    x, y = RADIUS * row.x, RADIUS * row.y
    return x + left, y + top, x + right, y + bottom


def _overlap(one: tuple, other: tuple) -> float:
    """Return the area shared by two boxes."""
    width, height = (min(one[n + 2], other[n + 2]) - max(one[n], other[n]) for n in (0, 1))
    return max(0.0, width) * max(0.0, height)


def _along(angle: float, gap: float) -> dict:
    """Return a label along the radius, rotated by at most 90 degrees."""
    turn = degrees(angle) % 360
    right = turn < 180
    return {"rotate": round(90 - turn if right else 270 - turn, 1), "align": "left" if right else "right",
            "offset": [round(gap if right else -gap, 1), 0]}  # fmt: skip


def _text(row, letters: int) -> str:
    return chart_text(row.name, letters)


def _caption(row, frame: pd.DataFrame, style: Style) -> dict:
    """Return the label of a field outside its disciplines."""
    radius = frame.loc[frame["kind"] == "discipline", "radius"].max()
    scale = radius / (hypot(row.x, row.y) or 1)
    return {
        "id": f"caption {row.id}", "x": round(row.x * scale, 4), "y": round(row.y * scale, 4), "symbolSize": 1,
        "itemStyle": {"color": "rgba(0,0,0,0)"}, "tooltip": {"formatter": _hover(row)},
        "label": {"formatter": _text(row, 24), "fontSize": 11, "fontWeight": "bold", **_along(row.angle, 8)},
    }  # fmt: skip


def _link(parent, row, row_of: dict[str, int], style: Style) -> dict:
    way = {"width": 2.5, "opacity": 0.95} if row.near in ("picked", "path") else {}
    line = {"color": _hue(row.group, style), "curveness": _curve(parent, row), **way}
    return {"source": row_of[parent.id], "target": row_of[row.id], "lineStyle": line}


def _curve(parent, row) -> float:
    """Return the curvature with which an edge meets the ring of its node at a right angle."""
    along = (row.x - parent.x) * row.x + (row.y - parent.y) * row.y
    bend = -0.5 * (parent.x * row.y - parent.y * row.x) / along if abs(along) > 1e-9 else 0.0
    return round(max(-1.0, min(1.0, bend)), 3) or 0.001  # ECharts 6 misplaces straight lines drawn as SVG


def _hover(row) -> str:
    """Return a tooltip as HTML."""
    return "<br>".join([f"<b>{chart_html(row.name)}</b>", *map(chart_html, row.told)])
