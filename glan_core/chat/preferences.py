"""Votes on answers that stood side by side, and the preference rows that they make."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

from glan_core.chat.conversations import chat_before
from glan_core.errors import GlanError
from glan_core.workspace import Workspace, chat_rows
from glan_core.workspace.chat_rows import DONE, STOPPED, Preference
from glan_core.workspace.output_paths import check_output

ONE, TIE, BAD = "one", "tie", "bad"


def vote(ws: Workspace, turn_id: int, version: int, choice: str, best: int | None, who: str) -> None:
    """Keep a person's vote on a version of a turn: `choice` 'one' with the `best` pane, 'tie', or 'bad' for none is good.
    GlanError for a pane that there is not, and while any still writes."""
    replies = chat_rows.replies(ws.db, turn_id, version)
    if any(reply.state == chat_rows.WRITING for reply in replies):
        raise GlanError("An answer is still being written: vote when all are there.")
    if (choice == ONE) != (best in [reply.pane for reply in replies]) or choice not in (ONE, TIE, BAD):
        raise GlanError("Vote for one of the answers, for a tie, or for none.")
    with ws.write() as db:
        chat_rows.put_preference(db, Preference(turn_id, version, best, choice, who, time.time()))


def preference_rows(ws: Workspace) -> Iterator[dict]:
    """What trainers on preferences read (TRL's DPOTrainer: `prompt`, `chosen` and `rejected` as lists of messages), a row for
    each answer that another one was preferred to; `provenance` says who, when, between which models and weights.

    Ties and votes for none make no rows, nor do answers that failed, nor those to different conversations: after the first
    turn side by side, each model had its own.
    """
    for preference in chat_rows.preferences(ws.db):
        turn = chat_rows.turn(ws.db, preference.turn_id)
        if preference.choice != ONE or turn is None:
            continue
        replies = chat_rows.replies(ws.db, turn.id, preference.version)
        asked = {reply.pane: chat_before(ws, turn, reply.model, reply.pane) for reply in replies}
        best = next(reply for reply in replies if reply.pane == preference.best)
        for other in replies:
            good = all(reply.state in (DONE, STOPPED) and reply.text.strip() for reply in (best, other))
            if other.pane == best.pane or not good or asked[other.pane] != asked[best.pane]:
                continue
            about = {
                "who": preference.who, "at": preference.at, "blind": turn.blind is not None, "question_id": turn.question_id,
                "conversation": turn.conversation_id, "turn": turn.id, "version": preference.version,
                "chosen": {"model": best.model, **best.facts}, "rejected": {"model": other.model, **other.facts},
            }  # fmt: skip
            yield {
                "prompt": asked[best.pane], "chosen": [{"role": "assistant", "content": best.text}],
                "rejected": [{"role": "assistant", "content": other.text}], "provenance": about,
            }  # fmt: skip


def to_jsonl(ws: Workspace) -> bytes:
    """All preference rows, a line each."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in preference_rows(ws)).encode()


def write_preferences(ws: Workspace, file: Path) -> int:
    """Write all preference rows to a new file; how many. GlanError when it exists, or there are none."""
    check_output(ws, file)
    rows = to_jsonl(ws)
    if not rows:
        raise GlanError("There are no preference rows yet: vote on answers side by side first.")
    file.write_bytes(rows)
    return rows.count(b"\n")


def standings(ws: Workspace) -> list[tuple[str, int, int]]:
    """How often each model was preferred, and how often it lost to another: (model, won, lost), the most preferred first."""
    won: dict[str, list[int]] = {}
    for preference in chat_rows.preferences(ws.db):
        for reply in chat_rows.replies(ws.db, preference.turn_id, preference.version):
            if preference.choice == ONE:
                won.setdefault(reply.model, [0, 0])[reply.pane != preference.best] += 1
    return sorted(((model, *counts) for model, counts in won.items()), key=lambda row: (-row[1], row[2]))
