"""The Train page where there is nothing to train on yet: what will be here, and the one button that brings it nearer."""

import networkx as nx
import streamlit as st

from glan_core.dataset.glan_test_store import list_tests
from glan_core.dataset.settings import SnapshotSettings
from glan_core.formatting import number, plural
from glan_core.taxonomy import coverage, hierarchy
from glan_core.workspace import Workspace
from glan_core.workspace.pair_filter import PairFilter
from pages.components.shared import job_panel, url_state

EVERYTHING = "everything"


def first_snapshot(ws: Workspace, tree: nx.DiGraph) -> None:
    """Freeze a discipline, or all of the dataset; where there is no dataset, make one first."""
    standings = coverage.coverage_by_node(ws, tree)
    kept = {id: standings[id].kept for id in hierarchy.disciplines_under(tree) if standings[id].kept}
    if not kept:
        st.info(
            "A student is fine-tuned on question and answer pairs, and there are none yet: a run writes them.",
            icon=":material/model_training:",
        )
        if st.button("Plan a run", type="primary", icon=":material/play_circle:"):
            url_state.go("pages/runs.py")
        return
    st.info(
        "Training reads a snapshot: pairs frozen under a name, so that it can be told later what a model has learned. One in ten "
        "combinations of key concepts is held out, to see whether the student understands or only repeats. A demo student, made from "
        "nothing in some minutes, learns one discipline well; a real base model takes everything.",
        icon=":material/photo_camera:",
    )
    busy = job_panel.progress(ws, "snapshot")
    if ws.read_only:
        return
    ranked = sorted(kept, key=lambda id: -kept[id])
    options = [*ranked, *([EVERYTHING] if len(ranked) > 1 else [])]
    counts = kept | {EVERYTHING: standings[""].kept}
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        chosen = st.selectbox(
            "What it will learn", options, key="run_first_snapshot", width=340,
            format_func=lambda id: f"{'Everything' if id == EVERYTHING else tree.nodes[id]['node'].name} · {number(counts[id])} pairs",
        )  # fmt: skip
        which = PairFilter() if chosen == EVERYTHING else PairFilter(disciplines=(chosen,))
        settings = SnapshotSettings(name=chosen, which=which, split="combination", validation_share=0.1)
        st.button(
            f"Freeze {plural(counts[chosen], 'pair')}", type="primary", icon=":material/photo_camera:", disabled=busy,
            key="first_snapshot", on_click=job_panel.begin, args=(ws, settings), kwargs={"title": f"Snapshot {chosen}"},
        )  # fmt: skip
        if not list_tests(ws) and st.button(
            "Hold questions out first", icon=":material/science:", type="tertiary",
            help="A GLAN-Test: questions that no snapshot taken later gives away, to judge the student on.",
        ):  # fmt: skip
            st.session_state.evaluate_asked = "Judge"
            url_state.go("pages/evaluate.py")
        if st.button("Choose more precisely", icon=":material/tune:", type="tertiary"):
            st.session_state.dataset_view = "Snapshots"
            url_state.go("pages/dataset.py")
