"""Injected faults of the scripted endpoint: rates of each type, distributed by a deterministic schedule."""

import random
from dataclasses import dataclass, fields

from glan_core.errors import GlanError

BLOCK = 100


@dataclass(frozen=True)
class Faults:
    """Fractions of requests that fail, from 0 to 1.

    Attributes:
        rate_429: Rate-limited requests.
        rate_500: Server errors.
        rate_reset: Connection resets.
        rate_cut: Replies truncated in transit.
        retry_after: Retry-After of a 429 response in seconds.

    Raises:
        GlanError: If the rates or their sum are not between 0 and 1.
    """

    rate_429: float = 0.0
    rate_500: float = 0.0
    rate_reset: float = 0.0
    rate_cut: float = 0.0
    retry_after: float = 1.0

    def __post_init__(self) -> None:
        if any(rate < 0 for rate in self.rates().values()) or sum(self.rates().values()) > 1 + 1e-9:
            raise GlanError("Fault rates and their sum must be between 0 and 1.")

    @classmethod
    def spread(cls, fail_rate: float, retry_after: float = 1.0) -> "Faults":
        """Divide a total fault rate 5:2:1:1 among 429, 500, reset and cut."""
        ninth = fail_rate / 9
        return cls(5 * ninth, 2 * ninth, ninth, ninth, retry_after)

    def rates(self) -> dict[str, float]:
        """Return the rate of each type of fault."""
        return {f.name.removeprefix("rate_"): getattr(self, f.name) for f in fields(self) if f.name.startswith("rate_")}


class Schedule:
    """Deterministic faults: each block of 100 requests has the configured number of each type, in seeded random order.

    Fractional numbers per block are carried over to the following blocks.
    """

    def __init__(self, faults: Faults, seed: int) -> None:
        self._rates = faults.rates()
        self._random = random.Random(seed)
        self._blocks = 0
        self._left: list[str | None] = []

    def next(self) -> str | None:
        """Return the fault of the next request, None if it succeeds."""
        if not self._left:
            self._left = self._block()
        return self._left.pop()

    def _block(self) -> list[str | None]:
        before, after = self._blocks * BLOCK, (self._blocks + 1) * BLOCK
        self._blocks += 1
        # Add an epsilon before rounding down: 0.07 * 100 is slightly less than 7 in floating point.
        kinds = [
            kind for kind, rate in self._rates.items() for _ in range(int(rate * after + 1e-6) - int(rate * before + 1e-6))
        ]
        block = (kinds + [None] * BLOCK)[:BLOCK]
        self._random.shuffle(block)
        return block
