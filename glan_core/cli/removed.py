"""`glan removed`: list, restore or permanently delete what was removed from a workspace."""

import argparse
from dataclasses import asdict

from glan_core.cli.output import report, table
from glan_core.errors import GlanError
from glan_core.formatting import ago, plural, size
from glan_core.operations import removals
from glan_core.workspace import Workspace


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add the commands of this module."""
    removed = commands.add_parser(
        "removed", help="list, restore or permanently delete removed models, snapshots, tests, chats and rows"
    )
    removed.add_argument("dir", metavar="DIR", help="workspace folder")
    removed.add_argument("action", choices=("list", "restore", "purge"), help="purge deletes permanently")
    removed.add_argument("key", nargs="?", metavar="KEY", help="as listed; 'all' purges everything")
    removed.add_argument("--json", action="store_true")
    removed.set_defaults(command=_removed)


def _removed(args: argparse.Namespace) -> None:
    ws = Workspace.open(args.dir)
    if args.action == "list":
        found = removals.list_removals(ws)
        rows = [(one.key, one.kind, one.name, size(one.bytes) if one.bytes else "–", ago(one.at)) for one in found]
        lines = table(rows, ("key", "kind", "name", "size", "removed")) if rows else ["No removed items."]
        report([asdict(one) for one in found], lines, as_json=args.json)
        return
    if not args.key:
        raise GlanError(f"Give the key of what to {args.action}, as listed by: glan removed {args.dir} list.")
    if args.action == "restore":
        one = removals.restore(ws, args.key)
        report(asdict(one), [f"Restored the {one.kind} {one.name}."], as_json=args.json)
        return
    keys = [one.key for one in removals.list_removals(ws)] if args.key == "all" else [args.key]
    gone = [removals.purge(ws, key) for key in keys]
    freed = sum(one.bytes for one in gone)
    report(
        [asdict(one) for one in gone],
        [f"Deleted {plural(len(gone), 'removed item')} permanently ({size(freed)})."],
        as_json=args.json,
    )
