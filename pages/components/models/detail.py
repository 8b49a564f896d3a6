"""Lineage, facts and actions of a tuned model."""

from collections.abc import Callable
from pathlib import Path

import networkx as nx
import pandas as pd
import streamlit as st

from glan_core.dataset.export_job import exports_folder
from glan_core.dataset.snapshot_store import list_snapshots
from glan_core.errors import GlanError
from glan_core.formatting import duration, exact, number, short, size
from glan_core.models import tuned_model_store
from glan_core.models.export_job import check_gguf_export, check_target
from glan_core.models.model_card import serving_commands
from glan_core.models.settings import MergeSettings, ModelExportSettings
from glan_core.models.tuned_model_store import TunedModel, typed_model_name
from glan_core.settings import read_settings
from glan_core.taxonomy import hierarchy
from glan_core.training.recipes import RECIPES
from glan_core.workspace import Workspace
from pages.components.models import checkpoints
from pages.components.shared import job_panel, plain_table, settings_fields, url_state
from pages.components.shared.command_line import command_line
from pages.components.shared.untrusted_text import escape

MOST = 12
LOSSES = {"train": "training", "validation": "validation", "base": "validation before training"}


def lineage(ws: Workspace, tree: nx.DiGraph, model: TunedModel) -> None:
    """Draw the lineage of a model and the disciplines in its training data."""
    base = escape(model.base_name) or "initialized from scratch"
    hash_now = {snapshot.name: snapshot.hash for snapshot in list_snapshots(ws)}
    state = {None: "removed", model.snapshot_hash: "unchanged"}.get(hash_now.get(model.snapshot), "replaced")
    recipe = RECIPES[model.recipe].label if model.recipe in RECIPES else model.recipe
    arrow = " :material/arrow_forward: "
    parts = [f":gray[base] {base}", f":gray[snapshot] {escape(model.snapshot)} ({state})", f":gray[recipe] {escape(recipe)}"]
    parts += [f":gray[adapter] {escape(model.merged_from)}"] if model.merged_from else []
    st.markdown(arrow.join([*parts, f"**{escape(model.name)}**"]))
    rows = []
    for id, count in list(model.disciplines.items())[:MOST]:
        path = hierarchy.path(tree, id) if id in tree else []
        rows.append((path[0].name if path else "", path[-1].name if path else id, count))
    plain_table.draw(
        pd.DataFrame(rows, columns=["field", "discipline", "rows"]), hide_index=True, alt="Disciplines in the training data",
        height="content",
        column_config={
            "field": st.column_config.TextColumn("Field", width=200), "discipline": st.column_config.TextColumn("Discipline", width=220),
            "rows": st.column_config.ProgressColumn("Pairs", format="localized", min_value=0, max_value=max(r[2] for r in rows)),
        },
    )  # fmt: skip
    if len(model.disciplines) > MOST:
        st.caption(f"and {number(len(model.disciplines) - MOST)} more disciplines.")


def panel(ws: Workspace, model: TunedModel) -> None:
    """Draw facts, notes and actions of a model."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.header(escape(model.name), anchor=False, width="content")
        if model.stopped_early:
            st.badge("stopped early", color="orange")
        if not model.base:
            st.badge(
                "demo", color="gray", help="A tiny model trained from scratch; it knows only the topics of its training data."
            )
    with st.container(horizontal=True, gap="small"):
        if st.button("Chat", type="primary", icon=":material/forum:", key="chat_with"):
            st.session_state.chat_asked = [f"tuned:{model.name}", f"base:{model.name}"]
            url_state.open_page("pages/chat.py")
        if st.button("Judge vs base", icon=":material/gavel:", key="judge_it"):
            st.session_state.update(
                run_eval_ours=f"tuned:{model.name}", run_eval_other=f"base:{model.name}", evaluate_asked="Judge"
            )
            url_state.open_page("pages/evaluate.py")
    losses = " · ".join(f"{LOSSES.get(name, name)} {loss:.3f}" for name, loss in model.losses.items())
    bits = "" if model.bits_per_byte is None else f" nats/token · validation {model.bits_per_byte:.3f} bits/byte"
    facts = {
        "Loss": losses + bits or "–", "Trained on": f"{number(model.rows)} pairs, {short(model.tokens)} tokens, {model.epochs:g} epochs",
        "Steps": f"{number(model.steps)} in {duration(model.seconds)}",
        "Parameters": f"{short(model.trained_parameters)} trainable of {short(model.parameters)}",
        "Precision": model.precision, "Chat template": "of the base model" if model.template == "base" else "Alpaca",
        "Created": exact(model.created_at), "Weights": f"{size(model.bytes)} · {model.weights_hash[7:19]}…",
    }  # fmt: skip
    with st.container(gap="xsmall"):
        for label, words in facts.items():
            st.markdown(f":gray[{label}] {escape(words)}", help=model.weights_hash if label == "Weights" else None)
    _notes(ws, model)
    checkpoints.panel(ws, model)
    with st.container(horizontal=True, gap="small"):
        if not ws.read_only:
            _rename(ws, model)
            if model.form == "adapter":
                _merge(ws, model)
            _export(ws, model)
        with st.popover("Serve", icon=":material/dns:", key="serve_model"):
            st.caption("Serve as an OpenAI-compatible endpoint, with one of these programs:")
            for name, command in serving_commands(model, str(model.weights(ws))).items():
                st.caption(name)
                command_line(command, key=f"serve_with_{name}", label=name)
        if not ws.read_only:
            _remove(ws, model)


def _notes(ws: Workspace, model: TunedModel) -> None:
    if ws.read_only:
        if model.notes:
            st.caption(escape(model.notes))
        return
    st.text_area(
        "Notes", model.notes, key=f"notes_{model.name}", placeholder="Notes about this model", height=80, on_change=_note,
        args=(ws, model.name),
    )  # fmt: skip


def _note(ws: Workspace, name: str) -> None:
    _do(tuned_model_store.set_notes, ws, name, st.session_state[f"notes_{name}"])


def _rename(ws: Workspace, model: TunedModel) -> None:
    with st.popover("Rename", icon=":material/edit:", key="rename_model"):
        new = st.text_input("New name", model.name, key=f"new_name_{model.name}")
        st.button(
            "Rename",
            key=f"rename_now_{model.name}",
            disabled=new.strip() in ("", model.name),
            on_click=_rename_to,
            args=(ws, model.name),
        )


def _rename_to(ws: Workspace, name: str) -> None:
    typed = st.session_state[f"new_name_{name}"]
    if _do(lambda: tuned_model_store.rename_model(ws, name, typed_model_name(typed))):
        st.session_state.model = typed_model_name(typed)


def _merge(ws: Workspace, model: TunedModel) -> None:
    with st.popover("Merge", icon=":material/merge:", key="merge_model"):
        st.caption("Merges base model and adapter into one model that needs no PEFT. The adapter is kept.")
        key = f"merge_name_{model.name}"
        st.text_input(value=f"{model.name}-merged", key=key, **settings_fields.text(MergeSettings, "name"))

        def merge() -> None:  # a click may come before the page has taken what was typed
            _begin(ws, MergeSettings, lambda: {"model": model.name, "name": typed_model_name(st.session_state[key])})

        st.button("Merge", key="merge_now", on_click=merge)


def _export(ws: Workspace, model: TunedModel) -> None:
    with st.popover("Export", icon=":material/download:", key="export_model"):
        path = st.text_input(
            value=str(exports_folder(ws) / model.name), key=f"export_path_{model.name}",
            **settings_fields.text(ModelExportSettings, "path"),
        )  # fmt: skip
        repo = st.text_input(
            placeholder="owner/name", key=f"export_repo_{model.name}",
            **settings_fields.text(ModelExportSettings, "repo", note="Instead of the folder; the repository is private."),
        )  # fmt: skip
        license = st.text_input(
            placeholder="apache-2.0", key=f"export_license_{model.name}", **settings_fields.text(ModelExportSettings, "license")
        )
        values = {"model": model.name, "license": license.strip() or None}
        values |= {"repo": repo.strip()} if repo.strip() else {"path": path.strip()}
        kind = st.selectbox(
            options=[None, "f16", "q8_0", "bf16", "f32"], format_func=lambda kind: f"GGUF {kind}" if kind else "safetensors",
            key=f"export_gguf_{model.name}", **settings_fields.text(ModelExportSettings, "gguf") | {"label": "Weights"},
        )  # fmt: skip
        values |= {"gguf": kind}
        st.caption(
            "One GGUF file with tokenizer and chat template, a Modelfile for Ollama, and a model card."
            + (" The adapter is merged into its base." if model.form == "adapter" else "")
            if kind
            else "Safetensors weights, tokenizer with chat template, and a model card."
        )
        st.button("Upload to Hub" if repo.strip() else "Export to folder", key="export_now", on_click=_begin,
                  args=(ws, ModelExportSettings, lambda: values))  # fmt: skip


def _remove(ws: Workspace, model: TunedModel) -> None:
    with st.popover("Remove", icon=":material/delete:", key="remove_model"):
        st.caption(
            f"It can be restored on the Workspaces page; its {size(model.disk_bytes)} stay on disk until you purge it there."
        )
        st.button(f"Remove {model.name}", key=f"remove_now_{model.name}", on_click=_do,
                  args=(tuned_model_store.remove_model, ws, model.name))  # fmt: skip


def _begin(ws: Workspace, kind: type, values: Callable[[], dict]) -> None:
    try:
        settings = read_settings(kind, values())
        if isinstance(settings, ModelExportSettings) and settings.path:
            ws.writable_folder("exports").mkdir(exist_ok=True)
            check_target(ws, Path(settings.path).expanduser())
        if isinstance(settings, ModelExportSettings) and settings.gguf:
            check_gguf_export(ws, tuned_model_store.read_model(ws, settings.model))
    except (GlanError, OSError) as error:
        st.session_state.model_error = error if isinstance(error, GlanError) else GlanError(str(error))
        return
    job_panel.start_jobs(ws, settings)


def _do(act, *args) -> bool:
    """Apply an action to a model in a callback; returns whether it succeeded."""
    try:
        act(*args)
    except GlanError as error:
        st.session_state.model_error = error
        return False
    return True
