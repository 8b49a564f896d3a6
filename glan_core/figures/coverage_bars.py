"""Rows of a dataset by field as bars, as a figure and as SVG for dataset cards."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from glan_core.figures.labels import label
from glan_core.figures.style import Style
from glan_core.formatting import number, shorten
from glan_core.untrusted import clean_line

if TYPE_CHECKING:
    import plotly.graph_objects as go

WIDTH, ROW, BAR, LEFT, RIGHT, TOP = 760, 26, 16, 250, 90, 12


@dataclass(frozen=True, slots=True)
class FieldBar:
    """A field of the taxonomy with its group ('' for none) and number of rows."""

    field: str
    group: str
    rows: int


def coverage_figure(bars: Sequence[FieldBar], style: Style) -> "go.Figure":
    """Draw the bars from top to bottom in the given order, colored by group and labeled with the count."""
    import plotly.graph_objects as go  # imported here, because cards are also written without plotly

    most = max((bar.rows for bar in bars), default=0) or 1
    figure = go.Figure(
        go.Bar(
            y=[label(bar.field) for bar in bars], x=[bar.rows for bar in bars], orientation="h", cliponaxis=False,
            text=[number(bar.rows) for bar in bars], textposition="outside", textfont={"color": style.muted},
            marker={"color": [_hue(bar.group, style) for bar in bars], "line": {"width": 0}},
            customdata=[label(bar.group) or "no group" for bar in bars],
            hovertemplate="%{y}: %{x:,} rows<br>%{customdata}<extra></extra>",
        )
    )  # fmt: skip
    figure.update_layout(
        template=style.template, height=24 * len(bars) + 20, bargap=0.3, xaxis={"visible": False, "range": [0, most * 1.18]},
        yaxis={
            "autorange": "reversed", "showgrid": False, "ticklabelstandoff": 6, "tickvals": [label(bar.field) for bar in bars],
            "ticktext": [label(bar.field, 30) for bar in bars],
        },
    )  # fmt: skip
    return figure


def coverage_svg(bars: Sequence[FieldBar], style: Style) -> str:
    """Return the bars with a legend of groups as a complete SVG document, readable on light and dark backgrounds."""
    most = max((bar.rows for bar in bars), default=0) or 1
    room = WIDTH - LEFT - RIGHT
    parts = []
    for nth, bar in enumerate(bars):
        y, length = TOP + nth * ROW, max(2.0, bar.rows / most * room)
        parts.append(_text(LEFT - 10, y + BAR - 3, shorten(clean_line(bar.field), 34), style.text, "end"))
        parts.append(
            f'<rect x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR}" rx="2" fill="{_hue(bar.group, style)}">'
            f"<title>{escape(clean_line(bar.field))}: {number(bar.rows)} rows</title></rect>"
        )
        parts.append(_text(LEFT + length + 8, y + BAR - 3, number(bar.rows), style.muted, "start"))
    groups = list(dict.fromkeys(bar.group for bar in bars))
    legend = TOP + len(bars) * ROW + 14
    for nth, group in enumerate(groups):
        x, y = 20 + nth % 3 * 245, legend + nth // 3 * 22
        parts.append(f'<rect x="{x}" y="{y}" width="12" height="12" rx="2" fill="{_hue(group, style)}"/>')
        parts.append(_text(x + 18, y + 10.5, group or "No group", style.muted, "start"))
    height = legend + (len(groups) + 2) // 3 * 22 + 8
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img" '
        f'font-family="Source Sans, Helvetica, Arial, sans-serif" font-size="13">'
        f"<title>Rows by field of the taxonomy</title>"
        f'<rect width="{WIDTH}" height="{height}" rx="6" fill="{style.background}"/>{"".join(parts)}</svg>\n'
    )


def _hue(group: str, style: Style) -> str:
    return style.groups.get(group, style.muted)


def _text(x: float, y: float, text: str, color: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{color}" text-anchor="{anchor}">{escape(text)}</text>'
