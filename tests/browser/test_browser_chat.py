"""The Chat page in a real browser: base and tuned stream side by side, and are voted on."""

import re

import pytest
from support.browser_driver import WAIT, enter, expect, still, titled, visit
from support.chat_models import make_base, make_tuned

from glan_core.models import server_client
from glan_core.workspace import Workspace, chat_rows

pytest_plugins = ["support.browser_fixtures"]
pytestmark = [pytest.mark.browser, pytest.mark.long]


@pytest.fixture(scope="module")
def models(studio_home, tmp_path_factory):
    """A tuned model in the demo workspace, and a model process that only the studio's server talks to."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GLAN_RUNTIME", str(tmp_path_factory.mktemp("runtime")))
        ws = Workspace.open(studio_home / "demo")
        make_tuned(ws, make_base(tmp_path_factory.mktemp("weights") / "base"))
        yield ws
        server_client.release()
        ws.close()


@pytest.fixture(scope="module")
def server(models, studio_home, tmp_path_factory):
    from support.browser_driver import studio_server

    served = studio_server(studio_home)
    yield served
    served.stop()


def test_a_prompt_to_base_and_tuned_streams_side_by_side_and_is_voted_on(models, server, page):
    visit(page, server, "/chat?workspace=demo&models=tuned:tuned", "Chat")
    page.get_by_role("button", name="Compare with base model").click()
    still(page)
    page.get_by_role("button", name="Chat settings").click()
    enter(page, "Max new tokens", "4000")
    page.keyboard.press("Escape")
    field = page.get_by_role("textbox", name="Message")
    field.fill("What is a ring?")
    field.press("Enter")
    cursors = page.get_by_text(re.compile("▌"))
    expect(cursors).to_have_count(2, timeout=WAIT)  # both write at the same time
    expect(page.get_by_test_id("stMainBlockContainer").get_by_role("button", name="Stop")).to_be_visible()
    lengths = [len(text) for text in cursors.all_inner_texts()]
    expect(cursors.first).to_have_text(re.compile(f".{{{max(lengths) + 10},}}", re.DOTALL), timeout=WAIT)  # and go on
    page.get_by_test_id("stMainBlockContainer").get_by_role("button", name="Stop").click()
    expect(page.get_by_role("button", name="tuned is better", exact=True)).to_be_visible(timeout=WAIT)
    still(page)
    expect(page.get_by_text("adapter on", exact=True).locator("visible=true")).to_have_count(1)
    expect(page.get_by_text("adapter off", exact=True).locator("visible=true")).to_have_count(1)
    page.get_by_role("button", name="tuned is better", exact=True).click()
    expect(page.get_by_text("You preferred tuned.")).to_be_visible(timeout=WAIT)
    (vote,) = chat_rows.preferences(models.db)
    assert (vote.choice, vote.best) == ("one", 1)
    link = page.url
    page.goto("about:blank")
    page.goto(link)
    titled(page, "Chat")
    expect(page.get_by_text("You preferred tuned.")).to_be_visible(timeout=WAIT)  # the address shows the same
    overflow = page.evaluate("document.scrollingElement.scrollWidth - document.scrollingElement.clientWidth")
    assert overflow <= 0
