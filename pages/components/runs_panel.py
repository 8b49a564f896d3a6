"""Runs as several pages show them: the table of runs, and the live panel of one."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from glan_core import runs
from glan_core.errors import GlanError
from glan_core.figures.runs import progress_curve, samples_frame
from glan_core.generation.order import STAGE_WORDS, STAGES
from glan_core.wording import ago, duration, exact, number, short, usd
from glan_core.workspace import Workspace, call_rows, run_rows
from glan_core.workspace.run_rows import LIVE, Run
from pages.components import studio, teacher_form
from pages.components.text import fault, plain

COLORS = {
    "queued": "gray",
    "running": "blue",
    "paused": "orange",
    "cancelled": "gray",
    "failed": "red",
    "finished": "green",
    "lost": "red",
}
KINDS = {"generate": "Generation", "propose": "Proposals", "preview": "Preview"}
ADVICE = {
    "malformed": "The teacher did not keep to the form, nor after a repair turn: a stronger model helps.",
    "not self-contained": "Questions that refer to a class or to handing in: a stronger model helps.",
    "cut": "Replies ran into the token limit: raise max tokens of this stage.",
    "empty": "The teacher sent nothing: often a filter, or a model that is too small.",
    "refused": "The teacher declined to answer: another teacher may not.",
    "no reply": "The endpoint failed again and again: look at its log, then continue the run.",
}


def history(rows: Sequence[Run], key: str) -> Run | None:
    """The table of runs; returns the picked one."""
    frame = pd.DataFrame(
        {
            "id": [run.id for run in rows],
            "title": [run.title for run in rows],
            "kind": [KINDS.get(run.kind, run.kind) for run in rows],
            "state": [[runs.state_of(run)] for run in rows],
            "when": [ago(run.started_at or run.created_at) for run in rows],
            "message": [run.message for run in rows],
        }
    )
    event = st.dataframe(
        frame, key=f"{key}_{rows[0].id}", on_select="rerun", selection_mode="single-row", hide_index=True,
        column_config={
            "id": st.column_config.NumberColumn("Run", width=60, format="%d"),
            "title": st.column_config.TextColumn("What for", width="medium"),
            "kind": st.column_config.TextColumn("Kind", width="small"),
            "state": st.column_config.MultiselectColumn(
                "State", options=list(COLORS), color=list(COLORS.values()), width="small"
            ),
            "when": st.column_config.TextColumn("Begun", width="small"),
            "message": st.column_config.TextColumn("How it went", width="large"),
        },
    )  # fmt: skip
    return rows[event.selection.rows[0]] if event.selection.rows and event.selection.rows[0] < len(rows) else None


def live(ws: Workspace, run_id: int) -> None:
    """The panel of one run: it redraws itself while the run lives, and the page once when it ends or goes on."""
    alive = runs.state_of(runs.get(ws, run_id)) in LIVE
    st.fragment(_panel, run_every="1.5s" if alive else None)(ws, run_id, alive)


def _panel(ws: Workspace, run_id: int, was_alive: bool) -> None:
    run = runs.get(ws, run_id)
    state = runs.state_of(run)
    if was_alive != (state in LIVE):
        st.rerun()  # the page draws this panel anew, with or without a pulse
    stages = sorted(run_rows.stages(ws.db, run.id), key=lambda s: (*STAGES, "proposals").index(s.stage))
    sample = run_rows.last_sample(ws.db, run.id)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader(f"Run {run.id}: {plain(run.title)}", anchor=False, width="content")
        st.badge(state, color=COLORS[state])
    if run.message:
        (st.error if state in ("failed", "lost") else st.caption)(plain(run.message))
    if state == "lost":
        st.warning("Its process is gone or silent. What it stored is kept; continue it to do the rest.")
    done, planned = sum(s.done for s in stages), sum(s.planned for s in stages)
    if planned:
        st.progress(min(1.0, done / planned), f"{done:,} of {planned:,} calls")
    if sample:
        _figures(run, sample, done, planned, state)
    _controls(ws, run, state)
    if stages and planned:
        _stages(stages)
    history = run_rows.samples(ws.db, run.id, 300)
    if len(history) > 3:
        figure = progress_curve(samples_frame(history, run.started_at or history[0].at), studio.figure_style())
        st.plotly_chart(
            figure, key=f"curve_{run.id}", config={"displayModeBar": False}, alt=f"Calls stored over time: {done:,}."
        )
    _failures(ws, run)


def _figures(run: Run, sample: run_rows.Sample, done: int, planned: int, state: str) -> None:
    seconds = max(0.001, (sample.at if state in LIVE else run.finished_at or sample.at) - (run.started_at or run.created_at))
    rate = sample.done / seconds
    budget = run.params.get("budget_usd")
    with st.grid(4, gap="small", min_column_width=110):
        st.metric("Calls stored", short(sample.done), help=f"{number(sample.done)} replies that became records.")
        st.metric(
            "Rate", f"{rate:,.1f}/s" if rate < 100 else f"{rate:,.0f}/s", help="Calls stored a second, over the whole run."
        )
        left = (planned - done) / rate if rate and state == "running" else None
        st.metric(
            "Left" if left else "Took", duration(left if left else seconds), help="Time left at this rate, or time taken."
        )
        spent = f"{usd(sample.cost_usd)}" + (f" of {usd(budget)}" if budget else "")
        st.metric("Spent", spent, help=f"{number(sample.tokens_in)} tokens in, {number(sample.tokens_out)} out.")
    st.caption(
        f"{sample.in_flight} in flight of {sample.concurrency} allowed now · {sample.requests:,} requests · "
        f"{sample.throttled:,} refused as too many · {sample.faults:,} faults"
    )


def _controls(ws: Workspace, run: Run, state: str) -> None:
    def act(action, *args) -> None:
        try:
            action(ws, run.id, *args)
        except GlanError as error:
            st.session_state.run_error = error

    def go_on() -> None:
        act(runs.resume, teacher_form.environment())

    with st.container(horizontal=True):
        if run.wish and state in LIVE:
            st.caption(f"Will {run.wish} once what is in flight is stored.")
        elif state in LIVE:
            st.button("Pause", icon=":material/pause:", on_click=act, args=(runs.pause,))
            st.button("Cancel", icon=":material/stop:", on_click=act, args=(runs.cancel,))
        elif state in ("paused", "lost", "failed", "cancelled") and run.kind != "preview":
            st.button(
                "Resume" if state == "paused" else "Continue", icon=":material/play_arrow:", type="primary", on_click=go_on
            )
            if state in ("paused", "lost"):
                st.button("Cancel", icon=":material/stop:", on_click=act, args=(runs.cancel,))
    if error := st.session_state.pop("run_error", None):
        fault(error)


def _stages(stages: Sequence[run_rows.StageProgress]) -> None:
    rows = [s for s in stages if s.planned]
    st.dataframe(
        pd.DataFrame({
            "stage": [STAGE_WORDS[s.stage].capitalize() for s in rows],
            "share": [min(100.0, 100 * s.done / s.planned) for s in rows],
            "done": [s.done for s in rows], "planned": [s.planned for s in rows], "failed": [s.failed for s in rows],
        }),
        hide_index=True,
        column_config={
            "stage": st.column_config.TextColumn("Stage"),
            "share": st.column_config.ProgressColumn("Progress", format="%.0f%%", min_value=0, max_value=100),
            "done": st.column_config.NumberColumn("Done", format="localized"),
            "planned": st.column_config.NumberColumn("Of", format="localized"),
            "failed": st.column_config.NumberColumn("Failed", format="localized"),
        },
    )  # fmt: skip


def _failures(ws: Workspace, run: Run) -> None:
    causes = call_rows.failure_causes(ws.db, run.id)
    if not causes:
        return
    st.markdown("**Failures**, which the next run tries again")
    for stage, cause, count in causes:
        st.markdown(f"- {count:,} × {STAGE_WORDS[stage]}: {plain(cause)}. {ADVICE.get(cause, '')}")
    with st.expander("The latest of them, with their replies", on_change="rerun", key=f"failures_{run.id}") as latest:
        if latest.open:
            for failure in call_rows.failures(ws.db, run.id, 10):
                st.caption(
                    f"{STAGE_WORDS[failure.stage]} · {plain(failure.cause)} · {exact(failure.at)} · {plain(failure.message)}"
                )
                if failure.reply:
                    st.code(failure.reply[:2000], language=None, wrap_lines=True)
