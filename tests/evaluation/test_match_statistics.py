"""Match statistics by value: scores, intervals, ties, disagreement, p-values, and what is missing."""

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from glan_core.errors import GlanError
from glan_core.evaluation.judge import match_statistics
from glan_core.evaluation.judge.match_setup import CUT, OTHER, OURS, VERDICT, verdict_work
from glan_core.evaluation.judge.match_statistics import Missing, Outcome, describe_missing, outcome, outcomes_by
from glan_core.formatting import signed
from glan_core.ids import derive
from glan_core.workspace import call_rows, match_rows
from glan_core.workspace.call_rows import Failure
from glan_core.workspace.match_rows import Answer, Match, Verdict

MATCH = Match("mat-1", "t", "hash-1", "local:mine", "k-ours", "openai:theirs", "k-other", "judge", {}, None, 1.0)


def item(id: str, discipline: str = "music", **values) -> SimpleNamespace:
    """Return a test item."""
    return SimpleNamespace(**{
        "id": id, "discipline": discipline, "taxonomy": ("Arts", "Fine Arts", discipline.title()) if discipline else (),
        "group": "Academic", "subject": "Harmony", "level": "basic", "strategy": "single", "skill": "", "question": f"Q {id}?",
    } | values)  # fmt: skip


@pytest.fixture
def use_items(monkeypatch):
    """Replace the stored test by these items."""

    def use(*items, hash: str = "hash-1"):
        monkeypatch.setattr(match_statistics, "read_test", lambda ws, name: SimpleNamespace(hash=hash))
        monkeypatch.setattr(match_statistics, "read_items", lambda ws, name: list(items))

    return use


def put(ws, *verdicts: tuple[str, bool, float, float], aspects: dict | None = None) -> None:
    with ws.write() as db:
        for id, swapped, ours, other in verdicts:
            match_rows.put_verdict(db, Verdict("mat-1", id, swapped, ours, other, aspects or {}, "", 1.0))


def answer(ws, id: str, key: str, text: str = "Yes.") -> None:
    with ws.write() as db:
        match_rows.put_answer(db, Answer("hash-1", id, key, text, "x", None, 1.0))


def fail(ws, work: str, stage: str, cause: str) -> None:
    with ws.write() as db:
        call_rows.add_failure(db, Failure(work, stage, None, None, cause, "", "", 1.0))


def frame_of(*scores: tuple) -> pd.DataFrame:
    """Return an item frame from (ours_1, other_1, ours_2, other_2) rows."""
    frame = pd.DataFrame(scores, columns=["ours_1", "other_1", "ours_2", "other_2"], dtype=float)
    first, second = frame["ours_1"] - frame["other_1"], frame["ours_2"] - frame["other_2"]
    return frame.assign(difference=(first + second) / 2, agree=np.sign(first) == np.sign(second))


# ----------------------------------------------------------------------------------------------------------------- frames


def test_a_question_has_the_mean_difference_of_both_orders(ws, use_items):
    use_items(item("a"), item("b"), item("c", "", skill="Reasoning"), item("d"), item("never asked"))
    put(ws, ("a", False, 9, 3), ("a", True, 5, 4), ("b", False, 2, 8), ("c", True, 7, 7), ("c", False, 7, 7))
    put(ws, ("d", False, 6, 5), ("d", True, 3, 5))
    frame = match_statistics.item_frame(ws, MATCH).set_index("item")
    assert frame.index.tolist() == ["a", "b", "c", "d"]
    assert frame["difference"].tolist() == [3.5, pytest.approx(np.nan, nan_ok=True), 0.0, -0.5]
    assert frame.loc["a", ["ours_1", "other_1", "ours_2", "other_2"]].tolist() == [9, 3, 5, 4]
    assert frame["agree"].tolist() == [True, False, True, False]
    assert frame.loc["a", ["name", "field", "discipline"]].tolist() == ["Music", "Arts", "music"]
    assert frame.loc["c", ["name", "field", "discipline"]].tolist() == ["Reasoning", "Reasoning", ""]
    assert frame.loc["a", ["group", "subject", "level", "strategy", "skill", "question"]].tolist() == [
        "Academic", "Harmony", "basic", "single", "", "Q a?",
    ]  # fmt: skip


def test_asked_is_what_was_answered_by_either_side_judged_or_failed(ws, use_items):
    use_items(*(item(id) for id in ("ours", "other", "failed-ours", "failed-other", "judged", "not", "failed-elsewhere")))
    answer(ws, "ours", "k-ours")
    answer(ws, "other", "k-other")
    answer(ws, "not", "k-third")
    put(ws, ("judged", True, 1, 2))
    fail(ws, derive("tan", "hash-1/k-ours", "failed-ours"), OURS, "empty")
    fail(ws, derive("tan", "hash-1/k-other", "failed-other"), OTHER, "empty")
    fail(ws, derive("tan", "hash-1/k-third", "failed-elsewhere"), OURS, "empty")
    assert [one.id for one in match_statistics.asked_items(ws, MATCH)] == [
        "ours",
        "other",
        "failed-ours",
        "failed-other",
        "judged",
    ]


def test_a_test_that_was_replaced_is_an_error(ws, use_items):
    use_items(item("a"), hash="hash-2")
    with pytest.raises(GlanError, match="Test t is not the one this match was about"):
        match_statistics.asked_items(ws, MATCH)


# ---------------------------------------------------------------------------------------------------------------- outcome


def test_an_outcome_by_hand():
    frame = frame_of((9, 3, 5, 4), (2, 8, 8, 2), (4, 6, 5, 6), (5, 5, np.nan, np.nan), (7, 6, 7, 7))
    assert outcome(frame) == Outcome(
        5, 4, pytest.approx((9 + 5 + 2 + 8 + 4 + 5 + 7 + 7) / 8), pytest.approx((3 + 4 + 8 + 2 + 6 + 6 + 6 + 7) / 8),
        pytest.approx((3.5 + 0 - 1.5 + 0.5) / 4), None, None, 2, 1, 1, 0.5,
    )  # fmt: skip


def test_an_interval_needs_10_questions():
    nine, ten = (
        frame_of(*[(n % 4 + 1, 2, n % 3 + 1, 2) for n in range(9)]),
        frame_of(*[(n % 4 + 1, 2, n % 3 + 1, 2) for n in range(10)]),
    )
    assert outcome(nine).low is outcome(nine).high is None
    assert (outcome(ten).low, outcome(ten).high) == match_statistics.bootstrap_interval(ten["difference"].to_numpy())
    assert match_statistics.TRUSTED == 10


def test_nothing_judged_is_no_result():
    assert outcome(frame_of((5, 5, np.nan, np.nan))) == Outcome(1, 0, None, None, None, None, None, 0, 0, 0, None)


def test_the_interval_is_the_percentile_bootstrap_with_2000_resamples():
    values = np.random.default_rng(2).normal(1, 3, 37)
    rng = np.random.default_rng(0)
    means = np.concatenate([values[rng.integers(37, size=(200, 37))].mean(axis=1) for _ in range(10)])
    low, high = match_statistics.bootstrap_interval(values)
    assert (low, high) == pytest.approx((np.quantile(means, 0.025), np.quantile(means, 0.975)))
    assert match_statistics.bootstrap_interval(np.full(12, 0.5)) == (0.5, 0.5)


@pytest.mark.parametrize("number", [10, 37, 250])
def test_the_interval_equals_that_of_scipy_on_the_same_resamples(number):
    values = np.random.default_rng(number).integers(-9, 10, number) / 2
    peer = stats.bootstrap((values,), np.mean, n_resamples=2000, batch=200, method="percentile", rng=np.random.default_rng(0))
    low, high = match_statistics.bootstrap_interval(values)
    assert (low, high) == pytest.approx((peer.confidence_interval.low, peer.confidence_interval.high), abs=1e-12)


def test_outcomes_are_listed_with_most_questions_first_then_by_name():
    frame = frame_of((9, 1, 9, 1), (1, 9, 1, 9), (5, 5, 5, 5), (3, 1, 3, 1), (2, 2, 2, 2)).assign(
        level=["b", "a", "c", "c", ""], item=list("vwxyz")
    )
    found = outcomes_by(frame, "level")
    assert found["level"].tolist() == ["c", "a", "b"] and found["questions"].tolist() == [2, 1, 1]
    assert found["difference"].tolist() == [1.0, -8.0, 8.0] and found.index.tolist() == [0, 1, 2]
    assert found[["wins", "losses", "ties"]].to_numpy().tolist() == [[1, 0, 1], [0, 1, 0], [1, 0, 0]]
    assert outcomes_by(frame.iloc[:0], "level").columns.tolist() == ["level", *Outcome.__dataclass_fields__]


# ------------------------------------------------------------------------------------------------------------ correlation


def test_rank_correlation_is_spearmans():
    x, y = pd.Series([1.0, 2, 2, 3, 5, 8, 9]), pd.Series([2.0, 1, 4, 3, 3, 9, 5])
    found, p = match_statistics.rank_correlation(x, y)
    assert found == pytest.approx(stats.spearmanr(x, y).statistic)
    assert match_statistics.rank_correlation(x, -x)[0] == pytest.approx(-1)

    def rho(permuted):
        return stats.spearmanr(permuted, y).statistic

    peer = stats.permutation_test((x,), rho, permutation_type="pairings", n_resamples=np.inf, alternative="two-sided")
    assert p == pytest.approx(peer.pvalue, abs=0.01)


def test_the_p_value_is_two_sided_and_never_0():
    x = pd.Series(range(12), dtype=float)
    assert match_statistics.rank_correlation(x, x)[1] == match_statistics.rank_correlation(x, -x)[1] == 1 / 5001
    y = pd.Series([2.0, 7, 1, 9, 4, 0, 11, 3, 10, 5, 8, 6])
    up, down = match_statistics.rank_correlation(x, y), match_statistics.rank_correlation(x, -y)
    assert up[0] == pytest.approx(-down[0]) and up[1] == pytest.approx(down[1])
    assert up[1] == pytest.approx(stats.spearmanr(x, y).pvalue, abs=0.03)


def test_the_p_value_counts_shuffles_with_an_equal_correlation():
    x, y = pd.Series([1.0, 2, 3]), pd.Series([1.0, 2, 3])
    rng = np.random.default_rng(0)
    ranks = np.array([-1.0, 0, 1])
    equal = sum(abs(ranks @ rng.permutation(ranks)) >= 2 - 1e-9 for _ in range(5000))
    assert match_statistics.rank_correlation(x, y) == (pytest.approx(1), (1 + equal) / 5001)
    assert 0.3 < equal / 5000 < 0.37  # 2 of 6 orders


# ---------------------------------------------------------------------------------------------------------------- missing


def test_aspects_are_averaged_over_the_verdicts_that_have_them(ws):
    put(ws, ("a", False, 1, 1), aspects={"accuracy": (8, 4), "detail": (6, 2)})
    put(ws, ("a", True, 1, 1), aspects={"accuracy": (5, 7)})
    assert match_statistics.scores_by_aspect(ws, MATCH) == {"accuracy": (6.5, 5.5), "detail": (6.0, 2.0)}


def test_missing_answers_and_verdicts_are_counted_by_cause(ws, use_items):
    ids = ("a", "b", "c")
    use_items(*map(item, ids))
    put(ws, ("a", False, 1, 2), ("a", True, 1, 2), ("b", False, 1, 2))
    answer(ws, "a", "k-ours", "I'm sorry, but I can't help with that.")
    answer(ws, "b", "k-ours", " \n")
    answer(ws, "a", "k-other", "half" + CUT)
    answer(ws, "b", "k-other")
    answer(ws, "c", "k-other")
    fail(ws, derive("tan", "hash-1/k-ours", "c"), OURS, "refused")
    fail(ws, derive("tan", "hash-1/k-other", "a"), OTHER, "empty")  # was answered later
    fail(ws, verdict_work("mat-1", "b", swapped=True), VERDICT, "malformed")
    fail(ws, verdict_work("mat-1", "a", swapped=True), VERDICT, "malformed")  # was judged later
    frame = match_statistics.item_frame(ws, MATCH)
    assert match_statistics.missing(ws, MATCH, frame) == Missing(
        {OURS: Counter(refused=1), OTHER: Counter()}, Counter({"malformed": 1, "not judged": 2}), {OURS: 1, OTHER: 0},
        {OURS: 1, OTHER: 0}, {OURS: 0, OTHER: 1},
    )  # fmt: skip
    put(ws, ("b", True, 1, 2), ("c", True, 1, 2), ("c", False, 1, 2))
    assert match_statistics.missing(ws, MATCH, frame).verdicts == Counter()


def test_reference_answers_are_never_missing(ws, use_items):
    from dataclasses import replace

    use_items(item("a"))
    against = replace(MATCH, other="reference", other_key="reference")
    put(ws, ("a", False, 1, 2))
    fail(ws, derive("tan", "hash-1/reference", "a"), OTHER, "refused")
    found = match_statistics.missing(ws, against, match_statistics.item_frame(ws, against))
    assert found.answers == {OURS: Counter(), OTHER: Counter()} and found.refusals == {OURS: 0, OTHER: 0}


def test_refusals_are_short():
    words = "I'm sorry, but I can't help with that."
    assert match_statistics.is_refusal(words) and match_statistics.is_refusal(words.replace("'", "\u2019"))
    assert match_statistics.is_refusal(words.ljust(599, ".")) and not match_statistics.is_refusal(words.ljust(600, "."))
    assert not match_statistics.is_refusal(words.ljust(900, ".")) and not match_statistics.is_refusal("The answer is 4.")


def test_what_is_missing_is_described_in_singular_and_plural():
    gaps = Missing(
        {OURS: Counter({"no reply": 2}), OTHER: Counter(cut=1)}, Counter({"malformed": 3, "not judged": 1}), {}, {}, {}
    )
    assert describe_missing(gaps) == (
        "3 verdicts could not be parsed, 1 verdict is pending, 2 answers of A are missing (no reply), "
        "1 answer of B was truncated"
    )
    none = Missing({OURS: Counter(), OTHER: Counter()}, Counter(), {}, {}, {})
    assert describe_missing(none) == ""
    strange = Missing({OURS: Counter(), OTHER: Counter()}, Counter(lost=1), {}, {}, {})
    assert describe_missing(strange) == "1 verdict lost"


def test_a_summary_states_difference_interval_and_disagreement(ws, use_items):
    ids = [f"i{n}" for n in range(10)]
    use_items(*map(item, ids))
    with ws.write() as db:
        match_rows.put_match(db, MATCH)
    with pytest.raises(GlanError, match="Match mat-2 does not exist"):
        match_statistics.match_summary(ws, "mat-2")
    assert match_statistics.match_summary(ws, "mat-1") == "Nothing could be judged: no question was asked."
    put(ws, ("i0", False, 4, 2))
    assert match_statistics.match_summary(ws, "mat-1") == "Nothing could be judged: 1 verdict is pending."
    put(ws, *(("i0", True, 4, 2), *((id, swapped, 3, 2) for id in ids[1:5] for swapped in (False, True))))
    put(ws, *((id, swapped, *((4, 5) if swapped else (5, 4))) for id in ids[5:9] for swapped in (False, True)))
    assert match_statistics.match_summary(ws, "mat-1") == (
        "Too few questions to compare mine with theirs: +0.67 points on 9 questions; at least 10 are needed. 5 won (27% to 81%), "
        "4 tied, 0 lost; the two orders disagreed on 44%."
    )
    put(ws, ("i9", True, 1, 2), ("i9", False, 1, 2))
    low, high = match_statistics.bootstrap_interval(np.array([2, 1, 1, 1, 1, 0, 0, 0, 0, -1.0]))
    assert match_statistics.match_summary(ws, "mat-1") == (
        f"No detectable difference between mine and theirs: +0.50 points (95% interval {signed(low)} to {signed(high)}) on 10 questions. "
        "5 won (24% to 76%), 4 tied, 1 lost; the two orders disagreed on 40%."
    )
