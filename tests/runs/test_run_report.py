"""Run reports: results, estimates and differences between runs."""

import time

import pytest
from support.runs import Canned, execute_run, resume_run

from glan_core import runs
from glan_core.generation.plan import plan
from glan_core.generation.settings import GenerationSettings
from glan_core.runs.report import Estimate, by_discipline, compare_with_plan, expected_stages, results_of
from glan_core.runs.settings_summary import differences, settings_summary
from glan_core.settings import read_settings
from glan_core.workspace import run_rows
from glan_core.workspace.run_rows import Sample, StageProgress


def planned_run(ws, values: dict, **also):
    """Start a run as a page does, with its plan, and execute it in this process."""
    settings = read_settings(GenerationSettings, values)
    run_id = runs.submit(ws, "generate", "test", settings.model_dump(mode="json"), plan(ws, settings).as_dict())
    return runs.work(ws, run_id)


def test_disciplines_under_way_come_first_and_those_done_last(ws, settings, teach):
    teach(Canned(lambda stage, nth, messages: "" if "Cave" in str(messages) or (stage == "answer" and nth > 12) else None))
    execute_run(ws, settings("music"))
    run = execute_run(ws, settings("mathematics", "music", "cave-mapping"))
    rows = by_discipline(ws, run)
    assert [(row.discipline_id, row.state) for row in rows] == [
        ("mathematics", "in progress"), ("cave-mapping", "not started"), ("music", "done"),
    ]  # fmt: skip
    under_way, untouched, done = rows
    assert (under_way.gained, under_way.pairs, under_way.wanted) == (under_way.pairs, under_way.pairs, 8)
    assert under_way.share == under_way.pairs / 8 and (untouched.wanted, untouched.share) == (None, 0)
    assert (done.gained, done.pairs, done.subjects, done.syllabi) == (0, 8, 2, 2)


def test_a_run_for_syllabi_alone_is_done_when_they_are_there(ws, settings, teach):
    teach(Canned())
    [row] = by_discipline(ws, execute_run(ws, settings(questions_per_syllabus=0, max_subjects=1)))
    assert (row.state, row.wanted, row.syllabi, row.subjects) == ("done", 0, 1, 2)


def test_no_discipline_is_shown_of_a_run_without_an_account(ws, settings):
    assert by_discipline(ws, runs.get(ws, runs.submit(ws, "generate", "test", settings()))) == []


def test_what_is_planned_counts_from_the_plan_until_it_is_known(ws, settings):
    run_id = runs.submit(ws, "generate", "t", settings(), {"stages": [{"stage": "answer", "calls": [100, 300]}]})
    run = runs.get(ws, run_id)
    early = [StageProgress("subject_list", 9, 1, 0), StageProgress("answer", 20, 8, 0)]
    assert [s.planned for s in expected_stages(run, early)] == [9, 100]
    late = [StageProgress("sessions", 9, 8, 1), StageProgress("question", 20, 5, 0), StageProgress("answer", 20, 8, 0)]
    assert expected_stages(run, late) == late
    assert [s.planned for s in expected_stages(run, [StageProgress("answer", 400, 8, 0)])] == [400]
    assert expected_stages(runs.get(ws, runs.submit(ws, "generate", "t", settings())), early) == early


@pytest.mark.parametrize(
    ("low", "high", "actual", "off"),
    [(10, 20, 10, 0), (10, 20, 20, 0), (10, 20, 25, 0.25), (10, 20, 8, -0.2), (10, 10, 10.04, 0), (0, 0, 0, 0),
     (0, 0, 3, float("inf"))],
)  # fmt: skip
def test_how_far_off_an_estimate_was(low, high, actual, off):
    assert Estimate("calls", low, high, actual).off == pytest.approx(off)


def test_an_estimate_is_held_against_what_the_run_came_to(ws, settings, teach):
    teach(Canned(name="scripted"))
    run = planned_run(ws, settings())
    rows = {row.measure: row for row in compare_with_plan(ws, run)}
    assert list(rows) == ["calls", "pairs", "tokens", "usd", "seconds"]
    assert (rows["pairs"].low, rows["pairs"].high, rows["pairs"].actual, rows["pairs"].off) == (8, 8, 8, 0)
    assert rows["calls"].actual == sum(s.done for s in run_rows.stages(ws.db, run.id))
    assert rows["usd"].actual == 0 == rows["usd"].off
    assert compare_with_plan(ws, execute_run(ws, settings("music"))) == [], "it has no plan"


def test_time_and_rate_are_those_at_work(ws, settings):
    run_id = runs.submit(ws, "generate", "test", settings())
    now = time.time()
    with ws.write() as db:
        for n, at in enumerate((0, 1, 2, 1000, 1001, 1002)):
            run_rows.add_sample(db, run_id, Sample(now + at, 10 * n, 11 * n, n, 0, 4, 8, 100 * n, 50 * n, 0.5 * n))
    outcome = results_of(ws, runs.get(ws, run_id))
    assert (outcome.calls, outcome.throttled, outcome.usd) == (50, 5, 2.5)
    assert outcome.seconds == pytest.approx(4) and outcome.rate == pytest.approx(12.5) and outcome.usd_per_pair is None
    assert run_rows.sample_since(ws.db, run_id, now + 500).done == 30, "what was before the pause says nothing of now"
    assert run_rows.sample_since(ws.db, run_id, now + 5000) is None
    assert results_of(ws, runs.get(ws, runs.submit(ws, "generate", "test", settings()))) is None


def test_the_outcome_counts_what_is_still_open(ws, settings, teach):
    teach(Canned(lambda stage, nth, messages: "" if stage == "answer" and nth == 0 else None, name="openai:gpt-4o"))
    run = execute_run(ws, settings())
    first = results_of(ws, run)
    assert first.failures == 1 and first.gained["pairs"] == 7 and first.gained["failures"] == 1
    second = results_of(ws, execute_run(ws, settings()))
    assert (second.failures, second.gained["pairs"], second.gained["failures"]) == (0, 1, -1)


def test_runs_differ_in_the_settings_that_were_changed(ws, settings):
    one = runs.submit(ws, "generate", "one", settings("music", "mathematics", seed=3))
    changed = settings(
        "music", "earth-science", questions_per_syllabus=1200, budget_usd=2.5, stages={"question": {"temperature": 0.7}}
    )
    other = runs.submit(ws, "generate", "other", changed)
    assert differences([runs.get(ws, one), runs.get(ws, one)]) == {}
    assert differences([runs.get(ws, one), runs.get(ws, other)]) == {
        "Disciplines": ["2, 1 not shared", "2, 1 not shared"], "Questions per syllabus": ["4", "1,200"], "Seed": ["3", "0"],
        "Budget": ["–", "$2.50"], "Stage question": ["–", "temperature 0.7"],
    }  # fmt: skip


def test_settings_of_earlier_releases_are_shown_under_their_current_names(ws):
    stored = {"target": {"disciplines": ["a"], "subject_queries": 10}, "draw_law": "uniform"}
    shown = settings_summary(runs.get(ws, runs.submit(ws, "generate", "old", stored)))
    assert (shown["Disciplines"], shown["Max subjects"], shown["Max calls"]) == ("1", "–", "–")
    assert shown["Concept sampling"] == "uniform" and "None" not in str(shown)
    old = {"batch": 4, "rows_at_once": 2, "warmup_share": 0.1, "checkpointing": True}
    shown = settings_summary(runs.get(ws, runs.submit(ws, "finetune", "old", old)))
    assert (shown["Global batch size"], shown["Per-device batch size"], shown["Warmup ratio"]) == ("4", "2", "0.1")
    assert shown["Gradient checkpointing"] == "on"


def test_a_run_that_goes_on_is_one_run_in_its_figures(ws, settings, teach):
    teach(Canned())
    stopped = execute_run(ws, settings(max_calls=10))
    done = resume_run(ws, stopped.id, settings(max_calls=100))
    assert results_of(ws, done).gained["pairs"] == 8 and results_of(ws, done).calls == 22
