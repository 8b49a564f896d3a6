"""The Benchmarks view of the Evaluate page: what it says before anything was asked, its form, its scores, its questions."""

import shlex

import pytest
from support.benchmark_files import write_all
from support.benchmark_rows import EVIL, put_scores
from support.model_rows import put_model
from support.studio_app import Studio

from glan_core.cli import build_parser
from glan_core.cli.evaluate_bench import _settings
from glan_core.evaluation.benchmarks.item_store import FOLDER
from glan_core.workspace import run_rows

pytest_plugins = ["support.studio_fixtures"]


@pytest.fixture(autouse=True)
def no_cache(monkeypatch, tmp_path_factory):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path_factory.mktemp("hub")))


@pytest.fixture
def ws(starter_ws):
    put_model(starter_ws, "student")
    return starter_ws


def bench() -> Studio:
    return Studio("evaluate", evaluate_view="Benchmarks")


def view(shown: Studio, name: str) -> Studio:
    shown.app.session_state["bench_view"] = name
    shown.app.run()
    return shown


def test_without_scores_and_data_it_says_what_would_bring_them(ws):
    shown = bench()
    assert shown.fine and "No benchmark scores yet" in shown.said
    assert "hf download --repo-type dataset openai/gsm8k" in shown.said and str(ws.folder / "benchmarks") in shown.said
    assert set(shown.table("here")["here"].map(tuple)) == {("missing",)}
    assert "Select a benchmark." in shown.said and "Run benchmarks" not in shown.labels()


def test_without_a_model_it_says_where_one_comes_from(starter_ws):
    shown = bench()
    assert shown.fine and "Fine-tune one on the Train page" in shown.said and "Select a model." in shown.said


def test_what_is_here_is_chosen_and_can_be_asked(ws, launched):
    write_all(ws.folder / "benchmarks")
    shown = bench()
    states = dict(zip(shown.table("here")["title"], shown.table("here")["here"].map(lambda value: value[0])))
    assert states["GSM8K"] == "here" and states["MMLU"] == "in part" and states["HumanEval"] == "here"
    shown.app.multiselect(key="run_bench_benchmarks").set_value(["gsm8k", "mmlu"]).run()
    shown.app.number_input(key="run_bench_limit").set_value(10).run()
    command = next(one for one in shown.commands if one.startswith("glan evaluate bench"))
    settings = _settings(build_parser().parse_args(shlex.split(command)[1:]))
    shown.press("Run 2 benchmarks on 2 models")
    [run] = run_rows.runs(ws.db, 1)
    assert launched == [run.id] and run.kind == "bench" and run.params == settings.model_dump(mode="json")
    assert run.params["models"] == ["tuned:student", "base:student"] and run.params["benchmarks"] == ["gsm8k", "mmlu"]
    assert run.params["limit"] == 10 and not run.params["run_code"]
    assert shown.fine and "starting" in shown.said and "Run 2 benchmarks on 2 models" not in shown.labels()


def test_code_is_run_only_after_a_warning(ws):
    write_all(ws.folder / "benchmarks")
    shown = bench()
    assert "humaneval" not in shown.app.multiselect(key="run_bench_benchmarks").value
    shown.app.multiselect(key="run_bench_benchmarks").set_value(["humaneval"]).run()
    assert "HumanEval: turn on execution of generated code" in shown.said and "Run benchmarks" not in shown.labels()
    assert "will be executed on this machine" not in shown.said
    shown.app.toggle(key="run_bench_code").set_value(True).run()
    assert "will be executed on this machine, in a sandbox" in shown.said and "Run 1 benchmark on 2 models" in shown.labels()


def test_missing_data_keep_the_run_from_starting(ws):
    shown = bench()
    shown.app.multiselect(key="run_bench_benchmarks").set_value(["bbh"]).run()
    assert "Some of these benchmarks are not on this machine" in shown.said and not [
        label for label in shown.labels() if label.startswith("Run ")
    ]


def test_scores_of_tuned_and_base_in_both_ways(ws):
    put_scores(ws)
    shown = bench()
    assert shown.fine and "lm-eval 0.4.13" in shown.said and "the first 100 rows per benchmark" in shown.said
    table = shown.table("tuned:student").set_index("row")
    assert table.loc["MMLU, generated", "tuned:student"] == pytest.approx(74)
    assert table.loc["MMLU, probability", "tuned:student"] == pytest.approx(59)
    assert table.loc["MMLU, probability", "base:student"] == pytest.approx(62)
    assert list(table.index[:2]) == ["GSM8K", "MATH"] and "do not compare" not in shown.said


def test_the_papers_scores_stand_beside_when_asked(ws):
    put_scores(ws)
    shown = bench()
    shown.app.toggle(key="bench_paper").set_value(True).run()
    assert shown.fine and "under the paper's own protocol" in shown.said
    assert "WizardMath v1.1" in shown.app.get("plotly_chart")[0].proto.spec


@pytest.mark.long
def test_mmlu_by_its_groups_and_bbh_by_task(ws):
    put_scores(ws)
    shown = bench()
    shown.app.session_state["bench_of"] = "mmlu"
    shown.app.run()
    assert shown.fine and "MMLU** from generated text" in shown.said and "0-shot" in shown.said
    rows = list(shown.table("tuned:student")["row"])
    assert rows[:5] == [f"{name}, generated" for name in ("All", "STEM", "Humanities", "Social sciences", "Other")]
    assert "Abstract algebra, probability" in rows
    shown.app.session_state["bench_of"] = "bbh"
    shown.app.run()
    assert shown.fine and "Word sorting" in set(shown.table("tuned:student")["row"])


def test_scores_that_do_not_compare_are_marked(ws):
    put_scores(ws)
    put_scores(ws, "other", limit=5)
    shown = bench()
    assert shown.fine and "are not comparable" in shown.said


def test_questions_with_what_was_said_taken_and_right(ws):
    put_scores(ws)
    shown = view(bench(), "Questions")
    assert shown.fine and "Model output" in shown.said and "Extracted answer" in shown.said
    said = [code.value for code in shown.app.code]
    assert any(EVIL in text for text in said), "shown as it is"
    assert not [text.value for text in shown.app.markdown if "evil.example" in text.value], "but nowhere as Markdown"
    assert len(shown.table("question")) == 4
    shown.app.session_state["bench_judged"] = "Wrong"
    shown.app.run()
    assert shown.fine and set(shown.table("question")["right"]) == {"✗"} and len(shown.table("question")) == 2


def test_questions_with_options_show_how_likely_each_was(ws):
    put_scores(ws)
    shown = view(bench(), "Questions")
    shown.app.selectbox(key="bench_asked").set_value(("mmlu", "probability")).run()
    assert shown.fine and list(shown.table("chance")["option"]) == ["A", "B", "C", "D"] and "Most likely option" in shown.said
    shown.app.selectbox(key="bench_part").set_value("virology").run()
    assert shown.fine and len(shown.table("question")) == 3 and "Virology" in shown.said


def test_code_shows_its_tests_and_why_it_failed(ws):
    put_scores(ws)
    shown = view(bench(), "Questions")
    shown.app.selectbox(key="bench_asked").set_value(("humaneval", "generated")).run()
    shown.app.session_state["bench_judged"] = "Wrong"
    shown.app.run()
    assert shown.fine and "Unit tests" in shown.said and "AssertionError" in shown.said


def test_questions_that_are_gone_are_said_to_be(ws):
    put_scores(ws)
    for file in (ws.folder / FOLDER).glob("*.jsonl"):
        file.unlink()
    shown = view(bench(), "Questions")
    assert shown.fine and "were deleted; the score is kept" in shown.said


def test_scores_of_few_rows_are_gray_with_their_number(demo_ws):
    put_model(demo_ws, "student")
    put_scores(demo_ws, "student")

    def styles() -> str:
        shown = Studio("evaluate", evaluate_view="Benchmarks")
        assert shown.fine
        board = next(frame for frame in shown.app.dataframe if "row" in frame.value.columns)
        return (board.proto.arrow_data.styler if hasattr(board.proto, "arrow_data") else board.proto.styler).styles

    assert "gray" not in styles()
    with demo_ws.write() as db:
        db.execute(
            "UPDATE benchmark_scores SET score = 0, number = 4 WHERE benchmark = 'humaneval' AND model = 'tuned:student' AND part = ''"
        )
    assert styles().count("gray") == 1
