"""Train page: plan a fine-tuning run on a snapshot, watch it, and compare runs."""

import streamlit as st

from glan_core import runs
from glan_core.dataset.snapshot_store import list_snapshots
from glan_core.formatting import plural
from glan_core.workspace import run_rows
from glan_core.workspace.run_rows import LIVE
from pages.components.shared import page_frame
from pages.components.train import comparison, empty_state, form, watch

VIEWS = ("Plan", "Watch", "Compare")
MOST = 300

ws, tree = page_frame.open_page("Train")
snapshots = list_snapshots(ws)
everything = [run for run in run_rows.runs(ws.db, MOST) if run.kind == "finetune"]
live = [run for run in everything if runs.state_of(run) in LIVE]
state = "one live" if len(live) == 1 else f"{len(live)} live" if live else "none live"
page_frame.title_line(
    "Train", tree,
    f"{plural(len(everything), 'run')} · {state} · {plural(len(snapshots), 'snapshot')}"
    if everything or snapshots else "Training needs a snapshot of the dataset. No snapshots yet.", ws,
)  # fmt: skip
if not everything and not snapshots:
    empty_state.first_snapshot(ws, tree)
    st.stop()
if asked := st.session_state.pop("train_asked", None):
    st.session_state.train_view = asked
elif "train_view" not in st.session_state and "train_view" not in st.query_params:
    st.session_state.train_view = "Watch" if live else "Plan"
view = st.segmented_control(
    "View", VIEWS, key="train_view", required=True, bind="query-params", label_visibility="collapsed"
)  # fmt: skip
match view:
    case "Watch":
        watch.panel(ws, everything)
    case "Compare":
        comparison.panel(ws, everything)
    case _ if not snapshots:
        empty_state.first_snapshot(ws, tree)
    case _:
        form.panel(ws, snapshots)
