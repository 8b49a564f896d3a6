"""`glan batch`: request files of offline runs, their results, and batches that are given up."""

import argparse
import time
from dataclasses import asdict
from pathlib import Path

from glan_core.cli.output import report
from glan_core.cli.run_start import work_here
from glan_core.cli.teacher_run import report_end
from glan_core.errors import GlanError
from glan_core.formatting import plural
from glan_core.generation import batch_offline
from glan_core.runs import launcher
from glan_core.workspace import Workspace
from glan_core.workspace.batch_rows import UNSENT

MOST_DIGITS = 15  # of an ID


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add the commands of this module."""
    batch = commands.add_parser("batch", help="request files for an offline engine (--batch-files), and their results")
    batch.add_argument("dir", metavar="DIR", help="workspace folder")
    batch.add_argument(
        "action", choices=("next", "read", "discard"),
        help="next prints the request file that waits for results, and fails if there is none; read attaches results and continues the "
        "run; discard gives up a batch, whose requests are sent again",
    )  # fmt: skip
    batch.add_argument("what", nargs="?", metavar="RESULTS|ID", help="file of results to read, or ID of the batch to give up")
    batch.add_argument("--json", action="store_true")
    batch.set_defaults(command=_batch)


def _batch(args: argparse.Namespace) -> int:
    ws = Workspace.open(args.dir)
    match args.action:
        case "next":
            return _next(ws, args)
        case "read":
            return _read(ws, args)
        case _:
            return _discard(ws, args)


def _next(ws: Workspace, args: argparse.Namespace) -> int:
    files = batch_offline.waiting_files(ws)
    if not files:
        report({"file": None}, [], as_json=args.json)
        return 1
    batch, path = files[0]
    report(
        {"file": str(path), "batch": batch.id, "requests": batch.requests, "run": batch.run_id}, [str(path)], as_json=args.json
    )
    return 0


def _read(ws: Workspace, args: argparse.Namespace) -> int:
    if not args.what:
        raise GlanError(f"Give the file of results: 'glan batch {args.dir} read results.jsonl'.")
    found = batch_offline.read_results(ws, Path(args.what))
    lines = [
        f"{plural(found.replies, 'reply', 'replies')} and {plural(found.errors, 'error')} are read for run {found.run_id}; "
        f"{plural(found.missing, 'request')} without a result.",
        *found.notices,
    ]
    launcher.requeue(ws, found.run_id)
    if not args.json:
        report(asdict(found), lines, as_json=False)
    return report_end(ws, work_here(ws, found.run_id, quiet=args.json), as_json=args.json)


def _discard(ws: Workspace, args: argparse.Namespace) -> int:
    if not args.what or not args.what.isdecimal() or len(args.what) > MOST_DIGITS:
        raise GlanError(
            f"Give the ID of the batch: 'glan batch {args.dir} discard ID'. 'glan runs {args.dir} show RUN' lists them."
        )
    batch = batch_offline.discard(ws, int(args.what), time.time())
    lines = [f"Batch {batch.id} of run {batch.run_id} is given up. Its requests are sent again when the run is resumed."]
    if batch.step not in UNSENT and batch.remote_id:
        lines.append(
            f"The batch {batch.remote_id} at {batch.url} is not cancelled; what it answers is paid for and not stored."
        )
    report({"batch": batch.id, "run": batch.run_id}, lines, as_json=args.json)
    return 0
