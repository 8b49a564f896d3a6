"""The Taxonomy page in a real browser: clicks in the picture of the tree, edits undone, the outline, votes."""

import re

import pytest
from support.browser_driver import enter, expect, still, titled, visit

from glan_core.workspace import Workspace, taxonomy_rows

pytest_plugins = ["support.browser_fixtures"]
pytestmark = [pytest.mark.browser, pytest.mark.long]


def press_node(page, name: str) -> None:
    """Click the name of a node in the picture, once the picture stands still."""
    found = page.get_by_test_id("stEChartsChart").locator("svg text").get_by_text(re.compile(f"^{name}$"))
    expect(found).to_have_count(1)
    found.scroll_into_view_if_needed()
    page.wait_for_function(
        """() => {
            const now = document.querySelector('[data-testid=stEChartsChart] svg').innerHTML;
            const still = now === window.seen;
            window.seen = now;
            return still;
        }""",
        polling=300,
    )
    found.click(force=True)  # what is drawn above it is the same picture


def pick_row(page, number: int) -> None:
    """Click the box of a row of the outline; it is drawn on a canvas, whose rows are all as high as the head."""
    frame = page.get_by_test_id("stDataFrame").first
    expect(frame.locator("canvas").first).to_be_visible()
    frame.click(position={"x": 16, "y": 33 * (number + 1.5)})


def test_the_picture_leads_from_a_discipline_to_a_key_concept_and_back(page, server):
    visit(page, server, "/taxonomy?workspace=demo", "Taxonomy")
    press_node(page, "Music")
    titled(page, "Taxonomy · Music")
    expect(page).to_have_url(re.compile("focus=music"))
    press_node(page, "Music theory")
    expect(page.get_by_role("heading", level=2, name="Music theory")).to_be_visible()
    expect(page).to_have_url(re.compile("focus=music&subject=sub-"))
    press_node(page, "Canon")
    expect(page.get_by_text("Canon · covered by")).to_be_visible()
    press_node(page, "Humanities")
    titled(page, "Taxonomy · Humanities")
    page.go_back()
    titled(page, "Taxonomy · Music")


@pytest.mark.slow
def test_a_node_that_was_clicked_is_clicked_again_after_another_way_was_taken(page, server):
    visit(page, server, "/taxonomy?workspace=demo", "Taxonomy")
    press_node(page, "Physics")
    titled(page, "Taxonomy · Physics")
    page.get_by_role("button", name="All knowledge").click()
    titled(page, "Taxonomy")
    press_node(page, "Physics")
    titled(page, "Taxonomy · Physics")


@pytest.mark.slow
def test_a_subject_leads_to_its_syllabus(page, server):
    visit(page, server, "/taxonomy?workspace=demo&focus=music", "Taxonomy · Music")
    press_node(page, "Music theory.*")
    page.get_by_role("button", name="Open syllabus").click()
    expect(page).to_have_url(re.compile("/syllabi.*focus=music&subject=sub-"))


@pytest.mark.slow
def test_a_removal_is_undone(page, server, studio_home):
    visit(page, server, "/taxonomy?workspace=starter&focus=the-arts", "Taxonomy · The arts")
    page.get_by_role("button", name="Remove", exact=True).or_(
        page.get_by_test_id("stPopoverButton").filter(has_text="Remove")
    ).first.click()
    page.get_by_role("button", name=re.compile(r"Remove \d+ nodes")).click()
    titled(page, "Taxonomy · Humanities")
    expect(page.get_by_text(re.compile(r"Removed The arts with \d+ nodes below it\."))).to_be_visible()
    ws = Workspace.open(studio_home / "starter")
    assert "music" not in [node.id for node in taxonomy_rows.nodes(ws.db)]
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("Undone: Removed The arts")).to_be_visible()
    assert "music" in [node.id for node in taxonomy_rows.nodes(ws.db)]
    ws.close()


@pytest.mark.slow
def test_the_outline_searches_picks_and_unpicks(page, server):
    visit(page, server, "/taxonomy?workspace=demo", "Taxonomy")
    page.get_by_role("radio", name="Outline").or_(page.get_by_role("button", name="Outline", exact=True)).first.click()
    expect(page).to_have_url(re.compile("view=Outline"))
    enter(page, "Search", "astronomy")
    page.wait_for_function("document.querySelector('[data-testid=stDataFrame]')?.clientHeight < 150")  # head and three rows
    pick_row(page, 2)
    titled(page, "Taxonomy · Astronomy")
    pick_row(page, 2)
    titled(page, "Taxonomy · Physical sciences")


@pytest.mark.slow
def test_a_node_is_voted_on(page, server, studio_home):
    visit(page, server, "/taxonomy?workspace=demo&focus=natural-sciences", "Taxonomy · Natural Sciences")
    page.get_by_role("button", name="Keep · 0").first.click()
    expect(page.get_by_role("button", name="Keep · 1")).to_be_visible()
    still(page)
    ws = Workspace.open(studio_home / "demo")
    assert taxonomy_rows.vote_counts(ws.db)["natural-sciences"] == (1, 0)
    ws.close()


@pytest.mark.slow
@pytest.mark.parametrize("place", ["", "&focus=applied-sciences", "&focus=music", "&view=Outline"])
def test_nothing_is_wider_than_a_small_screen(page, server, place):
    page.set_viewport_size({"width": 1024, "height": 768})
    visit(page, server, f"/taxonomy?workspace=demo{place}", {"": "Taxonomy", "&view=Outline": "Taxonomy"}.get(
        place, "Taxonomy · Applied Sciences" if "applied" in place else "Taxonomy · Music"))  # fmt: skip
    assert page.get_by_test_id("stMain").evaluate("part => part.scrollWidth - part.clientWidth") == 0
