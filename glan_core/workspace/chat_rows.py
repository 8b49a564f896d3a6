"""Chat conversations: turns, the replies of each pane, and preferences."""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import apsw

from glan_core.workspace.sql import fetch_all, fetch_value, from_row

WRITING, DONE, STOPPED, FAILED = "writing", "done", "stopped", "failed"
MAX_TURNS = 2000  # of one path through a conversation


# Votes of conversations that were not removed.
_KEPT = "turn_id IN (SELECT t.id FROM chat_turns t JOIN conversations c ON c.id = t.conversation_id WHERE c.removed_at IS NULL)"


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation.

    Attributes:
        settings: Settings of the next turn (`chat.conversations.Settings` as plain values).
        head: Id of the last turn of the displayed path.
        removed_at: When it was removed, in seconds since 1970; None if it was not.
    """

    id: int
    name: str
    settings: dict
    head: int | None
    created_at: float
    changed_at: float
    removed_at: float | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """A prompt in a conversation.

    Attributes:
        question_id: Id of the held-out question used as the prompt, None for a prompt that the user wrote.
        reference: Reference answer of that question.
        blind: Display order of the panes while model names are hidden, None if they are visible.
        version: The version of the replies that is displayed.
    """

    id: int
    conversation_id: int
    parent_id: int | None
    system: str
    prompt: str
    question_id: str | None
    reference: str | None
    blind: tuple[int, ...] | None
    version: int
    at: float


@dataclass(frozen=True, slots=True)
class Reply:
    """The reply of one pane to one version of a turn.

    Attributes:
        state: 'writing', 'done', 'stopped' or 'failed'.
        message: Reason for a failure.
        facts: Hashes of the weights, decoding parameters, tokens and seconds.
        written_by: Id of the model process task that writes the reply.
    """

    turn_id: int
    version: int
    pane: int
    model: str
    state: str
    text: str
    message: str
    facts: dict
    written_by: str | None
    at: float


@dataclass(frozen=True, slots=True)
class Preference:
    """A user's vote on the replies to one version of a turn.

    Attributes:
        best: Preferred pane if `choice` is 'one'.
        choice: 'one', 'tie' or 'bad'.
        who: The voter.
    """

    turn_id: int
    version: int
    best: int | None
    choice: str
    who: str
    at: float


def add_conversation(db: apsw.Connection, name: str, settings: Mapping) -> int:
    """Store an empty conversation; return its id."""
    now = time.time()
    db.execute(
        "INSERT INTO conversations (name, settings, created_at, changed_at) VALUES (?, ?, ?, ?)",
        (name, json.dumps(settings), now, now),
    )
    return db.last_insert_rowid()


def conversation(db: apsw.Connection, id: int) -> Conversation | None:
    """Return a conversation, or None."""
    row = db.execute("SELECT * FROM conversations WHERE id = ? AND removed_at IS NULL", (id,)).fetchone()
    return _conversation(row) if row else None


def conversations(db: apsw.Connection, words: str = "", limit: int = 50) -> list[Conversation]:
    """Return conversations, most recently changed first; `words` filters by a substring of the name, prompts or replies."""
    pattern = "%" + words.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_") + "%"
    rows = db.execute(
        r"""SELECT c.* FROM conversations c WHERE c.removed_at IS NULL AND (?2 = '' OR c.name LIKE ?1 ESCAPE '\' OR EXISTS (
                SELECT 1 FROM chat_turns t LEFT JOIN chat_replies r ON r.turn_id = t.id
                WHERE t.conversation_id = c.id AND (t.prompt LIKE ?1 ESCAPE '\' OR r.text LIKE ?1 ESCAPE '\')))
            ORDER BY c.changed_at DESC, c.id DESC LIMIT ?3""",
        (pattern, words, limit),
    )
    return [_conversation(row) for row in rows]


def conversation_names(db: apsw.Connection) -> set[str]:
    """Return the names of all conversations, also of removed ones, which may be restored."""
    return {name for (name,) in db.execute("SELECT name FROM conversations")}


def count_conversations(db: apsw.Connection) -> int:
    """Return the number of conversations."""
    return fetch_value(db, "SELECT count(*) FROM conversations WHERE removed_at IS NULL")


def update_conversation(db: apsw.Connection, id: int, **values: object) -> None:
    """Set `name`, `settings` or `head` of a conversation; does nothing if it was removed."""
    if "settings" in values:
        values["settings"] = json.dumps(values["settings"])
    names = ", ".join(f"{name} = ?" for name in values)
    db.execute(f"UPDATE conversations SET {names}, changed_at = ? WHERE id = ?", (*values.values(), time.time(), id))


def remove_conversation(db: apsw.Connection, id: int) -> None:
    """Mark a conversation as removed."""
    db.execute("UPDATE conversations SET removed_at = ? WHERE id = ?", (time.time(), id))


def restore_conversation(db: apsw.Connection, id: int) -> None:
    """Restore a removed conversation."""
    db.execute("UPDATE conversations SET removed_at = NULL WHERE id = ?", (id,))


def removed_conversations(db: apsw.Connection) -> list[tuple[int, str, float]]:
    """Return id, name and time of removal of the removed conversations."""
    return list(db.execute("SELECT id, name, removed_at FROM conversations WHERE removed_at IS NOT NULL"))


def delete_conversation(db: apsw.Connection, id: int) -> None:
    """Delete a conversation with its turns, replies and votes permanently."""
    of = "turn_id IN (SELECT id FROM chat_turns WHERE conversation_id = ?)"
    db.execute(f"DELETE FROM preferences WHERE {of}", (id,))
    db.execute(f"DELETE FROM chat_replies WHERE {of}", (id,))
    db.execute("DELETE FROM chat_turns WHERE conversation_id = ?", (id,))
    db.execute("DELETE FROM conversations WHERE id = ?", (id,))


def add_turn(
    db: apsw.Connection, conversation_id: int, parent_id: int | None, prompt: str, *, system: str = "",
    question_id: str | None = None, reference: str | None = None,
) -> int:  # fmt: skip
    """Store a prompt as the new head of its conversation; return its id.

    Args:
        db: The workspace database.
        conversation_id: The conversation.
        parent_id: The preceding turn, None for the first.
        prompt: The prompt.
        system: The system prompt.
        question_id: Id of the held-out question used as the prompt.
        reference: Reference answer of that question.
    """
    db.execute(
        """INSERT INTO chat_turns (conversation_id, parent_id, system, prompt, question_id, reference, at)
           VALUES (?, ?, ?, ?, ?, ?, ?)""",
        (conversation_id, parent_id, system, prompt, question_id, reference, time.time()),
    )
    id = db.last_insert_rowid()
    update_conversation(db, conversation_id, head=id)
    return id


def set_blind(db: apsw.Connection, turn_id: int, order: tuple[int, ...]) -> None:
    """Hide the model names of a turn and display its panes in this order."""
    db.execute("UPDATE chat_turns SET blind = ? WHERE id = ?", (json.dumps(order), turn_id))


def set_version(db: apsw.Connection, turn_id: int, version: int) -> None:
    """Select the displayed version of a turn."""
    db.execute("UPDATE chat_turns SET version = ? WHERE id = ?", (version, turn_id))


def turn(db: apsw.Connection, id: int) -> Turn | None:
    """Return a turn, or None."""
    row = db.execute("SELECT * FROM chat_turns WHERE id = ?", (id,)).fetchone()
    return _turn(row) if row else None


def path_to(db: apsw.Connection, head: int | None) -> list[Turn]:
    """Return the turns from the first to `head`; empty for None."""
    rows = db.execute(
        """WITH RECURSIVE way (id, depth) AS (
               SELECT ?1, 0 UNION ALL
               SELECT t.parent_id, depth + 1 FROM chat_turns t JOIN way ON t.id = way.id WHERE t.parent_id IS NOT NULL AND depth < ?2
           ) SELECT t.* FROM way JOIN chat_turns t ON t.id = way.id ORDER BY depth DESC""",
        (head, MAX_TURNS),
    )
    return [_turn(row) for row in rows]


def siblings(db: apsw.Connection, of: Turn) -> list[int]:
    """Return the ids of all turns with the same parent, including the turn itself, oldest first."""
    query = "SELECT id FROM chat_turns WHERE conversation_id = ? AND parent_id IS ? ORDER BY id"
    return [id for (id,) in db.execute(query, (of.conversation_id, of.parent_id))]


def newest_leaf(db: apsw.Connection, turn_id: int) -> int:
    """Return the last turn of the path below a turn that follows the newest turn at each fork."""
    query = "SELECT max(id) FROM chat_turns WHERE conversation_id = (SELECT conversation_id FROM chat_turns WHERE id = ?1) AND parent_id = ?1"
    while (after := fetch_value(db, query, (turn_id,))) is not None:
        turn_id = after
    return turn_id


def put_reply(db: apsw.Connection, reply: Reply) -> None:
    """Store or replace a reply; a reply whose turn was removed is not stored."""
    r = reply
    db.execute(
        "INSERT OR REPLACE INTO chat_replies SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ? WHERE EXISTS (SELECT 1 FROM chat_turns WHERE id = ?)",
        (r.turn_id, r.version, r.pane, r.model, r.state, r.text, r.message, json.dumps(r.facts), r.written_by, r.at, r.turn_id),
    )


def update_reply(db: apsw.Connection, reply: Reply) -> bool:
    """Replace a reply of the same model server's turn (`written_by`); return False if there is none, for example in another workspace."""
    r = reply
    db.execute(
        "UPDATE chat_replies SET state = ?, text = ?, message = ?, facts = ?, at = ? "
        "WHERE turn_id = ? AND version = ? AND pane = ? AND written_by = ?",
        (r.state, r.text, r.message, json.dumps(r.facts), r.at, r.turn_id, r.version, r.pane, r.written_by),
    )
    return db.changes() > 0


def replies(db: apsw.Connection, turn_id: int, version: int) -> list[Reply]:
    """Return the replies to one version of a turn, by pane."""
    rows = db.execute("SELECT * FROM chat_replies WHERE turn_id = ? AND version = ? ORDER BY pane", (turn_id, version))
    return [_reply(row) for row in rows]


def versions(db: apsw.Connection, turn_id: int) -> list[int]:
    """Return the reply versions of a turn, ascending."""
    query = "SELECT DISTINCT version FROM chat_replies WHERE turn_id = ? ORDER BY version"
    return [version for (version,) in db.execute(query, (turn_id,))]


def put_preference(db: apsw.Connection, preference: Preference) -> None:
    """Store or replace a vote."""
    p = preference
    db.execute(
        "INSERT OR REPLACE INTO preferences VALUES (?, ?, ?, ?, ?, ?)", (p.turn_id, p.version, p.best, p.choice, p.who, p.at)
    )


def preference(db: apsw.Connection, turn_id: int, version: int) -> Preference | None:
    """Return the vote on one version of a turn, or None."""
    row = db.execute("SELECT * FROM preferences WHERE turn_id = ? AND version = ?", (turn_id, version)).fetchone()
    return Preference(*row) if row else None


def preferences(db: apsw.Connection, page: int = 500) -> Iterator[Preference]:
    """Iterate over all votes, by turn."""
    after = (-1, -1)
    query = f"SELECT * FROM preferences WHERE (turn_id, version) > (?, ?) AND {_KEPT} ORDER BY turn_id, version LIMIT ?"
    while rows := fetch_all(db, query, (*after, page)):
        after = (rows[-1][0], rows[-1][1])
        yield from (Preference(*row) for row in rows)


def count_preferences(db: apsw.Connection) -> dict[str, int]:
    """Return the number of votes by choice."""
    return dict(db.execute(f"SELECT choice, count(*) FROM preferences WHERE {_KEPT} GROUP BY choice"))


def _conversation(row: tuple) -> Conversation:
    return from_row(Conversation, row, settings=json.loads)


def _turn(row: tuple) -> Turn:
    return from_row(Turn, row, blind=lambda order: None if order is None else tuple(json.loads(order)))


def _reply(row: tuple) -> Reply:
    return from_row(Reply, row, facts=json.loads)
