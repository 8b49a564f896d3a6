"""`glan evaluate glan-test`."""

import argparse
import shutil
import time
from pathlib import Path

from glan_core.cli.output import report, table
from glan_core.cli.run_start import add_job_options, run_job
from glan_core.dataset import glan_test_store
from glan_core.errors import GlanError
from glan_core.evaluation.settings import GlanTestSettings
from glan_core.formatting import exact
from glan_core.settings import read_settings
from glan_core.taxonomy import hierarchy, tree_editing
from glan_core.workspace import Workspace
from glan_core.workspace.output_paths import check_output


def add_kinds(kinds: argparse._SubParsersAction) -> None:
    """Add this module's kind of evaluation to the parser."""
    test = kinds.add_parser("glan-test", help="hold questions out for testing; list, show, export, import or remove such tests")
    test.add_argument("dir", metavar="DIR")
    test.add_argument("action", nargs="?", choices=("freeze", "list", "show", "export", "import", "remove"), default="list")
    test.add_argument("name", nargs="?", metavar="NAME")
    test.add_argument(
        "--questions", type=int, default=50, metavar="N", help="of each discipline (default: %(default)s, the paper's)"
    )
    test.add_argument("--disciplines", metavar="ID,ID", help="only these, or those below these nodes")
    test.add_argument("--from-snapshot", metavar="NAME", help="draw from the rows that a snapshot held out")
    test.add_argument(
        "--most-share", type=float, default=0.2, metavar="X", help="of a discipline's combinations (default: %(default)s)"
    )
    test.add_argument(
        "--threshold", type=float, default=0.7, metavar="X", help="likeness that counts as a repetition (default: %(default)s)"
    )
    test.add_argument("--seed", type=int, default=0, metavar="S", help="(default: %(default)s)")
    test.add_argument(
        "--file", metavar="PATH", help="with export: where to; with import: a test, or prompts that others collected"
    )
    add_job_options(test)
    test.set_defaults(command=_test)


def _test(args: argparse.Namespace) -> int | None:
    ws = Workspace.open(args.dir)
    if args.action == "list":
        return _list(ws, args.json)
    if args.action == "import":
        return _import(ws, args)
    if not args.name:
        raise GlanError(f"Give the name of the test: glan evaluate glan-test {args.dir} {args.action} NAME.")
    match args.action:
        case "freeze":
            return run_job(ws, _order(ws, args), args, f"GLAN-Test {args.name}")
        case "show":
            _show(ws, args)
        case "export":
            if not args.file:
                raise GlanError("Say where the test is to go: --file PATH.")
            test = glan_test_store.read_test(ws, args.name)
            glan_test_store.read_items(ws, args.name)  # what was changed must not travel under its old hash
            path = Path(args.file).expanduser()
            check_output(ws, path, glan_test_store.is_test)
            shutil.copyfile(glan_test_store.file_of(ws, args.name), path)
            report(args.json, {"path": args.file, "hash": test.hash}, [f"Wrote {test.name} to {args.file}: {test.hash}."])
        case "remove":
            glan_test_store.remove_test(ws, args.name)
            report(args.json, {"removed": args.name}, [f"Removed the test {args.name}: its questions may be trained on again."])
    return None


def _order(ws: Workspace, args: argparse.Namespace) -> GlanTestSettings:
    values = {name: getattr(args, name) for name in ("name", "questions", "most_share", "threshold", "seed")}
    if args.disciplines:
        tree = tree_editing.tree(ws)
        wanted = [d for id in args.disciplines.split(",") for d in hierarchy.disciplines_under(tree, id.strip())]
        values["disciplines"] = tuple(dict.fromkeys(wanted))
    return read_settings(GlanTestSettings, values | {"snapshot": args.from_snapshot})


def _list(ws: Workspace, as_json: bool) -> None:
    found = glan_test_store.list_tests(ws)
    rows = [(t.name, t.number, len(t.disciplines), t.source, exact(t.created_at), t.hash[:19]) for t in found]
    head = ("name", "questions", "disciplines", "from", "frozen at", "hash")
    report(as_json, [t.model_dump(mode="json") for t in found], table(rows, head) if rows else ["There are no tests."])


def _show(ws: Workspace, args: argparse.Namespace) -> None:
    test = glan_test_store.read_test(ws, args.name)
    head = f"{test.name}: {test.number:,} questions from {test.source}, seed {test.seed}, frozen {exact(test.created_at)}"
    rows = sorted(test.disciplines.items(), key=lambda entry: (-entry[1], entry[0]))
    report(args.json, test.model_dump(mode="json"), [head, test.hash, "", *table(rows, ("discipline", "questions"))])


def _import(ws: Workspace, args: argparse.Namespace) -> None:
    if not args.file:
        raise GlanError("Say which file is to be taken in: --file PATH.")
    path = Path(args.file).expanduser()
    with path.open("rb") as file:
        test = glan_test_store.import_test(ws, file, args.name, time.time(), path.name)
    report(args.json, test.model_dump(mode="json"), [f"Took in {test.name}: {test.number:,} questions, {test.hash}."])
