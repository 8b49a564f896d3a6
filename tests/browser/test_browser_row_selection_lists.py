"""More tables in a real browser: taxonomy edits, training runs, checkpoints, saturation, areas of maps, and comparisons."""

import re

import pytest
from support.browser_driver import chrome, click_row, expect, press, visit
from support.demo import small_demo, starter_workspace
from support.diversity_rows import BREAD, Steps, add_topics, compare
from support.model_rows import add_training, put_checkpoints, put_model
from support.runs import execute_run

from glan_core.diversity.map_job import create_map
from glan_core.diversity.settings import MapSettings
from glan_core.taxonomy import tree_editing
from glan_core.workspace import Workspace

pytest_plugins = ["support.browser_fixtures"]
pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def studio_home(tmp_path_factory):
    """A demo workspace with edits, runs, checkpoints and metrics, and one that is compared with a dataset about bread."""
    chrome()
    folder = tmp_path_factory.mktemp("browser") / "home"
    small_demo(folder / "demo").close()
    ws = Workspace.open(folder / "demo")
    for name in ("First", "Second"):
        tree_editing.rename(ws, "music", name, "Ada")
    for name in ("slow", "fast"):
        add_training(ws, "finished", name, settings={"learning_rate": 1e-4 if name == "slow" else 1e-2})
    put_model(ws, "student")
    put_checkpoints(ws, "student")
    create_map(ws, MapSettings(embedder="words"), Steps())
    assert execute_run(ws, {"embedder": "words"}, "measure").state == "finished"
    ws.close()
    ws = starter_workspace(folder / "compared")
    add_topics(ws, 12)
    create_map(ws, MapSettings(embedder="words"), Steps())
    file = folder.parent / "bread.csv"
    sails = [f"Steer boat {n} through the harbor by wind, sail and rope." for n in range(30)]
    file.write_text("prompt,response\n" + "".join(f'"{text}",So.\n' for text in (*BREAD, *sails)))
    compare(ws, file)
    ws.close()
    return folder


def test_the_second_edit_of_the_taxonomy_is_offered_for_undo(page, server, studio_home):
    visit(page, server, "/taxonomy?workspace=demo&view=Outline", "Taxonomy")
    page.get_by_role("tab", name="Changes").click()
    expect(page.get_by_text("Select an edit to undo it.", exact=False)).to_be_visible()
    edits = page.get_by_test_id("stDataFrame").count() - 1
    click_row(page, 1, edits)
    expect(page.get_by_role("button", name="Undo: Music renamed to First")).to_be_visible()
    click_row(page, 0, edits)
    expect(page.get_by_role("button", name="Undo: First renamed to Second")).to_be_visible()


def test_training_runs_are_added_to_a_comparison_row_by_row(page, server):
    visit(page, server, "/train?workspace=demo&train_view=Compare", "Train")
    expect(page.get_by_text("Differing settings")).to_be_visible()
    click_row(page, 1)
    expect(page.get_by_text("Select another run to compare settings.")).to_be_visible()
    click_row(page, 0)
    expect(page.get_by_text("Differing settings")).to_be_visible()
    click_row(page, 1)
    expect(page.get_by_text("Select another run to compare settings.")).to_be_visible()


def test_the_second_checkpoint_is_what_buttons_and_address_name(page, server):
    visit(page, server, "/models?workspace=demo&model=student", "Models")
    click_row(page, 1, "Checkpoints, first steps first")
    expect(page).to_have_url(re.compile(r"[?&]step=80(&|$)"))
    page.locator(".st-key-delete_checkpoint button").first.click()
    expect(page.get_by_role("button", name=re.compile("Remove step 80"))).to_be_visible()
    page.keyboard.press("Escape")
    page.get_by_test_id("stMain").get_by_role("button", name="Chat").nth(1).click()
    expect(page.get_by_text("student, step 80").first).to_be_visible()


def test_disciplines_of_the_saturation_are_added_row_by_row(page, server):
    visit(page, server, "/diversity?workspace=demo&diversity_view=Metrics", "Diversity")
    curves = page.locator(".js-plotly-plot").last.locator(".scatterlayer .trace")
    number = curves.count()
    click_row(page, 1, "Saturation by discipline")
    expect(curves).to_have_count(1)
    click_row(page, 0, "Saturation by discipline")
    expect(curves).to_have_count(2)
    assert number != 1


def test_the_second_question_of_a_cluster_is_read(page, server, studio_home):
    visit(page, server, "/diversity?workspace=demo", "Diversity")
    click_row(page, 1)
    expect(page.get_by_role("button", name="Zoom to selection")).to_be_visible()
    click_row(page, 1)
    expect(page).to_have_url(re.compile("[?&]pair=qst-"))
    expect(page.get_by_role("button", name="Open in Homework")).to_be_visible()


def test_the_second_row_of_every_table_of_a_comparison_is_shown(page, server):
    visit(page, server, "/diversity?workspace=compared&diversity_view=Compare", "Diversity")
    click_row(page, 1, "Topics that only the other dataset covers")
    expect(page.get_by_text(re.compile("^bread, question"))).to_be_visible()
    press(page, "Back")
    click_row(page, 1, "Questions")
    expect(page.get_by_text(re.compile("^bread, question"))).to_be_visible()
    press(page, "Back")
    page.get_by_text("Wording only here", exact=True).last.click()
    expect(page.get_by_text("Clusters without a row of it.", exact=False)).to_be_visible()
    click_row(page, 1, "Questions")
    expect(page).to_have_url(re.compile("[?&]pair=qst-"))
    press(page, "Back")
    click_row(page, 1, "Clusters without rows of the other dataset")
    expect(page.get_by_text("12 here, 0 in bread", exact=True)).to_be_visible()
    click_row(page, 1, "Questions")
    expect(page).to_have_url(re.compile("[?&]pair=qst-"))


def test_a_second_run_of_the_history_is_compared_with_the_first(page, server):
    visit(page, server, "/runs?workspace=demo&runs_view=History", "Runs")
    click_row(page, 1)
    expect(page.get_by_role("heading", level=2, name=re.compile("^Run "))).to_be_visible()
    click_row(page, 2)
    expect(page.get_by_role("heading", level=2, name="2 runs compared")).to_be_visible()
    click_row(page, 1)
    expect(page.get_by_role("heading", level=2, name="2 runs compared")).to_have_count(0)
