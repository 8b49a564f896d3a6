"""`glan init`, `glan doctor`, `glan serve-teacher`."""

import argparse
from dataclasses import asdict

from glan_core.cli.output import report, say
from glan_core.errors import GlanError
from glan_core.formatting import size
from glan_core.workspace import Workspace
from glan_core.workspace.workspace import FILE

LONG_CHECK = 2_000_000_000  # bytes of a database whose check takes minutes


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add the commands of this module."""
    init = commands.add_parser("init", help="create a workspace with the starter taxonomy")
    init.add_argument("dir", metavar="DIR")
    init.add_argument(
        "--demo",
        action="store_true",
        help="copy the demo: pairs of 14 disciplines, checks, a map, a tuned model and its evaluation",
    )
    init.add_argument("--json", action="store_true")
    init.set_defaults(command=_init)

    doctor = commands.add_parser("doctor", help="check versions, SQLite, disk space and the endpoint, or a workspace")
    doctor.add_argument("--workspace", metavar="DIR", help="check this workspace instead: database, counters, runs and files")
    doctor.add_argument("--repair", action="store_true", help="repair what is found in the workspace")
    doctor.add_argument("--base-url", help="OpenAI-compatible endpoint (default: OPENAI_BASE_URL, else OpenAI)")
    doctor.add_argument("--model", default="", help="model that is asked for one token (default: the first that is listed)")
    doctor.add_argument("--connection", default="", metavar="NAME", help="check this saved connection")
    doctor.add_argument("--json", action="store_true")
    doctor.set_defaults(command=_doctor)

    serve = commands.add_parser("serve-teacher", help="serve the scripted teacher as an OpenAI-compatible endpoint")
    serve.add_argument("--host", default="127.0.0.1")
    serve.add_argument("--port", type=int, default=8900, help="0 selects a free port (default: %(default)s)")
    serve.add_argument("--latency-ms", type=float, default=0, help="delay before every reply [ms]")
    serve.add_argument(
        "--fail-rate",
        type=float,
        default=0,
        help="share of requests that fail: 429, 500, resets and truncated replies as 5:2:1:1",
    )
    serve.set_defaults(command=_serve)


def _init(args: argparse.Namespace) -> None:
    from glan_core.operations import demo_workspace

    ws = demo_workspace.create_workspace(args.dir, demo=args.demo)
    lines = [f"Created {ws.folder}. Show it with 'glan status {args.dir}', or open it with 'glan studio {args.dir}'."]
    report({"folder": str(ws.folder), "name": ws.metadata("name"), "demo": args.demo}, lines, as_json=args.json)


def _doctor(args: argparse.Namespace) -> int:
    if args.workspace:
        return _check_workspace(args)
    if args.repair:
        raise GlanError("Name the workspace to repair: glan doctor --workspace DIR --repair.")
    from glan_core.operations.doctor import run_checks

    checks = []
    for check in run_checks(args.base_url, model=args.model, connection=args.connection):
        checks.append(check)
        if not args.json:
            mark = {True: "ok  ", False: "FAIL", None: "note"}[check.ok]
            say(f"{mark}  {check.name:<13} {check.text}")
    if args.json:
        report([asdict(check) for check in checks], [], as_json=True)
    return 1 if any(check.ok is False for check in checks) else 0


def _check_workspace(args: argparse.Namespace) -> int:
    """Check a workspace, and repair it on request; return 1 if something stays wrong."""
    from glan_core.operations import workspace_check

    ws = Workspace.open(args.workspace)
    if not args.json and (bytes := (ws.folder / FILE).stat().st_size) >= LONG_CHECK:
        say(f"Checking {size(bytes)}. That takes minutes on a fast disk, an hour on a slow one.")
    found: list[dict] = []
    for finding in workspace_check.find_faults(ws):
        state = "found"
        if args.repair and finding.repair:
            workspace_check.repair(ws, finding)
            state = "repaired"
        found.append({"what": finding.what, "state": state, "repairable": finding.repair is not None, "advice": finding.advice})
    marks = {"found": "FAIL", "repaired": "ok  "}
    lines = [f"{marks[one['state']]}  {one['what']} {one['advice']}".rstrip() for one in found]
    open_ones = [one for one in found if one["state"] == "found"]
    if not found:
        lines = [f"ok    {ws.folder} is consistent."]
    elif any(one["repairable"] for one in open_ones):
        lines.append(f"Repair with: glan doctor --workspace {args.workspace} --repair")
    report(found, lines, as_json=args.json)
    return 1 if open_ones else 0


def _serve(args: argparse.Namespace) -> None:
    from glan_core.teachers.scripted import http_server

    for name, value, most in (
        ("port", args.port, 65_535), ("latency-ms", args.latency_ms, 3_600_000), ("fail-rate", args.fail_rate, 1),
    ):  # fmt: skip
        if not 0 <= value <= most:  # refuses NaN as well
            raise GlanError(f"--{name} must be between 0 and {most} (got {value}).")
    http_server.run(args.host, args.port, latency_ms=args.latency_ms, faults=http_server.Faults.spread(args.fail_rate))
