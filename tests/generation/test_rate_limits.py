"""Limits of a run: concurrency, rates and budget."""

from collections.abc import Callable
from itertools import pairwise
from types import SimpleNamespace

import pytest

from glan_core.generation.endpoint_gates import EndpointGates
from glan_core.generation.rate_limits import Budget, Concurrency, Rate


class Clock:
    """A clock that is advanced manually."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def outcomes(limit: Concurrency, number: int, refuse_every: int | None) -> None:
    """Record this number of results, every nth of them a refusal."""
    for n in range(1, number + 1):
        if refuse_every and n % refuse_every == 0:
            limit.refused(0.1)
        else:
            limit.served()


# ----------------------------------------------------------------------------------------------------------- concurrency


def test_concurrency_multiplies_per_window_up_to_the_most_while_it_completes_more():
    clock = Clock()
    limit = Concurrency(1000, clock, local=True)
    seen = []
    for _ in range(7):
        seen.append(limit.limit)
        number = max(4, int(limit.limit))
        clock.now += number / limit.limit  # every call takes one second
        outcomes(limit, number, None)
    assert seen == [2, 8, 32, 128, 256, 512, 1000]


def windows(limit: Concurrency, clock: Clock, number: int, rate: Callable[[int, float], float]) -> list[int]:
    """Return the limit after each of a number of windows whose calls per second are a function of window and limit."""
    seen = []
    for window in range(number):
        results = max(4, int(limit.limit))
        clock.now += results / rate(window, limit.limit)
        outcomes(limit, results, None)
        seen.append(int(limit.limit))
    return seen


def test_a_serial_server_is_not_flooded_and_tried_again_later_each_time():
    clock = Clock()
    seen = windows(Concurrency(256, clock, local=True), clock, 200, lambda window, limit: 1.0)
    assert set(seen) == {2, 8}
    tried = [window for window, limit in enumerate(seen) if limit == 8]
    assert [later - earlier for earlier, later in pairwise(tried)] == [7, 12, 22, 42, 42, 42], "5 windows, 10, 20, then 40"


def test_a_pause_of_this_machine_does_not_limit_a_server_for_long():
    clock = Clock()
    seen = windows(Concurrency(256, clock, local=True), clock, 12, lambda window, limit: 5 * limit / (4 if window == 2 else 1))
    assert seen == [8, 32, 8, 8, 8, 8, 8, 8, 32, 128, 256, 256]


def test_a_server_that_times_out_is_tried_again_much_later():
    clock = Clock()
    limit = Concurrency(256, clock, local=True)
    windows(limit, clock, 2, lambda window, limit: 5 * limit)
    limit.timed_out()
    assert max(windows(limit, clock, 35, lambda window, limit: 5 * limit)) == 24, "three quarters of the limit with the timeout"
    assert max(windows(limit, clock, 35, lambda window, limit: 5 * limit)) == 256


@pytest.mark.parametrize("timeouts", [1.0, 1.5, 3.0])
@pytest.mark.parametrize("most", [16, 64, 256])
def test_half_of_the_limit_is_soon_reached_again_after_all_calls_in_flight_timed_out(most, timeouts):
    clock = Clock()
    limit = Concurrency(most, clock, local=True)
    windows(limit, clock, 10, lambda window, limit: 5 * limit)
    for _ in range(int(timeouts * most)):
        limit.timed_out()
    assert limit.limit < most / 4, "few calls are at stake until the server replies"
    seen = windows(limit, clock, 20, lambda window, limit: 5 * limit)
    assert max(seen[:6]) >= most / 2 and max(seen) == 0.75 * most


def test_timeouts_between_replies_limit_a_server_for_long():
    clock = Clock()
    limit = Concurrency(64, clock)
    for _ in range(16):
        for _ in range(3):
            limit.timed_out()
        limit.served()
    assert max(windows(limit, clock, 20, lambda window, limit: 5 * limit)) <= 12


def test_no_fast_return_after_refusals():
    clock = Clock()
    limit = Concurrency(256, clock)
    for _ in range(256):
        limit.timed_out()
    limit.refused(None)
    seen = windows(limit, clock, 5, lambda window, limit: 5 * limit)
    assert all(later - earlier <= 8 for earlier, later in pairwise(seen)), "by a 32nd of the most"


def test_a_first_call_that_times_out_does_not_limit_a_server_for_long():
    clock = Clock()
    limit = Concurrency(32, clock, local=True)
    limit.timed_out()
    limit.timed_out()
    assert int(limit.limit) == 1
    seen = windows(limit, clock, 12, lambda window, limit: 5 * limit)
    assert seen[:4] == [1, 1, 1, 1] and seen[-1] == 32


def test_windows_that_are_not_full_say_nothing_about_the_limit():
    limit = Concurrency(256, Clock(), local=True)
    for _ in range(96):
        limit.served(10, full=False)
    assert limit.limit == 2
    for _ in range(4):
        limit.served(10, full=True)
    assert limit.limit == 8


@pytest.mark.parametrize("fault", ["refused", "timed_out"])
def test_faults_do_not_make_a_limit_grow_that_is_not_used(fault):
    limit = Concurrency(256, Clock())
    start = limit.limit
    for number in range(5000):
        limit.served(full=False)
        if number % 50 == 0:
            limit.refused(None) if fault == "refused" else limit.timed_out()
        assert limit.limit <= start


def test_a_server_that_answers_five_at_a_time_is_not_flooded():
    """Its groups do not divide the limit, so that windows end amid a group."""
    clock = Clock()
    gates = EndpointGates({"question": SimpleNamespace(name="openai:m", url="http://127.0.0.1:1/v1")}, 256, clock)
    gate, seen = next(iter(gates.all())), []
    for _ in range(400):
        gate.in_flight = int(gate.concurrency.limit)
        gates.record_full()
        clock.now += 1.0
        for _ in range(min(5, gate.in_flight)):
            gate.in_flight -= 1
            gate.concurrency.served(full=gate.full)
        seen.append(int(gate.concurrency.limit))
    assert set(seen) == {2, 8, 32} and seen.count(32) == 48, "a trial of 32 lasts 6 seconds"


def test_a_timeout_halves_the_limit_once_per_window():
    limit = Concurrency(64, Clock())
    limit.timed_out()
    limit.timed_out()
    assert limit.limit == 32
    for _ in range(29):
        limit.served()
    limit.timed_out()
    assert limit.limit == 34, "still the same window, at whose end the limit grows by a 32nd of the most"
    limit.timed_out()
    assert limit.limit == 17


def test_a_modest_concurrency_is_tried_at_once():
    assert Concurrency(64).limit == 64 and Concurrency(100).limit == 64


def test_a_small_most_is_never_passed():
    limit = Concurrency(3)
    outcomes(limit, 100, None)
    assert limit.limit == 3


def test_all_refused_brings_concurrency_down_to_one_and_success_brings_it_back():
    limit = Concurrency(256)
    outcomes(limit, 600, 1)
    assert 1 <= limit.limit < 2
    outcomes(limit, 5000, None)
    assert limit.limit == 256


def test_a_few_refusals_in_a_hundred_cost_little_concurrency():
    limit = Concurrency(256)
    outcomes(limit, 20_000, 20)
    assert limit.limit > 150


def test_half_refused_settles_well_below_the_most():
    limit = Concurrency(256)
    outcomes(limit, 20_000, 2)
    assert 2 <= limit.limit < 40


def test_an_endpoint_is_closed_by_the_share_of_refusals_and_then_probed_with_one_call():
    clock = Clock()
    limit = Concurrency(64, clock)
    for _ in range(4):
        limit.served()
    for nth in range(12):  # 12 of the latest 16 results
        assert limit.allows(0) and limit.closed_until <= clock.now
        limit.refused(5 if nth < 11 else 7)
    assert limit.closed_until == clock.now + 7 and not limit.allows(0)
    clock.now += 7
    assert limit.allows(0) and not limit.allows(1)
    limit.refused(3)
    assert limit.closed_until == clock.now + 3
    clock.now += 3
    assert limit.allows(0) and not limit.allows(1)
    limit.served()
    assert limit.allows(20)


@pytest.mark.parametrize("every", [2, 3, 20])
def test_refusals_of_some_requests_never_close_an_endpoint(every):
    clock = Clock()
    limit = Concurrency(64, clock)
    outcomes(limit, 500, every)
    limit.refused(9)
    limit.refused(9)
    assert limit.closed_until <= clock.now


def test_a_refused_call_waits_as_told_else_a_while_and_never_not_at_all():
    limit = Concurrency(64, Clock())
    assert limit.refused(3.5) == 3.5
    assert limit.refused(None) == Concurrency.PAUSE
    assert limit.refused(0) == Concurrency.MIN_PAUSE > 0


# ----------------------------------------------------------------------------------------------------------------- rates


def sent_in(seconds: float, per_minute: int, units: float) -> int:
    """Return how many calls of this size a rate allows in a time if each is sent as soon as possible."""
    clock, sent = Clock(), 0
    rate = Rate(per_minute, clock)
    end = clock.now + seconds
    while clock.now < end:
        if wait := rate.wait():
            clock.now += max(wait, 1e-6)
        else:
            rate.take(units)
            sent += 1
    return sent


@pytest.mark.parametrize(("per_minute", "units"), [(60, 1), (600, 1), (6000, 1), (7, 1), (90_000, 1500), (1000, 4000)])
def test_a_rate_lets_through_what_it_says_and_at_most_a_seconds_worth_or_one_call_more(per_minute, units):
    allowed = per_minute * 10 / units
    extra = max(1, per_minute / 60 / units) + 1
    assert allowed - 1 <= sent_in(600, per_minute, units) <= allowed + extra


def test_after_a_long_rest_a_rate_allows_no_more_than_a_seconds_worth_at_once():
    clock = Clock()
    rate = Rate(600, clock)
    clock.now += 3600
    burst = 0
    while not rate.wait():
        rate.take(1)
        burst += 1
    assert burst in (10, 11)


def test_no_rate_never_waits():
    rate = Rate(None)
    rate.take(10**9)
    assert rate.wait() == 0


# ---------------------------------------------------------------------------------------------------------------- budget


def test_a_budget_counts_what_is_in_flight_at_its_worst():
    budget = Budget(usd=1.0)
    assert budget.reserve(0.4) and budget.reserve(0.4)
    assert not budget.reserve(0.4)
    budget.settle(0.4, 0.1)
    assert budget.reserve(0.4)
    assert (budget.spent_usd, budget.spent_calls, budget.reserved_calls) == (0.1, 1, 2)
    budget.settle(0.4, 0, paid=False)
    assert budget.spent_calls == 1


def test_a_budget_of_calls_counts_those_in_flight():
    budget = Budget(calls=2, spent_calls=1)
    assert budget.reserve(0) and not budget.reserve(0)
    budget.settle(0, 0, paid=False)
    assert budget.reserve(0)
    budget.settle(0, 0)
    assert not budget.reserve(0) and budget.reason() == "The limit of 2 calls is reached"


def test_amounts_that_only_rounding_tells_apart_fit():
    budget = Budget(usd=0.3)
    assert all(budget.reserve(0.1) for _ in range(3))
