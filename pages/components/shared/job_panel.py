"""Start jobs and show the progress of those queued or running."""

from collections.abc import Collection

import streamlit as st

from glan_core import runs
from glan_core.errors import GlanError
from glan_core.formatting import number
from glan_core.generation.stage_specs import stage_title
from glan_core.runs.registry import RUN_KINDS
from glan_core.settings import Settings
from glan_core.workspace import Workspace, run_rows
from glan_core.workspace.run_rows import Run
from pages.components.shared import teacher_form
from pages.components.shared.untrusted_text import escape, show_error


def start_jobs(ws: Workspace, *jobs: Settings, title: str = "") -> None:
    """Start jobs in a callback, one after the other; `show_progress` shows the error if one cannot start."""
    try:
        for settings in jobs:
            runs.start(ws, settings.kind, title or RUN_KINDS[settings.kind].title, settings, teacher_form.environment())
    except GlanError as error:
        st.session_state.job_error = error


def live_jobs(ws: Workspace, kinds: Collection[str]) -> list[Run]:
    """Return the queued and running jobs of these kinds, oldest first."""
    return [run for run in runs.live_runs(ws) if run.kind in kinds]


def show_progress(ws: Workspace, *kinds: str) -> bool:
    """Show the progress of jobs of these kinds, refreshed while they run; the page reruns when one ends.

    An unfinished last job is shown with a button to continue it.

    Returns:
        Whether any of these jobs is queued or running.
    """
    if error := st.session_state.pop("job_error", None):
        show_error(error)
    live = live_jobs(ws, kinds)
    if live:
        st.fragment(_watch, run_every="1s")(ws, kinds, [run.id for run in live])
    else:
        _last(ws, kinds)
    return bool(live)


def _watch(ws: Workspace, kinds: Collection[str], shown: list[int]) -> None:
    live = live_jobs(ws, kinds)
    if [run.id for run in live] != shown:
        st.rerun()
    with st.container(border=True, gap="xsmall", key=f"jobs_{'_'.join(kinds)}"):
        for run in live:
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                st.progress(*job_progress(ws, run), width="stretch")
                if run.wish:
                    st.caption(f"will {run.wish} after this step", width="content")
                else:
                    _buttons(ws, run)


def job_progress(ws: Workspace, run: Run) -> tuple[float, str]:
    """Return the completed fraction of a job's current step and its label."""
    word = escape(run.title)
    if run.state == "queued":
        return 0.0, f"{word}: queued" if run.heartbeat_at else f"{word}: starting"
    stages = run_rows.stages(ws.db, run.id)
    open_ones = [stage for stage in stages if stage.done < stage.planned]
    if not open_ones:
        return 0.0 if not stages else 1.0, f"{word}: running"
    now = open_ones[-1]
    counted = f", {number(now.done)} of {number(now.planned)}" if now.planned > 1 else ""
    return now.done / now.planned, f"{word}: {stage_title(now.stage)}{counted}"


def _buttons(ws: Workspace, run: Run) -> None:
    for word, icon, action in (("Pause", "pause", runs.pause), ("Cancel", "stop", runs.cancel)):
        st.button(
            word, icon=f":material/{icon}:", help=word, key=f"icon_{word.lower()}_{run.id}", on_click=run_action, args=(action, ws, run.id),
            type="tertiary",
        )  # fmt: skip


def run_action(action, *args) -> None:
    """Apply an action to a run in a callback."""
    try:
        action(*args)
    except GlanError as error:
        st.session_state.job_error = error


def _last(ws: Workspace, kinds: Collection[str]) -> None:
    """Show the last job of these kinds if it did not finish, with a button to continue it."""
    run = next((run for run in run_rows.runs(ws.db, 40) if run.kind in kinds), None)
    state = run and runs.state_of(run)
    if state in (None, "finished", "cancelled"):
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        summary = escape(run.message) or "Worker lost (no heartbeat). Stored results are kept."
        (st.warning if state == "paused" else st.error)(f"{escape(run.title)}: {summary}")
        st.button(
            "Continue", icon=":material/play_arrow:", key=f"resume_{run.id}", on_click=run_action,
            args=(_resume, ws, run.id), help="Completes the remaining work.",
        )  # fmt: skip


def _resume(ws: Workspace, run_id: int) -> None:
    runs.resume(ws, run_id, teacher_form.environment())
