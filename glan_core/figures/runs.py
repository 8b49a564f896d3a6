"""Pictures of runs: what was stored over time, and how the endpoint took it."""

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from glan_core.figures.style import Style
from glan_core.workspace.run_rows import Sample


def samples_frame(samples: Sequence[Sample], started_at: float) -> pd.DataFrame:
    """One row a sample: seconds since the start, calls stored, in flight, allowed at a time, refused (429), dollars."""
    return pd.DataFrame(
        {
            "seconds": [s.at - started_at for s in samples],
            "done": [s.done for s in samples],
            "in_flight": [s.in_flight for s in samples],
            "concurrency": [s.concurrency for s in samples],
            "throttled": [s.throttled for s in samples],
            "usd": [s.cost_usd for s in samples],
        }
    )


def progress_curve(frame: pd.DataFrame, style: Style, height: int = 220) -> go.Figure:
    """Calls stored against time, with those in flight below."""
    unit, size = ("minutes", 60) if len(frame) and frame["seconds"].max() > 180 else ("seconds", 1)
    time = frame["seconds"] / size
    figure = go.Figure([
        go.Scatter(x=time, y=frame["done"], mode="lines", line={"color": style.accent, "width": 2}, name="calls stored",
                   hovertemplate="%{y:,} calls stored<extra></extra>"),
        go.Scatter(x=time, y=frame["in_flight"], mode="lines", line={"color": style.muted, "width": 1, "dash": "dot"},
                   name="in flight", yaxis="y2", hovertemplate="%{y} in flight<extra></extra>"),
    ])  # fmt: skip
    counts = {"rangemode": "tozero", "tickmode": "auto", "tickformat": ",d", "nticks": 5}
    figure.update_layout(
        template=style.template, height=height, hovermode="x unified", margin={"l": 8, "r": 8, "t": 8, "b": 36},
        xaxis={"title": {"text": unit}}, yaxis={"title": {"text": "calls stored"}, **counts},
        yaxis2={"title": {"text": "in flight (dotted)"}, **counts, "overlaying": "y", "side": "right", "showgrid": False},
    )  # fmt: skip
    return figure
