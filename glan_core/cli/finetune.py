"""`glan finetune` and `glan models`."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import get_args

from glan_core.cli.output import report, table
from glan_core.cli.run_start import add_job_options, run_job
from glan_core.errors import GlanError
from glan_core.formatting import durations, exact, short, size
from glan_core.models import tuned_model_store
from glan_core.models.export_job import check_target
from glan_core.models.model_card import serving
from glan_core.models.settings import MergeSettings, ModelExportSettings
from glan_core.settings import read_settings
from glan_core.training.plan import TrainingPlan, check, plan
from glan_core.training.recipes import RECIPES
from glan_core.training.settings import FinetuneSettings, Method, Precision, Schedule
from glan_core.workspace import Workspace

NUMBERS = {
    "epochs": (float, "times that every row is seen"), "learning_rate": (float, "the peak"),
    "warmup_steps": (int, "steps of linear warm-up"), "warmup_share": (float, "the same as a share of the run"),
    "batch": (int, "pairs an optimiser step"), "rows_at_once": (int, "of them together on a device"),
    "max_length": (int, "tokens at which a row is cut"), "weight_decay": (float, ""), "adam_beta2": (float, ""), "max_grad_norm": (float, ""),
    "lora_rank": (int, ""), "lora_alpha": (int, ""), "lora_dropout": (float, ""),
    "rows": (int, "train on so many rows, drawn by the seed"), "evaluations": (int, "times that the held-out loss is taken"),
    "patience": (int, "stop after so many of them without a better loss; 0: never"), "seed": (int, ""),
    "processes": (int, "devices, by torchrun with FSDP"),
}  # fmt: skip
SIZES = ("vocabulary", "hidden", "inner", "layers", "heads")
CHOICES = {"method": Method, "schedule": Schedule, "precision": Precision}
SWITCHES = {
    "packing": "join rows to full sequences that don't see each other", "keep_best": "go back to the best weights at the end",
    "checkpointing": "compute activations twice to save memory",
}  # fmt: skip


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add this module's commands to the parser."""
    tune = commands.add_parser("finetune", help="fine-tune a student on a snapshot")
    tune.add_argument("dir", metavar="DIR")
    tune.add_argument("--snapshot", required=True, metavar="NAME", help="take one with 'glan snapshot DIR take NAME'")
    tune.add_argument("--name", required=True, metavar="NAME", help="what the model will be called")
    add_recipe_options(tune)
    tune.add_argument("--plan", action="store_true", help="say what it would do and need, and do nothing")
    add_job_options(tune)
    tune.set_defaults(command=_finetune)

    kept = commands.add_parser(
        "models", help="list, show, note, rename, remove, merge or export tuned models; how to serve one"
    )
    kept.add_argument("dir", metavar="DIR")
    actions = ("list", "show", "note", "rename", "remove", "merge", "export", "serve")
    kept.add_argument("action", nargs="?", choices=actions, default="list")
    kept.add_argument("name", nargs="?", metavar="NAME")
    kept.add_argument("value", nargs="?", metavar="VALUE", help="the new name, or the text of a note")
    kept.add_argument("--out", metavar="FOLDER", help="with export: a new folder")
    kept.add_argument(
        "--push", metavar="OWNER/NAME", help="with export: send it to the Hugging Face Hub (HF_TOKEN, or your login)"
    )
    kept.add_argument("--public", action="store_true", help="with --push: for everybody to see")
    kept.add_argument("--licence", metavar="ID", help="the licence that the card gives, such as apache-2.0")
    add_job_options(kept)
    kept.set_defaults(command=_models)


def add_recipe_options(parser: argparse.ArgumentParser) -> None:
    """The options that say how a student is trained."""
    parser.add_argument("--recipe", choices=tuple(RECIPES), default="demo", help="(default: %(default)s)")
    parser.add_argument("--base", metavar="PATH_OR_NAME", help="the weights to begin with (demo: none)")
    parser.add_argument(
        "--prompt", action="append", default=None, metavar="TEXT", help="watch it answer this (may be repeated)"
    )
    for name, (kind, words) in NUMBERS.items():
        parser.add_argument(_flag(name), type=kind, default=None, metavar="X", help=words or None)
    for name, kind in CHOICES.items():
        parser.add_argument(_flag(name), choices=get_args(kind), default=None)
    for name, words in SWITCHES.items():
        parser.add_argument(_flag(name), action=argparse.BooleanOptionalAction, default=None, help=words)
    for name in SIZES:
        parser.add_argument(f"--{name}", type=int, default=None, metavar="N", help="of a student made from nothing")


def command_of(folder: str, settings: FinetuneSettings) -> list[str]:
    """The words of the command that carries out an order: what its recipe says already is left out."""
    defaults = FinetuneSettings(name="x", snapshot="x", recipe=settings.recipe, **RECIPES[settings.recipe].values)
    words = ["glan", "finetune", folder, "--recipe", settings.recipe, "--snapshot", settings.snapshot, "--name", settings.name]
    if settings.base != defaults.base:
        words += ["--base", str(settings.base)]
    for name in (*NUMBERS, *CHOICES):
        if (value := getattr(settings, name)) != getattr(defaults, name) and value is not None:
            words += [_flag(name), f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)]
    if settings.patience is None and defaults.patience is not None:
        words += [_flag("patience"), "0"]
    if settings.warmup_steps is None and defaults.warmup_steps is not None and "--warmup-share" not in words:
        words += [_flag("warmup_share"), str(settings.warmup_share)]
    for name in SWITCHES:
        if (value := getattr(settings, name)) != getattr(defaults, name) and value is not None:
            words.append(_flag(name) if value else f"--no-{_flag(name)[2:]}")
    for name in SIZES:
        if (value := getattr(settings.scratch, name)) != getattr(defaults.scratch, name):
            words += [f"--{name}", str(value)]
    return words + [word for prompt in settings.prompts for word in ("--prompt", prompt)]


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def order_of(args: argparse.Namespace) -> FinetuneSettings:
    """The order that the options of `add_recipe_options`, a name and a snapshot stand for; GlanError names the one at fault."""
    given = {name: getattr(args, name) for name in ("base", *NUMBERS, *CHOICES, *SWITCHES)}
    values = RECIPES[args.recipe].values | {name: value for name, value in given.items() if value is not None}
    if args.warmup_share is not None and args.warmup_steps is None:
        values["warmup_steps"] = None
    if args.patience == 0:
        values["patience"] = None
    sizes = {name: getattr(args, name) for name in SIZES if getattr(args, name) is not None}
    fixed = {
        "name": args.name,
        "snapshot": args.snapshot,
        "recipe": args.recipe,
        "scratch": sizes,
        "prompts": tuple(args.prompt or ()),
    }
    return read_settings(FinetuneSettings, values | fixed)


def _finetune(args: argparse.Namespace) -> int | None:
    ws, settings = Workspace.open(args.dir), order_of(args)
    if args.plan:
        made = plan(ws, settings)
        report(args.json, asdict(made), plan_lines(made))
        return None
    check(ws, settings)
    return run_job(ws, settings, args, f"Fine-tune {settings.name}")


def plan_lines(made: TrainingPlan) -> list[str]:
    """A plan in words, a line a fact."""
    rows = [
        ("pairs", f"{made.rows:,} to train on, {made.held_out:,} held out"),
        ("steps", f"{made.steps:,}, {made.steps_per_epoch:,} an epoch, {made.warmup:,} of warm-up"),
        ("tokens", f"{made.tokens:,}, {made.trained_tokens:,} of them trained on (counted from {made.basis})"),
        ("cut rows", f"{made.cut:,} cut at the length limit, {made.dropped:,} left out"),
        ("parameters", f"{short(made.trained_parameters or 0)} trained of {short(made.parameters)}" if made.parameters else "not known"),
        ("memory", f"about {size(made.memory)} a device" if made.memory else "not known"),
        ("time", durations(made.seconds) if made.seconds else "not known"),
    ]  # fmt: skip
    return [*table(rows, ("what", "")), *(f"Mind: {warning}" for warning in made.warnings)]


def _models(args: argparse.Namespace) -> int | None:
    ws = Workspace.open(args.dir)
    if args.action == "list":
        found = tuned_model_store.list_models(ws)
        rows = [
            (m.name, m.recipe, m.form, m.snapshot, m.rows, m.steps, _loss(m), size(m.bytes), exact(m.created_at)) for m in found
        ]
        head = ("name", "recipe", "form", "snapshot", "pairs", "steps", "held-out loss", "size", "made at")
        lines = (
            table(rows, head) if rows else [f"There are no models yet: glan finetune {args.dir} --snapshot NAME --name NAME."]
        )
        report(args.json, [m.model_dump(mode="json") for m in found], lines)
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
            rows = [(k.replace("_", " "), v) for k, v in values.items()] + list(model.disciplines.items())
            report(args.json, model.model_dump(mode="json"), table(rows, ("what", "value")))
        case "note":
            tuned_model_store.note(ws, args.name, args.value)
            report(args.json, {"noted": args.name}, [f"Noted on {args.name}."])
        case "rename":
            tuned_model_store.rename(ws, args.name, args.value)
            report(args.json, {"renamed": args.value}, [f"{args.name} is now called {args.value}."])
        case "remove":
            tuned_model_store.remove(ws, args.name)
            report(args.json, {"removed": args.name}, [f"Removed the model {args.name}."])
        case "serve":
            commands = serving(
                tuned_model_store.read_model(ws, args.name), str(tuned_model_store.read_model(ws, args.name).weights(ws))
            )
            report(args.json, commands, [f"{name}: {command}" for name, command in commands.items()])
        case "merge":
            settings = read_settings(MergeSettings, {"model": args.name, "name": args.value})
            return run_job(ws, settings, args, f"Merge {args.name}")
        case "export":
            path = args.out and str(Path(args.out).expanduser().absolute())
            values = {"model": args.name, "path": path, "repo": args.push, "private": not args.public, "licence": args.licence}
            if path:
                check_target(ws, Path(path))
            return run_job(ws, read_settings(ModelExportSettings, values), args, f"Export {args.name}")
    return None


def _loss(model: tuned_model_store.TunedModel) -> str:
    loss = model.losses.get("validation")
    return "–" if loss is None else f"{loss:.3f}"
