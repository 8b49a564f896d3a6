"""Form of a fine-tuning run: recipe, snapshot and hyperparameters, the plan, and a tokenized sample row."""

import shlex
from collections.abc import Sequence
from math import floor, log10

import streamlit as st

from glan_core import runs
from glan_core.dataset.manifest import Manifest
from glan_core.dataset.splits import SPLIT_RULES
from glan_core.errors import GlanError
from glan_core.formatting import durations, number, plural, short, size
from glan_core.ids import slug
from glan_core.models import tuned_model_store
from glan_core.settings import read_settings
from glan_core.training.command_line import finetune_command
from glan_core.training.plan import TrainingPlan, check_settings, plan
from glan_core.training.recipes import RECIPES
from glan_core.training.settings import FinetuneSettings
from glan_core.workspace import Workspace
from pages.components.shared import page_frame
from pages.components.shared.untrusted_text import escape, show_error
from pages.components.train import row_tokens

FIELDS = {
    "epochs": ("Epochs", "Number of passes over the training split.", {"min_value": 0.1, "max_value": 1000.0, "step": 1.0, "format": "%g"}),
    "learning_rate": ("Learning rate", "Peak learning rate after warmup.", {"min_value": 1e-8, "max_value": 1.0, "format": "%g"}),
    "global_batch_size": ("Global batch size", "Pairs per optimizer step.", {"min_value": 1}),
    "per_device_batch_size": ("Per-device batch size", "Pairs per forward pass and device; smaller values need less memory.", {"min_value": 1}),
    "max_length": ("Max length", "Rows are truncated to this number of tokens.", {"min_value": 16}),
    "evaluations": ("Evaluations", "Number of evaluations on the validation split during the run, each with a checkpoint.", {"min_value": 1}),
    "seed": ("Seed", "Seed of data order and weight initialization.", {"min_value": 0}),
    "weight_decay": ("Weight decay", "AdamW weight decay.", {"min_value": 0.0, "max_value": 10.0, "format": "%g"}),
    "adam_beta2": ("Adam β2", "Decay rate of Adam's second-moment estimate.", {"min_value": 0.5, "max_value": 0.99999, "format": "%g"}),
    "max_grad_norm": ("Gradient clipping norm", "Gradients with a larger norm are clipped to it.", {"min_value": 1e-6, "format": "%g"}),
    "processes": ("Devices", "Data-parallel processes; on GPUs, weights are sharded (FSDP).", {"min_value": 1}),
}  # fmt: skip
ADAPTER = {
    "lora_rank": ("LoRA rank", "Rank of the adapter matrices.", {"min_value": 1}),
    "lora_alpha": ("LoRA alpha", "LoRA scaling = alpha / rank.", {"min_value": 1}),
    "lora_dropout": ("LoRA dropout", "Dropout probability of the adapter's inputs.", {"min_value": 0.0, "max_value": 0.9, "format": "%g"}),
}  # fmt: skip
SIZES = {
    "vocabulary": "Vocabulary size",
    "hidden": "Hidden size",
    "inner": "Intermediate size",
    "layers": "Layers",
    "heads": "Attention heads",
}
CHECKPOINTING = {None: "Auto", True: "On", False: "Off"}
METHODS = {"full": "Full fine-tuning", "lora": "LoRA", "qlora": "QLoRA (4-bit base)"}
MORE = ("max_length", "evaluations", "seed", "weight_decay", "adam_beta2", "max_grad_norm", "processes")
PRECISIONS = {"auto": "Auto", "fp32": "fp32", "bf16": "bf16"}


def panel(ws: Workspace, snapshots: Sequence[Manifest]) -> None:
    """Draw the form, its plan and the start button."""
    left, right = page_frame.two_halves()
    with left:
        values = _fields(ws, snapshots)
    try:
        settings = values and read_settings(FinetuneSettings, values)
        made = settings and plan(ws, settings)
    except GlanError as error:
        with right:
            show_error(error)
        return
    if made is None:
        return
    with right:
        _plan(ws, settings, made)
    row_tokens.panel(ws, settings)


def _fields(ws: Workspace, snapshots: Sequence[Manifest]) -> dict | None:
    recipe = st.segmented_control(
        "Recipe", list(RECIPES), format_func=lambda name: RECIPES[name].label, default="demo", key="run_train_recipe", required=True,
    )  # fmt: skip
    about = RECIPES[recipe]
    st.caption(about.about)
    with st.grid(2, gap="small", min_column_width=190):
        named = {snapshot.name: snapshot for snapshot in snapshots}
        if st.session_state.get("run_train_snapshot") not in named:
            st.session_state.pop("run_train_snapshot", None)
        chosen = st.selectbox(
            "Snapshot", list(named), key="run_train_snapshot",
            format_func=lambda name: f"{name} · {number(named[name].rows.get('train', 0))} pairs",
        )  # fmt: skip
        hint = _free_name(ws, recipe)
        name = st.text_input(
            "Model name", key="run_train_name", placeholder=hint, help="Lowercase letters, digits and hyphens."
        )
    snapshot = named[chosen]
    held_out = snapshot.rows.get("validation", 0)
    summary = (
        f"{plural(held_out, 'pair')} in the validation split: {SPLIT_RULES[snapshot.split].removesuffix(' are held_out out')}"
        if held_out
        else "no validation split"
    )
    st.caption(f"{plural(len(snapshot.disciplines), 'discipline')} · {summary}")
    values = {"recipe": recipe, "snapshot": chosen, "name": slug(name) if name.strip() else hint}
    if about.values["base"] is not None:
        base = st.text_input(
            "Base model", key=f"run_train_base_{recipe}", placeholder=about.values["base"],
            help="Folder with config, tokenizer and safetensors weights, or a Hugging Face Hub id.",
        ).strip()  # fmt: skip
        values["base"] = base or about.values["base"]
    return about.values | values | _numbers(recipe)


def _numbers(recipe: str) -> dict:
    """Draw the hyperparameters of the recipe and return their values."""
    first, found = RECIPES[recipe].values, {}
    defaults = FinetuneSettings(name="x", snapshot="x", recipe=recipe, **first)
    method = first["method"]
    if first["base"] is not None and recipe == "lora":
        method = found["method"] = st.segmented_control(
            "Method",
            ["lora", "qlora"],
            format_func=METHODS.get,
            default="lora",
            key=f"run_train_{recipe}_method",
            required=True,
        )
    with st.grid(4, gap="small", min_column_width=105):
        for name in ("epochs", "learning_rate", "global_batch_size", "per_device_batch_size"):
            found[name] = _number(recipe, name, *FIELDS[name], getattr(defaults, name))
    with (
        st.popover("All settings", icon=":material/tune:", key="train_settings"),
        st.grid(3, gap="small", min_column_width=150),
    ):
        for name in MORE:
            found[name] = _number(recipe, name, *FIELDS[name], getattr(defaults, name))
        rows = st.number_input(
            "Max rows", 0, None, 0, key=f"run_train_{recipe}_rows", help="Train on a seeded sample of this size. 0: all rows."
        )
        found["rows"] = rows or None
        if method != "full":
            for name, field in ADAPTER.items():
                found[name] = _number(recipe, name, *field, getattr(defaults, name))
        found |= _warmup(recipe, defaults)
        found["schedule"] = st.selectbox(
            "Learning rate schedule", ["cosine", "linear", "constant"], key=f"run_train_{recipe}_schedule"
        )
        found["precision"] = st.selectbox(
            "Precision", list(PRECISIONS), format_func=PRECISIONS.get, key=f"run_train_{recipe}_precision"
        )
        found["gradient_checkpointing"] = st.selectbox(
            "Gradient checkpointing", list(CHECKPOINTING), format_func=CHECKPOINTING.get, key=f"run_train_{recipe}_gradient_checkpointing",
            help="Recomputes activations in the backward pass to save memory.",
        )  # fmt: skip
        patience = st.number_input(
            "Early stopping patience", 0, None, defaults.patience or 0, key=f"run_train_{recipe}_patience",
            help="Stop after this number of evaluations without a lower validation loss. 0: never.",
        )  # fmt: skip
        found["patience"] = patience or None
        found["packing"] = st.toggle("Packing", defaults.packing, key=f"run_train_{recipe}_packing",
                                     help="Pack short rows into full sequences with separate attention. Faster on GPUs.")  # fmt: skip
        found["keep_best"] = st.toggle("Load best checkpoint", defaults.keep_best, key=f"run_train_{recipe}_best",
                                       help="Keep the weights with the lowest validation loss instead of the last.")  # fmt: skip
        if first["base"] is None:
            found["scratch"] = {
                name: st.number_input(label, 1, None, getattr(defaults.scratch, name), key=f"run_train_{recipe}_{name}")
                for name, label in SIZES.items()
            }
    prompts = st.text_area(
        "Sample prompts", key="run_train_prompts", height=68, placeholder="first questions of the validation split",
        help="Up to 8 prompts, one per line, answered at every evaluation.",
    )  # fmt: skip
    return found | {"prompts": tuple(prompts.splitlines())}


def _warmup(recipe: str, defaults: FinetuneSettings) -> dict:
    if defaults.warmup_steps is not None:
        return {
            "warmup_steps": st.number_input("Warmup steps", 0, None, defaults.warmup_steps, key=f"run_train_{recipe}_warmup")
        }
    percent = st.number_input(
        "Warmup (%)", 0.0, 100.0, round(100 * defaults.warmup_ratio, 2), key=f"run_train_{recipe}_warmup", format="%g",
        help="Share of the steps with linearly increasing learning rate.",
    )  # fmt: skip
    return {"warmup_ratio": percent / 100}


def _number(recipe: str, name: str, label: str, words: str, limits: dict, value: float) -> float:
    if name == "learning_rate":
        limits = limits | {"step": 10.0 ** floor(log10(value))}
    return st.number_input(label, value=value, key=f"run_train_{recipe}_{name}", help=words, **limits)


def _free_name(ws: Workspace, recipe: str) -> str:
    """Return an unused model name: 'demo', or 'demo-2' if it exists."""
    existing_names = {model.name for model in tuned_model_store.list_models(ws)}
    return next(name for nth in range(1, 1000) if (name := recipe if nth == 1 else f"{recipe}-{nth}") not in existing_names)


def _plan(ws: Workspace, settings: FinetuneSettings, made: TrainingPlan) -> None:
    """Draw the plan and the start button."""
    with st.grid(3, gap="small", min_column_width=120):
        st.metric("Steps", short(made.steps), help=f"{number(made.steps)} optimizer steps; {number(made.steps_per_epoch)} per epoch, "
                  f"{number(made.warmup)} warmup.")  # fmt: skip
        st.metric("Tokens", short(made.tokens), help=f"{number(made.tokens)} over all epochs, {number(made.trained_tokens)} of them in "
                  f"the loss (answers with end token). Counted from {escape(made.basis)}.")  # fmt: skip
        st.metric("Time", durations(made.seconds) if made.seconds else "–",
                  help="Estimated from the model size and this machine's speed, or from earlier runs of that size.")  # fmt: skip
        st.metric("Parameters", short(made.parameters) if made.parameters else "–",
                  help=f"{short(made.trained_parameters)} trainable." if made.trained_parameters else None)  # fmt: skip
        st.metric("Memory", size(made.memory) if made.memory else "–",
                  help="Estimate per device: weights, gradients, optimizer state and activations.")  # fmt: skip
        st.metric("Truncated rows", short(made.cut), f"{number(made.dropped)} excluded" if made.dropped else None, delta_color="off",
                  delta_arrow="off", help=f"Rows longer than {number(settings.max_length)} tokens lose the end of their answer.")  # fmt: skip
    for warning in made.warnings:
        st.warning(escape(warning), icon=":material/info:")
    if not ws.read_only:
        label = f"Start training · {plural(made.steps, 'step')}" + (f" · {durations(made.seconds)}" if made.seconds else "")
        st.button(
            label, type="primary", icon=":material/model_training:", key="start_training", on_click=_start, args=(ws, settings, made)
        )  # fmt: skip
        if error := st.session_state.pop("job_error", None):
            show_error(error)
    st.caption("Equivalent command:")
    st.code(shlex.join(finetune_command(str(ws.folder), settings)), language="bash", wrap_lines=True)


def fill(values: dict) -> None:
    """Fill the form with settings and open it, in a callback."""
    recipe, state = values["recipe"], st.session_state
    about = RECIPES.get(recipe)
    if about is None:
        return
    settings = FinetuneSettings(**values)
    state.update(
        run_train_recipe=recipe, run_train_snapshot=settings.snapshot, run_train_name=settings.name, train_asked="Plan"
    )
    state.run_train_prompts = "\n".join(settings.prompts)
    for name in (*FIELDS, *ADAPTER, "schedule", "precision", "packing", "gradient_checkpointing", "method"):
        state[f"run_train_{recipe}_{name}"] = getattr(settings, name)
    for name in SIZES:
        state[f"run_train_{recipe}_{name}"] = getattr(settings.scratch, name)
    steps = RECIPES[recipe].values.get("warmup_steps") is not None
    state[f"run_train_{recipe}_warmup"] = (settings.warmup_steps or 0) if steps else round(100 * settings.warmup_ratio, 2)
    state[f"run_train_{recipe}_rows"], state[f"run_train_{recipe}_patience"] = settings.rows or 0, settings.patience or 0
    state[f"run_train_{recipe}_best"], state[f"run_train_base_{recipe}"] = settings.keep_best, settings.base or ""


def _start(ws: Workspace, settings: FinetuneSettings, made: TrainingPlan) -> None:
    """Start the run and open its Watch view, in a callback."""
    try:
        check_settings(ws, settings)
        run_id = runs.start(
            ws, "finetune", f"Fine-tune {settings.name}", settings, plan={"steps": made.steps, "seconds": made.seconds}
        )
    except GlanError as error:
        st.session_state.job_error = error
        return
    st.session_state.update(train_asked="Watch", train_run=run_id, run_train_name="")
