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
from glan_core.training.bundle_export import check_bundle
from glan_core.training.command_line import finetune_command
from glan_core.training.plan import TrainingPlan, plan
from glan_core.training.preflight import check_settings, find_obstacle
from glan_core.training.recipes import RECIPES
from glan_core.training.scaled_recipes import SCALED, ScaledRecipe, scaled_recipe
from glan_core.training.settings import BundleSettings, FinetuneSettings, Scratch, SpeedSettings
from glan_core.training.time_estimate import EARLIER, MEASURED, ROUGH
from glan_core.workspace import Workspace, run_rows
from glan_core.workspace.output_paths import EXPORTS
from pages.components.shared import job_panel, page_frame, settings_fields
from pages.components.shared.command_line import command_line
from pages.components.shared.untrusted_text import escape, show_error
from pages.components.train import row_tokens

MAIN = ("epochs", "learning_rate", "global_batch_size", "per_device_batch_size")
MORE = ("max_length", "evaluations", "keep_checkpoints", "seed", "weight_decay", "adam_beta2", "max_grad_norm", "processes")
ADAPTER = ("lora_rank", "lora_alpha", "lora_dropout")
SIZES = ("vocabulary", "hidden", "inner", "layers", "heads")
CHECKPOINTING = {None: "Auto", True: "On", False: "Off"}
METHODS = {"full": "Full fine-tuning", "lora": "LoRA", "qlora": "QLoRA (4-bit base)"}
TIME_BASES = {
    MEASURED: "Estimated from steps measured with this model on these rows.",
    EARLIER: "Estimated from an earlier run with this model and settings.",
    ROUGH: "Rough: estimated from the model size. Measure the speed for a better estimate.",
}
SHOWN_SCALE = "train_shown_scale"  # (recipe, base, snapshot) that the values of the form were scaled to
TRACKERS = {None: "None", "tensorboard": "TensorBoard", "wandb": "Weights & Biases", "trackio": "Trackio"}
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
        settings_fields.label(FinetuneSettings, "recipe"), list(RECIPES), format_func=lambda name: RECIPES[name].label, default="demo",
        key="run_train_recipe", required=True,
    )  # fmt: skip
    about = RECIPES[recipe]
    st.caption(about.about)
    with st.grid(2, gap="small", min_column_width=190):
        named = {snapshot.name: snapshot for snapshot in snapshots}
        if st.session_state.get("run_train_snapshot") not in named:
            st.session_state.pop("run_train_snapshot", None)
        chosen = st.selectbox(
            options=list(named), key="run_train_snapshot", **settings_fields.text(FinetuneSettings, "snapshot"),
            format_func=lambda name: f"{name} · {number(named[name].rows.get('train', 0))} pairs",
        )  # fmt: skip
        hint = _free_name(ws, recipe)
        name = st.text_input(key="run_train_name", placeholder=hint, **settings_fields.text(FinetuneSettings, "name"))
    snapshot = named[chosen]
    held_out = snapshot.rows.get("validation", 0)
    summary = (
        f"{plural(held_out, 'pair')} in the validation split: {SPLIT_RULES[snapshot.split].removesuffix(' are held_out out')}"
        if held_out
        else "no validation split"
    )
    st.caption(f"{plural(len(snapshot.disciplines), 'discipline')} · {summary}")
    values = {"recipe": recipe, "snapshot": chosen, "name": slug(name) if name.strip() else hint}
    base = ""
    if about.values["base"] is not None:
        base = st.text_input(
            key=f"run_train_base_{recipe}", placeholder=about.values["base"], **settings_fields.text(FinetuneSettings, "base"),
        ).strip()  # fmt: skip
        values["base"] = base or about.values["base"]
    try:
        scaled = scaled_recipe(ws, recipe, chosen, base or None)
    except GlanError:  # the plan says what is wrong with the base
        scaled = ScaledRecipe(about.values)
    if scaled.reason:
        st.caption(scaled.reason)
    _fill_scaled(recipe, (base, chosen), scaled.values)
    return about.values | values | _numbers(recipe, scaled.values)


def _fill_scaled(recipe: str, of: tuple, values: dict) -> None:
    """Fill the fields that are scaled whenever base or snapshot change, as a change of the recipe would."""
    shown = st.session_state.setdefault(SHOWN_SCALE, {})
    if recipe in shown and shown[recipe] not in (of, None):
        for name in SCALED:
            if name in values:
                st.session_state[f"run_train_{recipe}_{name}"] = values[name]
    shown[recipe] = of


def _numbers(recipe: str, first: dict) -> dict:
    """Draw the hyperparameters, by default those in `first`, and return their values."""
    found: dict = {}
    defaults = FinetuneSettings(name="x", snapshot="x", recipe=recipe, **first)
    method = first["method"]
    if first["base"] is not None and recipe == "lora":
        method = found["method"] = st.segmented_control(
            options=["lora", "qlora"], format_func=METHODS.get, default="lora", key=f"run_train_{recipe}_method", required=True,
            **settings_fields.text(FinetuneSettings, "method"),
        )  # fmt: skip
    with st.grid(2, gap="small", min_column_width=170):
        for name in MAIN:
            found[name] = _number(recipe, name, getattr(defaults, name))
    with (
        st.popover("All settings", icon=":material/tune:", key="train_settings"),
        st.grid(3, gap="small", min_column_width=150),
    ):
        for name in MORE:
            found[name] = _number(recipe, name, getattr(defaults, name))
        found["rows"] = _optional_number(recipe, "rows", None, placeholder="all")
        if method != "full":
            for name in ADAPTER:
                found[name] = _number(recipe, name, getattr(defaults, name))
        found |= _warmup(recipe, defaults)
        found["schedule"] = st.selectbox(
            options=settings_fields.choices(FinetuneSettings, "schedule"), key=f"run_train_{recipe}_schedule",
            **settings_fields.text(FinetuneSettings, "schedule"),
        )  # fmt: skip
        found["precision"] = st.selectbox(
            options=list(PRECISIONS), format_func=PRECISIONS.get, key=f"run_train_{recipe}_precision",
            **settings_fields.text(FinetuneSettings, "precision"),
        )  # fmt: skip
        found["gradient_checkpointing"] = st.selectbox(
            options=list(CHECKPOINTING), format_func=CHECKPOINTING.get, key=f"run_train_{recipe}_gradient_checkpointing",
            **settings_fields.text(FinetuneSettings, "gradient_checkpointing"),
        )  # fmt: skip
        found["report_to"] = st.selectbox(
            options=[None, *settings_fields.choices(FinetuneSettings, "report_to")], format_func=lambda name: TRACKERS.get(name, name),
            key=f"run_train_{recipe}_report_to", **settings_fields.text(FinetuneSettings, "report_to"),
        )  # fmt: skip
        found["patience"] = _optional_number(recipe, "patience", defaults.patience, placeholder="never")
        found["packing"] = st.toggle(
            value=defaults.packing, key=f"run_train_{recipe}_packing", **settings_fields.text(FinetuneSettings, "packing")
        )
        found["keep_best"] = st.toggle(
            value=defaults.keep_best, key=f"run_train_{recipe}_best", **settings_fields.text(FinetuneSettings, "keep_best")
        )
        if first["base"] is None:
            found["scratch"] = {
                name: st.number_input(
                    value=getattr(defaults.scratch, name),
                    key=f"run_train_{recipe}_{name}",
                    **settings_fields.number(Scratch, name),
                )
                for name in SIZES
            }
    prompts = st.text_area(
        key="run_train_prompts", height=68, placeholder="first questions of the validation split",
        **settings_fields.text(FinetuneSettings, "prompts", note="One per line."),
    )  # fmt: skip
    return found | {"prompts": tuple(prompts.splitlines())}


def _warmup(recipe: str, defaults: FinetuneSettings) -> dict:
    key = f"run_train_{recipe}_warmup"
    if defaults.warmup_steps is not None:
        steps = st.number_input(
            value=defaults.warmup_steps, key=key, **settings_fields.number(FinetuneSettings, "warmup_steps")
        )
        return {"warmup_steps": steps}
    percent = st.number_input(
        value=round(100 * defaults.warmup_ratio, 2), key=key, format="%g",
        **settings_fields.percent(FinetuneSettings, "warmup_ratio", step=1.0),
    )  # fmt: skip
    return {"warmup_ratio": percent / 100}


def _number(recipe: str, name: str, value: float) -> float:
    step = {"epochs": 1.0, "learning_rate": 10.0 ** floor(log10(value or 1))}.get(name)
    limits = settings_fields.number(FinetuneSettings, name) | ({"step": step} if step else {})
    shown = {"format": "%g"} if isinstance(value, float) else {}
    st.session_state.setdefault(key := f"run_train_{recipe}_{name}", value)
    return st.number_input(key=key, **shown, **limits)


def _optional_number(recipe: str, name: str, value: int | None, *, placeholder: str) -> int | None:
    """Draw a field that may be empty; its first value is set by key, because a field with a default value cannot be cleared."""
    st.session_state.setdefault(key := f"run_train_{recipe}_{name}", value)
    return st.number_input(value=None, key=key, placeholder=placeholder, **settings_fields.number(FinetuneSettings, name))


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
        st.metric("Time", durations(made.seconds) if made.seconds else "–", help=TIME_BASES.get(made.time_basis))
        st.metric("Parameters", short(made.parameters) if made.parameters else "–",
                  help=f"{short(made.trained_parameters)} trainable." if made.trained_parameters else None)  # fmt: skip
        st.metric("Memory", f"{size(made.memory.bytes)} ± 20%" if made.memory else "–",
                  help="Estimated peak per device: weights, gradients, optimizer state, activations and logits.")  # fmt: skip
        st.metric("Truncated rows", short(made.cut), f"{number(made.dropped)} excluded" if made.dropped else None, delta_color="off",
                  delta_arrow="off", help=f"Rows longer than {number(settings.max_length)} tokens lose the end of their answer.")  # fmt: skip
    for warning in made.warnings:
        st.warning(escape(warning), icon=":material/info:")
    if not ws.read_only:
        _start_buttons(ws, settings, made)
    st.caption("Equivalent command")
    command_line(shlex.join(finetune_command(str(ws.folder), settings)))


def _start_buttons(ws: Workspace, settings: FinetuneSettings, made: TrainingPlan) -> None:
    """Draw the start button, disabled with the reason if the run cannot start, and the button that measures the speed."""
    if obstacle := find_obstacle(ws, settings):
        st.error(escape(obstacle), icon=":material/block:")
    measuring = job_panel.show_progress(ws, "training-speed")
    bundling = job_panel.show_progress(ws, "bundle")
    label = f"Start training · {plural(made.steps, 'step')}" + (f" · {durations(made.seconds)}" if made.seconds else "")
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.button(
            label, type="primary", icon=":material/model_training:", key="start_training", on_click=_start,
            args=(ws, settings, made), disabled=bool(obstacle),
        )  # fmt: skip
        if made.seconds and made.time_basis != MEASURED and settings.world_size == 1 and not obstacle:
            st.button(
                "Measure speed", icon=":material/speed:", type="tertiary", key="measure_speed", disabled=measuring,
                on_click=job_panel.start_jobs, args=(ws, SpeedSettings(finetune=settings)),
                kwargs={"title": f"Speed of {settings.name}"}, help="Times a few steps with this model on these rows, in up "
                "to a minute. Nothing is trained.",
            )  # fmt: skip
        bundle = BundleSettings(finetune=settings, path=str(ws.folder / EXPORTS / f"{settings.name}-bundle"))
        st.button(
            "Export bundle", icon=":material/drive_file_move:", type="tertiary", key="export_bundle", disabled=bundling, on_click=_export_bundle,
            args=(ws, bundle), help=f"Writes exports/{settings.name}-bundle: a folder with these rows and settings that trains on another "
            "machine, such as a GPU host, without the workspace.",
        )  # fmt: skip
    _say_bundle(ws)


def _export_bundle(ws: Workspace, settings: BundleSettings) -> None:
    """Start the job that writes a bundle, in a callback."""
    try:
        check_bundle(ws, settings)
    except GlanError as error:
        st.session_state.job_error = error
        return
    job_panel.start_jobs(ws, settings, title=f"Bundle of {settings.finetune.name}")
    st.session_state.train_bundle = True


def _say_bundle(ws: Workspace) -> None:
    """Say where the bundle of this session was written."""
    last = run_rows.latest_of_kind(ws.db, "bundle") if st.session_state.get("train_bundle") else None
    if last is not None and runs.state_of(last) == "finished":
        st.success(escape(last.message), icon=":material/drive_file_move:")


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
    state.setdefault(SHOWN_SCALE, {})[recipe] = None  # keep these values
    state.run_train_prompts = "\n".join(settings.prompts)
    for name in (
        *MAIN,
        *MORE,
        *ADAPTER,
        "rows",
        "patience",
        "schedule",
        "precision",
        "report_to",
        "packing",
        "gradient_checkpointing",
        "method",
    ):
        state[f"run_train_{recipe}_{name}"] = getattr(settings, name)
    for name in SIZES:
        state[f"run_train_{recipe}_{name}"] = getattr(settings.scratch, name)
    steps = RECIPES[recipe].values.get("warmup_steps") is not None
    state[f"run_train_{recipe}_warmup"] = (settings.warmup_steps or 0) if steps else round(100 * settings.warmup_ratio, 2)
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
