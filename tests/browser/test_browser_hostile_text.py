"""Text of models and users in a browser: it requests nothing, runs nothing, leads nowhere else and stays in its place."""

import re

import pytest
from support.browser_driver import expect, playwright, still, studio_server
from support.child_servers import Server
from support.hostile_workspace import hostile_demo, hostile_texts

from glan_core.operations.stakeholder_report.stakeholder_report import write_report
from glan_core.workspace import Workspace

pytest_plugins = ["support.browser_fixtures"]
pytestmark = [pytest.mark.browser, pytest.mark.long]

# What is wrong with the layout: text that leaves the window or its column, unless a box around it scrolls or clips; text that covers the
# page; elements, links and pictures that a text must not make.
FAULTS = r"""() => {
    const wide = window.innerWidth, high = window.innerHeight, faults = new Set();
    const main = document.querySelector('[data-testid=stMain]') || document.querySelector('main');
    const fault = (what, element) => faults.add(`${what}: ${element.outerHTML.slice(0, 140).replace(/\s+/g, ' ')}`);
    if (document.documentElement.scrollWidth > wide) faults.add(`the page is ${document.documentElement.scrollWidth} px wide`);
    const kept = (element, limit) => {
        for (let box = element.parentElement; box && box !== main; box = box.parentElement)
            if (getComputedStyle(box).overflowX !== 'visible' && box.getBoundingClientRect().right <= limit) return true;
        return false;
    };
    const texts = 'p, li, h1, h2, h3, h4, h5, h6, code, pre, td, th, a, span, label, button, img, iframe, math, svg';
    const columns = '[data-testid=stVerticalBlock], [data-testid=stColumn], [data-testid=stGridCell], section';
    const elsewhere = '.katex-mathml, [data-testid=stPlotlyChart], [data-testid=stIconMaterial], .plot';
    for (const element of main.querySelectorAll(texts)) {
        if (element.closest(elsewhere) || !element.checkVisibility()) continue;
        const box = element.getBoundingClientRect(), column = element.parentElement.closest(columns);
        if (box.width < 1 || box.height < 1) continue;
        const right = Math.min(wide, column ? column.getBoundingClientRect().right : wide) + 2;
        if ((box.right > right || box.left < -2) && !kept(element, right)) fault(`${Math.round(box.right)} > ${Math.round(right)}`, element);
        const floats = ['fixed', 'absolute'].includes(getComputedStyle(element).position);
        if (floats && box.width > 0.9 * wide && box.height > 0.9 * high) fault('covers the page', element);
        if (element.closest('.katex') && box.height > 3 * high && !kept(element, wide)) fault('tall', element);
    }
    for (const element of main.querySelectorAll('iframe:not([data-testid]), form[action], base, meta, object, embed, [onerror], [onload], [onclick]'))
        fault('element', element);
    for (const link of main.querySelectorAll('a[href]'))
        if (!/^(https?:|mailto:|blob:http|#|\.?\/)/i.test(link.getAttribute('href'))) fault('link', link);
    for (const picture of main.querySelectorAll('img[src]'))
        if (!/^(data:|blob:|https?:\/\/(127\.0\.0\.1|localhost)|\/)/.test(picture.getAttribute('src'))) fault('picture', picture);
    for (const shown of document.querySelectorAll('[data-testid=stException]')) fault('exception', shown);
    return [...faults];
}"""
WIDTHS, SETTLED = (1440, 1024), 8_000  # pixels; milliseconds
PLACES = (
    ("Overview", ""), ("Overview", "?focus={discipline}"), ("Taxonomy", "?focus={discipline}&subject={subject}"), ("Taxonomy", "?view=Outline"),
    ("Syllabi", "?focus={discipline}&subject={subject}"), ("Homework", "?pair={pair}"), ("Diversity", ""), ("Dataset", "?dataset_view=Snapshots"),
    ("Dataset", "?dataset_view=Quality filters"), ("Train", "?train_view=Watch"), ("Models", ""), ("Chat", "?chat=1"), ("Chat", "?chat=2"),
    ("Evaluate", ""), ("Evaluate", "?evaluate_view=Questions"), ("Evaluate", "?evaluate_view=Benchmarks"), ("Runs", "?runs_view=Watch&run={run}"),
    ("Runs", "?runs_view=History"), ("Connections", ""), ("Workspaces", ""), ("Search", "?q=page"),
)  # fmt: skip


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """The folder of a workspace full of hostile text, and ids to open."""
    folder = tmp_path_factory.mktemp("hostile") / "home" / "demo"
    ws = hostile_demo(folder)
    subject, discipline = ws.db.execute(
        "SELECT s.id, s.discipline_id FROM subjects s JOIN syllabi y ON y.subject_id = s.id LIMIT 1"
    ).fetchone()
    ids = {"subject": subject, "discipline": discipline, "run": ws.db.execute("SELECT max(id) FROM runs").fetchone()[0]}
    ids["pair"] = ws.db.execute("SELECT id FROM questions LIMIT 1").fetchone()[0]
    ws.close()
    return folder, ids


@pytest.fixture(scope="module")
def studio(hostile):
    served = studio_server(hostile[0].parent)
    yield served
    served.stop()


@pytest.fixture
def watched(browser):
    """A page whose foreign requests, dialogs and errors fail the test."""
    context = browser.new_context(viewport={"width": WIDTHS[0], "height": 900})
    page = context.new_page()
    seen: list[str] = []
    page.on("request", lambda request: seen.append(request.url) if not request.url.startswith(LOCAL) else None)
    page.on("dialog", lambda dialog: (seen.append(f"dialog {dialog.message}"), dialog.dismiss()))
    page.on("pageerror", lambda error: seen.append(f"error {error}"))
    page.on("popup", lambda popup: seen.append(f"popup {popup.url}"))
    yield page
    assert page.evaluate("window.hostile") is None
    assert seen == []
    context.close()


LOCAL = ("http://127.0.0.1", "ws://127.0.0.1", "http://localhost", "data:", "blob:", "file:", "about:")


def arrived(page, title: str) -> None:
    """Wait until a page is drawn; its title line also names the focus."""
    expect(page.get_by_role("heading", name=re.compile(f"^{title}")).first).to_be_visible()
    still(page)


def faults(page) -> dict[int, list[str]]:
    """Return the faults of the layout at each width, of what is left when the page has settled."""
    found = {}
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        if page.locator("[data-testid=stApp]").count():
            still(page)
        try:
            page.wait_for_function(f"() => ({FAULTS})().length === 0", timeout=SETTLED)
        except playwright.TimeoutError:
            found[width] = page.evaluate(FAULTS)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("title", "query"), PLACES, ids=lambda part: part or "plain")
def test_a_page_keeps_hostile_text_in_its_place(watched, studio, hostile, title, query):
    path = "/" if title == "Overview" else f"/{title.lower()}"
    query = query.format(**hostile[1])
    watched.goto(f"{studio.url}{path}{query}{'&' if query else '?'}workspace=demo")
    arrived(watched, title)
    assert faults(watched) == {}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A page with every text of the corpus in every way that pages show text."""
    words = [
        "streamlit",
        "run",
        "tests/support/hostile_page.py",
        "--server.headless=true",
        "--server.port={port}",
        "--server.address=127.0.0.1",
    ]
    served = Server(words, "/_stcore/health", tmp_path_factory.mktemp("corpus") / "streamlit.log")
    yield served
    served.stop()


def test_every_text_of_the_corpus_stays_in_its_place(watched, corpus):
    watched.goto(corpus.url)
    arrived(watched, "Corpus")
    expect(watched.locator(f".st-key-text_{len(hostile_texts()) - 1}")).to_be_visible()
    assert faults(watched) == {}


def test_the_report_keeps_hostile_text_in_its_place(watched, hostile, tmp_path):
    ws = Workspace.open(hostile[0])
    write_report(ws, tmp_path / "report.html")
    ws.close()
    watched.goto((tmp_path / "report.html").as_uri())
    assert faults(watched) == {}
