"""The Chat page in its states: nobody to talk to, talking, side by side, blind, forked, failed, read-only."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.chat_models import make_full, make_tuned
from support.studio_app import ROOT, Studio

from glan_core.chat import conversations
from glan_core.chat.conversations import ConversationSettings
from glan_core.dataset.settings import SnapshotSettings
from glan_core.dataset.snapshot_job import create_snapshot
from glan_core.models import server_client
from glan_core.models.model_specs import SeededDecodingParams
from glan_core.runs.heartbeat import Progress
from glan_core.workspace import Workspace, chat_rows, run_rows
from pages.components.chat import page_state

pytest_plugins = ["support.studio_fixtures", "support.chat_fixtures"]
pytestmark = pytest.mark.usefixtures("talking")

SIDE_BY_SIDE = "base:tuned,tuned:tuned"
# Letters have the highest scores in these untrained models, so that the 8 likeliest tokens are letters for every seed.
LETTERS = {"talk_temperature": 2.0, "talk_top_k": 8}
SHORT = {"talk_max_tokens": 12, **LETTERS}


def freeze(ws: Workspace, name: str) -> None:
    """A snapshot of a workspace, with rows held out."""
    settings = SnapshotSettings(name=name, validation_share=0.2)
    with ws.write() as db:
        run_id = run_rows.add_run(db, "snapshot", name, settings.model_dump(mode="json"))
    with Progress(ws, run_id, "test") as progress:
        create_snapshot(ws, settings, progress)


@pytest.fixture(scope="module")
def tuned_made(demo_made, chat_base, tmp_path_factory):
    """The demo workspace with a snapshot, an adapter and a whole model that learned from it."""
    import shutil

    folder = tmp_path_factory.mktemp("tuned") / "demo"
    shutil.copytree(demo_made, folder)
    ws = Workspace.open(folder)
    freeze(ws, "first")
    make_full(ws, snapshot="first")
    make_tuned(ws, chat_base, snapshot="first")
    ws.close()
    return folder


@pytest.fixture
def tuned_ws(home, tuned_made):
    import shutil

    ws = Workspace.open(shutil.copytree(tuned_made, home / "demo"))
    yield ws
    ws.close()


def ask(shown: Studio, prompt: str) -> Studio:
    """Type a prompt, and look on until the answer is there."""
    for key, value in SHORT.items():
        if key in shown.app.session_state:
            shown.app.session_state[key] = value
    shown.app.chat_input[0].set_value(prompt).run()
    assert shown.fine
    return finished(shown)


def finished(shown: Studio) -> Studio:
    """Look on until the answers are complete."""
    return shown.until(lambda shown: "Generating replies" not in shown.app.chat_input[0].placeholder)


def chat_fields(shown: Studio) -> dict:
    """How the fields say that answers are drawn."""
    names = {name: f"talk_{name}" for name in SeededDecodingParams.model_fields}
    fields = {field.key: field.value for field in shown.app.number_input}
    return {name: fields[key] for name, key in names.items()}


def press(shown: Studio, key: str) -> Studio:
    next(button for button in shown.app.button if button.key and button.key.startswith(key)).click().run()
    assert shown.fine
    return shown


# ------------------------------------------------------------------------------------------------------------- whom to ask


@pytest.mark.long
def test_without_a_model_the_scripted_teacher_can_be_talked_to(demo_ws):
    shown = Studio("chat")
    assert "No tuned models yet" in shown.said and not shown.app.chat_input
    shown.press("Chat with scripted teacher")
    ask(shown, "What is a ring?")
    assert "Scripted teacher" in shown.said and "gray-badge[scripted teacher]" in shown.said
    assert "What is a ring? · 1 turn" in shown.said and "Nearest training examples" not in shown.said


def test_the_newest_tuned_model_is_offered_with_what_it_is(tuned_ws):
    shown = Studio("chat")
    assert shown.app.session_state.talk_specs == ["tuned:tuned"]
    assert (
        chat_fields(shown) == chat_fields(Studio("chat", models="tuned:tuned")) == ConversationSettings().decoding.model_dump()
    )
    assert "10 pairs of snapshot first" in shown.said
    assert "trained from scratch" in shown.said
    shown.press("Compare with base model")
    assert shown.app.session_state.talk_specs == ["base:tuned", "tuned:tuned"]
    assert shown.app.query_params["models"] == SIDE_BY_SIDE


@pytest.mark.slow
def test_another_model_is_added_by_its_form_and_a_key_is_shown_to_nobody(tuned_ws):
    shown = Studio("chat")
    next(s for s in shown.app.selectbox if s.key == "talk_other_kind").set_value("endpoint").run()
    next(t for t in shown.app.text_input if t.key == "talk_other_model").set_value("llama").run()
    next(t for t in shown.app.text_input if t.key == "talk_other_url").set_value("http://127.0.0.1:9/v1").run()
    next(t for t in shown.app.text_input if t.key == "api_key").set_value("sk-hidden-1234567890").run()
    press(shown, "talk_add")
    assert shown.app.session_state.talk_specs == ["tuned:tuned", "openai:llama@http://127.0.0.1:9/v1"]
    ask(shown, "hello")
    assert "127.0.0.1:9/v1 cannot be reached" in shown.said and "tokens/s" in shown.said
    assert "sk-hidden" not in shown.said
    stored = Path(tuned_ws.folder / "glan.sqlite").read_bytes() + Path(tuned_ws.folder / "glan.sqlite-wal").read_bytes()
    assert b"sk-hidden" not in stored


# ------------------------------------------------------------------------------------------------------------- talking


@pytest.mark.long
def test_base_and_tuned_answer_side_by_side_with_their_weights(tuned_ws):
    shown = ask(Studio("chat", models=SIDE_BY_SIDE), "hello")
    conversation = conversations.get_conversation(tuned_ws, int(shown.app.query_params["chat"]))
    replies = chat_rows.replies(tuned_ws.db, conversation.head, 0)
    assert all(shows(shown, reply.text) for reply in replies) and replies[0].text != replies[1].text
    assert "blue-badge[adapter on]" in shown.said and "gray-badge[adapter off]" in shown.said
    assert replies[1].facts["adapter_hash"][7:15] in shown.said and replies[0].facts["weights_hash"][7:15] in shown.said
    assert "12 tokens" in shown.said and "first token after" in shown.said


def test_the_self_test_says_what_it_proved(tuned_ws):
    shown = Studio("chat", models=SIDE_BY_SIDE).press("Self-test")
    assert shown.fine and "Each model equals freshly loaded weights; models with different files differ" in shown.said


def shows(shown: Studio, text: str) -> bool:
    """Whether a page shows a reply, which has 12 letters."""
    assert re.fullmatch("[A-Za-z]{12}", text), text
    return text in shown.said


def test_asking_again_editing_and_going_back(tuned_ws):
    shown = ask(Studio("chat", models="tuned:tuned"), "hello")
    first = chat_rows.replies(tuned_ws.db, 1, 0)[0].text
    assert "2 of 2" in finished(shown.press("Regenerate")).said
    second = chat_rows.replies(tuned_ws.db, 1, 1)[0].text
    assert second != first and shows(shown, second) and not shows(shown, first)
    press(shown, "talk_version_1_before")
    assert shows(shown, first) and "1 of 2" in shown.said
    press(shown, "talk_edit_1")
    next(area for area in shown.app.text_area if area.label == "Prompt").set_value("good evening")
    finished(shown.press("Send"))
    assert "good evening" in shown.said and "tokens/s" in shown.said and "2 of 2" in shown.said
    press(shown, "talk_side_2_before")
    assert shows(shown, first) and "good evening" not in shown.said


def test_a_blind_vote_hides_the_names_until_it_is_given(tuned_ws):
    shown = Studio("chat", models=SIDE_BY_SIDE)
    next(toggle for toggle in shown.app.toggle if toggle.key == "talk_blind").set_value(True).run()
    ask(shown, "hello")
    answers = shown.said.split("hello", 1)[1]
    assert "**A**" in answers and "**B**" in answers
    assert "adapter" not in answers and "fingerprint" not in answers and "tokens/s" not in answers
    settings = chat_rows.turn(tuned_ws.db, 1).blind
    shown.press("B is better")
    vote = chat_rows.preference(tuned_ws.db, 1, 0)
    assert (vote.choice, vote.best, vote.who) == ("one", settings[1], "Ada")
    name = ("tuned (base)", "tuned")[vote.best]
    assert f"You preferred {name}. Blind vote." in shown.said and "blue-badge[:material/thumb_up: preferred]" in shown.said
    assert "adapter on" in shown.said and "1 vote in this workspace" in shown.said


@pytest.mark.long
def test_a_held_out_question_is_asked_with_its_reference_at_hand(tuned_ws):
    shown = Studio("chat", models="tuned:tuned")
    assert "tokens/s" in finished(press(shown, "talk_ask_")).said
    turn = chat_rows.turn(tuned_ws.db, 1)
    assert turn.question_id and turn.reference and "Question of the validation split" in shown.said
    assert "Reference answer" in shown.said
    shown.go("chat", focus="music")
    assert "Validation questions" in shown.said and ("Music" in shown.said or "holds nothing out in the focus" in shown.said)


@pytest.mark.long
def test_what_taught_it_this_shows_training_rows_with_their_place_and_leads_to_them(tuned_ws):
    from glan_core.dataset.snapshot_store import read_snapshot

    row = next(row for _, row in read_snapshot(tuned_ws, "first").rows("train"))
    id = conversations.ask(
        tuned_ws, None, ConversationSettings(specs=("tuned:tuned",), decoding=SeededDecodingParams(max_tokens=4)), row["prompt"]
    )
    shown = Studio("chat", models="tuned:tuned", chat=str(id)).until(lambda shown: "tokens/s" in shown.said)
    shown.press("Nearest training examples")
    assert shown.fine and "among all training rows" in shown.said
    assert " › ".join([*row["taxonomy"], row["subject"]]) in shown.said
    first = next(button for button in shown.app.button if button.label == "Open in Homework")
    assert first.key == f"talk_row_{row['id']}"  # the row that was asked about comes nearest
    first.click().run()
    assert shown.fine and shown.app.query_params["pair"] == row["id"]


def test_only_replies_of_tuned_models_have_training_rows(tuned_ws):
    of = lambda model: page_state.trained_model(tuned_ws, SimpleNamespace(model=model))  # noqa: E731
    assert of("tuned:tuned").name == "tuned"
    assert [of(model) for model in ("base:tuned", "tuned:removed", "scripted", "local:tuned")] == [None] * 4


@pytest.mark.long
def test_conversations_are_found_renamed_and_removed(tuned_ws):
    shown = ask(Studio("chat", models="tuned:tuned"), "about rings")
    press(shown, "talk_new")
    assert "New conversation · 1 conversation stored" in shown.said
    ask(shown, "about tides")
    next(field for field in shown.app.text_input if field.key == "talk_search").set_value("rings").run()
    labels = [button.label for button in shown.app.button if (button.key or "").startswith("talk_open_")]
    assert labels == ["about rings"]
    press(shown, "talk_open_1")
    assert "about rings · 1 turn" in shown.said
    next(field for field in shown.app.text_input if field.label == "Name").set_value("Algebra")
    shown.press("Rename")
    assert "Algebra · 1 turn" in shown.said
    shown.press("Remove · 1 turn")
    assert shown.fine and [c.name for c in chat_rows.conversations(tuned_ws.db)] == ["about tides"]
    assert "New conversation" in shown.said
    assert "about tides · 1 turn" in Studio("chat").said, "the page opens on the newest conversation"
    assert "New conversation" in Studio("chat", models="tuned:tuned").said


# ------------------------------------------------------------------------------------------------------------- when it fails


@pytest.mark.slow
def test_a_process_that_died_is_a_message_and_the_page_lives(tuned_ws):
    long = ConversationSettings(specs=("tuned:tuned",), decoding=SeededDecodingParams(temperature=0, max_tokens=4000))
    id = conversations.ask(tuned_ws, None, long, "hello")
    shown = Studio("chat", chat=str(id)).until(lambda shown: "▌" in shown.said)
    assert "Stop" in shown.labels()
    os.kill(server_client.status()["pid"], signal.SIGKILL)
    shown.until(lambda shown: "exited unexpectedly" in shown.said)
    ask(shown, "and now?")
    assert chat_rows.replies(tuned_ws.db, conversations.get_conversation(tuned_ws, id).head, 0)[0].state == "done"


def test_stop_keeps_what_was_written(tuned_ws):
    long = ConversationSettings(specs=("tuned:tuned",), decoding=SeededDecodingParams(temperature=0, max_tokens=4000))
    id = conversations.ask(tuned_ws, None, long, "hello")
    shown = Studio("chat", chat=str(id)).until(lambda shown: "▌" in shown.said).press("Stop")
    shown.until(lambda shown: "Stopped." in shown.said and "▌" not in shown.said)
    assert chat_rows.replies(tuned_ws.db, 1, 0)[0].text[:20] in shown.said


def test_weights_that_are_gone_are_said_to_be(tuned_ws):
    (tuned_ws.folder / "models" / "whole" / "weights" / "model.safetensors").unlink()
    shown = ask(Studio("chat", models="tuned:whole,scripted"), "hello")
    assert "has no safetensors weights" in shown.said and "[scaffold]" in shown.said


def test_a_link_to_a_conversation_or_model_that_is_gone_says_so(tuned_ws):
    assert "Conversation 99 does not exist" in Studio("chat", chat="99").said
    assert "Conversation -1 does not exist" in Studio("chat", chat="x").said
    shown = Studio("chat", models="tuned:gone")
    assert shown.fine
    shown.app.chat_input[0].set_value("hello").run()
    assert shown.fine and "does not exist" in shown.said
    assert chat_rows.count_conversations(tuned_ws.db) == 0


def test_what_a_model_writes_can_not_break_the_page(tuned_ws):
    id = conversations.ask(
        tuned_ws, None, ConversationSettings(specs=("scripted",)), "![x](http://127.0.0.1:9/spy.png) <script>alert(1)</script>"
    )
    shown = finished(Studio("chat", chat=str(id)))
    texts = [text.value for text in (*shown.app.markdown, *shown.app.caption)]
    assert shown.fine and any("spy" in text for text in texts) and not any("![" in text for text in texts)
    assert not any(text.allow_html for text in shown.app.markdown)


def test_a_read_only_workspace_can_be_read_and_not_talked_in(tuned_ws, monkeypatch):
    id = conversations.ask(
        tuned_ws, None, ConversationSettings(specs=("tuned:tuned",), decoding=SeededDecodingParams(max_tokens=4)), "hello"
    )
    while conversations.view_turns(tuned_ws, conversations.get_conversation(tuned_ws, id))[0].writing:
        time.sleep(0.02)
    tuned_ws.close()
    monkeypatch.setattr(os, "access", lambda *where: False)
    shown = Studio("chat", chat=str(id))
    assert shown.fine and "tokens/s" in shown.said
    assert shown.app.chat_input[0].disabled and "read-only" in shown.app.chat_input[0].placeholder
    assert not {"Regenerate", "Rename", "Ask"} & set(shown.labels())


CHATTING = """
import sys
sys.path[:0] = [{root!r}, {root!r} + "/tests"]
from streamlit.runtime.pages_manager import PagesManager
initialise = PagesManager.__init__
def framed(self, *args, **kwargs):
    initialise(self, *args, **kwargs)
    PagesManager.uses_pages_directory = False
PagesManager.__init__ = framed
from support.studio_app import Studio
shown = Studio("chat", models="base:tuned,tuned:tuned")
shown.app.chat_input[0].set_value("hello").run()
shown.until(lambda shown: "tokens/s" in shown.said)
shown.press("Self-test").press("Nearest training examples")
assert shown.fine and "among all training rows" in shown.said, shown.said
heavy = [name for name in ("torch", "transformers", "peft", "sklearn", "safetensors") if name in sys.modules]
print("heavy:", heavy)
"""


@pytest.mark.slow
def test_the_page_s_process_never_imports_torch(tuned_ws, home):
    """A page that answers, proves its weights and shows what taught it, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", CHATTING.format(root=str(ROOT))], env=os.environ | {"GLAN_HOME": str(home)}, timeout=200,
        capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    assert "heavy: []" in done.stdout, done.stdout[-2000:] + done.stderr[-2000:]
