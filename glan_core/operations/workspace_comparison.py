"""Comparison of two workspaces: counts, pairs by field, cost by stage, and settings of the latest generation run."""

from dataclasses import dataclass

from glan_core.formatting import number, spent
from glan_core.generation.stage_specs import STAGE_SPECS, stage_title
from glan_core.ids import name_key
from glan_core.runs.settings_summary import differences
from glan_core.taxonomy import coverage, hierarchy, tree_editing
from glan_core.workspace import Workspace, call_rows, run_rows
from glan_core.workspace.call_rows import StageCost
from glan_core.workspace.run_rows import Run

COUNTS = {
    "subjects": "Subjects", "syllabi": "Syllabi", "sessions": "Class sessions", "concepts": "Key concepts",
    "concepts_asked": "Key concepts with questions", "questions": "Questions", "pairs": "Pairs",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class FieldPairs:
    """Pairs of a field of the taxonomy in both workspaces; None where the taxonomy does not have the field.

    Attributes:
        field: Name of the field.
        group: Its taxonomy group, '' for none.
        pairs: Number of pairs in each workspace.
    """

    field: str
    group: str
    pairs: tuple[int | None, int | None]


@dataclass(frozen=True, slots=True)
class StageCosts:
    """Calls and cost of a stage in both workspaces.

    Attributes:
        stage: Title of the stage.
        calls: Number of calls in each workspace.
        cost: Cost in each workspace, such as '$1.20' or 'price unknown'; '–' without calls.
    """

    stage: str
    calls: tuple[int, int]
    cost: tuple[str, str]


@dataclass(frozen=True, slots=True)
class WorkspaceComparison:
    """Two workspaces side by side; each value is a pair of the first and the second one.

    Attributes:
        names: Names of their folders.
        counts: Label -> numbers.
        fields: Pairs by field, the largest first.
        stages: Cost by stage, and in total as the last row; empty without calls.
        runs: Id and title of the latest generation run, '' without one.
        settings: Label -> values, of the settings in which these runs differ; None if a workspace has no such run.
    """

    names: tuple[str, str]
    counts: dict[str, tuple[int, int]]
    fields: list[FieldPairs]
    stages: list[StageCosts]
    runs: tuple[str, str]
    settings: dict[str, tuple[str, str]] | None


def compare(first: Workspace, second: Workspace) -> WorkspaceComparison:
    """Compare two workspaces; reads counters, and every call once for the cost by stage."""
    both = (first, second)
    counts = tuple(_counts(ws) for ws in both)
    latest = [latest_generation(ws) for ws in both]
    settings = None
    if latest[0] and latest[1]:
        settings = {label: (values[0], values[1]) for label, values in differences([latest[0], latest[1]]).items()}
    return WorkspaceComparison(
        (first.folder.name, second.folder.name), {label: (counts[0][label], counts[1][label]) for label in counts[0]},
        _fields(first, second), _stages(first, second), (_run(latest[0]), _run(latest[1])), settings,
    )  # fmt: skip


def latest_generation(ws: Workspace) -> Run | None:
    """Return the latest generation run of a workspace, or None."""
    return run_rows.latest_of_kind(ws.db, "generate")


def _run(run: Run | None) -> str:
    return f"run {run.id}, {run.title}" if run else ""


def _counts(ws: Workspace) -> dict[str, int]:
    whole = coverage.coverage_by_node(ws)[""]
    counted = {label: int(whole.counts[measure]) for measure, label in COUNTS.items()}
    return {
        "Disciplines": whole.disciplines, "Disciplines with subjects": whole.begun, **counted, "Pairs in the dataset": whole.kept,
        "Target": whole.wanted, "Open failures": int(whole.counts["failures"]),
    }  # fmt: skip


def _fields(first: Workspace, second: Workspace) -> list[FieldPairs]:
    """Return the pairs of the top-level fields, matched by name."""
    found: dict[str, tuple[str, str, list[int | None]]] = {}
    for at, ws in enumerate((first, second)):
        tree = tree_editing.tree(ws)
        standings = coverage.coverage_by_node(ws, tree)
        for id in (id for id, parents in tree.in_degree() if parents == 0):
            name = tree.nodes[id]["node"].name
            entry = found.setdefault(name_key(name), (name, hierarchy.group_of(tree, id) or "", [None, None]))
            entry[2][at] = (entry[2][at] or 0) + int(standings[id].counts["pairs"])
    rows = [FieldPairs(name, group, (pairs[0], pairs[1])) for name, group, pairs in found.values()]
    return sorted(rows, key=lambda row: (-max(pairs or 0 for pairs in row.pairs), row.field))


def _stages(first: Workspace, second: Workspace) -> list[StageCosts]:
    costs = [call_rows.stage_costs(ws.db) for ws in (first, second)]
    stages = [*(name for name in STAGE_SPECS if any(name in cost for cost in costs))]
    stages += sorted({name for cost in costs for name in cost if name not in STAGE_SPECS})
    none = StageCost(0, 0.0, 0)
    rows = [_row(stage_title(stage), costs[0].get(stage, none), costs[1].get(stage, none)) for stage in stages]
    return rows and [*rows, _row("total", *(_total(cost.values()) for cost in costs))]


def _row(title: str, first: StageCost, second: StageCost) -> StageCosts:
    said = [spent(cost.usd, unpriced=cost.unpriced > 0) if cost.calls else "–" for cost in (first, second)]
    return StageCosts(title, (first.calls, second.calls), (said[0], said[1]))


def _total(costs) -> StageCost:
    found = list(costs)
    return StageCost(sum(c.calls for c in found), sum(c.usd for c in found), sum(c.unpriced for c in found))


def change(values: tuple[int, int]) -> str:
    """Return the difference of two counts with its sign: '+1,204', '-3'; '' if they are equal."""
    difference = values[1] - values[0]
    return f"{'+' if difference > 0 else '-'}{number(abs(difference))}" if difference else ""
