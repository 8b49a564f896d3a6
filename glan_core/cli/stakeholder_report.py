"""`glan report`."""

import argparse
from pathlib import Path

from glan_core.cli.output import report
from glan_core.formatting import size
from glan_core.workspace import Workspace


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add the commands of this module."""
    one = commands.add_parser("report", help="write a report of the workspace as one HTML file, offline and printable")
    one.add_argument("dir", metavar="DIR")
    one.add_argument("--out", metavar="FILE", required=True, help="HTML file to write, such as report.html")
    one.add_argument("--card", metavar="FILE", help="also write the dataset card as Markdown, such as card.md")
    one.add_argument("--force", action="store_true", help="replace an earlier report or card")
    one.add_argument("--json", action="store_true")
    one.set_defaults(command=_report)


def _report(args: argparse.Namespace) -> None:
    from glan_core.operations.stakeholder_report.stakeholder_report import write_card, write_report

    ws = Workspace.open(args.dir)
    written = {"report": args.out, "bytes": write_report(ws, Path(args.out), force=args.force)}
    lines = [f"Wrote {args.out} ({size(written['bytes'])}). Open it in a browser; print it there to get a PDF."]
    if args.card is not None:
        written["card"] = args.card
        write_card(ws, Path(args.card), force=args.force)
        lines.append(f"Wrote {args.card}.")
    report(written, lines, as_json=args.json)
