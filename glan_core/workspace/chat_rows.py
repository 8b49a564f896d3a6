"""Conversations with models: turns, the replies of every pane, and which reply people preferred."""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import apsw

WRITING, DONE, STOPPED, FAILED = "writing", "done", "stopped", "failed"
MOST_TURNS = 2000  # of one way through a conversation


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation. `settings` are those of its next turn (`chat.conversations.Settings` as plain values), `head` the last
    turn of the way that is shown."""

    id: int
    name: str
    settings: dict
    head: int | None
    created_at: float
    changed_at: float


@dataclass(frozen=True, slots=True)
class Turn:
    """A prompt. `question_id` and `reference` name the held-out row that it was taken from, None for a person's own. `blind`
    is the order in which the panes are shown while their names are hidden, None where they are not. `version` counts."""

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
    """What a pane said in a version of a turn. `state`: 'writing', 'done', 'stopped' or 'failed', with the reason in
    `message`. `facts` are the weights' hashes, sampling, tokens and seconds (`chat.turns.Facts`). `written_by` names the piece
    of work of the model process that writes it."""

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
    """A person's vote on a version of a turn: `choice` 'one', 'tie' or 'bad', and with 'one' the `best` pane."""

    turn_id: int
    version: int
    best: int | None
    choice: str
    who: str
    at: float


def add_conversation(db: apsw.Connection, name: str, settings: Mapping) -> int:
    """Store an empty conversation; its number."""
    now = time.time()
    db.execute(
        "INSERT INTO conversations (name, settings, created_at, changed_at) VALUES (?, ?, ?, ?)",
        (name, json.dumps(settings), now, now),
    )
    return db.last_insert_rowid()


def conversation(db: apsw.Connection, id: int) -> Conversation | None:
    """A conversation, or None."""
    row = db.execute("SELECT * FROM conversations WHERE id = ?", (id,)).fetchone()
    return row and _conversation(row)


def conversations(db: apsw.Connection, words: str = "", limit: int = 50) -> list[Conversation]:
    """Conversations, those changed last first. With `words`: whose name, prompts or replies hold them as they stand."""
    pattern = "%" + words.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_") + "%"
    rows = db.execute(
        r"""SELECT c.* FROM conversations c WHERE ?2 = '' OR c.name LIKE ?1 ESCAPE '\' OR EXISTS (
                SELECT 1 FROM chat_turns t LEFT JOIN chat_replies r ON r.turn_id = t.id
                WHERE t.conversation_id = c.id AND (t.prompt LIKE ?1 ESCAPE '\' OR r.text LIKE ?1 ESCAPE '\'))
            ORDER BY c.changed_at DESC, c.id DESC LIMIT ?3""",
        (pattern, words, limit),
    )
    return [_conversation(row) for row in rows]


def count_conversations(db: apsw.Connection) -> int:
    """How many conversations there are."""
    return db.execute("SELECT count(*) FROM conversations").fetchone()[0]


def update_conversation(db: apsw.Connection, id: int, **values: object) -> None:
    """Set `name`, `settings` or `head`; a conversation that is gone stays so."""
    if "settings" in values:
        values["settings"] = json.dumps(values["settings"])
    names = ", ".join(f"{name} = ?" for name in values)
    db.execute(f"UPDATE conversations SET {names}, changed_at = ? WHERE id = ?", (*values.values(), time.time(), id))


def remove_conversation(db: apsw.Connection, id: int) -> None:
    """Remove a conversation with its turns, replies and votes."""
    of = "turn_id IN (SELECT id FROM chat_turns WHERE conversation_id = ?)"
    db.execute(f"DELETE FROM preferences WHERE {of}", (id,))
    db.execute(f"DELETE FROM chat_replies WHERE {of}", (id,))
    db.execute("DELETE FROM chat_turns WHERE conversation_id = ?", (id,))
    db.execute("DELETE FROM conversations WHERE id = ?", (id,))


def add_turn(
    db: apsw.Connection, conversation_id: int, parent_id: int | None, prompt: str, *, system: str = "",
    question_id: str | None = None, reference: str | None = None,
) -> int:  # fmt: skip
    """Store a prompt after another one, None: as the first; its number. It becomes the head."""
    db.execute(
        """INSERT INTO chat_turns (conversation_id, parent_id, system, prompt, question_id, reference, at)
           VALUES (?, ?, ?, ?, ?, ?, ?)""",
        (conversation_id, parent_id, system, prompt, question_id, reference, time.time()),
    )
    id = db.last_insert_rowid()
    update_conversation(db, conversation_id, head=id)
    return id


def set_blind(db: apsw.Connection, turn_id: int, order: tuple[int, ...]) -> None:
    """Hide the names of a turn's panes, which are shown in this order."""
    db.execute("UPDATE chat_turns SET blind = ? WHERE id = ?", (json.dumps(order), turn_id))


def set_version(db: apsw.Connection, turn_id: int, version: int) -> None:
    """Say which version of a turn counts."""
    db.execute("UPDATE chat_turns SET version = ? WHERE id = ?", (version, turn_id))


def turn(db: apsw.Connection, id: int) -> Turn | None:
    """A turn, or None."""
    row = db.execute("SELECT * FROM chat_turns WHERE id = ?", (id,)).fetchone()
    return row and _turn(row)


def way_to(db: apsw.Connection, head: int | None) -> list[Turn]:
    """The turns from the first to this one; none for None."""
    rows = db.execute(
        """WITH RECURSIVE way (id, depth) AS (
               SELECT ?1, 0 UNION ALL
               SELECT t.parent_id, depth + 1 FROM chat_turns t JOIN way ON t.id = way.id WHERE t.parent_id IS NOT NULL AND depth < ?2
           ) SELECT t.* FROM way JOIN chat_turns t ON t.id = way.id ORDER BY depth DESC""",
        (head, MOST_TURNS),
    )
    return [_turn(row) for row in rows]


def siblings(db: apsw.Connection, of: Turn) -> list[int]:
    """The turns that stand in the same place of the conversation, in the order in which they were written, itself included."""
    query = "SELECT id FROM chat_turns WHERE conversation_id = ? AND parent_id IS ? ORDER BY id"
    return [id for (id,) in db.execute(query, (of.conversation_id, of.parent_id))]


def last_below(db: apsw.Connection, turn_id: int) -> int:
    """The end of the way from a turn on, which at every fork takes the turn that was written last."""
    query = "SELECT max(id) FROM chat_turns WHERE conversation_id = (SELECT conversation_id FROM chat_turns WHERE id = ?1) AND parent_id = ?1"
    while (after := db.execute(query, (turn_id,)).fetchone()[0]) is not None:
        turn_id = after
    return turn_id


def put_reply(db: apsw.Connection, reply: Reply) -> None:
    """Store a reply in the place of what was known of it; one whose turn is gone is not stored."""
    r = reply
    db.execute(
        "INSERT OR REPLACE INTO chat_replies SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ? WHERE EXISTS (SELECT 1 FROM chat_turns WHERE id = ?)",
        (r.turn_id, r.version, r.pane, r.model, r.state, r.text, r.message, json.dumps(r.facts), r.written_by, r.at, r.turn_id),
    )


def replies(db: apsw.Connection, turn_id: int, version: int) -> list[Reply]:
    """The replies of a turn's version, by their panes."""
    rows = db.execute("SELECT * FROM chat_replies WHERE turn_id = ? AND version = ? ORDER BY pane", (turn_id, version))
    return [_reply(row) for row in rows]


def versions(db: apsw.Connection, turn_id: int) -> list[int]:
    """The versions of a turn's replies, the first one first."""
    query = "SELECT DISTINCT version FROM chat_replies WHERE turn_id = ? ORDER BY version"
    return [version for (version,) in db.execute(query, (turn_id,))]


def put_preference(db: apsw.Connection, preference: Preference) -> None:
    """Store a vote in the place of an earlier one."""
    p = preference
    db.execute(
        "INSERT OR REPLACE INTO preferences VALUES (?, ?, ?, ?, ?, ?)", (p.turn_id, p.version, p.best, p.choice, p.who, p.at)
    )


def preference(db: apsw.Connection, turn_id: int, version: int) -> Preference | None:
    """The vote on a version of a turn, or None."""
    row = db.execute("SELECT * FROM preferences WHERE turn_id = ? AND version = ?", (turn_id, version)).fetchone()
    return row and Preference(*row)


def preferences(db: apsw.Connection, page: int = 500) -> Iterator[Preference]:
    """All votes, in the order of their turns."""
    after = (-1, -1)
    query = "SELECT * FROM preferences WHERE (turn_id, version) > (?, ?) ORDER BY turn_id, version LIMIT ?"
    while rows := db.execute(query, (*after, page)).fetchall():
        after = rows[-1][:2]
        yield from (Preference(*row) for row in rows)


def count_preferences(db: apsw.Connection) -> dict[str, int]:
    """How many votes there are by choice."""
    return dict(db.execute("SELECT choice, count(*) FROM preferences GROUP BY choice"))


def _conversation(row: tuple) -> Conversation:
    id, name, settings, *rest = row
    return Conversation(id, name, json.loads(settings), *rest)


def _turn(row: tuple) -> Turn:
    *first, blind, version, at = row
    return Turn(*first, None if blind is None else tuple(json.loads(blind)), version, at)


def _reply(row: tuple) -> Reply:
    *first, facts, written_by, at = row
    return Reply(*first, json.loads(facts), written_by, at)
