"""The form of a fine-tuning run: recipe, snapshot and numbers; beside it what the run will do and need; below, a row as tokens."""

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
from glan_core.training.plan import TrainingPlan, check, plan
from glan_core.training.recipes import RECIPES
from glan_core.training.settings import FinetuneSettings
from glan_core.workspace import Workspace
from pages.components.shared import page_frame
from pages.components.shared.untrusted_text import fault, plain
from pages.components.train import row_tokens

FIELDS = {
    "epochs": ("Epochs", "How often every row is seen.", {"min_value": 0.1, "max_value": 1000.0, "step": 1.0, "format": "%g"}),
    "learning_rate": ("Learning rate", "The peak, after warm-up.", {"min_value": 1e-8, "max_value": 1.0, "format": "%g"}),
    "global_batch_size": ("Pairs a step", "Over how many pairs a step of the optimiser averages.", {"min_value": 1}),
    "per_device_batch_size": ("At once", "Of these, how many a device computes together: fewer need less memory.", {"min_value": 1}),
    "max_length": ("Length limit", "Tokens at which a row is cut.", {"min_value": 16}),
    "evaluations": ("Evaluations", "How often in the run the held-out loss is taken and the weights are stored.", {"min_value": 1}),
    "seed": ("Seed", "Of the order of rows and of new weights.", {"min_value": 0}),
    "weight_decay": ("Weight decay", "By which AdamW pulls weights towards 0.", {"min_value": 0.0, "max_value": 10.0, "format": "%g"}),
    "adam_beta2": ("Adam's second average", "The share of it that a step keeps.", {"min_value": 0.5, "max_value": 0.99999, "format": "%g"}),
    "max_grad_norm": ("Largest gradient", "Longer ones are cut to this norm.", {"min_value": 1e-6, "format": "%g"}),
    "processes": ("Devices", "Processes that share a step; on GPUs they share the weights, too (FSDP).", {"min_value": 1}),
}  # fmt: skip
ADAPTER = {
    "lora_rank": ("Rank", "Of the adapter's matrices.", {"min_value": 1}),
    "lora_alpha": ("Alpha", "The adapter counts alpha/rank times.", {"min_value": 1}),
    "lora_dropout": ("Dropout", "Share of its inputs that is left out at random.", {"min_value": 0.0, "max_value": 0.9, "format": "%g"}),
}  # fmt: skip
SIZES = {"vocabulary": "Vocabulary", "hidden": "Width", "inner": "Inner width", "layers": "Layers", "heads": "Attention heads"}
CHECKPOINTING = {None: "Where it pays", True: "Yes", False: "No"}
METHODS = {"full": "All weights", "lora": "LoRA adapter", "qlora": "QLoRA adapter (4-bit base)"}
MORE = ("max_length", "evaluations", "seed", "weight_decay", "adam_beta2", "max_grad_norm", "processes")
PRECISIONS = {"auto": "Whatever is faster here", "fp32": "fp32", "bf16": "bf16"}


def panel(ws: Workspace, snapshots: Sequence[Manifest]) -> None:
    """The form, its plan, and the one button that starts."""
    left, right = page_frame.two_halves()
    with left:
        values = _fields(ws, snapshots)
    try:
        settings = values and read_settings(FinetuneSettings, values)
        made = settings and plan(ws, settings)
    except GlanError as error:
        with right:
            fault(error)
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
            "Name of the model", key="run_train_name", placeholder=hint, help="Lower-case letters, digits, hyphens."
        )
    snapshot = named[chosen]
    held = snapshot.rows.get("validation", 0)
    said = (
        f"{plural(held, 'pair')} held out: {SPLIT_RULES[snapshot.split].removesuffix(' are held out')}"
        if held
        else "nothing held out"
    )
    st.caption(f"{plural(len(snapshot.disciplines), 'discipline')} · {said}")
    values = {"recipe": recipe, "snapshot": chosen, "name": slug(name) if name.strip() else hint}
    if about.values["base"] is not None:
        base = st.text_input(
            "Base model", key=f"run_train_base_{recipe}", placeholder=about.values["base"],
            help="A folder with config, tokenizer and safetensors weights, or a name of the model hub.",
        ).strip()  # fmt: skip
        values["base"] = base or about.values["base"]
    return about.values | values | _numbers(recipe)


def _numbers(recipe: str) -> dict:
    """The numbers of the recipe, each to be changed."""
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
            "Rows", 0, None, 0, key=f"run_train_{recipe}_rows", help="Train on so many, drawn by the seed. 0: all."
        )
        found["rows"] = rows or None
        if method != "full":
            for name, field in ADAPTER.items():
                found[name] = _number(recipe, name, *field, getattr(defaults, name))
        found |= _warmup(recipe, defaults)
        found["schedule"] = st.selectbox("Schedule", ["cosine", "linear", "constant"], key=f"run_train_{recipe}_schedule")
        found["precision"] = st.selectbox(
            "Precision", list(PRECISIONS), format_func=PRECISIONS.get, key=f"run_train_{recipe}_precision"
        )
        found["gradient_checkpointing"] = st.selectbox(
            "Gradient checkpointing", list(CHECKPOINTING), format_func=CHECKPOINTING.get, key=f"run_train_{recipe}_gradient_checkpointing",
            help="Computes activations twice to save memory.",
        )  # fmt: skip
        patience = st.number_input(
            "Patience", 0, None, defaults.patience or 0, key=f"run_train_{recipe}_patience",
            help="Stop after so many evaluations in a row without a better held-out loss. 0: never.",
        )  # fmt: skip
        found["patience"] = patience or None
        found["packing"] = st.toggle("Packing", defaults.packing, key=f"run_train_{recipe}_packing",
                                     help="Join short rows to full sequences that don't see each other. Pays on a GPU.")  # fmt: skip
        found["keep_best"] = st.toggle("Keep the best weights", defaults.keep_best, key=f"run_train_{recipe}_best",
                                       help="Go back to those with the lowest held-out loss, not the last ones.")  # fmt: skip
        if first["base"] is None:
            found["scratch"] = {
                name: st.number_input(label, 1, None, getattr(defaults.scratch, name), key=f"run_train_{recipe}_{name}")
                for name, label in SIZES.items()
            }
    prompts = st.text_area(
        "Watch it answer", key="run_train_prompts", height=68, placeholder="The first held-out questions",
        help="Up to 8 prompts, one a line: it answers them at every evaluation.",
    )  # fmt: skip
    return found | {"prompts": tuple(prompts.splitlines())}


def _warmup(recipe: str, defaults: FinetuneSettings) -> dict:
    if defaults.warmup_steps is not None:
        return {
            "warmup_steps": st.number_input("Warm-up steps", 0, None, defaults.warmup_steps, key=f"run_train_{recipe}_warmup")
        }
    percent = st.number_input(
        "Warm-up in %", 0.0, 100.0, round(100 * defaults.warmup_ratio, 2), key=f"run_train_{recipe}_warmup", format="%g",
        help="Share of the run over which the learning rate rises.",
    )  # fmt: skip
    return {"warmup_ratio": percent / 100}


def _number(recipe: str, name: str, label: str, words: str, limits: dict, value: float) -> float:
    if name == "learning_rate":
        limits = limits | {"step": 10.0 ** floor(log10(value))}
    return st.number_input(label, value=value, key=f"run_train_{recipe}_{name}", help=words, **limits)


def _free_name(ws: Workspace, recipe: str) -> str:
    """'demo', or 'demo-2' where that is taken."""
    taken = {model.name for model in tuned_model_store.list_models(ws)}
    return next(name for nth in range(1, 1000) if (name := recipe if nth == 1 else f"{recipe}-{nth}") not in taken)


def _plan(ws: Workspace, settings: FinetuneSettings, made: TrainingPlan) -> None:
    """What the run will do and need, and its button."""
    with st.grid(3, gap="small", min_column_width=120):
        st.metric("Steps", short(made.steps), help=f"{number(made.steps)} optimiser steps; {number(made.steps_per_epoch)} an epoch, "
                  f"{number(made.warmup)} of warm-up.")  # fmt: skip
        st.metric("Tokens", short(made.tokens), help=f"{number(made.tokens)} in all epochs, {number(made.trained_tokens)} of them trained "
                  f"on: answers and their end. Counted from {plain(made.basis)}.")  # fmt: skip
        st.metric("Time", durations(made.seconds) if made.seconds else "not known",
                  help="From the model's size and this machine's pace, or from earlier runs of that size.")  # fmt: skip
        st.metric("Parameters", short(made.parameters) if made.parameters else "not known",
                  help=f"{short(made.trained_parameters)} of them trained." if made.trained_parameters else None)  # fmt: skip
        st.metric("Memory", size(made.memory) if made.memory else "not known",
                  help="An estimate for each device: weights, gradients, optimiser, and what a batch leaves for the way back.")  # fmt: skip
        st.metric("Rows cut", short(made.cut), f"{number(made.dropped)} left out" if made.dropped else None, delta_color="off",
                  delta_arrow="off", help=f"Longer than {number(settings.max_length)} tokens: they lose the end of their answer.")  # fmt: skip
    for warning in made.warnings:
        st.warning(plain(warning), icon=":material/info:")
    if not ws.read_only:
        label = f"Start · {plural(made.steps, 'step')}" + (f" · {durations(made.seconds)}" if made.seconds else "")
        st.button(
            label, type="primary", icon=":material/model_training:", key="start_training", on_click=_start, args=(ws, settings, made)
        )  # fmt: skip
        if error := st.session_state.pop("job_error", None):
            fault(error)
    st.caption("The same on the command line:")
    st.code(shlex.join(finetune_command(str(ws.folder), settings)), language="bash", wrap_lines=True)


def fill(values: dict) -> None:
    """Put the settings of an order into the form and open it, in a callback."""
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
    """Start the run and go to watch it, in a callback."""
    try:
        check(ws, settings)
        run_id = runs.start(
            ws, "finetune", f"Fine-tune {settings.name}", settings, plan={"steps": made.steps, "seconds": made.seconds}
        )
    except GlanError as error:
        st.session_state.job_error = error
        return
    st.session_state.update(train_asked="Watch", train_run=run_id, run_train_name="")
