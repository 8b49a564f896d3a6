"""Jobs on the pages that start them: the button's callback, and how far those at work are."""

from collections.abc import Collection

import streamlit as st

from glan_core import runs
from glan_core.errors import GlanError
from glan_core.formatting import number
from glan_core.generation.settings import stage_title
from glan_core.runs.registry import RUN_KINDS
from glan_core.settings import Settings
from glan_core.workspace import Workspace, run_rows
from glan_core.workspace.run_rows import LIVE, Run
from pages.components.shared import teacher_form
from pages.components.shared.untrusted_text import fault, plain


def begin(ws: Workspace, *orders: Settings, title: str = "") -> None:
    """Start jobs, one after the other, in a callback; what keeps one from starting is told by `progress`."""
    try:
        for settings in orders:
            runs.start(ws, settings.kind, title or RUN_KINDS[settings.kind].title, settings, teacher_form.environment())
    except GlanError as error:
        st.session_state.job_error = error


def at_work(ws: Workspace, kinds: Collection[str]) -> list[Run]:
    """The jobs of these kinds that are queued or at work, oldest first."""
    return [run for run in run_rows.live_runs(ws.db) if run.kind in kinds and runs.state_of(run) in LIVE]


def progress(ws: Workspace, *kinds: str) -> bool:
    """How far the jobs of these kinds are, redrawn while they work, with their buttons; the page is drawn anew when one ends.
    What became of the last one is said where it did not come to its end. Whether any is at work."""
    if error := st.session_state.pop("job_error", None):
        fault(error)
    live = at_work(ws, kinds)
    if live:
        st.fragment(_watch, run_every="1s")(ws, kinds, [run.id for run in live])
    else:
        _last(ws, kinds)
    return bool(live)


def _watch(ws: Workspace, kinds: Collection[str], shown: list[int]) -> None:
    live = at_work(ws, kinds)
    if [run.id for run in live] != shown:
        st.rerun()
    with st.container(border=True, gap="xsmall", key=f"jobs_{'_'.join(kinds)}"):
        for run in live:
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                st.progress(*how_far(ws, run), width="stretch")
                if run.wish:
                    st.caption(f"will {run.wish} after this step", width="content")
                else:
                    _buttons(ws, run)


def how_far(ws: Workspace, run: Run) -> tuple[float, str]:
    """The share of its present step that a job has done, and the same in words."""
    word = plain(run.title)
    if run.state == "queued":
        return 0.0, f"{word}: waits for its turn" if run.heartbeat_at else f"{word}: about to begin"
    stages = run_rows.stages(ws.db, run.id)
    open_ones = [stage for stage in stages if stage.done < stage.planned]
    if not open_ones:
        return 0.0 if not stages else 1.0, f"{word}: at work"
    now = open_ones[-1]
    counted = f", {number(now.done)} of {number(now.planned)}" if now.planned > 1 else ""
    return now.done / now.planned, f"{word}: {stage_title(now.stage)}{counted}"


def _buttons(ws: Workspace, run: Run) -> None:
    for word, icon, action in (("Pause", "pause", runs.pause), ("Cancel", "stop", runs.cancel)):
        st.button(
            "", icon=f":material/{icon}:", help=word, key=f"{word.lower()}_{run.id}", on_click=act, args=(action, ws, run.id),
            type="tertiary",
        )  # fmt: skip


def act(action, *args) -> None:
    """Do something to a run, in a callback."""
    try:
        action(*args)
    except GlanError as error:
        st.session_state.job_error = error


def _last(ws: Workspace, kinds: Collection[str]) -> None:
    """The last job of these kinds, where it did not come to its end, with the button that takes it up again."""
    run = next((run for run in run_rows.runs(ws.db, 40) if run.kind in kinds), None)
    state = run and runs.state_of(run)
    if state in (None, "finished", "cancelled"):
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        said = plain(run.message) or "Its process is gone; what it did is kept."
        (st.warning if state == "paused" else st.error)(f"{plain(run.title)}: {said}")
        st.button(
            "Go on", icon=":material/play_arrow:", key=f"resume_{run.id}", on_click=act,
            args=(_resume, ws, run.id), help="Does what is still missing.",
        )  # fmt: skip


def _resume(ws: Workspace, run_id: int) -> None:
    runs.resume(ws, run_id, teacher_form.environment())
