"""Tests for the Models page: list, notes, renaming, removal, merging, export and serving."""

from pathlib import Path

from support.model_rows import put_model
from support.studio_app import Studio, choose, field

from glan_core import runs
from glan_core.dataset.snapshot_store import remove_snapshot
from glan_core.models import tuned_model_store
from glan_core.operations import removals

pytest_plugins = ["support.studio_fixtures"]


def heads(shown: Studio) -> list[str]:
    return [one.value.replace("\\", "") for one in (*shown.app.title, *shown.app.header)]


def test_without_models_the_page_says_what_makes_one(snapshot_ws):
    shown = Studio("models")
    assert shown.fine and "No tuned models yet" in shown.said and "Train a model" in shown.labels()
    assert "Train" in heads(shown.press("Train a model"))


def test_models_are_listed_newest_first_with_where_they_come_from(snapshot_ws):
    put_model(snapshot_ws, "older", created_at=1.7e9)
    put_model(
        snapshot_ws,
        "tuned",
        form="adapter",
        base="/models/base",
        recipe="lora",
        losses={},
        trained_parameters=30_000,
        notes="Good.",
    )
    shown = Studio("models")
    assert shown.fine and "2 models" in shown.said and "None" not in shown.said
    table = shown.table("form")
    assert table["name"].tolist() == ["tuned", "older"] and table["form"].tolist() == ["adapter", "full"]
    assert (
        "/models/base" in shown.said
        and "unchanged" in shown.said
        and "30.0k trainable of 1.1M" in shown.said
        and "validation 0.842" not in shown.said
    )
    names = shown.table("discipline")
    assert names["discipline"].tolist() == ["Mathematics", "Music"] and field(shown, "notes_tuned").value == "Good."
    shown = Studio("models", model="older")
    assert "older" in heads(shown) and "initialized from scratch" in shown.said
    assert shown.app.query_params["model"] == "older"
    remove_snapshot(snapshot_ws, "first")
    assert "removed" in Studio("models").said


def test_a_model_whose_snapshot_was_taken_anew_says_that_it_is_another(snapshot_ws):
    put_model(snapshot_ws, "student", snapshot_hash="sha256:other")
    assert "replaced" in Studio("models").said


def test_notes_are_kept(snapshot_ws):
    put_model(snapshot_ws, "student")
    shown = Studio("models")
    field(shown, "notes_student").set_value("Knows its topics.")
    shown.app.run()
    assert shown.fine and tuned_model_store.read_model(snapshot_ws, "student").notes == "Knows its topics."


def test_a_model_is_renamed_and_stays_picked(snapshot_ws):
    put_model(snapshot_ws, "student", created_at=1.7e9)
    put_model(snapshot_ws, "other")
    shown = Studio("models", model="student")
    choose(shown, new_name_student="Other").press("Rename")
    assert "already exists" in shown.said and tuned_model_store.read_model(snapshot_ws, "student")
    choose(shown, new_name_student="Pupil").press("Rename")
    assert shown.fine and {model.name for model in tuned_model_store.list_models(snapshot_ws)} == {"pupil", "other"}
    assert "pupil" in heads(shown)


def test_a_removed_model_is_restored_on_the_workspaces_page(snapshot_ws):
    put_model(snapshot_ws, "student")
    shown = Studio("models").press("Remove student")
    assert shown.fine and not tuned_model_store.list_models(snapshot_ws) and "No tuned models yet" in shown.said
    shown.go("workspaces")
    assert "Removed: 1 item" in shown.said and shown.table("at")["name"].tolist() == ["student"]
    shown.press("Restore")
    assert [model.name for model in tuned_model_store.list_models(snapshot_ws)] == ["student"]
    assert "Restored: model student." in [one.value for one in shown.app.toast] and "Removed:" not in shown.said
    tuned_model_store.remove_model(snapshot_ws, "student")
    Studio("workspaces").press("Delete permanently")
    assert removals.list_removals(snapshot_ws) == [] and not list((snapshot_ws.folder / ".removed").iterdir())


def test_what_another_model_stands_on_is_not_removed(snapshot_ws):
    base = put_model(snapshot_ws, "ground", created_at=1.7e9)
    put_model(snapshot_ws, "storey", form="adapter", base=str(base.weights(snapshot_ws)))
    shown = Studio("models", model="ground").press("Remove ground")
    assert shown.fine and "is the base of storey" in shown.said and len(tuned_model_store.list_models(snapshot_ws)) == 2


def test_only_an_adapter_can_be_merged(snapshot_ws, launched):
    put_model(snapshot_ws, "whole", created_at=1.7e9)
    put_model(snapshot_ws, "part", form="adapter", base="/models/base")
    assert "Merge" not in Studio("models", model="whole").labels()
    shown = Studio("models", model="part").press("Merge")
    [run_id] = launched
    assert runs.get(snapshot_ws, run_id).params == {"kind": "merge", "model": "part", "name": "part-merged"}
    assert shown.fine


def test_a_model_is_taken_away_to_a_folder_of_the_workspace(snapshot_ws, monkeypatch):
    monkeypatch.setattr("glan_core.runs.launcher.launch", lambda ws, run_id, environment=None: runs.work(ws, run_id))
    put_model(snapshot_ws, "student")
    shown = Studio("models")
    target = field(shown, "export_path_student").value
    choose(shown, export_license_student="cc-by-4.0").press("Export to folder")
    assert shown.fine and "# student" in Path(target, "README.md").read_text()
    choose(shown, export_path_student=str(snapshot_ws.folder / "snapshots")).press("Export to folder")
    assert shown.fine and "cannot be written" in shown.said
    choose(shown, export_path_student=str(snapshot_ws.folder / "student")).press("Export to folder")
    assert shown.fine and "inside a workspace" in shown.said and not (snapshot_ws.folder / "student").exists()
    choose(shown, export_repo_student="no name")
    shown.press("Upload to Hub")
    assert shown.fine and "as owner/name" in shown.said


def test_it_says_how_a_model_is_served(snapshot_ws):
    put_model(snapshot_ws, "student")
    shown = Studio("models")
    assert (
        f"vllm serve {tuned_model_store.model_folder(snapshot_ws, 'student')}/weights --served-model-name student" in shown.said
    )


def test_talking_to_a_model_asks_the_chat_for_it_and_for_its_base(snapshot_ws, monkeypatch):
    put_model(snapshot_ws, "student")
    gone = []
    monkeypatch.setattr("pages.components.shared.url_state.open_page", gone.append)
    shown = Studio("models").press("Chat")
    assert gone == ["pages/chat.py"] and shown.app.session_state["chat_asked"] == ["tuned:student", "base:student"]
