"""What bounds the calls of a run: the endpoint's patience, rates per minute, and the budget."""

import time
from collections.abc import Callable
from dataclasses import dataclass

Clock = Callable[[], float]


class Concurrency:
    """How many calls may be in flight: additive increase, decrease in proportion to the share of 429s.

    A plain halving at each 429 would collapse where a few requests in a hundred are refused at random, so the decrease
    follows DCTCP (RFC 8257): once per window of as many outcomes as are allowed in flight, the limit is cut by half the
    share of them that were refused. Two refusals with no success between them mean that the endpoint is closed for
    now: nothing is sent until its Retry-After has passed.
    """

    START = 64  # at once, or half of what is allowed if that is more
    PAUSE = 1.0  # seconds, where the endpoint names no wait
    LEAST = 0.05  # seconds, whatever the endpoint names: 'Retry-After: 0' must not make a storm

    def __init__(self, most: int, clock: Clock = time.monotonic) -> None:
        self.most = most
        self.limit = float(min(most, max(self.START, most // 2)))
        self.closed_until = 0.0
        self._clock = clock
        self._probing = True  # doubling per window until the first refusal, like slow start
        self._outcomes = self._refused = 0
        self._last_refused = False

    def served(self) -> None:
        """A call was answered."""
        self._last_refused = False
        if self._probing:
            self.limit = min(self.most, self.limit + 1)
        self._outcome()

    def refused(self, retry_after: float | None) -> float:
        """A call was refused with 429; the seconds after which it may be sent again."""
        wait = self.PAUSE if retry_after is None else max(retry_after, self.LEAST)
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
        """The endpoint is down: send nothing for a while, then one call, and more as calls are answered again."""
        self.limit, self._probing = 1.0, True
        self._outcomes = self._refused = 0
        self.closed_until = max(self.closed_until, self._clock() + seconds)


class Outage:
    """Tells an endpoint that is down from calls that fail now and then.

    It counts as down after `IN_A_ROW` faults with no reply between them, and as gone for good `GONE_SECONDS` later, or after
    `NEVER_REACHED` refused connections when nothing else has ever come back from it.
    """

    IN_A_ROW = 10
    NEVER_REACHED = 5
    GONE_SECONDS = 90.0

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._faults = 0
        self._since = 0.0
        self._reached = False

    def over(self) -> None:
        """A reply came."""
        self._faults, self._reached = 0, True

    def fault(self, sent: bool) -> None:
        """A call failed; `sent` False when the connection was refused."""
        if not self._faults:
            self._since = self._clock()
        self._faults += 1
        self._reached = self._reached or sent

    @property
    def down(self) -> bool:
        """Whether it is the endpoint that fails rather than single calls."""
        return self._faults >= self.IN_A_ROW

    @property
    def gone(self) -> bool:
        """Whether waiting for it makes no sense any more."""
        never = not self._reached and self._faults >= self.NEVER_REACHED
        return never or (self.down and self._clock() - self._since > self.GONE_SECONDS)

    @property
    def pause(self) -> float:
        """Seconds to wait before it is tried again: longer the longer it is down, at most half a minute."""
        return min(30.0, max(1.0, self._clock() - self._since))


class Rate:
    """At most `per_minute` units a minute, as a bucket that holds one second's worth, or one call's if that is more."""

    def __init__(self, per_minute: int | None, clock: Clock = time.monotonic) -> None:
        self._per_second = per_minute / 60 if per_minute else None
        self._clock = clock
        self._free_at = 0.0

    def wait(self) -> float:
        """Seconds until the next call may be sent."""
        return 0.0 if self._per_second is None else max(0.0, self._free_at - self._clock())

    def take(self, units: float) -> None:
        """Count what is being sent; a negative number gives back what was counted too much."""
        if self._per_second is not None:
            now = self._clock()
            self._free_at = max(self._free_at, now - 1.0) + units / self._per_second


@dataclass(slots=True)
class Budget:
    """A hard limit in money and in calls, what is in flight counted at its worst.

    `reserve` before a call, `settle` after it, so that spent + reserved never passes a limit.
    """

    usd: float | None = None
    calls: int | None = None
    spent_usd: float = 0.0
    spent_calls: int = 0
    reserved_usd: float = 0.0
    reserved_calls: int = 0

    def reserve(self, worst_usd: float) -> bool:
        """Set aside what a call may cost at worst; False when it does not fit, now or ever."""
        if self.calls is not None and self.spent_calls + self.reserved_calls + 1 > self.calls:
            return False
        if self.usd is not None and self.spent_usd + self.reserved_usd + worst_usd > self.usd + 1e-12:
            return False
        self.reserved_usd += worst_usd
        self.reserved_calls += 1
        return True

    def settle(self, worst_usd: float, usd: float, paid: bool = True) -> None:
        """Give back what was set aside and count what the call did cost; `paid` False when it was not served."""
        self.reserved_usd -= worst_usd
        self.reserved_calls -= 1
        self.spent_usd += usd
        self.spent_calls += paid

    def reason(self) -> str:
        """Why nothing more may be spent, for a person."""
        if self.calls is not None and self.spent_calls >= self.calls:
            return f"The limit of {self.calls:,} calls is reached"
        return f"The budget of ${self.usd:,.2f} does not cover another call (${self.spent_usd:,.4f} is spent)"
