"""Contamination probes: losses of each model on the splits, and the deltas with intervals; published rows in gray."""

import pandas as pd
import plotly.graph_objects as go

from glan_core.figures.labels import label
from glan_core.figures.style import Style

ROW, HEAD = 34, 104  # pixels per model, and for axes and legend
MARKS = {
    "loss_train": ("training split", "circle"),
    "loss_test": ("test split", "square"),
    "loss_alike": ("look-alikes", "diamond"),
}


def probe_figure(frame: pd.DataFrame, style: Style, large_percent: float) -> go.Figure:
    """Draw the losses of each model on the splits (left) and its delta in percent with the interval (right).

    Args:
        frame: One row per model; `published` rows are gray and labeled.
        style: The theme.
        large_percent: Threshold of a large delta in percent, drawn as a dotted line.
    """
    names = [label(f"{row.model} · published" if row.published else str(row.model)) for row in frame.itertuples()]
    figure = go.Figure()
    _losses(figure, frame, names, style)
    _deltas(figure, frame, names, style, large_percent)
    figure.add_shape(
        type="line", xref="x2", yref="paper", x0=0, x1=0, y0=0, y1=1, line={"color": style.muted, "width": 1}, layer="below"
    )
    figure.add_shape(
        type="line", xref="x2", yref="paper", x0=large_percent, x1=large_percent, y0=0, y1=1, layer="below",
        line={"color": style.muted, "width": 1, "dash": "dot"},
    )  # fmt: skip
    figure.update_layout(
        template=style.template, height=HEAD + ROW * max(2, len(frame)), hovermode="closest", uirevision="kept",
        margin={"l": 8, "r": 16, "t": 34, "b": 44}, showlegend=True,
        legend={"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom", "font": {"size": 12}},
        xaxis={"domain": [0, 0.47], "title": {"text": "loss, nats per token"}, "nticks": 5, "rangemode": "tozero"},
        xaxis2={"domain": [0.53, 1], "anchor": "y", "title": {"text": "delta, % of the test split's loss"}, "nticks": 6},
        yaxis={"autorange": "reversed", "showgrid": True, "ticklabelstandoff": 6, "automargin": True},
    )  # fmt: skip
    return figure


def _losses(figure: go.Figure, frame: pd.DataFrame, names: list[str], style: Style) -> None:
    for name, row in zip(names, frame.itertuples(), strict=True):
        ends = [getattr(row, column) for column in MARKS if pd.notna(getattr(row, column))]
        figure.add_scatter(
            x=[min(ends), max(ends)], y=[name, name], mode="lines", line={"color": style.nothing, "width": 3}, hoverinfo="skip",
            showlegend=False,
        )  # fmt: skip
    hues = dict(zip(MARKS, (style.accent, style.hues[1], style.hues[2]), strict=True))
    for column, (mark, symbol) in MARKS.items():
        if frame[column].isna().all():
            continue
        colors = [style.muted if published else hues[column] for published in frame["published"]]
        figure.add_scatter(
            x=frame[column], y=names, mode="markers", name=mark, showlegend=False, cliponaxis=False,
            marker={"symbol": symbol, "size": 10, "color": colors},
            hovertemplate=f"<b>%{{y}}</b><br>%{{x:.3f}} nats per token, {mark}<extra></extra>",
        )  # fmt: skip
        figure.add_scatter(  # legend entry in the color of measured rows
            x=[None], y=[None], mode="markers", name=mark, marker={"symbol": symbol, "size": 10, "color": hues[column]}
        )


def _deltas(figure: go.Figure, frame: pd.DataFrame, names: list[str], style: Style, large_percent: float) -> None:
    above = (frame["high"] - frame["delta_percent"]).fillna(0).clip(lower=0)
    below = (frame["delta_percent"] - frame["low"]).fillna(0).clip(lower=0)
    seen = (frame["low"] > 0) & (frame["delta_percent"] >= large_percent)
    colors = [style.muted if p else style.failure if s else style.accent for p, s in zip(frame["published"], seen, strict=True)]
    spans = [
        f"{row.low:+.1f} to {row.high:+.1f} %" if pd.notna(row.low) else "as published" if row.published else "too few rows"
        for row in frame.itertuples()
    ]
    figure.add_scatter(
        x=frame["delta_percent"], y=names, xaxis="x2", mode="markers", showlegend=False, customdata=spans,
        marker={"size": 11, "color": colors, "symbol": ["circle-open" if p else "circle" for p in frame["published"]]},
        error_x={"type": "data", "array": above, "arrayminus": below, "thickness": 1.5, "width": 0, "color": style.muted},
        hovertemplate="<b>%{y}</b><br>%{x:+.1f} %, %{customdata}<extra></extra>",
    )  # fmt: skip
