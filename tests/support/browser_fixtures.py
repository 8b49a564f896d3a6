"""Fixtures of the browser tests; a test module takes them with `pytest_plugins = ["support.browser_fixtures"]`."""

import pytest
from support.browser_driver import FLAGS, WAIT, chrome, playwright, studio_server
from support.demo import small_demo, starter_workspace


@pytest.fixture(scope="module")
def browser(studio_home):
    executable = chrome()
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=executable, args=list(FLAGS))
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def studio_home(tmp_path_factory):
    """The folder of the studio's workspaces: a demo, and a starter taxonomy for runs. Playwright's loop is not there yet."""
    chrome()
    folder = tmp_path_factory.mktemp("browser") / "home"
    small_demo(folder / "demo").close()
    starter_workspace(folder / "starter").close()
    return folder


@pytest.fixture(scope="module")
def server(studio_home):
    """The studio as `streamlit run` starts it."""
    served = studio_server(studio_home)
    yield served
    served.stop()


@pytest.fixture
def page(browser, server):
    """A page of a browser that has never been here; what the browser complains of fails the test."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    context.set_default_timeout(WAIT)
    opened = context.new_page()
    complaints = []
    opened.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    yield opened
    context.close()
    assert not [text for text in complaints if "_stcore" not in text and "Failed to load resource" not in text]
