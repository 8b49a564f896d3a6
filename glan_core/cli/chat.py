"""`glan serve-models`."""

import argparse


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add this module's commands to the parser."""
    serve = commands.add_parser("serve-models", help="hold weights for chats; the studio starts this by itself")
    serve.add_argument("--idle", type=float, default=600.0, metavar="S", help="end after so many seconds without a question")
    serve.set_defaults(command=_serve)


def _serve(args: argparse.Namespace) -> None:
    from glan_core.chat import server

    server.run(args.idle)
