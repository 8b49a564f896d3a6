"""The kinds of runs that ask teachers: what each is ordered by, and the work that an order means.

Both are named as text, as `runs.jobs` names its jobs: rooms that lie behind this one, such as evaluation, have their work done by the
engine without being known to it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module


@dataclass(frozen=True, slots=True)
class Kind:
    """Where the class of a kind's orders is, and what makes the frontier of one, from (workspace, order, number of the run). Of the
    runs in a `lane` one works at a time."""

    order: str
    frontier: str
    lane: str = "teachers"


KINDS = {
    "generate": Kind("glan_core.generation.order:Order", "glan_core.generation.frontier:open_generation"),
    "propose": Kind("glan_core.generation.order:ProposalOrder", "glan_core.generation.proposals:ProposalFrontier"),
    "redo": Kind("glan_core.generation.order:RedoOrder", "glan_core.generation.redo:open_redo"),
    "judge": Kind("glan_core.generation.order:JudgeOrder", "glan_core.generation.judging:JudgeFrontier"),
    "judge-models": Kind(
        "glan_core.evaluation.orders:JudgeModelsOrder", "glan_core.evaluation.pairwise:JudgeModelsFrontier", "training"
    ),
    "lookalikes": Kind("glan_core.evaluation.probe_order:LookalikeOrder", "glan_core.evaluation.lookalikes:LookalikeFrontier"),
}


def named(place: str) -> Callable:
    """What 'module:name' stands for."""
    module, name = place.split(":")
    return getattr(import_module(module), name)
