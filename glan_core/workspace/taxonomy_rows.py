"""The taxonomy in the database: nodes, their history, proposals, votes and targets."""

import json
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass

import apsw

from glan_core.errors import GlanError
from glan_core.records import Node
from glan_core.workspace.sql import fetch_all, from_row, json_tuple

_NODE = "id, name, kind, parent_id, grp, description"


@dataclass(frozen=True, slots=True)
class NodeEvent:
    """One change of a node.

    Attributes:
        batch: Id shared by changes that were made together.
        action: What was done, such as 'add', 'edit' or 'remove'.
        before: The node before the change, None if it did not exist.
        after: The node after the change, None if it no longer exists.
        who: The editor.
        at: Time in seconds since 1970.
    """

    seq: int
    batch: str
    node_id: str
    action: str
    before: Node | None
    after: Node | None
    who: str
    at: float


@dataclass(frozen=True, slots=True)
class Proposal:
    """A node that a teacher proposes to add under `parent_id`.

    Attributes:
        similar_to: Names of existing nodes that may be duplicates.
        prompts: Names of the prompt variants that suggested it.
        state: 'open', 'accepted' or 'rejected'.
    """

    seq: int
    id: str
    parent_id: str
    name: str
    kind: str
    description: str
    reason: str
    similar_to: tuple[str, ...]
    prompts: tuple[str, ...]
    teacher: str
    state: str


@dataclass(frozen=True, slots=True)
class DisciplineTarget:
    """Target size of a discipline; `max_subjects` None means a syllabus for every subject."""

    subject_queries: int
    max_subjects: int | None
    questions_per_syllabus: int


def nodes(db: apsw.Connection, *, removed: bool = False) -> list[Node]:
    """Return the live nodes, or the removed ones, with siblings in display order."""
    return [Node(*row) for row in db.execute(f"SELECT {_NODE} FROM nodes WHERE removed = ? ORDER BY position", (removed,))]


def node(db: apsw.Connection, node_id: str) -> Node | None:
    """Return one node, live or removed, or None."""
    row = db.execute(f"SELECT {_NODE} FROM nodes WHERE id = ?", (node_id,)).fetchone()
    return Node(*row) if row else None


def require_node(db: apsw.Connection, node_id: str) -> Node:
    """Return one node, live or removed.

    Raises:
        GlanError: If it does not exist.
    """
    if (found := node(db, node_id)) is None:
        raise GlanError(f"Node {node_id} does not exist.")
    return found


def put_node(db: apsw.Connection, node: Node, *, removed: bool = False, position: int | None = None) -> None:
    """Insert or update a node; a new node is displayed at a position, or as the last sibling."""
    db.execute(
        """INSERT INTO nodes (id, name, kind, parent_id, grp, description, removed, position)
           VALUES (?, ?, ?, ?, ?, ?, ?, coalesce(?, (SELECT coalesce(max(position), 0) + 1 FROM nodes)))
           ON CONFLICT (id) DO UPDATE SET name = excluded.name, kind = excluded.kind, parent_id = excluded.parent_id,
           grp = excluded.grp, description = excluded.description, removed = excluded.removed""",
        (node.id, node.name, node.kind, node.parent_id, node.group, node.description, removed, position),
    )


def order_nodes(db: apsw.Connection, ids: Iterable[str]) -> None:
    """Set the display order of nodes to the order of these ids."""
    db.executemany("UPDATE nodes SET position = ? WHERE id = ?", [(n, id) for n, id in enumerate(ids, start=1)])


def add_event(
    db: apsw.Connection, batch: str, node_id: str, action: str, before: Node | None, after: Node | None, who: str
) -> None:
    """Record a change of a node."""
    shown = [value and json.dumps(asdict(value), ensure_ascii=False) for value in (before, after)]
    db.execute(
        "INSERT INTO node_events (batch, node_id, action, before, after, who, at) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (batch, node_id, action, *shown, who, time.time()),
    )


def events(db: apsw.Connection, limit: int = 100, node_id: str | None = None) -> list[NodeEvent]:
    """Return the latest changes, newest first; with `node_id`, only those of one node."""
    rows = db.execute("SELECT * FROM node_events WHERE ?1 IS NULL OR node_id = ?1 ORDER BY seq DESC LIMIT ?2", (node_id, limit))
    return [_event(row) for row in rows]


def events_of(db: apsw.Connection, batch: str) -> list[NodeEvent]:
    """Return the changes of one batch, in order."""
    return [_event(row) for row in db.execute("SELECT * FROM node_events WHERE batch = ? ORDER BY seq", (batch,))]


def _event(row: tuple) -> NodeEvent:
    return NodeEvent(*row[:4], *(text and Node(**json.loads(text)) for text in row[4:6]), *row[6:])


@dataclass(frozen=True, slots=True)
class TaxonomyEdit:
    """The changes of one batch: the first event and the number of events by action."""

    first: NodeEvent
    actions: dict[str, int]


def recent_edits(db: apsw.Connection, limit: int = 50) -> list[TaxonomyEdit]:
    """Return the latest edits, newest first."""
    rows = fetch_all(
        db,
        """SELECT batch, min(seq), json_group_object(action, number) FROM (
               SELECT batch, action, min(seq) AS seq, count(*) AS number FROM node_events GROUP BY batch, action)
           GROUP BY batch ORDER BY min(seq) DESC LIMIT ?""",
        (limit,),
    )
    seqs = tuple(seq for _, seq, _ in rows)
    marks = ", ".join("?" * len(seqs))
    firsts = {row[0]: _event(row) for row in db.execute(f"SELECT * FROM node_events WHERE seq IN ({marks})", seqs)}
    return [TaxonomyEdit(firsts[seq], json.loads(actions)) for _, seq, actions in rows]


def batch_of_removal(db: apsw.Connection, node_id: str) -> list[str]:
    """Return the ids of the nodes removed together with a node in its latest removal, including itself."""
    row = db.execute(
        "SELECT batch FROM node_events WHERE node_id = ? AND action = 'remove' ORDER BY seq DESC LIMIT 1", (node_id,)
    ).fetchone()
    return [] if row is None else [
        id for (id,) in db.execute("SELECT node_id FROM node_events WHERE batch = ? AND action = 'remove'", row)
    ]  # fmt: skip


def put_proposal(db: apsw.Connection, proposal: Proposal) -> bool:
    """Store a proposal and return True if it is new; a known proposal only gains prompt variants."""
    known = db.execute("SELECT prompts FROM proposals WHERE id = ?", (proposal.id,)).fetchone()
    if known:
        prompts = sorted({*json.loads(known[0]), *proposal.prompts})
        db.execute("UPDATE proposals SET prompts = ? WHERE id = ?", (json.dumps(prompts), proposal.id))
        return False
    db.execute(
        """INSERT INTO proposals (id, parent_id, name, kind, description, reason, similar_to, prompts, teacher, state)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
        (proposal.id, proposal.parent_id, proposal.name, proposal.kind, proposal.description, proposal.reason,
         json.dumps(proposal.similar_to, ensure_ascii=False), json.dumps(proposal.prompts), proposal.teacher, proposal.state),
    )  # fmt: skip
    return True


def proposals(db: apsw.Connection, state: str | None = "open") -> list[Proposal]:
    """Return the proposals in a state (None for all), oldest first."""
    rows = db.execute("SELECT * FROM proposals WHERE ?1 IS NULL OR state = ?1 ORDER BY seq", (state,))
    return [from_row(Proposal, row, similar_to=json_tuple, prompts=json_tuple) for row in rows]


def set_proposal_state(db: apsw.Connection, proposal_id: str, state: str) -> None:
    """Set the state of a proposal."""
    db.execute("UPDATE proposals SET state = ? WHERE id = ?", (state, proposal_id))


def put_vote(db: apsw.Connection, target_id: str, voter: str, *, keep: bool) -> None:
    """Store a vote on a proposal or node, replacing the voter's earlier one."""
    db.execute("INSERT OR REPLACE INTO votes VALUES (?, ?, ?, ?)", (target_id, voter, keep, time.time()))


def clear_votes(db: apsw.Connection, target_id: str) -> None:
    """Remove the votes on a proposal or node."""
    db.execute("DELETE FROM votes WHERE target_id = ?", (target_id,))


def vote_counts(db: apsw.Connection) -> dict[str, tuple[int, int]]:
    """Return the votes: id of the proposal or node -> (keep, remove)."""
    rows = db.execute("SELECT target_id, sum(keep), count(*) - sum(keep) FROM votes GROUP BY target_id")
    return {target: (keep, remove) for target, keep, remove in rows}


def put_target(db: apsw.Connection, discipline_id: str, target: DisciplineTarget) -> None:
    """Store the target of a discipline; each part only grows, so that a small top-up does not hide missing work."""
    db.execute(
        """INSERT INTO targets VALUES (?, ?, ?, ?) ON CONFLICT (discipline_id) DO UPDATE SET
           subject_queries = max(subject_queries, excluded.subject_queries),
           max_subjects = CASE WHEN max_subjects IS NULL OR excluded.max_subjects IS NULL THEN NULL
                               ELSE max(max_subjects, excluded.max_subjects) END,
           questions_per_syllabus = max(questions_per_syllabus, excluded.questions_per_syllabus)""",
        (discipline_id, target.subject_queries, target.max_subjects, target.questions_per_syllabus),
    )


def targets(db: apsw.Connection) -> dict[str, DisciplineTarget]:
    """Return the target of each discipline that was part of a run."""
    return {row[0]: DisciplineTarget(*row[1:]) for row in db.execute("SELECT * FROM targets")}
