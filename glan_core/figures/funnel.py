"""The funnel of a dataset, from generated questions to kept pairs."""

import pandas as pd
import plotly.graph_objects as go

from glan_core.figures.style import Style, ink_on, mix
from glan_core.taxonomy.coverage import Coverage
from glan_core.workspace.tag_rows import REASONS

HEIGHT = 330
STEPS = {
    "pairs": "Question and answer",
    "rejected": "Not rejected",
    "quality": "Passes quality filters",
    "duplicate": "No near-duplicate",
    "contaminated": "No benchmark overlap",
}
REASON_WORDS = {
    "questions": "", "pairs": "without answer", "rejected": "rejected", "quality": "by filters", "duplicate": "similar",
    "contaminated": "in a benchmark",
}  # fmt: skip
EXCLUDED = {"rejected": "rejected", "quality": "filtered", "duplicate": "near-duplicates", "contaminated": "contaminated"}


def funnel_frame(coverage: Coverage) -> pd.DataFrame:
    """Return one row per step: step (key of STEPS), words, remaining count, removed count.

    The first two rows are all questions and those with an answer.
    """
    counts = coverage.counts
    rows = [("questions", "Questions", int(counts["questions"]), 0)]
    left = int(counts["pairs"])
    rows.append(("pairs", STEPS["pairs"], left, rows[0][2] - left))
    for reason in REASONS:
        out = int(counts[f"dropped_{reason}"])
        left -= out
        rows.append((reason, STEPS[reason], left, out))
    return pd.DataFrame(rows, columns=["step", "words", "left", "out"])


def funnel_figure(frame: pd.DataFrame, style: Style) -> go.Figure:
    """Draw the steps as bars from top to bottom, with removed counts in gray."""
    left, out = frame["left"], frame["out"]
    left_labels = [f"<b>{n:,}</b>" for n in left]
    out_labels = [f"−{n:,} {REASON_WORDS[step]}" if n else "" for n, step in zip(out, frame["step"], strict=True)]
    colors = [*[style.accent] * (len(frame) - 1), style.hues[2]]
    figure = go.Figure([
        go.Bar(
            y=frame["words"], x=left, orientation="h", text=left_labels, textposition="auto", insidetextanchor="start",
            marker={"color": colors, "line": {"width": 0}}, customdata=frame["step"],
            insidetextfont={"color": [ink_on(color) for color in colors]},
            hovertemplate="%{y}: %{x:,} remaining<extra></extra>", textfont={"size": 14},
        ),
        go.Bar(
            y=frame["words"], x=out, orientation="h", text=out_labels, textposition="outside", cliponaxis=False,
            marker={"color": mix(style.nothing, style.muted, 0.3), "line": {"width": 0}}, customdata=frame["step"],
            hovertemplate="%{y}: %{x:,} removed<extra></extra>", textfont={"size": 13, "color": style.muted},
        ),
    ])  # fmt: skip
    most = max(1, int((left + out).max())) if len(frame) else 1
    figure.update_layout(
        template=style.template, height=HEIGHT, barmode="stack", bargap=0.32, hovermode="closest",
        xaxis={"visible": False, "range": [0, most * 1.3]}, yaxis={"autorange": "reversed", "showgrid": False, "ticklabelstandoff": 8},
    )  # fmt: skip
    return figure
