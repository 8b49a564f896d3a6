"""Every table with a selection in a real browser: a click anywhere on the second row is what panel and address then show."""

import re
from pathlib import Path

import pytest
from support.benchmark_rows import put_scores
from support.browser_driver import chrome, click_row, expect, still, visit
from support.child_servers import ROOT
from support.demo import small_demo
from support.model_rows import add_training, put_model
from support.runs import execute_run
from support.studio_app import add_run, draw_map

from glan_core.evaluation.judge import match_statistics
from glan_core.teachers import connections
from glan_core.workspace import Workspace, match_rows
from pages.components.evaluate import match_questions

pytest_plugins = ["support.browser_fixtures"]
pytestmark = [pytest.mark.browser, pytest.mark.long]
TABLE = re.compile(r"selection_mode=\"(single|multi)-row")


@pytest.fixture(scope="module")
def studio_home(tmp_path_factory):
    """The demo workspace with two rows in every table; made before the loop of Playwright runs."""
    chrome()
    folder = tmp_path_factory.mktemp("browser") / "home"
    small_demo(folder / "demo").close()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GLAN_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        for name in ("first", "second"):
            connections.save_connection(
                connections.Connection(name=name, model=f"openai:{name}", base_url="http://127.0.0.1:9/v1")
            )
        ws = Workspace.open(folder / "demo")
        for nth, name in enumerate(("older", "newer")):
            put_model(ws, name, created_at=5.0 + nth)
            execute_run(ws, {"name": f"test-{nth}", "questions": 3}, "glan-test")
            execute_run(ws, {"name": f"snap-{nth}"}, "snapshot")
            add_training(ws, "finished", name)
        execute_run(ws, {"test": "test-0", "ours": "scripted", "other": "reference", "answer_tokens": 30}, "judge-models")
        put_scores(ws, "newer")
        add_run(ws, "finished", "one")
        add_run(ws, "finished", "two")
        draw_map(ws)
        ws.close()
        yield folder


@pytest.fixture(scope="module")
def ws(studio_home):
    opened = Workspace.open(studio_home / "demo")
    yield opened
    opened.close()


def parameter(page, name: str) -> str | None:
    """Return the value of a parameter in the address."""
    found = re.search(rf"[?&]{name}=([^&]*)", page.url)
    return found and found.group(1)


def follows(page, parameter_name: str, value: str) -> None:
    expect(page).to_have_url(re.compile(rf"[?&]{parameter_name}={re.escape(value)}(&|$)"))
    still(page)


@pytest.mark.slow
@pytest.mark.parametrize("x", [16, 60], ids=["box", "cell"])
@pytest.mark.parametrize(
    ("path", "name", "second", "heading"),
    [
        ("/models?workspace=demo", "model", "older", "older"),
        ("/dataset?workspace=demo&dataset_view=Snapshots", "snapshot", "snap-0", None),
        ("/evaluate?workspace=demo&evaluate_view=Judge", "test", "test-0", None),
        ("/connections?workspace=demo", "connection", "second", "@second"),
    ],
)  # fmt: skip
def test_the_second_row_is_what_the_panel_and_the_address_show(page, server, path, name, second, heading, x):
    visit(page, server, path, path[1:].split("?")[0].capitalize())
    click_row(page, 1, x=x)
    follows(page, name, second)
    if heading:
        expect(page.get_by_role("heading", level=2, name=heading, exact=True)).to_be_visible()
    else:
        expect(page.get_by_test_id("stMain").get_by_text(second, exact=True).locator("visible=true").first).to_be_visible()
    click_row(page, 0, x=x)
    expect(page).not_to_have_url(re.compile(f"{name}={second}"))
    visit(page, server, f"{path}&{name}={second}", path[1:].split("?")[0].capitalize())
    follows(page, name, second)  # a link opens the same selection


@pytest.mark.slow
def test_the_second_model_of_the_leaderboard_and_question_of_a_match(page, server, ws):
    visit(page, server, "/evaluate?workspace=demo&evaluate_view=Leaderboard", "Evaluate")
    before = page.get_by_role("heading", level=2).first.inner_text()
    click_row(page, 1)
    expect(page.get_by_role("heading", level=2).first).not_to_have_text(before)
    chosen = parameter(page, "model")
    [match] = match_rows.matches(ws.db)
    frame = match_statistics.item_frame(ws, match).sort_values("difference", na_position="last", ignore_index=True)
    visit(page, server, "/evaluate?workspace=demo&evaluate_view=Questions", "Evaluate")
    click_row(page, 1, height=match_questions.LINES)
    follows(page, "question", frame["item"][1])
    expect(page.locator(".st-key-question")).to_contain_text(frame["question"][1].split("\n")[0][:30])
    assert chosen


@pytest.mark.parametrize(
    ("path", "title", "table", "name"),
    [
        ("/?workspace=demo", "Overview", 0, "focus"),
        ("/taxonomy?workspace=demo", "Taxonomy", 0, "focus"),
        ("/syllabi?workspace=demo", "Syllabi", 0, "focus"),
        ("/syllabi?workspace=demo&focus=mathematics", "Syllabi · Mathematics", 0, "subject"),
        ("/homework?workspace=demo", "Homework", 0, "pair"),
        ("/dataset?workspace=demo&dataset_view=Funnel", "Dataset", 0, "focus"),
        ("/evaluate?workspace=demo&evaluate_view=Results", "Evaluate", 0, "focus"),
    ],
)
def test_the_second_row_of_a_table_is_the_selection_in_the_address(page, server, path, title, table, name):
    if title == "Taxonomy":
        path += "&view=Outline"
    visit(page, server, path, title)
    before = parameter(page, name)
    click_row(page, 1, table)
    page.wait_for_function("([name, before]) => new URL(location).searchParams.get(name) != before", arg=[name, before])


@pytest.mark.slow
def test_the_second_row_of_lists_without_an_address_is_what_is_shown(page, server, ws):
    visit(page, server, "/runs?workspace=demo&runs_view=History", "Runs")
    click_row(page, 1)
    expect(
        page.get_by_role("heading", name=re.compile("one$")).or_(page.get_by_text(re.compile("Run .*one"))).first
    ).to_be_visible()
    visit(page, server, "/evaluate?workspace=demo&evaluate_view=Benchmarks&bench_view=Questions", "Evaluate")
    expect(page.get_by_text("Prompt", exact=True)).to_be_visible()
    shown = page.get_by_test_id("stCode").first
    before = shown.inner_text()
    click_row(page, 1)
    expect(shown).not_to_have_text(before)
    visit(page, server, "/diversity?workspace=demo", "Diversity")
    click_row(page, 1)
    expect(page.get_by_role("button", name="Zoom to selection")).to_be_visible()
    visit(page, server, "/", "Overview")
    recent = page.get_by_test_id("stDataFrame").count() - 1
    click_row(page, 1, recent)
    expect(page.get_by_role("heading", level=1, name="Runs", exact=True)).to_be_visible()
    follows(page, "run", str(max(run for (run,) in ws.db.execute("SELECT id FROM runs")) - 1))


def test_no_table_has_a_selection_of_its_own():
    """Rows of Streamlit are selected by their box only, and a click on the row beside it changes nothing."""
    own = [str(file.relative_to(ROOT)) for file in Path(ROOT / "pages").rglob("*.py") if TABLE.search(file.read_text("utf-8"))]
    assert own == []
