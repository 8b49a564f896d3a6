"""Evaluate page: pairwise judging by discipline, benchmarks, contamination probe and scaling studies."""

import streamlit as st

from glan_core.dataset.glan_test_store import list_tests
from glan_core.formatting import plural
from glan_core.workspace import benchmark_score_rows, match_rows, probe_rows
from pages.components.evaluate import (
    arena,
    benchmarks,
    contamination,
    judge_form,
    leaderboard,
    match_questions,
    match_results,
    scaling,
)
from pages.components.shared import page_frame

VIEWS = {
    "Leaderboard": leaderboard.panel,
    "Judge": judge_form.panel,
    "Results": match_results.panel,
    "Questions": match_questions.panel,
    "Arena": arena.panel,
    "Benchmarks": benchmarks.panel,
    "Contamination": contamination.panel,
    "Scaling": scaling.panel,
}

ws, tree = page_frame.open_page("Evaluate")
tests, judged = list_tests(ws), match_rows.judged_matches(ws.db)
scored = {score.model for score in benchmark_score_rows.scores(ws.db, parts=False)}
probed = {probe.name for probe in probe_rows.probes(ws.db)}
counted = (
    (tests, "test", "tests"), (judged, "match judged", "matches judged"), (scored, "model benchmarked", "models benchmarked"),
    (probed, "probe", "probes"),
)  # fmt: skip
summary = " · ".join(plural(len(what), one, many) for what, one, many in counted if what)
page_frame.title_line("Evaluate", tree, summary or "No evaluations yet.", ws)
if asked := st.session_state.pop("evaluate_asked", None):
    st.session_state.evaluate_view = asked
view = st.segmented_control(
    "View", list(VIEWS), default="Leaderboard", key="evaluate_view", required=True, bind="query-params",
    label_visibility="collapsed",
)  # fmt: skip
VIEWS[view](ws, tree)
