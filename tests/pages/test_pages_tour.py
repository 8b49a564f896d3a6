"""The tour: offered once in a demo, six stops in order, dismissible and repeatable; and the checklist of steps in the sidebar."""

import os
from pathlib import Path

import pytest
from support.studio_app import Studio

from glan_core.operations.journey import journey, next_step
from glan_core.operations.tour import STOPS
from glan_core.taxonomy import coverage

pytest_plugins = ["support.studio_fixtures"]


@pytest.fixture
def first_visit():
    """A user who has not seen the tour."""
    (Path(os.environ["GLAN_CONFIG_HOME"]) / "tour-seen").unlink()


def test_the_first_visit_of_a_demo_begins_the_tour_and_dismissing_it_is_remembered(demo_ws, first_visit):
    shown = Studio("overview")
    assert STOPS[0].title in shown.said and "stop 1 of 6" in shown.said
    shown.press("Skip tour")
    assert STOPS[0].title not in shown.said and STOPS[0].title not in Studio("overview").said


@pytest.mark.long
def test_every_stop_is_on_its_page_and_leads_to_the_next(demo_ws, first_visit):
    for nth, stop in enumerate(STOPS):
        page = stop.page.removeprefix("pages/").removesuffix(".py")
        shown = Studio(page)
        shown.app.session_state.tour_stop = nth
        shown.app.run()
        assert stop.title in shown.said and shown.fine, page
        labels = {button.label for button in shown.app.button}
        assert ("Next stop" in labels) == (nth < len(STOPS) - 1) and ("Back" in labels) == (nth > 0)
        assert ("End tour" in labels) == (nth == len(STOPS) - 1)


def test_the_tour_is_not_offered_outside_a_demo_and_can_be_taken_again(starter_ws, first_visit):
    shown = Studio("overview")
    assert STOPS[0].title not in shown.said
    shown.press("Take the tour")
    assert STOPS[0].title in shown.said


def test_the_checklist_has_the_state_of_each_step_and_names_the_next(demo_ws):
    steps = journey(demo_ws, coverage.coverage_by_node(demo_ws)[""])
    assert [step.title for step in steps if step.done] == ["Taxonomy", "Syllabi", "Pairs"]
    assert next_step(steps).title == "Map"
    shown = Studio("overview")
    assert "3 of 9" in shown.said and steps[2].state in shown.said and "Snapshot · not yet" in shown.said


def test_an_empty_workspace_begins_with_its_taxonomy(starter_ws):
    steps = journey(starter_ws, coverage.coverage_by_node(starter_ws)[""])
    assert [step.state for step in steps[:3]] == ["126 disciplines", "", ""] and next_step(steps).title == "Syllabi"
