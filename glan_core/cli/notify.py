"""`glan notify`: the webhook that is called when a long run ends."""

import argparse
import time
from pathlib import Path

from glan_core.cli.output import report, table
from glan_core.errors import GlanError
from glan_core.runs import notifications


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add the commands of this module."""
    top = commands.add_parser("notify", help="set, show, test or remove the webhook that is called when a long run ends")
    actions = top.add_subparsers(dest="action", metavar="ACTION", required=True)
    for action, function, text in (
        ("set", _set, "set the webhook: it receives JSON when a run of more than a minute ends, fails or stops"),
        ("show", _show, "show the webhooks, without what follows their host"),
        ("test", _test, "send a notification to the webhook now"),
        ("off", _off, "remove the webhook"),
    ):
        parser = actions.add_parser(action, help=text)
        if action == "set":
            parser.add_argument("url", metavar="URL", help="address that begins with https:// or http://")
        if action != "show":
            parser.add_argument(
                "--dir",
                dest="scope",
                metavar="DIR",
                help="only for this workspace, or the workspaces of this folder (default: all)",
            )
        parser.add_argument("--json", action="store_true")
        parser.set_defaults(command=function)


def _scope(args: argparse.Namespace) -> str:
    """Return the scope of --dir.

    Raises:
        GlanError: If the folder does not exist.
    """
    if args.scope is None:
        return notifications.EVERYWHERE
    path = Path(args.scope).expanduser().absolute()
    if not args.scope.strip() or not path.is_dir():
        raise GlanError(f"{args.scope or 'DIR'} is not a folder. Give a workspace, or a folder of workspaces.")
    return str(path)


def _name(scope: str) -> str:
    return scope or "all workspaces"


def _set(args: argparse.Namespace) -> None:
    scope = _scope(args)
    notifications.set_webhook(args.url, scope)
    host = notifications.host_of(args.url.strip())
    report(
        {"scope": scope, "host": host}, [f"Set for {_name(scope)}: {host}. Try it with 'glan notify test'."], as_json=args.json
    )


def _show(args: argparse.Namespace) -> None:
    known = [(scope, notifications.host_of(url)) for scope, url in sorted(notifications.webhooks().items())]
    lines = table([(_name(scope), host) for scope, host in known], ("for", "webhook")) if known else ["No webhook is set."]
    lines += ["", f"Saved in {notifications.settings_path()}."]
    report([{"scope": scope, "host": host} for scope, host in known], lines, as_json=args.json)


def _test(args: argparse.Namespace) -> None:
    scope = _scope(args)
    found = notifications.webhook_of(Path(scope)) if scope else None
    url = found[1] if found else notifications.webhooks().get(notifications.EVERYWHERE)
    if url is None:
        raise GlanError(f"There is no webhook for {_name(scope)}. Set one with 'glan notify set URL'.")
    notifications.send(url, notifications.test_payload(Path(scope).name, time.time()))
    host = notifications.host_of(url)
    report({"host": host, "accepted": True}, [f"{host} accepted the notification."], as_json=args.json)


def _off(args: argparse.Namespace) -> None:
    scope = _scope(args)
    notifications.set_webhook(None, scope)
    report({"removed": scope}, [f"Removed the webhook for {_name(scope)}."], as_json=args.json)
