"""Pictures of benchmark scores: a bar for each model, rows for benchmarks or for the parts of one; what a paper published beside them
in grey."""

from collections.abc import Sequence
from html import escape

import pandas as pd
import plotly.graph_objects as go

from glan_core.figures.style import Style, mix
from glan_core.formatting import number, shorten

BAR, GAP = 15, 14  # pixels of a bar, and between rows
PALE = 0.45
LEFT = 206  # pixels for the names of rows, so that pictures below each other begin at the same place


def model_colors(models: Sequence[str], style: Style) -> dict[str, str]:
    """A hue for each model; a tuned model and its base share it, the base's is pale."""
    names = list(dict.fromkeys(_stem(model) for model in models))
    hues = [style.hues[n] for n in (3, 1, 2, 0, 6, 5, 4, 7)]
    hue = {name: hues[nth % len(hues)] for nth, name in enumerate(names)}
    return {
        model: mix(hue[_stem(model)], style.background, PALE) if model.startswith("base:") else hue[_stem(model)]
        for model in models
    }


def scores_figure(rows: pd.DataFrame, titles: dict[str, str], style: Style, published: pd.DataFrame | None = None) -> go.Figure:
    """Rows (`whole_rows` or `part_rows`) as bars of percent with their standard errors, a bar for each model of `titles` (model ->
    its name for people), in that order. `published`: scores of a paper (columns model, benchmark, score in percent, and part
    where they are of parts), drawn as grey diamonds on the first row of their benchmark or part."""
    labels = list(dict.fromkeys(rows["row"]))
    models = [model for model in titles if model in set(rows["model"])]
    colors = model_colors(models, style)
    figure = go.Figure()
    for model in models:
        own, title = rows[rows["model"] == model], escape(titles[model])
        figure.add_bar(
            y=own["row"], x=own["score"], orientation="h", name=shorten(title, 30), marker={"color": colors[model], "line": {"width": 0}},
            error_x={"type": "data", "array": own["error"], "color": style.muted, "thickness": 1, "width": 3},
            customdata=[
                (number(count), f" ± {error:.1f}" if error == error else "")
                for count, error in zip(own["number"], own["error"], strict=True)
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
            customdata=[escape(str(name)) for name in shown["model"]],
            hovertemplate="%{customdata}: %{x:.1f} %, published, under the paper's protocol<extra></extra>",
        )  # fmt: skip
    figure.update_layout(
        template=style.template, barmode="group", bargap=0.25, bargroupgap=0.06, margin={"l": LEFT, "t": 30, "b": 40, "r": 24},
        height=84 + len(labels) * (GAP + BAR * max(1, len(models))), showlegend=True,
        legend={"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom", "traceorder": "normal"},
        xaxis={"title": {"text": "right answers, %"}, "range": [0, 100], "tickvals": list(range(0, 101, 20))},
        yaxis={
            "autorange": "reversed", "showgrid": False, "ticklabelstandoff": 6, "tickvals": labels, "automargin": False,
            "ticktext": [escape(shorten(label, 40)) for label in labels], "categoryorder": "array", "categoryarray": labels,
        },
    )  # fmt: skip
    return figure


def _stem(model: str) -> str:
    kind, _, name = model.partition(":")
    return name if kind in ("tuned", "base") else model
