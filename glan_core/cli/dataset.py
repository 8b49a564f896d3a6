"""`glan snapshot` and `glan export`."""

import argparse
from pathlib import Path

from glan_core.cli.output import report, table
from glan_core.cli.run_start import run_job
from glan_core.dataset import snapshots
from glan_core.dataset.export_job import check_place, export, is_folder, publish, written
from glan_core.dataset.formats import FORMATS
from glan_core.dataset.row_selection import HELD_OUT
from glan_core.dataset.settings import ExportSettings, SnapshotSettings
from glan_core.dataset.splits import RULES
from glan_core.errors import GlanError
from glan_core.formatting import exact
from glan_core.settings import read_settings
from glan_core.taxonomy import hierarchy, tree_editing
from glan_core.workspace import Workspace
from glan_core.workspace.tag_rows import REASONS


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add this module's commands to the parser."""
    frozen = commands.add_parser("snapshot", help="freeze the dataset under a name; list, show, verify or remove snapshots")
    frozen.add_argument("dir", metavar="DIR")
    frozen.add_argument("action", nargs="?", choices=("take", "list", "show", "verify", "remove"), default="list")
    frozen.add_argument("name", nargs="?", metavar="NAME")
    _add_choice(frozen, "syllabus")
    frozen.add_argument("--detach", action="store_true", help="work in the background")
    frozen.add_argument("--json", action="store_true")
    frozen.set_defaults(command=_snapshot)

    out = commands.add_parser("export", help="write the pairs, or a snapshot of them, for a trainer")
    out.add_argument("dir", metavar="DIR")
    out.add_argument("--format", choices=FORMATS, default="chat", help="(default: %(default)s)")
    out.add_argument("--out", metavar="PATH", help="a file, or for 'datasets' and split rows a folder")
    out.add_argument("--snapshot", metavar="NAME", help="the rows and the split of this snapshot")
    _add_choice(out, "none")
    out.add_argument("--card", action="store_true", help="write a dataset card beside a file (a folder always has one)")
    out.add_argument("--licence", metavar="ID", help="the licence that the card gives, such as cc-by-4.0")
    out.add_argument("--push", metavar="OWNER/NAME", help="send it to the Hugging Face Hub as well (HF_TOKEN, or your login)")
    out.add_argument("--public", action="store_true", help="with --push: for everybody to see")
    out.add_argument("--detach", action="store_true", help="work in the background")
    out.add_argument("--json", action="store_true")
    out.set_defaults(command=_export)


def _add_choice(parser: argparse.ArgumentParser, split: str) -> None:
    parser.add_argument("--disciplines", metavar="ID,ID", help="only these, or those below these nodes")
    parser.add_argument("--strategy", choices=("single", "pair"), help="only questions from one session, or from two")
    parser.add_argument("--level", metavar="LEVEL", help="only subjects of this level")
    parser.add_argument("--teacher", metavar="T", help="only pairs whose question or answer this teacher wrote")
    parser.add_argument("--words", metavar="WORDS", default="", help="only pairs that hold all these words")
    parser.add_argument("--reviewed", action="store_true", help="only pairs that a person marked to be kept")
    parser.add_argument("--starred", action="store_true", help="only starred pairs")
    scripted = parser.add_mutually_exclusive_group()
    scripted.add_argument("--scripted", action="store_true", default=None, help="with the rows of the scripted teacher")
    scripted.add_argument("--no-scripted", dest="scripted", action="store_false", help="without them")
    parser.add_argument(
        "--include", metavar="WHY,WHY", default="", help=f"take in what was left out as {', '.join((*REASONS, HELD_OUT))}"
    )
    parser.add_argument("--with-rejected", action="store_true", help="the same as --include rejected")
    parser.add_argument(
        "--split", choices=tuple(RULES), default=split, help="hold rows out for validation (default: %(default)s)"
    )
    parser.add_argument(
        "--validation", type=float, default=0.05, metavar="SHARE", help="of what is split (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of the split (default: %(default)s)")


def _choice(ws: Workspace, args: argparse.Namespace) -> dict:
    """The values of `_add_choice`, as `Choice` takes them."""
    which = {name: getattr(args, name) for name in ("strategy", "level", "teacher", "words", "starred")}
    if args.disciplines:
        tree = tree_editing.tree(ws)
        wanted = [d for id in args.disciplines.split(",") for d in hierarchy.disciplines_under(tree, id.strip())]
        which["disciplines"] = tuple(dict.fromkeys(wanted))
    if args.reviewed:
        which["review"] = "keep"
    include = [part.strip() for part in args.include.split(",") if part.strip()]
    return {
        "which": which, "include": tuple(dict.fromkeys([*include, *(["rejected"] if args.with_rejected else [])])),
        "scripted": args.scripted, "split": args.split, "validation_share": args.validation, "seed": args.seed,
    }  # fmt: skip


def _snapshot(args: argparse.Namespace) -> int | None:
    ws = Workspace.open(args.dir)
    if args.action == "list":
        found = snapshots.list_snapshots(ws)
        rows = [(m.name, m.number, m.rows.get("validation", 0), exact(m.created_at), m.hash[:19]) for m in found]
        lines = table(rows, ("name", "pairs", "held out", "taken at", "hash")) if rows else ["There are no snapshots."]
        report(args.json, [m.model_dump(mode="json") for m in found], lines)
        return None
    if not args.name:
        raise GlanError(f"Give the name of the snapshot: glan snapshot {args.dir} {args.action} NAME.")
    match args.action:
        case "take":
            settings = read_settings(SnapshotSettings, _choice(ws, args) | {"name": args.name})
            return run_job(ws, settings, args, f"Snapshot {settings.name}")
        case "show":
            _show(snapshots.read_snapshot(ws, args.name).manifest, args.json)
        case "verify":
            whole = snapshots.verify(ws, args.name)
            said = "holds exactly the rows that it was taken with" if whole else "is not what was taken: its rows were changed"
            report(args.json, {"name": args.name, "whole": whole}, [f"The snapshot {args.name} {said}."])
            return 0 if whole else 1
        case "remove":
            snapshots.remove_snapshot(ws, args.name)
            report(args.json, {"removed": args.name}, [f"Removed the snapshot {args.name}."])
    return None


def _show(manifest: snapshots.Manifest, as_json: bool) -> None:
    rows = [(f"{split} rows", number) for split, number in sorted(manifest.rows.items())]
    rows += [(f"left out: {snapshots.WHY[reason]}", number) for reason, number in manifest.left_out.items() if number]
    rows += [(f"{what}s by {name}", n) for what, teachers in manifest.teachers.items() for name, n in teachers.items()]
    rows += [("disciplines", manifest.coverage.disciplines_with_rows)]
    head = f"{manifest.name}, taken {exact(manifest.created_at)}, {RULES[manifest.split]}, seed {manifest.seed}"
    report(as_json, manifest.model_dump(mode="json"), [head, manifest.hash, "", *table(rows, ("what", "number"))])


def _export(args: argparse.Namespace) -> int | None:
    ws = Workspace.open(args.dir)
    if not args.out and not args.push:
        raise GlanError("Say where the dataset is to go: --out PATH, --push OWNER/NAME, or both.")
    values = {
        "path": args.out and str(Path(args.out).expanduser().absolute()), "form": args.format, "snapshot": args.snapshot,
        "choice": _choice(ws, args), "card": args.card, "repo": args.push, "private": not args.public, "licence": args.licence,
    }  # fmt: skip
    settings = read_settings(ExportSettings, values)
    if args.detach:
        if settings.path:
            split = (
                snapshots.read_snapshot(ws, settings.snapshot).manifest.split if settings.snapshot else settings.choice.split
            )
            check_place(ws, Path(settings.path), is_folder(settings.form, split), card=settings.card)
        return run_job(ws, settings, args, f"Export to {args.out or args.push}")
    data, lines = {}, []
    if args.out:
        done = export(
            ws,
            args.out,
            settings.form,
            settings.choice,
            snapshot=settings.snapshot,
            card=settings.card,
            licence=settings.licence,
        )
        data |= {"rows": done.number, "splits": done.rows, "left_out": done.left_out, "path": settings.path}
        lines.append(written(done, args.out))
    if settings.repo:
        lines.append(publish(ws, settings))
        data["pushed"] = settings.repo
    report(args.json, data, lines)
    return None
