"""`glan evaluate`: held-out tests, judge, benchmarks, contamination probe and scaling studies."""

import argparse

from glan_core.cli import evaluate_bench, evaluate_glan_test, evaluate_judge, evaluate_probe, evaluate_scaling


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add the command and its kinds of evaluation."""
    evaluate = commands.add_parser(
        "evaluate", help="held-out tests, pairwise judge, benchmarks, contamination probe, scaling studies"
    )
    kinds = evaluate.add_subparsers(metavar="KIND", required=True)
    for module in (evaluate_glan_test, evaluate_judge, evaluate_bench, evaluate_probe, evaluate_scaling):
        module.add_kinds(kinds)
