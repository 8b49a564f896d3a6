"""Runs: plan and price, then start; watch, pause, resume, cancel; compare, and run again."""

import streamlit as st

from glan_core import runs
from glan_core.errors import GlanError
from glan_core.formatting import plural
from glan_core.generation.plan import plan
from glan_core.taxonomy import hierarchy
from glan_core.workspace import run_rows
from glan_core.workspace.run_rows import LIVE, Run
from pages.components.runs import form, history
from pages.components.shared import page_frame, plan_panel, run_table, url_state
from pages.components.shared.untrusted_text import fault, plain

VIEWS = ("Plan", "Watch", "History")
MOST = 300

arrived = st.session_state.get("page") != "Runs"
ws, tree = page_frame.open_page("Runs")


def choose_view(live: list[Run]) -> str:
    """Planning, watching or looking back. What was just started or picked elsewhere is watched, what another page filled the
    form for is planned; else a run at work is what a person comes for."""
    state = st.session_state
    if state.get("runs_of") != state.workspace and state.get("run") == state.get("run_seen"):
        state.run = None  # the number of a run of another workspace
    if arrived and (linked := st.query_params.get("run", "")).isdecimal():
        state.run = state.run_seen = int(linked)
    asked = None
    if state.get("run") not in (None, state.get("run_seen")):
        asked = "Watch"
    elif state.get("run_disciplines") and state.run_disciplines != state.get("run_planned"):
        asked = "Plan"
    elif state.get("runs_view") is None and "runs_view" not in st.query_params:  # so it is after Back, too
        asked = "Watch" if live else "Plan"
    state.runs_of, state.run_seen, state.run_planned = state.workspace, state.get("run"), state.get("run_disciplines")
    if asked:
        state.runs_view = asked
    return st.segmented_control(
        "View", VIEWS, key="runs_view", required=True, bind="query-params",
        label_visibility="collapsed",
    )  # fmt: skip


def planning() -> None:
    """The plan form with its price, and the one button that spends."""
    if not hierarchy.disciplines_under(tree, url_state.focus()):
        st.info(
            "There is no discipline here to make anything for: pick another node, or add one.", icon=":material/account_tree:"
        )
        if st.button("Go to the taxonomy", type="primary", icon=":material/account_tree:"):
            url_state.go("pages/taxonomy.py")
        return
    left, right = page_frame.two_halves()
    with left:
        settings = form.order_form(ws, tree)
    if settings is None:
        return
    with right:
        try:
            made = plan(ws, settings)
        except GlanError as error:
            fault(error)
            return
        if not made.calls[1]:
            st.success("The workspace already holds all of this target. Raise a number to go further.", icon=":material/check:")
            return
        plan_panel.show_plan(made)
        started = plan_panel.start_button(ws, settings, made, form.title_of(tree, settings.target.disciplines))
        if started:
            st.session_state.run = started
            st.rerun()
        st.caption("The same on the command line:")
        st.code(form.command(ws, tree, settings), language="bash", wrap_lines=True)


def none_yet(said: str, icon: str) -> None:
    """What will be here, and the way to it."""
    st.info(said, icon=icon)
    st.button(
        "Plan a run",
        type="primary",
        icon=":material/play_circle:",
        on_click=st.session_state.update,
        kwargs={"runs_view": "Plan"},
    )


def watching(everything: list[Run], live: list[Run]) -> None:
    """The runs at work, and the one that was started or picked last; without either the latest."""
    shown = [run for run in everything if run in live or run.id == st.session_state.get("run")] or everything[:1]
    if st.session_state.get("run"):
        st.query_params["run"] = str(st.session_state.run)  # a link opens the same run
    if not shown:
        none_yet("No run is at work, and none was: plan one, and it can be watched here.", ":material/monitoring:")
    for run in sorted(shown, key=lambda run: run.state == "queued"):
        with st.container(border=True):
            run_table.live(ws, run.id)


def at_work(live: list[Run]) -> None:
    """One line for the runs at work, above a form that they have nothing to do with."""
    if live:
        names = ", ".join(f"run {run.id} ({plain(run.title)})" for run in live[:3])
        st.caption(
            f":material/monitoring: At work: {names}{' and more' if len(live) > 3 else ''}. Watch shows how far they are."
        )


everything = run_rows.runs(ws.db, MOST)
live = [run for run in everything if runs.state_of(run) in LIVE]
sentence = f"{plural(len(everything), 'run')} · {len(live) or 'none'} at work"
page_frame.title(
    "Runs", tree, sentence if everything else "No runs yet. A run lives on when this page or the browser is closed.", ws
)
view = choose_view(live)
if view != "Watch":
    st.query_params.pop("run", None)
match view:
    case "Watch":
        watching(everything, live)
    case "History" if everything:
        history.panel(ws, everything)
    case "History":
        none_yet("No runs yet: what was started, and how it went, will be listed here.", ":material/history:")
    case _:
        at_work(live)
        planning()
