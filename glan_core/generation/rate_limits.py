"""Rate limits: adaptive concurrency, outage detection, buckets per minute, and the budget."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from glan_core.formatting import usd

Clock = Callable[[], float]


class Concurrency:
    """Limits the calls in flight of one endpoint by its refusals (429), timeouts and throughput.

    Refusals: additive increase, and decrease in proportion to their share. Halving at each 429 would collapse if a few percent of
    the requests are refused at random. Instead, once per window of as many results as the limit, the limit is reduced by half the
    share of refused ones. If nearly all of the latest results are refusals, the endpoint is closed: no request is sent until its
    Retry-After has passed, then a single one probes it.

    Throughput: the limit doubles per window (a small one quadruples) while the endpoint completes more calls or more tokens per second
    with it. A server that answers one request at a time completes the same, only later; then the limit returns to the smaller value,
    and the larger one is tried again after a while, each time later: a pause of this machine looks the same as a busy server. Both
    are considered because the calls of stages differ in length.

    Timeouts: the limit is halved, and stays below the larger value for long, except after a standstill of the server.

    Source of the proportional decrease: DCTCP, RFC 8257.
    """

    START = 64  # initial limit, or half of the maximum if that is more
    LOCAL_START = 2  # initial limit for an endpoint on this machine or in its network
    PAUSE = 1.0  # seconds, without Retry-After
    MIN_PAUSE = 0.05  # seconds, so that 'Retry-After: 0' does not cause a request storm
    RECENT = 16  # latest results that decide whether the endpoint is closed
    CLOSED_SHARE = 0.75  # of refusals among them
    MIN_WINDOW = 4  # results, because a smaller number tells nothing about throughput
    FAST_BELOW = 128  # limit up to which slow start quadruples instead of doubling
    MIN_GAIN = 0.25  # of the throughput that a larger limit should add in proportion; less means that the server is saturated
    FIRST_RETRY = 5  # windows after which a saturated server is tried with a larger limit again; doubled each time
    LAST_RETRY = 40  # windows at most, and after a timeout unless the limit was as small as `LOCAL_START`

    def __init__(self, most: int, clock: Clock = time.monotonic, *, local: bool = False) -> None:
        self.most = most
        self.limit = float(min(most, self.LOCAL_START if local else max(self.START, most // 2)))
        self.closed_until = 0.0
        self._clock = clock
        self._doubling = True  # slow start: multiply per window until the first refusal, timeout, or saturation
        self._outcomes = self._refused = self._timeouts = 0
        self._timeouts_in_row, self._before_row = 0, (0.0, 0.0)  # since the last reply; limit and ceiling before them
        self._half = 0.0  # half of the limit before a standstill of the server; 0 after a refusal
        self._recent: deque[bool] = deque(maxlen=self.RECENT)
        self._probing = False  # closed, and one request is sent to see whether it still is
        self._window_began, self._tokens, self._full_window = clock(), 0, True
        self._before: tuple[float, float, float] | None = None  # limit of the window before; best calls and tokens per second
        self._ceiling = float("inf")
        self._windows_at_ceiling, self._retry_after = 0, self.FIRST_RETRY

    def allows(self, in_flight: int) -> bool:
        """Return whether another call may be sent now."""
        if self._clock() < self.closed_until:
            return False
        return in_flight < (1 if self._probing else int(self.limit))

    def served(self, tokens: int = 1, *, full: bool = True) -> None:
        """Record a successful call.

        Args:
            tokens: Completion tokens.
            full: Whether as many calls as allowed were in flight. With fewer, the throughput says nothing about the limit.
        """
        self._probing, self._timeouts_in_row = False, 0
        self._recent.append(False)
        self._tokens += tokens
        self._full_window = self._full_window and full
        self._outcome()

    def refused(self, retry_after: float | None) -> float:
        """Record a 429 response; return the seconds until the call may be repeated."""
        wait = self.PAUSE if retry_after is None else max(retry_after, self.MIN_PAUSE)
        self._doubling, self._half = False, 0.0
        self._refused += 1
        self._recent.append(True)
        full = len(self._recent) == self.RECENT
        if self._probing or (full and sum(self._recent) >= self.CLOSED_SHARE * self.RECENT):
            self.close(wait)
        self._outcome()
        return wait

    def timed_out(self) -> None:
        """Record a call without a reply in time: the limit is halved, at most once per window.

        If all calls in flight time out, which lasts several windows, the server stood still. When it replies again, the limit soon
        returns to half of what it was.
        """
        self._doubling = False
        if not self._timeouts_in_row:
            self._before_row = self.limit, self._ceiling
            if self.limit > self.LOCAL_START:  # the first calls may wait until a model is loaded
                self._retry_after = self.LAST_RETRY
        if not self._timeouts:
            self._ceiling = min(self._ceiling, max(1.0, 0.75 * self.limit))
            self.limit = max(1.0, self.limit / 2)
        self._timeouts += 1
        self._timeouts_in_row += 1
        if self._stands_still:
            limit, ceiling = self._before_row
            self._ceiling, self._half = min(ceiling, max(1.0, 0.75 * limit)), limit / 2
        self._outcome()

    def close(self, seconds: float) -> None:
        """Send nothing for this time, then a single request."""
        self.closed_until = max(self.closed_until, self._clock() + seconds)
        self._probing = True

    def _outcome(self) -> None:
        self._outcomes += 1
        if self._outcomes < max(self.MIN_WINDOW, int(self.limit)):
            return
        share, now = self._refused / self._outcomes, self._clock()
        seconds = max(now - self._window_began, 1e-9)
        rates = (self._outcomes / seconds, self._tokens / seconds)
        clean, full = not self._refused and not self._timeouts, self._full_window
        self._outcomes = self._refused = self._timeouts = self._tokens = 0
        self._window_began, self._full_window = now, True
        if not full:
            self._before = None
            self.limit = max(1.0, self.limit * (1 - share / 2))  # what refused calls suggest, and no growth
        elif clean and self._is_saturated(*rates):
            self.limit = self._ceiling = self._before[0] if self._before else self.limit
            self._before, self._doubling = None, False
        else:
            _, calls, tokens = self._before or (0.0, 0.0, 0.0)
            self._before = (self.limit, max(calls, rates[0]), max(tokens, rates[1])) if clean else None
            if self._doubling:
                self.limit = min(self.most, self.limit * (4 if self.limit < self.FAST_BELOW / 2 else 2))
            elif not self._stands_still:
                self._grow_slowly(share, clean=clean)

    @property
    def _stands_still(self) -> bool:
        """Whether all calls that may have been in flight timed out, without a reply in between."""
        return self._timeouts_in_row > 0 and self._timeouts_in_row >= int(self._before_row[0])

    def _is_saturated(self, calls: float, tokens: float) -> bool:
        """Whether the larger limit of this window completed hardly more per second than the best window before."""
        if self._before is None or not self._doubling or self.limit < 1.5 * self._before[0]:
            return False
        limit, calls_before, tokens_before = self._before
        wanted = 1 + self.MIN_GAIN * (self.limit / limit - 1)
        return calls < wanted * calls_before and tokens < wanted * max(tokens_before, 1e-9)

    def _grow_slowly(self, share: float, *, clean: bool) -> None:
        """Additive increase up to the ceiling, faster after timeouts, and decrease by the share of refused calls."""
        step = max(1.0, self.most / 32) * (1 - share)
        recovered = min(2 * self.limit, self._half) if clean else 0.0
        self.limit = min(self.most, max(1.0, self.limit * (1 - share / 2) + step, recovered))
        if self.limit < self._ceiling:
            return
        self.limit = max(1.0, min(self.limit, self._ceiling))
        self._windows_at_ceiling += 1
        if self._windows_at_ceiling >= self._retry_after:
            self._windows_at_ceiling, self._ceiling, self._doubling = 0, float("inf"), True
            self._retry_after = min(self.LAST_RETRY, 2 * self._retry_after)

    def collapse(self, seconds: float) -> None:
        """Pause for an outage, then restart with one call and slow start."""
        self.limit, self._doubling, self._timeouts_in_row, self._half = 1.0, True, 0, 0.0
        self._outcomes = self._refused = self._timeouts = self._tokens = 0
        self._window_began, self._full_window, self._before = self._clock(), True, None
        self.close(seconds)


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
    def in_a_row(self) -> int:
        """Errors without a reply in between."""
        return self._faults

    @property
    def seconds(self) -> float:
        """Seconds since the first of the errors in a row, 0 without any."""
        return self._clock() - self._since if self._faults else 0.0

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

    @property
    def limited(self) -> bool:
        """Whether there is a limit."""
        return self._per_second is not None

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
        return f"The budget of {usd(self.usd or 0.0)} does not cover another call ({usd(self.spent_usd)} spent)"
