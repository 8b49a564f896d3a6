"""Tests for conversations: storing, searching, branching, regenerating, exporting and voting."""

import json
import os
import signal
import time

import pytest

from glan_core.chat import conversations, preferences
from glan_core.chat.conversations import ConversationSettings
from glan_core.errors import GlanError
from glan_core.models import server_client
from glan_core.models.model_specs import SeededDecodingParams
from glan_core.operations import removals
from glan_core.workspace import Workspace, chat_rows

pytest_plugins = ["support.chat_fixtures"]
pytestmark = pytest.mark.usefixtures("talking")

SCRIPTED = ConversationSettings(specs=("scripted",))
BOTH = ConversationSettings(
    specs=("base:tuned", "tuned:tuned"), decoding=SeededDecodingParams(temperature=1.0, top_k=8, max_tokens=12, seed=3)
)


def said(ws, id: int) -> list[conversations.TurnView]:
    """Return the turns of a conversation once all replies are complete."""
    deadline = time.monotonic() + 60
    while True:
        shown = conversations.view_turns(ws, conversations.get_conversation(ws, id))
        if not any(turn.writing for turn in shown):
            return shown
        assert time.monotonic() < deadline
        time.sleep(0.02)


def ask(ws, id, prompt, settings=SCRIPTED, **values) -> int:
    id = conversations.ask(ws, id, settings, prompt, **values)
    said(ws, id)
    return id


@pytest.mark.long
def test_what_was_said_is_kept_with_all_that_is_known_of_it(models_ws):
    id = ask(models_ws, None, "  What is\na ring? ", BOTH)
    again = Workspace.open(models_ws.folder)
    conversation, (turn,) = conversations.get_conversation(again, id), said(again, id)
    assert conversation.name == "What is a ring?" and turn.turn.prompt == "What is\na ring?"
    assert conversations.settings_of(conversation) == BOTH
    assert [reply.model for reply in turn.replies] == ["base:tuned", "tuned:tuned"]
    for reply in turn.replies:
        assert reply.state == "done" and reply.text and reply.facts["weights_hash"].startswith("sha256:")
        assert (reply.facts["temperature"], reply.facts["seed"], reply.facts["tokens_out"]) == (1.0, 3, 12)
        assert reply.facts["seconds"] > 0
    again.close()


def test_it_is_kept_although_nobody_watches(models_ws):
    id = conversations.ask(models_ws, None, BOTH, "hello")
    deadline = time.monotonic() + 60
    while server_client.status()["writing"]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    turn = conversations.get_conversation(models_ws, id).head
    assert [reply.state for reply in chat_rows.replies(models_ws.db, turn, 0)] == ["done", "done"]


def test_each_model_is_told_what_it_said_itself(models_ws):
    settings = BOTH.model_copy(update={"system": "Be brief."})
    id = ask(models_ws, None, "first", settings)
    (first,) = said(models_ws, id)
    ask(models_ws, id, "second", settings)
    turn = said(models_ws, id)[-1].turn
    for pane, spec in enumerate(settings.specs):
        assert conversations.chat_history(models_ws, turn, spec, pane) == [
            {"role": "system", "content": "Be brief."}, {"role": "user", "content": "first"},
            {"role": "assistant", "content": first.replies[pane].text}, {"role": "user", "content": "second"},
        ]  # fmt: skip
    assert first.replies[0].text != first.replies[1].text


def test_asking_again_keeps_the_earlier_answer_as_a_version_and_draws_with_the_next_seed(models_ws):
    id = ask(models_ws, None, "hello", BOTH)
    (first,) = said(models_ws, id)
    conversations.regenerate(models_ws, first.turn.id)
    (second,) = said(models_ws, id)
    assert second.versions == [0, 1] and second.turn.version == 1
    assert [reply.facts["seed"] for reply in second.replies] == [4, 4]
    assert [reply.text for reply in second.replies] != [reply.text for reply in first.replies]
    conversations.select_version(models_ws, first.turn.id, 0)
    assert said(models_ws, id)[0].replies == first.replies
    ask(models_ws, id, "and?", BOTH)  # models see the current version
    told = conversations.chat_history(models_ws, said(models_ws, id)[-1].turn, "base:tuned", 0)
    assert told[1]["content"] == first.replies[0].text


def test_an_edited_prompt_is_another_way_and_both_stay(ws):
    id = ask(ws, None, "one")
    ask(ws, id, "two")
    one, two = said(ws, id)
    conversations.ask(ws, id, SCRIPTED, conversations.Prompt("zwei", instead_of=two.turn))
    ways = said(ws, id)
    assert [turn.turn.prompt for turn in ways] == ["one", "zwei"] and len(ways[1].siblings) == 2
    ask(ws, id, "three")
    conversations.select_sibling(ws, two.turn.id)
    assert [turn.turn.prompt for turn in said(ws, id)] == ["one", "two"]
    conversations.select_sibling(ws, ways[1].turn.id)  # to the end of the other path
    assert [turn.turn.prompt for turn in said(ws, id)] == ["one", "zwei", "three"]
    conversations.ask(ws, id, SCRIPTED, conversations.Prompt("uno", instead_of=one.turn))
    assert [turn.turn.prompt for turn in said(ws, id)] == ["uno"]


def test_conversations_are_found_by_name_prompt_and_answer(ws):
    ids = {text: ask(ws, None, text) for text in ("Ring theory", "What is 100% pure_gold?", "Tides")}
    conversations.rename_conversation(ws, ids["Tides"], "  The  sea ")
    found = lambda words: [c.id for c in chat_rows.conversations(ws.db, words)]  # noqa: E731
    assert found("") == list(reversed(ids.values())) or set(found("")) == set(ids.values())
    assert found("RING") == [ids["Ring theory"]] and found("sea") == [ids["Tides"]]
    assert found("tides") == [ids["Tides"]]  # its prompt still matches
    assert found("100%") == found("pure_") == [ids["What is 100% pure_gold?"]]
    assert found("1__%") == found("%%") == []  # no wildcards
    assert len(found("scripted teacher")) == 3  # matches in replies
    with pytest.raises(GlanError, match="name is empty"):
        conversations.rename_conversation(ws, ids["Tides"], "  ")


def test_a_removed_conversation_is_restored_or_deleted_with_turns_replies_and_votes(models_ws):
    before = [models_ws.db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in TABLES]
    id = ask(models_ws, None, "hello", BOTH)
    (turn,) = said(models_ws, id)
    preferences.vote(models_ws, turn.turn.id, 0, "one", 1, "Ada")
    name = conversations.get_conversation(models_ws, id).name
    conversations.remove_conversation(models_ws, id)
    with pytest.raises(GlanError, match="does not exist in this workspace"):
        conversations.get_conversation(models_ws, id)
    assert not chat_rows.count_preferences(models_ws.db) and not list(preferences.preference_rows(models_ws))
    (removal,) = [one for one in removals.list_removals(models_ws) if one.key == f"chat-{id}"]
    assert (removal.kind, removal.name, removal.bytes) == ("conversation", name, 0)
    removals.restore(models_ws, removal.key)
    assert conversations.get_conversation(models_ws, id).name == name and chat_rows.count_preferences(models_ws.db) == {
        "one": 1
    }
    conversations.remove_conversation(models_ws, id)
    removals.purge(models_ws, removal.key)
    assert [models_ws.db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in TABLES] == before


TABLES = ("conversations", "chat_turns", "chat_replies", "preferences")


def test_removing_while_it_is_written_stops_it(models_ws):
    long = BOTH.model_copy(update={"decoding": SeededDecodingParams(temperature=0, max_tokens=4000)})
    id = conversations.ask(models_ws, None, long, "hello")
    turn = conversations.get_conversation(models_ws, id).head
    conversations.remove_conversation(models_ws, id)
    deadline = time.monotonic() + 60
    while server_client.status()["writing"]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert {reply.state for reply in chat_rows.replies(models_ws.db, turn, 0)} == {"stopped"}


def test_stopping_keeps_what_was_written(models_ws):
    long = BOTH.model_copy(update={"decoding": SeededDecodingParams(temperature=0, max_tokens=4000)})
    id = conversations.ask(models_ws, None, long, "hello")
    turn = conversations.get_conversation(models_ws, id).head
    deadline = time.monotonic() + 60
    while not all(reply.text for reply in conversations.view_turn(models_ws, turn).replies):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    conversations.stop_turn(models_ws, turn)
    (shown,) = said(models_ws, id)
    stored = chat_rows.replies(models_ws.db, turn, 0)
    assert [reply.state for reply in shown.replies] == ["stopped"] * 2
    deadline = time.monotonic() + 20
    while any(reply.state == "writing" for reply in stored) and time.monotonic() < deadline:
        stored = chat_rows.replies(models_ws.db, turn, 0)
    assert [reply.text for reply in stored] == [reply.text for reply in shown.replies] and all(r.text for r in stored)


@pytest.mark.slow
def test_when_the_process_dies_the_answer_says_so_and_what_was_stored_stays(models_ws):
    long = BOTH.model_copy(update={"decoding": SeededDecodingParams(temperature=0, max_tokens=4000)})
    id = conversations.ask(models_ws, None, long, "hello")
    turn, deadline = conversations.get_conversation(models_ws, id).head, time.monotonic() + 60
    while not all(reply.text for reply in chat_rows.replies(models_ws.db, turn, 0)):  # stored periodically
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(server_client.status()["pid"], signal.SIGKILL)
    while server_client.status() is not None:
        time.sleep(0.02)
    (shown,) = said(models_ws, id)
    assert all(reply.state == "failed" and "exited unexpectedly" in reply.message and reply.text for reply in shown.replies)
    assert [reply.state for reply in chat_rows.replies(models_ws.db, turn, 0)] == ["failed"] * 2
    conversations.regenerate(models_ws, turn)
    assert [conversations.view_turn(models_ws, turn).versions] == [[0, 1]]
    conversations.stop_turn(models_ws, turn)


def test_what_can_not_be_asked_is_refused_with_nothing_stored(ws):
    for settings, prompt, said_ in (
        (SCRIPTED, "  ", "prompt is empty"), (ConversationSettings(), "x", "No model is selected"),
        (ConversationSettings(specs=("tuned:gone",)), "x", "does not exist"), (ConversationSettings(specs=("scripted",) * 5), "x", "at most 4"),
        (SCRIPTED, "x" * 200_001, "200,001 characters"), (ConversationSettings(specs=("openai:m@http://u:p@h",)), "x", "user name"),
    ):  # fmt: skip
        with pytest.raises(GlanError, match=said_):
            conversations.ask(ws, None, settings, prompt)
    assert chat_rows.count_conversations(ws.db) == 0


def test_a_conversation_can_be_taken_away(models_ws):
    id = ask(models_ws, None, "take me away", BOTH)
    conversations.regenerate(models_ws, said(models_ws, id)[0].turn.id)
    (turn,) = said(models_ws, id)
    conversation = conversations.get_conversation(models_ws, id)
    text = conversations.to_markdown(models_ws, conversation)
    assert text.startswith("# take me away\n") and "### tuned (base)" in text and turn.replies[1].text in text
    assert f"weights {turn.replies[1].facts['weights_hash'][7:19]}" in text and "seed 4" in text
    rows = [json.loads(line) for line in conversations.to_jsonl(models_ws, conversation)]
    assert [(row["version"], row["model"], row["counts"]) for row in rows] == [
        (0, "base:tuned", False), (0, "tuned:tuned", False), (1, "base:tuned", True), (1, "tuned:tuned", True)
    ]  # fmt: skip
    assert [message["role"] for message in rows[0]["messages"]] == ["user", "assistant"]
    assert rows[3]["adapter_hash"] and rows[3]["tokens_out"] == 12 and rows[3]["seconds"] > 0


def test_no_two_conversations_have_one_name(models_ws):
    ids = [ask(models_ws, None, "One and the same?", BOTH) for _ in range(3)]
    names = [conversations.get_conversation(models_ws, id).name for id in ids]
    assert names == ["One and the same?", "One and the same? (2)", "One and the same? (3)"]
    with pytest.raises(GlanError, match="Another conversation is named"):
        conversations.rename_conversation(models_ws, ids[2], " One and the  same? ")
    conversations.rename_conversation(models_ws, ids[2], "One and the same? (3)")  # its own name


# ------------------------------------------------------------------------------------------------------------- votes


def test_a_blind_turn_is_shuffled_and_the_shuffle_can_be_repeated(models_ws):
    id = ask(models_ws, None, "hello", BOTH.model_copy(update={"blind": True}))
    (shown,) = said(models_ws, id)
    assert shown.turn.blind == conversations.blind_order(2, shown.turn.id, 3)
    orders = {conversations.blind_order(2, turn, 3) for turn in range(30)}
    assert orders == {(0, 1), (1, 0)}


def end_replies(ws, turn_id: int, state: str = "done", finish: str = "stop", pane: int | None = None) -> None:
    """Make replies of a turn end in another way; those of the tiny models always end at the token limit."""
    with ws.write() as db:
        db.execute(
            "UPDATE chat_replies SET state = ?, facts = json_set(facts, '$.finish', ?) WHERE turn_id = ? AND (pane = ? OR ? IS NULL)",
            (state, finish, turn_id, pane, pane),
        )


@pytest.mark.parametrize(
    ("state", "finish"), [("done", "length"), ("done", "max_tokens"), ("stopped", "stopped"), ("failed", "")]
)
@pytest.mark.parametrize("pane", [0, 1])
def test_votes_on_replies_that_did_not_end_by_themselves_give_no_rows(models_ws, state, finish, pane):
    """A preference over a cut reply would teach its length."""
    (shown,) = said(models_ws, ask(models_ws, None, "hello", BOTH))
    mine = lambda: [row for row in preferences.preference_rows(models_ws) if row["provenance"]["turn"] == shown.turn.id]  # noqa: E731
    end_replies(models_ws, shown.turn.id)
    preferences.vote(models_ws, shown.turn.id, 0, "one", 1, "Ada")
    assert len(mine()) == 1
    end_replies(models_ws, shown.turn.id, state, finish, pane)
    assert mine() == []


def test_votes_become_preference_rows_that_a_trainer_reads(ws, models_ws, tmp_path):
    settings = BOTH.model_copy(update={"system": "Be brief.", "blind": True})
    id = ask(models_ws, None, conversations.Prompt("hello", "q1", "the answer"), settings)
    (first,) = said(models_ws, id)
    count = len(list(preferences.preference_rows(models_ws)))
    preferences.vote(models_ws, first.turn.id, 0, "one", 0, "Ada")
    preferences.vote(models_ws, first.turn.id, 0, "one", 1, "Ada")  # changes the vote
    ask(models_ws, id, "and now?", settings)
    second = said(models_ws, id)[-1]
    preferences.vote(models_ws, second.turn.id, 0, "one", 0, "Ada")  # different chat histories give no row
    other = ask(models_ws, None, "tie", settings)
    preferences.vote(models_ws, said(models_ws, other)[0].turn.id, 0, "tie", None, "Bo")
    for turn in (first, second):
        end_replies(models_ws, turn.turn.id)
    rows = list(preferences.preference_rows(models_ws))
    assert len(rows) == count + 1
    row = next(row for row in rows if row["provenance"]["turn"] == first.turn.id)
    assert row["prompt"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hello"}]
    assert row["chosen"] == [{"role": "assistant", "content": first.replies[1].text}]
    assert row["rejected"] == [{"role": "assistant", "content": first.replies[0].text}]
    about = row["provenance"]
    assert about["who"] == "Ada" and about["blind"] and about["question_id"] == "q1"
    assert about["chosen"]["model"] == "tuned:tuned" and about["chosen"]["adapter_hash"].startswith("sha256:")
    assert preferences.write_preferences(models_ws, tmp_path / "rows.jsonl") == len(rows)
    assert [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()] == rows
    with pytest.raises(GlanError, match="already exists"):
        preferences.write_preferences(models_ws, tmp_path / "rows.jsonl")
    with pytest.raises(GlanError, match="no preference rows"):
        preferences.write_preferences(ws, tmp_path / "none.jsonl")


def test_a_vote_that_means_nothing_is_refused(models_ws):
    (shown,) = said(models_ws, ask(models_ws, None, "hello", BOTH))
    for choice, best in (("one", None), ("one", 7), ("tie", 0), ("best", 0)):
        with pytest.raises(GlanError, match="Choose one reply"):
            preferences.vote(models_ws, shown.turn.id, 0, choice, best, "Ada")
