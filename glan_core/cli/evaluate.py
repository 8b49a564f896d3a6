"""`glan evaluate`: what a model learned."""

import argparse

from glan_core.cli import evaluate_bench, evaluate_glan_test, evaluate_judge, evaluate_probe, evaluate_scaling


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add this module's commands to the parser."""
    evaluate = commands.add_parser("evaluate", help="what a model learned, by discipline")
    kinds = evaluate.add_subparsers(metavar="KIND", required=True)
    for module in (evaluate_glan_test, evaluate_judge, evaluate_bench, evaluate_probe, evaluate_scaling):
        module.add_kinds(kinds)
