"""Model ranking: Bradley-Terry ratings with intervals, from the verdicts of judges and the votes of people.

Source: Bradley and Terry, 1952; ratings on the Elo scale and bootstrap intervals as in Chatbot Arena, arXiv 2403.04132.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import networkx as nx
import numpy as np

from glan_core.chat import preferences
from glan_core.errors import GlanError
from glan_core.evaluation.judge import arena, match_statistics
from glan_core.evaluation.settings import REFERENCE
from glan_core.workspace import Workspace, chat_rows, match_rows

Source = Literal["verdicts", "votes"]
SCALE, CENTER = 400 / np.log(10), 1000.0  # a difference of 400 points: ten wins per loss
RIDGE = 0.01  # keeps ratings finite where a model won or lost every comparison
RESAMPLES, SEED, MOST_STEPS = 200, 0, 100
FEWEST = 10  # comparisons of a model below which its rating has no interval


@dataclass(frozen=True, slots=True)
class Comparison:
    """One comparison of two models: a question judged in both orders, or a vote.

    Attributes:
        first: Specification of the first model.
        second: Specification of the second model.
        share: 1 if the first model was preferred, 0 if the second, 0.5 for a tie.
        source: 'verdicts' or 'votes'.
    """

    first: str
    second: str
    share: float
    source: Source


@dataclass(frozen=True, slots=True)
class Rating:
    """Rating of a model.

    Attributes:
        model: Specification of the model.
        rating: Rating on the Elo scale; the mean of all models is 1000.
        low: Lower bound of its 95% bootstrap interval, None below 10 comparisons.
        high: Upper bound of its 95% bootstrap interval.
        number: Comparisons of the model.
        rank: Rank; models whose intervals overlap with that of a better one share its rank.
    """

    model: str
    rating: float
    low: float | None
    high: float | None
    number: int
    rank: int


def comparisons(ws: Workspace) -> list[Comparison]:
    """Return all comparisons of the workspace: verdicts, votes of the arena and votes of the chat.

    Votes on replies that were stopped or cut are not counted, and neither are votes that no answer is good.
    """
    found = []
    for match in match_rows.matches(ws.db):
        if match.ours == match.other or match.about.get("same"):
            continue
        found += [
            Comparison(match.ours, match.other, arena.SHARES[vote.choice], "votes")
            for vote in match_rows.votes(ws.db, match.id)
            if vote.choice in arena.SHARES
        ]
        try:
            frame = match_statistics.item_frame(ws, match)
        except GlanError:  # the test was removed
            continue
        shares = (np.sign(frame["difference"].dropna().to_numpy(float)) + 1) / 2
        found += [Comparison(match.ours, match.other, float(share), "verdicts") for share in shares]
    for vote in chat_rows.preferences(ws.db):
        replies = chat_rows.replies(ws.db, vote.turn_id, vote.version)
        if vote.choice == preferences.BAD or not all(map(preferences.is_complete, replies)):
            continue
        for nth, one in enumerate(replies):
            for other in replies[nth + 1 :]:
                if one.model != other.model and (vote.choice == preferences.TIE or vote.best in (one.pane, other.pane)):
                    share = 0.5 if vote.choice == preferences.TIE else float(vote.best == one.pane)
                    found.append(Comparison(one.model, other.model, share, "votes"))
    return found


def rank_models(found: Sequence[Comparison]) -> list[Rating]:
    """Return the ratings of the largest group of models that are connected by comparisons, best first.

    Models that were never compared with each other, not even through others, have no common scale.
    """
    graph = nx.Graph((one.first, one.second) for one in found)
    if not graph:
        return []
    models = max(map(sorted, nx.connected_components(graph)), key=len)
    rows = [one for one in found if one.first in models]
    index = {model: nth for nth, model in enumerate(models)}
    first, second = (np.array([index[getattr(one, side)] for one in rows]) for side in ("first", "second"))
    share = np.array([one.share for one in rows])
    ratings = CENTER + SCALE * fit_strengths(first, second, share, len(models))
    rng = np.random.default_rng(SEED)
    drawn = (rng.integers(len(rows), size=len(rows)) for _ in range(RESAMPLES))
    resampled = np.array([CENTER + SCALE * fit_strengths(first[at], second[at], share[at], len(models)) for at in drawn])
    lows, highs = np.percentile(resampled, [2.5, 97.5], axis=0)
    numbers = np.bincount(np.concatenate([first, second]), minlength=len(models))
    known = numbers >= FEWEST
    return sorted(
        (
            Rating(model, float(ratings[n]), float(lows[n]) if known[n] else None, float(highs[n]) if known[n] else None,
                   int(numbers[n]), 1 + int(((lows > highs[n]) & known & known[n]).sum()))
            for n, model in enumerate(models)
        ),
        key=lambda row: -row.rating,
    )  # fmt: skip


def fit_strengths(first: np.ndarray, second: np.ndarray, share: np.ndarray, number: int, ridge: float = RIDGE) -> np.ndarray:
    """Fit Bradley-Terry strengths by Newton's method; a tie is half a win for each side.

    Args:
        first: Index of the first model of each comparison.
        second: Index of the second model.
        share: 1 if the first model won, 0 if the second, 0.5 for a tie.
        number: Number of models.
        ridge: Penalty on the squared strengths.

    Returns:
        Log-strengths with mean 0.
    """
    strengths = np.zeros(number)
    for _ in range(MOST_STEPS):
        p = 1 / (1 + np.exp(strengths[second] - strengths[first]))
        gradient = np.bincount(first, share - p, number) - np.bincount(second, share - p, number) - ridge * strengths
        weights = p * (1 - p)
        hessian = np.zeros((number, number))
        np.add.at(hessian, (first, second), -weights)
        hessian += hessian.T
        hessian[np.diag_indices(number)] = -hessian.sum(axis=1) + ridge + 1e-12
        step = np.linalg.lstsq(hessian, gradient, rcond=None)[0]
        strengths = strengths + np.clip(step, -2, 2)
        if np.abs(step).max() < 1e-10:
            break
    return strengths - strengths.mean()


@dataclass(frozen=True, slots=True)
class Agreement:
    """Agreement of judges and people on pairs of models that both compared.

    Attributes:
        pairs: Pairs of models, each with the win rate of the first by verdicts and by votes, and the numbers of both.
    """

    pairs: tuple[tuple[str, str, float, float, int, int], ...]

    @property
    def same(self) -> int:
        """Pairs on which both prefer the same model."""
        return sum((judges - 0.5) * (people - 0.5) > 0 for _, _, judges, people, _, _ in self.pairs)


def agreement(found: Sequence[Comparison]) -> Agreement:
    """Return how far judges and people agree, by pairs of models that both compared; reference answers have no votes."""
    shares: dict[tuple[str, str], dict[str, list[float]]] = {}
    for one in found:
        if REFERENCE in (one.first, one.second):
            continue
        turned = one.first > one.second
        pair = (one.second, one.first) if turned else (one.first, one.second)
        by_source = shares.setdefault(pair, {"verdicts": [], "votes": []})
        by_source[one.source].append(1 - one.share if turned else one.share)
    return Agreement(tuple(
        (*pair, float(np.mean(by["verdicts"])), float(np.mean(by["votes"])), len(by["verdicts"]), len(by["votes"]))
        for pair, by in shares.items()
        if by["verdicts"] and by["votes"]
    ))  # fmt: skip
