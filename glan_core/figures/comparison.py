"""Two datasets in one picture: this one in blue, the other in orange, on the map and over the taxonomy.

Blue and orange are told apart by eyes of every kind; what only one set has is full in colour, what both have is pale. Rows of
the other set are diamonds, open where both have it, so that they hide no row of ours.
"""

from collections.abc import Mapping
from html import escape

import pandas as pd
import plotly.graph_objects as go

from glan_core.figures.style import Style, mix
from glan_core.formatting import number, shorten

BLUE, ORANGE = 3, 1  # of the hues
PALE = 0.5
ROW = 26
MOST_ROWS = 20
SHARED_HERE, ONLY_HERE, SHARED_THERE, ONLY_THERE = "shared here", "only here", "shared there", "only there"
SYMBOLS = {SHARED_HERE: "circle", ONLY_HERE: "circle", SHARED_THERE: "diamond-open", ONLY_THERE: "diamond"}


def side_colors(style: Style) -> dict[str, str]:
    """The colour of each kind of point (`comparison_view.SIDES`), in the order in which they are drawn."""
    ours, theirs = style.hues[BLUE], style.hues[ORANGE]
    return {
        SHARED_HERE: mix(ours, style.background, PALE), SHARED_THERE: mix(theirs, style.background, PALE),
        ONLY_HERE: ours, ONLY_THERE: theirs,
    }  # fmt: skip


def named(points: pd.DataFrame, colors: Mapping[str, str], other: str) -> tuple[pd.DataFrame, dict[str, str], dict[str, str]]:
    """Points (with name), colours and symbols under the words that a legend shows, where the other set is called `other`."""
    other = escape(other)  # plotly reads tags
    words = {
        SHARED_HERE: "here, with a neighbour there", SHARED_THERE: f"{other}, with a neighbour here", ONLY_HERE: "only here",
        ONLY_THERE: f"only in {other}",
    }  # fmt: skip
    return (
        points.assign(name=points["name"].map(words)), {words[side]: color for side, color in colors.items()},
        {words[side]: symbol for side, symbol in SYMBOLS.items()},
    )  # fmt: skip


def spread_figure(frame: pd.DataFrame, other: str, style: Style, picked: str | None = None) -> go.Figure:
    """How both sets spread over parts of the taxonomy (`comparison_view.taxonomy_rows`): a bar for each set."""
    shown, other = frame.head(MOST_ROWS), escape(other)
    names = [f"<b>{shorten(name, 30)}</b>" if id == picked else shorten(name, 30)
             for id, name in zip(shown["id"], shown["name"], strict=True)]  # fmt: skip
    figure = go.Figure()
    for label, share, rows, hue in ((other, "theirs", "their_rows", ORANGE), ("here", "ours", "our_rows", BLUE)):
        figure.add_trace(go.Bar(
            y=shown["id"], x=shown[share], orientation="h", name=label, customdata=[number(count) for count in shown[rows]],
            marker={"color": style.hues[hue], "line": {"width": 0}},
            hovertemplate=f"{label}: %{{x:.1f}} %, %{{customdata}} questions<extra></extra>",
        ))  # fmt: skip
    figure.update_layout(
        template=style.template, barmode="group", bargap=0.28, bargroupgap=0.05, height=80 + ROW * max(3, len(shown)),
        margin={"t": 30, "b": 40}, showlegend=True,
        legend={"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom", "traceorder": "normal"},
        xaxis={"title": {"text": "% of the set's questions"}, "nticks": 6, "rangemode": "tozero"},
        yaxis={"autorange": "reversed", "showgrid": False, "ticklabelstandoff": 6, "tickvals": shown["id"].tolist(),
               "ticktext": names},
    )  # fmt: skip
    return figure
