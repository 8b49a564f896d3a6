"""Result cards: a conclusion is never more certain than the data; planted cases that invite a wrong one."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from glan_core.evaluation.judge import result_card
from glan_core.evaluation.judge.length_control import fit_logistic, length_control
from glan_core.evaluation.judge.match_statistics import Missing, Outcome, conclude, outcomes_by, result_sentence
from glan_core.workspace.match_rows import Match

RNG = np.random.default_rng(0)


def outcome(difference=1.0, low=0.5, high=1.5, judged=24, wins=16, losses=4, disagreement=0.1) -> Outcome:
    return Outcome(
        judged, judged, 6.0, 6.0 - (difference or 0), difference, low, high, wins, losses, judged - wins - losses, disagreement
    )


def gaps(cut: int = 0) -> Missing:
    none = {"answer_ours": 0, "answer_other": 0}
    return Missing({}, {}, none, none, {"answer_ours": cut, "answer_other": 0})


def card(
    found: Outcome, about: dict | None = None, *, cut: int = 0, length=None, judge: str = "openai:gpt"
) -> result_card.ResultCard:
    match = Match("mat-1", "first", "sha256:abc", "tuned:a|b", "k1", "base:a|b", "k2", judge, about or {}, 1, 1.0)
    frame = pd.DataFrame(
        [{"name": "Music | Art", "difference": 1.0, "ours_1": 6, "other_1": 5, "ours_2": 6, "other_2": 5, "agree": True}]
    )
    return result_card.ResultCard(match, found, gaps(cut), length, outcomes_by(frame, "name"))


@pytest.mark.parametrize(
    ("found", "conclusion", "said"),
    [
        (outcome(), "higher", "A scored higher than B: +1.00 points (95% interval +0.50 to +1.50) on 24 questions."),
        (outcome(-1.0, -1.5, -0.5), "lower", "A scored lower than B: -1.00 points"),
        (outcome(0.6, -0.1, 1.3), "no difference", "No detectable difference between A and B: +0.60 points"),
        (outcome(0.6, 0.0, 1.3), "no difference", "(95% interval 0.00 to +1.30)"),
        (outcome(0.0, 0.0, 0.0, wins=0, losses=0), "no difference", "0.00 points (95% interval 0.00 to 0.00)"),
        (outcome(4.0, None, None, judged=4, wins=4, losses=0), "too few", "Too few questions to compare A with B: +4.00 points on 4 questions"),
        (outcome(None, None, None, judged=0, wins=0, losses=0), "none", "No question has both verdicts yet."),
    ],
)  # fmt: skip
def test_a_winner_is_named_only_if_the_interval_excludes_0(found, conclusion, said):
    assert conclude(found) == conclusion and said in result_sentence("A", "B", found)


def test_what_limits_a_conclusion_is_said():
    leak = {"given_away": {"answer_ours": {"number": 3, "rows": 80, "snapshot": "s"}}, "tokens": 64}
    said = " ".join(result_card.limits(card(outcome(disagreement=0.6), leak, cut=24, judge="scripted")))
    for words in ("3 rows that leak questions of this test (of 80)", "24 answers of a|b were cut off at 64 tokens: raise max new tokens",
                  "changed its preference with the order of the answers on 60%", "does not measure quality"):  # fmt: skip
        assert words in said
    assert "the expected difference is 0" in result_card.limits(card(outcome(), {"same": True}))[0]
    assert result_card.limits(card(outcome())) == []


def test_the_card_is_a_document_of_its_own():
    text = result_card.to_markdown(card(outcome(), cut=2, length=length_control([1.0] * 4, [5] * 4, [3] * 4)))
    assert text.startswith(r"# a\|b vs a\|b (base)") and "scored higher than" in text and r"Music \| Art" in text
    assert "| Win rate of A | 67% (47% to 82%) |" in text and "| Win rate at equal length | – |" in text
    assert "| Cut answers of A | 2 |" in text and "too few" in text.splitlines()[-1]


def test_the_logistic_fit_equals_that_of_scikit_learn():
    x = RNG.normal(size=400)
    y = (RNG.random(400) < 1 / (1 + np.exp(-(0.4 + 1.5 * x)))).astype(float)
    model = LogisticRegression(C=1.0, tol=1e-10, max_iter=1000).fit(x[:, None], y)  # its intercept has no penalty
    intercept, slope = fit_logistic(x, y)
    assert (intercept, slope) == pytest.approx((model.intercept_[0], model.coef_[0, 0]), abs=1e-4)


def test_the_win_rate_at_equal_length_equals_that_of_scikit_learn():
    """Ties count half a win: for scikit-learn, a won and a lost question of half the weight each."""
    ours, other = RNG.integers(100, 900, 200), RNG.integers(100, 700, 200)
    differences = RNG.integers(-2, 3, 200) + np.sign(ours - other)
    scaled = np.tanh((ours - other) / (ours - other).std())[:, None]
    wins, ties = np.sign(differences), differences == 0
    x = np.concatenate([scaled, scaled[ties]])
    y = np.concatenate([wins >= 0, np.zeros(ties.sum(), bool)])
    weights = np.concatenate([np.where(ties, 0.5, 1.0), np.full(ties.sum(), 0.5)])
    model = LogisticRegression(C=1.0, tol=1e-10, max_iter=1000).fit(x, y, weights)
    found = length_control(differences, ours, other)
    assert ties.any() and found.win_rate == pytest.approx(1 / (1 + np.exp(-model.intercept_[0])), abs=1e-4)


def test_a_model_that_wins_by_length_wins_half_at_equal_length():
    ours, other = RNG.integers(100, 900, 300), RNG.integers(100, 500, 300)
    found = length_control(np.sign(ours - other), ours, other)
    assert found.longer > 0.7 and found.low < 0.5 < found.high and abs(found.win_rate - 0.5) < 0.15


def test_a_model_that_wins_at_any_length_wins_at_equal_length():
    ours, other = RNG.integers(100, 900, 300), RNG.integers(100, 500, 300)
    wins = np.where(RNG.random(300) < 0.8, 1, -1)
    found = length_control(wins, ours, other)
    assert found.win_rate == pytest.approx(0.8, abs=0.08) and found.low > 0.65 and found.low < found.win_rate < found.high


@pytest.mark.parametrize(("longer", "known"), [(0, False), (2, False), (3, True), (9, True), (10, False), (12, False)])
def test_a_preference_is_not_separated_from_length_if_one_side_is_always_longer(longer, known):
    ours = [200] * longer + [100] * (12 - longer)
    found = length_control([1.0, -1.0] * 6, ours, [150] * 12)
    assert (found.win_rate is not None) == known and found.longer == pytest.approx(longer / 12)
    assert length_control([1.0] * 9, [200] * 4 + [100] * 5, [150] * 9).win_rate is None  # fewer than 10 questions
    assert length_control([], [], []) is None


def test_a_reversed_preference_at_equal_length_is_said():
    length = dataclasses.replace(length_control([1.0], [2], [1]), win_rate=0.3, low=0.2, high=0.4)
    assert "At equal length, the preference is reversed." in result_card.limits(card(outcome(), length=length))


@pytest.mark.parametrize(
    ("ours", "other", "said"),
    [(300, 200, "a|b gave the longer answer on 100%"), (100, 200, "a|b (base) gave the longer answer on 100%"), (200, 200, "")],
)
def test_who_always_gives_the_longer_answer_is_said(ours, other, said):
    limits = result_card.limits(card(outcome(), length=length_control([1.0] * 12, [ours] * 12, [other] * 12)))
    assert " ".join(limits).startswith(said) and bool(limits) == bool(said)
