"""Starting runs from commands: in the foreground with progress, or in the background with --detach."""

import argparse
from collections.abc import Callable
from dataclasses import asdict
from functools import partial

from glan_core import runs
from glan_core.cli.output import library_output, progress, report
from glan_core.runs.registry import RUN_KINDS, kind_of
from glan_core.settings import Settings
from glan_core.workspace import Workspace
from glan_core.workspace.run_rows import Run


def add_job_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that every job has."""
    parser.add_argument("--detach", action="store_true", help="run in the background; follow it with 'glan runs DIR show ID'")
    parser.add_argument("--json", action="store_true")


def run_job(
    ws: Workspace,
    settings: Settings,
    args: argparse.Namespace,
    title: str = "",
    *,
    result: Callable[[], object] | None = None,
) -> int:
    """Run a job, or start it in the background with --detach; return the exit code.

    Args:
        ws: The workspace.
        settings: Settings of the job.
        args: Options of the command.
        title: Title of the run.
        result: Reads what a finished run stored, as plain values; added as `result` to the JSON of --json.
    """
    kind = kind_of(settings)
    run_id = runs.submit(ws, kind, title or RUN_KINDS[kind].title, settings.model_dump(mode="json"))
    return carry_out(ws, run_id, args, partial(_say_end, result=result))


def carry_out(ws: Workspace, run_id: int, args: argparse.Namespace, say_end: Callable[..., int]) -> int:
    """Run a stored run to its end and report it with `say_end`, or leave it to a background process; return the exit code."""
    if args.detach:
        runs.launch(ws, run_id)
        report(
            {"run": run_id}, [f"Run {run_id} runs in the background: 'glan runs {args.dir} show {run_id}'."], as_json=args.json
        )
        return 0
    return say_end(ws, work_here(ws, run_id, quiet=args.json), as_json=args.json)


def work_here(ws: Workspace, run_id: int, *, quiet: bool) -> Run:
    """Execute a stored run in this process with progress on stderr; what libraries print goes to the run's log."""
    with (
        library_output(ws.folder / "runs" / f"{run_id}.log") as stderr,
        progress(quiet=quiet, stream=stderr) as watch,
    ):

        def say_waiting(other: int) -> None:
            print(f"Waiting for run {other} to end.", file=stderr, flush=True)

        return runs.work(ws, run_id, watch, None if quiet else say_waiting)


def _say_end(ws: Workspace, run: Run, *, as_json: bool, result: Callable[[], object] | None = None) -> int:
    state = runs.state_of(run)
    said = run.message if state == "finished" else f"{state.capitalize()}: {run.message}"
    stored = {"result": result()} if as_json and result and state == "finished" else {}
    report(asdict(run) | {"state": state} | stored, [said], as_json=as_json)
    return 0 if state == "finished" else 1
