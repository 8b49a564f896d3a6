"""The Compare view of the Diversity page: how a comparison is asked for, what it says, what can be picked in it."""

import os
from pathlib import Path

import pytest
from support.diversity_rows import BREAD, Steps, compare
from support.studio_app import Studio

from glan_core.diversity.comparison_queries import comparison_points
from glan_core.diversity.comparison_sources import store_dataset
from glan_core.diversity.comparison_store import list_comparisons, read_points
from glan_core.diversity.map_job import create_map
from glan_core.diversity.map_store import read_map
from glan_core.diversity.settings import MapSettings
from glan_core.homework import review
from glan_core.workspace import Workspace, homework_rows, run_rows
from pages.components.diversity import comparison_map

pytest_plugins = ["support.studio_fixtures", "support.comparison_fixtures"]


@pytest.fixture
def ws(starter_ws):
    return starter_ws


@pytest.fixture
def launched(monkeypatch):
    """The runs that were started, of which no process is made."""
    from glan_core.runs import launcher

    found = []
    monkeypatch.setattr(launcher, "launch", lambda ws, run_id, environment=None: found.append(run_id))
    return found


def compare_page(**query: str) -> Studio:
    return Studio("diversity", diversity_view="Compare", **query)


def seen(shown: Studio, **state) -> Studio:
    """The page with something picked, as a click in the chart leaves it."""
    for name, value in state.items():
        shown.app.session_state[name] = value
    shown.app.run()
    return shown


@pytest.fixture
def mapped(ours):
    create_map(ours, MapSettings(embedder="words"), Steps())
    return ours


def test_without_a_comparison_it_says_what_will_be_here_and_takes_a_file(mapped, bakery, launched):
    with bakery.open("rb") as file:
        kept = str(store_dataset(mapped, "bakery.jsonl", file)[0])
    shown = compare_page()
    assert shown.fine and "Compare this workspace with another dataset" in shown.said
    assert "Compare" not in shown.labels()  # nothing is chosen yet
    shown.app.selectbox(key="run_compare_path_0").select(kept).run()
    shown.press("Compare with bakery")
    [run] = run_rows.runs(mapped.db, 5)
    assert (run.kind, run.title, run.params["path"], run.params["embedder"]) == (
        "compare", "Comparison with bakery", kept, "words",
    )  # fmt: skip
    assert launched == [run.id] and shown.fine and "Comparison with bakery: starting" in shown.said


def test_an_uploaded_file_is_selected_at_once(mapped, bakery, launched):
    shown = compare_page()
    shown.app.file_uploader[0].set_value(("bakery.jsonl", bakery.read_bytes(), "application/octet-stream")).run()
    shown.press("Compare with bakery")
    [run] = run_rows.runs(mapped.db, 5)
    assert launched == [run.id] and Path(run.params["path"]).read_bytes() == bakery.read_bytes()


def test_an_uploaded_file_without_questions_is_refused(mapped, launched):
    shown = compare_page()
    shown.app.file_uploader[0].set_value(("notes.csv", b"color,size\nred,3\n", "text/csv")).run()
    assert "notes.csv" in shown.said and not any(label.startswith("Compare with") for label in shown.labels())


def test_a_path_that_is_not_there_cannot_be_compared(mapped):
    shown = Studio()  # AppTest types nothing that is not among the options
    shown.app.session_state["run_compare_path_0"] = "/nowhere/rows.jsonl"
    shown.go("diversity", diversity_view="Compare")
    assert shown.fine and "/nowhere/rows.jsonl does not exist" in shown.said
    assert "Compare with rows" not in shown.labels()


def test_a_finished_comparison_shows_both_sets(ours, bakery):
    compare(ours, bakery)
    shown = compare_page()
    assert shown.fine and "36 questions here, 60 of 60 in bakery (Alpaca)" in shown.said
    assert [(metric.label, metric.value) for metric in shown.app.metric[:2]] == [
        ("Wording only here", "66.7 %"),
        ("Wording only in bakery", "50.0 %"),
    ]
    assert any("bread" in words for words in shown.table("words")["words"])
    assert shown.table("question")["question"][0] in BREAD
    measures = shown.table("difference")
    assert "Mean distance" in measures["measure"].tolist() and "Vendi score of 1,000" in measures["measure"].tolist()
    assert "30 questions of it (50%) have no neighbor" in shown.said and "Remove 60 copied questions" in shown.labels()
    shown.app.segmented_control(key="compare_side").set_value("ours").run()
    assert (shown.fine and "Clusters without a row of it" in shown.said) or "It has rows in every cluster" in shown.said


def test_a_row_of_theirs_is_read_beside_the_nearest_here(ours, bakery):
    compare(ours, bakery)
    shown = seen(compare_page(), compare_row=59)
    assert (
        BREAD[29] in shown.said and "bakery, question 60" in shown.said and "No near question; the nearest here" in shown.said
    )
    seen(shown, compare_row=0)
    assert "Nearest question here" in shown.said
    shown.press("Open")
    assert shown.fine and "Open in Homework" in shown.labels() and "bakery, question 1" not in shown.said
    shown.press("Back")
    assert "Wording only here" in [metric.label for metric in shown.app.metric]


@pytest.mark.long
def test_what_is_encircled_lists_rows_of_both(ours, bakery):
    compare(ours, bakery)
    far = 1e6
    shown = seen(compare_page(), compare_area=("box", (-far, far), (-far, far)))
    assert shown.fine and "36 here, 60 in bakery" in shown.said
    table = shown.table("set")
    assert table["set"].value_counts().to_dict() == {"there": 60, "here": 36}
    shown.press("Zoom to selection")
    shown.press("Reset zoom")
    seen(shown, compare_area=("lasso", (far, far + 1, far), (far, far, far + 1)))
    assert shown.fine and "No questions in this area." in shown.said
    shown.press("Clear")
    assert "Wording only in bakery" in [metric.label for metric in shown.app.metric]


def test_a_map_that_was_drawn_anew_keeps_the_numbers_and_offers_to_compare_again(ours, bakery, launched):
    compare(ours, bakery)
    create_map(ours, MapSettings(embedder="words", refit=True), Steps())
    shown = compare_page()
    assert shown.fine and "The map was refitted" in shown.said and "Metrics" in shown.said
    shown.press("Compare again")
    assert run_rows.runs(ours.db, 1)[0].params["path"] == str(bakery) and launched


def test_a_comparison_is_removed_when_that_is_confirmed(ours, bakery):
    compare(ours, bakery)
    shown = compare_page()
    assert "Remove the comparison with **bakery**?" in shown.said
    shown.press("Remove 60 copied questions")
    assert shown.fine and list_comparisons(ours) == [] and "Compare this workspace with another dataset" in shown.said


def test_several_comparisons_stand_in_one_table_and_one_is_picked(ours, bakery, home):
    twin = Workspace.open(home / "starter")
    copy = home.parent / "twin.jsonl"
    copy.write_bytes(bakery.read_bytes())
    compare(ours, bakery)
    compare(ours, copy)
    twin.close()
    shown = compare_page()
    assert shown.table("form")["name"].tolist() == ["twin", "bakery"] and "in twin (Alpaca)" in shown.said
    box = next(box for box in shown.app.selectbox if box.label == "Comparison")
    box.select("bakery").run()
    assert shown.fine and "in bakery (Alpaca)" in shown.said


def test_a_read_only_workspace_shows_comparisons_and_offers_no_other(ours, bakery, monkeypatch):
    compare(ours, bakery)
    ours.close()
    monkeypatch.setattr(os, "access", lambda *where: False)
    shown = compare_page()
    assert shown.fine and "in bakery (Alpaca)" in shown.said
    assert not {"New comparison", "Remove 60 copied questions"} & set(shown.labels())


def test_a_comparison_that_failed_says_why(mapped):
    with mapped.write() as db:
        id = run_rows.add_run(db, "compare", "Comparison with rows", {"embedder": "words", "path": "rows.csv"})
        run_rows.update_run(db, id, state="failed", message="Line 3 of rows.csv is not CSV.")
    shown = compare_page()
    assert shown.fine and "Line 3 of rows.csv is not CSV." in shown.said and "Continue" in shown.labels()


def test_texts_of_strangers_cannot_script_the_map(ours, tmp_path):
    file = tmp_path / "<b>set.jsonl"
    file.write_text('{"question": "<b onclick=alert(1)>x</b>"}\n' * 12)
    _, one = compare(ours, file)
    rows = comparison_points(read_map(ours, "words", 2), read_points(ours, one.name), one.similarity)
    assert not [text for text in comparison_map._hover(ours, one, rows) if "<b" in text.replace("<br>", "")]
    assert compare_page().fine


def test_a_question_of_ours_that_is_gone_still_lists(ours, bakery):
    _, one = compare(ours, bakery)
    [id] = homework_rows.pair_ids(ours.db, [one.far_ours[0]])
    review.edit(ours, id, "Ada", question="Something else.", answer=None)
    assert compare_page().fine
