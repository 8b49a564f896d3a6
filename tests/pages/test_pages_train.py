"""Tests for the Train page: plan, watch and comparison of runs; and both model pages in a read-only workspace."""

import os
import shlex

import pytest
import streamlit as st
from support.model_rows import add_training, put_model
from support.studio_app import Studio, choose

from glan_core import runs
from glan_core.cli import build_parser
from glan_core.cli.finetune import finetune_settings
from glan_core.dataset.snapshot_store import list_snapshots, read_snapshot, remove_snapshot
from glan_core.training.bundle import read_bundle
from glan_core.training.recipes import RECIPES
from glan_core.training.settings import FinetuneSettings
from glan_core.training.time_estimate import Speed, write_speed
from glan_core.workspace import run_rows

pytest_plugins = ["support.studio_fixtures"]


def command(shown: Studio) -> str:
    return next(one for one in shown.commands if one.startswith("glan finetune"))


def ordered(shown: Studio) -> FinetuneSettings:
    """The order that the shown command stands for."""
    args = build_parser().parse_args(shlex.split(command(shown))[1:])
    assert args.command.__name__ == "_finetune"
    return finetune_settings(args)


def heads(shown: Studio) -> list[str]:
    return [one.value.replace("\\", "") for one in (*shown.app.title, *shown.app.header)]


def metrics(shown: Studio) -> dict[str, str]:
    return {metric.label: metric.value for metric in shown.app.metric}


# ------------------------------------------------------------------------------------------------------- before a run


def test_without_pairs_it_says_what_will_be_here_and_leads_to_a_plan(starter_ws):
    shown = Studio("train")
    assert shown.fine and "No pairs yet" in shown.said and shown.labels().count("Plan a run") == 1
    shown.press("Plan a run")
    assert shown.fine and "Runs" in heads(shown)


def test_without_a_snapshot_one_button_freezes_the_dataset_with_something_held_out(demo_ws, monkeypatch):
    monkeypatch.setattr("glan_core.runs.launcher.launch", lambda ws, run_id, environment=None: runs.work(ws, run_id))
    shown = Studio("train")
    assert shown.fine and "Training uses a snapshot" in shown.said
    assert "Create snapshot (48 pairs)" in shown.labels(), "those of the discipline that has most"
    next(field for field in shown.app.selectbox if field.key == "run_first_snapshot").set_value("everything").run()
    shown.press("Create snapshot (96 pairs)")
    [one] = list_snapshots(demo_ws)
    assert (one.name, one.number, one.split) == ("everything", 96, "combination") and one.rows["validation"] > 0
    assert shown.fine and "Start training · " in "\n".join(shown.labels()), "the form comes as soon as there is a snapshot"


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_form_says_what_each_recipe_would_do_and_the_command_does_just_that(snapshot_ws, recipe, launched):
    shown = choose(Studio("train"), run_train_recipe=recipe)
    assert shown.fine and RECIPES[recipe].about in shown.said
    said = metrics(shown)
    assert set(said) == {"Steps", "Tokens", "Time", "Parameters", "Memory", "Truncated rows"}
    assert int(said["Steps"].replace(",", "")) > 0 and "None" not in shown.said and "_" not in "".join(said.values())
    if recipe != "demo":  # Mistral's weights are not here, but how large they are is known
        assert said["Parameters"] == {"lora-small": "–"}.get(recipe, "7.2B")
        assert ("is not installed" if recipe == "lora-small" else "is not stored locally") in shown.said
    settings = ordered(shown)
    assert (settings.recipe, settings.snapshot, settings.name) == (recipe, "first", recipe)
    stated = FinetuneSettings(name=recipe, snapshot="first", recipe=recipe, **RECIPES[recipe].values)
    assert settings == stated, "nothing was changed, so the recipe's own numbers"


def test_the_papers_warm_up_swallows_a_small_run_and_the_plan_says_so(snapshot_ws):
    shown = choose(Studio("train"), run_train_recipe="paper")
    assert "steps are warmup" in shown.said
    assert "steps are warmup" not in choose(shown, run_train_recipe="paper-scaled").said


def test_every_number_can_be_changed_and_the_started_run_is_the_command(snapshot_ws, launched):
    shown = Studio("train")
    before = metrics(shown)["Steps"]
    choose(
        shown, run_train_name="My Student", run_train_demo_epochs=2.5, run_train_demo_learning_rate=0.00123456789, run_train_demo_global_batch_size=8,
        run_train_demo_per_device_batch_size=4, run_train_demo_max_length=200, run_train_demo_evaluations=3, run_train_demo_seed=7,
        run_train_demo_warmup=10.0, run_train_demo_schedule="linear", run_train_demo_precision="fp32", run_train_demo_patience=None,
        run_train_demo_packing=True, run_train_demo_best=False,
    )  # fmt: skip
    assert shown.fine and metrics(shown)["Steps"] != before and "lose the end of their answer" in shown.said
    settings = ordered(shown)
    assert (settings.name, settings.epochs, settings.global_batch_size, settings.max_length, settings.patience) == (
        "my-student",
        2.5,
        8,
        200,
        None,
    )
    assert (settings.learning_rate, settings.warmup_ratio, settings.schedule, settings.keep_best) == (
        0.00123456789,
        0.1,
        "linear",
        False,
    )
    shown.press("Start training · ")
    assert shown.fine, shown.app.exception
    [run_id] = launched
    assert FinetuneSettings(**runs.get(snapshot_ws, run_id).params) == settings
    assert shown.app.session_state["train_view"] == "Watch" and "Fine-tune my-student" in shown.said


def test_an_adapter_is_ordered_with_its_own_numbers(snapshot_ws, tmp_path):
    shown = choose(Studio("train"), run_train_recipe="lora", run_train_lora_lora_rank=8, run_train_lora_learning_rate=1e-5)
    assert "too low for an adapter" in shown.said
    assert (ordered(shown).method, ordered(shown).lora_rank) == ("lora", 8)
    choose(shown, run_train_lora_method="qlora", run_train_base_lora="/somewhere else/model")
    assert shown.fine and (ordered(shown).method, ordered(shown).base) == ("qlora", "/somewhere else/model")


def start_button(shown: Studio):
    return next(button for button in shown.app.button if button.label.startswith("Start training"))


def test_a_start_is_refused_with_what_to_do_and_nothing_is_stored(snapshot_ws, launched):
    shown = choose(Studio("train"), run_train_recipe="lora", run_train_base_lora="/nowhere/at/all")
    assert shown.fine and "There are no weights in /nowhere/at/all" in shown.said and start_button(shown).disabled
    put_model(snapshot_ws, "taken")
    choose(shown, run_train_recipe="demo", run_train_name="taken")
    assert shown.fine and "already exists" in shown.said and start_button(shown).disabled
    choose(shown, run_train_name="", run_train_demo_global_batch_size=3, run_train_demo_per_device_batch_size=2)
    assert shown.fine and "not a multiple" in shown.said and not [one for one in shown.labels() if one.startswith("Start")]
    choose(shown, run_train_demo_global_batch_size=2)
    assert shown.fine and not start_button(shown).disabled
    put_model(snapshot_ws, "demo-2")  # by another window, between the plan and the click
    put_model(snapshot_ws, ordered(shown).name)
    shown.press("Start training · ")
    assert shown.fine and "already exists" in shown.said
    assert not launched and not [run for run in run_rows.runs(snapshot_ws.db) if run.kind == "finetune"]


def test_too_little_memory_disables_the_start_with_what_to_change(snapshot_ws, launched, monkeypatch):
    monkeypatch.setattr("glan_core.training.preflight.available_memory", lambda: 10**6)
    shown = Studio("train")
    assert start_button(shown).disabled and "of memory, and" in shown.said and "per-device batch size below 2" in shown.said
    assert "Measure speed" not in shown.labels()
    # Seven billion parameters do not fit this machine either, and nothing was downloaded to find out.
    assert start_button(choose(shown, run_train_recipe="paper")).disabled


def test_lora_is_scaled_to_the_base_and_edited_values_stay(snapshot_ws, small_base, launched):
    shown = choose(Studio("train"), run_train_recipe="lora")
    assert ordered(shown).global_batch_size == RECIPES["lora"].values["global_batch_size"]
    choose(shown, run_train_base_lora=str(small_base))
    settings = ordered(shown)
    assert "Scaled to " in shown.said and shown.fine
    assert (settings.global_batch_size, settings.learning_rate, settings.evaluations) == (4, 1e-3, 4)
    choose(shown, run_train_lora_epochs=7.0)
    assert ordered(shown).epochs == 7 and ordered(shown).global_batch_size == 4
    shown.press("Start training · ")
    assert FinetuneSettings(**runs.get(snapshot_ws, launched[0]).params) == settings.model_copy(update={"epochs": 7.0})


def test_a_run_opened_again_keeps_its_values_over_the_scaled_ones(snapshot_ws, small_base):
    params = FinetuneSettings(
        name="student", snapshot="first", recipe="lora", **RECIPES["lora"].values | {"base": str(small_base), "epochs": 9.0}
    )
    run_id = add_training(snapshot_ws, "failed", "student", message="It failed.")
    with snapshot_ws.write() as db:
        run_rows.set_params(db, run_id, params.model_dump(mode="json"))
    shown = watch(run=str(run_id)).press("Change settings")
    assert shown.fine and ordered(shown) == params


def test_the_speed_is_measured_on_request_and_shown(snapshot_ws, launched):
    shown = Studio("train")
    assert "Rough" in next(metric.help for metric in shown.app.metric if metric.label == "Time")
    settings = ordered(shown)
    shown.press("Measure speed")
    [run_id] = launched
    run = runs.get(snapshot_ws, run_id)
    assert run.kind == "training-speed" and FinetuneSettings(**run.params["finetune"]) == settings
    assert shown.fine and "Speed of demo" in shown.said
    with snapshot_ws.write() as db:
        run_rows.update_run(db, run_id, state="finished")
    speed = Speed(loading=1.0, token=1.0, optimizer=0.0, validation=0.0, reply=0.0)
    write_speed(snapshot_ws, settings, read_snapshot(snapshot_ws, "first"), speed)
    shown = Studio("train")
    assert "Measure speed" not in shown.labels()
    assert "steps measured" in next(metric.help for metric in shown.app.metric if metric.label == "Time")


def test_a_bundle_of_the_planned_run_is_exported_beside_start(snapshot_ws, monkeypatch):
    monkeypatch.setattr("glan_core.runs.launcher.launch", lambda ws, run_id, environment=None: runs.work(ws, run_id))
    shown = Studio("train")
    settings = ordered(shown)
    shown.press("Export bundle")
    assert shown.fine and "glan train-bundle demo-bundle" in shown.said
    _, written = read_bundle(snapshot_ws.folder / "exports" / "demo-bundle")
    assert written == settings
    shown.press("Export bundle")
    assert shown.fine and "already exists" in shown.said


@pytest.fixture
def small_base(tmp_path):
    """Folder of a complete base of about 100,000 parameters."""
    from support.chat_models import make_base

    return make_base(tmp_path / "small")


def test_a_name_that_is_free_is_proposed(snapshot_ws):
    put_model(snapshot_ws, "demo")
    assert ordered(Studio("train")).name == "demo-2"


def test_a_row_is_shown_as_tokens_with_what_is_trained_on_marked(snapshot_ws):
    shown = Studio("train")
    said = next(caption.value for caption in shown.app.caption if "in the loss" in caption.value and "Row 1" in caption.value)
    tokens, trained = (
        int(word.replace(",", "")) for word in (said.split(" tokens")[0].split()[-1], said.split(" in the loss")[0].split()[-1])
    )
    assert 0 < trained < tokens
    row = next(one.value for one in shown.app.markdown if "background[" in one.value)
    before, _, after = row.partition("background[")
    assert "Instruction" in before and "Instruction" not in after, "the prompt is not trained on"
    assert "/s" in after, "the end token is"
    other = choose(shown, train_row=2)
    assert "Row 2 of the first" in other.said and row not in [one.value for one in other.app.markdown]


def test_tokens_of_a_base_that_is_not_here_are_not_made_up(snapshot_ws):
    shown = choose(Studio("train"), run_train_recipe="paper")
    assert "Rows can be shown once it is" in shown.said and not [
        one for one in shown.app.markdown if "background[" in one.value
    ]


# ---------------------------------------------------------------------------------------------------------- Watch


def watch(**query: str) -> Studio:
    return Studio("train", train_view="Watch", **query)


def test_before_the_first_run_there_is_nothing_to_watch_and_a_way_to_plan_one(snapshot_ws):
    shown = watch()
    assert shown.fine and "No training runs yet" in shown.said
    shown.press("Plan a run")
    assert shown.fine and "Truncated rows" in metrics(shown)


@pytest.mark.parametrize(
    ("state", "says", "buttons"),
    [
        ("queued", "queued", {"Pause", "Cancel"}),
        ("running", "steps, 8 of 16", {"Pause", "Stop and keep", "Cancel"}),
        ("paused", "resume it to continue from its checkpoint. Last step: 8.", {"Resume"}),
        ("failed", "choose fewer rows at once", {"Resume"}),
        ("lost", "continue from the last checkpoint", {"Resume"}),
        ("cancelled", "Cancelled. Stored results are kept.", {"Resume"}),
        ("finished", "Fine-tuned student", {"Chat with model"}),
    ],
)
def test_a_run_is_watched_in_every_state(snapshot_ws, state, says, buttons):
    message = {"failed": "There is too little room in memory for this run: choose fewer rows at once.",
               "cancelled": "Cancelled. Stored results are kept.", "finished": "Fine-tuned student on 50 pairs in 8 steps."}  # fmt: skip
    add_training(snapshot_ws, state, "student", message=message.get(state, ""))
    if state == "finished":
        put_model(snapshot_ws, "student")
    shown = watch()
    assert shown.fine and says in shown.said, shown.said
    offered = {"Pause", "Stop and keep", "Cancel", "Resume", "Chat with model"} & set(shown.labels())
    assert offered == buttons
    said = metrics(shown)
    assert said["Step"] == "8 / 16" and said["Training loss"] == "0.625" and said["Validation loss"] == "0.750"
    assert said["Tokens/s"] == "500" and said["Memory"] == "400 MB"
    assert said["Time left" if state in run_rows.LIVE else "Duration"] == "16 s"
    assert "Why? At step 8." in shown.said
    assert "None" not in shown.said and "nan" not in shown.said.lower()


def test_what_it_said_can_be_read_at_every_evaluation(snapshot_ws):
    add_training(snapshot_ws, "finished", "student")
    shown = choose(watch(), train_prompt=1)
    assert "How? At step 8." in shown.said
    key = next(one.key for one in shown.app.get("select_slider") if one.key.startswith("train_said"))
    assert "How? At step 4." in choose(shown, **{key: 4}).said


def test_a_run_that_has_logged_nothing_yet_says_why_it_takes_a_while(snapshot_ws):
    add_training(snapshot_ws, "running", "student", steps=[], replies=[])
    shown = watch()
    assert shown.fine and "the first step takes a while" in shown.said and not shown.app.metric


def test_wishes_are_passed_on_and_said(snapshot_ws):
    run_id = add_training(snapshot_ws, "running", "student")
    shown = watch().press("Stop and keep")
    assert runs.get(snapshot_ws, run_id).wish == "keep" and "Will stop and keep the model after this step" in shown.said
    assert not {"Pause", "Stop and keep", "Cancel"} & set(shown.labels())
    other = add_training(snapshot_ws, "running", "other")
    shown = watch(run=str(other)).press("Pause")
    assert runs.get(snapshot_ws, other).wish == "pause" and "Will pause after this step" in shown.said


def test_a_lost_run_is_resumed(snapshot_ws, launched):
    run_id = add_training(snapshot_ws, "lost", "student")
    shown = watch().press("Resume")
    assert shown.fine and launched == [run_id] and runs.get(snapshot_ws, run_id).state == "queued" and "queued" in shown.said


def test_a_finished_run_whose_model_is_gone_offers_no_talk(snapshot_ws):
    add_training(snapshot_ws, "finished", "student")
    assert "Chat with model" not in watch().labels()


def test_a_link_opens_its_run_and_the_address_follows(snapshot_ws):
    first = add_training(snapshot_ws, "finished", "one")
    second = add_training(snapshot_ws, "finished", "two")
    shown = watch(run=str(first))
    assert "Fine-tune one" in heads(shown) and shown.app.query_params["run"] == str(first)
    choose(shown, train_run=second)
    assert "Fine-tune two" in heads(shown) and shown.app.query_params["run"] == str(second)
    assert "Fine-tune two" in heads(watch(run="999")), "what is no run is passed over"


def test_the_page_opens_on_the_run_at_work(snapshot_ws):
    add_training(snapshot_ws, "finished", "old")
    add_training(snapshot_ws, "running", "busy")
    add_training(snapshot_ws, "queued", "waiting")
    shown = Studio("train")
    assert shown.app.session_state["train_view"] == "Watch" and "Fine-tune busy" in heads(shown)
    assert "2 live" in shown.said


def test_runs_can_be_watched_after_their_snapshot_is_gone(snapshot_ws):
    add_training(snapshot_ws, "finished", "student")
    remove_snapshot(snapshot_ws, "first")
    shown = watch()
    assert shown.fine and metrics(shown)["Step"] == "8 / 16"
    assert "Training uses a snapshot" in choose(shown, train_view="Plan").said


# -------------------------------------------------------------------------------------------------------- Compare


def compare(**query: str) -> Studio:
    return Studio("train", train_view="Compare", **query)


def test_there_must_be_runs_to_compare(snapshot_ws):
    shown = compare()
    assert shown.fine and "No training runs to compare yet" in shown.said


def test_runs_are_held_beside_one_another_with_what_differs(snapshot_ws):
    one = add_training(snapshot_ws, "finished", "slow", settings={"learning_rate": 1e-4, "global_batch_size": 4})
    two = add_training(snapshot_ws, "failed", "fast", settings={"learning_rate": 1e-2, "global_batch_size": 4})
    add_training(snapshot_ws, "queued", "idle", steps=[], replies=[])
    shown = compare()
    assert shown.fine
    table = shown.table("best")
    assert table["name"].tolist() == ["idle", "fast", "slow"] and table["best"].tolist()[1:] == [0.75, 0.75]
    differing = shown.app.table[0].value
    assert list(differing.columns) == [f"Run {two}", f"Run {one}"]
    assert differing.loc["Learning rate"].tolist() == ["0.01", "0.0001"] and "Global batch size" not in differing.index
    assert not [name for name in differing.index if "_" in name]
    for against in ("tokens", "seconds"):
        assert choose(shown, train_against=against).fine


def test_who_may_not_write_can_still_look(snapshot_ws, monkeypatch):
    add_training(snapshot_ws, "paused", "student")
    put_model(snapshot_ws, "part", form="adapter", base="/models/base", notes="Worth a look.")
    snapshot_ws.close()
    monkeypatch.setattr(os, "access", lambda *where: False)
    st.cache_resource.clear()
    shown = Studio("train", train_view="Plan")
    assert shown.fine and "read-only" in shown.said and not [one for one in shown.labels() if one.startswith("Start")]
    shown = watch()
    assert shown.fine and metrics(shown)["Step"] == "8 / 16" and "Resume" not in shown.labels()
    shown = Studio("models")
    assert shown.fine and "Worth a look." in shown.said and "vllm serve" in shown.said
    assert not {"Rename", "Merge", "Export to folder"} & set(shown.labels())


def test_the_settings_of_a_run_that_failed_can_be_changed(snapshot_ws):
    changed = {"epochs": 2.0, "global_batch_size": 6, "per_device_batch_size": 3, "max_length": 300, "scratch": {"layers": 2},
               "keep_best": False,
               "patience": None, "rows": 20, "gradient_checkpointing": True, "prompts": ("Why?", "How?"), "adam_beta2": 0.9, "seed": 3}  # fmt: skip
    run_id = add_training(snapshot_ws, "failed", "student", settings=changed)
    shown = watch().press("Change settings")
    assert shown.fine and ordered(shown) == FinetuneSettings(**runs.get(snapshot_ws, run_id).params)
