"""Tests for the Overview page: totals, charts, the latest run, the emptiest disciplines and failures."""

import socket
import time

import pytest
from support.chart_items import chart_items, chart_labels
from support.curriculum import add_pairs
from support.studio_app import Studio, add_failure, add_run

from glan_core.figures.coverage import MEASURES, coverage_frame, coverage_rings
from glan_core.figures.rings import LEVELS
from glan_core.figures.style import LIGHT
from glan_core.figures.tree_parts import ALL, drawn_ids
from glan_core.formatting import number
from glan_core.operations.stakeholder_report import stakeholder_report
from glan_core.taxonomy import coverage, tree_editing
from glan_core.workspace import run_rows
from glan_core.workspace.run_rows import StageProgress
from glan_core.workspace.workspace import set_metadata
from pages.components.overview import report_downloads

pytest_plugins = ["support.studio_fixtures"]


@pytest.mark.parametrize("focus", ["", "humanities", "the-arts", "music", "physics"])
def test_the_numbers_of_the_overview_are_those_of_coverage(demo_ws, focus):
    standing = coverage.coverage_by_node(demo_ws)[focus]
    shown = Studio(**({"focus": focus} if focus else {}))
    metrics = {metric.label: metric.value for metric in shown.app.metric}
    for label, measure in (("Pairs", "pairs"), ("Subjects", "subjects"), ("Syllabi", "syllabi"), ("Key concepts", "concepts")):
        assert metrics[label] == number(standing.counts[measure])
    share = f"{standing.share:.1%} of the target reached" if standing.share is not None else "no target yet"
    assert (f"{number(standing.counts['concepts'])} key concepts" if standing.disciplines > 1 else share) in shown.said


def test_a_workspace_that_is_no_demo_says_how_much_of_its_target_it_has(demo_ws):
    with demo_ws.write() as db:
        set_metadata(db, "demo", value=False)
    standing = coverage.coverage_by_node(demo_ws)[""]
    assert f"{standing.share:.1%} of the target reached" in Studio().said


def test_rings_begin_with_the_disciplines_that_have_data_and_name_only_these(demo_ws, starter_ws):
    tree = tree_editing.tree(demo_ws)
    standings = coverage.coverage_by_node(demo_ws, tree)
    frame = coverage_frame(tree, standings, only_begun=True)
    assert set(frame.loc[frame["kind"] == "discipline", "name"]) == {"Mathematics", "Earth science", "Music"}
    everything = coverage_frame(tree, standings)
    ids, drawn = drawn_ids(everything, ALL, LEVELS)[1:], coverage_rings(everything, "share", LIGHT)
    labels = dict(zip(ids, chart_labels(drawn), strict=True))
    assert labels["music"] == "Music" and labels["dance"] is None and labels["humanities"] == "Humanities"
    items = dict(zip(ids, chart_items(drawn), strict=True))
    assert (items["music"]["value"], items["dance"]["value"]) == (3, 1)
    empty = coverage_frame(tree_editing.tree(starter_ws), coverage.coverage_by_node(starter_ws))
    assert "Dance" in chart_labels(coverage_rings(empty, "share", LIGHT)), "without any data every discipline is named"
    with_data, all_nodes = Studio(), Studio(shown="All")
    assert with_data.fine and all_nodes.fine
    assert Studio(focus="dance").fine, "a focus without data is drawn among all"


def test_the_overview_lists_what_lies_below(demo_ws):
    shown = Studio(focus="the-arts")
    below = shown.table("share")
    assert "Music" in list(below["name"])
    assert below.set_index("name").loc["Music", ["share", "pairs"]].round(1).to_list() == [33.3, 16]
    assert not [frame for frame in Studio(focus="music").app.dataframe if "share" in frame.value.columns]


@pytest.mark.long
@pytest.mark.parametrize(
    ("measure", "drawn"), [*((measure, "Rings") for measure in MEASURES), (next(iter(MEASURES)), "Tiles")]
)  # fmt: skip
def test_every_measure_colors_the_rings_and_one_the_tiles(demo_ws, measure, drawn):
    shown = Studio()
    shown.app.selectbox(key="measure").set_value(measure).run()
    shown.app.button_group(key="drawn").set_value(drawn).run()
    assert shown.fine and MEASURES[measure].description in shown.said


def test_the_overview_says_what_the_last_run_added(demo_ws):
    shown = Studio()
    metrics = {metric.label: metric.delta for metric in shown.app.metric}
    assert (metrics["Pairs"], metrics["Subjects"], metrics["Rejected"]) == ("+16", "+1", "")
    assert "+: added by run 3 (Demo: music)." in shown.said
    elsewhere = Studio(focus="mathematics")
    assert not any(metric.delta for metric in elsewhere.app.metric) and "+: added" not in elsewhere.said


def test_the_emptiest_disciplines_lead_to_a_plan_for_them(demo_ws):
    shown = Studio(focus="natural-sciences", measure="Pairs")
    shown.app.session_state["overview_tabs"] = "Emptiest"
    shown.app.run()
    shares = shown.table("share")
    assert set(shares["name"]) == {"Astronomy", "Chemistry", "Physics", "Biology", "Earth science"}
    assert shares["name"].to_list()[-1] == "Earth science"
    shown.press("Plan a run for these 5 disciplines")
    assert shown.fine and "Runs · Natural Sciences" in shown.said
    assert len(shown.app.multiselect(key="run_disciplines").value) == 5


def test_a_run_at_work_stands_on_the_overview(demo_ws):
    add_run(demo_ws, "running", "Everything")
    shown = Studio()
    [run, *_] = run_rows.runs(demo_ws.db)
    assert shown.fine and f"Run {run.id}, Everything: 10 of 40 calls" in shown.said
    shown.press("Watch")
    assert shown.fine and f"Run {run.id}" in shown.said and "Pause" in shown.labels()


def test_a_job_at_work_is_counted_by_its_step_and_not_in_calls(demo_ws):
    with demo_ws.write() as db:
        id = run_rows.add_run(db, "decontaminate", "Decontamination", {})
        run_rows.update_run(
            db, id, state="running", started_at=time.time(), heartbeat_at=time.time(), host=socket.gethostname()
        )
        run_rows.set_stage(db, id, StageProgress("pairs checked", 4000, 1200, 0))
    shown = Studio()
    assert shown.fine and f"Run {id}, Decontamination: pairs checked, 1,200 of 4,000" in shown.said
    assert "of 4,000 calls" not in shown.said


def test_failures_are_said_on_the_overview(demo_ws):
    assert "failed" not in Studio(focus="mathematics").said
    add_failure(demo_ws, None, "refused")
    assert "1 call failed; the next run retries it." in Studio(focus="mathematics").said


def test_the_report_and_the_card_are_downloads_that_are_built_on_a_click(demo_ws, monkeypatch):
    built = []
    monkeypatch.setattr(stakeholder_report, "build_report", lambda ws: built.append(ws) or "<html>")
    shown = Studio(focus="music")
    report, card = shown.app.download_button
    assert (report.label, report.disabled, card.label, card.disabled) == ("Download report", False, "Dataset card", False)
    assert shown.fine and built == []  # drawing the page builds nothing


def test_there_is_no_card_without_pairs_or_of_too_many_without_a_snapshot(starter_ws, monkeypatch):
    _, card = Studio().app.download_button
    assert card.disabled and "no pairs yet" in card.help
    add_pairs(starter_ws, "music", ("How?", "So."), ("Why?", "Because."))
    monkeypatch.setattr(report_downloads, "MOST_PAIRS", 1)
    _, card = Studio().app.download_button
    assert card.disabled and "create a snapshot" in card.help
