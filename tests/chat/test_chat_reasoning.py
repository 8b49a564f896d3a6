"""Reasoning in chats: streamed, collapsed on the page, and no part of later turns, preference rows and exports."""

import json

import pytest
from aiohttp import web
from support.runs import Served, wait_for
from support.studio_app import Studio

from glan_core.chat import conversations, preferences
from glan_core.chat.conversations import ConversationSettings
from glan_core.teachers.connections import Connection, save_connection
from glan_core.workspace import chat_rows

pytest_plugins = ["support.chat_fixtures", "support.studio_fixtures"]
pytestmark = pytest.mark.usefixtures("talking")


def said(ws, id: int) -> list[conversations.TurnView]:
    """Return the turns of a conversation once all replies are complete."""
    return wait_for(
        lambda: (turns := conversations.view_turns(ws, conversations.get_conversation(ws, id)))
        and not any(turn.writing for turn in turns) and turns, "the replies end",
    )  # fmt: skip


def ask(ws, id: int | None, prompt: str, settings: ConversationSettings) -> int:
    """Ask and wait for the replies; return the conversation."""
    id = conversations.ask(ws, id, settings, prompt)
    said(ws, id)
    return id


def thinking_endpoint(bodies: list[dict], *, fields: bool):
    """Return a handler that streams a thought and an answer, the thought in a field of its own or in tags."""

    async def handle(request):
        bodies.append(body := await request.json())
        answer = f"Answer {len(body['messages'])}."
        deltas = [{"reasoning_content": "Let me "}, {"reasoning_content": "think."}, {"content": answer}]
        if not fields:
            deltas = [{"content": "<think>Let me "}, {"content": f"think.</think>\n\n{answer}"}]
        events = [{"choices": [{"delta": delta, "finish_reason": None}]} for delta in deltas]
        usage = {"prompt_tokens": 9, "completion_tokens": 20, "completion_tokens_details": {"reasoning_tokens": 12}}
        events += [{"choices": [{"delta": {}, "finish_reason": "stop"}]}, {"choices": [], "usage": usage}]
        raw = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
        return web.Response(body=raw.encode(), content_type="text/event-stream")

    return handle


@pytest.mark.long
@pytest.mark.parametrize("fields", [True, False])
def test_reasoning_is_shown_apart_and_not_sent_again(models_ws, fields):
    bodies: list[dict] = []
    with Served(thinking_endpoint(bodies, fields=fields)) as endpoint:
        settings = ConversationSettings(specs=(f"openai:thinker@{endpoint.url}", "scripted"))
        id = ask(models_ws, None, "First?", settings)
        ask(models_ws, id, "Second?", settings)
    first, second = said(models_ws, id)
    reply = first.replies[0]
    assert conversations.answer_text(reply) == "Answer 1." and "Let me think." in reply.text
    assert reply.facts["tokens_reasoning"] == 12 and reply.facts["tokens_out"] == 20
    assert [message["content"] for message in bodies[1]["messages"]] == ["First?", "Answer 1.", "Second?"]
    conversation = conversations.get_conversation(models_ws, id)
    rows = [json.loads(line) for line in conversations.to_jsonl(models_ws, conversation)]
    mine = next(row for row in rows if row["model"].startswith("openai:thinker") and row["turn"] == second.turn.id)
    assert mine["reasoning"] == "Let me think." and "think" not in json.dumps(mine["messages"])
    shown = conversations.to_markdown(models_ws, conversation)
    assert "<details><summary>Reasoning</summary>\n\nLet me think." in shown
    preferences.vote(models_ws, first.turn.id, 0, preferences.ONE, 0, "Ada")
    [row] = [row for row in preferences.preference_rows(models_ws) if row["provenance"]["turn"] == first.turn.id]
    assert row["chosen"] == [{"role": "assistant", "content": "Answer 1."}]


def test_the_page_collapses_reasoning_and_names_a_reply_without_an_answer(starter_ws):
    settings = ConversationSettings(specs=("scripted",))
    with starter_ws.write() as db:
        id = chat_rows.add_conversation(db, "Thoughts", settings.model_dump(mode="json"))
        turn = chat_rows.add_turn(db, id, None, "What?", system="")
        facts = {"temperature": 0.7, "top_p": 0.95, "max_tokens": 64, "seed": 0, "tokens_in": 3, "tokens_out": 64, "seconds": 1.0,
                 "tokens_reasoning": 60, "finish": "length"}  # fmt: skip
        chat_rows.put_reply(
            db, chat_rows.Reply(turn, 0, 0, "openai:thinker", "done", "<think>Hmm, let me see", "", facts, None, 1.0)
        )
    shown = Studio("chat", chat=str(id))
    shown.app.session_state["talk_chat"] = id
    shown.app.run()
    assert shown.fine and "Reasoning · 60 tokens" in [one.label for one in shown.app.expander]
    assert "The reply has only reasoning and no answer. Increase max new tokens." in shown.said


def test_a_saved_connection_can_be_asked(models_ws, monkeypatch):
    seen = []

    async def handle(request):
        seen.append((request.headers.get("Authorization"), request.headers.get("X-Title"), await request.json()))
        return web.json_response({"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]})

    with Served(handle) as endpoint:
        save_connection(
            Connection(name="mine", model="m", base_url=endpoint.url, headers={"X-Title": "GLAN"}, extra_body={"top_k": 5})
        )
        id = ask(models_ws, None, "Hello?", ConversationSettings(specs=("@mine",)))
    (turn,) = said(models_ws, id)
    assert (turn.replies[0].state, turn.replies[0].text, turn.replies[0].model) == ("done", "Hi", "@mine")
    assert seen[0][1] == "GLAN" and seen[0][2]["top_k"] == 5 and seen[0][2]["model"] == "m"
