"""Asking for proposals: a run that goes on asks only in the wordings that it has not stored."""

from support.runs import Canned, go_on, number, run_order

from glan_core.prompts import TAXONOMY_DRAFTS
from glan_core.workspace import run_rows

ORDER = {"parent_id": "arts", "max_in_flight": 1}


def test_a_run_that_goes_on_repeats_no_wording_that_it_has_stored(ws, teach):
    teacher = teach(Canned(lambda stage, nth, messages: '{"name": "Dance"}'))
    run = run_order(ws, ORDER | {"max_calls": 2}, kind="propose")
    assert run.state == "paused" and len(teacher.asked) == 2
    assert go_on(ws, run.id, ORDER | {"max_calls": 4}).state == "finished"
    sent = [messages[0]["content"] for _, messages in teacher.asked]
    assert len(sent) == len(set(sent)) == len(TAXONOMY_DRAFTS)
    (progress,) = run_rows.stages(ws.db, run.id)
    assert (progress.planned, progress.done, progress.failed) == (4, 4, 0)


def test_a_wording_that_failed_is_asked_again_by_the_run_that_goes_on(ws, teach):
    teacher = teach(Canned(lambda stage, nth, messages: "" if nth == 0 else '{"name": "Dance"}'))
    run = run_order(ws, ORDER | {"max_calls": 2}, kind="propose")
    go_on(ws, run.id, ORDER | {"max_calls": 9})
    assert len(teacher.asked) == 5
    assert number(ws, "SELECT count(DISTINCT work_id) FROM calls WHERE outcome = 'stored'") == 4


def test_another_run_asks_in_every_wording_again(ws, teach):
    teacher = teach(Canned(lambda stage, nth, messages: '{"name": "Dance"}'))
    run_order(ws, ORDER, kind="propose")
    run_order(ws, ORDER, kind="propose")
    assert len(teacher.asked) == 8
