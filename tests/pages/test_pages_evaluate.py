"""Evaluate in every state: tests frozen and taken in, two models judged, results by discipline, questions one by one, studies."""

import json
from dataclasses import replace

import pytest
from support.benchmark_rows import put_scores
from support.model_rows import put_model
from support.runs import execute_run
from support.studio_app import Studio, copy_of

from glan_core import runs
from glan_core.dataset import glan_test_store
from glan_core.evaluation.judge import match_statistics
from glan_core.models import tuned_model_store
from glan_core.workspace import Workspace, match_rows, run_rows
from glan_core.workspace.match_rows import Match

pytest_plugins = ["support.studio_fixtures"]
JUDGED = {"test": "first", "ours": "scripted", "other": "reference", "answer_tokens": 30}


@pytest.fixture(scope="module")
def judged_made(demo_made, tmp_path_factory):
    """The demo workspace with a test, the scripted teacher judged beside the references on it, and two models of which nothing is
    known; one verdict is missing."""
    ws = Workspace.open(copy_of(demo_made, tmp_path_factory.mktemp("judged"), "demo"))
    assert execute_run(ws, {"name": "first", "questions": 5}, "glan-test").state == "finished"
    assert execute_run(ws, {"name": "rest", "split": "combination", "validation_share": 0.2}, "snapshot").state == "finished"
    assert execute_run(ws, JUDGED, "judge-models").state == "finished"
    put_model(ws, "student")
    [match] = match_rows.matches(ws.db)
    with ws.write() as db:
        item = glan_test_store.read_items(ws, "first")[0].id
        db.execute("DELETE FROM verdicts WHERE match = ? AND item = ? AND swapped = 1", (match.id, item))
        about = {"given_away": {"answer_ours": {"number": 3, "rows": 50, "snapshot": "old"}}, "weights": {}, "tokens": 30}
        tuned = Match("mat-student", "first", match.test, "tuned:student", match.ours_key, "base:student", match.other_key, "scripted",
                      about, 1, match.at - 5)  # fmt: skip
        match_rows.put_match(db, tuned)
        for verdict in match_rows.verdicts(db, match.id):
            match_rows.put_verdict(db, match_rows.Verdict("mat-student", verdict.item, verdict.swapped, 7.0, 3.0 + verdict.swapped,
                                                          {}, "<b>why</b>", 1.0))  # fmt: skip
    ws.close()
    return ws.folder


@pytest.fixture
def judged(home, judged_made):
    ws = Workspace.open(copy_of(judged_made, home, "demo"))
    yield ws
    ws.close()


def view(name: str, **query) -> Studio:
    return Studio("evaluate", evaluate_view=name, **query)


def newest(ws) -> run_rows.Run:
    return run_rows.runs(ws.db, 1)[0]


def test_the_leaderboard_ranks_models_and_names_whom_they_stood_beside(judged):
    shown = view("Leaderboard")
    table = shown.table("difference")
    by = table.set_index("title")
    assert shown.fine and table["difference"].is_monotonic_decreasing and by["difference"]["Scripted teacher"] < 0
    assert by["difference"].drop("Scripted teacher").to_dict() == {"student": 3.5, "student (base)": -3.5}
    assert by["beside"].to_dict() == {
        "student": "student (base)", "Scripted teacher": "Reference answers", "student (base)": "student"
    }  # fmt: skip
    assert "+3.50" in shown.said and "0.842" in shown.table("loss").to_string()


def test_a_model_that_took_the_name_of_another_does_not_get_its_results(judged):
    [match] = [match for match in match_rows.matches(judged.db) if match.id == "mat-student"]
    about = match.about | {"weights": {"answer_ours": {"weights": "sha256:older", "adapter": ""}}}
    with judged.write() as db:
        match_rows.put_match(db, replace(match, about=about))
    table = view("Leaderboard").table("difference").set_index("title")
    assert table["difference"].isna()["student"] and "student (base)" not in table.index
    about["weights"]["answer_ours"]["weights"] = tuned_model_store.read_model(judged, "student").weights_hash
    with judged.write() as db:
        match_rows.put_match(db, replace(match, about=about, at=match.at + 1))
    assert view("Leaderboard").table("difference").set_index("title")["difference"]["student"] == 3.5


def test_the_papers_models_stand_below_marked_as_published(judged):
    shown = view("Leaderboard")
    next(toggle for toggle in shown.app.toggle if toggle.key == "evaluate_with_paper").set_value(True).run()
    table = shown.table("gsm8k").set_index("title")
    assert table.loc["paper · GLAN", "gsm8k"] == 80.8 and table["gsm8k"].isna()["student"] and "2402.13064" in shown.said


def test_a_match_of_the_leaderboard_leads_to_its_result(judged):
    shown = view("Leaderboard").press("student vs student")
    assert shown.fine and "Position bias" in shown.said and "+3.50" in shown.said


def test_a_result_says_what_it_came_to_and_what_is_missing(judged):
    [match] = [match for match in match_rows.matches(judged.db) if match.ours == "scripted"]
    found = match_statistics.outcome(match_statistics.item_frame(judged, match))
    shown = view("Results", match=match.id)
    assert shown.fine and f"{found.difference:+.2f}" in shown.said and f"{found.judged} of {found.questions}" in shown.said
    assert "1 verdict" in shown.said
    assert "does not measure the quality of a model" in shown.said


def test_a_model_that_has_seen_the_test_is_warned_about(judged):
    shown = view("Results", match="mat-student")
    assert "was trained on 3 rows that leak questions of this test" in shown.said


def test_where_there_was_data_the_correlation_is_said(judged):
    said = view("Results", match="mat-student").said
    assert "Spearman" in said or "too few, or too little variation" in said


def test_the_focus_narrows_the_result_to_its_disciplines(judged):
    shown = view("Results", match="mat-student", focus="music")
    [match] = [m for m in match_rows.matches(judged.db) if m.id == "mat-student"]
    frame = match_statistics.item_frame(judged, match)
    number = int((frame["discipline"] == "music").sum())
    assert number and f"on {number} question" in shown.said
    shown = view("Results", match="mat-student", focus="dance")
    assert shown.fine and "No judged questions here" in shown.said


def test_the_paper_stands_beside_the_groups_when_asked(judged):
    shown = view("Results", match="mat-student")
    next(toggle for toggle in shown.app.toggle if toggle.key == "evaluate_paper").set_value(True).run()
    chart = next(c for c in shown.app.get("plotly_chart") if "paper: GLAN" in c.proto.spec)
    assert shown.fine and "Mistral-7B-Instruct" in chart.proto.spec


def test_a_question_is_read_with_both_answers_and_both_verdicts(judged):
    shown = view("Questions", match="mat-student")
    said = shown.said
    assert shown.fine and "A shown first" in said and "B shown first" in said and "A 7, B 3" in said
    assert "<b>why</b>" not in "".join(m.value for m in shown.app.markdown) and "why" in said


def test_a_missing_verdict_can_be_found(judged):
    [match] = [match for match in match_rows.matches(judged.db) if match.ours == "scripted"]
    shown = view("Questions", match=match.id)
    button = next(group for group in shown.app.get("button_group") if group.key == "evaluate_shown")
    button.set_value("missing").run()
    assert shown.fine and "no verdict" in shown.said and len(shown.table("question")) == 1


def test_judging_is_planned_and_started_with_its_price(judged, launched):
    shown = view("Judge")
    assert "Start judging ·" in " ".join(shown.labels())
    shown.press("Start judging ·")
    run = newest(judged)
    assert launched == [run.id] and run.kind == "judge-models"
    assert (run.params["ours"], run.params["other"], run.params["test"]) == ("tuned:student", "base:student", "first")


def test_what_was_judged_already_costs_nothing(judged):
    shown = view("Judge")
    for key, value in (("run_eval_ours", "scripted"), ("run_eval_other", "reference")):
        next(box for box in shown.app.selectbox if box.key == key).set_value(value).run()
    next(box for box in shown.app.number_input if box.key == "run_eval_tokens").set_value(30).run()
    assert "1 call" in shown.said  # the verdict that is missing


def test_a_model_leads_to_its_judging(judged, launched):
    put_model(judged, "older", created_at=5.0)
    shown = Studio("models", model="older").press("Judge vs base")
    chosen = {box.key: box.value for box in shown.app.selectbox}
    assert (chosen["run_eval_ours"], chosen["run_eval_other"]) == ("tuned:older", "base:older")


def test_a_test_is_frozen_from_the_page(demo_ws, launched):
    shown = view("Judge")
    assert shown.fine and "Judging needs a test" in shown.said
    shown.press("Create test")
    run = newest(demo_ws)
    assert run.kind == "glan-test" and run.params["name"] == "glan-test-1" and run.params["questions"] == 50
    assert runs.work(demo_ws, run.id).state == "finished"
    assert "glan-test-1" in view("Judge").said


def test_a_removed_test_leaves_a_sentence_in_the_place_of_its_results(judged):
    view("Judge").press("Remove first")
    shown = view("Results")
    assert shown.fine and 'Test "first" does not exist' in shown.said


def test_the_leaderboard_of_nothing_leads_to_the_next_step(demo_ws):
    shown = view("Leaderboard")
    assert shown.fine and "No evaluations yet" in shown.said
    assert "Create test" in view("Leaderboard").press("Create held-out test").labels()


def test_a_study_is_planned_started_and_drawn(judged, launched):
    shown = view("Scaling")
    assert shown.fine and "No studies yet" in shown.said and "Start study · 5 models" in " ".join(shown.labels())
    shown.press("Start study ·")
    run = newest(judged)
    assert launched == [run.id] and run.kind == "scaling" and run.params["judge"]["test"] == "first"
    for rows, loss in ((1, 6.0), (2, 5.0), (6, 4.0), (19, 3.5), (62, 3.2)):
        put_model(judged, f"study-1-{rows}", losses={"validation": loss}, rows=rows)
    with judged.write() as db:
        run_rows.update_run(db, run.id, state="finished", message="done")
    shown = view("Scaling")
    table = shown.table("rows")
    assert shown.fine and "study-1" in shown.said and len(table) == 5 and table["loss"].notna().sum() >= 3
    assert json.loads(shown.app.get("plotly_chart")[0].proto.spec)["layout"]["xaxis"]["type"] == "log"


def test_a_study_says_steps_calls_price_and_time_before_it_starts(judged):
    shown = view("Scaling")
    said = {metric.label: metric for metric in shown.app.metric}
    assert set(said) == {"Steps", "Calls", "Price", "Time"} and said["Price"].value == "free"
    questions = glan_test_store.read_test(judged, "first").number
    assert said["Calls"].value == str(5 * 3 * questions), "an answer and two verdicts per question and model"
    steps = int(said["Steps"].value.replace(",", ""))
    assert steps > 0 and "raining" in said["Time"].help
    next(box for box in shown.app.selectbox if box.key == "run_scaling_test").set_value("validation loss only").run()
    alone = {metric.label: metric.value for metric in shown.app.metric}
    assert (alone["Calls"], alone["Steps"]) == ("0", said["Steps"].value) and alone["Time"] != "–"
    assert f"Start study · 5 models · {alone['Time']}" in shown.labels()
    next(field for field in shown.app.text_input if field.key == "run_scaling_shares").set_value("10, 100").run()
    fewer = {metric.label: metric.value for metric in shown.app.metric}
    assert int(fewer["Steps"].replace(",", "")) < steps and "Start study · 2 models" in " ".join(shown.labels())


def test_parts_that_are_no_numbers_are_refused_in_words(judged):
    shown = view("Scaling")
    next(field for field in shown.app.text_input if field.key == "run_scaling_shares").set_value("a, b").run()
    assert "are not numbers" in shown.said and shown.fine


def test_a_read_only_workspace_shows_results_and_offers_no_change(judged, monkeypatch):
    import os

    judged.close()
    monkeypatch.setattr(os, "access", lambda *where: False)
    for name in ("Leaderboard", "Judge", "Results", "Questions", "Benchmarks", "Contamination", "Scaling"):
        shown = view(name)
        assert shown.fine, name
        assert not [
            label
            for label in shown.labels()
            if label.startswith(("Start judging ·", "Create test", "Import", "Remove", "Start"))
        ]


def test_results_of_unfinished_work_are_not_kept(judged):
    """Every verdict, answer, score and probe that arrives changes what is shown at once, also in a session that saw less."""
    [match] = [match for match in match_rows.matches(judged.db) if match.id == "mat-student"]
    verdicts = match_rows.verdicts(judged.db, match.id)
    with judged.write() as db:
        db.execute("DELETE FROM verdicts WHERE match = ?", (match.id,))
    shown = view("Leaderboard", match=match.id)
    assert shown.table("difference").set_index("title")["difference"].isna()["student"]
    assert "1 match judged" in shown.said  # the other one; a match without a verdict is not judged
    with judged.write() as db:
        for verdict in verdicts[:2]:
            match_rows.put_verdict(db, verdict)
    shown.app.run()
    assert shown.table("difference").set_index("title")["difference"]["student"] == 3.5 and "2 matches judged" in shown.said
    shown.app.session_state["evaluate_view"] = "Results"
    shown.app.run()
    assert f"{1} of " in shown.said
    with judged.write() as db:
        for verdict in verdicts[:2]:  # a verdict that is replaced leaves their number as it was
            match_rows.put_verdict(db, replace(verdict, ours=2.0, other=8.0, at=verdict.at + 1))
    shown.app.run()
    assert "-6.00" in shown.said.replace("−", "-")
    shown.app.session_state["evaluate_view"] = "Leaderboard"
    shown.app.run()
    assert shown.table("difference").set_index("title")["difference"]["student"] == -6.0


def test_scores_and_probes_that_replace_others_are_shown_at_once(judged):
    put_scores(judged, "student")
    shown = view("Leaderboard")
    before = shown.table("humaneval").set_index("title")["humaneval"]["student"]
    with judged.write() as db:
        db.execute("UPDATE benchmark_scores SET weights_hash = ? WHERE model = 'tuned:student'",
                   (tuned_model_store.read_model(judged, "student").weights_hash,))  # fmt: skip
    shown.app.run()
    with judged.write() as db:
        db.execute(
            "UPDATE benchmark_scores SET score = 0.9 WHERE benchmark = 'humaneval' AND model = 'tuned:student' AND part = ''"
        )
    shown.app.run()
    assert shown.table("humaneval").set_index("title")["humaneval"]["student"] == 90.0 != before


def test_a_score_has_its_number_of_rows_and_few_rows_are_gray(judged):
    """0 of 4 rows of HumanEval is not 0.0 beside the paper's 48.4."""
    put_scores(judged, "student")
    weights = tuned_model_store.read_model(judged, "student").weights_hash
    with judged.write() as db:
        db.execute("UPDATE benchmark_scores SET weights_hash = ? WHERE model = 'tuned:student'", (weights,))
        db.execute(
            "UPDATE benchmark_scores SET score = 0, number = 4 WHERE benchmark = 'humaneval' AND model = 'tuned:student'"
        )
    shown = view("Leaderboard", model="tuned:student")
    assert "HumanEval: 0.0% (95% interval 0% to 49%, standard error 0.0) on 4 rows. Too few rows to compare." in shown.said
    board = next(frame for frame in shown.app.dataframe if "difference" in frame.value.columns)
    styler = board.proto.arrow_data.styler if hasattr(board.proto, "arrow_data") else board.proto.styler
    assert styler.styles.count("gray") == 1
    assert "GSM8K: 32.0%" in shown.said and "on 100 rows" in shown.said


def test_models_are_ranked_from_all_matches(judged):
    shown = view("Leaderboard")
    table = shown.table("rating")
    groups = ({"student", "student (base)"}, {"Scripted teacher", "Reference answers"})  # without a common scale
    assert shown.fine and set(table["model"]) in groups and "Not ranked, because not compared" in shown.said
    assert table["rating"].is_monotonic_decreasing and table["rank"][0] == 1


def test_a_correlation_needs_several_disciplines(judged):
    said = view("Results", match="mat-student").said
    assert "too few, or too little variation, for a correlation" in said and "Spearman" not in said


def test_the_first_thing_read_is_whether_it_helped(judged):
    shown = view("Results", match="mat-student")
    lines = shown.said.split("\n")
    said = next(line for line in lines if "scored higher than" in line or "No detectable" in line or "Too few" in line)
    assert lines.index(said) < next(n for n, line in enumerate(lines) if line == "Difference")
    assert "was trained on 3 rows that leak" in shown.said and "Result card" in shown.said
