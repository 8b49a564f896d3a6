"""Dataset page: funnel, quality filters, deduplication, decontamination, snapshots and export."""

import streamlit as st

from glan_core.formatting import number, plural
from glan_core.taxonomy import coverage
from pages.components.dataset import (
    decontamination,
    export_form,
    funnel,
    near_duplicates,
    quality_filters,
    quality_judge,
    snapshots,
)
from pages.components.shared import empty_state, page_frame, url_state

VIEWS = {
    "Funnel": funnel.panel,
    "Filters": quality_filters.panel,
    "Judge": quality_judge.panel,
    "Duplicates": near_duplicates.panel,
    "Benchmarks": decontamination.panel,
    "Snapshots": snapshots.panel,
    "Export": export_form.panel,
}

ws, tree = page_frame.open_page("Dataset")
standing = coverage.coverage_by_node(ws, tree)[url_state.focus() or ""]
pairs = int(standing.counts["pairs"])
summary = f"{plural(pairs, 'pair')} · {number(standing.kept)} kept ({standing.kept / pairs:.0%})" if pairs else "No pairs yet."
page_frame.title_line("Dataset", tree, summary, ws)
if not pairs and not coverage.coverage_by_node(ws, tree)[""].counts["pairs"]:
    st.info("No answered questions yet. A run generates them.", icon=":material/database:")
    if st.button("Plan a run", type="primary", icon=":material/play_circle:"):
        url_state.open_page("pages/runs.py")
    empty_state.still("dataset")
    st.stop()
view = st.segmented_control(
    "View", list(VIEWS), default="Funnel", key="dataset_view", required=True, bind="query-params", label_visibility="collapsed"
)
VIEWS[view](ws, tree)
