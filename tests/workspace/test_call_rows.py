"""Stored calls: what they add to the counters of their disciplines and the totals of their teachers."""

import pytest

from glan_core.workspace import call_rows
from glan_core.workspace.call_rows import Call


def call(number, *, discipline="music", teacher="t", seconds=1.0, cost=0.5, outcome="stored"):
    return Call(f"w{number}", None, "answer", discipline, teacher, "v", "s", 1, 1, 1, 100, 20, False, cost, int(1000 * seconds), 1,
                outcome, None, float(number), tokens_reasoning=7)  # fmt: skip


@pytest.fixture
def stored(new_workspace):
    """Store groups of calls, each in one transaction; return the totals by teacher and the counters of music."""

    def store(*groups, timed=True):
        ws = new_workspace(f"calls-{len(groups)}-{timed}")
        for group in groups:
            with ws.write() as db:
                call_rows.add_calls(db, group, timed=timed)
        totals = {total.teacher: (total.calls, total.tokens_in, total.latency_ms) for total in call_rows.call_totals(ws.db)}
        return totals, call_rows.counters(ws.db)

    return store


CALLS = [
    call(3), call(1, seconds=3), call(2, cost=None), call(4, discipline="physics"), call(5, discipline=None, teacher="u"),
    call(6, outcome="lost"), call(7, outcome="malformed", teacher="u"),
]  # fmt: skip


def test_calls_add_to_counters_and_totals(stored):
    totals, counters = stored(CALLS)
    assert totals == {"t": (4, 400, 6000), "u": (2, 200, 2000)}  # tokens and latency of a lost call are unknown
    assert counters["music"] == {
        "calls": 5, "tokens_in": 500, "tokens_out": 100, "tokens_reasoning": 35, "cost_usd": 2.0, "unpriced": 1, "last_at": 7,
    }  # fmt: skip
    assert counters["physics"]["calls"] == 1 and set(counters) == {"music", "physics"}


def test_calls_add_the_same_together_and_one_by_one(stored):
    assert stored(CALLS) == stored(*([one] for one in CALLS)) == stored(CALLS[:2], CALLS[2:])


def test_calls_of_batches_leave_the_mean_latency_as_it_is(new_workspace):
    ws = new_workspace()
    with ws.write() as db:
        call_rows.add_calls(db, [call(1, seconds=9), call(2, seconds=9)], timed=False)
        assert call_rows.call_totals(db)[0].latency_ms == 0  # not known yet
        call_rows.add_calls(db, [call(3, seconds=1), call(4, seconds=3)])
        assert (call_rows.call_totals(db)[0].calls, call_rows.call_totals(db)[0].latency_ms) == (4, 4 * 2000)
        call_rows.add_calls(db, [call(5, seconds=9), call(6, seconds=9)], timed=False)
        assert (call_rows.call_totals(db)[0].calls, call_rows.call_totals(db)[0].latency_ms) == (6, 6 * 2000)
