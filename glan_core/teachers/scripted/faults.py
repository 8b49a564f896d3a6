"""Which requests to the scripted endpoint go wrong, and how: shares of each kind, spread by a fixed schedule."""

import random
from dataclasses import dataclass, fields

from glan_core.errors import GlanError

BLOCK = 100


@dataclass(frozen=True)
class Faults:
    """Shares of requests, from 0 to 1, that go wrong: refused as too many, failed, reset, or cut in the middle.

    `retry_after` is what a 429 tells the client to wait, in seconds. GlanError for shares that can't be.
    """

    rate_429: float = 0.0
    rate_500: float = 0.0
    rate_reset: float = 0.0
    rate_cut: float = 0.0
    retry_after: float = 1.0

    def __post_init__(self) -> None:
        if any(rate < 0 for rate in self.rates().values()) or sum(self.rates().values()) > 1 + 1e-9:
            raise GlanError("The shares of requests that fail must lie between 0 and 1, and so must their sum.")

    @classmethod
    def spread(cls, fail_rate: float, retry_after: float = 1.0) -> "Faults":
        """A total share of failures, divided 5:2:1:1 among 429, 500, reset and cut."""
        ninth = fail_rate / 9
        return cls(5 * ninth, 2 * ninth, ninth, ninth, retry_after)

    def rates(self) -> dict[str, float]:
        """The share of each kind of fault."""
        return {f.name.removeprefix("rate_"): getattr(self, f.name) for f in fields(self) if f.name.startswith("rate_")}


class Schedule:
    """Which request fails how: in every block of 100 requests the stated number of each kind, shuffled by a seed.

    A share that makes no whole number in a block (0.005: a half) is made up over the following blocks.
    """

    def __init__(self, faults: Faults, seed: int) -> None:
        self._rates = faults.rates()
        self._random = random.Random(seed)
        self._blocks = 0
        self._left: list[str | None] = []

    def next(self) -> str | None:
        """The fault of the next request, or None when it is to be served."""
        if not self._left:
            self._left = self._block()
        return self._left.pop()

    def _block(self) -> list[str | None]:
        before, after = self._blocks * BLOCK, (self._blocks + 1) * BLOCK
        self._blocks += 1
        # A hair is added before rounding down, for 0.07 * 100 is a little less than 7 in floating point.
        kinds = [
            kind for kind, rate in self._rates.items() for _ in range(int(rate * after + 1e-6) - int(rate * before + 1e-6))
        ]
        block = (kinds + [None] * BLOCK)[:BLOCK]
        self._random.shuffle(block)
        return block
