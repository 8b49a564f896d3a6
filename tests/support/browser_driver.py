"""What the browser tests need: the studio as a server of its own, Chromium, and the ways of a visitor."""

import functools
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support.child_servers import Server

CHROMES = (
    "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome", "/Applications/Chromium.app/Contents/MacOS/Chromium",
)  # fmt: skip
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--no-first-run")  # fmt: skip


playwright = (
    pytest.importorskip("playwright.sync_api") if not os.environ.get("CI") else __import__("playwright.sync_api").sync_api
)
WAIT = 45_000  # milliseconds; a busy machine may need half of it for a page
playwright.expect.set_options(timeout=WAIT)
ACTIONS = (
    "bounding_box", "check", "click", "evaluate", "fill", "get_attribute", "hover", "inner_text", "input_value", "press",
    "scroll_into_view_if_needed", "select_option", "set_input_files", "text_content", "uncheck",
)  # fmt: skip


def expect(target, message=None):
    """Playwright's `expect`, whose assertions wait like `once_drawn`."""
    assertions = playwright.expect(target, message)
    if isinstance(target, playwright.Locator):
        for name in (name for name in dir(assertions) if name.startswith(("to_", "not_to_"))):
            setattr(assertions, name, once_drawn(getattr(assertions, name), target.page))
    return assertions


def once_drawn(action: Callable, page=None) -> Callable:
    """Try an action on one element again when the page is drawn, if it found two.

    While Streamlit draws a page anew, an element that moves is there twice: stale at its old place and new at the other.
    """

    @functools.wraps(action)
    def tried(*args, **kwargs):
        try:
            return action(*args, **kwargs)
        except (playwright.Error, AssertionError) as error:
            if "strict mode violation" not in str(error):
                raise
        still(page or args[0].page)
        return action(*args, **kwargs)

    return tried


for _name in ACTIONS:
    setattr(playwright.Locator, _name, once_drawn(getattr(playwright.Locator, _name)))


def chrome() -> str:
    """Where the browser is; without one the test is skipped, but fails in CI, where there must be one."""
    names = ("chromium", "google-chrome", "chrome")
    found = next((path for path in (*CHROMES, *map(shutil.which, names)) if path and Path(path).exists()), None)
    if found is None and os.environ.get("CI"):
        pytest.fail("There is no Chromium: the browser tests must run in CI.")
    if found is None:
        pytest.skip("There is no Chromium.")
    return found


def studio_server(home: Path) -> Server:
    """The studio on the workspaces of `home`."""
    words = [
        "streamlit",
        "run",
        "pages/components/shared/asgi_app.py",
        "--server.headless=true",
        "--server.port={port}",
        "--server.address=127.0.0.1",
    ]
    return Server(words, "/_stcore/health", home.parent / "streamlit.log", {"GLAN_HOME": str(home)})


def teacher_server(folder: Path, latency_ms: int) -> Server:
    """The scripted teacher behind an OpenAI-compatible endpoint."""
    words = ["glan_core", "serve-teacher", "--port", "{port}", "--latency-ms", str(latency_ms)]
    return Server(words, "/v1/models", folder / "teacher.log")


def visit(page, server: Server, path: str, title: str) -> None:
    """Open an address and wait until its page is drawn."""
    page.goto(server.url + path)
    titled(page, title)


def titled(page, title: str) -> None:
    """Wait until the page of this title is drawn."""
    expect(page.get_by_role("heading", level=1, name=title, exact=True)).to_be_visible(timeout=WAIT)
    still(page)


def still(page) -> None:
    """Wait until the page is drawn whole."""
    expect(page.locator("[data-testid=stApp][data-test-script-state=notRunning]")).to_have_count(1, timeout=WAIT)
    expect(page.get_by_test_id("stStatusWidget")).to_have_count(0, timeout=WAIT)
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0, timeout=WAIT)  # stands for a widget whose code is loaded


def enter(page, label: str, text: str) -> None:
    """Type into a field, and wait until the page has taken it."""
    field = page.locator(f'input[aria-label="{label}"]')
    expect(field).to_have_count(1)  # while a page is drawn anew, the old one may still be there
    field.fill(text)
    field.press("Enter")
    still(page)


def press(page, label: str) -> None:
    """Press the button of this label, and wait until the page has taken it."""
    page.get_by_role("button", name=label).click()
    still(page)


def press_key(page, key: str, wait: Callable[[int], object]) -> None:
    """Press a key until `wait(milliseconds)` returns, as a person would: a page that has just been drawn listens a moment later."""
    for _ in range(4):
        still(page)
        page.keyboard.press(key)
        try:
            wait(WAIT // 3)
            break
        except playwright.TimeoutError:
            continue
    else:
        pytest.fail(f"The key {key} did nothing.")
    still(page)


def click_row(page, number: int, table: int | str = 0, *, x: int = 60, height: int = 33) -> None:
    """Click a cell of a row, and wait until the page has taken it; `x=16` is the box before the row.

    Tables are drawn on a canvas, whose rows are about as high as the head unless `height` says so. A table is given by its place
    or its accessible name.
    """
    tables = page.get_by_test_id("stDataFrame")
    frame = tables.nth(table) if isinstance(table, int) else tables.filter(has=page.locator(f'[aria-label="{table}"]'))
    expect(frame).to_have_count(1)  # while a page is drawn anew, the old one may still be there
    expect(frame.locator("canvas").first).to_be_visible()
    frame.scroll_into_view_if_needed()
    frame.click(position={"x": x, "y": 33 + height * (number + 0.5)})
    still(page)
