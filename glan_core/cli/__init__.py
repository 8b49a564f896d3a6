"""The command line: `glan COMMAND`, also `python -m glan_core COMMAND`.

Exit codes: 0 success; 1 the run failed; 2 bad usage or input, explained in one line on stderr.
"""

import argparse
import os
import sys
from collections.abc import Sequence

import apsw

from glan_core import __version__
from glan_core.cli.parser import Parser
from glan_core.errors import GlanError
from glan_core.processes import set_library_variables
from glan_core.untrusted import clean_line
from glan_core.workspace import migration


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    argv = sys.argv[1:] if argv is None else argv
    set_library_variables()
    migration.watcher.set(lambda said: print(said, file=sys.stderr, flush=True))
    try:
        "".join(argv).encode()  # undecodable bytes arrive as lone surrogates, which can be neither stored nor printed
        args = build_parser().parse_args(argv)
        if (folder := getattr(args, "dir", None)) is not None and not folder.strip():
            raise GlanError("The folder of the workspace is empty. Give its path, such as workspaces/mine.")
        return args.command(args) or 0
    except GlanError as error:
        return _refuse(str(error))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `glan show ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except UnicodeEncodeError as error:
        return _refuse(f"{error.object[error.start : error.end]!a} cannot be written as {error.encoding}.")
    except OverflowError:
        return _refuse("A number is too large to be stored.")
    except OSError as error:
        return _refuse(f"{error.filename or 'The system'}: {error.strerror or error}.")
    except apsw.Error as error:
        return _refuse(f"The workspace database cannot be used: {error}.")


def _refuse(sentence: str) -> int:
    print(f"glan: {clean_line(sentence)}", file=sys.stderr)
    return 2


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    from glan_core.cli import (
        backup,
        batch,
        bundle,
        chat,
        clean,
        connections,
        dataset,
        diversity,
        evaluate,
        finetune,
        generate,
        judge,
        notify,
        removed,
        setup,
        show,
        stakeholder_report,
        studio,
        taxonomy,
        workspace,
    )

    parser = Parser(prog="glan", description="From a taxonomy of human knowledge to instruction pairs.")
    parser.add_argument("--version", action="version", version=f"glan {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for module in (
        setup,
        studio,
        workspace,
        taxonomy,
        connections,
        notify,
        generate,
        batch,
        clean,
        show,
        diversity,
        dataset,
        judge,
        finetune,
        bundle,
        chat,
        evaluate,
        stakeholder_report,
        removed,
        backup,
    ):
        module.add_commands(commands)
    return parser
