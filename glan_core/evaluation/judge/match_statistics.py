"""Match statistics: mean score difference with confidence interval, wins and ties, and missing answers and verdicts.

The metric of the paper is avg_score(ours) - avg_score(other), averaged over both orders. A question counts only if both of its
verdicts exist; with one alone, the position bias of judges would not cancel out.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from glan_core.dataset.glan_test_store import GlanTestItem, read_items, read_test
from glan_core.errors import GlanError
from glan_core.evaluation.answer_sources import title
from glan_core.evaluation.judge.match_setup import CUT, OTHER, OURS, VERDICT, verdict_work
from glan_core.evaluation.proportions import wilson_interval
from glan_core.evaluation.settings import REFERENCE
from glan_core.formatting import number, percent, plural, shorten_title, signed
from glan_core.ids import derive
from glan_core.reply_parsing import REFUSAL
from glan_core.workspace import Workspace, match_rows
from glan_core.workspace.match_rows import ASPECTS, Match

PLACES = ("item", "discipline", "name", "field", "group", "subject", "level", "strategy", "skill", "question")
SCORED = ("ours_1", "other_1", "ours_2", "other_2")
RESAMPLES, SHUFFLES, SEED = 2000, 5000, 0
MOST_REFUSAL = 600  # characters; longer replies are not considered refusals, as in `reply_parsing.check_complete`
Conclusion = Literal["higher", "lower", "no difference", "too few", "none"]
TRUSTED = 10  # minimum number of questions for a confidence interval


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of a match, or of a subset of its questions.

    Attributes:
        questions: Questions asked.
        judged: Questions judged in both orders.
        ours: Mean score of our model.
        other: Mean score of the other model.
        difference: Mean score difference.
        low: Lower bound of its 95% bootstrap interval, None below 10 questions.
        high: Upper bound of its 95% bootstrap interval, None below 10 questions.
        wins: Questions our model won, by the mean of both orders.
        losses: Questions our model lost.
        ties: Ties.
        disagreement: Share of judged questions on which the two orders prefer different models.
    """

    questions: int
    judged: int
    ours: float | None
    other: float | None
    difference: float | None
    low: float | None
    high: float | None
    wins: int
    losses: int
    ties: int
    disagreement: float | None

    @property
    def win_rate(self) -> float | None:
        """Share of the judged questions our model won, None without any."""
        return self.wins / self.judged if self.judged else None

    @property
    def win_interval(self) -> tuple[float, float] | None:
        """95% Wilson interval of the win rate."""
        return wilson_interval(self.wins, self.judged)

    @property
    def disagreement_interval(self) -> tuple[float, float] | None:
        """95% Wilson interval of the disagreement."""
        return None if self.disagreement is None else wilson_interval(self.disagreement * self.judged, self.judged)


@dataclass(frozen=True, slots=True)
class Missing:
    """What is missing from a match, by cause.

    Attributes:
        answers: Missing answers of each side by cause.
        verdicts: Missing verdicts by cause.
        refusals: Answers that are refusals; they are judged.
        empty: Empty answers; they are judged.
        cut: Truncated answers; they are judged.
    """

    answers: dict[str, Counter]
    verdicts: Counter
    refusals: dict[str, int]
    empty: dict[str, int]
    cut: dict[str, int]


def item_frame(ws: Workspace, match: Match) -> pd.DataFrame:
    """Return one row per question that was asked.

    Returns:
        Columns for the item (`PLACES`), the scores of both orders (`ours_1`, `other_1`: our answer first; `ours_2`,
        `other_2`: the other answer first), `difference` (mean over both orders, NaN if one is missing), `agree` and `disputed` (a
        person considers its verdicts wrong).

    Raises:
        GlanError: If the test no longer exists.
    """
    items = asked_items(ws, match)
    found: dict[tuple[str, bool], match_rows.Verdict] = {(v.item, v.swapped): v for v in match_rows.verdicts(ws.db, match.id)}
    rows = []
    for item in items:
        row: dict[str, object] = {
            "item": item.id, "discipline": item.discipline, "name": item.taxonomy[-1] if item.taxonomy else item.skill,
            "field": item.taxonomy[0] if item.taxonomy else item.skill, "group": item.group, "subject": item.subject,
            "level": item.level, "strategy": item.strategy, "skill": item.skill, "question": item.question,
        }  # fmt: skip
        for nth, swapped in ((1, False), (2, True)):
            verdict = found.get((item.id, swapped))
            row |= {f"ours_{nth}": verdict.ours if verdict else np.nan, f"other_{nth}": verdict.other if verdict else np.nan}
        rows.append(row)
    frame = pd.DataFrame(rows, columns=[*PLACES, *SCORED])
    first, second = frame["ours_1"] - frame["other_1"], frame["ours_2"] - frame["other_2"]
    disputed = frame["item"].isin(list(match_rows.disputes(ws.db, match.id)))
    return frame.assign(difference=(first + second) / 2, agree=np.sign(first) == np.sign(second), disputed=disputed)


def asked_items(ws: Workspace, match: Match) -> list[GlanTestItem]:
    """Return the items of a match's test asked so far: answered by either side, judged, or failed."""
    test = read_test(ws, match.test_name)
    if test.hash != match.test:
        raise GlanError(f"Test {match.test_name} is not the one this match was about, which no longer exists.")
    items, asked = read_items(ws, match.test_name), {item for item, _ in match_rows.judged(ws.db, match.id)}
    for key in {match.ours_key, match.other_key} - {REFERENCE}:
        asked |= match_rows.answered(ws.db, match.test, key)
    works = {
        derive("tan", f"{match.test}/{key}", item.id): item.id for item in items for key in (match.ours_key, match.other_key)
    }
    for stage in (OURS, OTHER):
        asked |= {works[work] for work in match_rows.failed(ws.db, stage, list(works))}
    return [item for item in items if item.id in asked]


def outcome(frame: pd.DataFrame) -> Outcome:
    """Return the result for the questions of an `item_frame` or a subset of it."""
    judged = frame[frame["difference"].notna()]
    number = len(judged)
    if not number:
        return Outcome(len(frame), 0, None, None, None, None, None, 0, 0, 0, None)
    difference = judged["difference"].to_numpy(float)
    low, high = bootstrap_interval(difference) if number >= TRUSTED else (None, None)
    ours, other = (float(judged[[f"{side}_1", f"{side}_2"]].to_numpy(float).mean()) for side in ("ours", "other"))
    return Outcome(
        len(frame), number, ours, other, float(difference.mean()), low, high, int((difference > 0).sum()),
        int((difference < 0).sum()), int((difference == 0).sum()), float(1 - judged["agree"].mean()),
    )  # fmt: skip


def undisputed_outcome(frame: pd.DataFrame) -> Outcome | None:
    """Return the result without the questions whose verdicts a person disputes; None if there are none."""
    return outcome(frame[~frame["disputed"]]) if frame["disputed"].any() else None


def conclude(found: Outcome) -> Conclusion:
    """Return what an outcome shows: a difference only if its interval excludes 0."""
    if found.difference is None:
        return "none"
    if found.low is None or found.high is None:
        return "too few"
    return "higher" if found.low > 0 else "lower" if found.high < 0 else "no difference"


def result_sentence(ours: str, other: str, found: Outcome) -> str:
    """Return the result as a sentence that is never more certain than its interval."""
    conclusion = conclude(found)
    if found.difference is None:
        return "No question has both verdicts yet."
    numbers = f"{signed(found.difference)} points"
    if found.low is not None and found.high is not None:
        numbers += f" (95% interval {signed(found.low)} to {signed(found.high)})"
    numbers += f" on {plural(found.judged, 'question')}"
    match conclusion:
        case "higher":
            return f"{ours} scored higher than {other}: {numbers}."
        case "lower":
            return f"{ours} scored lower than {other}: {numbers}."
        case "too few":
            return f"Too few questions to compare {ours} with {other}: {numbers}; at least {TRUSTED} are needed."
        case _:
            return f"No detectable difference between {ours} and {other}: {numbers}."


def bootstrap_interval(values: np.ndarray) -> tuple[float, float]:
    """Return the 95% bootstrap interval of a mean (percentile method, fixed seed).

    Source: Efron, 1979.
    """
    rng = np.random.default_rng(SEED)
    means = np.empty(RESAMPLES)
    for start in range(0, RESAMPLES, 200):  # in blocks, for flat memory use
        means[start : start + 200] = values[rng.integers(len(values), size=(200, len(values)))].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def rank_correlation(x: pd.Series, y: pd.Series) -> tuple[float, float]:
    """Return Spearman's rank correlation and its two-sided p-value from a permutation test (5,000 shuffles, fixed seed)."""
    first, second = (column.rank().to_numpy(float) for column in (x, y))
    first, second = first - first.mean(), second - second.mean()
    scale = float(np.sqrt((first**2).sum() * (second**2).sum()))
    found = float(first @ second) / scale
    rng = np.random.default_rng(SEED)
    shuffled = np.array([first @ rng.permutation(second) for _ in range(SHUFFLES)]) / scale
    return found, float((1 + (np.abs(shuffled) >= abs(found) - 1e-12).sum()) / (SHUFFLES + 1))


def outcomes_by(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return the outcome for every value of a column, with the fields of `Outcome` as columns, most questions first."""
    rows = [{column: value} | _row(outcome(part)) for value, part in frame.groupby(column, sort=False) if value != ""]
    names = [column, *Outcome.__dataclass_fields__]
    return pd.DataFrame(rows, columns=names).sort_values(["questions", column], ascending=[False, True], ignore_index=True)


def scores_by_aspect(ws: Workspace, match: Match) -> dict[str, tuple[float, float]]:
    """Return the mean scores of both sides by aspect, over the verdicts that contain them."""
    sums: dict[str, list[tuple[float, float]]] = {name: [] for name in ASPECTS}
    for verdict in match_rows.verdicts(ws.db, match.id):
        for name, pair in verdict.aspects.items():
            sums[name].append((float(pair[0]), float(pair[1])))
    means = {name: np.mean(pairs, axis=0) for name, pairs in sums.items() if pairs}
    return {name: (float(ours), float(other)) for name, (ours, other) in means.items()}


def missing(ws: Workspace, match: Match, frame: pd.DataFrame) -> Missing:
    """Return what could not be asked, answered or parsed, for the questions of an `item_frame`."""
    ids = frame["item"].tolist()
    texts = {stage: {} if key == REFERENCE else match_rows.answers(ws.db, match.test, key)
             for stage, key in ((OURS, match.ours_key), (OTHER, match.other_key))}  # fmt: skip
    lost = {stage: _lost(ws, match, stage, key, ids, texts[stage])
            for stage, key in ((OURS, match.ours_key), (OTHER, match.other_key))}  # fmt: skip
    there = match_rows.judged(ws.db, match.id)
    open_ones = {
        verdict_work(match.id, id, swapped=swapped) for id in ids for swapped in (False, True) if (id, swapped) not in there
    }
    faults = match_rows.failed(ws.db, VERDICT, list(open_ones))
    verdicts = Counter(cause for cause, _, _ in faults.values())
    if waiting := len(open_ones) - len(faults):
        verdicts["not judged"] = waiting
    found = {stage: list(answers.values()) for stage, answers in texts.items()}
    return Missing(
        lost, verdicts, {stage: sum(map(is_refusal, answers)) for stage, answers in found.items()},
        {stage: sum(not text.strip() for text in answers) for stage, answers in found.items()},
        {stage: sum(text.endswith(CUT) for text in answers) for stage, answers in found.items()},
    )  # fmt: skip


def is_refusal(answer: str) -> bool:
    """Return whether an answer is a refusal, by its wording."""
    return len(answer) < MOST_REFUSAL and bool(REFUSAL.match(answer.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")))


def _lost(ws: Workspace, match: Match, stage: str, key: str, ids: Sequence[str], texts: dict[str, str]) -> Counter:
    if key == REFERENCE:
        return Counter()
    works = [derive("tan", f"{match.test}/{key}", id) for id in ids if id not in texts]
    return Counter(cause for cause, _, _ in match_rows.failed(ws.db, stage, works).values())


def _row(of: Outcome) -> dict:
    return {name: getattr(of, name) for name in Outcome.__dataclass_fields__}


def match_summary(ws: Workspace, match_id: str) -> str:
    """Return the result of a match as a sentence."""
    match = match_rows.match(ws.db, match_id)
    if match is None:
        raise GlanError(f"Match {match_id} does not exist.")
    frame = item_frame(ws, match)
    found, gaps = outcome(frame), missing(ws, match, frame)
    if found.difference is None:
        return f"Nothing could be judged: {describe_missing(gaps) or 'no question was asked'}."
    return (
        f"{result_sentence(title(match.ours), title(match.other), found)} {found.wins} won{_within(found.win_interval)}, "
        f"{found.ties} tied, {found.losses} lost; the two orders disagreed on {found.disagreement:.0%}."
        + (f" {describe_missing(gaps).capitalize()}." if describe_missing(gaps) else "")
        + (f" Included: {describe_included(gaps, match)}." if describe_included(gaps, match) else "")
        + (CUT_ADVICE if any(gaps.cut.values()) else "")
    )


def _within(interval: tuple[float, float] | None) -> str:
    """Return ' (31% to 83%)', the 95% interval of a share."""
    return f" ({percent(interval[0])} to {percent(interval[1])})" if interval else ""


CUT_ADVICE = " Cut answers score lower: raise max new tokens (--answer-tokens)."
CAUSES = {
    "malformed": ("could not be parsed", "could not be parsed"), "refused": ("was refused", "were refused"),
    "cut": ("was truncated", "were truncated"), "empty": ("was empty", "were empty"),
    "no reply": ("is missing (no reply)", "are missing (no reply)"),
    "reasoning only": ("contained only reasoning", "contained only reasoning"), "not judged": ("is pending", "are pending"),
}  # fmt: skip


def describe_included(gaps: Missing, match: Match, *, cut: bool = True) -> str:
    """Return a phrase such as '3 answers of maths cut off at 512 tokens'; '' if no judged answer was refused, empty or cut off.

    Args:
        gaps: Counts of the match.
        match: The match.
        cut: Whether to name answers that were cut off.
    """
    limit = match.about.get("tokens")
    at = f" at {number(limit)} tokens" if limit else ""
    parts = []
    for stage, spec in ((OURS, match.ours), (OTHER, match.other)):
        for count, what in (
            (gaps.refusals[stage], "refused"),
            (gaps.empty[stage], "empty"),
            (gaps.cut[stage] * cut, f"cut off{at}"),
        ):
            if count:
                parts.append(f"{plural(count, 'answer')} of {shorten_title(title(spec), 40)} {what}")
    return "; ".join(parts)


def describe_missing(gaps: Missing) -> str:
    """Return a phrase such as '3 verdicts could not be parsed, 2 answers of A are missing (no reply)'; '' if none."""
    parts = [f"{plural(number, 'verdict')} {_cause(cause, number)}" for cause, number in gaps.verdicts.items()]
    for stage, who in ((OURS, "A"), (OTHER, "B")):
        parts += [
            f"{plural(number, 'answer')} of {who} {_cause(cause, number)}" for cause, number in gaps.answers[stage].items()
        ]
    return ", ".join(parts)


def _cause(cause: str, number: int) -> str:
    return CAUSES.get(cause, (cause, cause))[number != 1]
