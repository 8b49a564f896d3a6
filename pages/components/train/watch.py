"""A fine-tuning run: losses, speed, sample replies, and the buttons that stop or resume it."""

from collections.abc import Sequence

import streamlit as st

from glan_core import runs
from glan_core.errors import GlanError
from glan_core.formatting import duration, number, shorten, size
from glan_core.models import tuned_model_store
from glan_core.workspace import Workspace, run_rows, training_rows
from glan_core.workspace.run_rows import LIVE, Run
from glan_core.workspace.training_rows import SampleReply, Step
from pages.components.shared import job_panel, page_frame, run_table, url_state
from pages.components.shared.untrusted_text import badge_label, escape, model_markdown, show_error
from pages.components.train import curves, form, run_label

RECENT = 30  # logged steps over which the current speed is measured
WHAT_TO_DO = {
    "paused": "resume it to continue from its checkpoint",
    "lost": "worker lost (no heartbeat); resume it to continue from the last checkpoint",
}


def panel(ws: Workspace, everything: Sequence[Run]) -> None:
    """Draw the selected run, by default the running or latest one; it refreshes while it is live."""
    if not everything:
        st.info("No training runs yet. Plan a run to watch it here.", icon=":material/monitoring:")
        st.button(
            "Plan a run", type="primary", icon=":material/model_training:", on_click=st.session_state.update,
            kwargs={"train_view": "Plan"},
        )  # fmt: skip
        return
    names = {run.id: run for run in everything}
    first = next((run.id for run in everything if runs.state_of(run) == "running"), everything[0].id)
    key = f"train_run{run_label.renamed()}"
    if st.session_state.get(key) not in names:
        linked = url_state.number_in_url("run")
        st.session_state[key] = linked if linked in names else first
    if len(everything) > 1:
        st.selectbox(
            "Run", list(names), key=key, width=420, label_visibility="collapsed",
            format_func=lambda id: f"Run {id} · {shorten(names[id].title, 50)}",  # no state: the browser caches option labels
        )  # fmt: skip
    run = names[st.session_state[key]]
    st.query_params["run"] = str(run.id)
    alive = runs.state_of(run) in LIVE
    st.fragment(_live, run_every="2s" if alive else None)(ws, run, was_alive=alive)


def _live(ws: Workspace, listed: Run, *, was_alive: bool) -> None:
    """Draw a run; what its buttons do redraws this part only, so errors are shown here and a new title redraws the page."""
    run = runs.get(ws, listed.id)
    state = runs.state_of(run)
    if (state in LIVE) != was_alive or run.title != listed.title:
        st.rerun()
    if error := st.session_state.pop("job_error", None):
        show_error(error)
    logged = training_rows.steps(ws.db, run.id)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.header(escape(run.title), anchor=False, width="content")
        st.badge(state, color=run_table.COLORS[state])
        for tag in run.tags:
            st.badge(badge_label(tag), color="gray", icon=":material/label:")
        st.space("stretch")
        _buttons(ws, run, state)
    _say(run, state, logged)
    if state in LIVE:
        st.progress(*job_panel.job_progress(ws, run))
    if not logged:
        if state in LIVE:
            st.caption(
                "Queued: loading starts when the run before it has ended."
                if state == "queued"
                else "Loading libraries, weights and data; the first step takes a while."
            )
        return
    _numbers(ws, run, logged, state)
    left, right = page_frame.main_and_detail("said")
    with left:
        curves.panel(ws, run, logged)
    with right:
        _said(training_rows.replies(ws.db, run.id))


def _say(run: Run, state: str, logged: Sequence[Step]) -> None:
    if run.message and state not in WHAT_TO_DO:
        (st.error if state == "failed" else st.caption)(escape(run.message))
    if state in WHAT_TO_DO:
        at = f" Last step: {number(logged[-1].step)}." if logged else ""
        (st.warning if state == "lost" else st.caption)(f"{state.capitalize()}: {WHAT_TO_DO[state]}.{at}")
    if run.wish and state in LIVE:
        word = {"keep": "stop and keep the model", "pause": "pause"}.get(run.wish, run.wish)
        st.caption(f"Will {word} after this step.")


def _buttons(ws: Workspace, run: Run, state: str) -> None:
    if ws.read_only:
        return
    run_label.edit(ws, run)
    if state in LIVE and not run.wish:
        for word, icon, action, explanation in (
            ("Pause", "pause", runs.pause, "Saves a checkpoint and frees the device; resume continues from it."),
            ("Stop and keep", "flag", runs.keep, "Stops after this step and keeps the model trained so far."),
            ("Cancel", "stop", runs.cancel, "Stops permanently without keeping a model."),
        ):
            st.button(
                word, icon=f":material/{icon}:", key=f"train_{icon}", help=explanation, on_click=job_panel.run_action, args=(action, ws, run.id),
                type="tertiary", disabled=word == "Stop and keep" and state != "running",
            )  # fmt: skip
    elif state in run_table.ENDED_EARLY:
        if state in ("failed", "cancelled"):
            st.button(
                "Change settings", icon=":material/tune:", key="train_again", type="tertiary", on_click=form.fill,
                args=(run.params,), help="Opens the form with the settings of this run.",
            )  # fmt: skip
        st.button(
            "Resume", icon=":material/play_arrow:", key="train_resume", type="primary", on_click=job_panel.run_action,
            args=(runs.resume, ws, run.id), help="Continues from the last checkpoint.",
        )  # fmt: skip
    elif state == "finished" and (name := run.params.get("name")):
        try:
            tuned_model_store.read_model(ws, name)
        except GlanError:
            return
        if st.button("Chat with model", icon=":material/forum:", type="primary", key="train_chat"):
            st.session_state.chat_asked = [f"tuned:{name}", f"base:{name}"]
            url_state.open_page("pages/chat.py")


def _numbers(ws: Workspace, run: Run, logged: Sequence[Step], state: str) -> None:
    last = logged[-1]
    losses = [step for step in logged if step.loss is not None]
    held_out = [step.validation_loss for step in logged if step.validation_loss is not None]
    planned = next((stage.planned for stage in run_rows.stages(ws.db, run.id) if stage.stage == "steps"), last.step)
    then = losses[max(0, len(losses) - RECENT)] if losses else last
    steps, seconds = last.step - then.step, last.seconds - then.seconds
    pace = (last.tokens - then.tokens) / seconds if seconds > 0 else last.tokens / max(1e-9, last.seconds)
    left = (planned - last.step) * (seconds / steps if steps else last.seconds / max(1, last.step))
    with st.grid(6, gap="small", min_column_width=160):
        st.metric("Step", f"{number(last.step)} / {number(planned)}", help=f"Epoch {last.epoch:.2f}.")
        st.metric("Training loss", f"{losses[-1].loss:.3f}" if losses else "–", help="Mean cross-entropy of the latest step, in "
                  "nats/token. Lower is better.")  # fmt: skip
        st.metric(
            "Validation loss",
            f"{held_out[-1]:.3f}" if held_out else "–",
            _against_base(logged, held_out),
            delta_color="off",
            delta_arrow="off",
            help="Mean cross-entropy on the validation split, in nats/token; step 0 is the base model. An increase indicates overfitting.",
        )
        st.metric("Tokens/s", number(pace), help=f"Without padding; {number(last.tokens)} tokens processed.")
        if state in LIVE:
            st.metric("Time left", duration(left), help="At the speed of the latest steps, evaluations excluded.")
        else:
            st.metric("Duration", duration(last.seconds), help="Training time, pauses excluded.")
        gpu = f", {last.gpu_use:.0f} % busy" if last.gpu_use is not None else ""
        memory = last.gpu_memory_mb or last.memory_mb
        st.metric("Memory", size(memory * 1e6) if memory else "–",
                  help=f"GPU memory{gpu}." if last.gpu_memory_mb else "Memory of the training process.")  # fmt: skip


def _against_base(logged: Sequence[Step], held_out: Sequence[float]) -> str | None:
    """Return the gain over the base model, evaluated before the first step, and the best loss where it is another one."""
    before = next((step.validation_loss for step in logged if step.step == 0), None)
    parts = [f"base {before:.3f}"] if before is not None and len(held_out) > 1 else []
    parts += [f"best {min(held_out):.3f}"] if held_out and min(held_out) < held_out[-1] else []
    return " · ".join(parts) or None


def _said(replies: Sequence[SampleReply]) -> None:
    """Draw the replies to a prompt at each evaluation."""
    if not replies:
        st.caption("Replies to sample prompts are shown here after the first evaluation.")
        return
    prompts = {spoken.nth: spoken.prompt for spoken in replies}
    nth = st.selectbox(
        "Prompt", list(prompts), format_func=lambda nth: shorten(prompts[nth], 80), key="train_prompt", help="Questions of the "
        "validation split, or your own prompts. Greedy decoding.",
    )  # fmt: skip
    at = {spoken.step: spoken.reply for spoken in replies if spoken.nth == nth}
    steps = list(at)
    shown = steps[-1]
    if len(steps) > 1:
        key = f"train_said_{nth}_{len(steps)}"
        shown = st.select_slider("Step", steps, value=steps[-1], key=key, format_func=number)
    st.caption(model_markdown(prompts[nth]))
    with st.container(border=True):
        st.markdown(model_markdown(at[shown]) or "*(empty reply)*")
