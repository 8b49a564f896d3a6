"""Tests for the tuned model store: card, rename, remove and export."""

import json

import pytest
import yaml
from support.model_rows import put_model
from support.runs import execute_run

from glan_core import runs
from glan_core.dataset.snapshot_store import read_snapshot
from glan_core.errors import GlanError
from glan_core.io import packaged_models
from glan_core.models import tuned_model_store
from glan_core.models.model_card import model_card, serving_commands

pytest_plugins = ["support.training_fixtures"]


def front_matter(card: str) -> dict:
    _, head, _ = card.split("---\n", 2)
    return yaml.safe_load(head)


# ------------------------------------------------------------------------------------------------------------- the card


def test_the_card_says_what_the_model_is_and_what_it_is_not(taught):
    manifest = read_snapshot(taught, "first").manifest
    model = put_model(taught, "carded", disciplines={"music": 30}, held_out=0)
    card = model_card(model, manifest, "cc-by-4.0")
    assert front_matter(card) | {"license": "cc-by-4.0", "pipeline_tag": "text-generation"} == front_matter(card)
    for words in ("# carded", "1,115,008 parameters (Mistral architecture)", model.weights_hash, "`first`", model.snapshot_hash,
                  "Validation loss (nats per token) | 0.8420", "| Arts | Music | 30 |", "recalls its topics", "scripted teacher",
                  "There is no validation split", "answer and its end token only", "AutoModelForCausalLM"):  # fmt: skip
        assert words in card, words
    assert "None" not in card and "peft" not in card


def test_the_card_of_an_adapter_names_its_base_and_one_of_a_folder_is_no_base_of_the_hub(ws):
    adapter = put_model(ws, "part", form="adapter", base="mistralai/Mistral-7B-v0.1", recipe="lora", stopped_early=True)
    card = model_card(adapter, None)
    assert front_matter(card)["base_model"] == "mistralai/Mistral-7B-v0.1" and front_matter(card)["library_name"] == "peft"
    assert (
        "A LoRA adapter for mistralai/Mistral-7B-v0.1" in card
        and "Training was ended early by a person." in card
        and "recall" not in card
    )
    local = put_model(ws, "local", form="adapter", base="/home/ada/secret/tiny-base")
    card = model_card(local, None)
    assert "base_model" not in front_matter(card) and "tiny-base" in card
    assert "/home/ada" not in card, "where somebody keeps weights is nobody else's business"


def test_names_that_are_markdown_stay_names(ws):
    model = put_model(ws, "odd", disciplines={"a|b": 1}, notes="**loud**")
    card = model_card(model, None)
    assert "a\\|b" in card and "loud" not in card


def test_serving_fits_the_form(ws):
    whole = put_model(ws, "whole")
    assert serving_commands(whole, "/w") == {
        "vLLM": "vllm serve /w --served-model-name whole",
        "transformers": "transformers serve /w",
    }
    part = put_model(ws, "part", form="adapter", base="/b", settings={"lora_rank": 20})
    assert "--max-lora-rank 32 --lora-modules part=/w" in serving_commands(part, "/w")["vLLM"]


def test_other_programs_serve_the_folder_of_a_packaged_base(ws, monkeypatch):
    monkeypatch.setenv("GLAN_CACHE_HOME", "/cache")
    part = put_model(ws, "part", form="adapter", base=packaged_models.SMOLLM2_NAME)
    command = serving_commands(part, "/w")["vLLM"]
    assert command.startswith("vllm serve /cache/models/SmolLM2-135M-Instruct-Q4_1-dequantized --enable-lora ")


# ------------------------------------------------------------------------------------------------- rename, note, remove


def test_a_rename_keeps_weights_and_facts(ws):
    before = put_model(ws, "one", notes="Kept.")
    after = tuned_model_store.rename_model(ws, "one", "two")
    assert [model.name for model in tuned_model_store.list_models(ws)] == ["two"]
    assert after.model_dump(exclude={"name"}) == before.model_dump(exclude={"name"})
    assert tuned_model_store.hash_weights(after.weights(ws)) == before.weights_hash
    assert json.loads((after.folder(ws) / tuned_model_store.FILE).read_text())["name"] == "two"


def test_a_rename_that_was_cut_short_is_read_under_its_folders_name(ws):
    put_model(ws, "one").folder(ws).rename(ws.folder / "models" / "two")
    assert tuned_model_store.read_model(ws, "two").name == "two"


@pytest.mark.parametrize("name", ["", "Two", "../two", "two words", "a/b"])
def test_no_name_leads_out_of_the_models_folder(ws, name):
    put_model(ws, "one")
    with pytest.raises(GlanError, match="is not a valid model name"):
        tuned_model_store.rename_model(ws, "one", name)
    with pytest.raises(GlanError, match="is not a valid model name"):
        tuned_model_store.remove_model(ws, name)
    assert tuned_model_store.read_model(ws, "one")


def test_what_others_stand_on_is_neither_removed_nor_renamed(ws):
    ground = put_model(ws, "ground")
    put_model(ws, "storey", form="adapter", base=str(ground.weights(ws)))
    for act in (
        lambda: tuned_model_store.remove_model(ws, "ground"),
        lambda: tuned_model_store.rename_model(ws, "ground", "earth"),
    ):
        with pytest.raises(GlanError, match="is the base of storey"):
            act()
    tuned_model_store.remove_model(ws, "storey")
    tuned_model_store.rename_model(ws, "ground", "earth")
    tuned_model_store.remove_model(ws, "earth")
    assert not list((ws.folder / "models").iterdir()), "nothing is left behind"


def test_a_damaged_model_is_passed_over_and_does_not_take_the_page_with_it(ws):
    put_model(ws, "good")
    (put_model(ws, "bad").folder(ws) / tuned_model_store.FILE).write_text("{")
    (ws.folder / "models" / "empty").mkdir()
    assert [model.name for model in tuned_model_store.list_models(ws)] == ["good"]
    with pytest.raises(GlanError, match="Available models: good"):
        tuned_model_store.read_model(ws, "bad")


# ------------------------------------------------------------------------------------------------------------ take away


def export(ws, **values):
    return execute_run(ws, values, kind="model-export")


def test_a_folder_gets_weights_tokenizer_and_card_or_nothing(ws, tmp_path):
    model = put_model(ws, "student")
    done = export(ws, model="student", path=str(tmp_path / "away"), license="mit")
    assert done.state == "finished" and done.message == f"Wrote student to {tmp_path / 'away'}."
    assert {file.name for file in (tmp_path / "away").iterdir()} == {"model.safetensors", "tokenizer.json", "README.md"}
    assert tuned_model_store.hash_weights(tmp_path / "away") == model.weights_hash
    again = export(ws, model="student", path=str(tmp_path / "away"))
    assert again.state == "failed" and "Choose a new folder" in again.message
    assert export(ws, model="student", path=str(tmp_path / "no" / "where")).state == "failed"
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith(".")] == []


class Hub:
    """Fake Hub API that records or rejects uploads."""

    def __init__(self) -> None:
        self.refusal, self.made, self.files = None, None, {}

    def create_repo(self, repo, *, repo_type, private, exist_ok):
        if self.refusal:
            raise self.refusal
        self.made = (repo, repo_type, private)
        return f"https://hub.example/{repo}"

    def upload_folder(self, *, repo_id, repo_type, folder_path, commit_message, delete_patterns):
        self.files = {file.name: file.read_bytes() for file in folder_path.iterdir()}


@pytest.fixture
def there(monkeypatch):
    """Fake Hub with a logged-in user."""
    there = Hub()
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: there)
    return there


def test_the_hub_gets_the_model_and_nobody_the_token(ws, there):
    put_model(ws, "student")
    done = export(ws, model="student", repo="ada/student")
    assert done.state == "finished" and done.message == "Uploaded student to https://hub.example/ada/student."
    assert there.made == ("ada/student", "model", True) and set(there.files) == {
        "model.safetensors",
        "tokenizer.json",
        "README.md",
    }
    assert "hf_secret" not in repr(there.files) + repr(done)
    assert not list(ws.folder.glob("glan-hub-*")), "the copy for sending is gone"


def test_an_adapter_goes_to_the_hub_without_the_place_of_its_base(ws, there):
    model = put_model(ws, "part", form="adapter", base="/home/ada/tiny-base")
    config = model.weights(ws) / "adapter_config.json"
    config.write_text(json.dumps({"base_model_name_or_path": "/home/ada/tiny-base", "r": 4}))
    assert export(ws, model="part", repo="ada/part").state == "finished"
    assert json.loads(there.files["adapter_config.json"]) == {"base_model_name_or_path": "tiny-base", "r": 4}
    assert b"/home/ada" not in b"".join(there.files.values())
    assert "/home/ada" in config.read_text(), "the model itself still knows it"


def test_a_refusal_of_the_hub_is_a_sentence(ws, there, monkeypatch):
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError

    put_model(ws, "student")
    there.refusal = HfHubHTTPError(
        "no, hf_secret", response=httpx2.Response(403, request=httpx2.Request("POST", "https://hub.example"))
    )
    done = export(ws, model="student", repo="ada/student")
    assert done.state == "failed" and "Use a token with write access" in done.message and "hf_secret" not in repr(done)
    assert not list(ws.folder.glob("glan-hub-*"))
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    assert "HF_TOKEN" in export(ws, model="student", repo="ada/student").message
    assert "No destination given" in export(ws, model="student").message
    assert "does not exist" in runs.work(ws, runs.submit(ws, "model-export", "test", {"model": "none", "path": "/x"})).message
