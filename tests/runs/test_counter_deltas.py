"""Counter changes of a run, independent of other changes of the workspace."""

from support.runs import Canned, execute_run, resume_run

from glan_core import runs
from glan_core.runs.counter_deltas import counter_changes, current_counters, last_change, total_changes
from glan_core.workspace import call_rows, run_rows


def test_a_run_gained_what_its_disciplines_hold_more_than_before(ws, settings, teach):
    teach(Canned())
    first = execute_run(ws, settings("mathematics", "music"))
    assert total_changes(counter_changes(ws, first)) == {
        k: v for k, v in total_changes(call_rows.counters(ws.db)).items() if k != "last_at"
    }
    second = execute_run(ws, settings("music", questions_per_syllabus=6))
    assert counter_changes(ws, second)["music"]["pairs"] == 4 and counter_changes(ws, second)["music"].get("subjects", 0) == 0
    assert counter_changes(ws, second).keys() == {"music"}
    assert counter_changes(ws, first)["music"]["pairs"] == 8, "a later run changes nothing about an earlier one"
    assert current_counters(ws, first)["music"]["pairs"] == 8 and current_counters(ws, second)["music"]["pairs"] == 12


def test_while_a_run_works_its_gains_are_those_up_to_now(ws, settings, teach):
    seen = []

    def look(stage, nth, messages):
        if stage == "answer" and nth == 6:
            seen.append(total_changes(counter_changes(ws, run_rows.runs(ws.db)[0])))

    teach(Canned(look))
    run = execute_run(ws, settings(max_in_flight=1))
    assert seen[0]["pairs"] == 6 and total_changes(counter_changes(ws, run))["pairs"] == 8


def test_what_other_runs_did_while_a_run_was_stopped_is_not_its_gain(ws, settings, teach):
    teach(Canned())
    stopped = execute_run(ws, settings(max_calls=12))
    assert stopped.state == "paused"
    before = total_changes(counter_changes(ws, stopped))
    other = execute_run(ws, settings(questions_per_syllabus=2))
    brought = total_changes(counter_changes(ws, other))["pairs"]
    assert brought and total_changes(counter_changes(ws, stopped)) == before
    done = resume_run(ws, stopped.id, settings(max_calls=100))
    assert total_changes(counter_changes(ws, done))["pairs"] + brought == 8


def test_a_run_that_was_killed_gained_up_to_the_next_ones_start(ws, settings, teach):
    teach(Canned())
    killed = execute_run(ws, settings())
    with ws.write() as db:
        db.execute("DELETE FROM run_counters WHERE run_id = ? AND moment = 'after'", (killed.id,))
        run_rows.update_run(db, killed.id, state="running", heartbeat_at=1.0)
    execute_run(ws, settings(questions_per_syllabus=9))
    assert total_changes(counter_changes(ws, runs.get(ws, killed.id)))["pairs"] == 8


def test_runs_without_disciplines_or_before_their_start_gained_nothing(ws, settings, teach):
    teach(Canned())
    waiting = runs.get(ws, runs.submit(ws, "generate", "test", settings()))
    assert counter_changes(ws, waiting) == {} == current_counters(ws, waiting) and last_change(ws) is None
    with ws.write() as db:
        run_rows.update_run(db, waiting.id, state="cancelled")  # otherwise the next run would wait until this one is lost
    failed = execute_run(ws, settings("no-such-discipline"))
    assert failed.state == "failed" and counter_changes(ws, failed) == {}


def test_the_last_change_is_of_the_live_run_or_the_latest_that_brought_something(ws, settings, teach):
    teach(Canned())
    first = execute_run(ws, settings())
    nothing = execute_run(ws, settings())
    run, gains = last_change(ws)
    assert (
        run.id == first.id
        and total_changes(gains)["pairs"] == 8
        and not any(total_changes(counter_changes(ws, nothing)).values())
    )
