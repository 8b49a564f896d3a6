"""The taxonomy: the tree field > sub-field > discipline below which all else is generated.

A taxonomy travels as a list of `Node` (files, database rows, proposals) and is asked questions as a networkx tree:

    check(nodes)                        # is it a taxonomy at all?
    tree = tree_of(nodes)
    path(tree, "urology")               # [Applied Sciences, Medicine and health, Surgical specialties, Urology]
    roll_up(tree, {"urology": 12})      # {"applied-sciences": 12, ..., "urology": 12, "history": 0}

Depth is not uniform: a discipline may hang from a field or from any sub-field. Everything here is a pure function.
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

KINDS = ("field", "sub-field", "discipline")

# The order is fixed: pictures take the hue of a group from its place here.
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

# Far above any real taxonomy (ours has 4 levels), far below the recursion limit that writing a nested file would hit.
MAX_DEPTH = 50
SIMILAR_RATIO = 0.85

_SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


class TaxonomyError(GlanError):
    """A taxonomy, or a file that should hold one, is not what it must be."""


@dataclass(frozen=True, slots=True)
class TaxonomyDiff:
    """What changed between two taxonomies, nodes matched by id; a node may stand in several of the pair lists."""

    added: list[Node]
    removed: list[Node]
    renamed: list[tuple[Node, Node]]
    moved: list[tuple[Node, Node]]
    changed: list[tuple[Node, Node]]


def tree_of(nodes: Iterable[Node]) -> nx.DiGraph:
    """The tree of `nodes`: edges from parent to child, each `Node` under the attribute 'node', given order kept.

    It does not check: of nodes that `check` would refuse it makes a graph that is no tree.
    """
    tree = nx.DiGraph()
    nodes = list(nodes)
    tree.add_nodes_from((node.id, {"node": node}) for node in nodes)
    tree.add_edges_from((node.parent_id, node.id) for node in nodes if node.parent_id is not None)
    return tree


def check(nodes: Sequence[Node], where: Mapping[str, str] | None = None) -> None:
    """Make sure that `nodes` are a taxonomy; no nodes at all are an empty one.

    `where` tells for an id where its node was written ('line 12'), for the message. A sub-field without children is
    fine (a draft has them), and so is a field without a group.

    Raises TaxonomyError at the first of: an id used twice or not a slug, an empty or untidy name, an unknown kind or
    group, a group on anything but a field, an unknown parent, a cycle, a field with a parent or another node without
    one, a discipline with children, more than MAX_DEPTH levels, siblings with the same name.
    """
    where = where or {}

    def place(node_id: str) -> str:
        return where.get(node_id) or f"node {quoted(node_id)}"

    by_id: dict[str, Node] = {}
    for node in nodes:
        if node.id in by_id:
            raise TaxonomyError(f"{place(node.id)}: the id {quoted(node.id)} is used twice; every node needs its own")
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
    """Raise TaxonomyError for what is wrong with `node` on its own."""
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
        raise TaxonomyError(f"{place}: the description of {quoted(node.id)} holds half a character (a lone surrogate)")
    if node.kind not in KINDS:
        raise TaxonomyError(f"{place}: the kind {quoted(node.kind)} is unknown; it is one of {', '.join(KINDS)}")
    if node.group is None:
        return
    if node.kind != "field":
        raise TaxonomyError(
            f"{place}: {quoted(node.id)} is a {node.kind}, but only fields state a group; the nodes below inherit it"
        )
    if node.group not in GROUPS:
        raise TaxonomyError(f"{place}: the group {quoted(node.group)} is unknown; it is one of {', '.join(GROUPS)}")


def _check_parent(node: Node, by_id: Mapping[str, Node], place: str) -> None:
    """Raise TaxonomyError if a node of this kind may not hang where `node` hangs."""
    if node.kind == "field" and node.parent_id is not None:
        raise TaxonomyError(
            f"{place}: the field {quoted(node.id)} has the parent {quoted(node.parent_id)}; fields stand at the top, "
            "so make it a sub-field or take the parent away"
        )
    if node.kind != "field" and node.parent_id is None:
        raise TaxonomyError(f"{place}: the {node.kind} {quoted(node.id)} has no parent; only fields stand at the top")
    if node.parent_id is not None and by_id[node.parent_id].kind == "discipline":
        raise TaxonomyError(
            f"{place}: {quoted(node.id)} hangs from the discipline {quoted(node.parent_id)}, but disciplines are "
            "leaves; make the parent a sub-field or choose another"
        )


def _check_cycles(tree: nx.DiGraph, place: Callable[[str], str]) -> None:
    """Raise TaxonomyError, naming the ids along it, if parents lead round in a circle."""
    try:
        edges = nx.find_cycle(tree)
    except nx.NetworkXNoCycle:
        return
    ids = [parent for parent, _ in edges]
    raise TaxonomyError(
        f"{place(ids[0])}: the parents go round in a circle, {' > '.join([*ids, ids[0]])}; give one of them another parent"
    )


def _check_depth(tree: nx.DiGraph, place: Callable[[str], str]) -> None:
    """Raise TaxonomyError if some node stands deeper than MAX_DEPTH levels."""
    depth: dict[str, int] = {}
    for node_id in nx.topological_sort(tree):
        depth[node_id] = 1 + max((depth[parent] for parent in tree.predecessors(node_id)), default=0)
        if depth[node_id] > MAX_DEPTH:
            raise TaxonomyError(f"{place(node_id)}: {quoted(node_id)} stands deeper than {MAX_DEPTH} levels")


def _check_siblings(nodes: Iterable[Node], place: Callable[[str], str]) -> None:
    """Raise TaxonomyError if two nodes under one parent have the same name, case aside."""
    seen: dict[tuple[str | None, str], Node] = {}
    for node in nodes:
        key = node.parent_id, unicodedata.normalize("NFKC", node.name).casefold()
        if key in seen:
            raise TaxonomyError(
                f"{place(node.id)}: the name {quoted(node.name)} stands twice under the same parent "
                f"({quoted(seen[key].id)} and {quoted(node.id)}); rename or remove one"
            )
        seen[key] = node


def walk(tree: nx.DiGraph, node_id: str | None = None) -> Iterator[Node]:
    """The nodes of `tree`, or of the subtree that begins with `node_id`, depth first, as a person reads.

    Raises TaxonomyError if there is no such node.
    """
    if node_id is not None:
        _require(tree, node_id)
    tops = [node_id] if node_id is not None else [top for top, parents in tree.in_degree() if parents == 0]
    for top in tops:
        for found in nx.dfs_preorder_nodes(tree, top):
            yield tree.nodes[found]["node"]


def path(tree: nx.DiGraph, node_id: str) -> list[Node]:
    """The nodes from the field at the top down to `node_id`, both included.

    Raises TaxonomyError if there is no such node.
    """
    _require(tree, node_id)
    ids = [node_id]
    while parents := list(tree.predecessors(ids[-1])):
        ids.append(parents[0])
    return [tree.nodes[found]["node"] for found in reversed(ids)]


def disciplines_under(tree: nx.DiGraph, node_id: str | None = None) -> list[str]:
    """The ids of the disciplines at or below `node_id` (None: of the whole tree), in the order of `walk`.

    Raises TaxonomyError if there is no such node.
    """
    return [node.id for node in walk(tree, node_id) if node.kind == "discipline"]


def discipline(tree: nx.DiGraph, node_id: str) -> Node:
    """The discipline of that id.

    Raises TaxonomyError if there is no such node or it is no discipline.
    """
    node = tree.nodes[node_id]["node"] if node_id in tree else None
    if node is None or node.kind != "discipline":
        raise TaxonomyError(f"{quoted(node_id)} is no discipline of this workspace.")
    return node


def group_of(tree: nx.DiGraph, node_id: str) -> str | None:
    """The group that `node_id` states or inherits, or None where its field states none.

    Raises TaxonomyError if there is no such node.
    """
    return next((node.group for node in reversed(path(tree, node_id)) if node.group is not None), None)


def roll_up(
    tree: nx.DiGraph, counts: Mapping[str, float], join: Callable[[float, float], float] = operator.add
) -> dict[str, float]:
    """For every node of `tree` the sum of `counts` at and below it; disciplines that are not in `counts` count 0. `join`
    takes the place of the sum, such as max.

    Raises TaxonomyError if `counts` names a node that is not in the tree, whose number would otherwise vanish.
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
        raise TaxonomyError(f"the taxonomy has no node {quoted(node_id)}")


def similar(name: str, names: Iterable[str]) -> list[tuple[str, float]]:
    """Those of `names` that may be `name` written otherwise, with a ratio from 0 to 1, the most alike first.

    Compared are the words without case, punctuation and plural. The same words in any order count 1.0, else difflib's
    ratio decides, from SIMILAR_RATIO up. It flags for a person to judge, and knows no synonyms.
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
    """The words of `name`, casefolded, without punctuation, in the singular."""
    text = unicodedata.normalize("NFKC", name).casefold().replace("&", " and ")
    words = "".join(" " if unicodedata.category(c).startswith("P") else c for c in text).split()
    return [_singular(word) for word in words] or [text]


def _singular(word: str) -> str:
    """`word` without its English plural ending; crude, but the same for both names that are compared."""
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "sses", "xes", "zes")):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > 3:
        return word[:-1]
    return word


def diff(old_nodes: Iterable[Node], new_nodes: Iterable[Node]) -> TaxonomyDiff:
    """What leads from `old_nodes` to `new_nodes`: an id that is gone was removed, one that is new was added.

    `renamed` (another name), `moved` (another parent) and `changed` (another kind, group or description) hold pairs of
    the old and the new node. The order of siblings is not compared.
    """
    old = {node.id: node for node in old_nodes}
    new = {node.id: node for node in new_nodes}
    both = [(old[node_id], node) for node_id, node in new.items() if node_id in old]
    return TaxonomyDiff(
        added=[node for node_id, node in new.items() if node_id not in old],
        removed=[node for node_id, node in old.items() if node_id not in new],
        renamed=[(was, now) for was, now in both if was.name != now.name],
        moved=[(was, now) for was, now in both if was.parent_id != now.parent_id],
        changed=[(was, now) for was, now in both if _details(was) != _details(now)],
    )


def _details(node: Node) -> tuple[str, str | None, str]:
    """What of a node is neither its name nor its place."""
    return node.kind, node.group, node.description
