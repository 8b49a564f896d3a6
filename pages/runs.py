"""Runs page: plan, price and start runs; watch, pause, resume and cancel them; compare results."""

import streamlit as st

from glan_core import runs
from glan_core.errors import GlanError
from glan_core.formatting import plural
from glan_core.generation.plan import plan
from glan_core.runs.registry import is_job
from glan_core.taxonomy import hierarchy
from glan_core.workspace import run_rows
from glan_core.workspace.run_rows import LIVE, Run
from pages.components.runs import form, history, notifications
from pages.components.shared import empty_state, page_frame, plan_panel, run_table, url_state
from pages.components.shared.command_line import command_line
from pages.components.shared.untrusted_text import escape, show_error

VIEWS = ("Plan", "Watch", "History")
MOST = 300

arrived = st.session_state.get("page") != "Runs"
ws, tree = page_frame.open_page("Runs")


def choose_view(live: list[Run], ended_early: Run | None) -> str:
    """Draw the choice of the view.

    Opens Watch for a run just started or selected on another page, Plan if another page filled the form, else Watch if a run is
    live or the newest generation run failed or stopped.
    """
    state = st.session_state
    if state.get("runs_of") != state.workspace and state.get("run") == state.get("run_seen"):
        state.run = None  # the id belongs to another workspace
    if arrived and (linked := url_state.number_in_url("run")) is not None:
        state.run = state.run_seen = linked
    asked = None
    if state.get("run") not in (None, state.get("run_seen")):
        asked = "Watch"
    elif state.get("run_disciplines") and state.run_disciplines != state.get("run_planned"):
        asked = "Plan"
    elif state.get("runs_view") is None and "runs_view" not in st.query_params:  # also after Back
        asked = "Watch" if live or ended_early else "Plan"
        if not live and ended_early:
            state.run = state.run_seen = ended_early.id
    state.runs_of, state.run_seen, state.run_planned = state.workspace, state.get("run"), state.get("run_disciplines")
    if asked:
        state.runs_view = asked
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        view = st.segmented_control(
            "View", VIEWS, key="runs_view", required=True, bind="query-params", label_visibility="collapsed"
        )
        notifications.popover(ws)
    return view


def planning() -> None:
    """Draw the form, and the plan with its start button."""
    if not hierarchy.disciplines_under(tree, url_state.focus()):
        st.info("No disciplines in focus. Select another node, or add a discipline.", icon=":material/account_tree:")
        if st.button("Open taxonomy", type="primary", icon=":material/account_tree:"):
            url_state.open_page("pages/taxonomy.py")
        return
    left, right = page_frame.two_halves()
    with left:
        settings = form.panel(ws, tree)
    if settings is None:
        return
    with right:
        try:
            made = plan(ws, settings)
        except GlanError as error:
            show_error(error)
            return
        if not made.calls[1]:
            st.success("The workspace already meets this target. Increase a number to generate more.", icon=":material/check:")
            return
        plan_panel.show_plan(made)
        started = plan_panel.start_button(ws, settings, made, form.title_of(tree, settings.target.disciplines))
        if started:
            st.session_state.run = started
            st.rerun()
        st.caption("Equivalent command")
        command_line(form.command(ws, tree, settings))


def none_yet(summary: str, icon: str) -> None:
    """Draw an empty state with a button to the plan form."""
    st.info(summary, icon=icon)
    st.button(
        "Plan a run",
        type="primary",
        icon=":material/play_circle:",
        on_click=st.session_state.update,
        kwargs={"runs_view": "Plan"},
    )
    empty_state.still("runs")


def watching(everything: list[Run], live: list[Run]) -> None:
    """Draw the panels of the live runs and of the selected run, or of the latest."""
    shown = [run for run in everything if run in live or run.id == st.session_state.get("run")] or everything[:1]
    if st.session_state.get("run"):
        st.query_params["run"] = str(st.session_state.run)  # a link opens the same run
    if not shown:
        none_yet("No runs yet. Start one to watch it here.", ":material/monitoring:")
    for run in sorted(shown, key=lambda run: run.state == "queued"):
        with st.container(border=True):
            run_table.run_panel(ws, run.id)


def at_work(live: list[Run]) -> None:
    """Draw one line for the live runs above the form."""
    if live:
        names = ", ".join(f"run {run.id} ({escape(run.title)})" for run in live[:3])
        st.caption(f":material/monitoring: Running: {names}{' and more' if len(live) > 3 else ''}. See Watch for progress.")


everything = run_rows.runs(ws.db, MOST)
live = [run for run in everything if runs.state_of(run) in LIVE]
asked_teachers = [run for run in everything if not is_job(run.kind)]
ended_early = next((run for run in asked_teachers if run.kind == "generate"), None)
if ended_early and runs.state_of(ended_early) not in run_table.ENDED_EARLY:
    ended_early = None
jobs = len(everything) - len(asked_teachers)
sentence = f"{plural(len(asked_teachers), 'run')} with a teacher · {plural(jobs, 'job')} · {len(live) or 'none'} live"
page_frame.title_line(
    "Runs", tree, sentence if everything else "No runs yet. Runs continue when this page or the browser is closed.", ws
)
view = choose_view(live, ended_early)
if view != "Watch":
    st.query_params.pop("run", None)
match view:
    case "Watch":
        watching(everything, live)
    case "History" if everything:
        history.panel(ws, everything)
    case "History":
        none_yet("No runs yet. Runs and their results are listed here.", ":material/history:")
    case _:
        at_work(live)
        planning()
