"""Dataset: from what was generated to what is kept, why the rest is left out, and the ways to take it away."""

import streamlit as st

from glan_core import coverage
from glan_core.wording import number, plural
from pages.components import (
    address,
    dataset_benchmarks,
    dataset_duplicates,
    dataset_export,
    dataset_filters,
    dataset_funnel,
    dataset_judge,
    dataset_snapshots,
    studio,
)

VIEWS = {
    "Funnel": dataset_funnel.panel,
    "Filters": dataset_filters.panel,
    "Judge": dataset_judge.panel,
    "Duplicates": dataset_duplicates.panel,
    "Benchmarks": dataset_benchmarks.panel,
    "Snapshots": dataset_snapshots.panel,
    "Export": dataset_export.panel,
}

ws, tree = studio.open_page("Dataset")
standing = coverage.standings(ws, tree)[address.focus() or ""]
pairs = int(standing.counts["pairs"])
said = f"{plural(pairs, 'pair')} · {number(standing.kept)} kept ({standing.kept / pairs:.0%})" if pairs else "Nothing here yet."
studio.title("Dataset", tree, said, ws)
if not pairs and not coverage.standings(ws, tree)[""].counts["pairs"]:
    st.info("The dataset is made of answered questions. There are none yet: a run writes them.", icon=":material/database:")
    if st.button("Plan a run", type="primary", icon=":material/play_circle:"):
        address.go("pages/runs.py")
    st.stop()
view = st.segmented_control(
    "View", list(VIEWS), default="Funnel", key="dataset_view", required=True, bind="query-params", label_visibility="collapsed"
)
VIEWS[view](ws, tree)
