"""Curves of one fine-tuning run with their scale and smoothing, and their CSV file."""

from collections.abc import Sequence

import streamlit as st

from glan_core.figures import training as pictures
from glan_core.figures.training import MOST_SMOOTH, SMOOTH
from glan_core.ids import slug
from glan_core.workspace import Workspace, training_rows
from glan_core.workspace.run_rows import Run
from glan_core.workspace.training_rows import Step
from pages.components.shared import page_frame, picture_table

CHART = {"displayModeBar": False}
EVERY_ROW = 10_000_000  # of the log, for the CSV file


def log_scale(key: str) -> bool:
    """Draw the toggle of the loss axis; returns whether it is logarithmic."""
    return st.toggle("Log scale", key=key, bind="query-params", help="Logarithmic loss axis.")


def panel(ws: Workspace, run: Run, logged: Sequence[Step]) -> None:
    """Draw losses, learning rate, gradient norm and memory of a run."""
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        log = log_scale("train_log")
        smoothing = st.select_slider(
            "Smoothing", [0.0, SMOOTH, 0.1, 0.25, MOST_SMOOTH], value=SMOOTH, key="train_smoothing", width=170,
            format_func=lambda share: "none" if not share else f"{share:.0%}", help="Span of the exponential average of the training loss, as "
            "a share of the steps.",
        )  # fmt: skip
        st.space("stretch")
        st.download_button(
            "CSV", lambda: csv(ws, run), file_name=f"{slug(str(run.params.get('name') or run.id))}-curves.csv", mime="text/csv",
            key="train_csv", icon=":material/download:", on_click="ignore", type="tertiary",
            help="Every logged step: losses in nats/token, learning rate, gradient norm, tokens, seconds, memory in MB, GPU utilization.",
        )  # fmt: skip
    frame, style = pictures.steps_frame(logged, smoothing), page_frame.figure_style()
    st.plotly_chart(
        pictures.loss_figure(frame, style, log=log),
        width="stretch",
        config=CHART,
        key="train_loss",
        alt="Training and validation loss against steps",
    )
    st.plotly_chart(
        pictures.learning_rate_figure(frame, style),
        width="stretch",
        config=CHART,
        key="train_pace",
        alt="Learning rate and gradient norm against steps",
    )
    if frame["memory_mb"].notna().any() or frame["gpu_memory_mb"].notna().any():
        st.plotly_chart(
            pictures.memory_figure(frame, style),
            width="stretch",
            config=CHART,
            key="train_memory",
            alt="Memory and utilization of the GPU against steps",
        )
    picture_table.button(
        "train", "Logged steps", lambda: frame.astype({"step": int, "tokens": int}),
        {"step": "Step", "tokens": "Tokens", "seconds": "Seconds", "loss": "Loss", "smooth": "Smoothed loss",
         "validation_loss": "Validation loss", "lr": "Learning rate", "grad_norm": "Gradient norm", "memory_mb": "Memory, MB",
         "gpu_memory_mb": "GPU memory, MB", "gpu_use": "GPU, %"},
        dict.fromkeys(("loss", "smooth", "validation_loss", "grad_norm"), "%.3f")
        | {"seconds": "%.0f", "lr": "%.2e", "memory_mb": "%.0f", "gpu_memory_mb": "%.0f", "gpu_use": "%.0f"},
    )  # fmt: skip


def csv(ws: Workspace, run: Run) -> str:
    """Return all logged steps of a run as CSV."""
    frame = pictures.steps_frame(training_rows.steps(ws.db, run.id, EVERY_ROW)).drop(columns="smooth")
    return frame.astype({"step": int, "tokens": int}).to_csv(index=False)
