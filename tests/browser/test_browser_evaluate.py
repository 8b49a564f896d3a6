"""Evaluation in a real browser: a test is held out and two models are judged by runs of their own, and the result is read."""

import pytest
from support.browser_driver import expect, press, visit

from glan_core.dataset import glan_test_store
from glan_core.workspace import Workspace, match_rows

pytest_plugins = ["support.browser_fixtures"]
pytestmark = [pytest.mark.browser, pytest.mark.long]


@pytest.fixture(scope="module")
def ws(studio_home):
    """The demo workspace, as the studio changes it."""
    opened = Workspace.open(studio_home / "demo")
    yield opened
    opened.close()


def test_questions_are_held_out_judged_and_read(page, server, ws):
    visit(page, server, "/evaluate?workspace=demo", "Evaluate")
    press(page, "Create held-out test")
    press(page, "Create test")
    expect(page.get_by_text("Created test glan-test-1")).to_be_visible()
    test = glan_test_store.read_test(ws, "glan-test-1")
    press(page, "Start judging · ")  # the scripted teacher beside its own answers: there is no tuned model here
    expect(page.get_by_role("button", name="View results")).to_be_visible()
    [match] = match_rows.matches(ws.db)
    assert len(match_rows.judged(ws.db, match.id)) == 2 * test.number
    press(page, "View results")
    expect(page.get_by_text(f"{test.number} of {test.number}")).to_be_visible()
    expect(page.get_by_test_id("stEChartsChart").locator("svg path").first).to_be_visible()
    press(page, "Read questions")
    expect(page.get_by_text("A shown first")).to_be_visible()
    wide = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert wide[0] <= wide[1]


@pytest.mark.slow
@pytest.mark.parametrize("view", ["Leaderboard", "Judge", "Results", "Questions", "Benchmarks", "Contamination", "Scaling"])
def test_no_view_is_wider_than_a_narrow_screen(page, server, view):
    page.set_viewport_size({"width": 1024, "height": 768})
    visit(page, server, f"/evaluate?workspace=demo&evaluate_view={view}", "Evaluate")
    wide = page.evaluate("(main => [main.scrollWidth, main.clientWidth])(document.querySelector('[data-testid=stMain]'))")
    assert wide[0] <= wide[1]
