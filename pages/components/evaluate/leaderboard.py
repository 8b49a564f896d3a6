"""Leaderboard view: all evaluated models, with the paper's published results."""

from math import sqrt
from typing import TYPE_CHECKING

import networkx as nx
import pandas as pd
import streamlit as st

from glan_core.dataset.glan_test_store import GlanTest, list_tests
from glan_core.evaluation import published_results
from glan_core.evaluation.benchmarks.score_frames import FEWEST
from glan_core.evaluation.leaderboard import leaderboard, rows_column
from glan_core.evaluation.proportions import wilson_interval
from glan_core.formatting import number, percent, plural, shorten_title, signed
from glan_core.models.tuned_model_store import list_models
from glan_core.taxonomy import coverage
from glan_core.workspace import Workspace, benchmark_score_rows, match_rows, probe_rows
from pages.components.evaluate import match_view, ranking
from pages.components.shared import empty_state, page_frame, plain_table, row_selection, url_state
from pages.components.shared.tokenizer_caption import tokenizers_caption
from pages.components.shared.untrusted_text import escape

if TYPE_CHECKING:
    from pandas.io.formats.style import Styler

LABELS = {
    "gsm8k": "GSM8K", "math": "MATH", "humaneval": "HumanEval", "mbpp": "MBPP", "bbh": "BBH", "arc_easy": "ARC-E",
    "arc_challenge": "ARC-C", "mmlu": "MMLU", "ifeval": "IFEval",
}  # fmt: skip
PAPER = "paper · "


def panel(ws: Workspace, tree: nx.DiGraph) -> None:
    """Draw the table of models and the details of the selected one."""
    models, matches, probes = list_models(ws), match_rows.matches(ws.db), probe_rows.probes(ws.db)
    scores = benchmark_score_rows.scores(ws.db, parts=False)
    if not (models or matches or probes or scores):
        _nothing(ws, tree)
        return
    state = (
        tuple((m.name, m.weights_hash, m.created_at) for m in models), tuple(match_rows.result_state(ws.db, m) for m in matches),
        tuple((p.id, p.at, p.model, p.delta_percent) for p in probes),
        tuple((s.model, s.benchmark, s.way, s.at, s.score, s.number) for s in scores),
        tuple((test.name, test.hash) for test in list_tests(ws)),
    )  # fmt: skip
    frame = _board(ws, str(ws.folder), state)
    paper = st.toggle("Show paper results", key="evaluate_with_paper", help=published_results.MARK)
    left, right = page_frame.main_and_detail("board")
    with left:
        selection = _table(frame, paper=paper)
        tokenizers_caption(models)
    with right:
        _detail(ws, frame, selection)
    ranking.panel(ws, state)


@st.cache_data(max_entries=10, show_spinner=False)
def _board(_ws: Workspace, folder: str, state: tuple) -> pd.DataFrame:
    return leaderboard(_ws)


def _nothing(ws: Workspace, tree: nx.DiGraph) -> None:
    """Draw the empty state with the next step."""
    tests, pairs = list_tests(ws), coverage.coverage_by_node(ws, tree)[""].counts["pairs"]
    st.info(
        "No evaluations yet. Models are ranked here by judged GLAN-Tests, benchmarks and contamination probes, next to the paper's "
        "published results.", icon=":material/leaderboard:",
    )  # fmt: skip
    if not ws.read_only:
        _next_step(tests, pairs)
    empty_state.still("evaluate")


def _next_step(tests: list[GlanTest], pairs: float) -> None:
    """Draw the button of what is needed next for an evaluation."""
    if not pairs:
        st.caption("The first step is to generate questions with a run.")
        if st.button("Plan a run", type="primary", icon=":material/play_circle:"):
            url_state.open_page("pages/runs.py")
    elif not tests:
        st.caption(
            "Create a held-out test before you create the training snapshot, so that models can be tested on unseen questions."
        )
        if st.button("Create held-out test", type="primary", icon=":material/science:"):
            st.session_state.evaluate_asked = "Judge"
            st.rerun()
    else:
        st.caption(f"{plural(len(tests), 'test')} created. The next step is to train a model.")
        if st.button("Train a model", type="primary", icon=":material/model_training:"):
            url_state.open_page("pages/train.py")


def _table(frame: pd.DataFrame, *, paper: bool) -> str:
    """Draw the table of models; returns the selected one."""
    frame = frame.sort_values("difference", ascending=False, na_position="last", kind="stable", ignore_index=True)
    of_paper = published_results.main_results() if paper else pd.DataFrame()
    benchmarks = [name for name in LABELS if name in frame or name in of_paper]
    shown = pd.DataFrame({
        "title": [shorten_title(title, 31) for title in frame["title"]], "difference": frame["difference"].astype(float),
        "beside": [None if pd.isna(title) else shorten_title(title, 31) for title in frame["beside"]],
        "loss": frame["loss"].astype(float), "bits": frame["bits"].astype(float), "delta": frame["delta_percent"].astype(float),
        **{name: frame[name].astype(float) if name in frame else None for name in benchmarks},
    })  # fmt: skip
    if paper:
        rows = [{"title": f"{PAPER}{name}", **{b: row.get(b) for b in benchmarks}} for name, row in of_paper.iterrows()]
        shown = pd.concat([shown, pd.DataFrame(rows)], ignore_index=True)
    names, counts = frame["model"].tolist(), {name: frame.get(rows_column(name)) for name in benchmarks}
    at, picking = row_selection.single_row_selection(f"board_{len(names)}_{paper}", names, "evaluate_model", "model")
    plain_table.draw(
        _styled(shown, counts), **picking, hide_index=True, placeholder="–",
        height="content" if len(shown) <= 16 else 600, alt="Models, highest score difference first",
        column_config={
            "title": st.column_config.TextColumn("Model", width=215, pinned=True),
            "difference": st.column_config.NumberColumn(
                "GLAN-Test", width=82, help="Mean score of this model minus that of the other in its newest match, with another model if there "
                "is one. Higher is better."
            ),
            "beside": st.column_config.TextColumn("vs", width=215),
            "loss": st.column_config.NumberColumn(
                "Validation loss", format="%.3f", width=102,
                help="Loss on the validation split of its snapshot, in nats/token; lower is better, comparable only for the same snapshot "
                "and tokenizer.",
            ),
            "bits": st.column_config.NumberColumn(
                "Bits/byte", format="%.3f", width=72,
                help="Validation loss per UTF-8 byte of the answers; lower is better, comparable between tokenizers for the same snapshot.",
            ),
            "delta": st.column_config.NumberColumn(
                "Probe", format="%+.1f%%", width=72,
                help="Largest Δ% of its contamination probes: (L_test − L_train) / L_test. Far above 0: the training split was seen.",
            ),
            **{name: st.column_config.NumberColumn(
                LABELS[name], width=98, help="Accuracy or pass@1 in percent, from generated answers if available, with the number of "
                f"rows (n); higher is better. Gray: fewer than {FEWEST} rows, too few to compare."
            ) for name in benchmarks},
        },
    )  # fmt: skip
    if paper:
        st.caption(published_results.MARK)
    return names[at] if names else ""


def _styled(shown: pd.DataFrame, counts: dict[str, pd.Series | None]) -> "Styler":
    """Write scores with their number of rows, in gray if there are few, and differences with a sign."""
    style = shown.style.format({"difference": signed, "loss": "{:.3f}", "bits": "{:.3f}", "delta": "{:+.1f}%"}, na_rep="–")
    style = style.format("{:.1f}", subset=list(counts), na_rep="–")
    for name, rows in counts.items():
        for at, count in enumerate(() if rows is None else rows):
            if pd.notna(count) and pd.notna(shown.loc[at, name]):
                cell = ([at], [name])
                style = style.format("{:.1f} · n " + number(count), subset=cell)
                if count < FEWEST:
                    style = style.set_properties(subset=cell, color="gray")
    return style


def _detail(ws: Workspace, frame: pd.DataFrame, selection: str) -> None:
    """Draw the selected model with its matches."""
    row = frame.set_index("model").loc[selection]
    st.header(escape(row["title"]), anchor=False)
    if pd.notna(row["difference"]):
        between = f" ({signed(row['low'])} to {signed(row['high'])})" if pd.notna(row["low"]) else ""
        if pd.isna(row["low"]) or row["low"] <= 0 <= row["high"]:
            between += ", no detectable difference" if pd.notna(row["low"]) else ", too few questions"
        st.markdown(
            f"**{match_view.format_signed(row['difference'])}**{between} vs {escape(row['beside'])}, on {plural(int(row['judged']), 'question')}"
        )
    if scores := [_score_said(row, name) for name in LABELS if pd.notna(row.get(name))]:
        st.caption("  \n".join(scores))
    if pd.notna(row["delta_percent"]):
        st.caption(f"Contamination: Δ {row['delta_percent']:+.1f} % on {escape(row['probe'])}, the largest of its probes.")
    mine = [match for match in match_rows.matches(ws.db) if selection in (match.ours, match.other)]
    if mine:
        st.caption(f"{plural(len(mine), 'match', 'matches')}, newest first")
    for match in mine[:6]:
        st.button(
            escape(match_view.label(match)), key=f"open_{match.id}", icon=":material/insights:", type="tertiary", on_click=_open,
            args=(match.id,),
        )  # fmt: skip
    if not mine and not ws.read_only:
        st.caption("Not judged yet.")
        if st.button("Judge this model", type="primary", icon=":material/gavel:"):
            st.session_state.run_eval_ours = selection
            st.session_state.evaluate_asked = "Judge"
            st.rerun()
    if row["kind"] == "tuned" and st.button("Open model", icon=":material/deployed_code:"):
        st.session_state.model = selection.partition(":")[2]
        url_state.open_page("pages/models.py")


def _score_said(row: pd.Series, name: str) -> str:
    """Return a score with its interval, standard error and number of rows."""
    share, count = row[name] / 100, int(row[rows_column(name)])
    low, high = wilson_interval(share * count, count) or (0.0, 1.0)
    error = 100 * sqrt(share * (1 - share) / count) if count else 0.0
    few = " Too few rows to compare." if count < FEWEST else ""
    return (
        f"{LABELS[name]}: {row[name]:.1f}% (95% interval {percent(low)} to {percent(high)}, standard error {error:.1f}) on "
        f"{plural(count, 'row')}.{few}"
    )


def _open(match_id: str) -> None:
    st.session_state.update({match_view.PICKED: match_id, "evaluate_asked": "Results"})
