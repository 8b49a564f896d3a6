"""Adding a discipline in a real browser, from its name to the end of its run, with a teacher that takes its time."""

import re

import pytest
from support.browser_driver import enter, expect, still, teacher_server, titled, visit
from support.runs import number

from glan_core.generation import preview
from glan_core.workspace import Workspace, run_rows, taxonomy_rows

pytest_plugins = ["support.browser_fixtures"]
pytestmark = [pytest.mark.browser, pytest.mark.long]


@pytest.fixture
def teacher(tmp_path):
    """The scripted teacher behind an endpoint, two seconds a reply."""
    served = teacher_server(tmp_path, latency_ms=2000)
    yield served
    served.stop()


@pytest.fixture
def starter(studio_home):
    ws = Workspace.open(studio_home / "starter")
    yield ws
    ws.close()


def ask_endpoint(dialog, page, url: str) -> None:
    """Choose the served teacher."""
    dialog.get_by_role("combobox", name="Teacher").click()
    page.get_by_role("option", name="vLLM, Ollama or another endpoint").click()
    for label, text in (("Model", "scripted"), ("Base URL", f"{url}/v1"), ("Price (USD per million tokens)", "0,0")):
        enter(page, label, text)


def growing(page, locator) -> None:
    """Wait until a text has grown three times."""
    lengths: set[int] = set()
    for _ in range(400):
        if locator.count():
            lengths.add(len(locator.first.inner_text()))
        if len(lengths) > 3:
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"the text did not grow: {sorted(lengths)}")


def test_a_discipline_from_its_name_to_the_end_of_its_run(page, server, starter, teacher):
    visit(page, server, "/?workspace=starter&focus=natural-sciences", "Overview · Natural Sciences")
    page.get_by_role("button", name="Add discipline").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("textbox", name="Name").fill("Limnology")
    dialog.get_by_role("textbox", name="Notes for the teacher").fill("Lakes, ponds and rivers.")
    ask_endpoint(dialog, page, teacher.url)
    dialog.get_by_role("button", name="Generate preview · 10 calls · free").click()

    growing(page, dialog.locator("[class*=st-key-preview_text]"))
    assert taxonomy_rows.node(starter.db, "limnology") is None
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    page.get_by_role("button", name="Add discipline").click()  # it has gone on, and is there again
    growing(page, dialog.locator(".st-key-preview_homework"))
    expect(dialog.get_by_role("button", name="Accept")).to_be_visible()
    expect(dialog.get_by_text("Question 3", exact=False)).to_be_visible()

    dialog.get_by_role("button", name="Edit").click()
    dialog.get_by_role("textbox", name="Question 1").fill("Why do lakes turn over?")
    dialog.get_by_role("button", name="Save changes").click()
    expect(dialog.get_by_text("Why do lakes turn over?")).to_be_visible()
    assert number(starter, "SELECT count(*) FROM questions WHERE discipline_id = 'limnology'") == 0
    dialog.get_by_role("button", name="Accept").click()

    expect(dialog.get_by_text("Limnology and its preview are now part of the taxonomy and the dataset.")).to_be_visible()
    assert taxonomy_rows.node(starter.db, "limnology").description == "Lakes, ponds and rivers."
    enter(page, "Subject queries", "1")
    enter(page, "Questions per syllabus", "3")
    dialog.get_by_role("button", name=re.compile("^Start · .* calls · free")).click()
    titled(page, "Runs · Limnology")
    expect(page.get_by_role("heading", name=re.compile(r"^Run \d+: Limnology"))).to_be_visible()
    expect(page.get_by_text("finished", exact=True).first).to_be_visible()
    assert run_rows.runs(starter.db, 1)[0].state == "finished"
    assert number(starter, "SELECT edited FROM questions WHERE text = 'Why do lakes turn over?'") == 1
    assert number(starter, "SELECT count(*) FROM answers WHERE question_id IN "
                           "(SELECT id FROM questions WHERE discipline_id = 'limnology')") == 18  # fmt: skip


@pytest.mark.slow
def test_a_preview_that_fails_says_why_and_is_thrown_away_by_keyboard(page, server, starter, teacher):
    visit(page, server, "/taxonomy?workspace=starter&focus=physics", "Taxonomy · Physics")
    page.get_by_role("button", name="Add discipline").first.click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("Physics (empty)")).to_be_visible()
    ask_endpoint(dialog, page, teacher.url)
    enter(page, "Model", "nonsense")
    dialog.get_by_role("button", name="Generate preview").press("Enter")
    expect(dialog.get_by_text("has no model nonsense", exact=False)).to_be_visible()
    expect(dialog.get_by_role("button", name="Retry")).to_be_visible()
    dialog.get_by_role("button", name="Discard").press("Enter")
    expect(dialog.get_by_role("button", name="Generate preview")).to_be_visible()
    assert preview.pending(starter) == []


@pytest.mark.slow
@pytest.mark.parametrize(("width", "height"), [(1440, 900), (1024, 768)])
def test_every_step_fits_a_screen_and_keeps_its_buttons_in_sight(page, server, starter, width, height):
    page.set_viewport_size({"width": width, "height": height})
    visit(page, server, "/runs?workspace=starter&focus=history", "Runs · History")
    page.get_by_role("button", name="Add discipline").click()
    dialog = page.get_by_role("dialog")
    for name in ("Generate preview", "Discard"):
        button = dialog.get_by_role("button", name=name)
        expect(button).to_be_in_viewport()
        still(page)
        assert dialog.evaluate("part => part.scrollWidth - part.clientWidth") == 0
        button.click()
    expect(dialog.get_by_role("button", name="Generate preview")).to_be_visible()
