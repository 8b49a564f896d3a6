"""`glan chat` and `glan preferences`."""

import io
import json

import pytest

from glan_core.chat import conversations, preferences
from glan_core.chat.conversations import ConversationSettings
from glan_core.cli import main
from glan_core.models.model_specs import SeededDecodingParams
from glan_core.workspace import Workspace

pytest_plugins = ["support.chat_fixtures"]
pytestmark = pytest.mark.usefixtures("talking")


@pytest.fixture
def folder(models_ws) -> str:
    return str(models_ws.folder)


@pytest.mark.long
def test_one_prompt_is_answered_by_the_newest_tuned_model_with_its_hash_beside_it(folder, models_ws, capsys):
    from glan_core.models.tuned_model_store import list_models

    assert main(["chat", folder, "--prompt", "hello", "--max-tokens", "5", "--temperature", "0"]) == 0
    out, err = capsys.readouterr()
    newest = list_models(models_ws)[0]
    assert len(out.strip()) >= 5 and newest.weights_hash[7:19] in err and "5 tokens in" in err


def test_models_side_by_side_as_json(folder, capsys):
    words = [
        "chat",
        folder,
        "--model",
        "base:tuned",
        "--model",
        "tuned:tuned",
        "--prompt",
        "hello",
        "--max-tokens",
        "5",
        "--json",
    ]
    assert main(words) == 0
    base, tuned = json.loads(capsys.readouterr().out)
    assert (base["model"], tuned["model"]) == ("base:tuned", "tuned:tuned") and base["text"] != tuned["text"]
    assert base["facts"]["weights_hash"] == tuned["facts"]["weights_hash"] and tuned["facts"]["adapter_hash"]
    assert main(words) == 0  # the same seed
    assert [answer["text"] for answer in json.loads(capsys.readouterr().out)] == [base["text"], tuned["text"]]


def test_a_dialogue_is_read_line_by_line_and_remembered(folder, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("hello\n\nand then?\n"))
    assert main(["chat", folder, "--model", "tuned:whole", "--max-tokens", "5", "--json"]) == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["prompt"], second["prompt"]) == ("hello", "and then?")
    assert second["answers"][0]["facts"]["tokens_in"] > 2 * first["answers"][0]["facts"]["tokens_in"] - 5


def test_the_self_test_is_an_exit_code(folder, capsys):
    assert main(["chat", folder, "--model", "base:tuned", "--model", "tuned:tuned", "--self-test"]) == 0
    assert "models with different files differ" in capsys.readouterr().out
    assert main(["chat", folder, "--model", "base:tuned", "--self-test", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["passed"] is True


def test_what_can_not_be_asked_is_one_line_and_a_failed_answer_an_exit_code(folder, ws, capsys):
    for words, said in (
        (["--prompt", " "], "The prompt is empty"), (["--model", "mistral"], "is not a model specification"), 
        (["--model", "tuned:x"], "does not exist"),
        (["--top-p", "0"], "top p"), (["--model", "scripted"] * 5, "At most 4"),
    ):  # fmt: skip
        assert main(["chat", folder, *words]) == 2
        err = capsys.readouterr().err
        assert said in err and err.count("\n") == 1
    assert main(["chat", str(ws.folder), "--prompt", "x"]) == 2 and "No tuned model" in capsys.readouterr().err
    assert main(["chat", folder, "--model", "openai:m@http://127.0.0.1:9", "--prompt", "x"]) == 1
    assert "cannot be reached" in capsys.readouterr().err


def test_preference_rows_are_written(folder, models_ws: Workspace, tmp_path, capsys):
    settings = ConversationSettings(
        specs=("base:tuned", "tuned:tuned"), decoding=SeededDecodingParams(temperature=0, max_tokens=5)
    )
    id = conversations.ask(models_ws, None, settings, "hello")
    while conversations.view_turns(models_ws, conversations.get_conversation(models_ws, id))[0].writing:
        pass
    preferences.vote(models_ws, conversations.get_conversation(models_ws, id).head, 0, "one", 1, "Ada")
    assert main(["preferences", folder, str(tmp_path / "rows.jsonl")]) == 2  # both replies were cut at 5 tokens
    assert "no preference rows" in capsys.readouterr().err
    with models_ws.write() as db:
        db.execute("UPDATE chat_replies SET facts = json_set(facts, '$.finish', 'stop')")
    assert main(["preferences", folder, str(tmp_path / "rows.jsonl")]) == 0
    assert "Wrote 1 preference row to" in capsys.readouterr().out
    assert json.loads((tmp_path / "rows.jsonl").read_text())["provenance"]["chosen"]["model"] == "tuned:tuned"
    assert main(["serve-models", "--idle", "0"]) == 2
