"""Tests for the scaling study: nested samples, curves, pausing and resuming."""

import json
import time

import numpy as np
import pytest
from support.model_rows import put_model
from support.runs import execute_run, resume_run
from support.training_fixtures import tiny_order

from glan_core import runs
from glan_core.cli import main
from glan_core.dataset.snapshot_store import read_snapshot
from glan_core.evaluation import scaling_job
from glan_core.evaluation.scaling_job import Point
from glan_core.evaluation.settings import ScalingSettings
from glan_core.models import tuned_model_store
from glan_core.settings import read_settings
from glan_core.training.plan import plan
from glan_core.training.settings import FinetuneSettings
from glan_core.training.training_texts import RowSample
from glan_core.workspace import run_rows

pytest_plugins = ["support.training_fixtures"]


@pytest.fixture
def inline(monkeypatch):
    """Execute runs of a study in this process; return their IDs."""
    numbers = []

    def launch(ws, run_id, environment=None):
        numbers.append(run_id)
        with ws.write() as db:  # the study itself uses another lane
            run_rows.update_run(db, run_id, heartbeat_at=None)
        runs.work(ws, run_id)

    monkeypatch.setattr("glan_core.runs.launcher.launch", launch)
    return numbers


def study(name="study", shares=(0.25, 1.0), judge=None) -> dict:
    tune = {
        key: value for key, value in tiny_order("x", epochs=1, evaluations=1).items() if key not in ("name", "rows", "kind")
    }
    return read_settings(ScalingSettings, {"name": name, "finetune": tune, "shares": shares, "judge": judge}).model_dump(
        mode="json"
    )


@pytest.mark.slow
def test_each_part_is_trained_and_judged_once_and_a_second_run_does_nothing(taught, inline):
    assert execute_run(taught, {"name": "held", "questions": 3, "snapshot": "first"}, "glan-test").state == "finished"
    settings = study(judge={"test": "held", "answer_tokens": 8})
    done = execute_run(taught, settings, "scaling")
    assert done.state == "finished", done.message
    found = scaling_job.study_points(taught, ScalingSettings(**settings))
    total = read_snapshot(taught, "first").manifest.rows["train"]
    assert [point.rows for point in found] == [round(total / 4), total]
    assert all(point.loss is not None and point.judged == 3 and point.difference <= 0 for point in found)
    assert tuned_model_store.read_model(taught, found[0].model).rows == found[0].rows
    assert [runs.get(taught, id).kind for id in inline] == ["finetune", "finetune", "judge-models", "judge-models"]
    again = execute_run(taught, settings, "scaling")
    assert again.state == "finished" and len(inline) == 4 and again.message == done.message


def test_a_smaller_part_is_within_every_larger_one(taught):
    snapshot = read_snapshot(taught, "first")
    orders = scaling_job.finetune_settings(taught, ScalingSettings(**study(shares=(0.1, 0.3, 1.0))))
    parts = [{row["id"] for row in RowSample(snapshot, "train", tune.rows, tune.seed).rows()} for tune in orders]
    assert parts[0] < parts[1] < parts[2] and len(parts[2]) == snapshot.manifest.rows["train"]
    assert [plan(taught, tune).rows for tune in orders] == [len(part) for part in parts]


@pytest.mark.slow
def test_a_study_whose_run_failed_says_which_and_goes_on_from_there(taught, inline, monkeypatch):
    settings = study("broken", shares=(0.25,))
    monkeypatch.setattr("glan_core.training.finetune_job.train", lambda *args: 1 / 0)
    done = execute_run(taught, settings, "scaling")
    assert done.state == "failed" and "of the study is failed" in done.message
    monkeypatch.undo()
    numbers = []
    monkeypatch.setattr(
        "glan_core.runs.launcher.launch", lambda ws, run_id, environment=None: (numbers.append(run_id), runs.work(ws, run_id))
    )
    assert resume_run(taught, done.id).state == "finished" and numbers == [inline[-1]]


@pytest.mark.long
@pytest.mark.parametrize(("wish", "state"), [("pause", "paused"), ("cancel", "cancelled")])
@pytest.mark.parametrize("at_work", [True, False], ids=["running", "queued"])
def test_who_pauses_or_cancels_a_study_does_so_to_the_run_at_work(taught, monkeypatch, wish, state, at_work):
    """A stop request to the study stops the run it waits for."""
    begun = []

    def launch(ws, run_id, environment=None):
        begun.append(run_id)
        with ws.write() as db:
            mine = next(run.id for run in run_rows.live_runs(db) if run.kind == "scaling")
            run_rows.update_run(db, mine, wish=wish)
            if at_work:
                run_rows.update_run(db, run_id, state="running", heartbeat_at=time.time(), host="elsewhere")

    monkeypatch.setattr("glan_core.runs.launcher.launch", launch)
    done = execute_run(taught, study(f"stopped-{wish}-{'at-work' if at_work else 'queued'}"), "scaling")
    assert done.state == state and len(begun) == 1
    left = runs.get(taught, begun[0])
    assert left.wish == wish if at_work else (left.state, left.wish) == (state, None)
    with taught.write() as db:  # must not block other tests
        run_rows.update_run(db, begun[0], state="cancelled", wish=None)


def test_a_name_that_another_model_has_is_refused_before_anything_is_trained(taught):
    settings = ScalingSettings(**study("taken"))
    put_model(taught, scaling_job.finetune_settings(taught, settings)[0].name)
    with pytest.raises(Exception, match="already exists with other settings"):
        scaling_job.check_study(taught, settings)


def test_a_study_goes_on_with_runs_of_a_release_that_had_fewer_settings(ws):
    settings = FinetuneSettings(name="part", snapshot="first", recipe="demo", base=None)
    earlier = {key: value for key, value in settings.model_dump(mode="json").items() if key not in ("engine", "ray_address")}
    run_id = runs.submit(ws, "finetune", "Part", earlier)
    with ws.write() as db:  # as it was stored then
        db.execute("UPDATE runs SET params = ? WHERE id = ?", (json.dumps(earlier), run_id))
    assert scaling_job._unfinished_run(ws, settings) == run_id
    assert scaling_job._unfinished_run(ws, settings.model_copy(update={"seed": settings.seed + 1})) is None


def points(rows, losses, scores=()):
    scores = [*scores, *[None] * (len(losses) - len(scores))]
    return [Point(n, f"m-{n}", loss, score, None, None, 5) for n, loss, score in zip(rows, losses, scores, strict=True)]


def test_a_power_law_is_found_where_there_is_one():
    rows = (10, 30, 100, 300, 1000, 10_000)
    curve = scaling_job.loss_curve(points(rows, [1.5 + 8 * n**-0.4 for n in rows]))
    assert curve.r2 == pytest.approx(1, abs=1e-6) and curve.at([3000])[0] == pytest.approx(1.5 + 8 * 3000**-0.4, rel=1e-3)
    assert "1.50 + 8.0" in curve.formula


def test_few_points_get_a_line_and_equal_ones_none():
    line = scaling_job.loss_curve(points((10, 100), [4.0, 3.0]))
    assert line.at([1000])[0] == pytest.approx(2.0)
    assert scaling_job.score_curve(points((10, 100), [4.0, 3.0], [-2.0, -2.0])) is None
    assert scaling_job.loss_curve(points((10,), [4.0])) is None
    score = scaling_job.score_curve(points((10, 100, 1000), [4, 3, 2.5], [-3.0, -2.0, -1.0]))
    assert np.allclose(score.at([10, 1000]), [-3, -1]) and score.r2 == pytest.approx(1)


def test_the_command_line_plans_and_refuses(taught, capsys):
    folder = str(taught.folder)
    words = ["evaluate", "scaling", folder, "--name", "mine", "--snapshot", "first"]
    assert main([*words, "--shares", "10,100", "--plan"]) == 0
    assert "mine-" in capsys.readouterr().out
    assert main([*words, "--shares", "ten"]) == 2 and main([*words, "--shares", "0"]) == 2
    assert main([*words, "--test", "nope"]) == 2 and main(["evaluate", "scaling", folder, "--name", "mine"]) == 2
    assert main(["evaluate", "scaling", folder]) == 0
