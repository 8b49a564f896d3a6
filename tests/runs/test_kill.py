"""Worker processes that are killed, paused, queued or orphaned; paid calls are never lost."""

import os
import signal
import subprocess
import sys
import threading

import pytest
from support.runs import Served, content, execute_run, number, rows, wait_for

from glan_core import runs
from glan_core.errors import GlanError
from glan_core.generation.engine import STORE_ALLOWANCE
from glan_core.resources import CHECKOUT
from glan_core.runs.states import get
from glan_core.workspace import run_rows

IN_FLIGHT = 8


@pytest.fixture(scope="module")
def endpoint():
    """The scripted teacher with 40 ms latency, recording the served requests."""
    with Served(latency_ms=40, record=True) as served:
        yield served


@pytest.fixture(autouse=True)
def no_child_outlives_its_test(new_workspace):
    """Kill the workers that a failing test left running."""
    workspaces = []
    yield workspaces
    for ws in workspaces:
        for run in run_rows.live_runs(ws.db):
            if run.pid and runs.state_of(run) != "lost":
                os.kill(run.pid, signal.SIGKILL)


@pytest.fixture
def ws(new_workspace, no_child_outlives_its_test):
    """A workspace whose workers are killed after the test."""
    made = new_workspace()
    no_child_outlives_its_test.append(made)
    return made


@pytest.fixture
def served_order(settings, endpoint):
    """Build settings for the served teacher."""

    def build(*disciplines: str, **values) -> dict:
        return settings(*disciplines, teacher="openai:scripted", base_url=endpoint.url, max_in_flight=IN_FLIGHT, **values)

    return build


def start(ws, settings: dict, **environment: str) -> int:
    """Start a run as a detached process and return its id."""
    run_id = runs.submit(ws, "generate", "test", settings)
    runs.launch(ws, run_id, environment)
    return run_id


def ended(ws, run_id: int) -> run_rows.Run:
    """Wait until the run has ended and return it."""

    def end():
        run = get(ws, run_id)
        return None if runs.state_of(run) in ("queued", "running") else run

    return wait_for(end, f"run {run_id} ends")


def calls(ws) -> int:
    """Return the number of stored calls."""
    return number(ws, "SELECT count(*) FROM calls")


@pytest.mark.long
def test_a_run_that_is_killed_twice_loses_nothing_and_ends_as_if_undisturbed(ws, new_workspace, served_order, endpoint):
    wanted = served_order("cave-mapping", "bell-founding", questions_per_syllabus=14, seed=3)
    undisturbed = new_workspace("undisturbed")
    before = sum(endpoint.tells("/requests").values())
    assert execute_run(undisturbed, wanted).state == "finished"
    total = calls(undisturbed)
    assert sum(endpoint.tells("/requests").values()) - before == total > 250
    before += total

    run_id = start(ws, wanted)
    for share in (1 / 3, 2 / 3):
        wait_for(lambda share=share: calls(ws) >= total * share, f"{share:.0%} of the calls")
        os.kill(get(ws, run_id).pid, signal.SIGKILL)
        wait_for(lambda: runs.state_of(get(ws, run_id)) == "lost", "the run is lost")
        assert calls(ws) < total
        runs.resume(ws, run_id)
    run = ended(ws, run_id)
    assert (run.state, run.message) == ("finished", "")
    assert content(ws) == content(undisturbed)
    assert calls(ws) == total  # no record is stored twice
    paid_again = sum(endpoint.tells("/requests").values()) - before - total
    assert 0 <= paid_again <= 2 * (IN_FLIGHT + IN_FLIGHT // STORE_ALLOWANCE)
    assert run_rows.last_sample(ws.db, run_id).done == total
    assert {(stage.done, stage.failed) for stage in run_rows.stages(ws.db, run_id)} == {
        (count, 0) for (count,) in rows(ws, "SELECT count(*) FROM calls GROUP BY stage")
    }


@pytest.mark.slow
def test_a_run_pauses_goes_on_is_cancelled_and_goes_on_to_its_end(ws, served_order):
    run_id = start(ws, served_order("cave-mapping", questions_per_syllabus=60))
    wait_for(lambda: calls(ws) >= 20, "20 calls")
    with pytest.raises(GlanError, match="cannot be resumed"):
        runs.resume(ws, run_id)
    runs.pause(ws, run_id)
    run = ended(ws, run_id)
    assert (run.state, run.message) == ("paused", "Paused. Resume the run to continue.")
    held = calls(ws)
    with pytest.raises(GlanError, match="Only queued or running runs"):
        runs.pause(ws, run_id)
    runs.resume(ws, run_id)
    wait_for(lambda: calls(ws) >= held + 20, "20 more calls")
    runs.cancel(ws, run_id)
    assert ended(ws, run_id).state == "cancelled"
    with pytest.raises(GlanError, match="can be cancelled"):
        runs.cancel(ws, run_id)
    runs.resume(ws, run_id)
    assert ended(ws, run_id).state == "finished"
    assert number(ws, "SELECT count(*) FROM answers") == 6 * 60
    assert calls(ws) == number(ws, "SELECT count(DISTINCT work_id || stage) FROM calls")
    with pytest.raises(GlanError, match="cannot be resumed"):
        runs.resume(ws, run_id)


@pytest.mark.long
def test_runs_of_one_workspace_wait_for_each_other(ws, served_order):
    first = start(ws, served_order("cave-mapping", questions_per_syllabus=3))
    second = start(ws, served_order("bell-founding", questions_per_syllabus=1))
    third = start(ws, served_order("music", questions_per_syllabus=1))
    runs.cancel(ws, third)
    ends = [ended(ws, run_id) for run_id in (first, second)]
    assert [run.state for run in ends] == ["finished", "finished"]
    assert ends[0].finished_at <= ends[1].started_at
    assert ended(ws, third).state == "cancelled"
    assert number(ws, "SELECT count(*) FROM calls WHERE run_id = ?", third) == 0


@pytest.mark.long
def test_a_run_lives_on_when_the_process_that_started_it_is_killed(ws, served_order, endpoint):
    script = f"""
import os, signal
from glan_core import runs
from glan_core.workspace import Workspace
ws = Workspace.open({str(ws.folder)!r})
runs.launch(ws, runs.submit(ws, "generate", "test", {served_order("cave-mapping", questions_per_syllabus=3)!r}))
os.killpg(0, signal.SIGKILL)
"""
    parent = subprocess.run([sys.executable, "-c", script], start_new_session=True, cwd=str(CHECKOUT))
    assert parent.returncode == -signal.SIGKILL
    assert ended(ws, 1).state == "finished"
    assert number(ws, "SELECT count(*) FROM answers") == 18


@pytest.mark.long
@pytest.mark.parametrize("number_of_signal", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_pauses_a_run_and_what_was_in_flight_is_stored(ws, served_order, endpoint, number_of_signal):
    before = sum(endpoint.tells("/requests").values())
    run_id = start(ws, served_order("cave-mapping", questions_per_syllabus=12))
    wait_for(lambda: calls(ws) >= 20, "20 calls")
    os.kill(get(ws, run_id).pid, number_of_signal)
    assert ended(ws, run_id).state == "paused"
    assert calls(ws) == sum(endpoint.tells("/requests").values()) - before


@pytest.mark.long
def test_a_key_is_used_and_written_down_nowhere(new_workspace, settings, no_child_outlives_its_test):
    key, wrong = "sk-test-0123456789abcdef", "plain-words-0123456789"
    ws = new_workspace("secret")
    no_child_outlives_its_test.append(ws)
    with Served(api_key=key) as guarded:
        wanted = settings("cave-mapping", questions_per_syllabus=1, teacher="openai:scripted", base_url=guarded.url)
        refused = ended(ws, start(ws, wanted, OPENAI_API_KEY=wrong))
        assert refused.state == "failed" and "rejected the API key" in refused.message
        assert ended(ws, start(ws, wanted, OPENAI_API_KEY=key)).state == "finished"
    ws.db.pragma("wal_checkpoint(truncate)")
    for file in ws.folder.rglob("*"):
        if file.is_file():
            assert key.encode() not in file.read_bytes() and wrong.encode() not in file.read_bytes(), file


def test_a_run_that_says_nothing_for_long_is_lost_even_with_a_process_of_its_number(ws, settings):
    run_id = runs.submit(ws, "generate", "test", settings())
    with ws.write() as db:
        run_rows.update_run(db, run_id, state="running", pid=os.getpid(), host=os.uname().nodename, heartbeat_at=1000.0)
    run = get(ws, run_id)
    assert runs.state_of(run, now=1000.0 + run_rows.STALE_AFTER) == "running"
    assert runs.state_of(run, now=1000.1 + run_rows.STALE_AFTER) == "lost"
    with ws.write() as db:
        run_rows.update_run(db, run_id, pid=None)  # nothing to kill after the test


def test_a_process_whose_run_was_taken_over_stops_and_leaves_the_run_alone(ws, new_workspace, settings, teach, monkeypatch):
    from support.runs import Canned

    monkeypatch.setattr("glan_core.runs.heartbeat.BEAT_SECONDS", 0.01)

    def take_over():
        with ws.write() as db:
            run_rows.update_run(db, 1, claim="another process")

    def behave(stage, nth, messages):
        if stage == "answer" and nth == 5:  # from another thread, as another process would: this one may be in a transaction
            threading.Thread(target=take_over).start()

    teacher = teach(Canned(behave, delay=lambda nth: 0.002))
    run = execute_run(ws, settings(questions_per_syllabus=100, pair_share=1))
    assert (run.state, run.claim, run.finished_at) == ("running", "another process", None)
    assert 5 < teacher.seen["answer"] < 150
    with ws.write() as db:
        run_rows.update_run(db, 1, state="failed", pid=None)
