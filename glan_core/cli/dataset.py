"""`glan snapshot` and `glan export`."""

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from typing import get_args

from glan_core.cli.disciplines import expand
from glan_core.cli.output import report, say, table
from glan_core.cli.run_start import run_job
from glan_core.dataset import snapshot_store
from glan_core.dataset.export_job import check_export_path, export_dataset, export_message, is_folder, push_to_hub, target_of
from glan_core.dataset.settings import ExportSettings, RowSelection, SnapshotSettings
from glan_core.dataset.snapshot_comparison import SnapshotComparison, compare_snapshots
from glan_core.dataset.snapshot_job import check_name
from glan_core.dataset.split_estimate import SplitEstimate, check_split
from glan_core.dataset.splits import SPLIT_RULES
from glan_core.errors import GlanError
from glan_core.formatting import exact
from glan_core.settings import read_settings
from glan_core.settings_options import add_option, add_options, given_values
from glan_core.workspace import Workspace


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add the commands of this module."""
    kept = commands.add_parser("snapshot", help="create, list, show, verify, compare or remove snapshots of the dataset")
    kept.add_argument("dir", metavar="DIR")
    actions = ("create", "take", "list", "show", "verify", "compare", "remove")  # "take": name of "create" in earlier releases
    kept.add_argument("action", nargs="?", choices=actions, default="list", metavar="{create,list,show,verify,compare,remove}")
    kept.add_argument("name", nargs="?", metavar="NAME")
    kept.add_argument("other", nargs="?", metavar="OTHER", help="with compare: name of the second snapshot")
    _add_selection(kept, SnapshotSettings)
    kept.add_argument(
        "--plan", action="store_true", help="with create: show the rows of each split, without creating the snapshot"
    )
    kept.add_argument("--detach", action="store_true", help="run in the background")
    kept.add_argument("--json", action="store_true")
    kept.set_defaults(command=_snapshot)

    out = commands.add_parser("export", help="export the pairs, or a snapshot of them, in a format that trainers read")
    out.add_argument("dir", metavar="DIR")
    formats = get_args(ExportSettings.model_fields["form"].annotation)
    out.add_argument("--format", dest="form", choices=formats, default=argparse.SUPPRESS, help="file format (default: chat)")
    out.add_argument("--out", metavar="PATH", help="file to write; a folder for 'datasets', for split rows and with --folder")
    for name in ("snapshot", "folder", "reasoning", "card", "license"):
        add_option(out, ExportSettings, name)
    _add_selection(out, RowSelection)
    out.add_argument("--push", metavar="OWNER/NAME", help="push to the Hugging Face Hub as well (HF_TOKEN, or your login)")
    out.add_argument("--public", action="store_true", help="with --push: make the repository public")
    out.add_argument("--detach", action="store_true", help="run in the background")
    out.add_argument("--json", action="store_true")
    out.set_defaults(command=_export)


def _add_selection(parser: argparse.ArgumentParser, settings_type: type[RowSelection]) -> None:
    """Add the options that filter pairs, and those of the selection and the split."""
    parser.add_argument("--disciplines", metavar="ID,ID", help="only these disciplines, or those below these nodes")
    parser.add_argument("--strategy", choices=("single", "pair"), help="only questions from one class session, or from two")
    parser.add_argument("--level", metavar="LEVEL", help="only subjects of this level")
    parser.add_argument("--teacher", metavar="MODEL", help="only pairs whose question or answer was written by this teacher")
    parser.add_argument("--words", metavar="WORDS", default="", help="only pairs that contain all these words")
    parser.add_argument("--reviewed", action="store_true", help="only pairs marked 'keep' in review")
    parser.add_argument("--starred", action="store_true", help="only starred pairs")
    parser.add_argument("--with-rejected", action="store_true", help="same as --include rejected")
    parser.add_argument("--validation", dest="validation_share", type=float, default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    add_options(parser, settings_type, skip=("which", "name"))


def _selection(ws: Workspace, args: argparse.Namespace) -> dict:
    """Values given for `RowSelection`."""
    which = {name: getattr(args, name) for name in ("strategy", "level", "teacher", "words", "starred")}
    if args.disciplines:
        which["disciplines"] = expand(ws, [id.strip() for id in args.disciplines.split(",")])
    if args.reviewed:
        which["review"] = "keep"
    values = given_values(args, RowSelection, skip=("which",))
    if args.with_rejected:
        values["include"] = tuple(dict.fromkeys([*values.get("include", ()), "rejected"]))
    return values | {"which": which}


def _snapshot(args: argparse.Namespace) -> int | None:
    ws = Workspace.open(args.dir)
    if args.action == "list":
        found = snapshot_store.list_snapshots(ws)
        rows = [(m.name, m.number, m.rows.get("validation", 0), exact(m.created_at), m.hash[:19]) for m in found]
        lines = table(rows, ("name", "pairs", "held out", "created", "hash")) if rows else ["There are no snapshots."]
        report([m.model_dump(mode="json") for m in found], lines, as_json=args.json)
        return None
    if not args.name:
        raise GlanError(f"Give the name of the snapshot: glan snapshot {args.dir} {args.action} NAME.")
    if args.other and args.action != "compare":
        raise GlanError(f"{args.action} takes one name (got {args.name} and {args.other}).")
    match args.action:
        case "create" | "take":
            settings = read_settings(SnapshotSettings, _selection(ws, args) | {"name": args.name})
            check_name(ws, settings.name)
            held_out = _say_split(ws, settings, quiet=args.json or args.plan)
            if args.plan:
                data = {"split": settings.split, **(asdict(held_out) | {"share": held_out.share} if held_out else {})}
                report(data, [str(held_out) if held_out else "No validation split."], as_json=args.json)
                return None
            made = lambda: snapshot_store.read_snapshot(ws, settings.name).manifest.model_dump(mode="json")  # noqa: E731
            return run_job(ws, settings, args, f"Snapshot {settings.name}", result=made)
        case "show":
            _show(snapshot_store.read_snapshot(ws, args.name).manifest, as_json=args.json)
        case "verify":
            whole = snapshot_store.verify_snapshot(ws, args.name)
            said = "is intact" if whole else "was changed after it was created"
            report({"name": args.name, "whole": whole}, [f"The snapshot {args.name} {said}."], as_json=args.json)
            return 0 if whole else 1
        case "compare":
            if not args.other:
                raise GlanError(f"Give two snapshots: glan snapshot {args.dir} compare {args.name} OTHER.")
            _compare(compare_snapshots(ws, args.name, args.other), as_json=args.json)
        case "remove":
            snapshot_store.remove_snapshot(ws, args.name)
            report({"removed": args.name}, [f"Removed the snapshot {args.name}."], as_json=args.json)
    return None


def _say_split(ws: Workspace, choice: RowSelection, *, quiet: bool) -> SplitEstimate | None:
    """Say on stderr what a split holds out, before anything is written.

    Raises:
        GlanError: If no row would remain for training.
    """
    found = check_split(ws, choice)
    if found and found.rows and not quiet:
        say(found, file=sys.stderr)
    return found


def _show(manifest: snapshot_store.Manifest, *, as_json: bool) -> None:
    rows = [(f"{split} rows", number) for split, number in sorted(manifest.rows.items())]
    rows += [
        (f"excluded: {snapshot_store.EXCLUSION_LABELS[reason]}", number)
        for reason, number in manifest.left_out.items()
        if number
    ]
    rows += [(f"{what}s by {name}", n) for what, teachers in manifest.teachers.items() for name, n in teachers.items()]
    rows += [("disciplines", manifest.coverage.disciplines_with_rows)]
    head = f"{manifest.name}, created {exact(manifest.created_at)}, {SPLIT_RULES[manifest.split]}, seed {manifest.seed}"
    report(manifest.model_dump(mode="json"), [head, manifest.hash, "", *table(rows, ("what", "number"))], as_json=as_json)


def _compare(found: SnapshotComparison, *, as_json: bool) -> None:
    shared, (first, second) = found.shared, found.names
    lines = table([(label, *values) for label, values in found.rows.items()], ("", first, second))
    rows = [
        ("rows in both", shared.both), (f"only in {first}", shared.only[0]), (f"only in {second}", shared.only[1]),
        ("in both, with another text", shared.changed), ("in both, in another split", shared.moved),
        (f"training in {first}, validation in {second}", shared.leaked[0]),
        (f"validation in {first}, training in {second}", shared.leaked[1]),
    ]  # fmt: skip
    lines += ["", *table(rows, (f"overlap {shared.overlap:.1%}", "number"))]
    if differ := [(row.name, *row.rows) for row in found.disciplines if row.rows[0] != row.rows[1]]:
        lines += ["", *table(differ, ("rows by discipline", first, second))]
    if found.settings:
        lines += [
            "",
            *table([(label, *values) for label, values in found.settings.items()], ("settings that differ", first, second)),
        ]
    report(asdict(found) | {"overlap": shared.overlap}, lines, as_json=as_json)


def _export(args: argparse.Namespace) -> int | None:
    ws = Workspace.open(args.dir)
    if not args.out and not args.push:
        raise GlanError("Give a destination: --out PATH, --push OWNER/NAME, or both.")
    names = ("form", "snapshot", "folder", "reasoning", "card", "license")
    values = {name: getattr(args, name) for name in names if hasattr(args, name)} | {
        "path": args.out and str(Path(args.out).expanduser().absolute()), "choice": _selection(ws, args), "repo": args.push,
        "private": not args.public,
    }  # fmt: skip
    settings = read_settings(ExportSettings, values)
    if not settings.snapshot:
        _say_split(ws, settings.choice, quiet=args.json)
    if args.detach:
        if settings.path:
            split = (
                snapshot_store.read_snapshot(ws, settings.snapshot).manifest.split
                if settings.snapshot
                else settings.choice.split
            )
            check_export_path(
                ws, Path(settings.path), folder=is_folder(settings.form, split, asked=settings.folder), card=settings.card
            )
        return run_job(ws, settings, args, f"Export to {args.out or args.push}")
    data: dict[str, object] = {}
    lines: list[str] = []
    if args.out:
        done = export_dataset(
            ws,
            args.out,
            settings.form,
            settings.choice,
            snapshot=settings.snapshot,
            target=target_of(settings),
        )
        data |= {"rows": done.number, "splits": done.rows, "left_out": done.left_out, "path": settings.path}
        lines.append(export_message(done, args.out, settings.form))
    if settings.repo:
        lines.append(push_to_hub(ws, settings))
        data["pushed"] = settings.repo
    report(data, lines, as_json=args.json)
    return None
