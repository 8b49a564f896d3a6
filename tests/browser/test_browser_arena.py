"""Votes by keyboard, filters in the address, and a renamed run, in a real browser."""

import re

import pytest
from support.browser_driver import chrome, enter, expect, press, press_key, still, titled, visit
from support.demo import small_demo
from support.model_rows import add_training
from support.runs import execute_run

from glan_core import runs
from glan_core.evaluation.judge import arena
from glan_core.evaluation.judge.arena import BAD, TIE
from glan_core.workspace import Workspace, match_rows

pytest_plugins = ["support.browser_fixtures"]
pytestmark = [pytest.mark.browser, pytest.mark.long]


@pytest.fixture(scope="module")
def studio_home(tmp_path_factory):
    """The demo workspace with a judged match and two training runs."""
    chrome()
    folder = tmp_path_factory.mktemp("browser") / "home"
    small_demo(folder / "demo").close()
    ws = Workspace.open(folder / "demo")
    assert execute_run(ws, {"name": "exam", "questions": 4}, "glan-test").state == "finished"
    judged = {"test": "exam", "ours": "scripted", "other": "reference", "answer_tokens": 30}
    assert execute_run(ws, judged, "judge-models").state == "finished"
    for name in ("one", "two"):
        add_training(ws, "finished", name)
    ws.close()
    return folder


@pytest.fixture(scope="module")
def ws(studio_home):
    opened = Workspace.open(studio_home / "demo")
    yield opened
    opened.close()


def at(page, item: str) -> None:
    """Wait until a question is the one to vote on."""
    expect(page).to_have_url(of(item))
    expect(page.locator(".st-key-arena_side_1")).to_be_visible()
    still(page)


def of(item: str) -> re.Pattern[str]:
    return re.compile(rf"[?&]item={item}(&|$)")


def press_on(page, key: str, item: str) -> None:
    """Press a key that leads to this question."""
    press_key(page, key, lambda timeout: page.wait_for_url(of(item), timeout=timeout))
    at(page, item)


def test_votes_by_keyboard_are_undone_and_changed(page, server, ws):
    [match] = match_rows.matches(ws.db)
    found = arena.pairings(ws, match)
    items = [pairing.item.id for pairing in found]
    visit(page, server, "/evaluate?workspace=demo&evaluate_view=Arena", "Evaluate")
    at(page, items[0])
    expect(page.locator("[class*=st-key-arena_side]").first).to_contain_text("Left")
    expect(page.get_by_text("Left · ", exact=False)).to_have_count(0)  # blind
    for nth, key in enumerate("1234"):
        press_on(page, key, items[nth + 1])

    def votes() -> dict[str, str]:
        return {vote.item: vote.choice for vote in match_rows.votes(ws.db, match.id)}

    assert list(votes().values()) == [found[0].choice(0), found[1].choice(1), TIE, BAD]
    press_on(page, "u", items[3])
    assert list(votes()) == items[:3]
    press_on(page, "3", items[4])
    page.locator(f".st-key-arena_open_{items[0]} button").click()
    at(page, items[0])
    expect(page.get_by_text("Left · ", exact=False).first).to_be_visible()  # it was voted on
    press_on(page, "n", items[4])
    page.locator(f".st-key-arena_open_{items[0]} button").click()
    at(page, items[0])
    press_on(page, "4", items[4])
    assert votes() == {items[0]: BAD, items[1]: found[1].choice(1), items[2]: TIE, items[3]: TIE}
    page.reload()
    titled(page, "Evaluate")
    at(page, items[4])
    expect(page.get_by_text(f"4 of {len(items)} questions voted on by you")).to_be_visible()


def test_keys_typed_into_a_field_are_no_votes(page, server, ws):
    visit(page, server, "/evaluate?workspace=demo&evaluate_view=Arena", "Evaluate")
    [match] = match_rows.matches(ws.db)
    before = len(match_rows.votes(ws.db, match.id))
    page.get_by_role("combobox", name="Match").click()
    page.keyboard.type("14u")
    page.keyboard.press("Escape")
    still(page)
    assert len(match_rows.votes(ws.db, match.id)) == before


def test_filters_and_order_of_questions_are_in_the_address(page, server, ws):
    visit(page, server, "/evaluate?workspace=demo&evaluate_view=Questions", "Evaluate")
    page.get_by_role("combobox", name="Sort by").click()
    page.get_by_role("option", name="Highest difference").click()
    still(page)
    page.get_by_role("combobox", name="Discipline").click()
    page.get_by_role("option", name="Music").click()
    still(page)
    page.get_by_test_id("stMain").get_by_text(re.compile("^Lost · ")).click()
    for name in ("evaluate_order", "evaluate_of_name", "which", "question"):
        expect(page).to_have_url(re.compile(rf"[?&]{name}="))
    still(page)
    question = page.locator(".st-key-question").inner_text()
    link = page.url
    page.goto("about:blank")
    page.goto(link)
    titled(page, "Evaluate")
    expect(page.locator(".st-key-question")).to_have_text(question)
    expect(page.get_by_role("combobox", name="Discipline")).to_have_value("Music")
    expect(page.get_by_role("combobox", name="Sort by")).to_have_value("Highest difference")


def test_a_run_is_renamed_and_errors_are_shown_without_a_reload(page, server, ws):
    visit(page, server, "/train?workspace=demo&train_view=Watch", "Train")
    page.get_by_role("button", name="Rename run").click()
    enter(page, "Title", "Low rate")
    press(page, "Save")
    expect(page.get_by_role("heading", level=2, name="Low rate")).to_be_visible()
    expect(page.get_by_role("combobox", name="Run")).to_have_value(re.compile("Low rate"))  # the list of runs follows
    assert "Low rate" in {run.title for run in ws_runs(ws)}
    page.reload()
    titled(page, "Train")
    page.get_by_role("button", name="Rename run").click()
    enter(page, "Title", "x" * 300)
    press(page, "Save")
    expect(page.get_by_text("is longer than 200 characters")).to_be_visible()


def ws_runs(ws) -> list:
    return [runs.get(ws, id) for (id,) in ws.db.execute("SELECT id FROM runs")]
