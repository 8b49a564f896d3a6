"""Rate limits by value: limits after each window, thresholds of an outage, buckets and budgets."""

import pytest

from glan_core.generation.rate_limits import Budget, Concurrency, Outage, Rate


class Clock:
    """A clock that is set manually."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


# ----------------------------------------------------------------------------------------------------------- concurrency


@pytest.mark.parametrize(("most", "start"), [(1, 1), (63, 63), (64, 64), (65, 64), (128, 64), (130, 65), (131, 65), (400, 200)])
def test_the_initial_limit_is_64_or_half_of_the_maximum(most, start):
    assert Concurrency(most).limit == start


def test_constants_are_those_of_the_documentation():
    assert (Concurrency.START, Concurrency.PAUSE, Concurrency.MIN_PAUSE) == (64, 1.0, 0.05)
    assert (Outage.IN_A_ROW, Outage.NEVER_REACHED, Outage.GONE_SECONDS) == (10, 5, 90.0)


def test_a_window_is_as_many_results_as_the_limit_and_lowers_it_by_half_the_share_refused():
    limit = Concurrency(64)
    for _ in range(16):
        limit.refused(0.1)
        limit.served()
    for _ in range(31):
        limit.served()
    assert limit.limit == 64, "63 results: the window is not full"
    limit.served()
    # share 16/64 = 0.25; growth per window is most / 32 = 2
    assert limit.limit == pytest.approx(64 * (1 - 0.25 / 2) + 2 * 0.75)
    for _ in range(58):  # the next window is counted anew: 57.5 results, none refused
        limit.served()
    assert limit.limit == pytest.approx(57.5 + 2)


def test_growth_per_window_is_one_at_least_and_a_32nd_of_the_maximum():
    for most, growth in ((16, 1.0), (32, 1.0), (64, 2.0), (320, 10.0)):
        limit = Concurrency(most, Clock())
        limit.refused(0.1)
        limit.limit = 2.0
        for _ in range(3):
            limit.served()  # ends a window of 4 with 1 refused
        assert limit.limit == pytest.approx(2.0 * (1 - 1 / 8) + growth * 3 / 4)
        limit.limit = 2.0
        for _ in range(4):
            limit.served()
        assert limit.limit == pytest.approx(2.0 + growth)


def test_a_limit_never_falls_below_1_nor_rises_above_the_maximum():
    limit = Concurrency(2)
    for _ in range(9):
        limit.refused(0.1)
    assert limit.limit == 1.0
    for _ in range(20):
        limit.served()
    assert limit.limit == 2


def test_slow_start_multiplies_per_window_until_the_first_refusal():
    limit = Concurrency(1000, clock := Clock(), local=True)
    for window, before, expected in ((4, 2, 8), (8, 8, 32), (32, 32, 128)):
        for nth in range(window):
            clock.now += 0.001 / expected
            assert limit.limit == before, (expected, nth)
            limit.served()
        assert limit.limit == expected
    limit.refused(0.1)
    for _ in range(126):
        limit.served()
    assert limit.limit == 128, "the window of 128 results is not full"
    limit.served()
    assert limit.limit == pytest.approx(128 * (1 - 1 / 256) + 1000 / 32 * (1 - 1 / 128))


def test_12_refusals_among_16_results_close_an_endpoint_until_the_latest_time():
    limit = Concurrency(64, clock := Clock())
    for nth in range(16):
        assert limit.closed_until == 0.0
        limit.served() if nth < 4 else limit.refused(9 if nth < 15 else 2)
    assert limit.closed_until == 1002.0
    assert limit.refused(None) == 1.0 and limit.closed_until == 1002.0
    assert limit.refused(0.01) == 0.05 and limit.closed_until == 1002.0
    clock.now = 1002.0
    assert limit.refused(0.06) == 0.06 and limit.closed_until == 1002.06


def test_11_refusals_among_16_results_do_not_close_an_endpoint():
    limit = Concurrency(64, Clock())
    for nth in range(16):
        limit.served() if nth < 5 else limit.refused(9)
    assert limit.closed_until == 0.0


def test_a_collapse_restarts_with_one_call_and_slow_start():
    limit = Concurrency(64, clock := Clock())
    limit.refused(0.1)
    limit.collapse(5)
    assert (limit.limit, limit.closed_until) == (1.0, 1005.0)
    limit.collapse(2)
    assert limit.closed_until == 1005.0
    for expected in (4, 16, 64):
        for _ in range(max(4, expected // 4)):
            clock.now += 1 / expected
            limit.served()
        assert limit.limit == expected


def test_results_before_a_collapse_do_not_count():
    limit = Concurrency(64, Clock())
    limit.refused(0.1)
    for _ in range(30):
        limit.served()
    limit.collapse(0)
    for _ in range(3):
        limit.served()
    assert limit.limit == 1.0
    limit.served()  # a window of four results, none refused
    assert limit.limit == 4.0


# ---------------------------------------------------------------------------------------------------------------- outage


@pytest.mark.parametrize(("faults", "down"), [(9, False), (10, True), (11, True)])
def test_ten_faults_in_a_row_are_an_outage(faults, down):
    outage = Outage(Clock())
    for _ in range(faults):
        outage.fault(sent=True)
    assert outage.down is down and not outage.gone


def test_a_reply_in_between_starts_the_count_anew():
    outage = Outage(clock := Clock())
    for _ in range(9):
        outage.fault(sent=True)
    clock.now += 50
    outage.end()
    assert not outage.down
    for _ in range(9):
        outage.fault(sent=True)
    assert not outage.down and outage.pause == 1.0
    outage.fault(sent=True)
    assert outage.down


@pytest.mark.parametrize(("faults", "gone"), [(4, False), (5, True), (6, True)])
def test_five_refused_connections_are_the_end_if_there_was_never_a_reply(faults, gone):
    outage = Outage(Clock())
    for _ in range(faults):
        outage.fault(sent=False)
    assert outage.gone is gone


@pytest.mark.parametrize("reached", ["reply", "sent"])
def test_an_endpoint_that_was_reached_once_is_given_90_seconds(reached):
    outage = Outage(clock := Clock())
    outage.end() if reached == "reply" else outage.fault(sent=True)
    for _ in range(10):
        outage.fault(sent=False)
    assert outage.down and not outage.gone
    clock.now += 90.0
    assert not outage.gone
    clock.now += 0.001
    assert outage.gone


def test_90_seconds_with_fewer_faults_are_no_outage():
    outage = Outage(clock := Clock())
    outage.end()
    outage.fault(sent=True)
    clock.now += 1000
    assert not outage.down and not outage.gone


def test_pauses_grow_with_the_outage_from_1_to_30_seconds():
    outage = Outage(clock := Clock())
    outage.fault(sent=True)
    for seconds, pause in ((0, 1.0), (0.5, 1.0), (1.0, 1.0), (1.5, 1.5), (29.5, 29.5), (30, 30.0), (31, 30.0)):
        clock.now = 1000.0 + seconds
        assert outage.pause == pause
    clock.now = 1010.0
    outage.fault(sent=True)  # does not move the start
    assert outage.pause == 10.0


# ----------------------------------------------------------------------------------------------------------------- rates


def test_a_bucket_holds_one_second():
    rate = Rate(120, clock := Clock())
    assert rate.wait() == 0.0
    rate.take(1)  # one of two units a second
    assert rate.wait() == 0.0
    rate.take(1)
    assert rate.wait() == 0.0
    rate.take(1)
    assert rate.wait() == pytest.approx(0.5)
    clock.now += 0.2
    assert rate.wait() == pytest.approx(0.3)
    clock.now += 0.3
    assert rate.wait() == 0.0


def test_a_bucket_that_rested_still_holds_one_second_and_returned_units_count():
    rate = Rate(60, clock := Clock())
    rate.take(1)
    clock.now += 100
    rate.take(3)  # one unit in the bucket, two are owed
    assert rate.wait() == pytest.approx(2.0)
    rate.take(-1.5)
    assert rate.wait() == pytest.approx(0.5)


def test_a_clock_that_starts_at_0_does_not_matter():
    rate = Rate(60, Clock(0.0))
    assert rate.wait() == 0.0
    rate.take(1)
    assert rate.wait() == pytest.approx(1.0)


# ---------------------------------------------------------------------------------------------------------------- budget


def test_a_budget_in_usd_is_reached_exactly_and_not_passed():
    budget = Budget(usd=1.0, spent_usd=0.25)
    assert budget.reserve(0.5) and budget.reserve(0.25) and not budget.reserve(0.001)
    assert (budget.reserved_usd, budget.reserved_calls) == (0.75, 2)
    budget.settle(0.5, 0.1)
    assert (budget.reserved_usd, budget.reserved_calls) == (0.25, 1)
    assert (budget.spent_usd, budget.spent_calls) == (pytest.approx(0.35), 1)
    assert not budget.reserve(0.41) and budget.reserve(0.4)


def test_a_call_that_was_not_served_costs_money_but_no_call():
    budget = Budget(calls=1)
    assert budget.reserve(0.2)
    budget.settle(0.2, 0.05, paid=False)
    assert (budget.spent_usd, budget.spent_calls, budget.reserved_calls) == (0.05, 0, 0)
    assert budget.reserve(0.2) and not budget.reserve(0.2)


def test_without_limits_everything_is_allowed():
    budget = Budget()
    assert all(budget.reserve(1e9) for _ in range(3))


def test_the_reason_names_the_limit_that_is_reached():
    assert Budget(usd=2.5, spent_usd=2.49, calls=3, spent_calls=2).reason() == (
        "The budget of $2.50 does not cover another call ($2.49 spent)"
    )
    assert Budget(calls=1200, spent_calls=1200).reason() == "The limit of 1,200 calls is reached"
    assert Budget(calls=1, spent_calls=2).reason() == "The limit of 1 calls is reached"
