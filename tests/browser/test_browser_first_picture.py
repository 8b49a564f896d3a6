"""The first picture of Overview in a browser: it is there before Streamlit's front end, at the same place, and gives way to the page."""

import re

import pytest
from support.browser_driver import WAIT, still

pytest_plugins = ["support.browser_fixtures"]
pytestmark = pytest.mark.browser

PICTURE = "#glan-first-picture"
FRONT_END = re.compile(r"/static/js/index\.")
# A closed root, in which no other script and no test looks for elements, is opened for this test.
OPEN = "const close = Element.prototype.attachShadow; Element.prototype.attachShadow = function () { return close.call(this, { mode: 'open' }) }"
# Corner of the title, and middle of the rings and of the label in their center.
PLACES = """() => {
    const root = document.querySelector("#glan-first-picture")?.shadowRoot ?? document;
    const middle = [...root.querySelectorAll("svg text")].find((text) => text.textContent.replace(/\\s+/g, " ") === "All knowledge");
    const boxes = [root.querySelector("h1"), middle.ownerSVGElement, middle].map((one) => one.getBoundingClientRect());
    return boxes.map(({ left, top, width, height }, n) => (n ? [left + width / 2, top + height / 2] : [left, top]));
}"""


@pytest.mark.parametrize(("width", "height", "colors"), [(1440, 900, "light"), (1024, 768, "dark")])
def test_it_is_there_first_at_the_place_of_the_chart_and_then_gone(browser, server, width, height, colors):
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=colors)
    context.set_default_timeout(WAIT)
    page = context.new_page()
    page.add_init_script(OPEN)
    held, released = [], []
    page.route(FRONT_END, lambda route: route.continue_() if released else held.append(route))
    page.goto(f"{server.url}/?workspace=demo", wait_until="commit")
    page.locator(PICTURE).wait_for(state="attached")
    assert (
        page.evaluate(
            "getComputedStyle(document.querySelector('#glan-first-picture').shadowRoot.querySelector('main')).colorScheme"
        )
        == colors
    )
    first = page.evaluate(PLACES)
    released.append(True)
    for request in held:
        request.continue_()
    page.locator("[data-testid=stEChartsChart] svg path").first.wait_for()
    page.locator(PICTURE).wait_for(state="detached")
    still(page)
    for one, other in zip(first, page.evaluate(PLACES), strict=True):
        assert one == pytest.approx(other, abs=4), "nothing moves when the page takes its place"
    context.close()


def test_a_page_with_a_message_instead_of_rings_shows_the_message(page, server):
    page.route("**/glan/first-picture*", lambda route: route.fulfill(body="<main>Rings</main>"))
    page.goto(f"{server.url}/?workspace=no-such-workspace")
    page.get_by_text("does not exist in").wait_for()
    page.locator(PICTURE).wait_for(state="detached")
