"""Kept checkpoints: their weights, losses and sizes, models made of them, and the evaluation before the first step."""

import csv
import io
import json

import pytest
from support.runs import execute_run
from support.training_fixtures import tiny_order, tuned

from glan_core.errors import GlanError
from glan_core.models import tuned_model_store
from glan_core.models.checkpoints import model_from_checkpoint, remove_checkpoint
from glan_core.models.model_specs import model_title, resolve_model, tuned_name
from glan_core.models.tuned_model_store import checkpoint_folder, hash_weights, read_model
from glan_core.training import preflight
from glan_core.training.settings import FinetuneSettings
from glan_core.workspace import Workspace, run_rows, training_rows

pytest_plugins = ["support.training_fixtures"]


@pytest.fixture(scope="module")
def kept_folder(taught_folder):
    """A workspace with a model that kept its last three checkpoints."""
    ws = Workspace.open(taught_folder)
    tuned(ws, "kept", keep_checkpoints=3, report_to="tensorboard")
    ws.close()
    return taught_folder


@pytest.fixture
def kept(kept_folder):
    ws = Workspace.open(kept_folder)
    yield ws
    ws.close()


@pytest.mark.long
def test_the_base_is_evaluated_before_the_first_step(kept):
    model = read_model(kept, "kept")
    logged = training_rows.steps(kept.db, model.run_id)
    assert logged[0].step == 0 and logged[0].loss is None and logged[0].validation_loss == model.losses["base"]
    assert model.losses["validation"] < model.losses["base"] and training_rows.replies(kept.db, model.run_id)[0].step == 0


def test_the_last_checkpoints_are_kept_with_loss_size_and_hash_and_without_optimizer(kept):
    model = read_model(kept, "kept")
    by_step = {step.step: step.validation_loss for step in training_rows.steps(kept.db, model.run_id) if step.validation_loss}
    assert [one.step for one in model.checkpoints] == [step for step in by_step if step][-3:]
    for one in model.checkpoints:
        folder = checkpoint_folder(kept, "kept", one.step)
        assert one.validation_loss == by_step[one.step] and one.weights_hash == hash_weights(folder)
        assert (
            one.bytes == tuned_model_store.folder_size(folder) and json.loads((folder / "config.json").read_text())["use_cache"]
        )
        assert not [file.name for file in folder.iterdir() if file.suffix in (".pt", ".pth", ".bin")]
    assert model.disk_bytes == model.bytes + sum(one.bytes for one in model.checkpoints)
    assert model.checkpoints[-1].weights_hash == model.weights_hash, "the last evaluation is after the last step"


def test_a_checkpoint_is_a_model_of_the_chat(kept):
    model = read_model(kept, "kept")
    spec = f"tuned:kept@{model.checkpoints[0].step}"
    pane = resolve_model(kept, spec)
    assert pane.said_hash == model.checkpoints[0].weights_hash != model.weights_hash and pane.snapshot == "first"
    assert pane.base == str(checkpoint_folder(kept, "kept", model.checkpoints[0].step))
    assert model_title(spec) == f"kept, step {model.checkpoints[0].step}" and tuned_name(spec) == "kept"
    assert tuned_name("base:kept") is None
    for wrong in ("tuned:kept@999", "tuned:kept@x", "tuned:kept@-1"):
        with pytest.raises(GlanError, match="has no checkpoint"):
            resolve_model(kept, wrong)


def test_a_checkpoint_becomes_a_model_of_its_own(kept):
    first = read_model(kept, "kept").checkpoints[0]
    new = model_from_checkpoint(kept, "kept", first.step, "early")
    assert read_model(kept, "early") == new and hash_weights(new.weights(kept)) == first.weights_hash == new.weights_hash
    assert new.losses["validation"] == first.validation_loss and new.steps == first.step and not new.checkpoints
    whole = read_model(kept, "kept")
    assert new.bits_per_byte == pytest.approx(whole.bits_per_byte * first.validation_loss / whole.losses["validation"])
    assert (new.folder(kept) / "base" / "config.json").exists(), "its base can be compared with it"
    with pytest.raises(GlanError, match="already exists"):
        model_from_checkpoint(kept, "kept", first.step, "early")
    with pytest.raises(GlanError, match="not a valid model name"):
        model_from_checkpoint(kept, "kept", first.step, "../early")
    assert not list((kept.folder / "models").glob(".*")), "nothing half-written is left"


def test_a_checkpoint_is_removed_alone(kept):
    model = read_model(kept, "kept")
    remove_checkpoint(kept, "kept", model.checkpoints[1].step)
    after = read_model(kept, "kept")
    assert [one.step for one in after.checkpoints] == [model.checkpoints[0].step, model.checkpoints[2].step]
    assert not checkpoint_folder(kept, "kept", model.checkpoints[1].step).exists() and after.weights(kept).exists()
    with pytest.raises(GlanError, match="has no checkpoint"):
        remove_checkpoint(kept, "kept", model.checkpoints[1].step)


@pytest.mark.long
def test_without_the_setting_no_checkpoint_is_kept(kept):
    execute_run(kept, tiny_order("bare", epochs=1, evaluations=1), kind="finetune")
    model = read_model(kept, "bare")
    assert model.checkpoints == () and not (model.folder(kept) / "checkpoints").exists()


def test_the_curves_reach_tensorboard(kept):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run_id = read_model(kept, "kept").run_id
    events = EventAccumulator(str(kept.folder / "tensorboard" / f"kept-run{run_id}"))
    events.Reload()
    stored = {step.step: step for step in training_rows.steps(kept.db, run_id)}
    shown = {event.step: event.value for event in events.Scalars("train/loss")}
    assert shown == pytest.approx({step: row.loss for step, row in stored.items() if row.loss is not None}, abs=1e-4)
    held_out = {event.step: event.value for event in events.Scalars("eval/loss")}
    assert held_out == pytest.approx(
        {step: row.validation_loss for step, row in stored.items() if row.validation_loss is not None}, abs=1e-4
    )


def test_a_tracker_without_its_package_is_named_before_the_run(kept, monkeypatch):
    monkeypatch.setattr(preflight.importlib.util, "find_spec", lambda name: None)
    settings = FinetuneSettings(**tiny_order("tracked", report_to="wandb"))
    assert "pip install wandb" in preflight.find_obstacle(kept, settings)


def test_the_csv_of_the_curves_has_every_logged_step(kept):
    from pages.components.train import curves

    run = run_rows.run(kept.db, read_model(kept, "kept").run_id)
    rows = list(csv.DictReader(io.StringIO(curves.csv(kept, run))))
    stored = training_rows.steps(kept.db, run.id, 10**6)
    assert [int(row["step"]) for row in rows] == [step.step for step in stored]
    assert float(rows[0]["validation_loss"]) == pytest.approx(stored[0].validation_loss) and rows[0]["loss"] == ""
