"""Coverage: how much of its target each discipline has reached, computed from counters."""

from collections.abc import Mapping
from dataclasses import dataclass

import networkx as nx

from glan_core.formatting import number, plural, spent
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
    "unpriced",
    "failures",
    "kept",
    "rejected",
    "starred",
    "tested",
    *(f"dropped_{reason}" for reason in REASONS),
)
ASSUMED_SUBJECTS = 100  # the paper's lower bound per discipline, used until its subjects are known


@dataclass(frozen=True, slots=True)
class Coverage:
    """Progress of a node of the taxonomy, summed over its disciplines.

    Attributes:
        node_id: Id of the node, '' for the whole taxonomy.
        counts: Sum of each counter.
        wanted: Target number of pairs.
        reached: Number of pairs, capped per discipline at its target.
        disciplines: Number of disciplines.
        begun: Number of disciplines with subjects.
        share: Mean fraction of the target that the disciplines reached, with 0 for disciplines without a target; None if no
            discipline has a target.
        last_at: Time of the latest reply, in seconds since 1970.
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
    def partly_begun(self) -> bool:
        """Whether some of the disciplines have subjects and others have none."""
        return 0 < self.begun < self.disciplines

    @property
    def cost(self) -> str:
        """Cost of the calls, such as '$1.20' or 'price unknown'."""
        return spent(self.counts["cost_usd"], unpriced=self.counts["unpriced"] > 0)

    @property
    def kept(self) -> int:
        """Number of pairs in the dataset: not rejected and without an active tag."""
        return int(self.counts["pairs"] - sum(self.counts[f"dropped_{reason}"] for reason in REASONS))

    @property
    def kept_share(self) -> float | None:
        """Fraction of the pairs that are in the dataset, None without pairs."""
        return self.kept / self.counts["pairs"] if self.counts["pairs"] else None


def coverage_by_node(ws: Workspace, tree: nx.DiGraph | None = None) -> dict[str, Coverage]:
    """Return the coverage of every live node, and of the whole taxonomy under the id ''.

    The target of a discipline is `questions_per_syllabus` pairs for each subject, up to `max_subjects`. Until its subjects are
    known, it is assumed to have `max_subjects`, or 100.
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

    def coverage(node_id: str, ids: list[str]) -> Coverage:
        disciplines = int(sum(numbers[id] for id in ids))
        return Coverage(
            node_id, {m: sum(sums[m][id] for id in ids) for m in MEASURES}, int(sum(of_wanted[id] for id in ids)),
            int(sum(of_reached[id] for id in ids)), disciplines, int(sum(begun[id] for id in ids)),
            sum(shares[id] for id in ids) / disciplines if any(with_target[id] > 0 for id in ids) else None,
            max((latest[id] for id in ids), default=0) or None,
        )  # fmt: skip

    tops = [id for id, parents in tree.in_degree() if parents == 0]
    return {"": coverage("", tops), **{id: coverage(id, [id]) for id in tree}}


def coverage_sentence(standings: Mapping[str, Coverage], node_id: str, *, demo: bool) -> str:
    """Return the state of a node in one sentence.

    Args:
        standings: Coverage by node, that of the whole under ''.
        node_id: Id of the node.
        demo: Whether it is the demo, which covers few disciplines on purpose.
    """
    if not standings[""].disciplines:
        return "The taxonomy has no disciplines yet"
    standing = standings[node_id]
    counts = standing.counts
    share = f"{standing.share:.1%} of the target reached" if standing.share is not None else "no target yet"
    if demo and standing.disciplines > 1:
        share = plural(int(counts["concepts"]), "key concept")
    if standing.disciplines == 1:
        return (
            f"{number(counts['syllabi'])} of {plural(int(counts['subjects']), 'subject')} have a syllabus · "
            f"{plural(int(counts['pairs']), 'pair')} · {share}"
        )
    return f"{standing.begun} of {standing.disciplines} disciplines started · {plural(int(counts['pairs']), 'pair')} · {share}"
