"""Estimates of judging and of scaling studies: the token limit counts, and nothing starts without steps, calls and time."""

import pytest
from support.runs import execute_run
from support.training_fixtures import tiny_order

from glan_core.dataset.glan_test_store import list_tests
from glan_core.evaluation.judge.pairwise import plan_judging
from glan_core.evaluation.scaling_plan import plan_study
from glan_core.evaluation.settings import PairwiseJudgeSettings, ScalingSettings
from glan_core.generation.estimates import TYPICAL_MARGIN, TokenLimit, estimate_call
from glan_core.models.tuned_model_store import list_models
from glan_core.workspace import match_rows

pytest_plugins = ["support.training_fixtures"]

ANSWER = "answer_ours"


def put_calls(ws, teacher: str, stage: str, number: int, tokens_out: int, seconds: float) -> None:
    """Store the totals of some calls."""
    with ws.write() as db:
        db.execute("INSERT INTO call_totals VALUES (?, ?, ?, ?, ?, ?)",
                   (teacher, stage, number, 50 * number, tokens_out * number, round(1000 * seconds * number)))  # fmt: skip


def test_a_lower_limit_shortens_calls_and_a_higher_one_does_not_if_they_were_not_cut(ws):
    put_calls(ws, "local:a", ANSWER, 50, tokens_out=200, seconds=10)
    plain = estimate_call(ws, "local:a", ANSWER)
    assert (plain.tokens_out, plain.seconds) == (200, 10)
    half = estimate_call(ws, "local:a", ANSWER, TokenLimit(100, 512))
    assert (half.tokens_out, half.seconds) == (100, 5)
    assert estimate_call(ws, "local:a", ANSWER, TokenLimit(1000, 512)) == plain


def test_calls_that_were_cut_say_little_about_a_higher_limit(ws):
    put_calls(ws, "local:a", ANSWER, 50, tokens_out=20, seconds=1)
    raised = estimate_call(ws, "local:a", ANSWER, TokenLimit(512, 20))
    assert raised.tokens_out > 200 and raised.seconds == pytest.approx(raised.tokens_out / 20)
    assert estimate_call(ws, "local:a", ANSWER, TokenLimit(20, 20)).tokens_out == 20


def test_local_weights_without_calls_have_the_speed_of_others_of_the_workspace(ws):
    assert not estimate_call(ws, "local:new", ANSWER).timed
    put_calls(ws, "local:old", ANSWER, 30, tokens_out=100, seconds=5)  # 20 tokens/s
    new = estimate_call(ws, "local:new", ANSWER)
    assert new.timed and not new.known and new.margin == TYPICAL_MARGIN and new.tokens_out / new.seconds == pytest.approx(20)
    assert not estimate_call(ws, "openai:new", ANSWER).timed, "an endpoint is not local weights"


@pytest.fixture
def tested(taught):
    """The workspace with a test."""
    if not list_tests(taught):
        assert execute_run(taught, {"name": "exam", "questions": 3, "snapshot": "first"}, "glan-test").state == "finished"
    return taught


def test_judging_twice_as_many_tokens_takes_longer(tested):
    settings = {"test": "exam", "ours": "scripted", "other": "reference"}
    assert execute_run(tested, settings | {"answer_tokens": 8}, "judge-models").state == "finished"
    assert match_rows.matches(tested.db)[0].about["tokens"] == 8
    short, long = (plan_judging(tested, PairwiseJudgeSettings(**settings, answer_tokens=most)) for most in (9, 400))
    assert short.calls == long.calls and short.stages[0].tokens_out <= 9 and long.stages[0].tokens_out > 100


@pytest.mark.slow
def test_a_study_is_planned_with_steps_calls_and_time_and_without_the_models_that_exist(tested):
    tune = {name: value for name, value in tiny_order("x").items() if name not in ("name", "rows", "kind")}
    settings = ScalingSettings(name="study", finetune=tune, shares=(0.5, 1.0), judge={"test": "exam"})
    made = plan_study(tested, settings)
    rows = [n for n in (made.models, made.steps, made.calls)]
    assert made.models == 2 and made.steps > 10 and made.calls == 2 * 3 * 3, (
        rows
    )  # an answer and two verdicts per question and model
    assert made.usd == (0.0, 0.0) and made.training_seconds[1] <= 3.01 * made.training_seconds[0]
    only_loss = plan_study(tested, settings.model_copy(update={"judge": None}))
    assert only_loss.calls == 0 and only_loss.seconds == only_loss.training_seconds
    done = execute_run(tested, settings.model_dump(mode="json"), "scaling")
    assert done.state == "finished", done.message
    assert {model.name for model in list_models(tested)} >= {
        "study-" + str(n) for n in (model.rows for model in list_models(tested)[:2])
    }
    again = plan_study(tested, settings)
    assert (again.models, again.steps) == (0, 0)
