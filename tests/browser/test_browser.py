"""The studio in a real browser: clicks on pictures and tables, links and Back, dialogs, and runs that outlive the page."""

import re

import pytest
from support.browser_driver import enter, expect, still, teacher_server, titled, visit
from support.runs import wait_for

from glan_core import runs
from glan_core.workspace import Workspace, call_rows, run_rows

pytest_plugins = ["support.browser_fixtures"]
pytestmark = pytest.mark.browser


def press_part(page, name: str, middle: str) -> None:
    """Click the name of a part of the picture, once the one with `middle` in its middle is drawn."""
    sentence = page.get_by_test_id("stMain").get_by_test_id("stCaptionContainer").first.inner_text()
    expect(page.get_by_role("img", name=re.compile(re.escape(sentence)))).to_be_visible()
    labels = page.get_by_test_id("stEChartsChart").locator("svg text")
    expect(labels.nth(2)).to_have_text(middle)  # after the ends of the color bar
    found = labels.get_by_text(re.compile(f"^{name}$"))
    found.scroll_into_view_if_needed()
    still(page)
    found.click(force=True)  # what is drawn above it is the same picture


def pick_row(page, number: int, table: int = 0) -> None:
    """Click the box of a row; tables are drawn on a canvas, whose rows are all as high as the head."""
    frame = page.get_by_test_id("stDataFrame").nth(table)
    expect(frame.locator("canvas").first).to_be_visible()
    head = 33
    frame.click(position={"x": 16, "y": head * (number + 1.5)})


def at(focus: str | None) -> re.Pattern:
    """An address with this focus."""
    return re.compile(r"^[^?]*\?(?!.*focus=)" if focus is None else rf"[?&]focus={focus}(&|$)")


# ------------------------------------------------------------------------------------------------------- looking around


def test_a_page_opened_by_its_address_logs_no_error(page, server):
    failed, logged = [], []
    page.on("response", lambda response: failed.append(response.url) if response.status >= 400 else None)
    page.on("console", lambda message: logged.append(message.text) if message.type == "error" else None)
    for address, title in (("/", "Overview"), ("/taxonomy", "Taxonomy"), ("/homework?focus=music", "Homework · Music")):
        visit(page, server, address, title)
    assert failed == [] and logged == []


def test_a_page_opened_from_the_foot_of_another_begins_at_its_top(page, server):
    page.set_viewport_size({"width": 1280, "height": 480})
    visit(page, server, "/homework?workspace=demo&focus=music", "Homework · Music")
    main = page.get_by_test_id("stMain")
    assert main.evaluate("main => (main.scrollTo(0, main.scrollHeight), main.scrollTop)") > 0
    page.get_by_role("link", name="Syllabi").click()
    titled(page, "Syllabi · Music")
    page.wait_for_function("document.querySelector('[data-testid=stMain]').scrollTop === 0")


def test_the_rings_lead_down_and_up_and_back_works(page, server):
    visit(page, server, "/?shown=All", "Overview")  # with all disciplines: a lone sector is a ring around the center
    expect(page).to_have_url(re.compile(r"workspace=demo"))
    press_part(page, "Humanities", "All knowledge")
    titled(page, "Overview · Humanities")
    expect(page).to_have_url(at("humanities"))
    press_part(page, "The arts", "Humanities")
    titled(page, "Overview · The arts")
    press_part(page, "Music", "The arts")
    titled(page, "Overview · Music")
    press_part(page, "The arts", "The arts")  # the middle: what is above a discipline
    titled(page, "Overview · Humanities")
    press_part(page, "Humanities", "Humanities")
    titled(page, "Overview")
    expect(page).to_have_url(at(None))
    page.go_back()
    titled(page, "Overview · Humanities")
    page.get_by_role("link", name="Homework").click()
    titled(page, "Homework · Humanities")
    expect(page).to_have_url(at("humanities"))
    while "/homework" in page.url:  # the page's address without and with the focus may be one step of the history or two
        page.go_back()
        page.wait_for_timeout(1000)  # Streamlit writes addresses late: two quick steps back can overtake one another
    titled(page, "Overview · Humanities")
    page.get_by_role("button", name="All knowledge").click()
    titled(page, "Overview")
    expect(page).to_have_url(at(None))


@pytest.mark.slow
def test_the_table_of_what_lies_below_leads_down(page, server):
    visit(page, server, "/?workspace=demo", "Overview")
    pick_row(page, 0)
    titled(page, "Overview · Humanities")
    pick_row(page, 0)
    titled(page, "Overview · Historical studies")


def test_a_shared_address_opens_the_same_view(page, browser, server):
    visit(page, server, "/homework?workspace=demo&focus=the-arts", "Homework · The arts")
    page.get_by_role("button", name="More filters").click()
    page.get_by_role("radio", name="pair").or_(page.get_by_role("button", name="pair", exact=True)).first.click()
    expect(page).to_have_url(re.compile("strategy=pair"))
    other = browser.new_context().new_page()
    other.goto(page.url)
    titled(other, "Homework · The arts")
    expect(other).to_have_url(re.compile("strategy=pair"))
    expect(other.get_by_text(re.compile(r"^\d rows? shown, newest first"))).to_be_visible()
    other.context.close()


def test_a_pair_is_read_with_its_chain_and_prompts(page, server):
    visit(page, server, "/homework?workspace=demo&focus=mathematics", "Homework · Mathematics")
    crumbs = page.get_by_text(re.compile("^Formal Sciences › Mathematics › "))
    expect(crumbs).to_be_visible()
    first = page.locator(".st-key-question").inner_text()
    pick_row(page, 4)
    expect(page.locator(".st-key-question")).not_to_have_text(first, use_inner_text=True)
    expect(page.get_by_text(re.compile(r"^Answers by scripted · "))).to_be_attached()
    page.get_by_role("tab", name="Prompts and replies").click()
    expect(page.get_by_text(re.compile(r"^Question · scripted · prompt .* temperature 1 · top-p 0.95"))).to_be_attached()
    expect(page.get_by_text("selected_key_concepts").first).to_be_attached()


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/", "/taxonomy", "/syllabi", "/homework", "/runs"])
def test_nothing_is_wider_than_a_small_screen(page, server, path):
    page.set_viewport_size({"width": 1024, "height": 768})
    title = path[1:].capitalize() or "Overview"
    for query, of in (("?workspace=demo", ""), ("?workspace=demo&focus=mathematics", " · Mathematics")):
        visit(page, server, path + query, title + of)
        for part in ("html", "[data-testid=stMain]"):
            fits = "part => { const p = document.querySelector(part); return p.scrollWidth === p.clientWidth }"
            # once pictures have taken the width that they find
            assert page.wait_for_function(fits, arg=part).json_value() is True
        # lists and details take the whole width
        wide = (
            "() => [...document.querySelectorAll('[class*=st-key-third_]')].every(p => p.getBoundingClientRect().width > 600)"
        )
        assert page.wait_for_function(wide).json_value() is True


# ----------------------------------------------------------------------------------------------------------------- runs


def test_a_run_with_the_scripted_teacher_from_plan_to_pairs(page, server):
    visit(page, server, "/runs?workspace=starter&focus=music", "Runs · Music")
    enter(page, "Subject queries", "1")
    enter(page, "Questions per syllabus", "4")
    expect(page.get_by_text("--questions-per-syllabus 4")).to_be_visible()  # or the click would be on a plan that is gone
    page.get_by_role("button", name=re.compile("^Start · .* calls · free")).click()
    expect(page.get_by_role("heading", name=re.compile("^Run 1: Music"))).to_be_visible()
    expect(page.get_by_text("finished", exact=True).first).to_be_visible()
    page.get_by_role("link", name="Homework").click()
    titled(page, "Homework · Music")
    expect(page.get_by_text("4 pairs · 0 questions without an answer")).to_be_visible()


@pytest.mark.slow
def test_a_run_is_paused_resumed_and_cancelled_and_outlives_browser_and_server(page, browser, server, studio_home, tmp_path):
    teacher = teacher_server(tmp_path, latency_ms=150)
    ws = Workspace.open(studio_home / "starter")
    try:
        visit(page, server, "/runs?workspace=starter&focus=mathematics", "Runs · Mathematics")
        page.get_by_role("combobox", name=re.compile("Teacher")).click()
        page.get_by_role("option", name="vLLM, Ollama or another endpoint").click()
        for label, text in (
            ("Model", "scripted"),
            ("Base URL", f"{teacher.url}/v1"),
            ("Price (USD per million tokens)", "0,0"),
        ):
            enter(page, label, text)
        for label, text in (("Subject queries", "1"), ("Questions per syllabus", "600")):
            enter(page, label, text)
        more = page.locator("summary", has_text="Sampling and limits")
        expect(more).to_have_count(1)
        more.click()
        enter(page, "Max concurrent requests", "4")
        expect(page.get_by_text("--max-in-flight 4")).to_be_visible()
        page.get_by_role("button", name=re.compile("^Start · .* calls · free")).click()
        expect(page.get_by_text("running", exact=True).first).to_be_visible()
        run = run_rows.runs(ws.db, 1)[0]
        page.get_by_role("button", name="Pause").click()
        expect(page.get_by_text("paused", exact=True).first).to_be_visible()
        page.get_by_role("button", name="Resume").click()
        expect(page.get_by_text("running", exact=True).first).to_be_visible()

        page.context.close()
        server.stop()
        done = stored(ws, run.id)
        wait_for(lambda: stored(ws, run.id) > done + 8, "more calls stored")
        assert runs.state_of(runs.get(ws, run.id)) == "running"
        server.start()

        again = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
        visit(again, server, "/runs?workspace=starter", "Runs")
        expect(again.get_by_role("heading", name=re.compile(f"^Run {run.id}: Mathematics"))).to_be_visible()
        again.get_by_role("button", name="Cancel").click()
        wait_for(lambda: runs.get(ws, run.id).state == "cancelled", "the run's end")
        kept = stored(ws, run.id)
        again.reload()
        pick_history(again)
        expect(again.get_by_text("Cancelled. Stored results are kept.").first).to_be_attached()
        expect(again.get_by_role("button", name="Continue")).to_be_visible()
        assert kept == stored(ws, run.id) > done
        again.context.close()
    finally:
        teacher.stop()
        for run in run_rows.live_runs(ws.db):
            runs.cancel(ws, run.id)
        ws.close()


def stored(ws: Workspace, run_id: int) -> int:
    return sum(call_rows.stored_by_stage(ws.db, run_id).values())


def pick_history(page) -> None:
    """Pick the newest run of the history."""
    titled(page, "Runs")
    page.get_by_text("History", exact=True).click()
    expect(page.get_by_text("Select one run to view it, several to compare them.")).to_be_visible()
    pick_row(page, 0)
