"""`glan taxonomy`: show, edit, import, export and extend the taxonomy."""

import argparse
import os
import re
import sys
from dataclasses import asdict
from pathlib import Path

from glan_core import runs
from glan_core.cli.output import report, say, table
from glan_core.cli.run_start import work_here
from glan_core.cli.teacher_options import add_teacher_options, teacher_values
from glan_core.cli.teacher_run import failure_lines, report_end
from glan_core.errors import GlanError
from glan_core.formatting import plural, quoted, shorten
from glan_core.generation.proposals import ProposalQueue
from glan_core.generation.run import check
from glan_core.generation.settings import ProposalSettings
from glan_core.io.atomic import atomic_output
from glan_core.records import Node
from glan_core.settings import read_settings
from glan_core.settings_options import add_option, given_values
from glan_core.taxonomy import hierarchy, taxonomy_files, taxonomy_import, tree_editing
from glan_core.taxonomy.hierarchy import GROUPS, KINDS
from glan_core.taxonomy.taxonomy_changes import change_counts, changes
from glan_core.taxonomy.topics import merged
from glan_core.workspace import Workspace, call_rows, taxonomy_rows
from glan_core.workspace.output_paths import check_output

MOST_LISTED = 100  # changes printed by a dry run


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add the commands of this module."""
    parent = commands.add_parser("taxonomy", help="show, import, export, edit and extend the taxonomy")
    parent.add_argument("dir", metavar="DIR")
    actions = parent.add_subparsers(metavar="ACTION", required=True)

    def action(name: str, help: str, command, *arguments: str) -> argparse.ArgumentParser:
        parser = actions.add_parser(name, help=help)
        for argument in arguments:
            parser.add_argument(argument.lower(), metavar=argument)
        parser.add_argument(
            "--who", default=tree_editing.default_user(), help="name recorded with the change (default: %(default)s)"
        )
        parser.add_argument("--json", action="store_true")
        parser.set_defaults(command=command)
        return parser

    show = action("show", "print the tree", _show)
    show.add_argument("--under", metavar="ID", help="only this node and its descendants")
    imports = action(
        "import", f"replace the taxonomy with that of a file or folder: {taxonomy_import.FORMATS}", _import, "FILE"
    )
    imports.add_argument("--add", action="store_true", help="add its nodes to the taxonomy; remove, move and rename nothing")
    imports.add_argument("--dry-run", action="store_true", help="only show what would change")
    action("export", "write the taxonomy to a .yaml or .json file", _export, "FILE")
    add = action("add", "add a node: 'Field / Sub-field / Name', with spaces around the slashes", _add, "PATH")
    add.add_argument("--kind", choices=KINDS, default="discipline", help="kind of the new node (default: %(default)s)")
    add.add_argument("--group", choices=GROUPS, help="group of a new field")
    add.add_argument("--description", default="")
    action("rename", "rename a node", _rename, "ID", "NAME")
    action("move", "move a node to another parent", _move, "ID", "PARENT")
    action("remove", "remove a node and its descendants", _remove, "ID")
    action("restore", "restore a removed node", _restore, "ID")
    action("undo", "undo a change; 'history' lists their IDs", _undo, "CHANGE")
    action("history", "list changes: who, what, when", _history)
    propose = action("propose", "have a teacher propose nodes below a node", _propose)
    propose.add_argument("--under", metavar="ID", required=True, help="node to extend")
    add_option(propose, ProposalSettings, "count")
    add_teacher_options(propose)
    action("proposals", "list the open proposals with their votes", _proposals)
    vote = action("vote", "vote on a proposal or a node", _vote, "ID")
    vote.add_argument("verdict", choices=("keep", "remove"))
    action("decide", "apply the votes: the majority decides; a removal includes the descendants", _decide)


def _show(args: argparse.Namespace) -> None:
    ws = Workspace.open(args.dir)
    tree = tree_editing.tree(ws)
    nodes = list(hierarchy.walk(tree, args.under))
    lines = [f"{'  ' * (len(hierarchy.path(tree, n.id)) - 1)}{n.name}  ({n.id}, {n.kind})" for n in nodes]
    report(_plain(nodes), lines or ["The taxonomy is empty. Import one, or add a field."], as_json=args.json)


def _import(args: argparse.Namespace) -> None:
    ws = Workspace.open(args.dir)
    old = taxonomy_rows.nodes(ws.db)
    found = taxonomy_import.read_import(args.file, old)
    nodes = merged(found.nodes, old) if args.add else found.nodes
    diff = hierarchy.diff(old, nodes)
    listed = changes(diff, old, nodes) if args.dry_run else []
    if not args.dry_run:
        tree_editing.import_nodes(ws, nodes, args.who)
    parts = [f"{number:,} {part}" for part, number in change_counts(diff).items()]
    lines = [found.summary, *found.notes, ("Would be: " if args.dry_run else "Imported: ") + ", ".join(parts) + "."]
    if listed:
        rows = [
            (one.what, shorten(one.name, 40), shorten(one.where, 60), one.before, one.after) for one in listed[:MOST_LISTED]
        ]
        lines += table(rows, ("what", "name", "where", "from", "to"))
        lines += [f"… and {len(listed) - MOST_LISTED:,} more; --json lists all."] if len(listed) > MOST_LISTED else []
    report(asdict(diff) | {"form": found.form, "notes": found.notes}, lines, as_json=args.json)


def _export(args: argparse.Namespace) -> None:
    ws, path = Workspace.open(args.dir), Path(args.file).expanduser()
    kind = {".yaml": "yaml", ".yml": "yaml", ".json": "json"}.get(path.suffix.lower())
    if kind is None:
        raise GlanError(f"{path} must end in .yaml, .yml or .json.")
    check_output(ws, path, _is_taxonomy)
    nodes = taxonomy_rows.nodes(ws.db)
    with atomic_output(path, folder=False, mark=os.getpid()) as new:
        new.write_text(taxonomy_files.dump(nodes, kind, name=str(ws.metadata("name", "Taxonomy"))), encoding="utf-8")
    report({"file": str(path), "nodes": len(nodes)}, [f"Wrote {plural(len(nodes), 'node')} to {path}."], as_json=args.json)


def _is_taxonomy(path: Path) -> bool:
    try:
        return bool(taxonomy_files.read(path))
    except GlanError:
        return False


def _add(args: argparse.Namespace) -> None:
    ws = Workspace.open(args.dir)
    *parents, name = map(str.strip, re.split(r"(?<=\s)/(?=\s)", args.path))
    if bool(parents) == (args.kind == "field"):
        raise GlanError(
            "A field is at the top level: give its name only." if parents else
            f"{quoted(name)} would be at the top level: add --kind field, or give its path, such as 'Field / {name}'."
        )  # fmt: skip
    parent_id = tree_editing.node_at(ws, parents)
    node = tree_editing.add(
        ws, name, parent_id, args.who, kind=args.kind, group=args.group, description=args.description
    )  # fmt: skip
    report(asdict(node), [f"Added the {node.kind} {node.name} (ID {node.id})."], as_json=args.json)


def _rename(args: argparse.Namespace) -> None:
    node = tree_editing.rename(Workspace.open(args.dir), args.id, args.name, args.who)
    report(asdict(node), [f"{node.id} is now named {node.name}."], as_json=args.json)


def _move(args: argparse.Namespace) -> None:
    node = tree_editing.move(Workspace.open(args.dir), args.id, args.parent, args.who)
    report(asdict(node), [f"{node.name} is now below {node.parent_id}."], as_json=args.json)


def _remove(args: argparse.Namespace) -> None:
    gone = tree_editing.remove(Workspace.open(args.dir), args.id, args.who)
    back = f"'glan taxonomy {args.dir} restore {args.id}' brings {'it' if len(gone) == 1 else 'them'} back"
    lines = [f"Removed {plural(len(gone), 'node')}; {back}."]
    report(_plain(gone), lines, as_json=args.json)


def _restore(args: argparse.Namespace) -> None:
    back = tree_editing.restore(Workspace.open(args.dir), args.id, args.who)
    report(_plain(back), [f"Restored {plural(len(back), 'node')}."], as_json=args.json)


def _undo(args: argparse.Namespace) -> None:
    done = tree_editing.undo(Workspace.open(args.dir), args.change, args.who)
    lines = [f"Undid {args.change}. To redo it: 'glan taxonomy {args.dir} undo {done[0].batch}'."]
    report([asdict(event) for event in done], lines, as_json=args.json)


def _plain(nodes: list[Node]) -> list[dict]:
    return [asdict(node) for node in nodes]


def _history(args: argparse.Namespace) -> None:
    from datetime import datetime

    events = taxonomy_rows.events(Workspace.open(args.dir).db)
    rows = [(datetime.fromtimestamp(e.at).strftime("%Y-%m-%d %H:%M"), e.who, e.action, e.node_id, e.batch) for e in events]
    report([asdict(event) for event in events], table(rows, ("when", "who", "what", "node", "change")), as_json=args.json)


def _propose(args: argparse.Namespace) -> int:
    ws = Workspace.open(args.dir)
    settings = read_settings(
        ProposalSettings, teacher_values(ws, args) | given_values(args, ProposalSettings) | {"parent_id": args.under}
    )
    ProposalQueue(ws, settings, 0)  # refuses a node that cannot have children
    check(settings)
    name = hierarchy.path(tree_editing.tree(ws), args.under)[-1].name
    run_id = runs.submit(ws, "propose", f"Proposals for {name}", settings.model_dump(mode="json"))
    run = work_here(ws, run_id, quiet=args.json)
    if run.state != "finished":
        return report_end(ws, run, as_json=args.json)
    _proposals(args)
    for line in (failed := failure_lines(call_rows.failure_groups(ws.db, run.id))):
        say(line, file=sys.stderr)
    return 1 if failed else 0


def _proposals(args: argparse.Namespace) -> None:
    ws = Workspace.open(args.dir)
    tallies = taxonomy_rows.vote_counts(ws.db)
    open_ones = taxonomy_rows.proposals(ws.db)
    rows = []
    for p in open_ones:
        keep, remove = tallies.get(p.id, (0, 0))
        rows.append((p.id, p.name, p.kind, p.parent_id, keep, remove, ", ".join(p.similar_to)))
    lines = table(rows, ("id", "name", "kind", "under", "keep", "remove", "similar to")) if rows else ["No open proposals."]
    report([asdict(p) | {"votes": tallies.get(p.id, (0, 0))} for p in open_ones], lines, as_json=args.json)


def _vote(args: argparse.Namespace) -> None:
    tree_editing.vote(Workspace.open(args.dir), args.id, keep=args.verdict == "keep", voter=args.who)
    data = {"id": args.id, "verdict": args.verdict, "who": args.who}
    report(data, [f"{args.who} votes to {args.verdict} {args.id}."], as_json=args.json)


def _decide(args: argparse.Namespace) -> None:
    verdict = tree_editing.apply_votes(Workspace.open(args.dir), args.who)
    counts = (len(verdict.added), len(verdict.rejected), len(verdict.removed))
    report(asdict(verdict), ["Added {:,}, rejected {:,}, removed {:,} nodes.".format(*counts)], as_json=args.json)
