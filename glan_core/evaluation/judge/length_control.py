"""Length-controlled win rate: the win rate that a match would have if both models answered at the same length.

Judges prefer longer answers. A logistic regression of the preference on the difference of lengths separates this preference from
that for the model: its intercept is the preference at equal length.

Source: Dubois et al., Length-Controlled AlpacaEval, arXiv 2404.04475; without its terms for questions.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RIDGE = 1.0  # penalty on the effect of length, which is infinite if the longer answer always wins
RESAMPLES, SEED = 300, 0
FEWEST = 10  # questions
FEWEST_EACH = 3  # questions on which each side has the longer answer: below, length and model cannot be separated


@dataclass(frozen=True, slots=True)
class LengthControl:
    """Win rate at equal length.

    Attributes:
        longer: Share of the questions on which our answer is longer.
        shorter: Share of the questions on which it is shorter.
        win_rate: Win rate at equal length (ties count half), None if it cannot be separated from length.
        low: Lower bound of its 95% bootstrap interval.
        high: Upper bound of its 95% bootstrap interval.
    """

    longer: float
    shorter: float
    win_rate: float | None
    low: float | None
    high: float | None


def length_control(differences: Sequence[float], ours: Sequence[int], other: Sequence[int]) -> LengthControl | None:
    """Return the length-controlled win rate of a match.

    Args:
        differences: Score differences of the judged questions.
        ours: Lengths of our answers, in characters.
        other: Lengths of the other answers.

    Returns:
        The win rate, None without questions.
    """
    wins = (np.sign(np.asarray(differences, float)) + 1) / 2
    lengths = np.asarray(ours, float) - np.asarray(other, float)
    if not len(wins):
        return None
    longer, shorter = float((lengths > 0).mean()), float((lengths < 0).mean())
    if len(wins) < FEWEST or min((lengths > 0).sum(), (lengths < 0).sum()) < FEWEST_EACH:
        return LengthControl(longer, shorter, None, None, None)
    scaled = np.tanh(lengths / lengths.std())
    rng = np.random.default_rng(SEED)
    drawn = [rng.integers(len(wins), size=len(wins)) for _ in range(RESAMPLES)]
    rates = [_share(fit_logistic(scaled[rows], wins[rows])[0]) for rows in drawn]
    low, high = np.percentile(rates, [2.5, 97.5])
    return LengthControl(longer, shorter, _share(fit_logistic(scaled, wins)[0]), float(low), float(high))


def fit_logistic(x: np.ndarray, y: np.ndarray, ridge: float = RIDGE, *, steps: int = 50) -> tuple[float, float]:
    """Fit y = logistic(intercept + slope x) by Newton's method, with a ridge penalty on the slope.

    The intercept has a penalty of 1e-3, which keeps it finite if all outcomes are equal.

    Returns:
        Intercept and slope.
    """
    design, weights, penalty = np.column_stack([np.ones_like(x), x]), np.zeros(2), np.array([1e-3, ridge])
    for _ in range(steps):
        p = 1 / (1 + np.exp(-design @ weights))
        gradient = design.T @ (y - p) - penalty * weights
        hessian = (design * (p * (1 - p))[:, None]).T @ design + np.diag(penalty)
        step = np.linalg.solve(hessian, gradient)
        weights = weights + np.clip(step, -2, 2)
        if np.abs(step).max() < 1e-10:
            break
    return float(weights[0]), float(weights[1])


def _share(intercept: float) -> float:
    return float(1 / (1 + np.exp(-intercept)))
