"""The report in Chromium: downloaded from Overview, opened from disk without a network, and printed."""

import re

import pytest
from support.browser_driver import WAIT, visit

from glan_core.operations.stakeholder_report.stakeholder_report import write_report
from glan_core.workspace import Workspace

pytest_plugins = ["support.browser_fixtures"]
pytestmark = [pytest.mark.browser, pytest.mark.long]


@pytest.fixture(scope="module")
def report(studio_home, tmp_path_factory):
    """The report of the demo workspace, as the command writes it."""
    file = tmp_path_factory.mktemp("report") / "report.html"
    ws = Workspace.open(studio_home / "demo")
    write_report(ws, file)
    ws.close()
    return file


@pytest.fixture
def opened(browser, report):
    """A page with the report, opened from disk offline; requests and complaints of the browser fail the test."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, offline=True)
    context.set_default_timeout(WAIT)
    page = context.new_page()
    requests, complaints = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(report.as_uri())
    page.wait_for_selector("html[data-drawn]")
    yield page
    context.close()
    assert requests == [report.as_uri()] and complaints == []


def test_every_figure_is_drawn_offline_and_nothing_is_requested(opened):
    drawn = opened.locator(".plot .main-svg").count()
    assert opened.locator(".plot").count() >= 3 and drawn >= 3
    assert opened.locator(".plot .sunburstlayer path.surface").count() > 100
    for width in (1440, 1024, 600):
        opened.set_viewport_size({"width": width, "height": 768})
        opened.wait_for_function("() => document.documentElement.scrollWidth <= window.innerWidth")
        opened.wait_for_function(
            "() => [...document.querySelectorAll('.plot')].every((p) => Math.abs(p._fullLayout.width - p.parentElement.clientWidth) < 6)"
        )


def test_contents_lead_to_the_sections(opened):
    opened.get_by_role("link", name="Examples by field").click()
    opened.wait_for_function("() => Math.abs(document.querySelector('#examples').getBoundingClientRect().top) < 200")
    assert opened.locator("#examples .pair").count() == 6


def test_it_is_printed_whole_on_several_pages(opened, tmp_path):
    for size in ("A4", "Letter"):
        pdf = opened.pdf(path=tmp_path / f"{size}.pdf", format=size)
        assert len(re.findall(rb"/Type\s*/Page\b", pdf)) > 3
    opened.emulate_media(media="print")
    opened.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert opened.locator("details:not([open])").count() == 0 and opened.locator("details").count() > 0
    paper = opened.evaluate(
        "[...document.querySelectorAll('.plot')].map((p) => getComputedStyle(p).zoom * p._fullLayout.width)"
    )
    assert max(paper) < 690  # pixels between the margins of A4
    opened.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert opened.locator("details[open]").count() == 0


def test_overview_offers_it_as_a_download(page, server):
    visit(page, server, "/?workspace=demo", "Overview")
    with page.expect_download() as started:
        page.get_by_role("button", name="Download report").click()
    assert started.value.suggested_filename == "demo-report.html"
    assert '<meta name="generator" content="GLAN Studio report">' in started.value.path().read_text("utf-8")
    with page.expect_download() as started:
        page.get_by_role("button", name="Dataset card").click()
    assert "## Known limitations" in started.value.path().read_text("utf-8")
