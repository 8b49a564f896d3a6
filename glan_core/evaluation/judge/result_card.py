"""Result card of a match: whether the models differ, by how much, and what limits the conclusion."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from glan_core.evaluation.answer_sources import title
from glan_core.evaluation.judge import match_statistics
from glan_core.evaluation.judge.length_control import LengthControl, length_control
from glan_core.evaluation.judge.match_setup import OTHER, OURS
from glan_core.evaluation.judge.match_statistics import Missing, Outcome, conclude, result_sentence
from glan_core.evaluation.settings import REFERENCE
from glan_core.formatting import number, percent, plural, signed
from glan_core.markdown import plain, table
from glan_core.workspace import Workspace, match_rows
from glan_core.workspace.match_rows import Match

ALWAYS_LONGER = 0.9  # share of the questions from which the preference cannot be told from one for length
WORST_BIAS = 0.4  # position bias above which the judge looks at the position as much as at the answers


@dataclass(frozen=True)
class ResultCard:
    """A match with everything that a conclusion depends on.

    Attributes:
        match: The match.
        outcome: Its outcome.
        missing: What is missing or truncated.
        length: Win rate at equal length, None without judged questions.
        disciplines: Outcome by discipline (`match_statistics.outcomes_by` of 'name').
        undisputed: Outcome without the questions whose verdicts a person disputes, None if there are none.
    """

    match: Match
    outcome: Outcome
    missing: Missing
    length: LengthControl | None
    disciplines: pd.DataFrame
    undisputed: Outcome | None = None


def result_card(ws: Workspace, match: Match, frame: pd.DataFrame, found: Outcome, gaps: Missing) -> ResultCard:
    """Return the card of a match from its `item_frame`, outcome and gaps."""
    return ResultCard(
        match, found, gaps, _length(ws, match, frame), match_statistics.outcomes_by(frame, "name"),
        match_statistics.undisputed_outcome(frame),
    )  # fmt: skip


def _length(ws: Workspace, match: Match, frame: pd.DataFrame) -> LengthControl | None:
    judged = frame[frame["difference"].notna()]
    references = {item.id: item.reference for item in match_statistics.asked_items(ws, match)}
    texts = [
        references if key == REFERENCE else match_rows.answers(ws.db, match.test, key)
        for key in (match.ours_key, match.other_key)
    ]
    ours, other = ([len(side.get(id, "")) for id in judged["item"]] for side in texts)
    return length_control(judged["difference"].tolist(), ours, other)


def limits(card: ResultCard) -> list[str]:
    """Return what limits the conclusion, each as a sentence: leaks, truncation, length, position bias, the judge."""
    match, found, gaps = card.match, card.outcome, card.missing
    said = []
    if match.about.get("same"):
        said.append("A and B are the same model with the same settings, so the expected difference is 0.")
    for stage, spec in ((OURS, match.ours), (OTHER, match.other)):
        given = match.about.get("given_away", {}).get(stage) or {}
        if given.get("number"):
            said.append(
                f"{title(spec)} was trained on {plural(given['number'], 'row')} that leak questions of this test (of {number(given['rows'])})."
            )
        if gaps.cut[stage]:
            limit = f" at {number(match.about['tokens'])} tokens" if match.about.get("tokens") else ""
            said.append(f"{plural(gaps.cut[stage], 'answer')} of {title(spec)} were cut off{limit}: raise max new tokens.")
    if card.length and (share := max(card.length.longer, card.length.shorter)) > ALWAYS_LONGER:
        longer = title(match.ours if card.length.longer == share else match.other)
        said.append(f"{longer} gave the longer answer on {percent(share)} of the questions.")
    rate = card.length.win_rate if card.length else None
    if rate is not None and found.win_rate is not None and (rate - 0.5) * (_half_ties(found) - 0.5) < 0:
        said.append("At equal length, the preference is reversed.")
    if found.disagreement is not None and found.disagreement > WORST_BIAS:
        said.append(
            f"The judge changed its preference with the order of the answers on {percent(found.disagreement)} of the questions."
        )
    if match.judge == "scripted":
        said.append("The scripted judge counts words of its textbook; it does not measure quality.")
    return said


def _half_ties(found: Outcome) -> float:
    return (found.wins + found.ties / 2) / found.judged


def card_rows(card: ResultCard) -> list[tuple[str, str]]:
    """Return the numbers of a card as (label, value)."""
    match, found, gaps = card.match, card.outcome, card.missing
    rows = [
        ("A", title(match.ours)), ("B", title(match.other)), ("Test", f"{match.test_name} ({match.test.removeprefix('sha256:')[:12]})"),
        ("Judge", match.judge), ("Judged in both orders (n)", f"{number(found.judged)} of {number(found.questions)}"),
        ("Score difference, A − B", signed(found.difference)),
        ("95% interval", "–" if found.low is None else f"{signed(found.low)} to {signed(found.high)}"),
        ("Wins, ties, losses of A", f"{number(found.wins)}, {number(found.ties)}, {number(found.losses)}"),
        ("Win rate of A", _with_interval(found.win_rate, found.win_interval)),
        ("Win rate at equal length", "–" if card.length is None else _with_interval(
            card.length.win_rate, None if card.length.low is None or card.length.high is None else (card.length.low, card.length.high)
        )),
        ("Position bias", _with_interval(found.disagreement, found.disagreement_interval)),
    ]  # fmt: skip
    if (left := card.undisputed) is not None:
        between = "" if left.low is None else f" ({signed(left.low)} to {signed(left.high)})"
        rows.append(
            (
                f"A − B without {number(found.questions - left.questions)} disputed",
                f"{signed(left.difference)}{between}, n {number(left.judged)}",
            )
        )
    for stage, side in ((OURS, "A"), (OTHER, "B")):
        rows.append((f"Cut answers of {side}", number(gaps.cut[stage])))
        given = match.about.get("given_away", {}).get(stage) or {}
        rows.append((
            f"Leaking training rows of {side}",
            f"{number(given['number'])} of {number(given['rows'])}" if "number" in given else "unknown" if given else "–",
        ))  # fmt: skip
    return rows


def _with_interval(share: float | None, interval: tuple[float, float] | None) -> str:
    if share is None:
        return "–"
    return percent(share) + (f" ({percent(interval[0])} to {percent(interval[1])})" if interval else "")


def to_markdown(card: ResultCard) -> str:
    """Return the card as a Markdown document."""
    ours, other = (plain(title(spec)) for spec in (card.match.ours, card.match.other))
    said = [result_sentence(ours, other, card.outcome), "\n".join(f"- {plain(limit)}" for limit in limits(card))]
    parts = [_part(row) for row in card.disciplines.to_dict("records")]
    sections = [
        f"# {ours} vs {other}", *filter(None, said), table(("", "Value"), list(card_rows(card))), "## By discipline",
        table(("Discipline", "n", "A − B", "95% interval", "Result"), parts),
    ]  # fmt: skip
    return "\n\n".join(sections) + "\n"


def _part(row: dict) -> tuple:
    known: dict[str, Any] = {name: None if row[name] != row[name] else row[name] for name in Outcome.__dataclass_fields__}
    found = Outcome(**known)
    between = "–" if found.low is None or found.high is None else f"{signed(found.low)} to {signed(found.high)}"
    return str(row["name"]), found.judged, signed(found.difference), between, conclude(found)
