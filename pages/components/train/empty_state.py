"""Empty state of the Train page: the next step towards a first snapshot."""

import networkx as nx
import streamlit as st

from glan_core.dataset.glan_test_store import list_tests
from glan_core.dataset.settings import SnapshotSettings
from glan_core.formatting import number, plural
from glan_core.taxonomy import coverage, hierarchy
from glan_core.workspace import Workspace
from glan_core.workspace.pair_filter import PairFilter
from pages.components.shared import empty_state, job_panel, url_state

EVERYTHING = "everything"


def first_snapshot(ws: Workspace, tree: nx.DiGraph) -> None:
    """Draw the form for a first snapshot, or the button to plan a run if the dataset is empty."""
    standings = coverage.coverage_by_node(ws, tree)
    kept = {id: standings[id].kept for id in hierarchy.disciplines_under(tree) if standings[id].kept}
    if not kept:
        st.info(
            "Training needs question and answer pairs. No pairs yet; a run generates them.",
            icon=":material/model_training:",
        )
        if st.button("Plan a run", type="primary", icon=":material/play_circle:"):
            url_state.open_page("pages/runs.py")
        empty_state.still("train")
        return
    st.info(
        "Training uses a snapshot, a fixed version of the dataset. 10% of the combinations of key concepts are held out as "
        "validation split, to distinguish generalization from memorization. The demo recipe trains a tiny model from scratch within "
        "minutes on one discipline; for the whole dataset, fine-tune a base model.",
        icon=":material/photo_camera:",
    )
    busy = job_panel.show_progress(ws, "snapshot")
    if ws.read_only:
        return
    ranked = sorted(kept, key=lambda id: -kept[id])
    options = [*ranked, *([EVERYTHING] if len(ranked) > 1 else [])]
    counts = kept | {EVERYTHING: standings[""].kept}
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        chosen = st.selectbox(
            "Content", options, key="run_first_snapshot", width=340,
            format_func=lambda id: f"{'Everything' if id == EVERYTHING else tree.nodes[id]['node'].name} · {number(counts[id])} pairs",
        )  # fmt: skip
        which = PairFilter() if chosen == EVERYTHING else PairFilter(disciplines=(chosen,))
        settings = SnapshotSettings(name=chosen, which=which, split="combination", validation_share=0.1)
        st.button(
            f"Create snapshot ({plural(counts[chosen], 'pair')})", type="primary", icon=":material/photo_camera:", disabled=busy,
            key="first_snapshot", on_click=job_panel.start_jobs, args=(ws, settings), kwargs={"title": f"Snapshot {chosen}"},
        )  # fmt: skip
        if not list_tests(ws) and st.button(
            "Create held-out test first", icon=":material/science:", type="tertiary",
            help="A GLAN-Test holds out questions to judge models on; later snapshots exclude them.",
        ):  # fmt: skip
            st.session_state.evaluate_asked = "Judge"
            url_state.open_page("pages/evaluate.py")
        if st.button("More options", icon=":material/tune:", type="tertiary"):
            st.session_state.dataset_view = "Snapshots"
            url_state.open_page("pages/dataset.py")
