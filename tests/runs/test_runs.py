"""Claims on runs: lost, cancelled, waiting and resumed runs, in this process if possible."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from support.runs import Canned, execute_run, number, resume_run, wait_for

from glan_core import runs
from glan_core.errors import GlanError
from glan_core.resources import CHECKOUT
from glan_core.runs import launcher
from glan_core.runs.worker import _claim
from glan_core.workspace import run_rows
from glan_core.workspace.run_rows import STALE_AFTER


def stalled(ws, settings, **values) -> int:
    """Store a run in state 'running' whose heartbeat is too old."""
    run_id = runs.submit(ws, "generate", "test", settings(**values))
    assert _claim(ws, run_id, "a sleeper") is None
    silence(ws, run_id)
    return run_id


def silence(ws, run_id: int) -> None:
    """Set the heartbeat of a run back in time."""
    with ws.write() as db:
        run_rows.update_run(db, run_id, heartbeat_at=time.time() - STALE_AFTER - 2)


def in_a_thread(action) -> threading.Thread:
    """Run an action as another process would."""
    thread = threading.Thread(target=action)
    thread.start()
    return thread


def test_the_next_run_takes_the_claim_of_a_lost_one_which_can_be_continued_later(ws, settings):
    lost = stalled(ws, settings)
    assert execute_run(ws, settings("music")).state == "finished"
    run = runs.get(ws, lost)
    assert (run.state, run.claim, runs.state_of(run)) == ("running", None, "lost")
    assert resume_run(ws, lost).state == "finished"


@pytest.mark.parametrize("deed", ["cancel", "the next run begins"])
def test_a_stalled_run_that_wakes_up_after_it_was_given_up_stops_and_writes_nothing_about_itself(
    ws, settings, teach, monkeypatch, deed
):
    monkeypatch.setattr("glan_core.runs.heartbeat.BEAT_SECONDS", 0.01)

    def give_up():
        silence(ws, 1)
        if deed == "cancel":
            runs.cancel(ws, 1)
        else:
            assert _claim(ws, runs.submit(ws, "generate", "next", settings("music")), "the next") is None
        ws.close()

    given_up = []

    def behave(stage, nth, messages):
        if stage == "answer" and nth == 5:
            given_up.append(in_a_thread(give_up))
            given_up[0].join()  # this process is stalled meanwhile

    teacher = teach(Canned(behave, delay=lambda nth: 0.002))
    run = execute_run(ws, settings(questions_per_syllabus=100, pair_share=1))
    assert given_up and teacher.seen["answer"] < 150
    assert run.claim is None and run.state == ("cancelled" if deed == "cancel" else "running")
    assert runs.state_of(run) == ("cancelled" if deed == "cancel" else "lost")


def test_of_two_who_continue_a_run_at_the_same_time_one_passes(ws, settings):
    lost = stalled(ws, settings)
    start = threading.Barrier(4)
    passed = []

    def click():
        start.wait()
        try:
            launcher.requeue(ws, lost)
            passed.append(True)
        except GlanError as error:
            passed.append("cannot be resumed" in str(error))
        ws.close()

    for thread in [in_a_thread(click) for _ in range(4)]:
        thread.join()
    assert passed == [True] * 4 and number(ws, "SELECT count(*) FROM runs WHERE state = 'queued'") == 1


def test_a_click_that_saw_an_older_state_changes_nothing(ws, settings, monkeypatch):
    lost = stalled(ws, settings)
    inside = []
    monkeypatch.setattr(launcher, "state_of", lambda run, now=None: inside.append(ws.db.in_transaction) or "finished")
    for action in (launcher.requeue, runs.cancel, runs.pause):
        with pytest.raises(GlanError):
            action(ws, lost)
    assert inside == [True] * 3


def test_resuming_with_an_order_that_cannot_be_carried_out_changes_nothing(ws, settings):
    lost = stalled(ws, settings)
    before = runs.get(ws, lost)
    for values, said in (({"max_calls": -5}, "max calls"), ({"teacher": "openai:gpt-4o"}, "OPENAI_API_KEY")):
        with pytest.raises(GlanError, match=said):
            runs.resume(ws, lost, params={**before.params, **values})
    assert runs.get(ws, lost) == before and not (ws.folder / "runs").exists()


def test_a_run_says_for_whom_it_waits_and_ctrl_c_takes_it_out_of_the_queue(ws, settings):
    first = runs.submit(ws, "generate", "first", settings())
    assert _claim(ws, first, "another") is None
    said = []

    def interrupt(run_id):
        said.append(run_id)
        raise KeyboardInterrupt

    run = runs.work(ws, runs.submit(ws, "generate", "second", settings("music")), waiting=interrupt)
    assert said == [first] and (run.state, run.message) == ("cancelled", "Cancelled before it started.")
    assert [run.id for run in run_rows.live_runs(ws.db)] == [first]


@pytest.mark.long
def test_a_foreground_run_behind_another_says_so_once_and_ctrl_c_cancels_it(ws, settings):
    first = runs.submit(ws, "generate", "first", settings())
    assert _claim(ws, first, "another") is None
    with ws.write() as db:
        run_rows.update_run(db, first, heartbeat_at=time.time() + 3600)  # the other process may take long to start
    process = subprocess.Popen(
        [sys.executable, "-m", "glan_core", "generate", str(ws.folder), "--disciplines", "music"],
        cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stderr.readline() == f"Waiting for run {first} to end.\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 1 and "Cancelled before it started" in out and not err
    assert run_rows.runs(ws.db, 1)[0].state == "cancelled"


def test_a_fault_nobody_foresaw_names_the_log_only_where_there_is_one(ws, settings, teach):
    teach(Canned(lambda stage, nth, messages: ZeroDivisionError()))
    run = execute_run(ws, settings())
    assert run.state == "failed" and "ZeroDivisionError" in run.message and ".log" not in run.message
    (ws.folder / "runs").mkdir()
    (ws.folder / "runs" / f"{run.id}.log").touch()
    assert f"See runs/{run.id}.log for details" in resume_run(ws, run.id).message


@pytest.mark.long
def test_a_child_keeps_the_folder_of_its_caller_and_finds_the_package_wherever_that_is(ws, settings, tmp_path, monkeypatch):
    (tmp_path / "json.py").write_text("raise SystemExit('a module of the working folder')")
    monkeypatch.chdir(tmp_path)
    seen = []
    popen = subprocess.Popen
    monkeypatch.setattr(
        subprocess, "Popen", lambda words, **settings: seen.append(settings) or popen(words, **settings)
    )  # fmt: skip
    run_id = runs.submit(ws, "generate", "test", settings())
    runs.launch(ws, run_id)
    run = wait_for(lambda: (r := runs.get(ws, run_id)).state == "finished" and r, "the run ends")
    assert run.pid != os.getpid() and "cwd" not in seen[0]
    assert str(CHECKOUT) in seen[0]["env"]["PYTHONPATH"].split(os.pathsep)


@pytest.mark.parametrize(("end", "state"), [(runs.cancel, "cancelled"), (runs.pause, "paused")])
def test_a_queued_run_ends_at_once_and_its_worker_leaves_it_alone(ws, settings, end, state):
    run_id = runs.submit(ws, "generate", "test", settings())
    end(ws, run_id)
    run = runs.get(ws, run_id)
    assert run.state == state and "before it started" in run.message and run.finished_at
    assert runs.work(ws, run_id) == run, "a worker that starts late does nothing"
    launcher.requeue(ws, run_id)
    assert runs.work(ws, run_id).state == "finished"
