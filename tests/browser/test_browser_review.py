"""Reading, reviewing and editing in a real browser, by keyboard and mouse: Homework and Syllabi, and the links between them."""

import re

import pytest
from support.browser_driver import enter, expect, press_key, still, titled, visit

from glan_core.ids import syllabus_id
from glan_core.workspace import Workspace, curriculum_rows, edit_batch, homework_rows
from glan_core.workspace.homework_rows import Pair
from glan_core.workspace.pair_filter import PairFilter

pytest_plugins = ["support.browser_fixtures"]
pytestmark = [pytest.mark.browser, pytest.mark.long]


@pytest.fixture(scope="module")
def ws(studio_home):
    """The demo workspace, as the studio changes it."""
    opened = Workspace.open(studio_home / "demo")
    yield opened
    opened.close()


def newest(ws, discipline: str) -> list[Pair]:
    return homework_rows.pairs_page(ws.db, PairFilter((discipline,)))


def reads(page, pair: Pair) -> None:
    """Wait until a pair stands in the reading view."""
    beginning = re.split(r"[\n$*`\\]", pair.question.text)[0][:60].strip()
    expect(page.locator(".st-key-question")).to_contain_text(beginning)
    still(page)


def press(page, key: str) -> None:
    """Press a key once the page is whole, and wait for what it does."""
    still(page)
    page.keyboard.press(key)
    still(page)


def wake(page) -> None:
    """To the next row and back by keys, so that the page listens to the next key."""
    press_key(page, "j", lambda timeout: page.wait_for_url(re.compile("pair="), timeout=timeout))
    press(page, "p")


def open_by_key(page, key: str):
    """The dialog that a key opens."""
    dialog = page.get_by_role("dialog")
    press_key(page, key, lambda timeout: dialog.wait_for(timeout=timeout))
    return dialog


def test_rows_are_reviewed_by_keyboard_and_undone(page, server, ws):
    first, second, third, *_ = newest(ws, "music")
    visit(page, server, "/homework?workspace=demo&focus=music", "Homework · Music")
    wake(page)
    reads(page, first)
    press(page, "k")
    reads(page, second)
    press(page, "x")
    reads(page, third)
    expect(page.locator(".st-key-last_deed")).to_contain_text("Rejected.")
    expect(page.get_by_text("1 rejected pair", exact=False)).to_be_visible()
    press(page, "z")
    expect(page.get_by_text("rejected pair", exact=False)).to_have_count(0)
    press(page, "p")
    reads(page, second)
    press(page, "s")
    expect(
        page.get_by_test_id("stBadge").or_(page.locator(".stBadge, .stMarkdownBadge")).filter(has_text="starred")
    ).to_be_visible()
    press(page, "j")
    reads(page, third)
    page.go_back()
    reads(page, second)
    kept, starred = (homework_rows.pair(ws.db, pair.question.id) for pair in (first, second))
    assert (kept.review, starred.review, starred.starred) == ("keep", None, True)


@pytest.mark.slow
def test_typing_into_a_field_reviews_nothing(page, server, ws):
    visit(page, server, "/homework?workspace=demo&focus=earth-science", "Homework · Earth science")
    enter(page, "Search", "skxkx")
    expect(page.get_by_text("No questions match these filters.")).to_be_visible()
    assert all(pair.review is None for pair in newest(ws, "earth-science"))
    page.get_by_role("button", name="Clear filters").click()
    reads(page, newest(ws, "earth-science")[0])


def test_a_shared_link_opens_the_same_filters_and_row(page, browser, server, ws):
    visit(page, server, "/homework?workspace=demo&focus=earth-science", "Homework · Earth science")
    page.get_by_role("button", name="More filters").click()
    page.get_by_test_id("stPopoverBody").get_by_text("pair", exact=True).click()
    page.keyboard.press("Escape")
    wanted = homework_rows.pairs_page(ws.db, PairFilter(("earth-science",), strategy="pair"))
    expect(page).to_have_url(re.compile("strategy=pair"))
    reads(page, wanted[0])
    press(page, "j")
    reads(page, wanted[1])
    expect(page).to_have_url(re.compile(f"pair={wanted[1].question.id}"))
    colleague = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    colleague.goto(page.url)
    titled(colleague, "Homework · Earth science")
    reads(colleague, wanted[1])
    expect(colleague.locator(".st-key-filter_chips")).to_contain_text("pair")
    colleague.context.close()


@pytest.mark.slow
def test_a_pair_is_edited_and_the_edit_undone(page, server, ws):
    pair = newest(ws, "mathematics")[0]
    visit(page, server, "/homework?workspace=demo&focus=mathematics", "Homework · Mathematics")
    reads(page, pair)
    dialog = open_by_key(page, "e")
    dialog.get_by_role("textbox", name="Question").fill("Why do zebras wear $s^2$ stripes?")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_have_count(0)
    expect(page.locator(".st-key-question")).to_contain_text("Why do zebras wear")
    expect(page.locator(".st-key-question .katex")).to_have_count(1)
    page.get_by_role("tab", name="History").click()
    expect(page.get_by_text("changed the text of the question", exact=False)).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    reads(page, pair)
    assert homework_rows.pair(ws.db, pair.question.id) == pair


@pytest.mark.slow
def test_all_rows_of_a_filter_at_once_and_back(page, server, ws):
    visit(page, server, "/homework?workspace=demo&focus=mathematics&review=Not+reviewed", "Homework · Mathematics")
    page.get_by_test_id("stPopoverButton").filter(has_text="done_all").first.click()
    page.get_by_role("button", name="Reject 48 rows").click()
    expect(page.get_by_text("48 rows rejected.")).to_be_visible()
    expect(page.get_by_text("No questions match these filters.")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("No questions match these filters.")).to_have_count(0)
    assert all(pair.review is None for pair in newest(ws, "mathematics"))


@pytest.mark.slow
def test_a_syllabus_leads_to_the_questions_about_a_concept(page, server, ws):
    visit(page, server, "/syllabi?workspace=demo&focus=music", "Syllabi · Music")
    page.get_by_role("tab", name="Concept graph").click()
    expect(page.get_by_test_id("stEChartsChart").locator("canvas").first).to_be_visible()
    page.get_by_role("tab", name="Course plan").click()
    chip = page.locator("[class*='st-key-chips_'] button").first
    name = chip.inner_text().rsplit(" · ", 1)[0]
    chip.click()
    titled(page, "Homework · Music")
    expect(page.locator(".st-key-filter_chips")).to_contain_text(f"about {name}")
    expect(page).to_have_url(re.compile("concept=con-"))


def test_a_syllabus_is_edited_downloaded_and_the_edit_undone(page, server, ws):
    visit(page, server, "/syllabi?workspace=demo&focus=music", "Syllabi · Music")
    dialog = open_by_key(page, "e")
    dialog.get_by_role("textbox", name="Subject").fill("Sounds and zebras")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_have_count(0)
    expect(page.get_by_role("heading", name="Sounds and zebras")).to_be_visible()
    expect(page.get_by_text("generated from an earlier version of this text", exact=False)).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="Markdown").click()
    text = download.value.path().read_text(encoding="utf-8")
    assert text.startswith("# Sounds and zebras\n") and "## Class sessions" in text
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("heading", name="Sounds and zebras")).to_have_count(0)


@pytest.mark.slow
def test_a_syllabus_is_printed_without_what_is_for_the_screen(page, server):
    visit(page, server, "/syllabi?workspace=demo&focus=music", "Syllabi · Music")
    chip = page.locator("[class*='st-key-chips_'] button").first
    page.emulate_media(media="print", color_scheme="dark")
    for only_screen in ("[data-testid=stSidebar]", "[role=tablist]", "[data-testid=stDataFrame]"):
        expect(page.locator(only_screen).first).to_be_hidden()
    expect(page.get_by_role("button", name="Print")).to_be_hidden()
    expect(chip).to_be_visible()
    ink = chip.evaluate("chip => [getComputedStyle(chip).color, getComputedStyle(chip).backgroundColor]")
    assert ink == ["rgb(0, 0, 0)", "rgb(255, 255, 255)"]


@pytest.mark.slow
def test_a_wide_table_in_a_syllabus_scrolls_and_the_page_does_not(page, server, ws):
    subject = curriculum_rows.subject_states(ws.db, ["earth-science"], "", 1)[0]
    syllabus = curriculum_rows.syllabus(ws.db, syllabus_id(subject.id))
    wide = f"# X\n\n## Introduction\n\n|{'|'.join(f'column {n}' for n in range(60))}|\n|{'---|' * 60}\n\n"
    with ws.write() as db:
        batch = edit_batch.change(db, "Ada", [(syllabus.id, "text", wide + syllabus.text)])
    visit(page, server, f"/syllabi?workspace=demo&focus=earth-science&subject={subject.id}", "Syllabi · Earth science")
    expect(page.get_by_text("column 59")).to_be_attached()
    page.wait_for_function("part => part.scrollWidth === part.clientWidth", arg=page.get_by_test_id("stMain").element_handle())
    edit_batch.undo(ws, batch, "Ada")
