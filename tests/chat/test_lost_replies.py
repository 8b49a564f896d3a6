"""Tests for replies that no model server knows."""

import pytest

from glan_core.chat import conversations
from glan_core.models import server_client
from glan_core.workspace import Workspace, chat_rows
from glan_core.workspace.chat_rows import DONE, FAILED, WRITING, Reply


@pytest.fixture
def turn(ws, monkeypatch):
    """A turn with one unfinished reply, which no server knows."""
    monkeypatch.setattr(server_client, "turn_state", lambda id: None)
    with ws.write() as db:
        id = chat_rows.add_turn(db, chat_rows.add_conversation(db, "Why?", {}), None, "Why?")
        chat_rows.put_reply(db, Reply(id, 0, 0, "scripted", WRITING, "Bec", "", {}, "t", 0.0))
    return id


def test_an_unfinished_reply_fails_and_its_text_is_kept(ws, turn):
    (shown,) = conversations.view_turn(ws, turn).replies
    assert (shown.state, shown.text, shown.message) == (FAILED, "Bec", server_client.CRASHED)
    assert chat_rows.replies(ws.db, turn, 0) == [shown]


def test_one_that_ended_before_stays_as_it_is(ws, turn):
    ended = Reply(turn, 0, 1, "scripted", DONE, "Because.", "", {}, "t", 1.0)
    with ws.write() as db:
        chat_rows.put_reply(db, ended)
    lost, other = conversations.view_turn(ws, turn).replies
    assert (lost.state, other) == (FAILED, ended) and chat_rows.replies(ws.db, turn, 0) == [lost, other]


def test_a_reply_that_is_stored_just_then_stays_complete(ws, turn, monkeypatch):
    write = Workspace.write

    def late(self, detail: str = ""):
        """Let the model server, which had the lock, store the reply first."""
        monkeypatch.setattr(Workspace, "write", write)
        with self.write() as db:
            chat_rows.put_reply(db, Reply(turn, 0, 0, "scripted", DONE, "Because.", "", {"finish": "stop"}, "t", 1.0))
        return self.write(detail)

    monkeypatch.setattr(Workspace, "write", late)
    (shown,) = conversations.view_turn(ws, turn).replies
    assert (shown.state, shown.text) == (DONE, "Because.")
    assert chat_rows.replies(ws.db, turn, 0) == [shown]
