"""`glan finetune` and `glan models`: what they print, what they refuse, exit codes."""

import json

import pytest
from support.model_rows import put_model
from support.training_fixtures import TINY

from glan_core import runs
from glan_core.cli import main
from glan_core.errors import GlanError
from glan_core.models import tuned_model_store
from glan_core.training.command_line import finetune_command
from glan_core.training.recipes import RECIPES
from glan_core.training.settings import FinetuneSettings, Scratch
from glan_core.workspace import run_rows, training_rows

pytest_plugins = ["support.training_fixtures"]
SMALL = [word for name in Scratch.model_fields for word in (f"--{name}", str(getattr(TINY, name)))]


def finetune(ws, *words: str) -> list[str]:
    return ["finetune", str(ws.folder), "--snapshot", "first", *SMALL, "--max-length", "384", *words]


def said(capsys, *argv: str) -> str:
    """What a command that must succeed prints."""
    assert main([str(part) for part in argv]) == 0
    return capsys.readouterr().out


def refused(capsys, *argv: str) -> str:
    """The one line that a refused command leaves on stderr."""
    assert main([str(part) for part in argv]) == 2
    told = capsys.readouterr()
    assert told.out == "" and told.err.startswith("glan: ") and told.err.count("\n") == 1
    return told.err


def test_a_plan_is_told_and_nothing_is_done(taught, capsys):
    before = len(run_rows.runs(taught.db))
    out = said(capsys, *finetune(taught, "--name", "planned", "--epochs", "2", "--plan"))
    for words in ("to train on", "per epoch", "in the loss (counted from all rows)", "parameters", "memory", "time"):
        assert words in out
    data = json.loads(said(capsys, *finetune(taught, "--name", "planned", "--epochs", "2", "--plan", "--json")))
    assert data["steps"] == 2 * data["steps_per_epoch"] and data["held_out"] > 0
    assert "Warning: " in said(capsys, *finetune(taught, "--name", "planned", "--warmup-steps", "9000", "--plan"))
    assert len(run_rows.runs(taught.db)) == before and not tuned_model_store.model_folder(taught, "planned").exists()


@pytest.mark.long
def test_a_student_is_trained_shown_noted_renamed_and_removed(taught, capsys):
    out = said(capsys, *finetune(taught, "--name", "pupil", "--epochs", "1", "--global-batch-size", "4", "--per-device-batch-size", "4",
                                 "--evaluations", "2", "--prompt", "What is a triad?", "--precision", "fp32"))  # fmt: skip
    assert out.startswith("Fine-tuned pupil on ") and "validation loss" in out
    run = run_rows.runs(taught.db, 1)[0]
    assert run.params["scratch"] == TINY.model_dump() and run.params["global_batch_size"] == 4
    assert {spoken.prompt for spoken in training_rows.replies(taught.db, run.id)} == {"What is a triad?"}
    folder = taught.folder
    assert "pupil" in said(capsys, "models", folder)
    assert "Saved the note" in said(capsys, "models", folder, "note", "pupil", "Knows chords.")
    shown = json.loads(said(capsys, "models", folder, "show", "pupil", "--json"))
    assert shown["notes"] == "Knows chords." and shown["disciplines"] == {"music": shown["rows"]}
    assert "weights hash" in said(capsys, "models", folder, "show", "pupil")
    assert f"transformers serve {folder}" in said(capsys, "models", folder, "serve", "pupil")
    assert "already exists" in refused(capsys, *finetune(taught, "--name", "pupil"))
    assert said(capsys, "models", folder, "rename", "pupil", "scholar") == "pupil is now named scholar.\n"
    said(capsys, "models", folder, "remove", "scholar")
    assert "scholar" not in said(capsys, "models", folder)


def test_a_run_that_fails_has_exit_code_one_and_says_why(taught, capsys, monkeypatch):
    def full(*given, **values):
        raise GlanError("The disk is full.")

    monkeypatch.setattr("glan_core.training.finetune_job.train", full)
    assert main(finetune(taught, "--name", "short")) == 1
    assert "Failed: The disk is full." in capsys.readouterr().out


def test_a_plan_that_cannot_start_says_why_and_measures_nothing(taught, capsys):
    out = said(capsys, *finetune(taught, "--name", "short", "--max-length", "16", "--plan"))
    assert "This run cannot start: No rows are left to train on" in out
    data = json.loads(said(capsys, *finetune(taught, "--name", "short", "--max-length", "16", "--plan", "--json")))
    assert data["obstacle"].startswith("No rows are left") and data["time_basis"] != "measured"


def test_a_plan_measures_the_speed_once(taught, capsys, monkeypatch):
    from glan_core.training import speed_probe

    words = finetune(taught, "--name", "timed", "--weight-decay", "0.1", "--per-device-batch-size", "1", "--plan")
    assert "from steps measured on this machine" in said(capsys, *words)
    monkeypatch.setattr(speed_probe, "time_steps", lambda *given: pytest.fail("it was measured again"))
    assert "from steps measured on this machine" in said(capsys, *words, "--epochs", "9")


def test_in_the_background_it_says_how_to_follow_it(taught, capsys, monkeypatch):
    monkeypatch.setattr(runs, "launch", lambda ws, run_id, environment=None: None)
    data = json.loads(said(capsys, *finetune(taught, "--name", "later", "--detach", "--json")))
    run = runs.get(taught, data["run"])
    assert (run.kind, run.state, run.params["name"]) == ("finetune", "queued", "later")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--name", "Not A Name"], "name: use up to"),
        (["--name", "x", "--global-batch-size", "3", "--per-device-batch-size", "2"], "not a multiple"),
        (["--name", "x", "--epochs", "0"], "epochs: "),
        (["--name", "x", "--heads", "3"], "heads even"),
        (["--name", "x", "--recipe", "lora", "--base", "/nowhere/at/all"], "no weights in /nowhere/at/all"),
        (["--name", "x", "--snapshot", "none"], "does not exist"),
        (["--name", "x", "--max-length", "16"], "No rows are left to train on"),
        (["--name", "x", "--hidden", "4096", "--layers", "64", "--inner", "16384", "--heads", "32"], "of memory, and"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(taught, capsys, words, told):
    before = len(run_rows.runs(taught.db))
    assert told in refused(capsys, *finetune(taught, *words))
    assert len(run_rows.runs(taught.db)) == before


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["show"], "Give the name of the model"),
        (["show", "nobody"], "does not exist"),
        (["note", "whole"], "Give the text"),
        (["rename", "whole"], "Give the new name"),
        (["rename", "whole", "Not A Name"], "lowercase letters"),
        (["remove", "../whole"], "is not a valid model name"),
        (["merge", "whole"], "Give the new name"),
        (["export", "whole", "--push", "no name"], "write the repository as owner/name"),
        (["export", "whole", "--license", "Free!"], "identifier of a license"),
    ],
)
def test_models_refuse_in_one_line(ws, capsys, words, told):
    put_model(ws, "whole")
    assert told in refused(capsys, "models", ws.folder, *words)


def test_merging_and_exporting_fail_in_one_line(ws, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    put_model(ws, "whole")
    put_model(ws, "part", form="adapter", base=str(tmp_path))
    for words, told in (
        (["merge", "whole", "new"], "has no adapter to merge"), (["merge", "part", "whole"], "already exists"),
        (["export", "whole"], "No destination given"), (["export", "whole", "--push", "ada/student"], "You are not logged in"),
    ):  # fmt: skip
        code = main(["models", str(ws.folder), *words])
        printed = capsys.readouterr()
        assert (code, told in printed.err) == (2, True) or (code, told in printed.out) == (1, True), (
            words
        )  # before or in its run
    assert main(["models", str(ws.folder), "export", "whole", "--out", "/nowhere/at/all"]) == 2  # before a run is stored
    assert "cannot be written" in capsys.readouterr().err
    out = said(capsys, "models", ws.folder, "export", "whole", "--out", tmp_path / "away", "--license", "mit")
    assert out.startswith("Wrote whole to ") and "license: mit" in (tmp_path / "away" / "README.md").read_text()


def test_a_workspace_without_models_says_how_to_make_one(ws, capsys):
    assert "glan finetune" in said(capsys, "models", ws.folder)
    assert json.loads(said(capsys, "models", ws.folder, "--json")) == []


@pytest.mark.parametrize(
    ("recipe", "values"),
    [
        ("demo", {"patience": None, "keep_best": False, "epochs": 2.3456789}),
        ("demo", {"scratch": {"hidden": 64, "heads": 2}, "rows": 7, "prompts": ("What's a 'chord'?", "Why?")}),
        ("paper", {"warmup_steps": None, "warmup_ratio": 0.03, "processes": 4, "gradient_checkpointing": False}),
        ("paper-scaled", {"warmup_steps": 10, "precision": "bf16"}),
        (
            "lora",
            {"base": "/a folder/model", "method": "qlora", "patience": 2, "packing": True, "learning_rate": 1.23456789e-4},
        ),
    ],
)
def test_the_command_of_an_order_is_that_order(recipe, values):
    from glan_core.cli import build_parser
    from glan_core.cli.finetune import finetune_settings

    settings = FinetuneSettings(**RECIPES[recipe].values | {"name": "x", "snapshot": "first", "recipe": recipe} | values)
    assert finetune_settings(build_parser().parse_args(finetune_command("/some where", settings)[1:])) == settings
