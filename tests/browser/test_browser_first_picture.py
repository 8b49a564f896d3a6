"""The first picture of Overview in a browser: it is there before Streamlit's front end, at the same place, and gives way to the page."""

import re

import pytest
from support.browser_driver import WAIT, still, titled

from glan_core.resources import ASSETS

pytest_plugins = ["support.browser_fixtures"]
pytestmark = pytest.mark.browser

STYLES = (ASSETS / "first_picture.css").read_text("utf-8")
PICTURE = "#glan-first-picture"
ADDRESS = "**/glan/first-picture*"
FRONT_END = re.compile(r"/static/js/index\.")
STYLES_ELEMENT = re.compile(r"/static/js/Html\.")  # the part of Streamlit with which streamlit_app.py adds the styles once more
# A closed root, in which no other script and no test looks for elements, is opened for this test.
OPEN = "const close = Element.prototype.attachShadow; Element.prototype.attachShadow = function () { return close.call(this, { mode: 'open' }) }"
# Corner of the title; middle of the rings, of the label in their center and of a label at nine o'clock; the left label of the color bar.
PLACES = """() => {
    const root = document.querySelector("#glan-first-picture")?.shadowRoot ?? document;
    const label = (words) => [...root.querySelectorAll("svg text")].find((text) => text.textContent.replace(/\\s+/g, " ").trim() === words);
    const center = label("All knowledge");
    const boxes = [root.querySelector("h1"), center.ownerSVGElement, center, label("0%")].map((one) => one.getBoundingClientRect());
    return boxes.map(({ left, top, width, height }, n) => (n ? [left + width / 2, top + height / 2] : [left, top]));
}"""


@pytest.mark.parametrize(
    ("width", "height", "colors", "settings"),
    [
        (1440, 900, "light", {}),
        *(pytest.param(*values, marks=pytest.mark.long) for values in [
            (1024, 768, "dark", {}), (1331, 768, "light", {}), (1440, 900, "dark", {"sidebarWidth": "500"}),
            (1250, 768, "light", {"sidebarWidth": "-400"}), (1250, 768, "dark", {"stSidebarCollapsed-": "true"}),
            (1440, 900, "light", {"stActiveTheme-/-v2": '"Dark"'}),
        ]),
    ],
)  # fmt: skip
def test_it_is_there_first_at_the_place_of_the_chart_and_then_gone(browser, server, width, height, colors, settings):
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=colors)
    context.set_default_timeout(WAIT)
    page = context.new_page()
    page.add_init_script(OPEN + "".join(f"; localStorage.setItem({key!r}, {value!r})" for key, value in settings.items()))
    held, late, released = [], [], []
    page.route(FRONT_END, lambda route: route.continue_() if released else held.append(route))
    page.route(STYLES_ELEMENT, lambda route: late.append(route))
    page.goto(f"{server.url}/?workspace=demo", wait_until="commit")
    page.locator(PICTURE).wait_for(state="attached")
    theme = "dark" if any("Dark" in value for value in settings.values()) else colors
    assert page.evaluate("document.querySelector('#glan-first-picture').style.colorScheme") == theme
    first = page.evaluate(PLACES)
    released.append(True)
    for request in held:
        request.continue_()
    page.locator("[data-testid=stEChartsChart] svg path").first.wait_for()
    page.locator(PICTURE).wait_for(state="detached")
    taken = page.evaluate(PLACES)
    for request in late:
        request.continue_()
    still(page)
    for places in (taken, page.evaluate(PLACES)):
        assert places == [pytest.approx(place, abs=4) for place in first], "nothing moves when the page takes its place"
    context.close()


def shown(page, server) -> None:
    """Open Overview and wait for a first picture that is there at once."""
    page.add_init_script(OPEN)
    page.route(
        ADDRESS, lambda route: route.fulfill(body=f"<style>{STYLES}</style><div class='sidebar'></div><main>Rings</main>")
    )
    page.goto(f"{server.url}/?workspace=demo", wait_until="commit")
    page.locator(PICTURE).wait_for(state="attached")


@pytest.mark.long
def test_it_hides_neither_the_navigation_nor_another_page(page, server):
    shown(page, server)
    homework = page.get_by_role("link", name="Homework")
    homework.wait_for()
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert page.locator(f"{PICTURE} .sidebar").evaluate_all("(all) => all.map((one) => getComputedStyle(one).display)") in (
        ["none"],
        [],
    )
    homework.click()
    page.locator(PICTURE).wait_for(state="detached", timeout=2000)
    titled(page, "Homework")


@pytest.mark.parametrize(
    "act", [lambda page: page.keyboard.press("Tab"), lambda page: page.mouse.click(700, 500)], ids=["key", "click"]
)
def test_it_goes_when_the_user_acts(page, server, act):
    page.route("**/_stcore/stream*", lambda route: None)
    page.route(FRONT_END, lambda route: None)
    shown(page, server)
    act(page)
    page.locator(PICTURE).wait_for(state="detached", timeout=2000)


@pytest.mark.long
def test_one_that_is_late_does_not_come(page, server):
    late = []
    page.route(ADDRESS, lambda route: late.append(route))
    page.goto(f"{server.url}/?workspace=demo")
    page.locator("[data-testid=stEChartsChart] svg path").first.wait_for()
    page.get_by_role("link", name="Homework").click()
    titled(page, "Homework")
    late[0].fulfill(body="<main>Rings</main>")
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert page.locator(PICTURE).count() == 0


def test_a_message_of_the_page_is_seen_at_once(page, server):
    page.route(FRONT_END, lambda route: None)
    shown(page, server)
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<div data-testid=stAlert></div>')")
    page.locator(PICTURE).wait_for(state="detached", timeout=2000)


def test_it_goes_when_nothing_else_comes(page, server):
    page.clock.install()
    page.route(FRONT_END, lambda route: None)
    shown(page, server)
    page.clock.fast_forward(4000)
    assert page.locator(PICTURE).count() == 1
    page.clock.fast_forward(7000)
    page.locator(PICTURE).wait_for(state="detached", timeout=2000)
