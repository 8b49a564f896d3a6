"""Pictures of a run over the time that it was at work: what was stored, how the endpoint took it, what it cost."""

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from glan_core.figures.style import Style, mix
from glan_core.formatting import usd
from glan_core.workspace.run_rows import STALE_AFTER, Sample

HEIGHT = 210
COUNTS = {"rangemode": "tozero", "tickformat": "~s", "nticks": 5}  # 12k rather than 12,000: the axes are narrow


def samples_frame(samples: Sequence[Sample]) -> pd.DataFrame:
    """One row a sample: seconds at work, calls stored, in flight, allowed at a time, dollars, and how many requests were
    refused as too many (429) and how many failed since the sample before; `paused`: a pause lies before it.

    Time stands still while a run is paused: a gap far longer than is usual between samples counts like a usual one.
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
    """Calls stored against time."""
    time, unit = _time(frame)
    figure = go.Figure(go.Scatter(
        x=time, y=frame["done"], mode="lines", line={"color": style.accent, "width": 2}, fill="tozeroy",
        fillcolor=_faint(style), name="calls stored", hovertemplate="%{y:,} calls stored<extra></extra>",
    ))  # fmt: skip
    return _framed(figure, frame, style, unit, height, yaxis={"title": {"text": "calls stored"}, **COUNTS})


def pace_curve(frame: pd.DataFrame, style: Style, height: int = HEIGHT) -> go.Figure:
    """Calls in flight against time under the number allowed, and in a strip below what the endpoint refused or failed."""
    time, unit = _time(frame)
    amber = style.hues[1]
    figure = go.Figure([
        go.Scatter(x=time, y=frame["concurrency"], mode="lines", line={"color": style.muted, "width": 1.5, "shape": "hv"},
                   name="allowed", hovertemplate="%{y:,} allowed at a time<extra></extra>"),
        go.Scatter(x=time, y=frame["in_flight"], mode="lines", line={"color": style.accent, "width": 2}, name="in flight",
                   hovertemplate="%{y:,} in flight<extra></extra>"),
        go.Bar(x=time, y=frame["refused"], yaxis="y2", marker={"color": amber, "line": {"width": 0}}, name="refused",
               hovertemplate="%{y:,} refused as too many (429)<extra></extra>"),
        go.Bar(x=time, y=frame["faults"], yaxis="y2", marker={"color": style.failure, "line": {"width": 0}}, name="faults",
               hovertemplate="%{y:,} faults<extra></extra>"),
    ])  # fmt: skip
    top = max(1, int((frame["refused"] + frame["faults"]).max())) if len(frame) else 1
    figure = _framed(
        figure, frame, style, unit, height, barmode="stack", bargap=0.1,
        yaxis={"title": {"text": "at a time"}, "domain": [0.42, 1], **COUNTS},
        yaxis2={"title": {"text": "429, faults"}, "domain": [0, 0.27], **COUNTS, "range": [0, top * 1.05], "nticks": 2},
    )  # fmt: skip
    figure.update_xaxes(anchor="y2")
    return figure


def money_curve(frame: pd.DataFrame, budget_usd: float | None, style: Style, height: int = HEIGHT) -> go.Figure:
    """Dollars spent against time, under the budget where there is one."""
    time, unit = _time(frame)
    figure = go.Figure(go.Scatter(
        x=time, y=frame["usd"], mode="lines", line={"color": style.hues[2], "width": 2}, name="spent",
        hovertemplate="$%{y:,.4~f} spent<extra></extra>",
    ))  # fmt: skip
    top = max([*frame["usd"], budget_usd or 0.0, 1e-9])
    figure = _framed(
        figure, frame, style, unit, height,
        yaxis={"title": {"text": "dollars"}, "range": [0, top * 1.12], "tickprefix": "$", "tickformat": "~g", "nticks": 5},
    )  # fmt: skip
    if budget_usd is not None:
        figure.add_hline(
            y=budget_usd, line={"color": style.muted, "width": 1.5, "dash": "dash"}, annotation_text=f"budget {usd(budget_usd)}",
            annotation_position="top left", annotation_font={"color": style.muted, "size": 12},
        )  # fmt: skip
    return figure


def _time(frame: pd.DataFrame) -> tuple[pd.Series, str]:
    """The times of a frame in a unit that suits how long it is, and that unit."""
    longest = frame["seconds"].max() if len(frame) else 0
    unit, size = next(
        ((unit, size) for limit, unit, size in ((180, "seconds", 1), (10_800, "minutes", 60)) if longest <= limit),
        ("hours", 3600),
    )
    return frame["seconds"] / size, unit


def _framed(figure: go.Figure, frame: pd.DataFrame, style: Style, unit: str, height: int, **layout: object) -> go.Figure:
    """The figure in house style over its time axis, with a fine line where the run was paused."""
    time, _ = _time(frame)
    figure.update_layout(
        template=style.template, height=height, hovermode="x unified", margin={"l": 8, "r": 8, "t": 8, "b": 32},
        xaxis={"title": {"text": f"{unit} at work"}, "nticks": 6, "rangemode": "tozero", "showgrid": False}, **layout,
    )  # fmt: skip
    for at in time[frame["paused"]] if len(frame) else ():
        figure.add_vline(x=at, line={"color": style.muted, "width": 1, "dash": "dot"})
    return figure


def _faint(style: Style) -> str:
    return mix(style.background, style.accent, 0.12)
