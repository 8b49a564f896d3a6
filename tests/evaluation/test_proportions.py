"""Wilson intervals equal scipy's, and scores, win rates and disagreement are shown with them."""

import pytest
from scipy.stats import binomtest

from glan_core.evaluation.benchmarks.score_frames import scores_frame
from glan_core.evaluation.judge.match_statistics import Outcome
from glan_core.evaluation.proportions import wilson_interval
from glan_core.workspace.benchmark_score_rows import Score


@pytest.mark.parametrize("number", [1, 2, 3, 5, 10, 37, 164, 1000, 100_000])
def test_it_equals_that_of_scipy(number):
    for successes in {0, 1, number // 3, number // 2, number - 1, number}:
        interval = binomtest(successes, number).proportion_ci(0.95, method="wilson")
        assert wilson_interval(successes, number) == pytest.approx((interval.low, interval.high), abs=1e-12)
    assert wilson_interval(0, 0) is None


def test_it_is_never_empty_and_stays_between_0_and_1():
    for successes in (0, 4, 0.5):
        low, high = wilson_interval(successes, 4)
        assert 0 <= low < high <= 1


def test_benchmark_scores_have_it():
    score = Score("tuned:a", "h", "humaneval", "generated", "", 0.0, 0.0, 20, {}, None, 1.0)
    row = scores_frame([score]).iloc[0]
    assert (row["low"], row["high"]) == (0.0, pytest.approx(100 * binomtest(0, 20).proportion_ci(method="wilson").high))


def test_win_rates_have_it():
    found = Outcome(8, 8, 5.0, 4.0, 1.0, None, None, 8, 0, 0, 0.0)
    assert found.win_rate == 1.0 and found.win_interval == pytest.approx(tuple(binomtest(8, 8).proportion_ci(method="wilson")))
    assert found.disagreement_interval == pytest.approx(tuple(binomtest(0, 8).proportion_ci(method="wilson")))
    assert Outcome(3, 0, None, None, None, None, None, 0, 0, 0, None).win_interval is None
