"""Scaling studies: loss and score difference against the number of training rows, with fitted curves."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from glan_core.figures.labels import label
from glan_core.figures.style import Style
from glan_core.formatting import signed

if TYPE_CHECKING:
    from glan_core.evaluation.scaling_job import Curve, Point

HEIGHT, SMOOTH = 340, 80


def loss_figure(points: "Sequence[Point]", curve: "Curve | None", style: Style) -> go.Figure:
    """Draw the validation loss against training rows on a logarithmic axis."""
    known = [point for point in points if point.loss is not None]
    figure = _figure(known, curve, style, "validation loss, nats per token")
    figure.add_trace(go.Scatter(
        x=[point.rows for point in known], y=[point.loss for point in known], mode="markers", cliponaxis=False,
        marker={"color": style.hues[1], "size": 10, "line": {"color": style.background, "width": 1}},
        customdata=[label(point.model) for point in known],
        hovertemplate="<b>%{customdata}</b><br>%{x:,} rows<br>loss %{y:.3f}<extra></extra>",
    ))  # fmt: skip
    return figure


def score_figure(points: "Sequence[Point]", curve: "Curve | None", style: Style) -> go.Figure:
    """Draw the score difference with its 95% interval against training rows."""
    known = [point for point in points if point.difference is not None]
    values = [point.difference for point in points if point.difference is not None]
    figure = _figure(known, curve, style, "score difference")
    ends = [
        (None, None) if p.low is None or p.high is None else (p.high - value, value - p.low)
        for p, value in zip(known, values, strict=True)
    ]
    figure.add_trace(go.Scatter(
        x=[point.rows for point in known], y=values, mode="markers", cliponaxis=False,
        marker={"color": style.accent, "size": 10, "line": {"color": style.background, "width": 1}},
        error_y={"type": "data", "symmetric": False, "array": [up for up, _ in ends], "arrayminus": [down for _, down in ends],
                 "color": style.muted, "thickness": 1.2, "width": 4},
        customdata=[[label(point.model), point.judged, signed(value)] for point, value in zip(known, values, strict=True)],
        hovertemplate="<b>%{customdata[0]}</b><br>%{x:,} rows<br>%{customdata[2]} on %{customdata[1]} questions<extra></extra>",
    ))  # fmt: skip
    if known:
        middle, reach = (min(values) + max(values)) / 2, max(0.6, 0.7 * (max(values) - min(values)))
        wide = [value for point in known for value in (point.low, point.high) if value is not None]
        figure.update_yaxes(tickformat=".1f", range=[min([middle - reach, *wide]), max([middle + reach, *wide])])
    return figure


def _figure(known: "Sequence[Point]", curve: "Curve | None", style: Style, title: str) -> go.Figure:
    """Return a figure with axes and the curve."""
    figure = go.Figure()
    rows = [point.rows for point in known]
    if curve and rows:
        at = np.geomspace(min(rows), max(rows), SMOOTH)
        figure.add_trace(go.Scatter(x=at, y=curve.at(at.tolist()), mode="lines", line={"color": style.muted, "width": 1.5, "dash": "dot"},
                                    hoverinfo="skip"))  # fmt: skip
    figure.update_layout(
        template=style.template, height=HEIGHT, margin={"t": 12, "b": 44, "l": 52, "r": 14},
        xaxis={"type": "log", "title": {"text": "training rows"}, "tickvals": rows, "ticktext": [f"{n:,}" for n in rows]},
        yaxis={"title": {"text": title}, "nticks": 6},
    )  # fmt: skip
    return figure
