"""The Models page in a real browser: a clicked row is the model that the panel and the address show."""

import re

import pytest
from support.browser_driver import expect, still, visit
from support.model_rows import put_model

from glan_core.workspace import Workspace

pytest_plugins = ["support.browser_fixtures"]
pytestmark = [pytest.mark.browser, pytest.mark.long]


@pytest.fixture(scope="module")
def models(studio_home):
    """Two models in the demo workspace, the newer one first in the table."""
    ws = Workspace.open(studio_home / "demo")
    put_model(ws, "older", created_at=5.0)
    put_model(ws, "newer")
    ws.close()


def click_row(page, number: int) -> None:
    """Click the box of a row; the table is drawn on a canvas, whose rows are all as high as the head."""
    frame = page.get_by_test_id("stDataFrame").first
    expect(frame.locator("canvas").first).to_be_visible()
    frame.click(position={"x": 16, "y": 33 * (number + 1.5)})
    still(page)


def test_the_panel_and_the_address_follow_the_clicked_row(page, server, models):
    visit(page, server, "/models?workspace=demo", "Models")
    expect(page.get_by_role("heading", name="newer", exact=True)).to_be_visible()
    for number, name in ((1, "older"), (0, "newer"), (1, "older")):
        click_row(page, number)
        expect(page.get_by_role("heading", name=name, exact=True)).to_be_visible()
        expect(page).to_have_url(re.compile(rf"[?&]model={name}(&|$)"))
    page.reload()
    expect(page.get_by_role("heading", name="older", exact=True)).to_be_visible()
    still(page)
    click_row(page, 1)  # the row that is picked already stays so
    expect(page.get_by_role("heading", name="older", exact=True)).to_be_visible()
    expect(page).to_have_url(re.compile(r"[?&]model=older(&|$)"))
