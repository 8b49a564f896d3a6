"""Two datasets in one figure: this dataset in blue, the other in orange, on the map and by taxonomy.

Blue and orange are distinguishable with any color vision. Points of only one dataset have full color, shared ones are pale. Rows
of the other dataset are diamonds, open if shared, so that they do not hide rows of this one.
"""

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from glan_core.figures.labels import label
from glan_core.figures.style import Style, mix
from glan_core.formatting import number
from glan_core.untrusted import clean_line

BLUE, ORANGE = 3, 1  # indexes of hues
PALE = 0.5
ROW = 26
MAX_ROWS = 20
SHARED_HERE, ONLY_HERE, SHARED_THERE, ONLY_THERE = "shared here", "only here", "shared there", "only there"
SYMBOLS = {SHARED_HERE: "circle", ONLY_HERE: "circle", SHARED_THERE: "diamond-open", ONLY_THERE: "diamond"}


def side_colors(style: Style) -> dict[str, str]:
    """Return the color of each type of point (`comparison_queries.SIDES`), in drawing order."""
    ours, theirs = style.hues[BLUE], style.hues[ORANGE]
    return {
        SHARED_HERE: mix(ours, style.background, PALE), SHARED_THERE: mix(theirs, style.background, PALE),
        ONLY_HERE: ours, ONLY_THERE: theirs,
    }  # fmt: skip


def legend_labels(
    points: pd.DataFrame, colors: Mapping[str, str], other: str
) -> tuple[pd.DataFrame, dict[str, str], dict[str, str]]:
    """Replace the types of points by legend labels.

    Args:
        points: Points with the column `name`.
        colors: Color per type.
        other: Name of the other dataset.

    Returns:
        The points, colors and symbols by legend label.
    """
    other = clean_line(other)  # the map escapes its legend
    words = {
        SHARED_HERE: "here, with a neighbor there", SHARED_THERE: f"{other}, with a neighbor here", ONLY_HERE: "only here",
        ONLY_THERE: f"only in {other}",
    }  # fmt: skip
    return (
        points.assign(name=points["name"].map(words)), {words[side]: color for side, color in colors.items()},
        {words[side]: symbol for side, symbol in SYMBOLS.items()},
    )  # fmt: skip


def spread_figure(frame: pd.DataFrame, other: str, style: Style, picked: str | None = None) -> go.Figure:
    """Draw the distribution of both datasets over parts of the taxonomy (`comparison_queries.taxonomy_table`) as bars."""
    shown, other = frame.head(MAX_ROWS), label(other)
    names = [f"<b>{label(name, 30)}</b>" if id == picked else label(name, 30)
             for id, name in zip(shown["id"], shown["name"], strict=True)]  # fmt: skip
    figure = go.Figure()
    for title, share, rows, hue in ((other, "theirs", "their_rows", ORANGE), ("here", "ours", "our_rows", BLUE)):
        figure.add_trace(go.Bar(
            y=shown["id"], x=shown[share], orientation="h", name=title, customdata=[number(count) for count in shown[rows]],
            marker={"color": style.hues[hue], "line": {"width": 0}},
            hovertemplate=f"{title}: %{{x:.1f}} %, %{{customdata}} questions<extra></extra>",
        ))  # fmt: skip
    figure.update_layout(
        template=style.template, barmode="group", bargap=0.28, bargroupgap=0.05, height=80 + ROW * max(3, len(shown)),
        margin={"t": 30, "b": 40}, showlegend=True,
        legend={"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom", "traceorder": "normal"},
        xaxis={"title": {"text": "% of the dataset's questions"}, "nticks": 6, "rangemode": "tozero"},
        yaxis={"autorange": "reversed", "showgrid": False, "ticklabelstandoff": 6, "tickvals": shown["id"].tolist(),
               "ticktext": names},
    )  # fmt: skip
    return figure
