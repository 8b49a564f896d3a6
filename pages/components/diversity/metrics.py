"""Metrics view: diversity metrics by field and discipline, distributions, and saturation."""

import networkx as nx
import pandas as pd
import streamlit as st

from glan_core.diversity.metric_store import METRICS, OVERALL, TOO_FEW, MetricReport, MetricValue, overall_value, read_metrics
from glan_core.diversity.saturation import saturation_frame
from glan_core.figures import metrics as pictures
from glan_core.formatting import ago, number, plural
from glan_core.taxonomy import hierarchy
from glan_core.workspace import Workspace
from pages.components.diversity import embedder_form
from pages.components.shared import page_frame, picture_table, plain_table, row_selection, url_state
from pages.components.shared.untrusted_text import escape

HISTOGRAMS = {
    "nearest": ("Nearest similarity", "similarity to the nearest other question"),
    "question_length": ("Question length", "characters of the question"),
    "answer_length": ("Answer length", "characters of the answer"),
    "level": ("Levels", "level of the subject"),
}
CURVES = 8


def panel(ws: Workspace, tree: nx.DiGraph, embedder: str) -> None:
    """Draw one metric by field or discipline, all metrics of the focus, and saturation."""
    measured = read_metrics(ws, embedder)
    if measured is None:
        st.info("No metrics for this embedder yet.", icon=":material/straighten:")
        st.button("Compute metrics", type="primary", on_click=embedder_form.start_metrics, args=(ws, embedder))
        return
    focus = url_state.focus()
    scope = _scope(measured, tree, focus)
    left, right = page_frame.main_and_detail()
    with left:
        measure = st.selectbox("Metric", list(METRICS), format_func=lambda name: METRICS[name].label, key="diversity_measure", width=260,
                               help="Shown by field, or by discipline of the focus.")  # fmt: skip
        st.caption(METRICS[measure].tooltip)
        frame = pictures.metric_frame(measured, tree, measure, focus)
        if frame.empty:
            st.caption(f"{TOO_FEW.capitalize()} for this metric here.")
        else:
            figure = pictures.metric_figure(
                frame, METRICS[measure], overall_value(measured, measure), page_frame.figure_style(), focus
            )
            about = METRICS[measure]
            st.plotly_chart(
                figure, width="stretch", config={"displayModeBar": False}, key="metric_figure",
                alt=f"{about.label} of {plural(len(frame), 'part')} of the taxonomy",
            )  # fmt: skip
            if len(frame) > pictures.MAX_ROWS:
                st.caption(f"Showing the highest {pictures.MAX_ROWS} of {number(len(frame))}.")
            form = f"%.{about.digits}f"
            picture_table.button(
                "metric", about.label, lambda: frame.astype({"low": float, "high": float}),
                {"name": "Part", "value": about.label, "low": "Low (95%)", "high": "High (95%)", "n": "Rows"},
                {"value": form, "low": form, "high": form},
            )  # fmt: skip
        _histogram(measured, scope)
    with right:
        _numbers(measured, tree, scope)
    _saturation(measured, tree, focus)


def _scope(measured: MetricReport, tree: nx.DiGraph, focus: str | None) -> str:
    """Return the measured scope of the focus: the node itself or its nearest measured ancestor."""
    nodes = reversed(hierarchy.path(tree, focus)) if focus else ()
    return next((node.id for node in nodes if node.id in measured.scopes), OVERALL)


def _numbers(measured: MetricReport, tree: nx.DiGraph, scope: str) -> None:
    """Draw all metrics of a scope, with intervals where they are estimated."""
    name = escape(tree.nodes[scope]["node"].name) if scope else "All knowledge"
    st.markdown(f"**{name}**")
    values = measured.scopes.get(scope, {})
    with st.grid(2, gap="small", min_column_width=130):
        for measure, about in METRICS.items():
            if measure in values:
                value = values[measure]
                st.metric(
                    about.label, _number(value.value, measure), _interval(value, measure), delta_color="off", delta_arrow="off",
                    help=f"{about.tooltip} Computed on {plural(value.n, 'row')}.",
                )  # fmt: skip
            else:
                st.metric(about.label, "–", TOO_FEW, delta_color="off", delta_arrow="off", help=about.tooltip)
    which = "dataset" if measured.rows == "kept" else "all questions"
    st.caption(
        f"Computed on {plural(measured.number, 'question')} ({which}) {ago(measured.made_at)}. {escape(measured.about)} Intervals are 95% "
        f"resampling intervals on up to {number(measured.sample)} rows. The Vendi score is bounded by {number(measured.dim)} here; "
        "metrics are comparable only for the same embedder."
    )  # fmt: skip


def _number(value: float, measure: str) -> str:
    about = METRICS[measure]
    return f"{value:,.{about.digits}f}{about.unit}"


def _interval(value: MetricValue, measure: str) -> str | None:
    if value.low is None:
        return None
    return f"{_number(value.low, measure)} to {_number(value.high, measure)}"


def _histogram(measured: MetricReport, scope: str) -> None:
    """Draw one of the distributions stored for the scope."""
    there = {name: words for name, words in HISTOGRAMS.items() if scope in measured.histograms.get(name, {})}
    if not there:
        return
    which = st.segmented_control(
        "Distribution", list(there), default=next(iter(there)), format_func=lambda name: there[name][0], key="histogram",
        required=True,
    )  # fmt: skip
    mark = 0.9 if which == "nearest" else None
    figure = pictures.histogram_figure(measured.histograms[which][scope], there[which][1], page_frame.figure_style(), mark=mark)
    st.plotly_chart(
        figure, width="stretch", config={"displayModeBar": False}, key="histogram_figure", alt=f"Questions by {there[which][1]}"
    )
    picture_table.button(
        "histogram", f"Questions by {there[which][1]}", lambda: pictures.histogram_frame(measured.histograms[which][scope]),
        {"name": there[which][0], "from": "From", "to": "To", "count": "Questions"}, {"from": "%.4g", "to": "%.4g"},
    )  # fmt: skip


def _saturation(measured: MetricReport, tree: nx.DiGraph, focus: str | None) -> None:
    """Draw where additional questions add less and less novelty."""
    frame = saturation_frame(measured, tree, focus)
    if frame.empty:
        return
    st.header(
        "Saturation", anchor=False,
        help="Novelty of a question: cosine distance to the nearest earlier question of its discipline. Low novelty of recent questions "
        "means that more questions add little.",
    )  # fmt: skip
    saturated = frame[frame["verdict"] == "little new ground"]
    left, right = page_frame.main_and_detail()
    selected, picking = row_selection.several_rows("saturation", len(frame))
    with left:
        _table(frame, picking)
    with right:
        ids = [frame["id"][row] for row in selected][:CURVES] or frame["id"].head(4).tolist()
        names = {id: tree.nodes[id]["node"].name for id in ids}
        curves = {id: measured.curves[id] for id in ids}
        st.plotly_chart(
            pictures.curves_figure(curves, names, page_frame.figure_style()), width="stretch", config={"displayModeBar": False},
            key="curves_figure", alt=f"Novelty of the latest questions against the number of questions: {', '.join(names.values())}",
        )  # fmt: skip
        st.caption(
            f"Novelty of the latest questions against the number of questions. Select up to {CURVES} disciplines to compare."
        )
        picture_table.button(
            "curves", "Novelty by number of questions",
            lambda: pd.DataFrame([(names[id], *point) for id in ids for point in curves[id]], columns=["name", "n", "novelty"]),
            {"name": "Discipline", "n": "Questions", "novelty": "Novelty"}, {"novelty": "%.3f"},
        )  # fmt: skip
        fresh = frame[frame["verdict"].isin(["new ground", "slowing"])]["id"].tolist()
        if fresh and len(saturated):
            if st.button(
                f"Plan a run for {plural(len(fresh), 'unsaturated discipline')}", icon=":material/play_circle:",
                help=f"Excludes {plural(len(saturated), 'saturated discipline')}, where more questions add little.",
            ):  # fmt: skip
                st.session_state.run_disciplines = fresh
                url_state.open_page("pages/runs.py")
        elif len(saturated):
            st.caption(
                "All disciplines here are saturated: change the sampling settings or the teacher instead of adding questions."
            )


def _table(frame: pd.DataFrame, picking: dict) -> None:
    plain_table.draw(
        frame[["name", "questions", "curve", "first", "latest", "verdict"]], hide_index=True, **picking,
        height="content" if len(frame) <= 9 else 352, placeholder="–", alt="Saturation by discipline",
        column_config={
            "name": st.column_config.TextColumn("Discipline", width=150),
            "questions": st.column_config.NumberColumn("Questions", format="localized", width=80),
            "curve": st.column_config.LineChartColumn("Novelty", y_min=0, y_max=1, width=110),
            "first": st.column_config.NumberColumn("First", format="%.2f", width=65, help="Mean novelty of the first questions."),
            "latest": st.column_config.NumberColumn("Latest", format="%.2f", width=65, help="Mean novelty of the latest questions."),
            "verdict": st.column_config.TextColumn("Verdict", width=120),
        },
    )  # fmt: skip
