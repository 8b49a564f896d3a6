"""Changes between two taxonomies as rows for people, the same on the page and in the CLI."""

from collections.abc import Sequence
from dataclasses import dataclass

from glan_core.records import Node
from glan_core.taxonomy.hierarchy import TaxonomyDiff, path, tree_of

PARTS = ("added", "removed", "renamed", "moved", "changed")


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a node.

    Attributes:
        what: One of PARTS.
        name: Name of the node.
        where: Names above it.
        before: What it was: kind, name, parent, or what differs.
        after: What it becomes.
    """

    what: str
    name: str
    where: str
    before: str
    after: str


def change_counts(diff: TaxonomyDiff) -> dict[str, int]:
    """Return the number of changes of each kind."""
    return {part: len(getattr(diff, part)) for part in PARTS}


def changes(diff: TaxonomyDiff, old: Sequence[Node], new: Sequence[Node]) -> list[Change]:
    """Return one row per change.

    Args:
        diff: The differences.
        old: Nodes before.
        new: Nodes after.
    """
    trees = {"old": tree_of(old), "new": tree_of(new)}

    def above(which: str, node_id: str | None) -> str:
        return " › ".join(node.name for node in path(trees[which], node_id)) if node_id else "at the top"

    def name(which: str, node_id: str | None) -> str:
        return trees[which].nodes[node_id]["node"].name if node_id else "the top"

    rows = [Change("added", n.name, above("new", n.parent_id), "", n.kind) for n in diff.added]
    rows += [Change("removed", n.name, above("old", n.parent_id), n.kind, "") for n in diff.removed]
    rows += [Change("renamed", now.name, above("new", now.parent_id), was.name, now.name) for was, now in diff.renamed]
    rows += [
        Change("moved", now.name, above("new", now.parent_id), name("old", was.parent_id), name("new", now.parent_id))
        for was, now in diff.moved
    ]
    rows += [Change("changed", now.name, above("new", now.parent_id), *_details(was, now)) for was, now in diff.changed]
    return rows


def _details(was: Node, now: Node) -> tuple[str, str]:
    """Return what differs in kind, group and description."""
    pairs = ((was.kind, now.kind), (was.group, now.group), (was.description, now.description))
    parts = [(a or "none", b or "none") for a, b in pairs if a != b]
    return "; ".join(a for a, _ in parts), "; ".join(b for _, b in parts)
