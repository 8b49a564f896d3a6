"""Accessibility: axe-core on every page, view, dialog and popover in both themes, the names of pictures, and the keyboard.

axe-core looks only at what is drawn and in sight, so pages are as high as their content, expanders are opened, and tabs and popovers
are visited one by one. Rules about colors run in both themes, the others once: themes differ in nothing else.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.resources import files

import pytest
from support.browser_driver import WAIT, expect, still, titled, visit

from glan_core.operations import demo_workspace
from glan_core.workspace import Workspace, run_rows

pytest_plugins = ["support.browser_fixtures"]
pytestmark = [pytest.mark.browser, pytest.mark.slow]

AXE = (files("axe_playwright_python") / "axe.min.js").read_text("utf-8")
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]
COLORS = ["color-contrast", "link-in-text-block"]
HIGH = 3600  # pixels; higher than every page
# What neither configuration nor style sheet nor script of the studio can change: rule -> selector of the element, and the reason.
ALLOWED: dict[str, tuple[str, str]] = {}

RUN = """async ([tags, rules, part]) => {
    const only = rules ? {type: 'rule', values: rules} : {type: 'tag', values: tags};
    // The texts of pictures are drawn on shapes, of which axe cannot judge the contrast: tests/figures does.
    const exclude = [['.js-plotly-plot svg'], ['[data-testid=stEChartsChart] svg']];
    const found = await axe.run({include: [part], exclude}, {runOnly: only, resultTypes: ['violations'], elementRef: false});
    return found.violations.flatMap(rule => rule.nodes.map(node =>
        [rule.id, node.target.join(' '), node.html.slice(0, 300), [...node.any, ...node.all, ...node.none].map(one => one.message).join('; ')]));
}"""

# A page is settled once its script has ended and nothing changes for a moment; what changes all the time is not waited for.
SETTLED = """() => new Promise(resolve => {
    const busy = () => document.querySelector('[data-test-script-state=running], [data-stale=true]');
    const begun = performance.now();
    let quiet;
    const look = () => {
        if (busy() && performance.now() - begun < 20000) return again();
        watcher.disconnect();
        resolve();
    };
    const again = () => { clearTimeout(quiet); quiet = setTimeout(look, performance.now() - begun < 5000 ? 250 : 50); };
    const watcher = new MutationObserver(again);
    watcher.observe(document.body, {subtree: true, childList: true, characterData: true,
        attributeFilter: ['data-test-script-state', 'data-stale']});
    again();
})"""

# What a screen reader needs of pictures and tables, beyond the rules of axe-core.
UNNAMED = """() => {
    const named = element => (element?.getAttribute('aria-label') || '').trim();
    const pictures = [...document.querySelectorAll('[data-testid=stPlotlyChart], [data-testid=stEChartsChart]')]
        .filter(picture => !named(picture) && ![...picture.querySelectorAll('[role=figure], [role=img]')].some(named));
    const tables = [...document.querySelectorAll('[data-testid=stDataFrameResizable]')].filter(table => !named(table));
    const icons = [...document.querySelectorAll('button')].filter(button => / icon( |$)/.test(button.innerText.trim()));
    return [...pictures, ...tables, ...icons].map(element => element.outerHTML.slice(0, 300));
}"""


@dataclass(frozen=True)
class Place:
    """A page or view, and what is opened on it: tabs, popovers and dialogs by their names, each checked by itself."""

    path: str
    opened: tuple[str, ...] = ()
    tabs: tuple[str, ...] = field(default=(), kw_only=True)


def views(page: str, key: str, *names: str, **opened: tuple[str, ...]) -> list[Place]:
    return [Place(f"/{page}?{key}={name}", opened.get(name, ())) for name in names]


DEMO = {
    "overview": [
        Place("/?", ("New workspace", "Add discipline", "Data")), Place("/?focus=humanities", tabs=("Emptiest",)), Place("/?drawn=Tiles&shown=All"),
    ],
    "taxonomy": [
        Place("/taxonomy?", tabs=("Changes", "Import and export")), Place("/taxonomy?focus=music", ("Edit", "Remove")),
        Place("/taxonomy?focus=astronomy", ("Preview…",)), Place("/taxonomy?focus=the-arts&view=Outline", ("Add below",)),
    ],
    "syllabi": [
        Place("/syllabi?"), Place("/syllabi?focus=music", ("Edit", "Regenerate"), tabs=("Concept graph", "Original text", "Prompts and replies")),
    ],
    "homework": [
        Place("/homework?", ("More filters", "Apply a verdict to all")),
        Place("/homework?focus=music", ("Edit", "Regenerate"), tabs=("Related questions", "Prompts and replies")),
    ],
    "diversity": views(
        "diversity", "diversity_view", "Map", "Metrics", "Compare", Map=("Map settings",), Compare=("New comparison", "Remove")
    ),
    "dataset": views(
        "dataset", "dataset_view", "Funnel", "Filters", "Judge", "Duplicates", "Benchmarks", "Snapshots", "Export",
        Benchmarks=("Add file",), Snapshots=("Remove",),
    ),
    "train": views("train", "train_view", "Plan", "Watch", "Compare", Plan=("All settings",), Watch=("Rename run",)),
    "models": [Place("/models?", ("Rename", "Merge", "Export", "Serve", "Remove"))],
    "chat": [Place("/chat?", ("Add model", "Conversations", "Chat settings", "Conversation"))],
    "evaluate": views(
        "evaluate", "evaluate_view", "Leaderboard", "Judge", "Results", "Questions", "Arena", "Benchmarks", "Contamination", "Scaling",
        Judge=("Remove",), Questions=("Mark verdict as wrong",),
        Contamination=("Add file", "Generate look-alikes"),
    ),
    "runs": [
        *views("runs", "runs_view", "Plan", "Watch", "History", Plan=("Notifications",)),
        Place("/runs?runs_view=Watch&run={generation}", ("Settings",)),
    ],
    "connections": [Place("/connections?")],
    "workspaces": views(
        "workspaces", "workspaces_view", "All", "Compare", All=("Rename", "Duplicate", "Archive", "Reset demo")
    ),
    "search": [Place("/search?"), Place("/search?q=music"), Place("/search?q=nothing-at-all")],
}  # fmt: skip
EMPTY = {
    "explore": [Place(f"/{page}?") for page in ("", "taxonomy", "syllabi", "homework")],
    "dataset": [Place("/diversity?"), Place("/dataset?")],
    "model": [Place(f"/{page}?") for page in ("train", "models", "chat")],
    "evaluate": views("evaluate", "evaluate_view", "Leaderboard", "Judge", "Results", "Questions", "Arena", "Benchmarks", "Contamination",
                      "Scaling"),
    "build": [*views("runs", "runs_view", "Plan", "Watch", "History"), Place("/connections?"), Place("/workspaces?"), Place("/search?q=x")],
}  # fmt: skip
GROUPS = [("demo", name) for name in DEMO] + [("empty", name) for name in EMPTY]


@pytest.fixture(scope="module")
def studio_home(tmp_path_factory):
    """The folder of the studio's workspaces: the demo, and one as `glan init` leaves it."""
    folder = tmp_path_factory.mktemp("accessible") / "home"
    demo_workspace.create_workspace(folder / "demo", demo=True).close()
    demo_workspace.create_workspace(folder / "empty").close()
    return folder


@pytest.fixture(scope="module")
def context(browser) -> Iterator:
    """One context for all pages, which stand still: nothing fades or moves."""
    opened = browser.new_context(viewport={"width": 1440, "height": HIGH}, color_scheme="light")
    opened.set_default_timeout(WAIT)
    opened.add_init_script("""document.addEventListener('DOMContentLoaded', () => document.head.append(Object.assign(
        document.createElement('style'), {textContent: '*, ::before, ::after { transition: none !important; animation: none !important; }'})))""")
    opened.add_init_script(AXE)
    yield opened
    opened.close()


def settle(page) -> None:
    still(page)
    page.evaluate(SETTLED)


def violations(page, where: str, *, dark: bool, part: str = "html") -> list[str]:
    """Return what axe-core finds, one line each: place, rule, selector, element and reason."""
    found = page.evaluate(RUN, [TAGS, COLORS if dark else None, part])
    return [
        f"{where} ({'dark' if dark else 'light'}): {rule} | {selector} | {html} | {why}"
        for rule, selector, html, why in found
        if rule not in ALLOWED or ALLOWED[rule][0] not in html
    ]


def opened_parts(page, place: Place, *, dark: bool) -> Iterator[str]:
    """Visit the tabs, popovers and dialogs of a page, and return what is found there."""
    for name in place.tabs:
        page.get_by_role("tab", name=name).click()
        expect(page.get_by_role("tabpanel", name=name).get_by_test_id("stElementContainer").first).to_be_visible()
        settle(page)
        yield from violations(page, f"{place.path}, tab {name}", dark=dark, part="[data-testid=stMain]")
    for name in place.opened:
        button = page.get_by_role("button", name=name, exact=True).or_(
            page.get_by_role("button", name=f"{name} Shortcut E", exact=True)
        )
        button.first.click()
        dialog = page.get_by_role("dialog").first
        expect(dialog.get_by_test_id("stElementContainer").first).to_be_visible()
        settle(page)
        yield from violations(page, f"{place.path}, {name}", dark=dark, part="[role=dialog]")
        page.keyboard.press("Escape")
        expect(dialog).to_have_count(0)


def open_expanders(page) -> None:
    closed = page.locator("[data-testid=stMain] details:not([open]) > summary")
    if closed.count():
        closed.evaluate_all("heads => heads.forEach(head => head.click())")
        settle(page)


@pytest.mark.parametrize(("workspace", "group"), GROUPS)
def test_axe_finds_no_violation(context, server, studio_home, workspace, group):
    demo = Workspace.open(studio_home / "demo")
    generation = run_rows.latest_of_kind(demo.db, "generate").id
    demo.close()
    places = (DEMO if workspace == "demo" else EMPTY)[group]
    pages = [context.new_page() for _ in places]
    found: list[str] = []
    for page, place in zip(pages, places, strict=True):  # all load at the same time
        page.goto(f"{server.url}{place.path.format(generation=generation)}&workspace={workspace}", wait_until="commit")
    for dark in (False, True):
        for page, place in zip(pages, places, strict=True):
            expect(page.get_by_role("heading", level=1)).to_have_count(1)
            settle(page)
            if not dark:
                open_expanders(page)
                found += [f"{place.path}: without a name | {html}" for html in page.evaluate(UNNAMED)]
            found += violations(page, place.path, dark=dark)
            found += opened_parts(page, place, dark=dark)
            page.emulate_media(color_scheme="light" if dark else "dark")
    for page in pages:
        page.close()
    assert not found, "\n".join([f"{len(found)} violations", *found[:40]])


def test_the_check_finds_what_is_wrong(context, server):
    page = context.new_page()
    visit(page, server, "/?workspace=empty", "Overview")
    settle(page)
    page.evaluate("""document.querySelector('[data-testid=stMain]').insertAdjacentHTML('beforeend',
        '<button></button><h5>far below</h5><p style="color: #aaa; background: #fff">pale</p>')""")
    rules = {line.split(": ")[1].split(" | ")[0] for line in violations(page, "overview", dark=False)}
    page.close()
    assert rules == {"button-name", "heading-order", "color-contrast"}


def test_a_page_is_reached_by_the_keyboard(page, server):
    visit(page, server, "/?workspace=demo", "Overview")
    page.get_by_role("link", name="Homework").focus()
    page.keyboard.press("Enter")
    titled(page, "Homework")


def test_a_row_is_selected_by_enter_and_not_by_focus(page, server):
    visit(page, server, "/?workspace=demo", "Overview")
    table = page.get_by_role("region", name="Coverage by node").locator("canvas[tabindex='0']")
    expect(table.locator("td").first).to_be_attached()
    hint = page.locator(".glan-row-hint")
    page.keyboard.press("Shift")  # the keyboard is in use
    table.focus()
    expect(hint).to_contain_text("Row 1 of 8")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(hint).to_contain_text("Natural Sciences")
    assert "focus=" not in page.url
    page.keyboard.press("Enter")
    titled(page, "Overview · Natural Sciences")
    expect(hint).to_contain_text("Row 1 of 3")  # the table drawn anew has the focus
    page.keyboard.press("Enter")
    titled(page, "Overview · Physical sciences")


def test_a_table_gets_the_focus_back_however_long_the_server_takes(page, server):
    sockets, held = [], []
    holding = False

    def relay(socket):
        sockets.append(socket)
        socket.connect_to_server().on_message(lambda message: held.append(message) if holding else socket.send(message))

    page.route_web_socket("**/_stcore/stream", relay)
    page.clock.install()
    visit(page, server, "/?workspace=demo", "Overview")
    table = page.get_by_role("region", name="Coverage by node").locator("canvas[tabindex='0']")
    expect(table.locator("td").first).to_be_attached()
    page.keyboard.press("Shift")
    table.focus()
    hint = page.locator(".glan-row-hint")
    expect(hint).to_contain_text("Row 1 of 8")
    holding = True
    page.keyboard.press("Enter")
    deadline = time.monotonic() + WAIT / 1000
    while not held and time.monotonic() < deadline:
        page.wait_for_load_state()  # lets the messages arrive
    assert held, "the row was not selected"
    page.clock.fast_forward(30_000)
    holding = False
    for message in held:
        sockets[-1].send(message)
    expect(page.get_by_role("heading", level=1, name="Overview ·")).to_be_visible()
    expect(hint).to_contain_text("Row 1 of")
    expect(hint).not_to_contain_text("Row 1 of 8")


def test_several_rows_are_selected_by_the_keyboard_and_an_edited_table_is_left_alone(page, server):
    visit(page, server, "/runs?workspace=demo&runs_view=History", "Runs")
    table = page.get_by_role("region", name="Runs, newest first").locator("canvas[tabindex='0']")
    expect(table.locator("td").first).to_be_attached()
    page.keyboard.press("Shift")
    table.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=2, name="Run")).to_be_visible()
    page.keyboard.press("ArrowDown")
    page.keyboard.press(" ")
    expect(page.get_by_role("heading", level=2, name="2 runs compared")).to_be_visible()

    visit(page, server, "/connections?workspace=demo", "Connections")
    page.locator("summary", has_text="Default teachers").click()
    editor = page.get_by_role("region", name="Default teachers by stage").locator("canvas[tabindex='0']")
    expect(editor.locator("td").first).to_be_attached()
    page.keyboard.press("Shift")
    editor.focus()
    page.keyboard.press("ArrowDown")
    expect(editor.locator("tr[aria-rowindex='3'] td[aria-selected='true']")).to_be_attached()
    expect(page.locator(".glan-row-hint:visible")).to_have_count(0)
