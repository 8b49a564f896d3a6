"""`glan show` and `glan export`."""

import argparse
from dataclasses import asdict

from glan_core import provenance, taxonomy, taxonomy_edit
from glan_core.cli.output import report
from glan_core.dataset.export import FORMATS, export
from glan_core.wording import exact, usd
from glan_core.workspace import Workspace, record_rows


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add this module's commands to the parser."""
    show = commands.add_parser("show", help="a row and its whole chain of provenance")
    show.add_argument("dir", metavar="DIR")
    show.add_argument("id", metavar="ID", help="of a pair, syllabus, subject, session, concept or taxonomy node")
    show.add_argument("--prompts", action="store_true", help="print the prompts too")
    show.add_argument("--json", action="store_true")
    show.set_defaults(command=_show)

    out = commands.add_parser("export", help="write the pairs to a file")
    out.add_argument("dir", metavar="DIR")
    out.add_argument("--format", choices=FORMATS, default="chat")
    out.add_argument("--out", metavar="FILE", required=True)
    out.add_argument("--disciplines", metavar="ID,ID", help="only these, or those below these nodes")
    scripted = out.add_mutually_exclusive_group()
    scripted.add_argument("--scripted", action="store_true", default=None, help="with the rows of the scripted teacher")
    scripted.add_argument("--no-scripted", dest="scripted", action="store_false", help="without them")
    out.add_argument("--with-rejected", action="store_true", help="with the pairs that a person rejected")
    out.add_argument("--json", action="store_true")
    out.set_defaults(command=_export)


def _show(args: argparse.Namespace) -> None:
    ws = Workspace.open(args.dir)
    links = provenance.chain(ws, args.id)
    lines, data = [], []
    for link in links:
        lines += ["", f"{link.what.upper()}  {link.title}  ({link.id})", *([link.text] if link.text else [])]
        entry = asdict(link)
        changes = record_rows.events(ws.db, link.id)
        entry["changes"] = [asdict(change) for change in changes]
        for change in changes:
            before = f", before: {taxonomy.quoted(change.before, 200)}" if isinstance(change.before, str) else ""
            lines.append(f"  {change.field} changed by {change.who} on {exact(change.at)}{before}")
        for call, stored in zip(link.calls, entry["calls"], strict=True):
            price = "price unknown" if call.cost_usd is None else usd(call.cost_usd)
            lines.append(
                f"  by {call.teacher}, prompt {call.prompt_version}, temperature {call.temperature:g}, top-p {call.top_p:g}: "
                f"{call.tokens_in:,} tokens in, {call.tokens_out:,} out, {price}, {call.latency_ms:,} ms, {call.outcome}"
            )
            if changes and call.work_id == link.id and call.stage != "sessions":
                stored["reply"] = provenance.reply_of(ws, call, link.id, link.text)
            if args.prompts or args.json:
                stored["messages"] = provenance.messages_of(ws, call)
            if args.prompts and stored["messages"]:
                lines += [f"    [{m['role']}] {m['content']}" for m in stored["messages"]]
        data.append(entry)
    report(args.json, data, lines[1:])


def _export(args: argparse.Namespace) -> None:
    ws = Workspace.open(args.dir)
    disciplines = None
    if args.disciplines:
        tree = taxonomy_edit.tree(ws)
        disciplines = [d for id in args.disciplines.split(",") for d in taxonomy.disciplines_under(tree, id.strip())]
    done = export(ws, args.out, args.format, disciplines=disciplines, scripted=args.scripted, rejected=args.with_rejected)
    left = f" {done.scripted_left_out:,} pairs of the scripted teacher were left out." if done.scripted_left_out else ""
    left += f" {done.rejected_left_out:,} rejected pairs were left out." if done.rejected_left_out else ""
    report(args.json, asdict(done), [f"Wrote {done.rows:,} pairs to {args.out}.{left}"])
