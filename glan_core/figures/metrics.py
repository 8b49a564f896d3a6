"""Diversity metrics: one metric across scopes, histograms and novelty curves."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import networkx as nx
import pandas as pd
import plotly.graph_objects as go

from glan_core.figures.labels import label
from glan_core.figures.style import Style, count_axis, mix
from glan_core.taxonomy import hierarchy

if TYPE_CHECKING:
    from glan_core.diversity.metric_store import Histogram, Metric, MetricReport

ROW = 25  # pixels per scope
MAX_ROWS = 26
HEIGHT = 230


def metric_frame(measured: "MetricReport", tree: nx.DiGraph, measure: str, focus: str | None = None) -> pd.DataFrame:
    """Return a metric by field, or by discipline below `focus`, highest first: id, name, group, value, low, high, n.

    For a discipline, the disciplines with the same parent are returned.
    """
    if focus and tree.nodes[focus]["node"].kind == "discipline":
        focus = tree.nodes[focus]["node"].parent_id
    ids = [node.id for node in hierarchy.walk(tree) if node.kind == "field"] if focus is None else []
    ids = ids or hierarchy.disciplines_under(tree, focus)
    rows = []
    for id in ids:
        if value := measured.scopes.get(id, {}).get(measure):
            rows.append(
                (id, tree.nodes[id]["node"].name, hierarchy.group_of(tree, id), value.value, value.low, value.high, value.n)
            )
    frame = pd.DataFrame(rows, columns=["id", "name", "group", "value", "low", "high", "n"])
    return frame.sort_values("value", ascending=False, kind="stable", ignore_index=True)


def metric_figure(
    frame: pd.DataFrame, about: "Metric", overall: float | None, style: Style, picked: str | None = None
) -> go.Figure:
    """Draw a dot per scope with its interval, if any; `picked` is outlined, and a line marks the value of all rows."""
    shown = frame.head(MAX_ROWS)
    form = f",.{about.digits}f"
    above = (shown["high"].astype(float) - shown["value"]).fillna(0).clip(lower=0)
    below = (shown["value"] - shown["low"].astype(float)).fillna(0).clip(lower=0)
    figure = go.Figure(go.Scatter(
        x=shown["value"], y=[label(name, 30) for name in shown["name"]], mode="markers", customdata=shown[["id", "n"]],
        marker={
            "size": [14 if id == picked else 10 for id in shown["id"]],
            "color": [style.groups.get(group, style.muted) for group in shown["group"]],
            "line": {"color": style.text, "width": [2 if id == picked else 0 for id in shown["id"]]},
        },
        error_x={"type": "data", "array": above, "arrayminus": below, "thickness": 1.5, "width": 0, "color": style.muted},
        hovertemplate=f"<b>%{{y}}</b><br>%{{x:{form}}}{about.unit} on %{{customdata[1]:,}} rows<extra></extra>",
    ))  # fmt: skip
    if overall is not None:
        figure.add_vline(
            x=overall, line={"color": style.muted, "width": 1.5, "dash": "dot"}, annotation_text=f"all {overall:{form}}{about.unit}",
            annotation_position="top", annotation_font={"color": style.muted, "size": 12},
        )  # fmt: skip
    title = f"{about.label}{' in %' if about.unit == '%' else ''}"
    figure.update_layout(
        template=style.template, height=90 + ROW * max(3, len(shown)), margin={"t": 26, "b": 40}, hovermode="closest",
        xaxis={"title": {"text": title}, "nticks": 6}, yaxis={"autorange": "reversed", "ticklabelstandoff": 6, "showgrid": True},
    )  # fmt: skip
    return figure


def histogram_frame(histogram: "Histogram") -> pd.DataFrame:
    """Return the counts of a histogram by name, or by interval: name, or from and to, and count."""
    if histogram.names:
        return pd.DataFrame({"name": histogram.names, "count": histogram.counts})
    return pd.DataFrame({"from": histogram.edges[:-1], "to": histogram.edges[1:], "count": histogram.counts})


def histogram_figure(histogram: "Histogram", title: str, style: Style, *, mark: float | None = None) -> go.Figure:
    """Draw the count per bin or category, with a line at `mark`."""
    if histogram.names:
        figure = go.Figure(go.Bar(
            x=[label(name, 24) for name in histogram.names], y=histogram.counts, marker={"color": style.accent},
            hovertemplate="%{x}: %{y:,}<extra></extra>",
        ))  # fmt: skip
    else:
        edges = histogram.edges
        middles = [(a + b) / 2 for a, b in pairwise(edges)]
        widths = [b - a for a, b in pairwise(edges)]
        figure = go.Figure(go.Bar(
            x=middles, y=histogram.counts, width=widths, marker={"color": style.accent, "line": {"width": 0.5, "color": style.background}},
            customdata=list(pairwise(edges)),
            hovertemplate="%{customdata[0]:,.4~g} to %{customdata[1]:,.4~g}: %{y:,}<extra></extra>",
        ))  # fmt: skip
    if mark is not None:
        figure.add_vline(x=mark, line={"color": style.failure, "width": 1.5, "dash": "dot"})
    figure.update_layout(
        template=style.template, height=HEIGHT, bargap=0.15 if histogram.names else 0, margin={"b": 36},
        xaxis={"title": {"text": title}}, yaxis={"title": {"text": "questions"}, **count_axis(max(histogram.counts, default=0))},
    )  # fmt: skip
    return figure


def curves_figure(curves: Mapping[str, Sequence[tuple[int, float]]], names: Mapping[str, str], style: Style) -> go.Figure:
    """Draw the novelty curves of up to eight disciplines: mean novelty of the latest questions by number of questions."""
    figure = go.Figure()
    for place, (id, curve) in enumerate(curves.items()):
        color = style.accent if len(curves) == 1 else style.hues[(3, 1, 2, 0, 4, 5, 6, 7)[place % 8]]
        figure.add_trace(go.Scatter(
            x=[n for n, _ in curve], y=[value for _, value in curve], mode="lines+markers", name=label(names[id], 26),
            line={"color": color, "width": 2}, marker={"size": 5}, showlegend=len(curves) > 1,
            hovertemplate=f"{label(names[id], 40)}: %{{y:.2f}} after %{{x:,}}<extra></extra>",
        ))  # fmt: skip
    figure.update_layout(
        template=style.template, height=HEIGHT + 40, margin={"b": 36}, showlegend=len(curves) > 1, hovermode="closest",
        legend={"orientation": "h", "y": -0.28, "yanchor": "top"}, xaxis={"title": {"text": "questions"}, "rangemode": "tozero"},
        yaxis={"title": {"text": "novelty"}, "range": [0, 1]}, colorway=[mix(style.muted, style.accent, 0.5)],
    )  # fmt: skip
    return figure
