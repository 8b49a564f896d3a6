"""`glan evaluate`: what a model learned."""

import argparse

from glan_core.cli import evaluating_bench, evaluating_judge, evaluating_probe, evaluating_scaling, evaluating_tests


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add this module's commands to the parser."""
    evaluate = commands.add_parser("evaluate", help="what a model learned, by discipline")
    kinds = evaluate.add_subparsers(metavar="KIND", required=True)
    for module in (evaluating_tests, evaluating_judge, evaluating_bench, evaluating_probe, evaluating_scaling):
        module.add_kinds(kinds)
