"""The Train page where there is nothing to train on yet: what will be here, and the one button that brings it nearer."""

import streamlit as st

from glan_core import coverage
from glan_core.dataset.orders import SnapshotOrder
from glan_core.wording import plural
from glan_core.workspace import Workspace
from pages.components import address, job_panel

NAME = "first"


def first_snapshot(ws: Workspace) -> None:
    """Freeze the dataset, or make one first."""
    kept = coverage.standings(ws)[""].kept
    if not kept:
        st.info(
            "A student is fine-tuned on question and answer pairs, and there are none yet: a run writes them.",
            icon=":material/model_training:",
        )
        if st.button("Plan a run", type="primary", icon=":material/play_circle:"):
            address.go("pages/runs.py")
        return
    st.info(
        f"Training reads a snapshot: the dataset frozen under a name, so that it can be told later what a model has learned. {plural(kept, 'pair')} "
        "can be frozen now; one in ten combinations of key concepts is held out, to see whether the student understands or only repeats.",
        icon=":material/photo_camera:",
    )
    busy = job_panel.progress(ws, "snapshot")
    if ws.read_only:
        return
    order = SnapshotOrder(name=NAME, split="combination", validation_share=0.1)
    with st.container(horizontal=True, gap="small"):
        st.button(
            f"Freeze {plural(kept, 'pair')}", type="primary", icon=":material/photo_camera:", disabled=busy, key="first_snapshot",
            on_click=job_panel.begin, args=(ws, order), kwargs={"title": f"Snapshot {NAME}"},
        )  # fmt: skip
        if st.button("Choose what goes in", icon=":material/tune:", type="tertiary"):
            st.session_state.dataset_view = "Snapshots"
            address.go("pages/dataset.py")
