"""Train page, Watch and Compare: scale and smoothing of the curves, the loss of the base, CSV, titles and tags."""

import csv
import io
import json

import pytest
from support.model_rows import CURVE, add_training
from support.studio_app import Studio, choose, field

from glan_core import runs
from glan_core.workspace.training_rows import Step
from pages.components.train import curves

pytest_plugins = ["support.studio_fixtures"]
WITH_BASE = [Step(0, 0.0, 0, 0.0, None, 7.25), *CURVE]


def watch(**query: str) -> Studio:
    return Studio("train", train_view="Watch", **query)


def compare(**query: str) -> Studio:
    return Studio("train", train_view="Compare", **query)


def chart(shown: Studio, key: str) -> dict:
    """Return the specification of the figure with this key."""
    return next(json.loads(one.proto.spec) for one in shown.app.get("plotly_chart") if one.proto.id.endswith(f"-{key}"))


def series(figure: dict, name: str) -> list[float]:
    """Return the values of a line; plotly sends arrays as base64."""
    import base64

    import numpy as np

    y = next(line for line in figure["data"] if line.get("name") == name)["y"]
    return y if isinstance(y, list) else np.frombuffer(base64.b64decode(y["bdata"]), y["dtype"]).tolist()


def toggle(shown: Studio, key: str) -> Studio:
    next(one for one in shown.app.toggle if one.key == key).set_value(True).run()
    return shown


def test_the_loss_axis_is_logarithmic_if_asked_and_the_address_keeps_it(snapshot_ws):
    add_training(snapshot_ws, "finished", "student")
    shown = watch()
    assert chart(shown, "train_loss")["layout"]["yaxis"].get("type") != "log"
    toggle(shown, "train_log")
    assert shown.fine and chart(shown, "train_loss")["layout"]["yaxis"]["type"] == "log"
    linked = watch(train_log="true")
    assert chart(linked, "train_loss")["layout"]["yaxis"]["type"] == "log"


def test_smoothing_averages_the_training_loss_and_none_shows_it_raw(snapshot_ws):
    steps = [Step(n, 0.0, n, float(n), 3.0 + (n % 2), None) for n in range(1, 41)]
    add_training(snapshot_ws, "finished", "student", steps=steps)
    shown = watch()
    raw = [step.loss for step in steps]
    spread = {}
    for share in (0.0, 0.03, 0.5):
        choose(shown, train_smoothing=share)
        assert shown.fine
        values = series(chart(shown, "train_loss"), "training")
        spread[share] = max(values[20:]) - min(values[20:])
        assert (values == raw) == (share == 0.0)
    assert spread[0.0] > spread[0.03] > spread[0.5] > 0


def test_the_gain_over_the_base_is_beside_the_validation_loss(snapshot_ws):
    add_training(snapshot_ws, "finished", "student", steps=WITH_BASE)
    shown = watch()
    metric = next(one for one in shown.app.metric if one.label == "Validation loss")
    assert metric.value == "0.750" and metric.delta == "base 7.250" and "nan" not in shown.said.lower()
    assert series(chart(shown, "train_loss"), "validation") == [7.25, 1.5, 0.75]


def test_the_best_loss_is_beside_a_later_worse_one(snapshot_ws):
    add_training(snapshot_ws, "finished", "student", steps=[*WITH_BASE, Step(9, 2.5, 9000, 18.0, 0.4, 2.0)])
    metric = next(one for one in watch().app.metric if one.label == "Validation loss")
    assert (metric.value, metric.delta) == ("2.000", "base 7.250 · best 0.750")


def test_a_run_that_evaluated_only_the_base_shows_no_gain(snapshot_ws):
    add_training(snapshot_ws, "running", "student", steps=[WITH_BASE[0]], replies=[])
    shown = watch()
    metrics = {one.label: one for one in shown.app.metric}
    assert shown.fine and metrics["Validation loss"].value == "7.250" and not metrics["Validation loss"].delta
    assert metrics["Training loss"].value == "–" and metrics["Step"].value == "0 / 16"


def test_the_curves_are_offered_as_csv(snapshot_ws):
    run_id = add_training(snapshot_ws, "finished", "student", steps=WITH_BASE)
    shown = watch()
    assert [one.label for one in shown.app.get("download_button")] == ["CSV"]
    rows = list(csv.DictReader(io.StringIO(curves.csv(snapshot_ws, runs.get(snapshot_ws, run_id)))))
    assert [int(row["step"]) for row in rows] == [step.step for step in WITH_BASE]
    assert (rows[0]["loss"], rows[0]["validation_loss"], rows[-1]["lr"]) == ("", "7.25", str(CURVE[-1].lr))


def label(shown: Studio, run_id: int, title: str, tags: str) -> Studio:
    field(shown, f"run_title_{run_id}").set_value(title)
    field(shown, f"run_tags_{run_id}").set_value(tags)
    next(one for one in shown.app.button if one.key == f"save_label_{run_id}").click().run()
    return shown


def test_a_run_is_renamed_and_tagged(snapshot_ws):
    run_id = add_training(snapshot_ws, "finished", "student")
    shown = label(watch(), run_id, "Low <b>rate</b>", "baseline, low rate ,, baseline")
    run = runs.get(snapshot_ws, run_id)
    assert (run.title, run.tags) == ("Low <b>rate</b>", ("baseline", "low rate"))
    assert shown.fine and "Low <b>rate</b>" in shown.said and "baseline" in shown.said
    assert not any("<b>" in one.value for one in (*shown.app.header, *shown.app.markdown)), "what people write stays text"
    label(shown, run_id, "", "")
    assert (runs.get(snapshot_ws, run_id).title, runs.get(snapshot_ws, run_id).tags) == ("Low <b>rate</b>", ())


@pytest.mark.parametrize(
    ("title", "tags", "said"),
    [
        ("x" * 201, "", "longer than 200 characters"),
        ("ok", "y" * 201, "longer than 200 characters"),
        ("ok", ",".join(f"t{n}" for n in range(21)), "21 tags are given. Use at most 20."),
        ("ok\0", "", "cannot be stored"),
    ],
)
def test_a_title_or_tag_that_cannot_be_kept_is_an_error_and_changes_nothing(snapshot_ws, title, tags, said):
    run_id = add_training(snapshot_ws, "finished", "student")
    before = runs.get(snapshot_ws, run_id)
    shown = label(watch(), run_id, title, tags)
    assert shown.fine and said in shown.said
    assert (runs.get(snapshot_ws, run_id).title, runs.get(snapshot_ws, run_id).tags) == (before.title, before.tags)


def test_runs_with_other_base_models_are_not_compared_by_loss_without_a_warning(snapshot_ws):
    add_training(snapshot_ws, "finished", "one", settings={"base": "/models/one"})
    add_training(snapshot_ws, "finished", "two", settings={"base": "/models/one"})
    assert "tokenizers of these runs may differ" not in compare().said
    add_training(snapshot_ws, "finished", "three", settings={"base": "/models/three"})
    assert "tokenizers of these runs may differ" in compare().said


def test_runs_are_compared_by_title_and_tags_on_a_logarithmic_axis(snapshot_ws):
    first = add_training(snapshot_ws, "finished", "one")
    second = add_training(snapshot_ws, "finished", "two")
    runs.label(snapshot_ws, first, "Low rate", ["baseline"])
    shown = compare()
    table = shown.table("best")
    assert table["name"].tolist() == ["two", "Low rate"] and [list(tags) for tags in table["tags"]] == [[], ["baseline"]]
    names = {line["name"] for line in chart(shown, "train_curves")["data"]}
    assert {f"Low rate · run {first}", f"two · run {second}"} <= names
    toggle(shown, "train_compare_log")
    assert shown.fine and chart(shown, "train_curves")["layout"]["yaxis"]["type"] == "log"
    linked = compare(train_compare_log="true", train_against="Tokens")
    assert chart(linked, "train_curves")["layout"]["yaxis"]["type"] == "log"
    assert chart(linked, "train_curves")["layout"]["xaxis"]["title"]["text"] == "tokens seen"
