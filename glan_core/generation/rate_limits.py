"""Rate limits: adaptive concurrency, outage detection, buckets per minute, and the budget."""

import time
from collections.abc import Callable
from dataclasses import dataclass

Clock = Callable[[], float]


class Concurrency:
    """Limits the calls in flight with additive increase, and decrease in proportion to the share of 429 responses.

    Halving at each 429 would collapse if a few percent of the requests are refused at random. Instead, once per window of as many
    results as the limit, the limit is reduced by half the share of refused ones. Two refusals without a success in between mean
    that the endpoint is closed: no request is sent until its Retry-After has passed.

    Source: DCTCP, RFC 8257.
    """

    START = 64  # initial limit, or half of the maximum if that is more
    PAUSE = 1.0  # seconds, without Retry-After
    MIN_PAUSE = 0.05  # seconds, so that 'Retry-After: 0' does not cause a request storm

    def __init__(self, most: int, clock: Clock = time.monotonic) -> None:
        self.most = most
        self.limit = float(min(most, max(self.START, most // 2)))
        self.closed_until = 0.0
        self._clock = clock
        self._probing = True  # slow start: double per window until the first refusal
        self._outcomes = self._refused = 0
        self._last_refused = False

    def served(self) -> None:
        """Record a successful call."""
        self._last_refused = False
        if self._probing:
            self.limit = min(self.most, self.limit + 1)
        self._outcome()

    def refused(self, retry_after: float | None) -> float:
        """Record a 429 response; return the seconds until the call may be repeated."""
        wait = self.PAUSE if retry_after is None else max(retry_after, self.MIN_PAUSE)
        self._probing = False
        self._refused += 1
        if self._last_refused:
            self.closed_until = max(self.closed_until, self._clock() + wait)
        self._last_refused = True
        self._outcome()
        return wait

    def _outcome(self) -> None:
        self._outcomes += 1
        if self._outcomes < self.limit:
            return
        share = self._refused / self._outcomes
        if not self._probing:
            self.limit = min(self.most, max(1.0, self.limit * (1 - share / 2) + max(1.0, self.most / 32) * (1 - share)))
        self._outcomes = self._refused = 0

    def collapse(self, seconds: float) -> None:
        """Pause for an outage, then restart with one call and slow start."""
        self.limit, self._probing = 1.0, True
        self._outcomes = self._refused = 0
        self.closed_until = max(self.closed_until, self._clock() + seconds)


class Outage:
    """Distinguishes an unavailable endpoint from occasional errors.

    An endpoint is down after `IN_A_ROW` errors without a reply in between. It is gone `GONE_SECONDS` later, or after
    `NEVER_REACHED` refused connections if it has never replied.
    """

    IN_A_ROW = 10
    NEVER_REACHED = 5
    GONE_SECONDS = 90.0

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._faults = 0
        self._since = 0.0
        self._reached = False

    def end(self) -> None:
        """Record a reply."""
        self._faults, self._reached = 0, True

    def fault(self, *, sent: bool) -> None:
        """Record an error.

        Args:
            sent: Whether the request reached the endpoint; False if the connection was refused.
        """
        if not self._faults:
            self._since = self._clock()
        self._faults += 1
        self._reached = self._reached or sent

    @property
    def down(self) -> bool:
        """Whether the endpoint is unavailable."""
        return self._faults >= self.IN_A_ROW

    @property
    def gone(self) -> bool:
        """Whether the endpoint is unavailable for so long that the run should stop."""
        never = not self._reached and self._faults >= self.NEVER_REACHED
        return never or (self.down and self._clock() - self._since > self.GONE_SECONDS)

    @property
    def pause(self) -> float:
        """Seconds to wait before the next attempt, 1 to 30, growing with the outage."""
        return min(30.0, max(1.0, self._clock() - self._since))


class Rate:
    """A token bucket with `per_minute` units per minute; it holds units for one second, or for one call if that is more."""

    def __init__(self, per_minute: int | None, clock: Clock = time.monotonic) -> None:
        self._per_second = per_minute / 60 if per_minute else None
        self._clock = clock
        self._free_at = 0.0

    def wait(self) -> float:
        """Return the seconds until the next call may be sent."""
        return 0.0 if self._per_second is None else max(0.0, self._free_at - self._clock())

    def take(self, units: float) -> None:
        """Consume units; a negative number returns units."""
        if self._per_second is not None:
            now = self._clock()
            self._free_at = max(self._free_at, now - 1.0) + units / self._per_second


@dataclass(slots=True)
class Budget:
    """A hard limit in USD and calls, including calls in flight at their maximum price.

    Call `reserve` before a call and `settle` after it; spent plus reserved amounts never exceed a limit.
    """

    usd: float | None = None
    calls: int | None = None
    spent_usd: float = 0.0
    spent_calls: int = 0
    reserved_usd: float = 0.0
    reserved_calls: int = 0

    def reserve(self, worst_usd: float) -> bool:
        """Reserve the maximum price of a call; return False if it exceeds the budget."""
        if self.calls is not None and self.spent_calls + self.reserved_calls + 1 > self.calls:
            return False
        if self.usd is not None and self.spent_usd + self.reserved_usd + worst_usd > self.usd + 1e-12:
            return False
        self.reserved_usd += worst_usd
        self.reserved_calls += 1
        return True

    def settle(self, worst_usd: float, usd: float, *, paid: bool = True) -> None:
        """Replace a reservation by the actual cost.

        Args:
            worst_usd: The reserved price.
            usd: The actual cost.
            paid: Whether the call was served.
        """
        self.reserved_usd -= worst_usd
        self.reserved_calls -= 1
        self.spent_usd += usd
        self.spent_calls += paid

    def reason(self) -> str:
        """Return why no further call is allowed."""
        if self.calls is not None and self.spent_calls >= self.calls:
            return f"The limit of {self.calls:,} calls is reached"
        return f"The budget of ${self.usd:,.2f} does not cover another call (${self.spent_usd:,.4f} spent)"
