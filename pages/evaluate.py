"""Evaluate: what models learned, by discipline, beside their bases and beside the paper."""

import streamlit as st

from glan_core.dataset.glan_test import list_tests
from glan_core.wording import plural
from glan_core.workspace import match_rows
from pages.components import (
    evaluate_benchmarks,
    evaluate_board,
    evaluate_items,
    evaluate_judge,
    evaluate_probe,
    evaluate_results,
    evaluate_scaling,
    studio,
)

VIEWS = {
    "Leaderboard": evaluate_board.panel,
    "Judge": evaluate_judge.panel,
    "Results": evaluate_results.panel,
    "Questions": evaluate_items.panel,
    "Benchmarks": evaluate_benchmarks.panel,
    "Contamination": evaluate_probe.panel,
    "Scaling": evaluate_scaling.panel,
}

ws, tree = studio.open_page("Evaluate")
tests, matches = list_tests(ws), match_rows.matches(ws.db)
said = (
    f"{plural(len(tests), 'test')} · {plural(len(matches), 'match', 'matches')} judged"
    if tests or matches else "What a model learned, by discipline. Nothing was tested yet."
)  # fmt: skip
studio.title("Evaluate", tree, said, ws)
if asked := st.session_state.pop("evaluate_asked", None):
    st.session_state.evaluate_view = asked
view = st.segmented_control(
    "View", list(VIEWS), default="Leaderboard", key="evaluate_view", required=True, bind="query-params",
    label_visibility="collapsed",
)  # fmt: skip
VIEWS[view](ws, tree)
