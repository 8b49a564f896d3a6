"""`glan workspace`: the workspaces of a folder."""

import argparse
from dataclasses import asdict
from pathlib import Path

from glan_core.cli.output import report, table
from glan_core.cli.run_start import add_job_options, run_job
from glan_core.errors import GlanError
from glan_core.formatting import ago, number, size
from glan_core.operations import duplicate_job, workspace_comparison, workspaces
from glan_core.workspace import Workspace


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add the commands of this module."""
    top = commands.add_parser("workspace", help="list, create, rename, duplicate, archive, restore and compare workspaces")
    top.add_argument("home", metavar="HOME", help="folder of the workspaces")
    actions = top.add_subparsers(dest="action", metavar="ACTION", required=True)

    listed = actions.add_parser("list", help="list the workspaces, and the archived ones")
    listed.set_defaults(command=_list)

    create = actions.add_parser("create", help="create a workspace with the starter taxonomy")
    create.add_argument("name", metavar="NAME")
    create.add_argument("--demo", action="store_true", help="add demo content")
    create.set_defaults(command=_create)

    rename = actions.add_parser("rename", help="rename a workspace and its folder, while no run is live")
    rename.add_argument("name", metavar="NAME", help="name of the folder")
    rename.add_argument("new_name", metavar="NEW_NAME")
    rename.set_defaults(command=_rename)

    duplicate = actions.add_parser("duplicate", help="copy a workspace with its files, also while it is generating")
    duplicate.add_argument("name", metavar="NAME", help="name of the folder")
    duplicate.add_argument("new_name", metavar="NEW_NAME", help="name of the copy")
    add_job_options(duplicate)
    duplicate.set_defaults(command=_duplicate)

    archive = actions.add_parser("archive", help=f"move a workspace to HOME/{workspaces.ARCHIVE}, while no run is live")
    archive.add_argument("name", metavar="NAME", help="name of the folder")
    archive.set_defaults(command=_archive)

    restore = actions.add_parser("restore", help="move a workspace out of the archive")
    restore.add_argument("name", metavar="NAME", help="name of the archived folder")
    restore.add_argument("--as", dest="as_name", metavar="NAME", default="", help="restore it under another name")
    restore.set_defaults(command=_restore)

    reset = actions.add_parser("reset-demo", help="archive a demo workspace and create a fresh one in its place")
    reset.add_argument("name", metavar="NAME", nargs="?", default="demo", help="name of the folder (default: %(default)s)")
    reset.set_defaults(command=_reset)

    compare = actions.add_parser("compare", help="compare counts, coverage, cost and settings of two workspaces")
    compare.add_argument("names", metavar="NAME", nargs=2, help="names of the folders")
    compare.set_defaults(command=_compare)
    for parser in actions.choices.values():
        if parser is not duplicate:
            parser.add_argument("--json", action="store_true")


def _home(args: argparse.Namespace) -> Path:
    """Return the home folder.

    Raises:
        GlanError: If it does not exist.
    """
    home = Path(args.home).expanduser().absolute()
    if not args.home.strip() or not home.is_dir():
        raise GlanError(f"{args.home or 'HOME'} is not a folder. Give the folder that contains the workspaces.")
    return home


def _list(args: argparse.Namespace) -> None:
    found = workspaces.list_workspaces(_home(args))
    rows = [
        (one.name, one.title, "–" if one.pairs is None else number(one.pairs), size(one.bytes), ago(one.changed_at or None), _state(one))
        for one in found
    ]  # fmt: skip
    lines = table(rows, ("folder", "name", "pairs", "size", "changed", "state")) if rows else ["There are no workspaces."]
    report([asdict(one) | {"folder": str(one.folder), "name": one.name} for one in found], lines, as_json=args.json)


def _state(one: workspaces.WorkspaceFacts) -> str:
    parts = [
        one.problem,
        "archived" if one.archived else "",
        "demo" if one.demo else "",
        f"{one.live} live" if one.live else "",
    ]
    return ", ".join(filter(None, parts))


def _create(args: argparse.Namespace) -> None:
    home = Path(args.home).expanduser().absolute()
    ws = workspaces.create(home, args.name, demo=args.demo)
    report({"folder": str(ws.folder), "demo": args.demo}, [f"Created {ws.folder}."], as_json=args.json)


def _rename(args: argparse.Namespace) -> None:
    folder = workspaces.rename(_home(args), args.name, args.new_name)
    report({"folder": str(folder)}, [f"Renamed {args.name} to {folder.name}."], as_json=args.json)


def _duplicate(args: argparse.Namespace) -> int:
    ws = Workspace.open(workspaces.find_workspace(_home(args), args.name))
    duplicate_job.check_duplicate(ws, args.new_name)
    args.dir = str(ws.folder)
    settings = duplicate_job.DuplicateSettings(name=args.new_name)
    place = ws.folder.parent / workspaces.folder_name(args.new_name)
    return run_job(ws, settings, args, f"Copy to {args.new_name}", result=lambda: {"folder": str(place)})


def _archive(args: argparse.Namespace) -> None:
    folder = workspaces.archive(_home(args), args.name)
    said = f"Archived {args.name} as {folder}. Restore it with 'glan workspace {args.home} restore {folder.name}'."
    report({"folder": str(folder)}, [said], as_json=args.json)


def _restore(args: argparse.Namespace) -> None:
    folder = workspaces.restore(_home(args), args.name, args.as_name)
    report({"folder": str(folder)}, [f"Restored {folder}."], as_json=args.json)


def _reset(args: argparse.Namespace) -> None:
    kept = workspaces.reset_demo(_home(args), args.name)
    said = f"Created {args.name} anew. The former demo is archived as {kept.name}."
    report({"folder": str(_home(args) / args.name), "archived": str(kept)}, [said], as_json=args.json)


def _compare(args: argparse.Namespace) -> None:
    home = _home(args)
    first, second = (Workspace.open(workspaces.find_workspace(home, name)) for name in args.names)
    found = workspace_comparison.compare(first, second)
    head = ("", *found.names)
    lines = table([(label, *values) for label, values in found.counts.items()], head)
    if rows := [(row.field, *_numbers(row.pairs)) for row in found.fields if any(row.pairs)]:
        lines += ["", *table(rows, ("pairs by field", *found.names))]
    if found.stages:
        costs = [(row.stage, *row.calls, *row.cost) for row in found.stages]
        heads = ("calls and cost", *found.names, *(f"{name} cost" for name in found.names))
        lines += ["", *table(costs, heads)]
    lines += ["", *_settings(found)]
    report(asdict(found), lines, as_json=args.json)


def _numbers(pairs: tuple[int | None, int | None]) -> list[str]:
    return ["–" if value is None else number(value) for value in pairs]


def _settings(found: workspace_comparison.WorkspaceComparison) -> list[str]:
    if found.settings is None:
        return ["Settings cannot be compared: both workspaces need a generation run."]
    said = f"Latest generation runs: {found.runs[0]} and {found.runs[1]}."
    if not found.settings:
        return [f"{said} Their settings are the same."]
    return [
        said,
        *table([(label, *values) for label, values in found.settings.items()], ("settings that differ", *found.names)),
    ]
