"""Preferences: votes on replies shown side by side, and the preference dataset they form."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

from glan_core.chat.conversations import answer_text, chat_history
from glan_core.errors import GlanError
from glan_core.io.atomic import atomic_output
from glan_core.reply_parsing import TRUNCATED
from glan_core.workspace import Workspace, chat_rows
from glan_core.workspace.chat_rows import DONE, Preference, Reply
from glan_core.workspace.output_paths import check_output

ONE, TIE, BAD = "one", "tie", "bad"


def vote(ws: Workspace, turn_id: int, version: int, choice: str, best: int | None, who: str) -> None:
    """Store a vote on a version of a turn.

    Args:
        ws: Workspace.
        turn_id: Turn.
        version: Version of the replies.
        choice: 'one' (with `best`), 'tie', or 'bad' if no reply is good.
        best: Pane of the preferred reply.
        who: Name of the voter.

    Raises:
        GlanError: If replies are still being generated or the vote is invalid.
    """
    replies = chat_rows.replies(ws.db, turn_id, version)
    if any(reply.state == chat_rows.WRITING for reply in replies):
        raise GlanError("A reply is still being generated. Vote when all replies are complete.")
    if (choice == ONE) != (best in [reply.pane for reply in replies]) or choice not in (ONE, TIE, BAD):
        raise GlanError("The vote is invalid. Choose one reply, a tie, or none.")
    with ws.write() as db:
        chat_rows.put_preference(db, Preference(turn_id, version, best, choice, who, time.time()))


def is_complete(reply: Reply) -> bool:
    """Return whether a reply ended by itself, with an answer: neither stopped, nor cut at the token limit, nor failed."""
    return reply.state == DONE and reply.facts.get("finish") not in TRUNCATED and bool(answer_text(reply).strip())


def preference_rows(ws: Workspace) -> Iterator[dict]:
    """Yield preference rows for TRL's DPOTrainer, one per reply that another one was preferred to.

    Ties and votes for none give no rows, and neither do replies that were stopped, cut at the token limit or failed: training
    would learn their length, not their quality. Replies to different chats give none either: after the first turn side by
    side, each model has its own history.

    Yields:
        `prompt`, `chosen` and `rejected` as lists of messages, and `provenance` with voter, time, models and weights.
    """
    for preference in chat_rows.preferences(ws.db):
        turn = chat_rows.turn(ws.db, preference.turn_id)
        if preference.choice != ONE or turn is None:
            continue
        replies = chat_rows.replies(ws.db, turn.id, preference.version)
        asked = {reply.pane: chat_history(ws, turn, reply.model, reply.pane) for reply in replies}
        best = next(reply for reply in replies if reply.pane == preference.best)
        for other in replies:
            if (
                other.pane == best.pane
                or not (is_complete(best) and is_complete(other))
                or asked[other.pane] != asked[best.pane]
            ):
                continue
            about = {
                "who": preference.who, "at": preference.at, "blind": turn.blind is not None, "question_id": turn.question_id,
                "conversation": turn.conversation_id, "turn": turn.id, "version": preference.version,
                "chosen": {"model": best.model, **best.facts}, "rejected": {"model": other.model, **other.facts},
            }  # fmt: skip
            yield {
                "prompt": asked[best.pane], "chosen": [{"role": "assistant", "content": answer_text(best)}],
                "rejected": [{"role": "assistant", "content": answer_text(other)}], "provenance": about,
            }  # fmt: skip


def to_jsonl(ws: Workspace) -> bytes:
    """Return all preference rows as JSON lines."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in preference_rows(ws)).encode()


def write_preferences(ws: Workspace, file: Path) -> int:
    """Write all preference rows to a new file; return their number.

    Raises:
        GlanError: If the file exists or there are no rows.
    """
    check_output(ws, file)
    rows = to_jsonl(ws)
    if not rows:
        raise GlanError("There are no preference rows. Vote on replies shown side by side first.")
    with atomic_output(file, folder=False, mark=os.getpid()) as new:
        new.write_bytes(rows)
    return rows.count(b"\n")


def win_counts(ws: Workspace) -> list[tuple[str, int, int]]:
    """Return (model, wins, losses) from all votes, most wins first."""
    won: dict[str, list[int]] = {}
    for preference in chat_rows.preferences(ws.db):
        for reply in chat_rows.replies(ws.db, preference.turn_id, preference.version):
            if preference.choice == ONE:
                won.setdefault(reply.model, [0, 0])[reply.pane != preference.best] += 1
    return sorted(((model, wins, losses) for model, (wins, losses) in won.items()), key=lambda row: (-row[1], row[2]))
