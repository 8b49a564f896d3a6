"""Search, workspaces and notifications in a real browser."""

import re
import time

import pytest
from support.browser_driver import WAIT, click_row, enter, expect, press, still, titled, visit
from support.studio_app import add_run

from glan_core.workspace import Workspace, find_workspaces

pytest_plugins = ["support.browser_fixtures"]
pytestmark = [pytest.mark.browser, pytest.mark.long]

RECORDER = """window.__glanNotifySeconds = 0.3; window.shown = [];
window.Notification = class { constructor(title, options) { window.shown.push({title, ...options}); } close() {}
  static permission = "default"; static async requestPermission() { window.asked = true; return Notification.permission = "granted"; } };"""


def test_a_search_leads_from_the_sidebar_to_a_result_and_back(page, server):
    visit(page, server, "/?workspace=demo", "Overview")
    enter(page, "Search this workspace", "music")
    titled(page, "Search")
    expect(page).to_have_url(re.compile(r"[?&]q=music(&|$)"))
    page.get_by_role("button", name="Music", exact=True).first.click()
    titled(page, "Taxonomy · Music")
    expect(page).not_to_have_url(re.compile(r"[?&]q="))
    page.go_back()  # to the address of the page before it wrote the selection
    still(page)
    page.go_back()
    expect(page.get_by_role("heading", level=1, name=re.compile("^Search"))).to_be_visible()  # with the focus or without
    expect(page.get_by_text("Results for “music”")).to_be_visible()
    expect(page.locator('input[aria-label="Search this workspace"]')).to_have_value("music")


def test_a_workspace_is_copied_archived_and_restored(page, server, studio_home):
    visit(page, server, "/workspaces?workspace=starter", "Workspaces")
    page.get_by_role("button", name="Duplicate", exact=True).click()
    page.get_by_role("button", name=re.compile(r"Duplicate \(")).click()
    expect(page.get_by_text("3 workspaces")).to_be_visible(timeout=WAIT)
    still(page)
    assert [folder.name for folder in find_workspaces(studio_home)] == ["demo", "starter", "starter-copy"]
    page.keyboard.press("Escape")
    click_row(page, 2)
    expect(page.get_by_role("heading", name="starter-copy")).to_be_visible()
    page.get_by_role("button", name="Archive", exact=True).click()
    page.get_by_role("button", name=re.compile(r"Archive \(")).click()
    expect(page.get_by_text("2 workspaces · 1 archived")).to_be_visible(timeout=WAIT)
    expect(page).to_have_url(re.compile("workspace=starter(&|$)"))
    page.get_by_role("button", name="Restore", exact=True).click()
    expect(page.get_by_text("3 workspaces · none archived")).to_be_visible(timeout=WAIT)


def test_a_browser_that_was_asked_shows_the_end_of_a_long_run_once(browser, server, studio_home):
    context = browser.new_context()
    context.add_init_script(RECORDER)
    page = context.new_page()
    visit(page, server, "/runs?workspace=demo&runs_view=History", "Runs")
    assert page.evaluate("window.asked") is None and page.evaluate("localStorage.getItem('glan.notify')") is None
    press(page, "Notifications")
    page.get_by_label("Notify me in this browser").check()
    page.wait_for_function("localStorage.getItem('glan.notified.demo')", timeout=WAIT)
    assert page.evaluate("window.asked") and page.evaluate("window.shown") == []
    ws, now = Workspace.open(studio_home / "demo"), time.time()
    id = add_run(ws, "failed", "Long one", message="No credit left.", started_at=now - 600, finished_at=now - 1)
    add_run(ws, "finished", "Short one", started_at=now - 10, finished_at=now - 1)
    ws.close()
    page.wait_for_function("window.shown.length", timeout=WAIT)
    page.wait_for_function("window.looked = (window.looked || 0) + 1, window.looked > 5", polling=400, timeout=WAIT)
    [shown] = page.evaluate("window.shown")
    assert shown["title"] == f"demo: run {id} failed" and shown["body"] == "Long one\nNo credit left."
    page.get_by_label("Notify me in this browser").uncheck()
    assert page.evaluate("localStorage.getItem('glan.notify')") == "off"
    context.close()
