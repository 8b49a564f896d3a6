"""`glan finetune` and `glan models`."""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from glan_core import runs
from glan_core.cli.output import library_output, report, say, table
from glan_core.cli.run_start import add_job_options, run_job
from glan_core.dataset.snapshot_store import read_snapshot
from glan_core.errors import GlanError
from glan_core.formatting import durations, exact, short, size
from glan_core.models import checkpoints, tuned_model_store
from glan_core.models.export_job import check_gguf_export, check_target
from glan_core.models.merge_job import check_merge
from glan_core.models.model_card import serving_commands
from glan_core.models.settings import MergeSettings, ModelExportSettings
from glan_core.settings import read_settings
from glan_core.settings_options import add_option, add_options, given_values
from glan_core.training import bundle_import
from glan_core.training.distributed import join, torchrun_lines
from glan_core.training.model_shape import base_shape
from glan_core.training.plan import TrainingPlan, plan
from glan_core.training.preflight import check_settings, find_obstacle, prepare_memory
from glan_core.training.recipes import RECIPES
from glan_core.training.scaled_recipes import scaled_recipe
from glan_core.training.settings import FinetuneSettings, Scratch
from glan_core.training.time_estimate import EARLIER, MEASURED, ROUGH, read_speed
from glan_core.workspace import Workspace

TIME_BASES = {MEASURED: "from steps measured on this machine", EARLIER: "from an earlier run", ROUGH: "rough, not measured"}
RECIPE_SKIP = ("name", "snapshot", "recipe", "prompts")


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add the commands of this module."""
    tune = commands.add_parser("finetune", help="fine-tune a model on a snapshot")
    tune.add_argument("dir", metavar="DIR")
    tune.add_argument(
        "--snapshot",
        required=True,
        metavar="NAME",
        help="snapshot to train on; create one with 'glan snapshot DIR create NAME'",
    )
    tune.add_argument("--name", required=True, metavar="NAME", help="name of the model")
    add_recipe_options(tune)
    tune.add_argument(
        "--plan", action="store_true",
        help="estimate steps, memory and time without training, and print the torchrun command of several processes",
    )  # fmt: skip
    add_node_rank(tune)
    add_job_options(tune)
    tune.set_defaults(command=_finetune)

    kept = commands.add_parser(
        "models",
        help="list, show, annotate, rename, remove, merge, export or import tuned models, their checkpoints, or print how to serve one",
    )
    kept.add_argument("dir", metavar="DIR")
    actions = ("list", "show", "note", "rename", "remove", "merge", "export", "import", "serve", "checkpoints")
    kept.add_argument("action", nargs="?", choices=actions, default="list")
    kept.add_argument("name", nargs="?", metavar="NAME", help="name of the model; with import: folder of a trained bundle")
    kept.add_argument("value", nargs="?", metavar="VALUE", help="new name, or text of the note")
    kept.add_argument("--out", metavar="FOLDER", help="with export: new folder to write")
    kept.add_argument(
        "--push", metavar="OWNER/NAME", help="with export: push to the Hugging Face Hub (HF_TOKEN, or your login)"
    )
    kept.add_argument("--public", action="store_true", help="with --push: make the repository public")
    kept.add_argument(
        "--name", dest="new_name", metavar="NAME", help="with import: name of the model (default: that of the bundle)"
    )
    kept.add_argument("--step", type=int, metavar="N", help="with checkpoints: the step")
    kept.add_argument("--save-as", metavar="NAME", help="with checkpoints: store this step as a model of its own")
    kept.add_argument("--remove-step", action="store_true", help="with checkpoints: delete this step permanently")
    for name in ("gguf", "license"):
        add_option(kept, ModelExportSettings, name)
    add_job_options(kept)
    kept.set_defaults(command=_models)


def add_recipe_options(parser: argparse.ArgumentParser, skip: Sequence[str] = ()) -> None:
    """Add the options of a fine-tuning run, except snapshot and name, and the settings in `skip`."""
    parser.add_argument(
        "--recipe", choices=tuple(RECIPES), default="demo", help="named settings to start from (default: %(default)s)"
    )
    parser.add_argument(
        "--prompt", action="append", default=None, metavar="TEXT",
        help="sample prompt answered at each evaluation; repeatable (default: the first held-out questions)",
    )  # fmt: skip
    group = parser.add_argument_group("training settings, over those of the recipe")
    add_options(group, FinetuneSettings, skip=(*RECIPE_SKIP, *skip))
    add_options(group, Scratch)


def add_node_rank(parser: argparse.ArgumentParser) -> None:
    """Add the option that tells the machines of a distributed run apart."""
    parser.add_argument(
        "--node-rank", type=int, default=0, metavar="R",
        help="number of this machine, with --nodes (default: 0, which stores the run; the others join it)",
    )  # fmt: skip


def finetune_settings(args: argparse.Namespace, ws: Workspace | None = None, skip: Sequence[str] = ()) -> FinetuneSettings:
    """Settings from the options of `add_recipe_options`, a name and a snapshot; scaled to the base model with a workspace."""
    given = given_values(args, FinetuneSettings, skip=(*RECIPE_SKIP, *skip))
    values = RECIPES[args.recipe].values
    if ws is not None:
        values = scaled_recipe(ws, args.recipe, args.snapshot, given.get("base")).values
    values = values | given
    if "warmup_ratio" in given and "warmup_steps" not in given:
        values["warmup_steps"] = None
    if given.get("patience") == 0:
        values["patience"] = None
    fixed = {
        "name": args.name, "snapshot": args.snapshot, "recipe": args.recipe, "scratch": given_values(args, Scratch),
        "prompts": tuple(args.prompt or ()),
    }  # fmt: skip
    return read_settings(FinetuneSettings, values | fixed)


def _finetune(args: argparse.Namespace) -> int | None:
    if args.node_rank:
        return join(Path(args.dir).expanduser().absolute(), finetune_settings(args), args.node_rank)
    ws = Workspace.open(args.dir)
    settings = finetune_settings(args, ws)
    if args.plan:
        check_base(settings.base)
        obstacle = find_obstacle(ws, settings)
        if not obstacle:
            _measure_speed(ws, settings, quiet=args.json)
        made = plan(ws, settings)
        commands = torchrun_lines(str(ws.folder), settings)
        lines = plan_lines(made)
        lines += [f"torchrun, machine {rank}: {line}" if settings.nodes > 1 else line for rank, line in enumerate(commands)]
        lines += [f"This run cannot start: {obstacle}"] if obstacle else []
        report(asdict(made) | {"obstacle": obstacle or None, "torchrun": commands}, lines, as_json=args.json)
        return None
    check_settings(ws, settings)
    if not args.json:
        for line in torchrun_lines(str(ws.folder), settings)[:1]:
            say(f"Running {line}", file=sys.stderr)
    return run_job(ws, settings, args, f"Fine-tune {settings.name}", result=partial(_model_data, ws, settings.name))


def check_base(base: str | None) -> None:
    """Check that a base model given as a folder exists.

    Raises:
        GlanError: If it does not; a name of the Hub may be planned for without its weights.
    """
    if base and base.startswith(("/", ".", "~")) and not (Path(base).expanduser() / "config.json").is_file():
        raise GlanError(f"There are no weights in {base}. Use a folder with config.json, tokenizer and safetensors files.")


def _measure_speed(ws: Workspace, settings: FinetuneSettings, *, quiet: bool) -> None:
    """Time a few steps of a run, unless that was done before or the base model must be downloaded first."""
    known = settings.base is None or base_shape(settings.base)
    if ws.read_only or settings.world_size > 1 or not known or read_speed(ws, settings, read_snapshot(ws, settings.snapshot)):
        return
    from glan_core.training.speed_probe import time_steps

    with library_output(ws.folder / "runs" / "speed.log") as stderr:
        if not quiet:
            print("Measuring the speed of this model on these rows; this takes up to a minute.", file=stderr, flush=True)
        prepare_memory(ws, settings)
        time_steps(ws, settings, lambda stage, done, planned: None)


def plan_lines(made: TrainingPlan) -> list[str]:
    """Lines of a training plan."""
    rows = [
        ("pairs", f"{made.rows:,} to train on, {made.held_out:,} held out"),
        ("steps", f"{made.steps:,}, {made.steps_per_epoch:,} per epoch, {made.warmup:,} of warmup"),
        ("tokens", f"{made.tokens:,}, {made.trained_tokens:,} of them in the loss (counted from {made.basis})"),
        ("truncated", f"{made.cut:,} rows truncated at the max length, {made.dropped:,} excluded"),
        ("parameters", f"{short(made.trained_parameters or 0)} trainable of {short(made.parameters)}" if made.parameters else "unknown"),
        ("memory", f"{size(made.memory.range[0])} to {size(made.memory.range[1])} per device" if made.memory else "unknown"),
        ("time", f"{durations(made.seconds)} ({TIME_BASES[made.time_basis]})" if made.seconds else "unknown"),
    ]  # fmt: skip
    return [*table(rows, ("what", "")), *(f"Warning: {warning}" for warning in made.warnings)]


def _models(args: argparse.Namespace) -> int | None:
    ws = Workspace.open(args.dir)
    if args.action == "list":
        found = tuned_model_store.list_models(ws)
        rows = [
            (m.name, m.recipe, m.form, m.snapshot, m.rows, m.steps, _loss(m), size(m.bytes), exact(m.created_at)) for m in found
        ]
        head = ("name", "recipe", "form", "snapshot", "pairs", "steps", "validation loss", "size", "created")
        lines = (
            table(rows, head)
            if rows
            else [f"No models yet. Train one with: glan finetune {args.dir} --snapshot NAME --name NAME."]
        )
        report([m.model_dump(mode="json") for m in found], lines, as_json=args.json)
        return None
    if args.action == "import":
        _import(ws, args)
        return None
    if not args.name:
        raise GlanError(f"Give the name of the model: glan models {args.dir} {args.action} NAME.")
    if args.action in ("note", "rename", "merge") and args.value is None:
        raise GlanError(
            f"Give the {'text' if args.action == 'note' else 'new name'}: glan models {args.dir} {args.action} NAME …"
        )
    match args.action:
        case "show":
            model = tuned_model_store.read_model(ws, args.name)
            values = {k: v for k, v in model.model_dump(mode="json").items() if k not in ("settings", "disciplines")}
            facts = [(k.replace("_", " "), v) for k, v in values.items()] + list(model.disciplines.items())
            report(model.model_dump(mode="json"), table(facts, ("what", "value")), as_json=args.json)
        case "note":
            tuned_model_store.set_notes(ws, args.name, args.value)
            report({"noted": args.name}, [f"Saved the note on {args.name}."], as_json=args.json)
        case "rename":
            tuned_model_store.rename_model(ws, args.name, args.value)
            report({"renamed": args.value}, [f"{args.name} is now named {args.value}."], as_json=args.json)
        case "remove":
            tuned_model_store.remove_model(ws, args.name)
            report({"removed": args.name}, [f"Removed the model {args.name}."], as_json=args.json)
        case "checkpoints":
            _checkpoints(ws, args)
        case "serve":
            commands = serving_commands(
                tuned_model_store.read_model(ws, args.name), str(tuned_model_store.read_model(ws, args.name).weights(ws))
            )
            report(commands, [f"{name}: {command}" for name, command in commands.items()], as_json=args.json)
        case "merge":
            settings = read_settings(MergeSettings, {"model": args.name, "name": args.value})
            check_merge(ws, settings)
            return run_job(ws, settings, args, f"Merge {args.name}", result=partial(_model_data, ws, settings.name))
        case "export":
            path = args.out and str(Path(args.out).expanduser().absolute())
            values = {
                "model": args.name,
                "path": path,
                "repo": args.push,
                "private": not args.public,
                **given_values(args, ModelExportSettings, skip=("model", "path", "repo", "private")),
            }
            wanted = read_settings(ModelExportSettings, values)
            if path:
                check_target(ws, Path(path))
            if wanted.gguf:
                check_gguf_export(ws, tuned_model_store.read_model(ws, args.name))
            files = lambda: {"path": path, "repo": args.push, "files": sorted(os.listdir(path)) if path else []}  # noqa: E731
            return run_job(ws, wanted, args, f"Export {args.name}", result=files)
    return None


def _import(ws: Workspace, args: argparse.Namespace) -> None:
    """Import the model of a trained bundle."""
    if not args.name:
        raise GlanError(f"Give the folder of the bundle: glan models {args.dir} import FOLDER.")
    made = bundle_import.import_result(ws, Path(args.name), args.new_name)
    data = {"model": made.model.model_dump(mode="json"), "run": made.run_id, "notices": made.notices}
    lines = [f"Imported {made.model.name} as run {made.run_id}: {runs.get(ws, made.run_id).message}", *made.notices]
    report(data, lines, as_json=args.json)


def _checkpoints(ws: Workspace, args: argparse.Namespace) -> None:
    """List the checkpoints of a model, or store or remove one."""
    if (args.save_as or args.remove_step) and args.step is None:
        raise GlanError("Give the step of the checkpoint with --step N.")
    if args.save_as:
        saved = checkpoints.model_from_checkpoint(ws, args.name, args.step, args.save_as)
        report(
            saved.model_dump(mode="json"),
            [f"Stored step {args.step} of {args.name} as the model {saved.name}."],
            as_json=args.json,
        )
    elif args.remove_step:
        checkpoints.remove_checkpoint(ws, args.name, args.step)
        report({"removed": args.step}, [f"Removed the checkpoint of step {args.step} of {args.name}."], as_json=args.json)
    else:
        kept = tuned_model_store.read_model(ws, args.name).checkpoints
        rows = [
            (one.step, "–" if one.validation_loss is None else f"{one.validation_loss:.3f}", size(one.bytes)) for one in kept
        ]
        lines = table(rows, ("step", "validation loss", "size")) if rows else [
            f"{args.name} has no checkpoints. Train with --keep-checkpoints N to keep them."
        ]  # fmt: skip
        report([one.model_dump(mode="json") for one in kept], lines, as_json=args.json)


def _model_data(ws: Workspace, name: str) -> dict:
    return tuned_model_store.read_model(ws, name).model_dump(mode="json")


def _loss(model: tuned_model_store.TunedModel) -> str:
    loss = model.losses.get("validation")
    return "–" if loss is None else f"{loss:.3f}"
