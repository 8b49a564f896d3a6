"""Time series of a run: stored calls, request rate and cost."""

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from glan_core.figures.style import Style, count_axis, mix
from glan_core.formatting import usd
from glan_core.workspace.run_rows import STALE_AFTER, Sample

HEIGHT = 210


def samples_frame(samples: Sequence[Sample]) -> pd.DataFrame:
    """Return one row per sample: seconds, done, in_flight, concurrency, usd, refused, faults, paused.

    `refused` (429) and `faults` are counts since the previous sample. Pauses are excluded from `seconds`: a gap much longer than
    usual counts as a usual one and is marked by `paused`.
    """
    at = pd.Series([s.at for s in samples], dtype="float64")
    gaps = at.diff().fillna(0.0)
    usual = gaps[1:].median() if len(gaps) > 1 else 0.0
    paused = gaps > max(STALE_AFTER, 4 * usual)
    frame = pd.DataFrame(
        {
            "seconds": gaps.where(~paused, usual).cumsum(),
            "done": [s.done for s in samples],
            "in_flight": [s.in_flight for s in samples],
            "concurrency": [s.concurrency for s in samples],
            "usd": [s.cost_usd for s in samples],
            "refused": [s.throttled for s in samples],
            "faults": [s.faults for s in samples],
            "paused": paused,
        }
    )
    for name in ("refused", "faults"):
        frame[name] = frame[name].diff().fillna(frame[name]).clip(lower=0)
    return frame


def stored_curve(frame: pd.DataFrame, style: Style, height: int = HEIGHT) -> go.Figure:
    """Draw stored calls over time."""
    time, unit = _time(frame)
    figure = go.Figure(go.Scatter(
        x=time, y=frame["done"], mode="lines", line={"color": style.accent, "width": 2}, fill="tozeroy",
        fillcolor=_faint(style), name="calls stored", hovertemplate="%{y:,} calls stored<extra></extra>",
    ))  # fmt: skip
    return _framed(
        figure, frame, style, unit, height, yaxis={"title": {"text": "calls stored"}, **count_axis(_most(frame["done"]))}
    )


def request_curve(frame: pd.DataFrame, style: Style, height: int = HEIGHT) -> go.Figure:
    """Draw requests in flight and the concurrency limit over time, with rate-limited and failed requests below."""
    time, unit = _time(frame)
    amber = style.hues[1]
    figure = go.Figure([
        go.Scatter(x=time, y=frame["concurrency"], mode="lines", line={"color": style.muted, "width": 1.5, "shape": "hv"},
                   name="allowed", hovertemplate="concurrency limit %{y:,}<extra></extra>"),
        go.Scatter(x=time, y=frame["in_flight"], mode="lines", line={"color": style.accent, "width": 2}, name="in flight",
                   hovertemplate="%{y:,} in flight<extra></extra>"),
        go.Bar(x=time, y=frame["refused"], yaxis="y2", marker={"color": amber, "line": {"width": 0}}, name="refused",
               hovertemplate="%{y:,} rate limited (429)<extra></extra>"),
        go.Bar(x=time, y=frame["faults"], yaxis="y2", marker={"color": style.failure, "line": {"width": 0}}, name="faults",
               hovertemplate="%{y:,} faults<extra></extra>"),
    ])  # fmt: skip
    top = max(1, int((frame["refused"] + frame["faults"]).max())) if len(frame) else 1
    figure = _framed(
        figure, frame, style, unit, height, barmode="stack", bargap=0.1,
        yaxis={"title": {"text": "requests"}, "domain": [0.42, 1], **count_axis(_most(frame["concurrency"], frame["in_flight"]))},
        yaxis2={"title": {"text": "429, faults"}, "domain": [0, 0.27], **count_axis(top), "range": [0, top * 1.05], "dtick": max(1, top // 2)},
    )  # fmt: skip
    figure.update_xaxes(anchor="y2")
    return figure


def cost_curve(frame: pd.DataFrame, budget_usd: float | None, style: Style, height: int = HEIGHT) -> go.Figure:
    """Draw the cost in USD over time, with the budget if there is one."""
    time, unit = _time(frame)
    figure = go.Figure(go.Scatter(
        x=time, y=frame["usd"], mode="lines", line={"color": style.hues[2], "width": 2}, name="spent",
        hovertemplate="$%{y:,.4~f} spent<extra></extra>",
    ))  # fmt: skip
    top = max([*frame["usd"], budget_usd or 0.0, 1e-9])
    figure = _framed(
        figure, frame, style, unit, height,
        yaxis={"title": {"text": "USD"}, "range": [0, top * 1.12], "tickprefix": "$", "tickformat": "~g", "nticks": 5},
    )  # fmt: skip
    if budget_usd is not None:
        figure.add_hline(
            y=budget_usd, line={"color": style.muted, "width": 1.5, "dash": "dash"}, annotation_text=f"budget {usd(budget_usd)}",
            annotation_position="top left", annotation_font={"color": style.muted, "size": 12},
        )  # fmt: skip
    return figure


def _most(*columns: pd.Series) -> float:
    """Return the largest value of some columns, 0 without rows."""
    return max((float(column.max()) for column in columns if len(column)), default=0.0)


def _time(frame: pd.DataFrame) -> tuple[pd.Series, str]:
    """Return the times in a suitable unit, and the unit."""
    longest = frame["seconds"].max() if len(frame) else 0
    unit, size = next(
        ((unit, size) for limit, unit, size in ((180, "seconds", 1), (10_800, "minutes", 60)) if longest <= limit),
        ("hours", 3600),
    )
    return frame["seconds"] / size, unit


def _framed(figure: go.Figure, frame: pd.DataFrame, style: Style, unit: str, height: int, **layout: object) -> go.Figure:
    """Apply the style, the time axis and a line at each pause."""
    time, _ = _time(frame)
    figure.update_layout(
        template=style.template, height=height, hovermode="x unified", margin={"l": 8, "r": 8, "t": 8, "b": 32},
        xaxis={"title": {"text": f"{unit} active"}, "nticks": 6, "rangemode": "tozero", "showgrid": False}, **layout,
    )  # fmt: skip
    for at in time[frame["paused"]] if len(frame) else ():
        figure.add_vline(x=at, line={"color": style.muted, "width": 1, "dash": "dot"})
    return figure


def _faint(style: Style) -> str:
    return mix(style.background, style.accent, 0.12)
