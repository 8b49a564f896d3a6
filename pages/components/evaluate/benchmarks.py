"""Benchmarks view: scores of tuned and base models, their items, and the form of a new run."""

from typing import TYPE_CHECKING

import networkx as nx
import pandas as pd
import streamlit as st

from glan_core.errors import GlanError
from glan_core.evaluation import published_results
from glan_core.evaluation.benchmarks import score_frames
from glan_core.evaluation.benchmarks.registry import BENCHMARKS, MAIN, WAY_LABELS
from glan_core.figures import benchmarks as pictures
from glan_core.formatting import ago, number, plural, shorten_title
from glan_core.models.model_specs import list_specs, model_title
from glan_core.workspace import Workspace, benchmark_score_rows
from glan_core.workspace.benchmark_score_rows import Score
from pages.components.evaluate import benchmark_form, benchmark_items
from pages.components.shared import job_panel, page_frame, picture_table, plain_table
from pages.components.shared.untrusted_text import escape, show_error

if TYPE_CHECKING:
    from pandas.io.formats.style import Styler

VIEWS = ("Scores", "Questions", "Run")
EVERYTHING = "all"
CHART = {"displayModeBar": False}


def panel(ws: Workspace, tree: nx.DiGraph) -> None:
    """Draw running jobs and one of scores, items or form; without scores, the form."""
    busy = job_panel.show_progress(ws, "bench")
    found = benchmark_score_rows.scores(ws.db)
    if not found:
        st.info(
            "No benchmark scores yet. Benchmarks compare tuned models with their base models.",
            icon=":material/leaderboard:",
        )
        _run(ws, busy=busy)
        return
    view = st.segmented_control(
        "Benchmarks",
        VIEWS,
        key="bench_view",
        default=VIEWS[0],
        required=True,
        label_visibility="collapsed",
        bind="query-params",
    )
    if view == "Run":
        _run(ws, busy=busy)
    elif view == "Questions":
        benchmark_items.panel(ws, found)
    else:
        _scores(found)


def _run(ws: Workspace, *, busy: bool) -> None:
    if not list_specs(ws) and not st.session_state.get("run_bench_local"):
        st.caption("No tuned models yet. Fine-tune one on the Train page, or enter a folder of weights below.")
    try:
        benchmark_form.panel(ws, busy=busy)
    except GlanError as error:
        show_error(error)


def _scores(found: list[Score]) -> None:
    """Draw the scores of all benchmarks, or of the subsets of one."""
    frame = score_frames.scores_frame(found)
    models = list(
        dict.fromkeys(score.model for score in sorted(found, key=lambda score: (score.model.split(":", 1)[-1], score.model)))
    )
    titles = {model: model_title(model) for model in models}
    detailed = [id for id in BENCHMARKS if any(len(score_frames.part_rows(frame, id, way)) for way in BENCHMARKS[id].ways)]
    chosen = EVERYTHING
    if detailed:
        chosen = st.segmented_control(
            "Benchmark", [EVERYTHING, *detailed], default=EVERYTHING, required=True, key="bench_of", label_visibility="collapsed",
            format_func=lambda id: "All benchmarks" if id == EVERYTHING else BENCHMARKS[id].title,
        )  # fmt: skip
    paper = st.toggle("Show paper results", key="bench_paper", help=published_results.MARK)
    of_paper = published_results.benchmark_scores() if paper else None
    left, right = page_frame.main_and_detail("scores")
    with left:
        _picture(frame, chosen, titles, of_paper)
        if paper:
            st.caption(f"Diamonds: {published_results.MARK[0].lower()}{published_results.MARK[1:]}")
            picture_table.button(
                "paper_scores", "Published scores", published_results.benchmark_scores,
                {"model": "Model", "benchmark": "Benchmark", "part": "Part", "score": "Score"}, {"score": "%.1f %%"},
            )  # fmt: skip
    with right:
        _numbers(frame, found, chosen, titles)


def _picture(frame: pd.DataFrame, chosen: str, titles: dict[str, str], of_paper: pd.DataFrame | None) -> None:
    style = page_frame.figure_style()
    if chosen == EVERYTHING:
        figure = pictures.scores_figure(score_frames.whole_rows(frame), titles, style, of_paper)
        st.plotly_chart(
            figure, width="stretch", config=CHART, key="bench_all", alt=f"Benchmark scores of {plural(len(titles), 'model')}"
        )
        return
    for way in BENCHMARKS[chosen].ways:
        rows = score_frames.part_rows(frame, chosen, way)
        if len(rows):
            st.markdown(f"**{BENCHMARKS[chosen].title}** {WAY_LABELS[way]}")
            figure = pictures.scores_figure(rows, titles, style, of_paper)
            st.plotly_chart(
                figure, width="stretch", config=CHART, key=f"bench_{chosen}_{way}",
                alt=f"{BENCHMARKS[chosen].title} {WAY_LABELS[way]}: scores of {plural(len(titles), 'model')}",
            )  # fmt: skip


def _numbers(frame: pd.DataFrame, found: list[Score], chosen: str, titles: dict[str, str]) -> None:
    """Draw the scores as a table with one column per model."""
    shown = score_frames.whole_rows(frame) if chosen == EVERYTHING else _all_parts(frame, chosen)
    if chosen == EVERYTHING:  # the column is narrow
        shown = shown.assign(
            row=[row.replace(WAY_LABELS[way], way) for row, way in zip(shown["row"], shown["way"], strict=True)]
        )
    wide, counts = (
        shown.pivot_table(index="row", columns="model", values=values, sort=False).reset_index()
        for values in ("score", "number")
    )
    models = [model for model in titles if model in wide.columns]
    plain_table.draw(
        _with_few_rows(wide[["row", *models]], counts), hide_index=True, height="content" if len(wide) <= 14 else 525, placeholder="–",
        alt="Scores by benchmark and model",
        column_config={
            "row": st.column_config.TextColumn("Score, %", width=108, pinned=True, help="Accuracy or pass@1, in percent."),
            **{
                model: st.column_config.NumberColumn(
                    shorten_title(titles[model], 13), width=98,
                    help=f"{escape(titles[model])}: higher is better. Gray: fewer than {score_frames.FEWEST} rows (n), too few to compare.",
                )
                for model in models
            },
        },
    )  # fmt: skip
    _how(found, chosen)


def _with_few_rows(wide: pd.DataFrame, counts: pd.DataFrame) -> "Styler":
    """Write scores of few rows in gray, with the number of rows."""
    models = list(wide.columns[1:])
    style = wide.style.format("{:.1f}", subset=models, na_rep="–")
    for model in models:
        for at, count in enumerate(counts[model]):
            if count < score_frames.FEWEST:
                cell = ([at], [model])
                style = style.format("{:.1f} · n " + number(count), subset=cell).set_properties(subset=cell, color="gray")
    return style


def _all_parts(frame: pd.DataFrame, benchmark: str) -> pd.DataFrame:
    """Return all scores of a benchmark: overall, groups, other metrics, then subsets, for each scoring."""
    about, rows = BENCHMARKS[benchmark], []
    for way_name, way in about.ways.items():
        names = [MAIN, *about.groups, *way.others, *(part for part in about.parts if part != MAIN)]
        own = frame[(frame["benchmark"] == benchmark) & (frame["way"] == way_name) & frame["part"].isin(names)].copy()
        own["nth"] = [names.index(part) for part in own["part"]]
        words = ["All" if part == MAIN else score_frames.part_title(benchmark, way_name, part) for part in own["part"]]
        own["row"] = [f"{word}, {way_name}" if len(about.ways) > 1 else word for word in words]
        rows.append(own.sort_values("nth", kind="stable"))
    return pd.concat(rows)


def _how(found: list[Score], chosen: str) -> None:
    """Draw the settings of the newest score, and a warning if scores have different settings."""
    of = [score for score in found if score.part == MAIN and chosen in (EVERYTHING, score.benchmark)]
    newest = of[0]
    about = newest.about
    limit = f"the first {number(about['limit'])} rows per benchmark" if about.get("limit") else "all rows"
    asked = "with the model's chat template" if about.get("template") else "without a chat template"
    shots = f"{about.get('shots')}-shot, {about.get('measure')}, " if chosen != EVERYTHING else ""
    st.caption(escape(f"Newest: {ago(newest.at)}; {shots}{limit}, {asked}, lm-eval {about.get('lm_eval')}."))
    compared: dict[tuple, dict[str, str]] = {}
    for score in reversed(of):
        settings = {name: value for name, value in score.about.items() if name not in ("base", "max_tokens")}
        compared.setdefault((score.benchmark, score.way), {})[score.model] = benchmark_score_rows.settings_json(settings)
    if mixed := {
        BENCHMARKS[id].title for (id, _), by_model in compared.items() if id in BENCHMARKS and len(set(by_model.values())) > 1
    }:
        st.warning(
            f"{', '.join(sorted(mixed))}: scores were computed with different settings or data and are not comparable.",
            icon=":material/difference:",
        )
