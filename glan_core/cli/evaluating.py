"""`glan evaluate`: what a model learned."""

import argparse

from glan_core.cli import evaluating_bench


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add this module's commands to the parser."""
    evaluate = commands.add_parser("evaluate", help="what a model learned, by discipline")
    kinds = evaluate.add_subparsers(metavar="KIND", required=True)
    for module in (evaluating_bench,):
        module.add_kinds(kinds)
