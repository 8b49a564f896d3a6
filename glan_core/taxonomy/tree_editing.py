"""Editing the taxonomy of a workspace: every change is checked, and recorded with who and when."""

import getpass
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import apsw

from glan_core.formatting import quoted
from glan_core.ids import name_key, slug
from glan_core.records import Node
from glan_core.taxonomy import hierarchy
from glan_core.taxonomy.hierarchy import TaxonomyError
from glan_core.workspace import Workspace, taxonomy_rows
from glan_core.workspace.taxonomy_rows import Proposal


def tree(ws: Workspace):
    """The live taxonomy as a networkx tree, as `taxonomy.tree_of` makes it."""
    return hierarchy.tree_of(taxonomy_rows.nodes(ws.db))


def import_nodes(ws: Workspace, nodes: Sequence[Node], who: str) -> hierarchy.TaxonomyDiff:
    """Make the taxonomy equal to `nodes`: what is not among them is removed (and can be restored), data stay.

    Returns what changed; TaxonomyError when `nodes` are no taxonomy, with nothing changed.
    """
    hierarchy.check(nodes)
    with ws.write() as db:
        diff = hierarchy.diff(taxonomy_rows.nodes(db), nodes)
        batch = _batch()
        for node in diff.removed:
            _remove(db, batch, node, who)
        old = {node.id: node for node in taxonomy_rows.nodes(db)}
        for node in nodes:
            if old.get(node.id) != node:
                taxonomy_rows.put_node(db, node)
                taxonomy_rows.add_event(db, batch, node.id, "import", old.get(node.id), node, who)
        taxonomy_rows.order_nodes(db, [node.id for node in nodes])
    return diff


def add(
    ws: Workspace, name: str, parent_id: str | None, who: str, *, kind: str | None = None, group: str | None = None,
    description: str = "",
) -> Node:  # fmt: skip
    """Add a node under a parent (None: a field); its kind is 'field' at the top and 'discipline' below, unless said.

    TaxonomyError when the parent is unknown or a discipline, or when the name is empty or taken beside it.
    """
    with ws.write() as db:
        return _add(db, name, parent_id, who, kind, group, description)


def draft(ws: Workspace, name: str, parent_id: str, *, description: str = "") -> Node:
    """The discipline that `add` would add, checked alike, and not stored: for a preview."""
    return _draft(ws.db, name, parent_id, "discipline", None, description)


def take_in(db: apsw.Connection, node: Node, who: str) -> None:
    """Bring a discipline that was drafted, or drafted anew with another description, into the tree, inside a transaction.

    TaxonomyError when it does not fit in any more.
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


def _add(db: apsw.Connection, name: str, parent_id: str | None, who: str, kind=None, group=None, description="") -> Node:
    node = _draft(db, name, parent_id, kind, group, description)
    _record(db, "add", None, node, who)
    return node


def _draft(
    db: apsw.Connection, name: str, parent_id: str | None, kind: str | None, group: str | None, description: str
) -> Node:
    name = name.strip()
    if not name:
        raise TaxonomyError("The name is empty: say what the new node is called.")
    kind = kind or ("field" if parent_id is None else "discipline")
    if removed := _removed_from(db, name, parent_id):
        raise TaxonomyError(
            f"{quoted(name)} was here and has been removed: restore {quoted(removed.id)} instead, with 'glan taxonomy' or by "
            "adding it on the Taxonomy page."
        )
    node = Node(_free_id(db, name), name, kind, parent_id, group, description.strip())
    hierarchy.check([*taxonomy_rows.nodes(db), node])
    return node


def removed_from(ws: Workspace, name: str, parent_id: str | None) -> Node | None:
    """The node of this name that was removed from below a parent (None: from the top), and can be restored there."""
    return _removed_from(ws.db, name.strip(), parent_id)


def _removed_from(db: apsw.Connection, name: str, parent_id: str | None) -> Node | None:
    return next((n for n in taxonomy_rows.nodes(db, removed=True) if (n.name, n.parent_id) == (name, parent_id)), None)


def add_path(ws: Workspace, path: str, who: str, description: str = "") -> Node:
    """Add the discipline that a path such as 'Natural Sciences / Life sciences / Virology' names.

    All parts but the last must be there, by name (in any case) or id. Returns the new node.
    """
    *parents, name = [part.strip() for part in path.split("/")]
    nodes = taxonomy_rows.nodes(ws.db)
    parent_id = None
    for part in parents:
        wanted = part.casefold()
        found = [n for n in nodes if n.parent_id == parent_id and wanted in (n.name.casefold(), n.id)]
        found = found or [n for n in nodes if parent_id is None and wanted == n.id]
        if not found:
            below = f"under {quoted(parent_id)}" if parent_id else "at the top"
            names = ", ".join(n.name for n in nodes if n.parent_id == parent_id and n.kind != "discipline") or "nothing"
            raise TaxonomyError(f"There is no {quoted(part)} {below}; there is: {names}.")
        parent_id = found[0].id
    return add(ws, name, parent_id, who, description=description)


def rename(ws: Workspace, node_id: str, name: str, who: str) -> Node:
    """Give a node another name; its id, and so everything made from it, stays."""
    return _change(ws, node_id, "rename", who, name=name.strip())


def describe(ws: Workspace, node_id: str, description: str, who: str) -> Node:
    """Give a node another description."""
    return _change(ws, node_id, "describe", who, description=description.strip())


def move(ws: Workspace, node_id: str, parent_id: str, who: str) -> Node:
    """Hang a node, with all below it, from another parent."""
    return _change(ws, node_id, "move", who, parent_id=parent_id)


def edit(ws: Workspace, node_id: str, who: str, *, name: str, description: str, parent_id: str | None) -> Node:
    """Rename, describe and move a node in one step: all of what differs from how it is, or, with TaxonomyError, nothing."""
    wanted = {"name": name.strip(), "description": description.strip(), "parent_id": parent_id}
    with ws.write() as db:
        nodes = taxonomy_rows.nodes(db)
        node = _live(nodes, node_id)
        hierarchy.check([replace(node, **wanted) if other.id == node_id else other for other in nodes])
        batch = _batch()
        for action, column in (("rename", "name"), ("describe", "description"), ("move", "parent_id")):
            if getattr(node, column) != wanted[column]:
                before, node = node, replace(node, **{column: wanted[column]})
                taxonomy_rows.put_node(db, node)
                taxonomy_rows.add_event(db, batch, node_id, action, before, node, who)
    return node


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
    """Remove a node with all below it; what was generated there stays in the workspace. Returns the removed nodes."""
    with ws.write() as db:
        return _remove_with_descendants(db, node_id, who)


def _remove_with_descendants(db: apsw.Connection, node_id: str, who: str) -> list[Node]:
    nodes = taxonomy_rows.nodes(db)
    _live(nodes, node_id)
    batch = _batch()
    gone = list(hierarchy.walk(hierarchy.tree_of(nodes), node_id))
    for node in gone:
        _remove(db, batch, node, who)
    return gone


def _remove(db: apsw.Connection, batch: str, node: Node, who: str) -> None:
    taxonomy_rows.put_node(db, node, removed=True)
    taxonomy_rows.add_event(db, batch, node.id, "remove", node, None, who)


def restore(ws: Workspace, node_id: str, who: str) -> list[Node]:
    """Bring back a removed node and what was removed together with it. Returns the restored nodes.

    TaxonomyError when it is not removed, when its parent is, or when its name has been taken meanwhile.
    """
    with ws.write() as db:
        return _restore(db, node_id, who)


def _restore(db: apsw.Connection, node_id: str, who: str) -> list[Node]:
    removed = {node.id: node for node in taxonomy_rows.nodes(db, removed=True)}
    if node_id not in removed:
        raise TaxonomyError(f"{quoted(node_id)} has not been removed.")
    live = taxonomy_rows.nodes(db)
    parent_id = removed[node_id].parent_id
    if parent_id in removed:
        raise TaxonomyError(f"Its parent {quoted(parent_id)} has been removed too: restore that first.")
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
    """Take back all that one deed did: what it added is removed, what it removed restored, what it changed as it was. Returns
    what was done, which is a deed of its own and can be undone in turn. The order of siblings stays.

    TaxonomyError, with nothing changed, when there is no such deed or later changes stand in the way.
    """
    with ws.write() as db:
        events = taxonomy_rows.events_of(db, batch)
        if not events:
            raise TaxonomyError("There is no such change to undo.")
        nodes = {node.id: node for node in taxonomy_rows.nodes(db)}
        reverted = [(event, *_take_back(nodes, event)) for event in reversed(events)]
        _require_parents(nodes, reverted)
        if len({event.node_id for event in events}) == len(events):
            reverted.reverse()  # a list of changes is named after the first: what stands above the others
        hierarchy.check(list(nodes.values()))
        undoing = _batch()
        for event, before, after in reverted:
            taxonomy_rows.put_node(db, after or before, removed=after is None)
            action = "restore" if before is None else "remove" if after is None else event.action
            taxonomy_rows.add_event(db, undoing, event.node_id, action, before, after, who)
        return taxonomy_rows.events_of(db, undoing)


def _take_back(nodes: dict[str, Node], event: taxonomy_rows.NodeEvent) -> tuple[Node | None, Node | None]:
    """Take one change of a node back in `nodes`, the live ones by id; the node before and after that."""
    now = nodes.get(event.node_id)
    name = quoted((event.after or event.before).name)
    if event.after is None:
        if now:
            raise TaxonomyError(f"{name} is back already.")
        nodes[event.node_id] = event.before
        return None, event.before
    if now is None:
        raise TaxonomyError(f"{name} has been removed since: bring it back first.")
    if event.before is None:
        return nodes.pop(event.node_id), None
    changed = {part: value for part, value in asdict(event.before).items() if value != getattr(event.after, part)}
    if any(getattr(now, part) != getattr(event.after, part) for part in changed):
        raise TaxonomyError(f"{name} has been changed since: undo that first.")
    nodes[event.node_id] = replace(now, **changed)
    return now, nodes[event.node_id]


def _require_parents(nodes: dict[str, Node], reverted: Sequence[tuple]) -> None:
    """Say in words why a node would hang from nothing."""
    gone = {before.id: before for _, before, after in reverted if after is None}
    for node in nodes.values():
        if node.parent_id in gone:
            raise TaxonomyError(
                f"{quoted(gone[node.parent_id].name)} has {quoted(node.name)} below it now: move or remove that first."
            )
        if node.parent_id is not None and node.parent_id not in nodes:
            raise TaxonomyError(f"The place of {quoted(node.name)} has been removed since: bring that back first.")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a count of the votes did: nodes added from proposals (or brought back by them), proposals rejected (by id), nodes
    removed; and what it could not do although the majority wished it, as (name of the proposal, why)."""

    added: list[Node]
    rejected: list[str]
    removed: list[Node]
    refused: list[tuple[str, str]]


def vote(ws: Workspace, target_id: str, keep: bool, voter: str) -> None:
    """Vote to keep or remove a proposal or a node; a voter's later vote replaces the earlier."""
    with ws.write() as db:
        open_ids = {proposal.id for proposal in taxonomy_rows.proposals(db)}
        if target_id not in open_ids and target_id not in {node.id for node in taxonomy_rows.nodes(db)}:
            raise TaxonomyError(f"There is no open proposal and no node {quoted(target_id)}.")
        taxonomy_rows.put_vote(db, target_id, voter, keep)


def decide(ws: Workspace, who: str) -> Verdict:
    """Count the votes. The majority decides: a proposal with more keeps joins the tree, one with more removes is rejected,
    a node with more removes goes with all below it. A tie, or no vote, changes nothing.

    A proposal named like a removed sibling brings that back, with what was removed together with it. One that cannot join
    stays open, but is rejected where its parent is gone, its name is there already, or was voted out in this very count.
    """
    with ws.write() as db:
        tallies = taxonomy_rows.tallies(db)
        removed: list[Node] = []
        for node_id in [id for id, (keep, remove) in tallies.items() if remove > keep]:
            if any(node.id == node_id for node in taxonomy_rows.nodes(db)):
                removed += _remove_with_descendants(db, node_id, who)
        for node in removed:  # or what is restored later would be removed again by old votes
            taxonomy_rows.clear_votes(db, node.id)
        live = {node.id for node in taxonomy_rows.nodes(db)}
        verdict = Verdict([], [], removed, [])
        for proposal in taxonomy_rows.proposals(db):
            keep, against = tallies.get(proposal.id, (0, 0))
            if keep > against:
                _take(db, proposal, who, verdict)
            elif against > keep or proposal.parent_id not in live:
                _close(db, proposal, "rejected", verdict)
    return verdict


def _take(db: apsw.Connection, proposal: Proposal, who: str, verdict: Verdict) -> None:
    """Let a proposal join the tree, if it can."""
    live = taxonomy_rows.nodes(db)
    for hindered, why in (
        (all(node.id != proposal.parent_id for node in live), f"{quoted(proposal.parent_id)}, its parent, has been removed."),
        (_namesake(live, proposal), "A node of this name is there already: there is nothing left to add."),
        (_namesake(verdict.removed, proposal), "The node of this name has been removed by the same count."),
    ):
        if hindered:
            verdict.refused.append((proposal.name, why))
            _close(db, proposal, "rejected", verdict)
            return
    try:
        if gone := _namesake(taxonomy_rows.nodes(db, removed=True), proposal):
            back = _restore(db, gone.id, who)
            for node in back:  # votes from before its removal
                taxonomy_rows.clear_votes(db, node.id)
            verdict.added.extend(back)
        else:
            verdict.added.append(_add(db, proposal.name, proposal.parent_id, who, proposal.kind, None, proposal.description))
    except TaxonomyError as error:
        verdict.refused.append((proposal.name, str(error)))
    else:
        _close(db, proposal, "accepted", verdict)


def _close(db: apsw.Connection, proposal: Proposal, state: str, verdict: Verdict) -> None:
    taxonomy_rows.set_proposal_state(db, proposal.id, state)
    if state == "rejected":
        verdict.rejected.append(proposal.id)


def _namesake(nodes: Sequence[Node], proposal: Proposal) -> Node | None:
    """The node that a proposal would stand beside under the same name."""
    name = name_key(proposal.name)
    return next((node for node in nodes if node.parent_id == proposal.parent_id and name_key(node.name) == name), None)


def _live(nodes: Sequence[Node], node_id: str) -> Node:
    found = next((node for node in nodes if node.id == node_id), None)
    if found is None:
        raise TaxonomyError(f"the taxonomy has no node {quoted(node_id)}")
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
    """Who is at the keyboard, for the record of changes and votes."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without a user entry
        return "someone"
