"""Editing the taxonomy of a workspace: changes are validated and recorded."""

import getpass
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import apsw
import networkx as nx

from glan_core import access
from glan_core.formatting import quoted
from glan_core.ids import name_key, slug
from glan_core.records import Node
from glan_core.taxonomy import hierarchy
from glan_core.taxonomy.hierarchy import TaxonomyError
from glan_core.workspace import Workspace, taxonomy_rows
from glan_core.workspace.taxonomy_rows import Proposal


def tree(ws: Workspace) -> nx.DiGraph:
    """Return the live taxonomy as a networkx tree, see `hierarchy.tree_of`."""
    return hierarchy.tree_of(taxonomy_rows.nodes(ws.db))


def import_nodes(ws: Workspace, nodes: Sequence[Node], who: str) -> hierarchy.TaxonomyDiff:
    """Make the taxonomy equal to `nodes`; missing nodes are removed (and restorable), generated data is kept.

    Returns:
        The changes.

    Raises:
        TaxonomyError: If `nodes` is invalid. The taxonomy is unchanged.
    """
    hierarchy.check(nodes)
    with ws.write() as db:
        diff = hierarchy.diff(taxonomy_rows.nodes(db), nodes)
        batch = _batch()
        for node in diff.removed:
            _remove(db, batch, node, who)
        old = {node.id: node for node in taxonomy_rows.nodes(db)}
        for position, node in enumerate(
            nodes, start=1
        ):  # finding the last position for each of many nodes takes quadratic time
            if old.get(node.id) != node:
                taxonomy_rows.put_node(db, node, position=position)
                taxonomy_rows.add_event(db, batch, node.id, "import", old.get(node.id), node, who)
        taxonomy_rows.order_nodes(db, [node.id for node in nodes])
    return diff


def add(
    ws: Workspace, name: str, parent_id: str | None, who: str, *, kind: str | None = None, group: str | None = None,
    description: str = "",
) -> Node:  # fmt: skip
    """Add a node.

    Args:
        ws: The workspace.
        name: Name of the node.
        parent_id: Its parent, None for a field.
        who: The editor.
        kind: Kind of the node; by default 'field' without a parent and 'discipline' with one.
        group: Group of a field.
        description: Free text.

    Raises:
        TaxonomyError: If the parent is unknown or a discipline, or the name is empty or used by a sibling.
    """
    with ws.write() as db:
        node = _draft(db, name, parent_id, kind, group, description)
        _record(db, "add", None, node, who)
    return node


def draft(ws: Workspace, name: str, parent_id: str, *, description: str = "") -> Node:
    """Return the discipline that `add` would create, validated but not stored; used for previews."""
    return _draft(ws.db, name, parent_id, "discipline", None, description)


def add_draft(db: apsw.Connection, node: Node, who: str) -> None:
    """Add a drafted discipline, or update its description, within a transaction.

    Raises:
        TaxonomyError: If the discipline no longer fits into the taxonomy.
    """
    nodes = taxonomy_rows.nodes(db)
    before = next((other for other in nodes if other.id == node.id), None)
    if before is None or before.kind != node.kind:
        hierarchy.check([*nodes, node])
        _record(db, "add", None, node, who)
    elif node.description != before.description:
        _record(db, "describe", before, replace(before, description=node.description), who)


def _record(db: apsw.Connection, action: str, before: Node | None, after: Node, who: str) -> None:
    taxonomy_rows.put_node(db, after)
    taxonomy_rows.add_event(db, _batch(), after.id, action, before, after, who)


def _draft(
    db: apsw.Connection, name: str, parent_id: str | None, kind: str | None, group: str | None, description: str
) -> Node:
    name = name.strip()
    if not name:
        raise TaxonomyError("The name is empty. Enter a name for the new node.")
    kind = kind or ("field" if parent_id is None else "discipline")
    if removed := _removed_from(db, name, parent_id):
        raise TaxonomyError(
            f"{quoted(name)} was removed from here. Restore {quoted(removed.id)} instead, with 'glan taxonomy' or by adding "
            "it on the Taxonomy page."
        )
    node = Node(_free_id(db, name), name, kind, parent_id, group, description.strip())
    hierarchy.check([*taxonomy_rows.nodes(db), node])
    return node


def removed_from(ws: Workspace, name: str, parent_id: str | None) -> Node | None:
    """Return the removed node of this name below a parent (None for the top level), or None."""
    return _removed_from(ws.db, name.strip(), parent_id)


def _removed_from(db: apsw.Connection, name: str, parent_id: str | None) -> Node | None:
    return next((n for n in taxonomy_rows.nodes(db, removed=True) if (n.name, n.parent_id) == (name, parent_id)), None)


def node_at(ws: Workspace, path: Sequence[str]) -> str | None:
    """ID of the node at a path from the top level, such as ("Natural Sciences", "Life sciences").

    Args:
        ws: The workspace.
        path: Names (ignoring case) or IDs; the first may be the ID of any node.

    Returns:
        The ID, or None for an empty path.

    Raises:
        TaxonomyError: If a part of the path does not exist.
    """
    nodes, at = taxonomy_rows.nodes(ws.db), None
    for part in path:
        below = [node for node in nodes if node.parent_id == at]
        found = [node for node in below if part.casefold() in (node.name.casefold(), node.id)]
        found = found or [node for node in nodes if at is None and node.id == part]
        if not found:
            where = f"under {quoted(at)}" if at else "at the top level"
            names = ", ".join(node.name for node in below if node.kind != "discipline") or "none"
            raise TaxonomyError(f"{quoted(part)} does not exist {where}. Choose from: {names}.")
        at = found[0].id
    return at


def rename(ws: Workspace, node_id: str, name: str, who: str) -> Node:
    """Rename a node; its id and generated data are kept."""
    return _change(ws, node_id, "rename", who, name=name.strip())


def move(ws: Workspace, node_id: str, parent_id: str, who: str) -> Node:
    """Move a node and its descendants to another parent."""
    return _change(ws, node_id, "move", who, parent_id=parent_id)


def edit(ws: Workspace, node_id: str, who: str, *, name: str, description: str, parent_id: str | None) -> Node:
    """Change the name, description and parent of a node in one batch.

    Raises:
        TaxonomyError: If the result is invalid. The taxonomy is unchanged.
    """
    name, description = name.strip(), description.strip()
    with ws.write() as db:
        nodes = taxonomy_rows.nodes(db)
        node = _live(nodes, node_id)
        renamed = replace(node, name=name)
        described = replace(renamed, description=description)
        moved = replace(described, parent_id=parent_id)
        hierarchy.check([moved if other.id == node_id else other for other in nodes])
        batch = _batch()
        steps = (("rename", node, renamed), ("describe", renamed, described), ("move", described, moved))
        for action, before, after in steps:
            if before != after:
                taxonomy_rows.put_node(db, after)
                taxonomy_rows.add_event(db, batch, node_id, action, before, after, who)
    return moved


def _change(ws: Workspace, node_id: str, action: str, who: str, **values: str) -> Node:
    with ws.write() as db:
        nodes = taxonomy_rows.nodes(db)
        before = _live(nodes, node_id)
        after = replace(before, **values)
        hierarchy.check([after if node.id == node_id else node for node in nodes])
        taxonomy_rows.put_node(db, after)
        taxonomy_rows.add_event(db, _batch(), node_id, action, before, after, who)
    return after


def remove(ws: Workspace, node_id: str, who: str) -> list[Node]:
    """Remove a node and its descendants; their generated data is kept.

    Returns:
        The removed nodes.
    """
    with ws.write() as db:
        return _remove_with_descendants(db, node_id, who)


def _remove_with_descendants(db: apsw.Connection, node_id: str, who: str) -> list[Node]:
    nodes = taxonomy_rows.nodes(db)
    _live(nodes, node_id)
    batch = _batch()
    subtree = list(hierarchy.walk(hierarchy.tree_of(nodes), node_id))
    for node in subtree:
        _remove(db, batch, node, who)
    return subtree


def _remove(db: apsw.Connection, batch: str, node: Node, who: str) -> None:
    taxonomy_rows.put_node(db, node, removed=True)
    taxonomy_rows.add_event(db, batch, node.id, "remove", node, None, who)


def restore(ws: Workspace, node_id: str, who: str) -> list[Node]:
    """Restore a removed node and the nodes removed together with it.

    Returns:
        The restored nodes.

    Raises:
        TaxonomyError: If the node is not removed, its parent is, or its name is in use.
    """
    with ws.write() as db:
        return _restore(db, node_id, who)


def _restore(db: apsw.Connection, node_id: str, who: str) -> list[Node]:
    removed = {node.id: node for node in taxonomy_rows.nodes(db, removed=True)}
    if node_id not in removed:
        raise TaxonomyError(f"{quoted(node_id)} is not removed.")
    live = taxonomy_rows.nodes(db)
    parent_id = removed[node_id].parent_id
    if parent_id in removed:
        raise TaxonomyError(f"Its parent {quoted(parent_id)} is removed too. Restore the parent first.")
    together = [removed[id] for id in taxonomy_rows.batch_of_removal(db, node_id) if id in removed]
    subtree = hierarchy.tree_of([*live, *together])
    back = list(hierarchy.walk(subtree, node_id))
    hierarchy.check([*live, *back])
    batch = _batch()
    for node in back:
        taxonomy_rows.put_node(db, node)
        taxonomy_rows.add_event(db, batch, node.id, "restore", None, node, who)
    return back


def undo(ws: Workspace, batch: str, who: str) -> list[taxonomy_rows.NodeEvent]:
    """Undo a batch: added nodes are removed, removed ones restored, changed ones reverted.

    The order of siblings is not restored.

    Returns:
        The events of the undo, which is itself a batch that can be undone.

    Raises:
        TaxonomyError: If the batch does not exist or later changes conflict with the undo. The taxonomy is unchanged.
    """
    with ws.write() as db:
        events = taxonomy_rows.events_of(db, batch)
        if not events:
            raise TaxonomyError("This change does not exist.")
        nodes = {node.id: node for node in taxonomy_rows.nodes(db)}
        reverted = [(event, *_revert(nodes, event)) for event in reversed(events)]
        _require_parents(nodes, reverted)
        if len({event.node_id for event in events}) == len(events):
            reverted.reverse()  # the first event, which names the batch, should be the topmost node
        hierarchy.check(list(nodes.values()))
        undoing = _batch()
        for event, before, after in reverted:
            if (node := after or before) is not None:
                taxonomy_rows.put_node(db, node, removed=after is None)
            action = "restore" if before is None else "remove" if after is None else event.action
            taxonomy_rows.add_event(db, undoing, event.node_id, action, before, after, who)
        return taxonomy_rows.events_of(db, undoing)


def _revert(nodes: dict[str, Node], event: taxonomy_rows.NodeEvent) -> tuple[Node | None, Node | None]:
    """Take one change of a node back in `nodes`, the live ones by id; the node before and after that."""
    now = nodes.get(event.node_id)
    if event.after is None:
        if event.before is None:
            raise TaxonomyError(f"{quoted(event.node_id)} has nothing to undo.")
        if now:
            raise TaxonomyError(f"{quoted(event.before.name)} is already restored.")
        nodes[event.node_id] = event.before
        return None, event.before
    name = quoted(event.after.name)
    if now is None:
        raise TaxonomyError(f"{name} was removed since. Restore it first.")
    if event.before is None:
        return nodes.pop(event.node_id), None
    changed = {part: value for part, value in asdict(event.before).items() if value != getattr(event.after, part)}
    if any(getattr(now, part) != getattr(event.after, part) for part in changed):
        raise TaxonomyError(f"{name} was changed since. Undo that change first.")
    nodes[event.node_id] = replace(now, **changed)
    return now, nodes[event.node_id]


def _require_parents(nodes: dict[str, Node], reverted: Sequence[tuple]) -> None:
    """Check that no node would lose its parent."""
    gone = {before.id: before for _, before, after in reverted if after is None}
    for node in nodes.values():
        if node.parent_id in gone:
            raise TaxonomyError(
                f"{quoted(gone[node.parent_id].name)} now contains {quoted(node.name)}. Move or remove that first."
            )
        if node.parent_id is not None and node.parent_id not in nodes:
            raise TaxonomyError(f"The parent of {quoted(node.name)} was removed since. Restore it first.")


@dataclass(frozen=True, slots=True)
class VoteResult:
    """Result of applying the votes.

    Attributes:
        added: Nodes added or restored from proposals.
        rejected: Ids of rejected proposals.
        removed: Removed nodes.
        refused: (name of the proposal, reason) of accepted proposals that could not be added.
    """

    added: list[Node]
    rejected: list[str]
    removed: list[Node]
    refused: list[tuple[str, str]]


def vote(ws: Workspace, target_id: str, *, keep: bool, voter: str) -> None:
    """Vote to keep or remove a proposal or node, replacing the voter's earlier vote.

    Raises:
        TaxonomyError: If there is no such open proposal or node.
    """
    with ws.write() as db:
        open_ids = {proposal.id for proposal in taxonomy_rows.proposals(db)}
        if target_id not in open_ids and target_id not in {node.id for node in taxonomy_rows.nodes(db)}:
            raise TaxonomyError(f"{quoted(target_id)} is neither an open proposal nor a node.")
        taxonomy_rows.put_vote(db, target_id, voter, keep=keep)


def apply_votes(ws: Workspace, who: str) -> VoteResult:
    """Apply the votes by majority; ties and targets without votes are left unchanged.

    Accepted proposals join the tree; a proposal named like a removed sibling restores it. A proposal that cannot be added stays
    open, but is rejected if its parent is gone, its name exists, or the node of that name was removed by the same votes. Removed
    nodes are removed with their descendants.
    """
    with ws.write() as db:
        votes = taxonomy_rows.vote_counts(db)
        removed: list[Node] = []
        for node_id in [id for id, (keep, remove) in votes.items() if remove > keep]:
            if any(node.id == node_id for node in taxonomy_rows.nodes(db)):
                removed += _remove_with_descendants(db, node_id, who)
        for node in removed:  # otherwise old votes would remove a restored node again
            taxonomy_rows.clear_votes(db, node.id)
        live = {node.id for node in taxonomy_rows.nodes(db)}
        result = VoteResult([], [], removed, [])
        for proposal in taxonomy_rows.proposals(db):
            keep, against = votes.get(proposal.id, (0, 0))
            if keep > against:
                _accept(db, proposal, who, result)
            elif against > keep or proposal.parent_id not in live:
                _close(db, proposal, "rejected", result)
    return result


def _accept(db: apsw.Connection, proposal: Proposal, who: str, result: VoteResult) -> None:
    """Add an accepted proposal to the tree if possible."""
    live = taxonomy_rows.nodes(db)
    for conflict, reason in (
        (all(node.id != proposal.parent_id for node in live), f"Its parent {quoted(proposal.parent_id)} was removed."),
        (_namesake(live, proposal), "A node with this name already exists."),
        (_namesake(result.removed, proposal), "The node with this name was removed by the same votes."),
    ):
        if conflict:
            result.refused.append((proposal.name, reason))
            _close(db, proposal, "rejected", result)
            return
    try:
        if removed := _namesake(taxonomy_rows.nodes(db, removed=True), proposal):
            restored = _restore(db, removed.id, who)
            for node in restored:  # votes from before the removal
                taxonomy_rows.clear_votes(db, node.id)
            result.added.extend(restored)
        else:
            node = _draft(db, proposal.name, proposal.parent_id, proposal.kind, None, proposal.description)
            _record(db, "add", None, node, who)
            result.added.append(node)
    except TaxonomyError as error:
        result.refused.append((proposal.name, str(error)))
    else:
        _close(db, proposal, "accepted", result)


def _close(db: apsw.Connection, proposal: Proposal, state: str, result: VoteResult) -> None:
    taxonomy_rows.set_proposal_state(db, proposal.id, state)
    if state == "rejected":
        result.rejected.append(proposal.id)


def _namesake(nodes: Sequence[Node], proposal: Proposal) -> Node | None:
    """Return the node that would be a sibling of a proposal with the same name."""
    name = name_key(proposal.name)
    return next((node for node in nodes if node.parent_id == proposal.parent_id and name_key(node.name) == name), None)


def _live(nodes: Sequence[Node], node_id: str) -> Node:
    found = next((node for node in nodes if node.id == node_id), None)
    if found is None:
        raise TaxonomyError(f"The taxonomy has no node {quoted(node_id)}.")
    return found


def _free_id(db: apsw.Connection, name: str) -> str:
    stem = slug(name)
    number = 1
    while taxonomy_rows.node(db, stem if number == 1 else f"{stem}-{number}"):
        number += 1
    return stem if number == 1 else f"{stem}-{number}"


def _batch() -> str:
    return uuid.uuid4().hex[:12]


def default_user() -> str:
    """Return the name that is recorded with changes and votes: that of the signed-in user, else the login name."""
    if visitor := access.visitor_name():
        return visitor
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without a user entry
        return "someone"
