"""`glan show`."""

import argparse
from dataclasses import asdict

from glan_core.cli.output import report
from glan_core.formatting import exact, quoted, usd
from glan_core.generation import provenance
from glan_core.workspace import Workspace, record_rows


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add the commands of this module."""
    show = commands.add_parser("show", help="show a record with its provenance")
    show.add_argument("dir", metavar="DIR")
    show.add_argument("id", metavar="ID", help="ID of a pair, syllabus, subject, class session, key concept or taxonomy node")
    show.add_argument("--prompts", action="store_true", help="include the prompts")
    show.add_argument("--json", action="store_true")
    show.set_defaults(command=_show)


def _show(args: argparse.Namespace) -> None:
    ws = Workspace.open(args.dir)
    links = provenance.chain(ws, args.id)
    lines, data = [], []
    for link in links:
        lines += ["", f"{link.what.upper()}  {link.title}  ({link.id})", *([link.text] if link.text else [])]
        entry = asdict(link) | {"calls": [call._asdict() for call in link.calls]}
        changes = record_rows.events(ws.db, link.id)
        entry["changes"] = [asdict(change) for change in changes]
        for change in changes:
            before = f", before: {quoted(change.before, 200)}" if isinstance(change.before, str) else ""
            lines.append(f"  {change.field} changed by {change.who} on {exact(change.at)}{before}")
        for call, stored in zip(link.calls, entry["calls"], strict=True):
            at = f" at {call.endpoint}" if call.endpoint else ""
            price = "price unknown" if call.cost_usd is None else usd(call.cost_usd)
            lines.append(
                f"  by {call.teacher}{at}, prompt {call.prompt_version}, {', '.join(provenance.sampling_of(call))}: "
                f"{call.tokens_in:,} tokens in, {call.tokens_out:,} out, {price}, {call.latency_ms:,} ms, {call.outcome}"
            )
            if changes and call.work_id == link.id and call.stage != "sessions":
                stored["reply"] = provenance.reply_of(ws, call, link.id, link.text)
            if args.prompts or args.json:
                stored["messages"] = provenance.messages_of(ws, call)
            if args.prompts and stored["messages"]:
                lines += [f"    [{m['role']}] {m['content']}" for m in stored["messages"]]
        data.append(entry)
    report(data, lines[1:], as_json=args.json)
