"""Accessibility of the pages: names of controls and images, one title, and the keyboard."""

import pytest
from support.browser_driver import titled

pytest_plugins = ["support.browser_fixtures"]
pytestmark = [pytest.mark.browser, pytest.mark.slow]

PAGES = (
    "Overview",
    "Taxonomy",
    "Syllabi",
    "Homework",
    "Diversity",
    "Dataset",
    "Train",
    "Models",
    "Chat",
    "Evaluate",
    "Runs",
    "Workspaces",
)

# The accessible name as WCAG 4.1.2 needs it, from the sources that browsers use.
UNNAMED = """() => {
    const named = element => {
        const ids = (element.getAttribute('aria-labelledby') || '').split(' ').filter(Boolean);
        const texts = [element.getAttribute('aria-label'), element.title, element.alt, element.innerText, element.placeholder,
            ...ids.map(id => document.getElementById(id)?.innerText), ...[...(element.labels || [])].map(label => label.innerText)];
        return texts.some(text => text && text.trim());
    };
    const controls = document.querySelectorAll('a[href], button, input, select, textarea, img, [role=button], [role=combobox]');
    return [...controls].filter(element => element.checkVisibility() && !element.closest('[aria-hidden=true]') && !named(element))
        .map(element => element.outerHTML.slice(0, 200));
}"""


@pytest.mark.parametrize("title", PAGES)
def test_every_control_and_image_has_a_name_and_the_page_one_title(page, server, title):
    page.goto(server.url + ("/" if title == "Overview" else f"/{title.lower()}") + "?workspace=demo")
    titled(page, title)
    assert page.evaluate(UNNAMED) == []
    assert page.get_by_role("heading", level=1, name=title, exact=True).count() == 1


def test_a_page_is_reached_by_the_keyboard(page, server):
    page.goto(server.url + "/?workspace=demo")
    titled(page, "Overview")
    page.get_by_role("link", name="Homework").focus()
    page.keyboard.press("Enter")
    titled(page, "Homework")


def test_the_check_finds_what_has_no_name(page, server):
    page.goto(server.url + "/?workspace=demo")
    titled(page, "Overview")
    page.evaluate("document.body.append(document.createElement('button'), document.createElement('input'))")
    assert page.evaluate(UNNAMED) == ["<button></button>", "<input>"]
