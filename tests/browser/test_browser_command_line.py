"""The commands that pages show, in a browser: copied whole, also where the page may not use the clipboard by itself."""

import re

import pytest
from support.browser_driver import expect, still, visit

pytest_plugins = ["support.browser_fixtures"]
pytestmark = [pytest.mark.browser, pytest.mark.long]


@pytest.mark.parametrize("clipboard", ["as it is", "{ writeText: () => Promise.reject() }", "undefined"])
def test_a_command_is_copied(page, server, clipboard):
    if clipboard != "as it is":
        page.add_init_script(f"Object.defineProperty(navigator, 'clipboard', {{ value: {clipboard} }})")
    page.context.grant_permissions(["clipboard-write"])
    visit(page, server, "/runs?workspace=demo", "Runs")
    shown = page.get_by_role("group", name="Command")
    expect(shown).to_have_text(re.compile("^glan generate .* --disciplines all$"))
    command = shown.inner_text()
    button = page.locator(".st-key-command button")
    button.click()
    expect(button).to_have_text("Copied")
    expect(button).to_be_focused()
    expect(page.get_by_role("status").filter(has_text="Copied")).to_have_count(1)
    field = page.get_by_placeholder("disciplines, concepts, pairs")
    field.focus()
    page.keyboard.press("ControlOrMeta+V")
    expect(field).to_have_value(command)
    expect(button).to_have_text("Copy")


def test_it_follows_the_form(page, server):
    visit(page, server, "/runs?workspace=demo", "Runs")
    page.evaluate("void (navigator.clipboard.writeText = () => new Promise((done) => { window.copied = done }))")
    button = page.locator(".st-key-command button")
    button.click()
    page.get_by_role("button", name="Taste").click()
    expect(page.get_by_role("group", name="Command")).to_contain_text("--subject-queries 1 --max-subjects 3")
    page.evaluate("window.copied()")  # late: what is shown now was not copied
    still(page)
    expect(button).to_have_text("Copy")
