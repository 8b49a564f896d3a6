"""Arena: people vote blindly on the two answers to each question of a match, and can undo and change their votes.

The answers are those that the judge saw. Which one is shown on the left depends on match and question only, so that a vote can be
looked at again.
"""

import time
import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import pandas as pd

from glan_core.dataset.glan_test_store import GlanTestItem
from glan_core.errors import GlanError
from glan_core.evaluation.judge.match_setup import CUT
from glan_core.evaluation.judge.match_statistics import asked_items
from glan_core.evaluation.proportions import wilson_interval
from glan_core.evaluation.settings import REFERENCE
from glan_core.workspace import Workspace, match_rows
from glan_core.workspace.match_rows import ArenaVote, Match

OURS, OTHER, TIE, BAD = "ours", "other", "tie", "bad"
SHARES = {OURS: 1.0, OTHER: 0.0, TIE: 0.5}  # of the first model; a vote that neither is good prefers none


@dataclass(frozen=True, slots=True)
class Pairing:
    """A question with the two answers that are voted on.

    Attributes:
        item: The question.
        ours: Answer of the first model.
        other: Answer of the second model.
        swapped: Whether the answer of the second model is shown on the left.
        cut: Whether an answer was cut at its token limit.
    """

    item: GlanTestItem
    ours: str
    other: str
    swapped: bool
    cut: bool

    @property
    def shown(self) -> tuple[str, str]:
        """The answers from left to right."""
        return (self.other, self.ours) if self.swapped else (self.ours, self.other)

    def choice(self, side: int) -> str:
        """Return the choice that a vote for the left (0) or right (1) answer means."""
        return OTHER if (side == 1) != self.swapped else OURS


@dataclass(frozen=True, slots=True)
class Tally:
    """The votes on a match.

    Attributes:
        wins: Votes for the first model.
        losses: Votes for the second model.
        ties: Ties.
        bad: Votes that neither answer is good.
        agreeing: Questions where judge and person prefer the same model, or both none.
        compared: Questions with a vote and both verdicts.
    """

    wins: int
    losses: int
    ties: int
    bad: int
    agreeing: int
    compared: int

    @property
    def votes(self) -> int:
        """All votes."""
        return self.wins + self.losses + self.ties + self.bad

    @property
    def agreement_interval(self) -> tuple[float, float] | None:
        """95% Wilson interval of the agreement of judge and people."""
        return wilson_interval(self.agreeing, self.compared)


def pairings(ws: Workspace, match: Match) -> list[Pairing]:
    """Return the questions that both models answered, in an order that shows no discipline for long.

    Raises:
        GlanError: If the test was removed.
    """
    items = asked_items(ws, match)
    references = {item.id: item.reference for item in items if item.reference}
    ours, other = (
        references if key == REFERENCE else match_rows.answers(ws.db, match.test, key)
        for key in (match.ours_key, match.other_key)
    )
    found = [
        Pairing(item, ours[item.id], other[item.id], bool(_hash(match.id, item.id, "side") % 2),
                ours[item.id].endswith(CUT) or other[item.id].endswith(CUT))
        for item in items if item.id in ours and item.id in other
    ]  # fmt: skip
    return sorted(found, key=lambda pairing: _hash(match.id, pairing.item.id, "order"))


def next_pairing(found: Sequence[Pairing], voted: Collection[str]) -> Pairing | None:
    """Return the first question without a vote, None if there is none left."""
    return next((pairing for pairing in found if pairing.item.id not in voted), None)


def vote(ws: Workspace, match: Match, item: str, choice: str, who: str) -> None:
    """Store a vote; it replaces an earlier one of the same person.

    Raises:
        GlanError: If the choice is unknown.
    """
    if choice not in (*SHARES, BAD):
        raise GlanError(f"The vote {choice!r} is invalid. Vote for one answer, a tie, or neither.")
    with ws.write() as db:
        match_rows.put_vote(db, ArenaVote(match.id, item, choice, who, time.time()))


def undo(ws: Workspace, match: Match, who: str) -> str | None:
    """Remove the newest vote of a person; return its question, None if there is no vote."""
    mine = [one for one in match_rows.votes(ws.db, match.id) if one.who == who]
    if not mine:
        return None
    with ws.write() as db:
        match_rows.remove_vote(db, mine[-1])
    return mine[-1].item


def tally(votes: Sequence[ArenaVote], frame: pd.DataFrame) -> Tally:
    """Count votes, and how often they agree with the judge.

    Args:
        votes: Votes on a match.
        frame: Its questions (`match_statistics.item_frame`).
    """
    differences = frame.set_index("item")["difference"].dropna().to_dict()
    number = {choice: sum(one.choice == choice for one in votes) for choice in (OURS, OTHER, TIE, BAD)}
    both = [one for one in votes if one.item in differences and one.choice in SHARES]
    agreeing = sum(_sign(differences[one.item]) == _sign(SHARES[one.choice] - 0.5) for one in both)
    return Tally(number[OURS], number[OTHER], number[TIE], number[BAD], agreeing, len(both))


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)


def _hash(*parts: str) -> int:
    return zlib.crc32("/".join(parts).encode())
