"""Checkpoints of a tuned model: their losses and sizes, and what can be done with the selected one."""

import pandas as pd
import streamlit as st

from glan_core.errors import GlanError
from glan_core.formatting import number, plural, size
from glan_core.models.checkpoints import model_from_checkpoint, remove_checkpoint
from glan_core.models.tuned_model_store import TunedModel, typed_model_name
from glan_core.workspace import Workspace
from pages.components.shared import plain_table, row_selection, url_state


def panel(ws: Workspace, model: TunedModel) -> None:
    """Draw the checkpoints that were kept with a model."""
    if not model.checkpoints:
        return
    kept = model.checkpoints
    st.markdown(
        f"**Checkpoints** · {size(sum(one.bytes for one in kept))}",
        help="Weights of earlier evaluations, kept because the run had 'Checkpoints to keep' set.",
    )
    steps = [str(one.step) for one in kept]
    at, choice = row_selection.single_row_selection(f"checkpoints_{model.name}_{len(kept)}", steps, "model_step", "step")
    plain_table.draw(
        pd.DataFrame({
            "step": [one.step for one in kept], "loss": [one.validation_loss for one in kept],
            "size": [one.bytes / 1e6 for one in kept],
        }),
        **choice, hide_index=True, placeholder="–", alt="Checkpoints, first steps first", height="content" if len(kept) < 9 else 317,
        column_config={
            "step": st.column_config.NumberColumn("Step", format="localized", width=60),
            "loss": st.column_config.NumberColumn("Validation loss", format="%.3f", width=100, help="Nats/token at this step."),
            "size": st.column_config.NumberColumn("MB", format="%.1f", width=60),
        },
    )  # fmt: skip
    _actions(ws, model, kept[at].step)


def _actions(ws: Workspace, model: TunedModel, step: int) -> None:
    with st.container(horizontal=True, gap="small"):
        if st.button(
            "Chat", icon=":material/forum:", key="chat_checkpoint", help=f"Step {number(step)} beside the final weights."
        ):
            st.session_state.chat_asked = [f"tuned:{model.name}@{step}", f"tuned:{model.name}"]
            url_state.open_page("pages/chat.py")
        if ws.read_only:
            return
        with st.popover("Save as model", icon=":material/deployed_code:", key="save_checkpoint"):
            st.caption("A model of its own can be judged, benchmarked, merged and exported. The checkpoint is kept.")
            st.text_input("Model name", f"{model.name}-step-{step}", key=f"checkpoint_name_{model.name}_{step}")
            st.button("Save", key=f"save_checkpoint_now_{model.name}_{step}", on_click=_save, args=(ws, model.name, step))
        with st.popover("Remove", icon=":material/delete:", key="delete_checkpoint"):
            st.button(
                f"Remove step {number(step)} · {size(model.checkpoint(step).bytes)}",
                key=f"delete_checkpoint_now_{model.name}_{step}", on_click=_delete, args=(ws, model.name, step),
                help=f"{plural(len(model.checkpoints) - 1, 'checkpoint')} and the final weights are kept. It can be restored on the Workspaces page.",
            )  # fmt: skip


def _save(ws: Workspace, name: str, step: int) -> None:
    """Store a checkpoint as a model of the typed name and select it; the page shows an error."""
    try:
        new_name = typed_model_name(st.session_state[f"checkpoint_name_{name}_{step}"])
        made = model_from_checkpoint(ws, name, step, new_name)
    except GlanError as error:
        st.session_state.model_error = error
    else:
        st.session_state.update(model=made.name, model_said=f"Saved as {made.name}.")


def _delete(ws: Workspace, name: str, step: int) -> None:
    try:
        remove_checkpoint(ws, name, step)
    except GlanError as error:
        st.session_state.model_error = error
