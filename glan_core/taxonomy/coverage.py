"""Coverage: how much of its target each discipline has reached, from counters alone."""

from dataclasses import dataclass

import networkx as nx

from glan_core.taxonomy import hierarchy, tree_editing
from glan_core.workspace import Workspace, call_rows, taxonomy_rows
from glan_core.workspace.tag_rows import REASONS

MEASURES = (
    "subjects",
    "syllabi",
    "sessions",
    "concepts",
    "concepts_asked",
    "questions",
    "pairs",
    "calls",
    "cost_usd",
    "failures",
    "kept",
    "rejected",
    "starred",
    "tested",
    *(f"dropped_{reason}" for reason in REASONS),
)
ASSUMED_SUBJECTS = 100  # the paper's lower bound for a discipline, where nobody has asked for its subjects yet


@dataclass(frozen=True, slots=True)
class Coverage:
    """Where a node stands: the sums of its disciplines' counters, the pairs that those with a target want and have.

    `share` is the mean over ALL disciplines below of the share of its target that each has reached, 0 for one without a
    target, so that a field is not covered because one of its disciplines is; None where none has a target. `reached`
    counts no more pairs of a discipline than it wants. `last_at` is when the latest reply for one of them arrived.
    """

    node_id: str
    counts: dict[str, float]
    wanted: int
    reached: int
    disciplines: int
    begun: int
    share: float | None
    last_at: float | None = None

    @property
    def kept(self) -> int:
        """How many pairs the dataset takes: nobody rejected them, and no check found anything that was not overruled."""
        return int(self.counts["pairs"] - sum(self.counts[f"dropped_{reason}"] for reason in REASONS))

    @property
    def kept_share(self) -> float | None:
        """The share of pairs that the dataset takes; None without pairs."""
        return self.kept / self.counts["pairs"] if self.counts["pairs"] else None


def coverage_by_node(ws: Workspace, tree: nx.DiGraph | None = None) -> dict[str, Coverage]:
    """The standing of every live node of the taxonomy, and of the whole under the id ''.

    A discipline wants `questions_per_syllabus` pairs for each of its subjects, as many as `max_subjects` allows; before
    its subjects are known it is taken to have as many as allowed, or 100.
    """
    tree = tree_editing.tree(ws) if tree is None else tree
    counters, targets = call_rows.counters(ws.db), taxonomy_rows.targets(ws.db)
    wanted: dict[str, float] = {}
    reached: dict[str, float] = {}
    for discipline_id in hierarchy.disciplines_under(tree):
        if target := targets.get(discipline_id):
            known = counters.get(discipline_id, {}).get("subjects") or ASSUMED_SUBJECTS
            subjects = min(known, target.max_subjects or known)
            wanted[discipline_id] = subjects * target.questions_per_syllabus
            reached[discipline_id] = min(wanted[discipline_id], counters.get(discipline_id, {}).get("pairs", 0))
    live = {id: counters[id] for id in counters if id in tree}
    sums = {m: hierarchy.roll_up(tree, {id: c[m] for id, c in live.items() if m in c}) for m in MEASURES}
    shares = hierarchy.roll_up(tree, {id: reached[id] / wanted[id] if wanted[id] else 1.0 for id in wanted})
    of_wanted, of_reached = hierarchy.roll_up(tree, wanted), hierarchy.roll_up(tree, reached)
    numbers = hierarchy.roll_up(tree, dict.fromkeys(hierarchy.disciplines_under(tree), 1))
    begun = hierarchy.roll_up(tree, {id: 1 for id, c in live.items() if c.get("subjects")})

    with_target = hierarchy.roll_up(tree, dict.fromkeys(wanted, 1))
    latest = hierarchy.roll_up(tree, {id: c["last_at"] for id, c in live.items() if "last_at" in c}, max)

    def standing(node_id: str, ids: list[str]) -> Coverage:
        disciplines = sum(numbers[id] for id in ids)
        return Coverage(
            node_id, {m: sum(sums[m][id] for id in ids) for m in MEASURES}, int(sum(of_wanted[id] for id in ids)),
            int(sum(of_reached[id] for id in ids)), disciplines, sum(begun[id] for id in ids),
            sum(shares[id] for id in ids) / disciplines if any(with_target[id] for id in ids) else None,
            max((latest[id] for id in ids), default=0) or None,
        )  # fmt: skip

    tops = [id for id, parents in tree.in_degree() if parents == 0]
    return {"": standing("", tops), **{id: standing(id, [id]) for id in tree}}
