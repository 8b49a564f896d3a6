"""Models page: tuned models with lineage and losses; rename, annotate, merge, export, serve, remove."""

import pandas as pd
import streamlit as st

from glan_core.formatting import ago, plural, size
from glan_core.models.tuned_model_store import list_models
from glan_core.training.recipes import RECIPES
from pages.components.models import detail
from pages.components.shared import empty_state, job_panel, page_frame, plain_table, row_selection, url_state
from pages.components.shared.tokenizer_caption import tokenizers_caption
from pages.components.shared.untrusted_text import show_error

JOBS = ("merge", "model-export")

ws, tree = page_frame.open_page("Models")
found = list_models(ws)
total = sum(model.disk_bytes for model in found)
page_frame.title_line(
    "Models",
    tree,
    f"{plural(len(found), 'model')} · {size(total)} of weights" if found else "No tuned models yet.",
    ws,
)
if error := st.session_state.pop("model_error", None):
    show_error(error)
if summary := st.session_state.pop("model_said", None):
    st.toast(summary, icon=":material/check:")
job_panel.show_progress(ws, *JOBS)
if not found:
    st.info(
        "No tuned models yet. Models are listed here with base model, recipe, snapshot and losses. The demo recipe trains a tiny model "
        "from scratch within minutes.", icon=":material/deployed_code:",
    )  # fmt: skip
    if st.button("Train a model", type="primary", icon=":material/model_training:"):
        url_state.open_page("pages/train.py")
    empty_state.still("models")
    st.stop()

names = [model.name for model in found]
at, choice = row_selection.single_row_selection(f"models_{len(names)}", names, "model", "model")
left, right = page_frame.main_and_detail("model")
with left:
    plain_table.draw(
        pd.DataFrame({
            "name": names,
            "recipe": [RECIPES[model.recipe].label if model.recipe in RECIPES else model.recipe for model in found],
            "form": ["merged" if model.merged_from else {"full": "full", "adapter": "adapter"}[model.form] for model in found],
            "snapshot": [model.snapshot for model in found],
            "rows": [model.rows for model in found],
            "loss": [model.losses.get("validation") for model in found], "bits": pd.Series([model.bits_per_byte for model in found], dtype=float),
            "size": [model.disk_bytes / 1e6 for model in found],
            "when": [ago(model.created_at) for model in found],
        }),
        **choice, hide_index=True, placeholder="–",
        height="content" if len(found) <= 12 else 457, alt="Tuned models, newest first",
        column_config={
            "name": st.column_config.TextColumn("Model", width=150), "recipe": st.column_config.TextColumn("Recipe", width=100),
            "form": st.column_config.TextColumn("Weights", width=62), "snapshot": st.column_config.TextColumn("Snapshot", width=70),
            "rows": st.column_config.NumberColumn("Pairs", format="localized", width=52),
            "loss": st.column_config.NumberColumn(
                "Validation loss", format="%.3f", width=102,
                help="Loss on the validation split in nats/token; lower is better, comparable only for the same snapshot and "
                "tokenizer.",
            ),
            "bits": st.column_config.NumberColumn(
                "Bits/byte", format="%.3f", width=70,
                help="Validation loss per UTF-8 byte of the answers; lower is better, comparable between tokenizers for the same snapshot.",
            ),
            "size": st.column_config.NumberColumn("MB", format="%.1f", width=48),
            "when": st.column_config.TextColumn("Created", width=85),
        },
    )  # fmt: skip
    tokenizers_caption(found)
    detail.lineage(ws, tree, found[at])
with right:
    detail.panel(ws, found[at])
