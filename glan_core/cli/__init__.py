"""The command line: `glan COMMAND`, also `python -m glan_core COMMAND`.

Exit code 0: fine; 1: the work failed; 2: bad usage or input, with one line on stderr.
"""

import argparse
import os
import sys
from collections.abc import Sequence

from glan_core import __version__
from glan_core.errors import GlanError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    args = _parser().parse_args(argv)
    try:
        return args.command(args) or 0
    except GlanError as error:
        print(f"glan: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `glan show ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    from glan_core.cli import generating, rows, setup, taxonomies

    parser = argparse.ArgumentParser(prog="glan", description="From a taxonomy of human knowledge to instruction pairs.")
    parser.add_argument("--version", action="version", version=f"glan {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for module in (setup, taxonomies, generating, rows):
        module.add_commands(commands)
    return parser
