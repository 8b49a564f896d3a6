"""Results of a match: score differences on the taxonomy, as bars, and against the amount of training data."""

from collections.abc import Mapping

import networkx as nx
import numpy as np
import pandas as pd
import plotly.graph_objects as go

from glan_core.figures.labels import label
from glan_core.figures.rings import rings_chart
from glan_core.figures.style import Style
from glan_core.figures.tree_parts import ALL, ColorBar
from glan_core.formatting import number, plural, shorten_title, signed
from glan_core.taxonomy import hierarchy

HEIGHT = 560  # pixels of the rings
ROW, MAX_BARS = 30, 24
LEGEND_ROW = 19  # pixels
MIN_SCALE = 1.0  # score points (1 to 10); keeps small differences from looking large


def difference_frame(tree: nx.DiGraph, outcomes: pd.DataFrame) -> pd.DataFrame:
    """Return one row per node, the root first: id, parent, name, judged, value, hover.

    Args:
        tree: The taxonomy.
        outcomes: Result of `match_statistics.by(frame, 'discipline')`.

    Returns:
        `judged` is the number of judged questions below the node, `value` their mean difference (NaN without any).
    """
    known = outcomes[outcomes["judged"] > 0].set_index("discipline")
    counts = {id: int(row["judged"]) for id, row in known.iterrows() if id in tree}
    sums = {id: float(known.loc[id, "difference"]) * counts[id] for id in counts}
    judged, total = hierarchy.roll_up(tree, counts), hierarchy.roll_up(tree, sums)
    tops = [id for id, parents in tree.in_degree() if parents == 0]
    judged[ALL], total[ALL] = sum(judged[id] for id in tops), sum(total[id] for id in tops)
    rows = [(ALL, "", "All knowledge"), *((n.id, n.parent_id or ALL, n.name) for n in hierarchy.walk(tree))]
    return pd.DataFrame([
        {
            "id": id, "parent": parent, "name": name, "judged": judged[id],
            "value": total[id] / judged[id] if judged[id] else np.nan,
            "hover": [f"{signed(total[id] / judged[id])} on {plural(int(judged[id]), 'question')}" if judged[id] else "not tested"],
        }
        for id, parent, name in rows
    ])  # fmt: skip


def judged_parts(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the tested nodes of a `difference_frame` and the root; the others would make a ring of few disciplines almost all gray."""
    return frame[(frame["judged"] > 0) | (frame["id"] == ALL)]


def difference_rings(
    frame: pd.DataFrame, style: Style, middle: str = ALL, picked: str | None = None, height: int = HEIGHT
) -> dict:
    """Draw a `difference_frame` as rings: blue where our model scored higher, orange where the other did."""
    most = scale_of(frame["value"])
    colors = [style.nothing if pd.isna(value) else style.difference(value, most) for value in frame["value"]]
    bar = ColorBar(style.differences, (f"B +{most:.1f}", f"A +{most:.1f}"))
    return rings_chart(frame, colors, bar, style, middle, picked, height)


def scale_of(values: pd.Series) -> float:
    """Return the end of the symmetric ramp for some differences."""
    largest = values.abs().max()
    return max(MIN_SCALE, float(largest)) if pd.notna(largest) else MIN_SCALE


def difference_bars(
    outcomes: pd.DataFrame, column: str, style: Style, names: Mapping[str, str] | None = None, published: pd.DataFrame | None = None
) -> go.Figure:  # fmt: skip
    """Draw the difference of each part of a match (`match_statistics.outcomes_by`) as a bar with its 95% interval, if known.

    Args:
        outcomes: The parts.
        column: Column with the names of the parts.
        style: The theme.
        names: Display names by part.
        published: Published differences by part (index) against other models (columns), as gray markers.
    """
    shown = outcomes[outcomes["judged"] > 0].head(MAX_BARS)
    labels = [label((names or {}).get(value, value), 34) for value in shown[column]]
    most = scale_of(shown["difference"])
    ends = {name: [None if pd.isna(end) else abs(end - mean) for end, mean in zip(shown[name], shown["difference"], strict=True)]
            for name in ("low", "high")}  # fmt: skip
    figure = go.Figure(go.Bar(
        y=shown[column], x=shown["difference"], orientation="h", width=0.62,
        marker={"color": [style.difference(value, most) for value in shown["difference"]], "line": {"color": style.muted, "width": 0.5}},
        error_x={"type": "data", "symmetric": False, "array": ends["high"], "arrayminus": ends["low"],
                 "color": style.muted, "thickness": 1.2, "width": 3},
        customdata=np.stack([labels, [number(n) for n in shown["judged"]], shown["wins"], shown["ties"],
                             shown["losses"], [signed(value) for value in shown["difference"]]], axis=-1),
        hovertemplate="<b>%{customdata[0]}</b><br>%{customdata[5]} on %{customdata[1]} questions<br>%{customdata[2]} won, %{customdata[3]} "
                      "tied, %{customdata[4]} lost<extra></extra>",
    ))  # fmt: skip
    below = LEGEND_ROW * len(published.columns) + 8 if published is not None else 0
    if published is not None:
        _add_published(figure, published[published.index.isin(shown[column])], style)
    figure.update_layout(
        template=style.template, height=ROW * max(2, len(shown)) + 58 + below, margin={"t": 6, "b": 44 + below},
        showlegend=published is not None,  # below the axis title, one entry per line: never over bars or markers
        legend={"orientation": "v", "x": 0, "y": 0, "yref": "container", "yanchor": "bottom", "font": {"size": 11}},
        xaxis={"title": {"text": "mean score difference, A − B"}, "nticks": 7, "tickformat": ".1f", "zeroline": True,
               "zerolinecolor": style.muted, "zerolinewidth": 1.5},
        yaxis={"autorange": "reversed", "showgrid": False, "ticklabelstandoff": 6, "tickvals": shown[column].tolist(),
               "ticktext": labels},
    )  # fmt: skip
    figure.data[0].showlegend = False
    return figure


def _add_published(figure: go.Figure, published: pd.DataFrame, style: Style) -> None:
    symbols = ("circle-open", "diamond-open", "square-open", "triangle-up-open")
    for symbol, other in zip(symbols, published.columns, strict=False):
        figure.add_trace(go.Scatter(
            y=published.index, x=published[other], mode="markers", name=f"paper: GLAN − {other}",
            marker={"symbol": symbol, "color": style.muted, "size": 8, "line": {"width": 1.4}},
            hovertemplate=f"published: GLAN − {other} %{{x:+.2f}}<extra></extra>",
        ))  # fmt: skip


def trained_against_difference(points: pd.DataFrame, style: Style, height: int = 360) -> go.Figure:
    """Draw the score difference of each discipline against its number of training rows.

    Args:
        points: name, group, rows, difference, judged.
        style: The theme.
        height: Height in pixels.
    """
    most = max(1, points["rows"].max()) if len(points) else 1
    figure = go.Figure(go.Scatter(
        x=points["rows"], y=points["difference"], mode="markers", cliponaxis=False,
        marker={"color": [style.groups.get(group, style.muted) for group in points["group"]],
                "size": 8 + 10 * np.sqrt(points["judged"] / max(1, points["judged"].max())), "opacity": 0.85,
                "line": {"color": style.background, "width": 1}},
        customdata=np.stack([points["name"].map(label), points["judged"], [signed(value) for value in points["difference"]]], axis=-1)
        if len(points) else None,
        hovertemplate="<b>%{customdata[0]}</b><br>%{x:,} training rows<br>%{customdata[2]} on %{customdata[1]} questions<extra></extra>",
    ))  # fmt: skip
    figure.update_layout(
        template=style.template, height=height, margin={"t": 10, "b": 44, "l": 52},
        xaxis={"title": {"text": "training rows of the discipline"}, "range": [-0.04 * most, 1.06 * most], "nticks": 6, "tickformat": ",d"},
        yaxis={"title": {"text": "score difference"}, "tickformat": ".1f", "nticks": 6, "zeroline": True, "zerolinecolor": style.muted,
               "zerolinewidth": 1.5},
    )  # fmt: skip
    return figure


def aspect_figure(aspects: Mapping[str, tuple[float, float]], ours: str, other: str, style: Style) -> go.Figure:
    """Draw the mean scores of both models by aspect on a scale from 1 to 10, joined by lines."""
    names = list(aspects)
    figure = go.Figure()
    for name in names:
        figure.add_trace(go.Scatter(x=list(aspects[name]), y=[name, name], mode="lines", line={"color": style.grid, "width": 4},
                                    hoverinfo="skip", showlegend=False))  # fmt: skip
    for side, who, color in ((1, other, style.hues[1]), (0, ours, style.accent)):
        figure.add_trace(go.Scatter(
            x=[aspects[name][side] for name in names], y=names, mode="markers", name=label(shorten_title(who, 34)),
            marker={"color": color, "size": 11}, hovertemplate="%{y}: %{x:.2f}<extra>" + label(shorten_title(who, 34)) + "</extra>",
        ))  # fmt: skip
    figure.update_layout(
        template=style.template, height=42 * max(2, len(names)) + 70, margin={"t": 30, "b": 40}, showlegend=True,
        legend={"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom", "traceorder": "reversed"},
        xaxis={"range": [0.8, 10.2], "tickvals": list(range(1, 11)), "title": {"text": "mean score, 1 to 10"}},
        yaxis={"autorange": "reversed", "showgrid": False, "ticklabelstandoff": 6},
    )  # fmt: skip
    return figure
