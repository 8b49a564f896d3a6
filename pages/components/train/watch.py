"""A fine-tuning run as it learns: its losses, its pace, what it says to its prompts, and the buttons that end or resume it."""

from collections.abc import Sequence

import streamlit as st

from glan_core import runs
from glan_core.errors import GlanError
from glan_core.figures import training as pictures
from glan_core.formatting import duration, number, shorten, size
from glan_core.models import tuned_model_store
from glan_core.workspace import Workspace, run_rows, training_rows
from glan_core.workspace.run_rows import LIVE, Run
from glan_core.workspace.training_rows import SampleReply, Step
from pages.components.shared import job_panel, page_frame, run_table, url_state
from pages.components.shared.untrusted_text import fault, model_markdown, plain
from pages.components.train import form

CHART = {"displayModeBar": False}
RECENT = 30  # logged steps over which the pace of now is taken
WHAT_TO_DO = {
    "paused": "resume it to go on from its checkpoint",
    "lost": "its process is gone; resume it, it goes on from its last checkpoint",
}


def panel(ws: Workspace, everything: Sequence[Run]) -> None:
    """The run that is picked, else the one at work, else the latest; redrawn while it lives."""
    if error := st.session_state.pop("job_error", None):
        fault(error)
    if not everything:
        st.info(
            "No student was trained yet: plan a run, and it can be watched here as it learns.", icon=":material/monitoring:"
        )
        st.button(
            "Plan a run", type="primary", icon=":material/model_training:", on_click=st.session_state.update,
            kwargs={"train_view": "Plan"},
        )  # fmt: skip
        return
    names = {run.id: run for run in everything}
    first = next((run.id for run in everything if runs.state_of(run) == "running"), everything[0].id)
    if st.session_state.get("train_run") not in names:
        linked = st.query_params.get("run", "")
        st.session_state.train_run = int(linked) if linked.isdecimal() and int(linked) in names else first
    if len(everything) > 1:
        st.selectbox(
            "Run", list(names), key="train_run", width=420, label_visibility="collapsed",
            format_func=lambda id: f"Run {id} · {shorten(names[id].title, 50)}",  # no state: a browser keeps what a choice was called first
        )  # fmt: skip
    run = names[st.session_state.train_run]
    st.query_params["run"] = str(run.id)
    alive = runs.state_of(run) in LIVE
    st.fragment(_live, run_every="2s" if alive else None)(ws, run.id, alive)


def _live(ws: Workspace, run_id: int, was_alive: bool) -> None:
    run = runs.get(ws, run_id)
    state = runs.state_of(run)
    if (state in LIVE) != was_alive:
        st.rerun()
    logged = training_rows.steps(ws.db, run.id)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.subheader(plain(run.title), anchor=False, width="content")
        st.badge(state, color=run_table.COLORS[state])
        st.space("stretch")
        _buttons(ws, run, state)
    _say(run, state, logged)
    if state in LIVE:
        st.progress(*job_panel.how_far(ws, run))
    if not logged:
        if state in LIVE:
            st.caption("The first step takes a while: libraries, weights and rows are loaded.")
        return
    _numbers(ws, run, logged, state)
    left, right = page_frame.picture_and_detail("said")
    frame, style = pictures.steps_frame(logged), page_frame.figure_style()
    with left:
        st.plotly_chart(pictures.loss_figure(frame, style), width="stretch", config=CHART, key="train_loss")
        st.plotly_chart(pictures.pace_figure(frame, style), width="stretch", config=CHART, key="train_pace")
    with right:
        _said(training_rows.replies(ws.db, run.id))


def _say(run: Run, state: str, logged: Sequence[Step]) -> None:
    if run.message and state not in WHAT_TO_DO:
        (st.error if state == "failed" else st.caption)(plain(run.message))
    if state in WHAT_TO_DO:
        at = f" It is at step {number(logged[-1].step)}." if logged else ""
        (st.warning if state == "lost" else st.caption)(f"{state.capitalize()}: {WHAT_TO_DO[state]}.{at}")
    if run.wish and state in LIVE:
        word = {"keep": "end and keep what it learned", "pause": "pause"}.get(run.wish, run.wish)
        st.caption(f"It will {word} after this step.")


def _buttons(ws: Workspace, run: Run, state: str) -> None:
    if ws.read_only:
        return
    if state in LIVE and not run.wish:
        for word, icon, action, told in (
            ("Pause", "pause", runs.pause, "Stores a checkpoint and frees the machine; resume goes on from it."),
            ("End and keep", "flag", runs.keep, "Ends after this step and makes a model of what it has learned so far."),
            ("Cancel", "stop", runs.cancel, "Ends for good and makes no model."),
        ):
            st.button(
                word, icon=f":material/{icon}:", key=f"train_{icon}", help=told, on_click=job_panel.act, args=(action, ws, run.id),
                type="tertiary", disabled=word == "End and keep" and state != "running",
            )  # fmt: skip
    elif state in run_table.ENDED_EARLY:
        if state in ("failed", "cancelled"):
            st.button(
                "Change its settings", icon=":material/tune:", key="train_again", type="tertiary", on_click=form.fill,
                args=(run.params,), help="Opens the plan with what this run was ordered.",
            )  # fmt: skip
        st.button(
            "Resume", icon=":material/play_arrow:", key="train_resume", type="primary", on_click=job_panel.act,
            args=(runs.resume, ws, run.id), help="Goes on from the last checkpoint, on the same curve.",
        )  # fmt: skip
    elif state == "finished" and (name := run.params.get("name")):
        try:
            tuned_model_store.read_model(ws, name)
        except GlanError:
            return
        if st.button("Talk to it", icon=":material/forum:", type="primary", key="train_chat"):
            st.session_state.chat_asked = [f"tuned:{name}", f"base:{name}"]
            url_state.go("pages/chat.py")


def _numbers(ws: Workspace, run: Run, logged: Sequence[Step], state: str) -> None:
    last = logged[-1]
    losses = [step for step in logged if step.loss is not None]
    held = [step.validation_loss for step in logged if step.validation_loss is not None]
    planned = next((stage.planned for stage in run_rows.stages(ws.db, run.id) if stage.stage == "steps"), last.step)
    then = losses[max(0, len(losses) - RECENT)] if losses else last
    steps, seconds = last.step - then.step, last.seconds - then.seconds
    pace = (last.tokens - then.tokens) / seconds if seconds > 0 else last.tokens / max(1e-9, last.seconds)
    left = (planned - last.step) * (seconds / steps if steps else last.seconds / max(1, last.step))
    with st.grid(6, gap="small", min_column_width=160):
        st.metric("Step", f"{number(last.step)} / {number(planned)}", help=f"Epoch {last.epoch:.2f}.")
        st.metric("Training loss", f"{losses[-1].loss:.3f}" if losses else "–", help="Mean cross-entropy of a trained token, in nats, "
                  "at the latest step. Lower is better.")  # fmt: skip
        st.metric(
            "Held-out loss",
            f"{held[-1]:.3f}" if held else "–",
            f"best {min(held):.3f}" if held and min(held) < held[-1] else None,
            delta_color="off",
            delta_arrow="off",
            help="The same on rows that are not trained on. When it rises, the student learns by heart.",
        )
        st.metric("Tokens/s", number(pace), help=f"Padding not counted; {number(last.tokens)} tokens seen.")
        if state in LIVE:
            st.metric("Left", duration(left), help="At the pace of the latest steps; evaluations come on top.")
        else:
            st.metric("Took", duration(last.seconds), help="Time at work; pauses do not count.")
        gpu = f", {last.gpu_use:.0f} % busy" if last.gpu_use is not None else ""
        memory = last.gpu_memory_mb or last.memory_mb
        st.metric("Memory", size(memory * 1e6) if memory else "–",
                  help=f"Of the GPU{gpu}." if last.gpu_memory_mb else "Of the process.")  # fmt: skip


def _said(replies: Sequence[SampleReply]) -> None:
    """What the student said to a prompt at each evaluation: one watches it learn."""
    if not replies:
        st.caption("What it says to a few prompts will stand here from the first evaluation on.")
        return
    prompts = {spoken.nth: spoken.prompt for spoken in replies}
    nth = st.selectbox(
        "Prompt", list(prompts), format_func=lambda nth: shorten(prompts[nth], 80), key="train_prompt", help="Held-out questions, or "
        "your own. Answered with the likeliest token each time.",
    )  # fmt: skip
    at = {spoken.step: spoken.reply for spoken in replies if spoken.nth == nth}
    steps = list(at)
    shown = steps[-1]
    if len(steps) > 1:
        key = f"train_said_{nth}_{len(steps)}"
        shown = st.select_slider("At step", steps, value=steps[-1], key=key, format_func=number)
    st.caption(plain(prompts[nth]))
    with st.container(border=True):
        st.markdown(model_markdown(at[shown]) or "*It said nothing.*")
