"""Fine-tuning: losses, learning rate and gradient norm against steps, and comparisons of runs."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from math import log10

import pandas as pd
import plotly.graph_objects as go

from glan_core.figures.labels import label
from glan_core.figures.style import Style, mix
from glan_core.workspace.training_rows import Step

HEIGHT = 330
CLOSE = 0.07  # fraction of the axis within which labels at curve ends would overlap
MIN_SPAN, SMOOTH = 5, 0.03  # span of the training loss average: minimum steps, and fraction of the points
MOST_SMOOTH = 0.5


def steps_frame(steps: Sequence[Step], smoothing: float = SMOOTH) -> pd.DataFrame:
    """Return one row per logged step: the values of `Step` and `smooth`, the exponentially averaged training loss.

    Args:
        steps: Logged steps, oldest first.
        smoothing: Span of the average as a fraction of the points, 0 for none.
    """
    names = [field.name for field in fields(Step)]
    frame = pd.DataFrame({name: [getattr(step, name) for step in steps] for name in names}).astype("float64")
    span = max(MIN_SPAN, smoothing * len(frame)) if smoothing else 1
    frame["smooth"] = frame["loss"].ewm(span=span, ignore_na=True).mean() if len(frame) else frame["loss"]
    return frame


def loss_figure(frame: pd.DataFrame, style: Style, height: int = HEIGHT, *, log: bool = False) -> go.Figure:
    """Draw the training loss, raw and smoothed, and the validation loss against steps, with a logarithmic axis if asked."""
    trained, held = frame.dropna(subset="loss"), frame.dropna(subset="validation_loss")
    accent, amber = style.accent, style.hues[1]
    figure = go.Figure([
        go.Scatter(x=trained["step"], y=trained["loss"], mode="lines", line={"color": mix(style.background, accent, 0.3), "width": 1},
                   hoverinfo="skip", name="each step"),
        go.Scatter(x=trained["step"], y=trained["smooth"], mode="lines", line={"color": accent, "width": 2}, name="training",
                   hovertemplate="%{y:.3f} training<extra></extra>"),
        go.Scatter(x=held["step"], y=held["validation_loss"], mode="lines+markers", line={"color": amber, "width": 2},
                   marker={"size": 7}, name="validation", hovertemplate="%{y:.3f} validation<extra></extra>"),
    ])  # fmt: skip
    _frame(figure, style, height, "loss, nats per token")
    _span(figure, frame)
    ends = [
        (data["step"].iloc[-1], data[column].iloc[-1], name, color)
        for data, column, name, color in (
            (trained, "smooth", "training", accent),
            (held, "validation_loss", "validation", amber),
        )
        if len(data)
    ]
    ends.sort(key=lambda end: end[1])
    close = len(ends) == 2 and ends[1][1] - ends[0][1] < CLOSE * frame[["loss", "validation_loss"]].max().max()
    _log_axis(figure, log=log)
    for (x, y, name, color), shift in zip(ends, (-8, 8), strict=False):
        behind = x < 0.9 * frame["step"].max()  # the other curve continues below its label
        _name(figure, x, log10(y) if log and y > 0 else y, name, style.as_text(color), 14 if behind else shift if close else 0)
    return figure


def memory_figure(frame: pd.DataFrame, style: Style, height: int = 150) -> go.Figure:
    """Draw the memory of the training process, and of the GPU with its utilization where there is one, against steps."""
    figure = go.Figure()
    for column, name, unit, color in (
        ("memory_mb", "process memory", "GB", style.hues[3]), ("gpu_memory_mb", "GPU memory", "GB", style.hues[4]),
        ("gpu_use", "GPU utilization", "%", style.hues[6]),
    ):  # fmt: skip
        rows = frame.dropna(subset=column)
        if rows.empty:
            continue
        figure.add_scatter(
            x=rows["step"], y=rows[column] / (1000 if unit == "GB" else 1), mode="lines", line={"color": color, "width": 1.5}, name=name,
            yaxis="y" if unit == "GB" else "y2", hovertemplate=f"%{{y:,.2f}} {unit} {name}<extra></extra>",
        )  # fmt: skip
    _frame(figure, style, height, "GB")
    _span(figure, frame)
    figure.update_layout(
        yaxis={"rangemode": "tozero", "nticks": 4}, yaxis2={"overlaying": "y", "side": "right", "range": [0, 100], "title": {"text": "%"}},
        showlegend=len(figure.data) > 1, legend={"orientation": "h", "y": 1.2, "x": 0},
    )  # fmt: skip
    return figure


def learning_rate_figure(frame: pd.DataFrame, style: Style, height: int = 190) -> go.Figure:
    """Draw the learning rate and the gradient norm against steps."""
    rows = frame.dropna(subset="lr")
    figure = go.Figure([
        go.Scatter(x=rows["step"], y=rows["lr"], mode="lines", line={"color": style.hues[2], "width": 2},
                   hovertemplate="%{y:.2e} learning rate<extra></extra>"),
        go.Scatter(x=rows["step"], y=rows["grad_norm"], mode="lines", line={"color": style.hues[5], "width": 1.5}, yaxis="y2",
                   hovertemplate="%{y:.2f} gradient norm<extra></extra>"),
    ])  # fmt: skip
    _frame(figure, style, height, None)
    _span(figure, frame)
    figure.update_layout(
        yaxis={"domain": [0.58, 0.94], "exponentformat": "e", "nticks": 3, "rangemode": "tozero"},
        yaxis2={"domain": [0, 0.36], "nticks": 3, "rangemode": "tozero"},
    )
    figure.update_xaxes(anchor="y2")
    for y, name in ((1.0, "learning rate"), (0.42, "gradient norm")):
        figure.add_annotation(
            x=0,
            y=y,
            xref="paper",
            yref="paper",
            text=name,
            showarrow=False,
            xanchor="left",
            yanchor="middle",
            font={"size": 12},
        )
    return figure


def compare_figure(
    runs: Mapping[str, pd.DataFrame], against: str, style: Style, height: int = HEIGHT, *, log: bool = False
) -> go.Figure:
    """Draw the losses of several runs: validation loss with markers, smoothed training loss as a thin line.

    Args:
        runs: Steps by name of the run.
        against: 'step', 'tokens' or 'seconds'.
        style: The theme.
        height: Height in pixels.
        log: Whether the loss axis is logarithmic.
    """
    figure = go.Figure()
    for nth, (run, frame) in enumerate(runs.items()):
        name = label(run, 60)
        color = style.hues[nth % len(style.hues)]
        trained, held = frame.dropna(subset="loss"), frame.dropna(subset="validation_loss")
        figure.add_scatter(
            x=trained[against], y=trained["smooth"], mode="lines", line={"color": mix(style.background, color, 0.55), "width": 1.5},
            name=f"{name}, training", hovertemplate=f"%{{y:.3f}} {name}, training<extra></extra>", showlegend=held.empty,
        )  # fmt: skip
        if len(held):
            figure.add_scatter(
                x=held[against], y=held["validation_loss"], mode="lines+markers", line={"color": color, "width": 2.5},
                marker={"size": 7}, name=name, hovertemplate=f"%{{y:.3f}} {name}, validation<extra></extra>",
            )  # fmt: skip
    unit = {"step": "step", "tokens": "tokens seen", "seconds": "seconds active"}[against]
    _frame(figure, style, height, "loss, nats per token", unit)
    _log_axis(figure, log=log)
    figure.update_layout(showlegend=len(runs) > 1, legend={"orientation": "h", "y": 1.08, "x": 0})
    return figure


def _frame(figure: go.Figure, style: Style, height: int, y: str | None, x: str = "step") -> None:
    figure.update_layout(
        template=style.template, height=height, hovermode="x unified", margin={"l": 56, "r": 64, "t": 8, "b": 32}, uirevision="kept",
        xaxis={"title": {"text": x}, "nticks": 7, "rangemode": "tozero", "showgrid": False, "tickformat": ",~r"},
        yaxis={"title": {"text": y}, "nticks": 6, "automargin": False},
    )  # fmt: skip


def _log_axis(figure: go.Figure, *, log: bool) -> None:
    if log:
        figure.update_yaxes(type="log", dtick="D1", tickformat="~g")


def _span(figure: go.Figure, frame: pd.DataFrame) -> None:
    """Use the same step axis for all stacked figures of one run."""
    if len(frame):
        figure.update_xaxes(range=[0, 1.02 * frame["step"].max()])


def _name(figure: go.Figure, x: float, y: float, name: str, color: str, shift: int = 0) -> None:
    figure.add_annotation(
        x=x,
        y=y,
        text=name,
        showarrow=False,
        xanchor="left",
        xshift=8,
        yshift=shift,
        font={"color": color, "size": 12},
        align="left",
    )
