"""Tokens of calls by stage."""

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from glan_core.figures.labels import label
from glan_core.figures.style import Style, count_axis, mix
from glan_core.workspace.call_rows import CallTotal

ROW = 30  # pixels per stage


def tokens_frame(totals: Sequence[CallTotal]) -> pd.DataFrame:
    """Return one row per stage, in the given order: stage, tokens_in, tokens_out."""
    rows = [(one.stage, one.tokens_in, one.tokens_out) for one in totals]
    frame = pd.DataFrame(rows, columns=["stage", "tokens_in", "tokens_out"])
    return frame.groupby("stage", sort=False, as_index=False).sum()


def tokens_figure(frame: pd.DataFrame, style: Style, titles: dict[str, str] | None = None) -> go.Figure:
    """Draw prompt and completion tokens as stacked bars, one per stage; `titles` are display names by stage."""
    labels = [label((titles or {}).get(stage, stage)) for stage in frame["stage"]]
    figure = go.Figure([
        go.Bar(
            y=labels, x=frame[column], orientation="h", name=name, marker={"color": color, "line": {"width": 0}},
            hovertemplate=f"%{{y}}: %{{x:,}} {name} tokens<extra></extra>",
        )
        for column, name, color in (
            ("tokens_in", "prompt", mix(style.background, style.accent, 0.45)), ("tokens_out", "completion", style.accent),
        )
    ])  # fmt: skip
    figure.update_layout(
        template=style.template, barmode="stack", bargap=0.35, height=90 + ROW * max(2, len(labels)), showlegend=True,
        legend={"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom", "traceorder": "normal"}, margin={"t": 30, "b": 40},
        xaxis={"title": {"text": "tokens"}, **count_axis(float((frame["tokens_in"] + frame["tokens_out"]).max() if len(frame) else 0))},
        yaxis={"autorange": "reversed", "showgrid": False, "ticklabelstandoff": 6},
    )  # fmt: skip
    return figure
