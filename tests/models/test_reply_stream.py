"""Tests for what a reply stream stores in the workspace."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import apsw
import pytest

from glan_core.errors import GlanError
from glan_core.models import reply_stream, stored_replies
from glan_core.models.model_specs import ReplyTarget, ResolvedModel, TurnSettings
from glan_core.teachers.contract import Reply
from glan_core.workspace import Workspace, chat_rows
from glan_core.workspace.chat_rows import DONE, STOPPED, WRITING


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
        """Do nothing."""


@pytest.fixture
def answer(ws, monkeypatch):
    """Return a function that answers a turn with two models and returns the stored replies and the last picture.

    The second model answers after the first reply has ended and `between` was called; `after` is called when the turn has ended.
    With `stop` the second is stopped instead.
    """
    monkeypatch.setattr(stored_replies, "KEEP_SECONDS", 0.01)
    monkeypatch.setattr(stored_replies, "STORE_SECONDS", 0.1)
    with ws.write() as db:
        turn = chat_rows.add_turn(db, chat_rows.add_conversation(db, "Why?", {}), None, "Why?")
        for pane, name in enumerate(("first", "second")):
            chat_rows.put_reply(db, chat_rows.Reply(turn, 0, pane, name, WRITING, "", "", {}, "t", 0.0))
    panes = tuple(ResolvedModel(spec=name, teacher=name) for name in ("first", "second"))
    chats = (({"role": "user", "content": "Why?"},),) * 2
    settings = TurnSettings(id="t", panes=panes, chats=chats, kept=ReplyTarget(folder=str(ws.folder), turn_id=turn, version=0))

    async def answered(between: Callable[[], object], after: Callable[[], object], *, stop: bool) -> dict:
        events = {"first": asyncio.Event(), "second": asyncio.Event()}
        events["first"].set()
        monkeypatch.setattr(reply_stream, "open_teacher", lambda name, *args, **values: Waiting(events[name]))
        with ThreadPoolExecutor(2) as pool:
            stream = reply_stream.Turn(settings, "", None, pool)
            running = asyncio.create_task(stream.run())
            async for _ in stream.events():
                if stream.picture()["panes"][0]["state"] == DONE and not events["second"].is_set():
                    between()
                    if stop:
                        stream.stop()
                    events["second"].set()
            after()
            await running
        return stream.picture()

    def nothing() -> None:
        pass

    def run(
        between: Callable[[], object] = nothing, after: Callable[[], object] = nothing, *, stop: bool = False
    ) -> tuple[list[chat_rows.Reply], dict]:
        picture = asyncio.run(asyncio.wait_for(answered(between, after, stop=stop), 60))
        return chat_rows.replies(ws.db, turn, 0), picture

    return run


def test_what_is_changed_after_a_reply_was_stored_stays(ws, answer):
    def change() -> None:
        with ws.write() as db:
            db.execute("UPDATE chat_replies SET message = 'changed' WHERE pane = 0")

    (first, second), _ = answer(change)
    assert (first.state, first.message) == (DONE, "changed")
    assert (second.state, second.text, second.message) == (DONE, "Because.", "")


FAULTS = [
    GlanError("The workspace is locked."),
    OSError(28, "No space left on device"),
    apsw.CorruptError("disk image is malformed"),
]


@pytest.mark.parametrize("until", ["between", "after"])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
@pytest.mark.parametrize("stop", [False, True], ids=["answered", "stopped"])
def test_a_reply_that_could_not_be_stored_is_stored_later(answer, monkeypatch, fault, until, stop):
    monkeypatch.setattr(stored_replies, "STORE_SECONDS", 60.0)
    faulty = [True]
    open_workspace = Workspace.open

    def opened(folder):
        if faulty:
            raise fault
        return open_workspace(folder)

    monkeypatch.setattr(stored_replies.Workspace, "open", opened)
    replies, _ = answer(**{until: faulty.clear}, stop=stop)
    assert [reply.state for reply in replies] == [DONE, STOPPED if stop else DONE] and replies[0].text == "Because."


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
def test_a_turn_ends_although_nothing_can_be_stored(answer, monkeypatch, fault):
    def full(db, reply) -> None:
        raise fault

    monkeypatch.setattr(chat_rows, "update_reply", full)
    replies, picture = answer()
    assert [reply.state for reply in replies] == [WRITING] * 2 and picture["ended"]
    assert [pane["state"] for pane in picture["panes"]] == [DONE, DONE]


def test_a_commit_that_fails_is_repeated(answer, monkeypatch):
    monkeypatch.setattr(stored_replies, "STORE_SECONDS", 60.0)
    faults = [GlanError("The disk is full.")] * 3
    write = Workspace.write

    @contextmanager
    def writing(ws, detail: str = ""):
        with write(ws, detail) as db:
            yield db
            if faults:
                raise faults.pop()

    monkeypatch.setattr(Workspace, "write", writing)
    replies, _ = answer()
    assert not faults and [(reply.state, reply.text) for reply in replies] == [(DONE, "Because.")] * 2


def test_a_reply_of_another_workspace_in_the_folder_is_left_alone(answer, ws):
    def replace() -> None:
        with ws.write() as db:
            db.execute("UPDATE chat_replies SET written_by = 'other', text = 'Other.', state = 'done' WHERE pane = 1")

    replies, _ = answer(replace)
    assert [reply.text for reply in replies] == ["Because.", "Other."]


def test_a_turn_without_a_workspace_ends_at_once(monkeypatch):
    monkeypatch.setattr(stored_replies, "STORE_SECONDS", 1000.0)

    async def answered() -> None:
        event = asyncio.Event()
        event.set()
        monkeypatch.setattr(reply_stream, "open_teacher", lambda *args, **values: Waiting(event))
        panes, chats = (ResolvedModel(spec="one", teacher="one"),), (({"role": "user", "content": "Why?"},),)
        with ThreadPoolExecutor(1) as pool:
            await reply_stream.Turn(TurnSettings(id="t", panes=panes, chats=chats), "", None, pool).run()

    asyncio.run(asyncio.wait_for(answered(), 100))
