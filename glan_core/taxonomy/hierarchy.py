"""The taxonomy as a tree: field > sub-field > discipline.

A taxonomy is stored as a list of `Node` (files, database rows, proposals) and queried as a networkx tree:

    check(nodes)                        # raises TaxonomyError if invalid
    tree = tree_of(nodes)
    path(tree, "urology")               # [Applied Sciences, Medicine and health, Surgical specialties, Urology]
    roll_up(tree, {"urology": 12})      # {"applied-sciences": 12, ..., "urology": 12, "history": 0}

Depth is not uniform: the parent of a discipline is a field or any sub-field. All functions are pure.
"""

import operator
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

import networkx as nx

from glan_core.errors import GlanError
from glan_core.formatting import quoted
from glan_core.ids import MAX_SLUG, slug
from glan_core.records import Node
from glan_core.unicode_text import normalized

KINDS = ("field", "sub-field", "discipline")

# The order is fixed: figures derive the hue of a group from its index.
GROUPS = (
    "Academic-Humanities",
    "Academic-Social Science",
    "Academic-Natural Science",
    "Academic-Applied Science",
    "Academic-Formal Science",
    "Industry-Manufacturing",
    "Industry-Services",
    "Industry-Agriculture",
)

# Far above real taxonomies (the default one has 4 levels), far below the recursion limit for writing nested files.
MAX_DEPTH = 50
SIMILAR_RATIO = 0.85

_SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


class TaxonomyError(GlanError):
    """A taxonomy or taxonomy file is invalid."""


@dataclass(frozen=True, slots=True)
class TaxonomyDiff:
    """Differences between two taxonomies, with nodes matched by id; a node may be in several of the pair lists."""

    added: list[Node]
    removed: list[Node]
    renamed: list[tuple[Node, Node]]
    moved: list[tuple[Node, Node]]
    changed: list[tuple[Node, Node]]


def tree_of(nodes: Iterable[Node]) -> nx.DiGraph:
    """Build a directed graph from parent to child, with each `Node` as the attribute 'node' and the order preserved.

    The nodes are not validated; invalid nodes may yield a graph that is not a tree.
    """
    tree = nx.DiGraph()
    nodes = list(nodes)
    tree.add_nodes_from((node.id, {"node": node}) for node in nodes)
    tree.add_edges_from((node.parent_id, node.id) for node in nodes if node.parent_id is not None)
    return tree


def check(nodes: Sequence[Node], where: Mapping[str, str] | None = None) -> None:
    """Validate a taxonomy; an empty list is a valid empty taxonomy.

    Sub-fields without children and fields without a group are valid.

    Args:
        nodes: The nodes.
        where: Location of each id in its file ('line 12'), for messages.

    Raises:
        TaxonomyError: If an id is duplicated or not a slug, a name is empty or not trimmed, a kind or group is unknown, a node
            other than a field has a group, a parent is missing or a discipline, parents form a cycle, a field has a parent or
            another node has none, the tree is deeper than MAX_DEPTH, or siblings share a name.
    """
    where = where or {}

    def place(node_id: str) -> str:
        return where.get(node_id) or f"node {quoted(node_id)}"

    by_id: dict[str, Node] = {}
    for node in nodes:
        if node.id in by_id:
            raise TaxonomyError(f"{place(node.id)}: the id {quoted(node.id)} is used twice; ids must be unique")
        by_id[node.id] = node
        _check_node(node, place(node.id))
    for node in nodes:
        if node.parent_id is not None and node.parent_id not in by_id:
            raise TaxonomyError(f"{place(node.id)}: the parent {quoted(node.parent_id)} does not exist")
    tree = tree_of(nodes)
    _check_cycles(tree, place)
    for node in nodes:
        _check_parent(node, by_id, place(node.id))
    _check_depth(tree, place)
    _check_siblings(nodes, place)


def _check_node(node: Node, place: str) -> None:
    """Validate a node on its own."""
    if not _SLUG.fullmatch(node.id) or len(node.id) > MAX_SLUG:
        raise TaxonomyError(
            f"{place}: the id {quoted(node.id)} must be 1 to {MAX_SLUG} lowercase letters a-z, digits and "
            f"single hyphens; for example {quoted(slug(node.name))}"
        )
    if not node.name.strip():
        raise TaxonomyError(f"{place}: the name of {quoted(node.id)} is empty")
    if node.name != node.name.strip():
        raise TaxonomyError(f"{place}: the name {quoted(node.name)} begins or ends with a space; remove it")
    if any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in node.name):
        raise TaxonomyError(f"{place}: the name {quoted(node.name)} must be one line without control characters")
    if any(unicodedata.category(c) == "Cs" for c in node.description):
        raise TaxonomyError(f"{place}: the description of {quoted(node.id)} contains a lone surrogate")
    if node.kind not in KINDS:
        raise TaxonomyError(f"{place}: the kind {quoted(node.kind)} is unknown; it is one of {', '.join(KINDS)}")
    if node.group is None:
        return
    if node.kind != "field":
        raise TaxonomyError(
            f"{place}: {quoted(node.id)} is a {node.kind}, but only fields have a group; their descendants inherit it"
        )
    if node.group not in GROUPS:
        raise TaxonomyError(f"{place}: the group {quoted(node.group)} is unknown; it is one of {', '.join(GROUPS)}")


def _check_parent(node: Node, by_id: Mapping[str, Node], place: str) -> None:
    """Validate the parent of a node."""
    if node.kind == "field" and node.parent_id is not None:
        raise TaxonomyError(
            f"{place}: the field {quoted(node.id)} has the parent {quoted(node.parent_id)}; fields are at the top level, "
            "so make it a sub-field or remove the parent"
        )
    if node.kind != "field" and node.parent_id is None:
        raise TaxonomyError(f"{place}: the {node.kind} {quoted(node.id)} has no parent; only fields are at the top level")
    if node.parent_id is not None and by_id[node.parent_id].kind == "discipline":
        raise TaxonomyError(
            f"{place}: the parent of {quoted(node.id)} is the discipline {quoted(node.parent_id)}, but disciplines are "
            "leaves; make the parent a sub-field or choose another parent"
        )


def _check_cycles(tree: nx.DiGraph, place: Callable[[str], str]) -> None:
    """Check that the parents form no cycle."""
    try:
        edges = nx.find_cycle(tree)
    except nx.NetworkXNoCycle:
        return
    ids = [parent for parent, _ in edges]
    raise TaxonomyError(f"{place(ids[0])}: the parents form a cycle, {' > '.join([*ids, ids[0]])}; change one of the parents")


def _check_depth(tree: nx.DiGraph, place: Callable[[str], str]) -> None:
    """Check that no node is deeper than MAX_DEPTH levels."""
    depth: dict[str, int] = {}
    for node_id in nx.topological_sort(tree):
        depth[node_id] = 1 + max((depth[parent] for parent in tree.predecessors(node_id)), default=0)
        if depth[node_id] > MAX_DEPTH:
            raise TaxonomyError(f"{place(node_id)}: {quoted(node_id)} is deeper than {MAX_DEPTH} levels")


def _check_siblings(nodes: Iterable[Node], place: Callable[[str], str]) -> None:
    """Check that no two siblings have the same name, ignoring case."""
    seen: dict[tuple[str | None, str], Node] = {}
    for node in nodes:
        key = node.parent_id, normalized("NFKC", node.name).casefold()
        if key in seen:
            raise TaxonomyError(
                f"{place(node.id)}: the name {quoted(node.name)} is used twice under the same parent "
                f"({quoted(seen[key].id)} and {quoted(node.id)}); rename or remove one"
            )
        seen[key] = node


def walk(tree: nx.DiGraph, node_id: str | None = None) -> Iterator[Node]:
    """Iterate over the nodes of the tree, or of one subtree, depth first.

    Raises:
        TaxonomyError: If `node_id` is not in the tree.
    """
    if node_id is not None:
        _require(tree, node_id)
    tops = [node_id] if node_id is not None else [top for top, parents in tree.in_degree() if parents == 0]
    for top in tops:
        for found in nx.dfs_preorder_nodes(tree, top):
            yield tree.nodes[found]["node"]


def path(tree: nx.DiGraph, node_id: str) -> list[Node]:
    """Return the nodes from the field down to `node_id`, both included.

    Raises:
        TaxonomyError: If `node_id` is not in the tree.
    """
    _require(tree, node_id)
    ids = [node_id]
    while parents := list(tree.predecessors(ids[-1])):
        ids.append(parents[0])
    return [tree.nodes[found]["node"] for found in reversed(ids)]


def disciplines_under(tree: nx.DiGraph, node_id: str | None = None) -> list[str]:
    """Return the ids of the disciplines at or below a node (None for the whole tree), depth first.

    Raises:
        TaxonomyError: If `node_id` is not in the tree.
    """
    return [node.id for node in walk(tree, node_id) if node.kind == "discipline"]


def discipline(tree: nx.DiGraph, node_id: str) -> Node:
    """Return the discipline with this id.

    Raises:
        TaxonomyError: If `node_id` is not a discipline of the tree.
    """
    node = tree.nodes[node_id]["node"] if node_id in tree else None
    if node is None or node.kind != "discipline":
        raise TaxonomyError(f"{quoted(node_id)} is not a discipline of this workspace.")
    return node


def group_of(tree: nx.DiGraph, node_id: str) -> str | None:
    """Return the group that a node has or inherits, None if its field has no group.

    Raises:
        TaxonomyError: If `node_id` is not in the tree.
    """
    return next((node.group for node in reversed(path(tree, node_id)) if node.group is not None), None)


def roll_up(
    tree: nx.DiGraph, counts: Mapping[str, float], join: Callable[[float, float], float] = operator.add
) -> dict[str, float]:
    """Aggregate values over the subtree of every node.

    Args:
        tree: The taxonomy.
        counts: Values by node id; missing nodes count 0.
        join: Aggregation of two values, such as `operator.add` or `max`.

    Raises:
        TaxonomyError: If `counts` has a node that is not in the tree.
    """
    for node_id in counts:
        _require(tree, node_id)
    totals = {node_id: counts.get(node_id, 0) for node_id in tree}
    for node_id in reversed(list(nx.topological_sort(tree))):
        for parent_id in tree.predecessors(node_id):
            totals[parent_id] = join(totals[parent_id], totals[node_id])
    return totals


def _require(tree: nx.DiGraph, node_id: str) -> None:
    """Raise TaxonomyError unless `node_id` is in `tree`."""
    if node_id not in tree:
        raise TaxonomyError(f"The taxonomy has no node {quoted(node_id)}.")


def similar(name: str, names: Iterable[str]) -> list[tuple[str, float]]:
    """Return the names that may be spelling variants of a name with their similarity from 0 to 1, most similar first.

    Names are compared without case, punctuation and plural endings. Equal sets of words have similarity 1.0; otherwise difflib's
    ratio is used, from SIMILAR_RATIO up. Synonyms are not detected.
    """
    words = _words(name)
    matcher = SequenceMatcher(autojunk=False)
    matcher.set_seq2(" ".join(words))
    found = []
    for other in names:
        other_words = _words(other)
        if set(other_words) == set(words):
            found.append((other, 1.0))
            continue
        matcher.set_seq1(" ".join(other_words))
        if matcher.quick_ratio() >= SIMILAR_RATIO and (ratio := matcher.ratio()) >= SIMILAR_RATIO:
            found.append((other, ratio))
    return sorted(found, key=lambda pair: -pair[1])


def _words(name: str) -> list[str]:
    """Return the case-folded words of a name, without punctuation, in the singular."""
    text = normalized("NFKC", name).casefold().replace("&", " and ")
    words = "".join(" " if unicodedata.category(c).startswith("P") else c for c in text).split()
    return [_singular(word) for word in words] or [text]


def _singular(word: str) -> str:
    """Remove the English plural ending of a word; approximate, but consistent for both compared names."""
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "sses", "xes", "zes")):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > 3:
        return word[:-1]
    return word


def diff(old_nodes: Iterable[Node], new_nodes: Iterable[Node]) -> TaxonomyDiff:
    """Compare two taxonomies by id; the order of siblings is ignored."""
    old = {node.id: node for node in old_nodes}
    new = {node.id: node for node in new_nodes}
    both = [(old[node_id], node) for node_id, node in new.items() if node_id in old]
    return TaxonomyDiff(
        added=[node for node_id, node in new.items() if node_id not in old],
        removed=[node for node_id, node in old.items() if node_id not in new],
        renamed=[(before, after) for before, after in both if before.name != after.name],
        moved=[(before, after) for before, after in both if before.parent_id != after.parent_id],
        changed=[(before, after) for before, after in both if _details(before) != _details(after)],
    )


def _details(node: Node) -> tuple[str, str | None, str]:
    """Return what of a node is neither its name nor its parent."""
    return node.kind, node.group, node.description
