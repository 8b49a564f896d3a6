"""`glan evaluate glan-test`."""

import argparse
import os
import shutil
import time
from pathlib import Path

from glan_core.cli.disciplines import expand
from glan_core.cli.output import report, table
from glan_core.cli.run_start import add_job_options, run_job
from glan_core.dataset import glan_test_store
from glan_core.errors import GlanError
from glan_core.evaluation.settings import GlanTestSettings
from glan_core.formatting import exact, quoted
from glan_core.io.atomic import atomic_output
from glan_core.settings import read_settings
from glan_core.settings_options import add_options, given_values
from glan_core.workspace import Workspace
from glan_core.workspace.output_paths import check_output


def add_kinds(kinds: argparse._SubParsersAction) -> None:
    """Add the kinds of evaluation of this module."""
    test = kinds.add_parser("glan-test", help="create, list, show, export, import or remove held-out tests")
    test.add_argument("dir", metavar="DIR")
    actions = ("create", "freeze", "list", "show", "export", "import", "remove")  # "freeze": "create" in earlier releases
    test.add_argument("action", nargs="?", choices=actions, default="list", metavar="{create,list,show,export,import,remove}")
    test.add_argument("name", nargs="?", metavar="NAME")
    add_options(test, GlanTestSettings, skip=("name",))
    test.add_argument("--from-snapshot", dest="snapshot", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    test.add_argument("--file", metavar="PATH", help="with export: file to write; with import: a test, or a file of prompts")
    add_job_options(test)
    test.set_defaults(command=_test)


def _test(args: argparse.Namespace) -> int | None:
    ws = Workspace.open(args.dir)
    if args.action == "list":
        _list(ws, as_json=args.json)
        return None
    if args.action == "import":
        _import(ws, args)
        return None
    if not args.name:
        raise GlanError(f"Give the name of the test: glan evaluate glan-test {args.dir} {args.action} NAME.")
    match args.action:
        case "create" | "freeze":
            if glan_test_store.test_path(ws, args.name).exists():
                raise GlanError(f"Test {quoted(args.name)} already exists. Choose another name.")
            made = lambda: glan_test_store.read_test(ws, args.name).model_dump(mode="json")  # noqa: E731
            return run_job(ws, _settings(ws, args), args, f"Held-out test {args.name}", result=made)
        case "show":
            _show(ws, args)
        case "export":
            if not args.file:
                raise GlanError("Name the file to write: --file PATH.")
            test = glan_test_store.read_test(ws, args.name)
            glan_test_store.read_items(ws, args.name)  # a changed test must not be exported under its old hash
            path = Path(args.file).expanduser()
            check_output(ws, path, glan_test_store.is_test_file)
            with atomic_output(path, folder=False, mark=os.getpid()) as new:
                shutil.copyfile(glan_test_store.test_path(ws, args.name), new)
            report(
                {"path": args.file, "hash": test.hash}, [f"Wrote {test.name} to {args.file}: {test.hash}."], as_json=args.json
            )
        case "remove":
            glan_test_store.remove_test(ws, args.name)
            report(
                {"removed": args.name},
                [f"Removed the test {args.name}. Its questions can be trained on again."],
                as_json=args.json,
            )
    return None


def _settings(ws: Workspace, args: argparse.Namespace) -> GlanTestSettings:
    values = given_values(args, GlanTestSettings, skip=("name",))
    if values.get("disciplines"):
        values["disciplines"] = expand(ws, values["disciplines"])
    return read_settings(GlanTestSettings, values | {"name": args.name})


def _list(ws: Workspace, *, as_json: bool) -> None:
    found = glan_test_store.list_tests(ws)
    rows = [(t.name, t.number, len(t.disciplines), t.source, exact(t.created_at), t.hash[:19]) for t in found]
    head = ("name", "questions", "disciplines", "from", "created", "hash")
    report(
        [t.model_dump(mode="json") for t in found], table(rows, head) if rows else ["No held-out tests yet."], as_json=as_json
    )


def _show(ws: Workspace, args: argparse.Namespace) -> None:
    test = glan_test_store.read_test(ws, args.name)
    head = f"{test.name}: {test.number:,} questions from {test.source}, seed {test.seed}, created {exact(test.created_at)}"
    rows = sorted(test.disciplines.items(), key=lambda entry: (-entry[1], entry[0]))
    report(test.model_dump(mode="json"), [head, test.hash, "", *table(rows, ("discipline", "questions"))], as_json=args.json)


def _import(ws: Workspace, args: argparse.Namespace) -> None:
    if not args.file:
        raise GlanError("Name the file to import: --file PATH.")
    path = Path(args.file).expanduser()
    with path.open("rb") as file:
        test = glan_test_store.import_test(ws, file, args.name, time.time(), path.name)
    report(test.model_dump(mode="json"), [f"Imported {test.name}: {test.number:,} questions, {test.hash}."], as_json=args.json)
