"""Tests for the speed probe and the time estimate."""

from dataclasses import replace

import pytest
from support.runs import execute_run
from support.training_fixtures import tiny_order

from glan_core.dataset.snapshot_store import read_snapshot
from glan_core.training import time_estimate
from glan_core.training.plan import plan
from glan_core.training.settings import FinetuneSettings
from glan_core.training.time_estimate import EARLIER, MEASURED, ROUGH, Speed, read_speed, speed_key, write_speed
from glan_core.workspace import run_rows, training_rows

pytest_plugins = ["support.training_fixtures"]
SLOW = Speed(loading=10.0, token=0.01, optimizer=0.5, validation=0.005, reply=0.1)


def settings(name: str = "planned", **values) -> FinetuneSettings:
    return FinetuneSettings(**tiny_order(name, **values))


def measure(ws, one: FinetuneSettings):
    return execute_run(ws, {"finetune": one.model_dump(mode="json")}, kind="training-speed")


def test_a_measured_speed_is_what_a_plan_is_based_on(taught, base):
    for one in (settings(), settings(base=str(base), method="lora", lora_rank=4), settings(packing=True)):
        assert plan(taught, one).time_basis in (ROUGH, EARLIER)
        run = measure(taught, one)
        assert run.state == "finished" and "tokens/s in training" in run.message, run.message
        made = plan(taught, one)
        assert made.time_basis == MEASURED and 0 < made.seconds[0] < made.seconds[1] <= 3.001 * made.seconds[0]
    assert not (taught.folder / "training" / "speed").exists(), "rows and checkpoints of the probe are removed"
    assert not training_rows.steps(taught.db, run.id) and not (taught.folder / "models" / "planned").exists()


def test_the_estimate_adds_up_the_parts_of_a_run(taught):
    one = settings("sum", epochs=2, max_length=380)
    snapshot = read_snapshot(taught, "first")
    write_speed(taught, one, snapshot, SLOW)
    made = plan(taught, one)
    rows = snapshot.manifest.rows
    evaluation = rows["validation"] * made.tokens / 2 / made.rows * 0.005 + time_estimate.REPLY_TOKENS * 0.1
    evaluations = made.steps // -(-made.steps // one.evaluations)
    expected = (
        time_estimate.LIBRARY_SECONDS
        + 10
        + made.tokens * 0.01
        + made.steps * (0.5 + time_estimate.STEP_SECONDS)
        + evaluations * evaluation
    )
    assert made.seconds == pytest.approx((time_estimate.LEAST * expected, time_estimate.MOST * expected), rel=0.02)
    write_speed(taught, one, snapshot, replace(SLOW, slowdown=4.0))  # measured while other programs took most of the machine
    assert plan(taught, one).seconds == pytest.approx((made.seconds[0] / 2, made.seconds[1] / 2), rel=0.01)
    write_speed(taught, one, snapshot, SLOW)
    longer = plan(taught, one.model_copy(update={"epochs": 4}))
    assert longer.time_basis == MEASURED and longer.seconds[0] > 1.4 * made.seconds[0], "epochs need no new measurement"


def test_a_speed_is_that_of_one_model_its_settings_rows_and_machine(taught, base, monkeypatch):
    snapshot = read_snapshot(taught, "first")
    one = settings(base=str(base))
    key = speed_key(one, snapshot)
    for name, value in (("epochs", 9.0), ("evaluations", 1), ("learning_rate", 0.5), ("name", "y"), ("seed", 3)):
        assert speed_key(one.model_copy(update={name: value}), snapshot) == key
    others = [
        settings(base=str(base), method="lora"), settings(base=str(base), max_length=200), settings(),
        settings(base=str(base), per_device_batch_size=2), settings(base=str(base), gradient_checkpointing=True),
    ]  # fmt: skip
    keys = {speed_key(other, snapshot) for other in others}
    weights = base / "model.safetensors"
    weights.touch()
    keys.add(speed_key(one, snapshot))  # the weights were replaced
    monkeypatch.setattr(time_estimate, "cores", lambda: 96)
    keys.add(speed_key(one, snapshot))
    assert len(keys) == 7 and key not in keys


def test_a_damaged_or_older_file_of_speeds_is_ignored(taught):
    one, snapshot = settings("damaged", max_length=370), read_snapshot(taught, "first")
    file = taught.folder / time_estimate.FILE
    file.parent.mkdir(exist_ok=True)
    for text in ("{", "[]", f'{{"{speed_key(one, snapshot)}": {{"steps": 3}}}}'):
        file.write_text(text)
        assert read_speed(taught, one, snapshot) is None
    write_speed(taught, one, snapshot, SLOW)
    assert read_speed(taught, one, snapshot) == SLOW
    assert read_speed(taught, one.model_copy(update={"processes": 2, "per_device_batch_size": 2}), snapshot) is None


def test_a_probe_that_cannot_run_says_why_and_measures_nothing(taught, tmp_path):
    run = measure(taught, settings(base=str(tmp_path)))
    assert run.state == "failed" and "cannot be loaded" in run.message
    assert run_rows.run(taught.db, run.id).state == "failed" and not (taught.folder / "training" / "speed").exists()
