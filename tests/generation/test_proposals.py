"""Proposals: a resumed run uses only the prompt variants that it has not stored."""

from support.runs import Canned, execute_run, number, resume_run

from glan_core.prompts import TAXONOMY_DRAFTS
from glan_core.workspace import run_rows

ORDER = {"parent_id": "arts", "max_in_flight": 1}


def test_a_run_that_goes_on_repeats_no_wording_that_it_has_stored(ws, teach):
    teacher = teach(Canned(lambda stage, nth, messages: '{"name": "Dance"}'))
    run = execute_run(ws, ORDER | {"max_calls": 2}, kind="propose")
    assert run.state == "paused" and len(teacher.asked) == 2
    assert resume_run(ws, run.id, ORDER | {"max_calls": 4}).state == "finished"
    sent = [messages[0]["content"] for _, messages in teacher.asked]
    assert len(sent) == len(set(sent)) == len(TAXONOMY_DRAFTS)
    (progress,) = run_rows.stages(ws.db, run.id)
    assert (progress.planned, progress.done, progress.failed) == (4, 4, 0)


def test_a_wording_that_failed_is_asked_again_by_the_run_that_goes_on(ws, teach):
    teacher = teach(Canned(lambda stage, nth, messages: "" if nth == 0 else '{"name": "Dance"}'))
    run = execute_run(ws, ORDER | {"max_calls": 2}, kind="propose")
    resume_run(ws, run.id, ORDER | {"max_calls": 9})
    assert len(teacher.asked) == 5
    assert number(ws, "SELECT count(DISTINCT work_id) FROM calls WHERE outcome = 'stored'") == 4


def test_another_run_asks_in_every_wording_again(ws, teach):
    teacher = teach(Canned(lambda stage, nth, messages: '{"name": "Dance"}'))
    execute_run(ws, ORDER, kind="propose")
    execute_run(ws, ORDER, kind="propose")
    assert len(teacher.asked) == 8
