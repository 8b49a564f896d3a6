"""The plan form of the Runs page: its numbers, its refusals, and the command that stands for it."""

import re

import pytest
from support.studio_app import Studio, fill, ordered

from glan_core import runs
from glan_core.formatting import money, short, span
from glan_core.generation.plan import plan
from glan_core.generation.settings import GenerationSettings
from glan_core.generation.stage_specs import stage_title
from glan_core.settings import read_settings
from glan_core.workspace import run_rows
from pages.components.runs.form import MORE

pytest_plugins = ["support.studio_fixtures"]


def test_the_numbers_are_those_of_the_plan(demo_ws):
    shown = fill(Studio("runs", focus="music"), run_per=30, run_queries=2)
    settings = read_settings(
        GenerationSettings, {"target": {"disciplines": ["music"], "subject_queries": 2, "questions_per_syllabus": 30}}
    )
    made = plan(demo_ws, settings)
    metrics = {metric.label: metric.value for metric in shown.app.metric}
    assert metrics["Calls"] == span(tuple(map(short, made.calls))) and metrics["New pairs"] == span(
        tuple(map(short, made.pairs))
    )
    assert metrics["Price"] == money(made.usd) == "free"
    assert f"Start · {metrics['Calls']} calls · free" in shown.labels()
    for stage in (stage for stage in made.stages if stage.calls[1]):
        assert f"| {stage_title(stage.stage).capitalize()} | {span(stage.calls)} | " in shown.said
    assert not shown.app.dataframe, "a data grid is much code for a browser to load"
    assert made.basis in shown.said


@pytest.mark.long
@pytest.mark.parametrize(
    "values",
    [
        {}, {"run_queries": 3, "run_most": 7, "run_per": 0}, {"run_share": 25, "run_law": "uniform", "run_seed": 9},
        {"run_calls": 50, "run_flight": 4, "run_rpm": 60, "run_tpm": 9000, "run_budget": 2.5},
    ],
)  # fmt: skip
@pytest.mark.parametrize("focus", ["", "music", "humanities"])
def test_the_shown_command_orders_the_same(demo_ws, values, focus, monkeypatch):
    submitted = []
    monkeypatch.setattr(runs, "start", lambda ws, kind, title, settings, *rest: submitted.append(settings) or 1)
    shown = fill(Studio("runs", **({"focus": focus} if focus else {})), **values)
    if not shown.commands:
        assert "already meets this target" in shown.said
        return
    settings = ordered(shown, demo_ws)
    shown.press("Start ·")
    assert settings == submitted[0]


def test_closed_sampling_and_limits_still_count_and_are_there_when_opened_again(demo_ws, monkeypatch):
    shown = Studio("runs", focus="physics")
    assert ordered(shown, demo_ws).stages == {} and not shown.app.slider
    begun = []  # the tables as they were drawn
    monkeypatch.setattr("streamlit.data_editor", lambda frame, **_: begun.append(frame) or frame.assign(temperature=0.3))
    opened = ordered(fill(shown, run_share=25, run_calls=50), demo_ws)
    assert (opened.pair_share, opened.max_calls) == (0.25, 50) and {one.temperature for one in opened.stages.values()} == {0.3}
    for is_open in (False, True, False):
        shown.app.session_state[MORE] = is_open
        shown.app.run()
        assert ordered(shown, demo_ws) == opened and any(one.key == "run_share" for one in shown.app.slider) == is_open
    assert set(begun[0]["temperature"]) != {0.3} == set(begun[-1]["temperature"])


def test_the_shown_command_names_an_endpoint_and_never_the_key(demo_ws):
    shown = fill(Studio("runs", focus="physics"), run_kind="endpoint")
    assert "Enter the model and the base URL to continue." in shown.said and not shown.app.error
    assert not [label for label in shown.labels() if label.startswith("Start")]
    shown = fill(shown, run_model="a 'model'", run_url="http://localhost:1/v1", run_price="0.5,1.5", api_key="sk-secret-4711")
    settings = ordered(shown, demo_ws)
    assert (settings.teacher, settings.base_url, settings.price) == ("openai:a 'model'", "http://localhost:1/v1", "0.5,1.5")
    assert "sk-secret" not in shown.said
    assert r"about \$" in next(label for label in shown.labels() if label.startswith("Start")), "a bare $ could begin a formula"


def test_openai_without_a_key_starts_nothing(demo_ws):
    shown = fill(Studio("runs", focus="physics"), run_kind="openai", run_model="gpt-4o-mini").press("Start ·")
    assert shown.fine and "OPENAI_API_KEY is not set" in shown.said
    assert len(run_rows.runs(demo_ws.db)) == 4


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"run_kind": "endpoint", "run_model": "m", "run_url": "localhost"}, "is not a valid URL"),
        ({"run_kind": "endpoint", "run_model": "m", "run_url": "http://h/v1", "run_price": "x"}, "x"),
        (
            {"run_kind": "endpoint", "run_model": "m", "run_url": "http://h/v1", "run_budget": 1.0},
            "The price of openai:m is unknown",
        ),
    ],
)
def test_what_cannot_be_ordered_is_told_and_not_offered(demo_ws, values, said):
    shown = fill(Studio("runs", focus="physics"), **values)
    assert shown.fine and said in shown.app.error[0].value.replace("\\", "")
    assert not [label for label in shown.labels() if label.startswith("Start")]


def test_a_reached_target_says_so(demo_ws):
    shown = fill(Studio("runs", focus="mathematics"), run_queries=1, run_per=24)
    assert "already meets this target" in shown.app.success[0].value
    assert not [label for label in shown.labels() if label.startswith("Start")]


def test_a_reached_target_needs_no_price_and_a_part_that_costs_calls_does(demo_ws):
    shown = fill(Studio("runs", focus="mathematics"), run_kind="endpoint", run_queries=1, run_per=24)
    shown = fill(shown, run_model="m", run_url="http://h/v1")
    assert shown.fine and "already meets this target" in shown.app.success[0].value
    shown = fill(shown, run_per=25)  # questions and answers alone: the other stages have no calls left
    assert shown.fine and {metric.label: metric.value for metric in shown.app.metric}["Price"] == "price unknown"


def test_a_preset_fills_the_numbers_and_is_named_while_they_are_its_own(demo_ws):
    shown = Studio("runs", focus="physics")
    assert "Broad: " in shown.said
    shown.press("Taste")
    target = ordered(shown, demo_ws).target
    assert (target.subject_queries, target.max_subjects, target.questions_per_syllabus) == (1, 3, 5)
    assert "1 subject query, 3 subjects, 5 questions each" in shown.said
    shown = fill(shown, run_per=6)
    assert shown.fine and "1 subject query, 3 subjects" not in shown.said
    assert ordered(shown, demo_ws).target.questions_per_syllabus == 6


def test_chosen_disciplines_are_the_target_and_those_outside_the_focus_are_dropped(demo_ws):
    shown = Studio("overview", focus="humanities")
    shown.app.session_state["run_disciplines"] = ["philosophy", "history", "physics"]
    shown.go("runs", focus="humanities")
    assert shown.app.multiselect(key="run_disciplines").value == ["philosophy", "history"]
    assert "**Target**: Humanities (2 of 20 disciplines)" in shown.said
    assert set(ordered(shown, demo_ws).target.disciplines) == {"philosophy", "history"}
    submitted = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "start", lambda ws, kind, title, settings, *rest: submitted.append((title, settings)) or 1)
        shown.press("Start ·")
    assert submitted[0][0] == "Philosophy and History"
    assert set(submitted[0][1].target.disciplines) == {"philosophy", "history"}


def test_prices_of_stages_have_the_same_decimals(demo_ws):
    shown = Studio("runs", focus="history")
    shown.app.selectbox(key="run_kind").set_value("openai").run()
    fill(shown, run_model="gpt-4o-mini")
    prices = [
        line.split(" | ")[-1] for line in shown.said.replace("\\", "").splitlines() if line.startswith("| ") and " + " in line
    ]
    assert len(prices) > 2 and all(re.fullmatch(r"\$\d+\.\d\d( to \$\d+\.\d\d)? \|", price) for price in prices[1:])


def test_disciplines_without_new_ground_can_be_left_out(demo_ws):
    from glan_core.diversity.metric_store import MetricReport, write_metrics

    falling, steady = [(10 * n, 0.9 / n) for n in range(1, 9)], [(10 * n, 0.7) for n in range(1, 9)]
    write_metrics(
        demo_ws, MetricReport("words", "", 384, "kept", 96, 1000, 0, 64, 1.0, 96, {}, {"mathematics": falling, "music": steady})
    )
    shown = Studio("runs", runs_view="Plan")
    assert "1 of these are saturated: recent questions added little novelty." in shown.said
    shown.press("Exclude 1")
    chosen = shown.app.multiselect(key="run_disciplines").value
    assert len(chosen) == 125 and "mathematics" not in chosen and "music" in chosen
    assert "little new ground" not in shown.said
