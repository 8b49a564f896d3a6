"""The table of runs and the live panel of one run."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from glan_core import runs
from glan_core.errors import GlanError
from glan_core.formatting import ago, duration, number, plural, short, spent, usd
from glan_core.generation.plan import plan
from glan_core.generation.settings import GenerationSettings
from glan_core.generation.stage_specs import stage_position
from glan_core.runs.counter_deltas import counter_changes, total_changes
from glan_core.runs.registry import RUN_KINDS, is_job, lane_of
from glan_core.runs.report import expected_stages
from glan_core.runs.settings_summary import settings_summary
from glan_core.settings import read_settings
from glan_core.workspace import Workspace, call_rows, run_rows
from glan_core.workspace.run_rows import LIVE, Run, Sample, StageProgress
from pages.components.runs import form, progress
from pages.components.shared import job_panel, plain_table, plan_panel, row_selection, teacher_form, url_state
from pages.components.shared.untrusted_text import escape, show_error

COLORS = {
    "queued": "gray",
    "running": "blue",
    "paused": "orange",
    "cancelled": "gray",
    "failed": "red",
    "finished": "green",
    "lost": "red",
}
KIND_TITLES = {kind: entry.title for kind, entry in RUN_KINDS.items()} | {"preview": "Preview"}
ENDED_EARLY = ("paused", "lost", "failed", "cancelled")
RECENT = 30.0  # seconds over which the current rate is measured


def table(rows: Sequence[Run], key: str, *, ws: Workspace | None = None, several: bool = False) -> list[Run] | Run | None:
    """Show the table of runs.

    Args:
        rows: Runs, newest first.
        key: Prefix of the widget key.
        ws: Workspace of the runs; adds the columns for calls and cost.
        several: Allow more than one selected row.

    Returns:
        The selected run or None; with `several`, a list of the selected runs.
    """
    columns = {
        "id": [run.id for run in rows],
        "title": [run.title for run in rows],
        "kind": [KIND_TITLES.get(run.kind, run.kind) for run in rows],
        "state": [[runs.state_of(run)] for run in rows],
        "when": [ago(run.started_at or run.created_at) for run in rows],
    }
    if ws is not None:
        last = [None if is_job(run.kind) else run_rows.last_sample(ws.db, run.id) for run in rows]
        columns |= {"calls": [one and one.done for one in last], "spent": [
            one and _cost(ws, run, one) for run, one in zip(rows, last, strict=True)
        ]}  # fmt: skip
    columns["message"] = [run.message for run in rows]
    key = f"{key}_{rows[0].id}_{len(rows)}"
    if several:
        selected, picking = row_selection.several_rows(key, len(rows))
    else:
        selected = st.session_state.pop(f"{key}_clicked", [])  # once: it opens another page, which may lead back here
        picking = row_selection.clickable_rows(
            key, None, lambda row: st.session_state.update({f"{key}_clicked": [] if row is None else [row]}), len(rows)
        )
    plain_table.draw(
        pd.DataFrame(columns), **picking, hide_index=True, placeholder="–", height="content" if len(rows) <= 10 else 387,
        alt="Runs, newest first",
        column_config={
            "id": st.column_config.NumberColumn("Run", width=50, format="%d"),
            "title": st.column_config.TextColumn("Title", width=230),
            "kind": st.column_config.TextColumn("Kind", width=140),
            "state": st.column_config.MultiselectColumn(
                "State", options=list(COLORS), color=list(COLORS.values()), width=95
            ),
            "when": st.column_config.TextColumn("Started", width=90),
            "calls": st.column_config.NumberColumn("Calls", format="localized", width=75),
            "spent": st.column_config.TextColumn("Cost", width=75, alignment="right"),
            "message": st.column_config.TextColumn("Message", width=320),
        },
    )  # fmt: skip
    picked = [rows[n] for n in selected]
    return picked if several else picked[0] if picked else None


def call_progress(run: Run, stages: Sequence[StageProgress], state: str) -> tuple[float, str] | None:
    """Return the completed fraction of the planned calls and its label; None if nothing is planned."""
    known, done = sum(s.planned for s in stages), sum(s.done for s in stages)
    planned = known if state == "finished" else sum(s.planned for s in expected_stages(run, stages))
    if not planned:
        return None
    return min(1.0, done / planned), f"{done:,} of {'at least ' if planned > known else ''}{planned:,} calls"


def run_panel(ws: Workspace, run_id: int) -> None:
    """Show the panel of one run; it refreshes while the run is live and reruns the page when the state changes."""
    alive = runs.state_of(runs.get(ws, run_id)) in LIVE
    st.fragment(_panel, run_every="1.5s" if alive else None)(ws, run_id, was_alive=alive)


def _panel(ws: Workspace, run_id: int, *, was_alive: bool) -> None:
    run = runs.get(ws, run_id)
    state = runs.state_of(run)
    alive = state in LIVE
    if was_alive != alive:
        st.rerun()  # draws this panel again with the right refresh interval
    if is_job(run.kind):
        _job(ws, run, state)
        return
    stages = sorted(run_rows.stages(ws.db, run.id), key=lambda s: stage_position(s.stage))
    sample = run_rows.last_sample(ws.db, run.id)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.header(f"Run {run.id}: {escape(run.title)}", anchor=False, width="content")
        st.badge(state, color=COLORS[state])
        _order(run)
    _say(ws, run, state, sample)
    if planned := call_progress(run, stages, state):
        st.progress(*planned)
    if state != "finished":
        stages = expected_stages(run, stages)
    if sample:
        _figures(ws, run, sample, sum(max(0, s.planned - s.done - s.failed) for s in stages), state)
    _controls(ws, run, state)
    progress.batches(ws, run)
    if not (stages and sample):
        progress.endpoints(run, alive=alive)
        return
    if planned:
        halves = st.grid(2, gap="medium", min_column_width=390)
        with halves.cell():
            progress.stages(stages)
        with halves.cell():
            if state == "finished":
                progress.estimate(ws, run)
            else:
                progress.disciplines(ws, run)
            progress.endpoints(run, alive=alive)
        if state == "finished":
            progress.disciplines(ws, run)
    else:
        progress.endpoints(run, alive=alive)
    progress.failures(ws, run)
    progress.charts(ws, run)
    progress.latest_pairs(ws, run, alive=alive)


def _job(ws: Workspace, run: Run, state: str) -> None:
    """Show the panel of a run that calls no teacher."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.header(f"Run {run.id}: {escape(run.title)}", anchor=False, width="content")
        st.badge(state, color=COLORS[state])
    _say(ws, run, state, run_rows.last_sample(ws.db, run.id))
    if state in LIVE:
        st.progress(*job_panel.job_progress(ws, run))
    _controls(ws, run, state)
    if (stages := run_rows.stages(ws.db, run.id)) and any(stage.planned for stage in stages):
        progress.stages(stages)
    if state not in LIVE and run.started_at:
        st.caption(f"Took {duration((run.finished_at or run.heartbeat_at or run.started_at) - run.started_at)}.")


def _order(run: Run) -> None:
    """Show the run's settings in a popover."""
    if run.kind != "generate":
        return
    with st.popover("Settings", icon=":material/receipt_long:", key=f"order_{run.id}", type="tertiary"):
        st.table(
            {name: escape(value) for name, value in settings_summary(run).items()},
            border="horizontal",
            alt="Settings of the run",
        )


def _say(ws: Workspace, run: Run, state: str, sample: Sample | None) -> None:
    """Show the message of a run and what its state means."""
    if run.message:
        (st.error if state in ("failed", "lost") else st.caption)(escape(run.message))
    if state == "lost":
        st.warning("Worker lost (no heartbeat). Stored results are kept; continue the run to complete it.")
    elif state == "failed" and sample is None:
        st.caption("The run failed before its first call; nothing was spent.")
    elif state == "queued":
        same = [other for other in run_rows.live_runs(ws.db) if lane_of(other.kind) == lane_of(run.kind)]
        ahead = [other for other in same if other.id < run.id and runs.state_of(other) in LIVE]
        st.caption(
            f"Queued behind run {ahead[0].id} ({escape(ahead[0].title)}): runs of one kind are processed one at a time."
            if ahead
            else "Starting."
        )
    if run.wish and state in LIVE:
        st.caption(f"Will {run.wish} after in-flight requests are stored.")
    if run.waiting and state in LIVE:
        st.info(escape(run.waiting), icon=":material/hourglass_top:")
    for notice in run.notices:
        st.caption(f":material/info: {escape(notice)}")


def _cost(ws: Workspace, run: Run, sample: Sample) -> str:
    return spent(sample.cost_usd, unpriced=call_rows.has_unpriced(ws.db, run.id))


def _figures(ws: Workspace, run: Run, sample: Sample, left: int, state: str) -> None:
    budget = run.params.get("budget_usd")
    gains = total_changes(counter_changes(ws, run))
    with st.grid(6, gap="small", min_column_width=85):
        st.metric("Calls stored", short(sample.done), help=f"{number(sample.done)} calls whose replies were parsed and stored.")
        if "pairs" in gains:
            st.metric(
                "New pairs", short(gains["pairs"]), help=f"{number(gains['pairs'])} answered questions added by this run."
            )
        if state == "running":
            rate = _rate_now(ws, run, sample)
            st.metric("Rate", _per_second(rate), help="Calls stored per second over the last 30 seconds.")
            st.metric(
                "Time left",
                duration(left / rate) if rate and left else "–",
                help="Estimated time to completion at the current rate.",
            )
        else:
            seconds = run_rows.active_seconds(ws.db, run.id)
            st.metric(
                "Rate", _per_second(sample.done / seconds if seconds else 0), help="Calls stored per second, pauses excluded."
            )
            st.metric("Duration", duration(seconds), help="Time running, pauses excluded.")
        st.metric(
            "Cost", _cost(ws, run, sample), f"of {usd(budget)}" if budget else None, delta_color="off", delta_arrow="off",
            help="Cost of the calls at known prices.",
        )  # fmt: skip
        tokens = sample.tokens_in + sample.tokens_out
        thought = f", {number(sample.tokens_reasoning)} of them reasoning" if sample.tokens_reasoning else ""
        st.metric(
            "Tokens", short(tokens), help=f"{number(sample.tokens_in)} prompt, {number(sample.tokens_out)} completion{thought}."
        )
    requests = plural(sample.requests, "request")
    explanation = f"{requests} · {sample.throttled:,} rate-limited (429) · {plural(sample.faults, 'error')}"
    if state == "running":
        sent = (
            f"{plural(sample.in_flight, 'request')} in open batches"
            if _in_batches(run)
            else (f"{sample.in_flight} of {sample.concurrency} concurrent requests in flight")
        )
        explanation = f"{sent} · {explanation}"
    st.caption(explanation)


def _rate_now(ws: Workspace, run: Run, sample: Sample) -> float:
    since = run_rows.sample_since(ws.db, run.id, sample.at - RECENT)
    return max(0, sample.done - since.done) / max(0.001, sample.at - since.at)


def _per_second(rate: float) -> str:
    return f"{rate:,.1f}/s" if rate < 100 else f"{rate:,.0f}/s"


def _in_batches(run: Run) -> bool:
    return bool(run.params.get("batch") or run.params.get("batch_files"))


def _controls(ws: Workspace, run: Run, state: str) -> None:
    """Draw the buttons available in the run's state, with the cost of those that continue it."""
    if run.wish in ("cancel", "keep") and state in LIVE:
        return
    limits = _limits(run) if state in ENDED_EARLY and not is_job(run.kind) else {}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if state in LIVE and not run.wish:
            st.button(
                "Pause",
                icon=":material/pause:",
                on_click=_act,
                args=(ws, run.id, runs.pause),
                key=f"pause_{run.id}",
                disabled=ws.read_only,
            )
        elif state in ENDED_EARLY and run.kind != "preview" and (rest := _rest(ws, run, limits)) is None:
            st.caption("The target is reached: nothing left to run.", width="content")
        elif state in ENDED_EARLY and run.kind != "preview":
            word = "Resume" if state == "paused" else "Continue"
            st.button(
                f"{word}{rest}", icon=":material/play_arrow:", type="primary", on_click=_go_on,
                args=(ws, run, limits), key=f"go_on_{run.id}", disabled=ws.read_only,
            )  # fmt: skip
        if state in LIVE or state in ("paused", "lost"):
            st.button(
                "Cancel",
                icon=":material/stop:",
                on_click=_act,
                args=(ws, run.id, runs.cancel),
                key=f"cancel_{run.id}",
                disabled=ws.read_only,
            )
        if run.kind == "generate" and state not in LIVE:
            _again(ws, run, state)
    if error := st.session_state.pop("run_error", None):
        show_error(error)


def _again(ws: Workspace, run: Run, state: str) -> None:
    """Draw the button that loads the run's settings into the plan form."""
    failed = state == "finished" and call_rows.failure_groups(ws.db, run.id)
    pressed = st.button(
        "Retry failed calls" if failed else "Run again", icon=":material/replay:", key=f"again_{run.id}",
        on_click=_plan_again, args=(run,),
        help="Loads these settings into the plan form, where you can change them. Only missing records are generated.",
    )  # fmt: skip
    if pressed and "run_error" not in st.session_state:
        if st.session_state.get("page") == "Runs":
            st.rerun()
        url_state.open_page("pages/runs.py")


def _limits(run: Run) -> dict:
    """Draw fields for the run's limits and API key; returns the limits."""
    given = {name: run.params.get(name) for name in ("budget_usd", "max_calls") if run.params.get(name) is not None}
    with st.container(horizontal=True):
        if "budget_usd" in given:
            given["budget_usd"] = st.number_input(
                "Budget (USD)", min(0.01, given["budget_usd"]), None, float(given["budget_usd"]), format="%g", width=180,
                key=f"raise_budget_{run.id}",
                help="For the whole run, including what is already spent.",
            )  # fmt: skip
        if "max_calls" in given:
            given["max_calls"] = st.number_input(
                "Max calls", 1, None, int(given["max_calls"]), key=f"raise_calls_{run.id}", width=180,
                help="For the whole run, including calls already made.",
            )  # fmt: skip
        if run.params.get("base_url"):
            teacher_form.key_field(f"api_key_{run.id}", width=220)
    return given


def _rest(ws: Workspace, run: Run, limits: dict) -> str | None:
    """Return calls and price of the rest of a run for a button label; None if nothing is left."""
    if run.kind != "generate":
        return ""
    try:
        made = plan(ws, read_settings(GenerationSettings, run.params | limits))
    except GlanError:  # resuming shows the error
        return ""
    return f" · {plan_panel.cost_label(made)}" if made.calls[1] else None


def _act(ws: Workspace, run_id: int, action, *args, **settings) -> None:
    try:
        action(ws, run_id, *args, **settings)
    except GlanError as error:
        st.session_state.run_error = error


def _go_on(ws: Workspace, run: Run, limits: dict) -> None:
    raised = {name: st.session_state.get(key, limits[name]) for name, key in
              (("budget_usd", f"raise_budget_{run.id}"), ("max_calls", f"raise_calls_{run.id}")) if name in limits}  # fmt: skip
    _act(ws, run.id, runs.resume, teacher_form.environment(), params=run.params | raised if raised else None)


def _plan_again(run: Run) -> None:
    try:
        form.fill(read_settings(GenerationSettings, run.params))
    except GlanError as error:
        st.session_state.run_error = error
    else:
        st.session_state.runs_view = "Plan"
