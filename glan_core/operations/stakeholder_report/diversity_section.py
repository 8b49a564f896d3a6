"""Section on diversity: a map of the questions, metrics with intervals, and saturation."""

import textwrap
from collections import Counter

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from glan_core.diversity import map_queries
from glan_core.diversity.map_store import Map, list_maps, read_map
from glan_core.diversity.metric_store import (
    METRICS,
    OVERALL,
    MetricReport,
    MetricValue,
    list_metrics,
    overall_value,
    read_metrics,
)
from glan_core.diversity.saturation import saturation_frame
from glan_core.errors import GlanError
from glan_core.figures import diversity_map, metrics
from glan_core.figures.labels import label_lines
from glan_core.formatting import exact, number, plural, shorten
from glan_core.operations.stakeholder_report.html_blocks import Html, Section, figure, heading, missing, paragraph, table
from glan_core.operations.stakeholder_report.report_data import STYLE, ReportData
from glan_core.untrusted import clean_line
from glan_core.workspace import homework_rows

POINTS, LABELS, SEED = 4000, 8, 0
WIDTH, HEIGHT = 1000, 560
BETTER = {"higher": "higher is more diverse", "lower": "lower is more diverse", None: ""}


def diversity_section(data: ReportData) -> Section:
    """Return the map, the metrics of all questions and by field, and the verdicts of saturation."""
    blocks = [*_map(data), *_metrics(data)]
    return Section("diversity", "Diversity", tuple(blocks))


def _map(data: ReportData) -> list[Html]:
    info = next((one for one in list_maps(data.ws) if one.dims == 2), None)
    try:
        shown = read_map(data.ws, info.embedder, 2) if info else None
    except GlanError:
        shown = None
    if shown is None or not len(shown.seqs):
        return [missing("No map yet: 'glan map' or the Diversity page places the questions by similarity.")]
    drawn, size = _drawn(data, shown)
    sampled = (
        f"A random sample of {number(size)} of {number(len(shown.seqs))} questions (seed {SEED})"
        if size < len(shown.seqs)
        else plural(size, "question")
    )
    caption = (
        f"{sampled}, colored by field. {shown.info.about} Projected with UMAP, seed {shown.info.seed}; close points are similar, the axes have "
        f"no meaning. Labels: keywords of up to {LABELS} of {plural(len(shown.info.clusters), 'cluster')}, the largest that find room."
    )
    return [figure(drawn, f"Map of {plural(size, 'question')} by similarity", caption)]


def _drawn(data: ReportData, shown: Map) -> tuple[go.Figure, int]:
    coloring = map_queries.color_rows(data.ws, data.tree, shown, "field")
    rows = map_queries.sample_rows(np.ones(len(shown.seqs), dtype=bool), POINTS, SEED)
    xy = np.asarray(shown.xy)
    names = list(coloring.names)
    points = pd.DataFrame({"seq": shown.seqs[rows], "x": xy[rows, 0], "y": xy[rows, 1]}).round(4)
    codes = coloring.codes[rows] if coloring.codes is not None else np.zeros(len(rows), dtype=int)
    points["name"] = np.array(names, dtype=object)[codes]
    points["text"] = _hover(data, points["seq"].tolist())
    window = diversity_map.extent_of(xy[:, :2])
    colors = dict(zip(names, diversity_map.palette(coloring.names, coloring.groups, STYLE), strict=True))
    places = map_queries.cluster_boxes(shown, 2 * LABELS)
    layers = diversity_map.MapLayers(clusters=diversity_map.placed_labels(places, xy[:, :2], window, LABELS, (WIDTH, HEIGHT)))
    drawn = diversity_map.map_figure(points, STYLE, window=window, coloring=diversity_map.Coloring(colors), layers=layers)
    vector = [
        go.Scatter({k: v for k, v in trace.to_plotly_json().items() if k not in ("type", "customdata")}) for trace in drawn.data
    ]
    figure_of_vectors = go.Figure(vector, drawn.layout)  # WebGL is a bitmap on paper, and missing in some viewers
    figure_of_vectors.update_layout(height=HEIGHT, dragmode=False)
    return figure_of_vectors, len(rows)


def _hover(data: ReportData, seqs: list[int]) -> list[str]:
    starts = homework_rows.question_starts(data.ws.db, seqs, 100)
    return [label_lines(*(textwrap.wrap(clean_line(starts.get(seq, "")), 56) or ["(deleted)"])) for seq in seqs]


def _metrics(data: ReportData) -> list[Html]:
    name = next(iter(list_metrics(data.ws)), None)
    measured = read_metrics(data.ws, name) if name else None
    if measured is None:
        return [missing("No diversity metrics yet: 'glan measure' or the Diversity page computes them.")]
    whole = measured.scopes.get(OVERALL, {})
    rows = [
        (about.label, _shown(metric, whole[metric]), _interval(metric, whole[metric]), number(whole[metric].n), about.tooltip)
        for metric, about in METRICS.items() if metric in whole
    ]  # fmt: skip
    which = "the dataset" if measured.rows == "kept" else "all questions"
    caption = (
        f"Computed on {plural(measured.number, 'question')} of {which} on {exact(measured.made_at)[:10]}. {measured.about} Intervals: 95%, by "
        f"resampling up to {number(measured.sample)} rows; – where all rows were measured. Comparable only for the same embedder."
    )
    blocks = [
        heading("Metrics"),
        table(("Metric", "Value", "95% interval", "n", "Meaning"), rows, align="lrrrl", caption=caption),
    ]
    return [*blocks, *_by_field(data, measured), *_saturation(data, measured)]


def _by_field(data: ReportData, measured: MetricReport) -> list[Html]:
    frame = metrics.metric_frame(measured, data.tree, "mean_distance")
    if len(frame) < 2:
        return []
    drawn = metrics.metric_figure(frame, METRICS["mean_distance"], overall_value(measured, "mean_distance"), STYLE)
    more = f" The highest {metrics.MAX_ROWS} of {len(frame)} fields." if len(frame) > metrics.MAX_ROWS else ""
    return [
        figure(
            drawn,
            "Mean distance by field",
            f"Mean distance of the questions by field, with 95% intervals; higher is more diverse.{more}",
        )
    ]


def _saturation(data: ReportData, measured: MetricReport) -> list[Html]:
    frame = saturation_frame(measured, data.tree)
    if frame.empty:
        return []
    shown = frame.head(30)
    rows = [
        (row["name"], number(row["questions"]), _two(row["first"]), _two(row["latest"]), row["verdict"])
        for row in shown.to_dict("records")
    ]
    said = "; ".join(f"{verdict}: {plural(count, 'discipline')}" for verdict, count in Counter(frame["verdict"]).most_common())
    caption = (
        "Novelty: mean cosine distance of a question to the nearest earlier one of its discipline, of the first and the latest questions. "
        "Low novelty of the latest means that more questions add little."
        + (f" {len(shown)} of {len(frame)} disciplines." if len(shown) < len(frame) else "")
    )
    table_of = table(("Discipline", "Questions", "First", "Latest", "Verdict"), rows, align="lrrrl", caption=caption)
    return [heading("Saturation"), paragraph(said[:1].upper() + said[1:] + "."), table_of]


def _two(value: object) -> str:
    return f"{float(value):.2f}" if isinstance(value, int | float) and value == value else "–"


def _shown(metric: str, value: MetricValue) -> str:
    return f"{value.value:,.{METRICS[metric].digits}f}{METRICS[metric].unit}"


def _interval(metric: str, value: MetricValue) -> str:
    if value.low is None or value.high is None:
        return "–"
    digits = METRICS[metric].digits
    return f"{value.low:,.{digits}f} to {value.high:,.{digits}f}"


def headline(data: ReportData) -> str:
    """Return the mean distance with its interval as a sentence; '' without metrics."""
    name = next(iter(list_metrics(data.ws)), None)
    measured = read_metrics(data.ws, name) if name else None
    value = measured.scopes.get(OVERALL, {}).get("mean_distance") if measured else None
    if value is None or measured is None:
        return ""
    between = f" (95% interval {_interval('mean_distance', value)})" if value.low is not None else ""
    return (
        f"Mean distance between two questions: {_shown('mean_distance', value)}{between}, on {plural(value.n, 'question')}, by "
        f"the embedder {shorten(measured.embedder.rpartition('/')[2], 60)}; higher is more diverse."
    )
