"""Comparison of fine-tuning runs: loss curves and differing settings."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from glan_core import runs
from glan_core.figures import training as pictures
from glan_core.formatting import ago, duration, number, plural
from glan_core.runs.settings_summary import differences
from glan_core.training.recipes import RECIPES
from glan_core.workspace import Workspace, training_rows
from glan_core.workspace.run_rows import Run
from pages.components.shared import page_frame, picture_table, plain_table, row_selection
from pages.components.shared.run_table import COLORS
from pages.components.train import curves

MOST = 12
AGAINST = {"step": "Steps", "tokens": "Tokens", "seconds": "Time"}


def panel(ws: Workspace, everything: Sequence[Run]) -> None:
    """Draw the table of runs and the loss curves of the selected ones, by default the latest."""
    if not everything:
        st.info("No training runs to compare yet.", icon=":material/stacked_line_chart:")
        return
    last = {run.id: training_rows.steps(ws.db, run.id, 300) for run in everything[:60]}
    shown = [run for run in everything if run.id in last]
    held_out = {id: [step.validation_loss for step in steps if step.validation_loss is not None] for id, steps in last.items()}
    selected, picking = row_selection.several_rows(f"train_compare_{shown[0].id}", len(shown))
    plain_table.draw(
        pd.DataFrame({
            "name": [_own_title(run) or run.params.get("name") for run in shown], "tags": [list(run.tags) for run in shown],
            "recipe": [_value(run.params.get("recipe")) for run in shown],
            "snapshot": [run.params.get("snapshot") for run in shown], "state": [[runs.state_of(run)] for run in shown],
            "steps": [last[run.id][-1].step if last[run.id] else None for run in shown],
            "best": [min(held_out[run.id], default=None) for run in shown],
            "took": [duration(last[run.id][-1].seconds) if last[run.id] else None for run in shown],
            "when": [ago(run.started_at or run.created_at) for run in shown],
        }),
        hide_index=True, **picking, placeholder="–",
        height="content" if len(shown) <= 8 else 317, alt="Fine-tuning runs, newest first",
        column_config={
            "name": st.column_config.TextColumn("Model", width=130), "tags": st.column_config.ListColumn("Tags", width=130),
            "recipe": st.column_config.TextColumn("Recipe", width=75),
            "snapshot": st.column_config.TextColumn("Snapshot", width=80),
            "state": st.column_config.MultiselectColumn("State", options=list(COLORS), color=list(COLORS.values()), width=90),
            "steps": st.column_config.NumberColumn("Steps", format="localized", width=60),
            "best": st.column_config.NumberColumn("Validation loss", format="%.3f", width=95, help="Lowest validation loss, in nats/token."),
            "took": st.column_config.TextColumn("Duration", width=65, alignment="right"),
            "when": st.column_config.TextColumn("Started", width=85),
        },
    )  # fmt: skip
    picked = [shown[n] for n in selected][:MOST] or [run for run in shown if last[run.id]][:4]
    if not picked:
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        against = st.segmented_control("X axis", list(AGAINST), format_func=AGAINST.get, default="step", required=True, key="train_against",
                                       label_visibility="collapsed", bind="query-params")  # fmt: skip
        log = curves.log_scale("train_compare_log")
    frames = {_label(run): pictures.steps_frame(last[run.id]) for run in picked if last[run.id]}
    left, right = page_frame.main_and_detail("differs")
    with left:
        figure = pictures.compare_figure(frames, against, page_frame.figure_style(), log=log)
        st.plotly_chart(
            figure,
            width="stretch",
            config={"displayModeBar": False},
            key="train_curves",
            alt=f"Losses of {plural(len(frames), 'run')} against {AGAINST[against].lower()}",
        )
        st.caption(f"Dots: validation loss; thin lines: training loss. Select up to {MOST} runs.")
        picture_table.button(
            "train_curves", "Losses of the runs",
            lambda: pd.concat([steps.assign(run=name) for name, steps in frames.items()]).astype({"step": int, "tokens": int}),
            {"run": "Run", "step": "Step", "tokens": "Tokens", "seconds": "Seconds", "smooth": "Training loss",
             "validation_loss": "Validation loss"},
            {"seconds": "%.0f", "smooth": "%.3f", "validation_loss": "%.3f"},
        )  # fmt: skip
        if len({_tokenizer(run) for run in picked}) > 1:
            st.caption(
                ":material/warning: The tokenizers of these runs may differ, because their base models do, so their losses per token are not "
                "comparable: compare bits per byte on the Models page."
            )
    with right:
        _differences(picked)


def _tokenizer(run: Run) -> str:
    """Return what the tokenizer of a run is known by: its base model, or the snapshot and vocabulary of a model from scratch."""
    scratch = run.params.get("scratch") or {}
    return str(run.params.get("base") or (run.params.get("snapshot"), scratch.get("vocabulary"), run.params.get("rows")))


def _own_title(run: Run) -> str | None:
    """Return the title that a person gave a run; None for the one that every run begins with."""
    return None if run.title == f"Fine-tune {run.params.get('name')}" else run.title


def _label(run: Run) -> str:
    return f"{_own_title(run) or run.params.get('name')} · run {run.id}"


def _differences(picked: Sequence[Run]) -> None:
    """Table of the settings in which the runs differ."""
    differing = differences(picked)
    if not differing:
        st.caption("Their settings are equal." if len(picked) > 1 else "Select another run to compare settings.")
        return
    st.markdown("**Differing settings**")
    st.table(
        pd.DataFrame(differing, index=[f"Run {run.id}" for run in picked]).T,
        border="horizontal",
        alt="Settings that differ between the runs",
    )


def _value(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name} {number(size)}" for name, size in value.items())
    if isinstance(value, int) or value in RECIPES:
        return RECIPES[value].label if value in RECIPES else number(value)
    return f"{value:g}" if isinstance(value, float) else str(value)
