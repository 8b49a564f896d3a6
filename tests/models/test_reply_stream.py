"""Tests for what a reply stream stores in the workspace."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from glan_core.models import reply_stream
from glan_core.models.model_specs import ReplyTarget, ResolvedModel, TurnSettings
from glan_core.teachers.contract import Reply
from glan_core.workspace import chat_rows
from glan_core.workspace.chat_rows import DONE


class Waiting:
    """A teacher that replies once an event is set."""

    def __init__(self, event: asyncio.Event) -> None:
        self.event = event

    async def stream(self, messages, decoding):
        """Yield the reply as one piece."""
        await self.event.wait()
        yield "Because."
        yield Reply("Because.", "length", 3, 2)

    async def close(self) -> None:
        """Nothing is open."""


def test_a_reply_that_has_ended_is_stored_once_and_what_is_changed_then_stays(ws, monkeypatch):
    with ws.write() as db:
        conversation = chat_rows.add_conversation(db, "Why?", {})
        turn = chat_rows.add_turn(db, conversation, None, "Why?")
    panes = tuple(ResolvedModel(spec=name, teacher=name) for name in ("first", "second"))
    chats = (({"role": "user", "content": "Why?"},),) * 2
    settings = TurnSettings(id="t", panes=panes, chats=chats, kept=ReplyTarget(folder=str(ws.folder), turn_id=turn, version=0))

    async def answer() -> None:
        at_once, later = asyncio.Event(), asyncio.Event()
        at_once.set()
        monkeypatch.setattr(
            reply_stream, "open_teacher", lambda name, *args, **values: Waiting(at_once if name == "first" else later)
        )
        with ThreadPoolExecutor(2) as pool:
            answered = reply_stream.Turn(settings, "", None, pool)
            running = asyncio.create_task(answered.run())
            async for event in answered.events():
                if event is None and answered.picture()["panes"][0]["state"] == DONE and not later.is_set():  # also stored
                    with ws.write() as db:
                        db.execute("UPDATE chat_replies SET message = 'changed' WHERE pane = 0")
                    later.set()
            await running

    asyncio.run(asyncio.wait_for(answer(), 60))
    first, second = chat_rows.replies(ws.db, turn, 0)
    assert (first.state, first.message) == (DONE, "changed")
    assert (second.state, second.text) == (DONE, "Because.")
