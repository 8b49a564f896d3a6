"""Proportions: confidence intervals that hold for small samples and for shares near 0 and 1."""

import math

Z = 1.959963984540054  # 97.5% quantile of the normal distribution


def wilson_interval(successes: float, number: int) -> tuple[float, float] | None:
    """Return the 95% Wilson score interval of a proportion, None without trials.

    The normal approximation gives an interval of width 0 for 0 or all successes, and bounds below 0 or above 1 near them.

    Args:
        successes: Number of successes; a mean of partial scores times `number` is accepted.
        number: Number of trials.

    Source: Wilson, 1927.
    """
    if number <= 0:
        return None
    share, scale = min(1.0, max(0.0, successes / number)), Z * Z / number
    center = (share + scale / 2) / (1 + scale)
    half = Z / (1 + scale) * math.sqrt(share * (1 - share) / number + scale / (4 * number))
    return (0.0 if share == 0 else max(0.0, center - half)), (1.0 if share == 1 else min(1.0, center + half))
