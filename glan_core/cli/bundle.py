"""`glan bundle` and `glan train-bundle`: fine-tuning on a machine without the workspace."""

import argparse
from pathlib import Path

from glan_core import runs
from glan_core.cli.finetune import add_node_rank, add_recipe_options, finetune_settings
from glan_core.cli.output import report
from glan_core.cli.run_start import add_job_options, run_job, work_here
from glan_core.settings_options import add_option, given_values
from glan_core.training import bundle_training
from glan_core.training.bundle import MACHINE, RESULT, WORK, BundleResult, read_bundle, verify_bundle
from glan_core.training.bundle_export import check_bundle
from glan_core.training.distributed import join
from glan_core.training.finetune_job import result_sentence
from glan_core.training.settings import BundleSettings, FinetuneSettings
from glan_core.workspace import Workspace


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add the commands of this module."""
    bundle = commands.add_parser("bundle", help="write a folder that trains on another machine without the workspace")
    bundle.add_argument("dir", metavar="DIR")
    bundle.add_argument("--snapshot", required=True, metavar="NAME", help="snapshot to train on")
    bundle.add_argument("--name", required=True, metavar="NAME", help="name of the model")
    bundle.add_argument("--out", required=True, metavar="FOLDER", help="new folder to write")
    add_option(bundle, BundleSettings, "with_base")
    add_recipe_options(bundle)
    add_job_options(bundle)
    bundle.set_defaults(command=_bundle)

    train = commands.add_parser(
        "train-bundle", help="train a bundle, or resume it; 'glan models DIR import FOLDER' imports the model"
    )
    train.add_argument("folder", metavar="FOLDER", help="folder that 'glan bundle' wrote")
    group = train.add_argument_group("settings that suit this machine, over those of the bundle")
    for name in MACHINE:
        add_option(group, FinetuneSettings, name)
    add_node_rank(train)
    train.add_argument("--json", action="store_true")
    train.set_defaults(command=_train_bundle)


def _bundle(args: argparse.Namespace) -> int:
    ws = Workspace.open(args.dir)
    folder = Path(args.out).expanduser().absolute()
    finetune = finetune_settings(args)  # not scaled to this machine
    settings = BundleSettings(finetune=finetune, path=str(folder), with_base=getattr(args, "with_base", False))
    check_bundle(ws, settings)
    title = f"Bundle of {finetune.name}"
    return run_job(ws, settings, args, title, result=lambda: read_bundle(folder)[0].model_dump(mode="json"))


def _train_bundle(args: argparse.Namespace) -> int:
    folder = Path(args.folder).expanduser().absolute()
    bundle, settings = verify_bundle(folder)
    if (result := bundle_training.finished_result(folder)) is not None:
        return _report(folder, result, as_json=args.json)
    given = given_values(
        args, FinetuneSettings, skip=tuple(name for name in FinetuneSettings.model_fields if name not in MACHINE)
    )
    settings = bundle_training.machine_settings(bundle, settings, folder, given)
    if args.node_rank:
        return join(folder / WORK, settings, args.node_rank)
    ws = bundle_training.open_work(folder, bundle)
    run_id = bundle_training.submit_training(ws, settings)
    run = runs.get(ws, run_id)
    if run.state != "finished":
        run = work_here(ws, run_id, quiet=args.json)
    if (state := runs.state_of(run)) != "finished":
        report(
            {"state": state, "message": run.message},
            [f"{state.capitalize()}: {run.message}", "The same command resumes from the last checkpoint."],
            as_json=args.json,
        )
        return 1
    return _report(folder, bundle_training.write_result(folder, bundle, ws, run), as_json=args.json)


def _report(folder: Path, result: BundleResult, *, as_json: bool) -> int:
    report(
        result.model_dump(mode="json") | {"folder": str(folder / RESULT)},
        [
            f"{result_sentence(bundle_training.result_model(folder))} The result is in {folder / RESULT}.",
            "Copy the folder back and import the model: glan models DIR import FOLDER",
        ],
        as_json=as_json,
    )
    return 0
