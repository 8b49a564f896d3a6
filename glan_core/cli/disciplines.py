"""Disciplines named on the command line."""

from collections.abc import Iterable

from glan_core.errors import GlanError
from glan_core.taxonomy import hierarchy, tree_editing
from glan_core.workspace import Workspace


def expand(ws: Workspace, ids: Iterable[str]) -> tuple[str, ...]:
    """IDs of the disciplines that nodes stand for: a node stands for every discipline below it, "all" for every one.

    Raises:
        GlanError: If an ID is unknown, or there is no discipline below the nodes.
    """
    tree, given = tree_editing.tree(ws), [None if id == "all" else id for id in ids]
    found = tuple(dict.fromkeys(d for id in given for d in hierarchy.disciplines_under(tree, id)))
    if not found:
        raise GlanError(f"No discipline matches {', '.join(id or 'all' for id in given) or 'an empty list'}.")
    return found
