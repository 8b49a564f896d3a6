"""`glan connections`: saved endpoints of the user, and the default teachers of a workspace."""

import argparse

from glan_core.cli.output import report, table
from glan_core.errors import GlanError
from glan_core.generation.default_teachers import EVERY_STAGE, default_teachers, set_default_teacher
from glan_core.settings import read_settings
from glan_core.settings_options import add_options, given_values
from glan_core.teachers.connections import (
    MARK,
    PROVIDERS,
    Connection,
    file_path,
    get_connection,
    list_connections,
    remove_connection,
    save_connection,
)
from glan_core.teachers.endpoint_check import check_endpoint
from glan_core.workspace import Workspace


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add the commands of this module."""
    top = commands.add_parser(
        "connections", help="save endpoints under names, test them, and set a workspace's default teachers"
    )
    actions = top.add_subparsers(dest="action", metavar="ACTION", required=True)

    listed = actions.add_parser("list", help="list the saved connections and the templates of providers")
    listed.set_defaults(command=_list)

    add = actions.add_parser("add", help="save a connection, from a template or from its address")
    add.add_argument("name", metavar="NAME")
    add.add_argument("--provider", choices=PROVIDERS, help="template for address, key variable and price")
    add_options(add, Connection, skip=("name",))
    add.add_argument("--replace", action="store_true", help="replace a connection of this name")
    add.set_defaults(command=_add)

    for action, function, text in (
        ("remove", _remove, "remove a connection"),
        ("test", _test, "request one token from a connection"),
    ):
        parser = actions.add_parser(action, help=text)
        parser.add_argument("name", metavar="NAME")
        parser.set_defaults(command=function)

    default = actions.add_parser("default", help="show or set the default teachers of a workspace")
    default.add_argument("dir", metavar="DIR")
    default.add_argument("stage", nargs="?", metavar="STAGE", help=f"stage, or {EVERY_STAGE}")
    default.add_argument(
        "teacher", nargs="?", metavar="TEACHER", help="@NAME, openai:MODEL, local:PATH, scripted, or none to remove it"
    )
    default.set_defaults(command=_default)
    for parser in (*actions.choices.values(),):
        parser.add_argument("--json", action="store_true")


def _list(args: argparse.Namespace) -> None:
    saved = list_connections()
    rows = [(f"{MARK}{c.name}", c.model, c.base_url or "", c.key_variable or "") for c in saved]
    lines = table(rows, ("name", "model", "URL", "key variable")) if rows else ["No connections are saved."]
    lines += ["", f"Saved in {file_path()}. Templates: {', '.join(PROVIDERS)}."]
    report([c.model_dump(mode="json") for c in saved], lines, as_json=args.json)


def _add(args: argparse.Namespace) -> None:
    given = given_values(args, Connection, skip=("name",))
    if args.provider:
        template = PROVIDERS[args.provider]
        start = {"base_url": template.base_url, "key_variable": template.key_variable, "price": template.price}
        given = start | given
        if not given.get("model"):
            raise GlanError(f"Give the model with --model, for example --model {template.model}.")
        if "RESOURCE" in str(given["base_url"]):
            raise GlanError(f"Give the address of your resource: --base-url '{template.base_url}'.")
    connection = read_settings(Connection, given | {"name": args.name.removeprefix(MARK)})
    save_connection(connection, replace=args.replace)
    said = f"Saved. Use it as --teacher {MARK}{connection.name}; test it with 'glan connections test {connection.name}'."
    report(connection.model_dump(mode="json"), [said], as_json=args.json)


def _remove(args: argparse.Namespace) -> None:
    name = args.name.removeprefix(MARK)
    remove_connection(name)
    report({"removed": name}, [f"Removed {MARK}{name}."], as_json=args.json)


def _test(args: argparse.Namespace) -> int:
    connection = get_connection(args.name.removeprefix(MARK))
    found = check_endpoint(connection.model, connection)
    data = {"ok": found.ok, "state": found.state, "text": found.text, "models": list(found.models), "seconds": found.seconds}
    report(data, [found.text], as_json=args.json)
    return 0 if found.ok else 1


def _default(args: argparse.Namespace) -> None:
    ws = Workspace.open(args.dir)
    if args.stage and not args.teacher:
        raise GlanError("Give the teacher as well, or none to remove the default.")
    if args.stage:
        set_default_teacher(ws, args.stage, None if args.teacher == "none" else args.teacher)
    defaults = default_teachers(ws)
    lines = table(sorted(defaults.items()), ("stage", "teacher")) if defaults else ["The workspace has no default teachers."]
    report(defaults, lines, as_json=args.json)
