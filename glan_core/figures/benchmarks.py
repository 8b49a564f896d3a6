"""Benchmark scores as grouped bars, one bar per model, with published scores in gray."""

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from glan_core.figures.labels import label
from glan_core.figures.style import Style, mix
from glan_core.formatting import number, shorten_title

BAR, GAP = 15, 14  # pixels per bar and between rows
PALE = 0.45
LEFT = 206  # pixels for row labels, so that stacked figures are aligned


def model_colors(models: Sequence[str], style: Style) -> dict[str, str]:
    """Return a color per model; a tuned model and its base share the hue, the base is paler."""
    names = list(dict.fromkeys(_stem(model) for model in models))
    hues = [style.hues[n] for n in (3, 1, 2, 0, 6, 5, 4, 7)]
    hue = {name: hues[nth % len(hues)] for nth, name in enumerate(names)}
    return {
        model: mix(hue[_stem(model)], style.background, PALE) if model.startswith("base:") else hue[_stem(model)]
        for model in models
    }


def scores_figure(rows: pd.DataFrame, titles: dict[str, str], style: Style, published: pd.DataFrame | None = None) -> go.Figure:
    """Draw scores in percent with their 95% intervals as bars.

    Args:
        rows: Result of `whole_rows` or `part_rows`.
        titles: Model -> display name; determines the order.
        style: The theme.
        published: Published scores (columns model, benchmark, score in percent, and part for scores of parts), drawn as gray
            diamonds on the first row of their benchmark or part.
    """
    labels = list(dict.fromkeys(rows["row"]))
    models = [model for model in titles if model in set(rows["model"])]
    colors = model_colors(models, style)
    figure = go.Figure()
    for model in models:
        own, title = rows[rows["model"] == model], label(titles[model])
        figure.add_bar(
            y=own["row"], x=own["score"], orientation="h", name=label(shorten_title(titles[model], 30)),
            marker={"color": colors[model], "line": {"width": 0}},
            error_x={
                "type": "data", "array": own["high"] - own["score"], "arrayminus": own["score"] - own["low"], "symmetric": False,
                "color": style.muted, "thickness": 1, "width": 3,
            },
            customdata=[
                (number(count), f" ({low:.1f} to {high:.1f}, 95 %)" if low == low else "")
                for count, low, high in zip(own["number"], own["low"], own["high"], strict=True)
            ],
            hovertemplate=f"{title}: %{{x:.1f}} %%{{customdata[1]}}, %{{customdata[0]}} rows<extra></extra>",
        )  # fmt: skip
    if published is not None and len(published):
        first = rows.drop_duplicates(["benchmark", "part"]).set_index(["benchmark", "part"])["row"]
        shown = published.assign(part=published.get("part", ""))
        shown = shown.set_index(["benchmark", "part"])
        shown = shown[shown.index.isin(first.index)]
        figure.add_scatter(
            y=first.loc[shown.index], x=shown["score"], mode="markers", name="published (full: GLAN)",
            marker={"symbol": ["diamond" if str(name).startswith("GLAN") else "diamond-open" for name in shown["model"]], "size": 8,
                    "color": style.muted},
            customdata=[label(str(name)) for name in shown["model"]],
            hovertemplate="%{customdata}: %{x:.1f} % (published, with the paper's protocol)<extra></extra>",
        )  # fmt: skip
    figure.update_layout(
        template=style.template, barmode="group", bargap=0.25, bargroupgap=0.06, margin={"l": LEFT, "t": 30, "b": 40, "r": 24},
        height=84 + len(labels) * (GAP + BAR * max(1, len(models))), showlegend=True,
        legend={"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom", "traceorder": "normal"},
        xaxis={"title": {"text": "correct answers, %"}, "range": [0, 100], "tickvals": list(range(0, 101, 20))},
        yaxis={
            "autorange": "reversed", "showgrid": False, "ticklabelstandoff": 6, "tickvals": labels, "automargin": False,
            "ticktext": [label(name, 40) for name in labels], "categoryorder": "array", "categoryarray": labels,
        },
    )  # fmt: skip
    return figure


def _stem(model: str) -> str:
    kind, _, name = model.partition(":")
    return name if kind in ("tuned", "base") else model
