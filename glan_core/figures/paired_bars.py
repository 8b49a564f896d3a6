"""Pairs of bars: one count in each of two workspaces or snapshots, per row."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go

from glan_core.figures.labels import label
from glan_core.figures.style import Style, mix
from glan_core.formatting import number

LIGHTER = 0.55  # how far the hue of the first bar is mixed with the background


@dataclass(frozen=True, slots=True)
class PairedBar:
    """A row with its taxonomy group ('' for none) and two counts; None where the row does not exist."""

    label: str
    group: str
    counts: tuple[int | None, int | None]


def paired_bars_frame(bars: Sequence[PairedBar]) -> pd.DataFrame:
    """Return the bars as rows: label, group, first and second count."""
    frame = pd.DataFrame([(bar.label, bar.group, *bar.counts) for bar in bars], columns=["label", "group", "first", "second"])
    return frame.astype({"first": "Int64", "second": "Int64"})


def paired_bars_figure(bars: Sequence[PairedBar], names: tuple[str, str], style: Style) -> go.Figure:
    """Draw two bars per row, the first lighter, colored by group and labeled with the counts.

    Args:
        bars: Rows from top to bottom.
        names: What the first and the second bar count.
        style: Colors of the theme.
    """
    most = max((count or 0 for bar in bars for count in bar.counts), default=0) or 1
    hues = [style.groups.get(bar.group, style.muted) for bar in bars]
    figure = go.Figure([
        go.Bar(
            name=label(name), y=[label(bar.label) for bar in bars], x=[bar.counts[at] or 0 for bar in bars], orientation="h", cliponaxis=False,
            text=["–" if bar.counts[at] is None else number(bar.counts[at] or 0) for bar in bars], textposition="outside",
            textfont={"color": style.muted, "size": 12},
            marker={"color": [mix(hue, style.background, LIGHTER) if at == 0 else hue for hue in hues], "line": {"width": 0}},
            customdata=[label(bar.group) or "no group" for bar in bars],
            hovertemplate=f"{label(name, 40)}: %{{x:,}} pairs<br>%{{y}}, %{{customdata}}<extra></extra>",
        )
        for at, name in enumerate(names)
    ])  # fmt: skip
    figure.update_layout(
        template=style.template, height=44 * len(bars) + 20, barmode="group", bargap=0.28, bargroupgap=0.05,
        xaxis={"visible": False, "range": [0, most * 1.18]},
        yaxis={
            "autorange": "reversed", "showgrid": False, "ticklabelstandoff": 6, "tickvals": [label(bar.label) for bar in bars],
            "ticktext": [label(bar.label, 30) for bar in bars],
        },
    )  # fmt: skip
    return figure
