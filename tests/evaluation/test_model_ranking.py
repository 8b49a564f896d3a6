"""Bradley-Terry ratings equal those of choix, and say no more than the comparisons show."""

import choix
import numpy as np
import pytest
from support.runs import execute_run

from glan_core.chat import preferences
from glan_core.evaluation import model_ranking
from glan_core.evaluation.model_ranking import Comparison, agreement, fit_strengths, rank_models
from glan_core.workspace import chat_rows
from glan_core.workspace.chat_rows import Reply

MODELS = ("tuned:a", "tuned:b", "base:a", "reference")


def drawn(number: int, strengths=(1.0, 0.4, -0.4, -1.0), ties: float = 0.2, seed: int = 0) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    first = rng.integers(len(strengths), size=number)
    second = (first + rng.integers(1, len(strengths), size=number)) % len(strengths)
    p = 1 / (1 + np.exp(np.take(strengths, second) - np.take(strengths, first)))
    share = np.where(rng.random(number) < ties, 0.5, (rng.random(number) < p).astype(float))
    return first, second, share


def wins_of(first, second, share) -> list[tuple[int, int]]:
    """Return (winner, loser) for choix, which knows no ties: every win twice, a tie once for each side."""
    return [
        pair for i, j, s in zip(first.tolist(), second.tolist(), share.tolist(), strict=True)
        for pair in ([(i, j), (j, i)] if s == 0.5 else [(i, j) if s else (j, i)] * 2)
    ]  # fmt: skip


@pytest.mark.parametrize("seed", range(5))
def test_strengths_equal_those_of_choix(seed):
    first, second, share = drawn(300, seed=seed)
    expected = choix.ilsr_pairwise(4, wins_of(first, second, share), alpha=0, tol=1e-10)
    assert fit_strengths(first, second, share, 4, ridge=0) == pytest.approx(expected - expected.mean(), abs=1e-6)


def test_with_a_penalty_they_equal_the_penalized_optimum_of_choix():
    first, second, share = drawn(40, ties=0)
    wins = [(i, j) if s else (j, i) for i, j, s in zip(first.tolist(), second.tolist(), share.tolist(), strict=True)]
    expected = choix.opt_pairwise(4, wins, alpha=0.5, method="BFGS", tol=1e-9)
    assert fit_strengths(first, second, share, 4, ridge=1.0) == pytest.approx(expected - expected.mean(), abs=1e-4)


def as_comparisons(first, second, share, source="verdicts") -> list[Comparison]:
    return [
        Comparison(MODELS[i], MODELS[j], s, source)
        for i, j, s in zip(first.tolist(), second.tolist(), share.tolist(), strict=True)
    ]


def test_intervals_cover_the_true_ratings_and_ranks_are_shared_where_they_overlap():
    true = model_ranking.CENTER + model_ranking.SCALE * np.array([1.0, 0.4, -0.4, -1.0])
    covered = 0
    for seed in range(10):
        rated = {row.model: row for row in rank_models(as_comparisons(*drawn(400, ties=0, seed=seed)))}
        covered += sum(rated[model].low <= value <= rated[model].high for model, value in zip(MODELS, true, strict=True))
    assert covered >= 34  # 95% of 40, less what 10 draws may miss
    few = rank_models(as_comparisons(*drawn(30, strengths=(0.1, 0, 0, 0), seed=1)))
    assert [row.rank for row in few] == [1] * 4
    many = rank_models(as_comparisons(*drawn(4000, strengths=(2.0, 0.7, -0.7, -2.0))))
    assert [(row.model, row.rank) for row in many] == list(zip(MODELS, (1, 2, 3, 4), strict=True))


def test_models_without_a_common_scale_and_few_comparisons_have_no_rating_or_interval():
    found = (
        [Comparison("a", "b", 1.0, "votes")] * 9
        + [Comparison("x", "y", 1.0, "votes")] * 2
        + [Comparison("b", "c", 1.0, "votes")]
    )
    rated = rank_models(found)
    assert [row.model for row in rated] == ["a", "b", "c"] and np.isfinite([row.rating for row in rated]).all()
    assert [row.low is None for row in rated] == [True, False, True] and [row.number for row in rated] == [9, 10, 1]
    assert {row.rank for row in rated} == {1} and rank_models([]) == []


def test_agreement_is_by_pairs_that_both_compared():
    found = [
        *[Comparison("a", "b", share, "verdicts") for share in (1, 1, 0.5, 0)], *[Comparison("b", "a", share, "votes") for share in (0, 0, 1)],
        Comparison("a", "c", 1, "verdicts"), Comparison("c", "a", 1, "votes"), Comparison("a", "reference", 1, "verdicts"),
    ]  # fmt: skip
    result = agreement(found)
    assert result.pairs == (("a", "b", 0.625, pytest.approx(2 / 3), 4, 3), ("a", "c", 1.0, 0.0, 1, 1)) and result.same == 1


def test_comparisons_come_from_verdicts_and_from_votes_on_complete_replies(ws, settings):
    execute_run(ws, settings("mathematics", "music", questions_per_syllabus=25))
    execute_run(ws, {"name": "first", "questions": 5}, "glan-test")
    assert (
        execute_run(ws, {"test": "first", "ours": "scripted", "other": "reference", "answer_tokens": 20}, "judge-models").state
        == "finished"
    )
    assert len(model_ranking.comparisons(ws)) == 10
    for nth, (choice, best, finish) in enumerate(
        [("one", 0, "stop"), ("tie", None, "stop"), ("bad", None, "stop"), ("one", 1, "length")]
    ):
        with ws.write() as db:
            chat = chat_rows.add_conversation(db, f"c{nth}", {})
            turn = chat_rows.add_turn(db, chat, None, "Why?", system="")
            for pane, model in enumerate(("tuned:a", "scripted")):
                chat_rows.put_reply(db, Reply(turn, 0, pane, model, "done", "So.", "", {"finish": finish}, "", 1.0))
        preferences.vote(ws, turn, 0, choice, best, "Ada")
    votes = [one for one in model_ranking.comparisons(ws) if one.source == "votes"]
    assert votes == [Comparison("tuned:a", "scripted", 1.0, "votes"), Comparison("tuned:a", "scripted", 0.5, "votes")]
    assert {row.model for row in rank_models(model_ranking.comparisons(ws))} == {"tuned:a", "scripted", "reference"}
