"""Storage of the replies of one turn: periodically while they are generated, when one ends, and after the turn what failed before."""

import asyncio
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict

from glan_core.errors import GlanError
from glan_core.models.model_specs import ReplyTarget, TurnSettings
from glan_core.models.pane_state import PaneState
from glan_core.workspace import DatabaseError, Workspace, chat_rows
from glan_core.workspace.chat_rows import WRITING

KEEP_SECONDS = 2.0  # between stores of unfinished text
STORE_SECONDS = 60.0  # after the end of a turn, for which replies that could not be stored are tried again
LOCKED_MS = 2000  # for which one try waits for another process that writes


class StoredReplies:
    """The replies of a turn in its workspace; those of a turn that belongs to none are not stored.

    Attributes:
        tried: Replies that have ended and of which storing was tried.
    """

    def __init__(self, settings: TurnSettings, panes: Sequence[PaneState]) -> None:
        self._settings, self._panes = settings, panes
        self.tried: set[int] = set()
        self._stored: set[int] = set()  # those that have ended and are stored
        self._storing = threading.Lock()

    async def store_periodically(self, some_ended: asyncio.Event) -> None:
        """Store new text every KEEP_SECONDS, and at once if the event tells that a reply has ended."""
        stored = 0
        while self._settings.kept:
            with suppress(TimeoutError):
                await asyncio.wait_for(some_ended.wait(), KEEP_SECONDS)
            length = sum(len(pane.text) for pane in self._panes)
            if some_ended.is_set() or length != stored:
                some_ended.clear()
                stored = length
                await asyncio.to_thread(self.store)

    async def store_rest(self) -> None:
        """After the end of the turn, store what could not be stored before, for STORE_SECONDS at most."""
        deadline = time.monotonic() + STORE_SECONDS
        while self._settings.kept and len(self._stored) < len(self._panes) and time.monotonic() < deadline:
            await asyncio.sleep(KEEP_SECONDS)
            await asyncio.to_thread(self.store)

    def store(self) -> None:
        """Store the replies; they go on if that fails, for example because the workspace is missing or the disk full."""
        kept = self._settings.kept
        if not kept:
            return
        with self._storing:  # serialized, so that an older state never overwrites a newer one
            # A reply that has ended and is stored may have been changed since.
            replies = [reply for reply in self._rows(kept) if reply.pane not in self._stored]
            if not replies:
                return
            ended = {reply.pane for reply in replies if reply.state != WRITING}
            try:
                with suppress(GlanError, OSError, DatabaseError):
                    self._stored |= ended & _update(kept.folder, replies)
            finally:
                self.tried |= ended

    def _rows(self, kept: ReplyTarget) -> list[chat_rows.Reply]:
        """Return the replies as workspace rows."""
        rows = []
        for n, (pane, now) in enumerate(zip(self._settings.panes, self._panes, strict=True)):
            state = now.state  # read before the text, which is complete once the state says so
            rows.append(chat_rows.Reply(
                kept.turn_id, kept.version, n, pane.spec, state, now.text, now.message, asdict(now.facts), self._settings.id, now.at
            ))  # fmt: skip
        return rows


def _update(folder: str, replies: Sequence[chat_rows.Reply]) -> set[int]:
    """Store replies, each in place of its row, and return those that have one: another workspace may be in the folder meanwhile."""
    ws = Workspace.open(folder)
    try:
        ws.db.set_busy_timeout(LOCKED_MS)
        with ws.write() as db:
            updated = {reply.pane for reply in replies if chat_rows.update_reply(db, reply)}
        return updated
    finally:
        ws.close()
