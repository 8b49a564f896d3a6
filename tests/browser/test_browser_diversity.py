"""The map in a real browser: points are clicked, a part of it is encircled, looked at closer, and judged."""

import re

import pytest
from support.browser_driver import expect, still, visit
from support.demo import starter_workspace
from support.diversity_rows import BREAD, Steps, add_topics
from support.studio_app import draw_map

from glan_core.diversity.map_job import create_map
from glan_core.diversity.settings import MapSettings
from glan_core.workspace import Workspace, homework_rows, pair_filter
from glan_core.workspace.pair_filter import PairFilter

pytest_plugins = ["support.browser_fixtures"]
pytestmark = [pytest.mark.browser, pytest.mark.long]

# Where the points of the map stand on the screen: [seq, x, y] of each.
POINTS = """() => {
    const chart = document.querySelector('.js-plotly-plot'), box = chart.getBoundingClientRect();
    const {xaxis, yaxis} = chart._fullLayout;
    return chart._fullData.filter(trace => trace.customdata).flatMap(trace => [...trace.customdata].map((seq, n) => [
        Number(Array.isArray(seq) ? seq[0] : seq), box.left + xaxis._offset + xaxis.d2p(trace.x[n]),
        box.top + yaxis._offset + yaxis.d2p(trace.y[n])]));
}"""


@pytest.fixture(scope="module")
def ws(studio_home):
    """The demo workspace with a map of its questions."""
    opened = Workspace.open(studio_home / "demo")
    draw_map(opened)
    yield opened
    opened.close()


def points(page) -> list[tuple[int, float, float]]:
    page.wait_for_function(f"document.querySelector('.js-plotly-plot')?._fullData && ({POINTS})().length > 0")
    still(page)
    return [tuple(point) for point in page.evaluate(POINTS)]


def encircle(page, ends) -> None:
    """Draw a box on the map."""
    page.locator(".js-plotly-plot").hover()
    page.locator(".modebar-btn[data-val=select]").click()
    (x0, y0), (x1, y1) = ends
    page.mouse.move(x0, y0)
    page.mouse.down()
    page.mouse.move((x0 + x1) / 2, (y0 + y1) / 2, steps=4)
    page.mouse.move(x1, y1, steps=4)
    page.mouse.up()


def test_a_click_on_a_point_opens_its_question_and_leads_to_the_whole_of_it(page, server, ws):
    visit(page, server, "/diversity?workspace=demo", "Diversity")
    shown = points(page)
    assert len(shown) == 96
    seq, x, y = max(shown, key=lambda p: min(abs(p[1] - q[1]) + abs(p[2] - q[2]) for q in shown if q is not p))  # the loneliest
    page.mouse.move(x, y)
    page.mouse.click(x, y)
    [id] = homework_rows.pair_ids(ws.db, [seq])
    page.wait_for_url(lambda url: f"pair={id}" in url)
    page.get_by_role("button", name="Open in Homework").click()
    expect(page.get_by_role("heading", level=1, name=re.compile("^Homework"))).to_be_visible()
    page.wait_for_url(lambda url: f"pair={id}" in url)


def test_what_is_encircled_is_listed_and_rejected_and_brought_back(page, server, ws):
    visit(page, server, "/diversity?workspace=demo", "Diversity")
    shown = points(page)
    xs, ys = sorted(x for _, x, _ in shown), sorted(y for _, _, y in shown)
    ends = ((xs[0] - 4, ys[0] - 4), (xs[len(xs) // 2], ys[-1] + 4))
    inside = {seq for seq, x, y in shown if x <= ends[1][0]}
    encircle(page, ends)
    button = page.get_by_role("button", name="Reject ")
    expect(button).to_be_visible()
    number = int(button.inner_text().split()[-1])
    assert abs(number - len(inside)) <= 2  # a point on the edge is in or out
    button.click()
    expect(page.get_by_text(f"Rejected {number} questions.")).to_be_visible()
    assert pair_filter.count_matching(ws.db, PairFilter(review="reject")) == number
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text(f"Rejected {number} questions.")).to_have_count(0)
    assert pair_filter.count_matching(ws.db, PairFilter(review="reject")) == 0
    page.get_by_role("button", name="Zoom to selection").click()
    expect(page.get_by_text("Zoomed in.")).to_be_visible()
    page.get_by_role("button", name="Reset zoom").click()
    expect(page.get_by_text("Zoomed in.")).to_have_count(0)


@pytest.mark.slow
def test_another_dataset_is_laid_over_the_map_and_a_question_of_it_is_picked(page, server, studio_home):
    ws = starter_workspace(studio_home / "compared")
    add_topics(ws, 12)
    file = studio_home.parent / "bread.csv"
    file.write_text("prompt,response\n" + "".join(f'"{text}",So.\n' for text in BREAD))
    create_map(ws, MapSettings(embedder="words"), Steps())
    visit(page, server, "/diversity?workspace=compared&diversity_view=Compare", "Diversity")
    page.locator("input[type=file]").set_input_files(file)
    page.get_by_role("button", name="Compare with bread").click()
    expect(page.get_by_text("Wording only in bread", exact=True).first).to_be_visible()  # a process of its own did it
    expect(page.locator(".js-plotly-plot")).to_have_count(2)  # the map, and the taxonomy below
    shown = points(page)
    assert sorted(seq for seq, _, _ in shown if seq < 0) == list(range(-30, 0)) and len(shown) == 66
    theirs = [p for p in shown if p[0] < 0]
    seq, x, y = max(theirs, key=lambda p: min(abs(p[1] - q[1]) + abs(p[2] - q[2]) for q in shown if q is not p))
    page.mouse.move(x, y)
    page.mouse.click(x, y)
    expect(page.get_by_text(f"bread, question {-seq}", exact=True)).to_be_visible()
    expect(page.get_by_text(BREAD[-1 - seq]).first).to_be_visible()
    ws.close()
