"""The taxonomy in the database: nodes, the record of their changes, proposals, votes and targets."""

import json
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass

import apsw

from glan_core.records import Node

_NODE = "id, name, kind, parent_id, grp, description"


@dataclass(frozen=True, slots=True)
class NodeEvent:
    """One recorded change: what was done to which node, by whom, when; the node before and after it (None: not there).

    Events of one deed share a `batch`.
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
    """A node that a teacher would add under `parent_id`. `similar_to` names existing nodes that may be the same thing,
    `prompts` the differently worded prompts that brought it up; `state` is 'open', 'accepted' or 'rejected'."""

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
    """What a discipline is to reach. `max_subjects` None: a syllabus for every subject that is found."""

    subject_queries: int
    max_subjects: int | None
    questions_per_syllabus: int


def nodes(db: apsw.Connection, *, removed: bool = False) -> list[Node]:
    """The live nodes (or the removed ones), siblings in their order."""
    return [Node(*row) for row in db.execute(f"SELECT {_NODE} FROM nodes WHERE removed = ? ORDER BY position", (removed,))]


def node(db: apsw.Connection, node_id: str) -> Node | None:
    """One node, live or removed, or None."""
    row = db.execute(f"SELECT {_NODE} FROM nodes WHERE id = ?", (node_id,)).fetchone()
    return row and Node(*row)


def put_node(db: apsw.Connection, node: Node, *, removed: bool = False) -> None:
    """Store a node as it now is; a new one comes last among its siblings."""
    db.execute(
        """INSERT INTO nodes (id, name, kind, parent_id, grp, description, removed, position)
           VALUES (?, ?, ?, ?, ?, ?, ?, (SELECT coalesce(max(position), 0) + 1 FROM nodes))
           ON CONFLICT (id) DO UPDATE SET name = excluded.name, kind = excluded.kind, parent_id = excluded.parent_id,
           grp = excluded.grp, description = excluded.description, removed = excluded.removed""",
        (node.id, node.name, node.kind, node.parent_id, node.group, node.description, removed),
    )


def order_nodes(db: apsw.Connection, ids: Iterable[str]) -> None:
    """Give the nodes the order in which their ids come."""
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
    """The latest changes, newest first; of one node where `node_id` is given."""
    rows = db.execute("SELECT * FROM node_events WHERE ?1 IS NULL OR node_id = ?1 ORDER BY seq DESC LIMIT ?2", (node_id, limit))
    return [_event(row) for row in rows]


def events_of(db: apsw.Connection, batch: str) -> list[NodeEvent]:
    """The changes of one deed, in their order."""
    return [_event(row) for row in db.execute("SELECT * FROM node_events WHERE batch = ? ORDER BY seq", (batch,))]


def _event(row: tuple) -> NodeEvent:
    return NodeEvent(*row[:4], *(text and Node(**json.loads(text)) for text in row[4:6]), *row[6:])


@dataclass(frozen=True, slots=True)
class TaxonomyEdit:
    """The changes of one batch: the first of them, and how many there are of each action."""

    first: NodeEvent
    actions: dict[str, int]


def deeds(db: apsw.Connection, limit: int = 50) -> list[TaxonomyEdit]:
    """The latest deeds, newest first."""
    rows = db.execute(
        """SELECT batch, min(seq), json_group_object(action, number) FROM (
               SELECT batch, action, min(seq) AS seq, count(*) AS number FROM node_events GROUP BY batch, action)
           GROUP BY batch ORDER BY min(seq) DESC LIMIT ?""",
        (limit,),
    ).fetchall()
    firsts = {seq: None for _, seq, _ in rows}
    marks = ", ".join("?" * len(firsts))
    for row in db.execute(f"SELECT * FROM node_events WHERE seq IN ({marks})", tuple(firsts)):
        firsts[row[0]] = _event(row)
    return [TaxonomyEdit(firsts[seq], json.loads(actions)) for _, seq, actions in rows]


def batch_of_removal(db: apsw.Connection, node_id: str) -> list[str]:
    """The ids that were removed together with a node the last time it was removed, itself included."""
    row = db.execute(
        "SELECT batch FROM node_events WHERE node_id = ? AND action = 'remove' ORDER BY seq DESC LIMIT 1", (node_id,)
    ).fetchone()
    return [] if row is None else [
        id for (id,) in db.execute("SELECT node_id FROM node_events WHERE batch = ? AND action = 'remove'", row)
    ]  # fmt: skip


def put_proposal(db: apsw.Connection, proposal: Proposal) -> bool:
    """Store a proposal; one of the same id only gains the prompts that brought it up again. True when it is new."""
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
    """The proposals in a state (None: all), oldest first."""
    rows = db.execute("SELECT * FROM proposals WHERE ?1 IS NULL OR state = ?1 ORDER BY seq", (state,))
    return [Proposal(*row[:7], tuple(json.loads(row[7])), tuple(json.loads(row[8])), *row[9:]) for row in rows]


def set_proposal_state(db: apsw.Connection, proposal_id: str, state: str) -> None:
    """Record what became of a proposal."""
    db.execute("UPDATE proposals SET state = ? WHERE id = ?", (state, proposal_id))


def put_vote(db: apsw.Connection, target_id: str, voter: str, keep: bool) -> None:
    """Record a vote on a proposal or a node; a voter's later vote replaces the earlier."""
    db.execute("INSERT OR REPLACE INTO votes VALUES (?, ?, ?, ?)", (target_id, voter, keep, time.time()))


def clear_votes(db: apsw.Connection, target_id: str) -> None:
    """Forget the votes on something once they have had their effect."""
    db.execute("DELETE FROM votes WHERE target_id = ?", (target_id,))


def tallies(db: apsw.Connection) -> dict[str, tuple[int, int]]:
    """The votes: id of a proposal or node -> (keep, remove)."""
    rows = db.execute("SELECT target_id, sum(keep), count(*) - sum(keep) FROM votes GROUP BY target_id")
    return {target: (keep, remove) for target, keep, remove in rows}


def put_target(db: apsw.Connection, discipline_id: str, target: DisciplineTarget) -> None:
    """Remember what a discipline is to reach; a larger earlier target stays, so that a small top-up hides no gap."""
    db.execute(
        """INSERT INTO targets VALUES (?, ?, ?, ?) ON CONFLICT (discipline_id) DO UPDATE SET
           subject_queries = max(subject_queries, excluded.subject_queries),
           max_subjects = CASE WHEN max_subjects IS NULL OR excluded.max_subjects IS NULL THEN NULL
                               ELSE max(max_subjects, excluded.max_subjects) END,
           questions_per_syllabus = max(questions_per_syllabus, excluded.questions_per_syllabus)""",
        (discipline_id, target.subject_queries, target.max_subjects, target.questions_per_syllabus),
    )


def targets(db: apsw.Connection) -> dict[str, DisciplineTarget]:
    """What each discipline that was ever part of a run is to reach."""
    return {row[0]: DisciplineTarget(*row[1:]) for row in db.execute("SELECT * FROM targets")}
