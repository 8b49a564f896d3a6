"""What a match came to: the difference of the mean scores with its interval, wins and ties, and all that could not be judged.

The paper's metric is avg_score(ours) - avg_score(other), both orders taken together. A question counts once both of its verdicts
are there: with one alone, the favour that judges do to the first answer would not cancel out.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from glan_core.dataset.glan_test_store import GlanTestItem, read_items, read_test
from glan_core.errors import GlanError
from glan_core.evaluation.answer_sources import title
from glan_core.evaluation.judge.match_setup import CUT, OTHER, OURS, VERDICT, verdict_work
from glan_core.evaluation.settings import REFERENCE
from glan_core.formatting import plural
from glan_core.ids import derive
from glan_core.reply_parsing import REFUSAL
from glan_core.workspace import Workspace, match_rows
from glan_core.workspace.match_rows import ASPECTS, Match

PLACES = ("item", "discipline", "name", "field", "group", "subject", "level", "strategy", "skill", "question")
SCORED = ("ours_1", "other_1", "ours_2", "other_2")
RESAMPLES, SHUFFLES, SEED = 2000, 5000, 0
MOST_REFUSAL = 600  # characters, of a reply that a refusal is looked for in, as in `replies.check_whole`
TRUSTED = 10  # questions, from which a difference gets an interval


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of some questions: how many there are, how many were judged in both orders, the mean scores, their difference with the ends
    of its 95 % bootstrap interval (percentiles of resampled questions; None below 10 of them), how many ours won, lost or tied
    by the mean of both orders, and the share of those judged where the two orders prefer differently."""

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


@dataclass(frozen=True, slots=True)
class Missing:
    """What of a match is not there, by cause: answers of each side that no reply came for, verdicts that could not be read, were
    refused or were not asked for yet. `refusals`, `empty` and `cut` are answers that are there and are judged."""

    answers: dict[str, Counter]
    verdicts: Counter
    refusals: dict[str, int]
    empty: dict[str, int]
    cut: dict[str, int]


def item_frame(ws: Workspace, match: Match) -> pd.DataFrame:
    """A row for every question of a match's test that was asked: its place (discipline, name, field, group, subject, level,
    strategy, skill), the scores of both orders (ours_1, other_1: our answer first; ours_2, other_2: the other's first), and
    `difference`, the mean over both (NaN while one is missing). GlanError when the test is gone."""
    items = asked_items(ws, match)
    found: dict[tuple[str, bool], match_rows.Verdict] = {(v.item, v.swapped): v for v in match_rows.verdicts(ws.db, match.id)}
    rows = []
    for item in items:
        row = {
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
    return frame.assign(difference=(first + second) / 2, agree=np.sign(first) == np.sign(second))


def asked_items(ws: Workspace, match: Match) -> list[GlanTestItem]:
    """The items of a match's test that were asked so far: those that any side answered, or that were judged."""
    test = read_test(ws, match.test_name)
    if test.hash != match.test:
        raise GlanError(f"The test {match.test_name} is another one now: this match was about one that is gone.")
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
    """What the questions of an `item_frame`, or a part of one, came to."""
    judged = frame[frame["difference"].notna()]
    number = len(judged)
    if not number:
        return Outcome(len(frame), 0, None, None, None, None, None, 0, 0, 0, None)
    difference = judged["difference"].to_numpy(float)
    low, high = interval(difference) if number >= TRUSTED else (None, None)
    ours, other = (float(judged[[f"{side}_1", f"{side}_2"]].to_numpy(float).mean()) for side in ("ours", "other"))
    return Outcome(
        len(frame), number, ours, other, float(difference.mean()), low, high, int((difference > 0).sum()),
        int((difference < 0).sum()), int((difference == 0).sum()), float(1 - judged["agree"].mean()),
    )  # fmt: skip


def interval(values: np.ndarray) -> tuple[float, float]:
    """The 95 % bootstrap interval of a mean (Efron 1979, percentile method), the same every time."""
    rng = np.random.default_rng(SEED)
    means = np.empty(RESAMPLES)
    for start in range(0, RESAMPLES, 200):  # so that memory stays flat
        means[start : start + 200] = values[rng.integers(len(values), size=(200, len(values)))].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def rank_correlation(x: pd.Series, y: pd.Series) -> tuple[float, float]:
    """Spearman's rank correlation of two columns, and how often chance alone gives one as far from 0 (a permutation test of 5,000
    shuffles, the same every time)."""
    first, second = (column.rank().to_numpy(float) for column in (x, y))
    first, second = first - first.mean(), second - second.mean()
    scale = float(np.sqrt((first**2).sum() * (second**2).sum()))
    found = float(first @ second) / scale
    rng = np.random.default_rng(SEED)
    shuffled = np.array([first @ rng.permutation(second) for _ in range(SHUFFLES)]) / scale
    return found, float((1 + (np.abs(shuffled) >= abs(found) - 1e-12).sum()) / (SHUFFLES + 1))


def by(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """The outcome of every value of a column, a row each under the names of `Outcome`, the most questions first."""
    rows = [{column: value} | _row(outcome(part)) for value, part in frame.groupby(column, sort=False) if value != ""]
    names = [column, *Outcome.__dataclass_fields__]
    return pd.DataFrame(rows, columns=names).sort_values(["questions", column], ascending=[False, True], ignore_index=True)


def by_aspect(ws: Workspace, match: Match) -> dict[str, tuple[float, float]]:
    """The mean scores of both sides by aspect, of the verdicts that give them."""
    sums: dict[str, list[tuple[float, float]]] = {name: [] for name in ASPECTS}
    for verdict in match_rows.verdicts(ws.db, match.id):
        for name, pair in verdict.aspects.items():
            sums[name].append(tuple(pair))
    return {name: tuple(np.mean(pairs, axis=0).tolist()) for name, pairs in sums.items() if pairs}


def missing(ws: Workspace, match: Match, frame: pd.DataFrame) -> Missing:
    """What could not be asked, answered or read, of the questions of an `item_frame`."""
    ids = frame["item"].tolist()
    texts = {stage: {} if key == REFERENCE else match_rows.answers(ws.db, match.test, key)
             for stage, key in ((OURS, match.ours_key), (OTHER, match.other_key))}  # fmt: skip
    lost = {stage: _lost(ws, match, stage, key, ids, texts[stage])
            for stage, key in ((OURS, match.ours_key), (OTHER, match.other_key))}  # fmt: skip
    there = match_rows.judged(ws.db, match.id)
    open_ones = {verdict_work(match.id, id, swapped) for id in ids for swapped in (False, True) if (id, swapped) not in there}
    faults = match_rows.failed(ws.db, VERDICT, list(open_ones))
    verdicts = Counter(cause for cause, _, _ in faults.values())
    if waiting := len(open_ones) - len(faults):
        verdicts["not judged"] = waiting
    told = {stage: list(found.values()) for stage, found in texts.items()}
    return Missing(
        lost, verdicts, {stage: sum(map(refuses, found)) for stage, found in told.items()},
        {stage: sum(not text.strip() for text in found) for stage, found in told.items()},
        {stage: sum(text.endswith(CUT) for text in found) for stage, found in told.items()},
    )  # fmt: skip


def refuses(answer: str) -> bool:
    """Whether an answer is a refusal, by its words."""
    return len(answer) < MOST_REFUSAL and bool(REFUSAL.match(answer.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")))


def _lost(ws: Workspace, match: Match, stage: str, key: str, ids: Sequence[str], texts: dict[str, str]) -> Counter:
    if key == REFERENCE:
        return Counter()
    works = [derive("tan", f"{match.test}/{key}", id) for id in ids if id not in texts]
    return Counter(cause for cause, _, _ in match_rows.failed(ws.db, stage, works).values())


def _row(of: Outcome) -> dict:
    return {name: getattr(of, name) for name in Outcome.__dataclass_fields__}


def said(ws: Workspace, match_id: str) -> str:
    """What a match came to, in a sentence."""
    match = match_rows.match(ws.db, match_id)
    frame = item_frame(ws, match)
    found, gaps = outcome(frame), missing(ws, match, frame)
    if found.difference is None:
        return f"Nothing could be judged: {gap_words(gaps) or 'no question was asked'}."
    between = f" ({found.low:+.2f} to {found.high:+.2f})" if found.low is not None else ""
    return (
        f"{title(match.ours)} scored {found.difference:+.2f}{between} beside {title(match.other)} on {plural(found.judged, 'question')}: "
        f"{found.wins} won, {found.ties} tied, {found.losses} lost; the two orders disagreed on {found.disagreement:.0%}."
        + (f" {gap_words(gaps).capitalize()}." if gap_words(gaps) else "")
    )


CAUSES = {
    "malformed": ("could not be read", "could not be read"), "refused": ("was refused", "were refused"),
    "cut": ("was cut off", "were cut off"), "empty": ("was empty", "were empty"), "no reply": ("never came", "never came"),
    "reasoning only": ("held only reasoning", "held only reasoning"), "not judged": ("is still to come", "are still to come"),
}  # fmt: skip


def gap_words(gaps: Missing) -> str:
    """'3 verdicts could not be read, 2 answers of ours got no reply'; '' where nothing is missing."""
    parts = [f"{plural(number, 'verdict')} {_cause(cause, number)}" for cause, number in gaps.verdicts.items()]
    for stage, who in ((OURS, "ours"), (OTHER, "the other")):
        parts += [
            f"{plural(number, 'answer')} of {who} {_cause(cause, number)}" for cause, number in gaps.answers[stage].items()
        ]
    return ", ".join(parts)


def _cause(cause: str, number: int) -> str:
    return CAUSES.get(cause, (cause, cause))[number != 1]
