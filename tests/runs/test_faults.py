"""Runs whose workspace vanishes, whose disk is full or whose terminal is closed: they stop, and their state says why."""

import os
import shutil
import signal
import subprocess
import sys

import apsw
import pytest
from support.runs import Served, execute_run, wait_for

from glan_core import runs
from glan_core.cli import main
from glan_core.errors import GlanError
from glan_core.formatting import usd
from glan_core.generation.rate_limits import Budget
from glan_core.resources import CHECKOUT
from glan_core.runs import worker
from glan_core.runs.heartbeat import Progress, Stopped
from glan_core.workspace import run_rows
from glan_core.workspace.schema import MIGRATIONS
from glan_core.workspace.workspace import FILE


def deleted(ws, other):
    shutil.rmtree(ws.folder)


def moved(ws, other):
    ws.folder.rename(ws.folder.with_name("elsewhere"))


def replaced(ws, other):
    shutil.copy(other.folder / FILE, ws.folder / "new")
    os.replace(ws.folder / "new", ws.folder / FILE)


@pytest.mark.long
@pytest.mark.parametrize("change", [deleted, moved, replaced])
def test_a_run_stops_when_its_workspace_is_no_longer_there(new_workspace, settings, change):
    ws, other = new_workspace(), new_workspace("other")
    with Served(latency_ms=30) as served:
        order = settings("mathematics", "music", teacher="openai:scripted", base_url=served.url, max_in_flight=2,
                         questions_per_syllabus=400)  # fmt: skip

        def watch(sample, stages, notes):
            if sample.done and ws.folder.exists() and not gone:
                gone.append(sample.done)
                change(ws, other)

        gone: list[int] = []
        run = execute_run(ws, order, watch=watch)
    assert gone
    assert run.state == "failed" and str(ws.folder / FILE) in run.message
    assert ("replaced by another file" if change is replaced else "deleted or moved") in run.message


def test_a_job_stops_when_its_workspace_is_no_longer_there(ws):
    run_id = runs.submit(ws, "filter", "test", {})
    with ws.write() as db:
        run_rows.update_run(db, run_id, state="running", claim="mine")
    with Progress(ws, run_id, "mine") as progress:
        moved(ws, None)
        wait_for(lambda: progress.wish, "the heartbeat to notice")
        with pytest.raises(Stopped, match="was deleted or moved"):
            progress.step("rows", 1, 2)


def migrate_as_a_newer_release(ws) -> None:
    """Give tables that runs write to the schema of a later version, from another process's connection."""
    db = apsw.Connection(str(ws.folder / FILE))
    db.set_busy_timeout(5000)
    db.execute("ALTER TABLE run_samples ADD COLUMN later TEXT; ALTER TABLE failures ADD COLUMN later TEXT;").fetchall()
    db.pragma("user_version", len(MIGRATIONS) + 1)
    db.close()


@pytest.mark.long
def test_a_run_whose_workspace_a_newer_release_migrates_ends_with_a_sentence(ws, settings, capsys):
    migrated: list[int] = []

    def watch(sample, stages, notes):
        if sample.done and not migrated:
            migrated.append(sample.done)
            migrate_as_a_newer_release(ws)

    with Served(latency_ms=30) as served:
        order = settings(
            "mathematics", teacher="openai:scripted", base_url=served.url, max_in_flight=2, questions_per_syllabus=400
        )
        run = execute_run(ws, order, watch=watch)
    assert migrated and run.state == "failed" and "A newer release of GLAN Studio migrated" in run.message
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("before_the_next_step", [True, False])
def test_a_job_whose_workspace_a_newer_release_migrates_ends_with_a_sentence(ws, monkeypatch, capsys, before_the_next_step):
    def job(ws, settings, progress):
        progress.step("rows", 0, 10)
        migrate_as_a_newer_release(ws)
        if before_the_next_step:
            wait_for(lambda: progress.wish, "the heartbeat to notice")
        for done in range(10):
            progress.step("rows", done + 1, 10)
        return "Done."

    monkeypatch.setattr("glan_core.runs.heartbeat.load_symbol", lambda name: job)
    monkeypatch.setattr("glan_core.runs.heartbeat.settings_of", lambda kind, params: None)
    run = worker.work(ws, runs.submit(ws, "filter", "test", {}))
    assert run.state == "failed" and "A newer release of GLAN Studio migrated" in run.message
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("still_full", [False, True])
def test_a_full_disk_is_a_failed_run_with_a_reason(ws, monkeypatch, capsys, still_full):
    """A run that the full disk stops is 'failed' with exit code 1; its state is stored once there is space again."""
    store, refused = worker._store_end, []

    def full(*_):
        raise apsw.FullError("database or disk is full")

    def end(*values):
        if still_full or not refused:
            refused.append(values)
            raise GlanError("The disk is full.")
        store(*values)

    monkeypatch.setattr(worker, "run_job", full)
    monkeypatch.setattr(worker, "_store_end", end)
    assert main(["filter", str(ws.folder)]) == 1
    said = capsys.readouterr()
    assert "Failed: The disk of" in said.out and "is full" in said.out and "Traceback" not in said.err
    stored = run_rows.runs(ws.db)[0]
    assert stored.state == ("running" if still_full else "failed") and len(refused) == 1 + still_full


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGINT])
def test_a_signal_pauses_a_run_in_the_foreground(ws, settings, number):
    with Served(latency_ms=50) as served:
        order = settings(teacher="openai:scripted", base_url=served.url, max_in_flight=2, questions_per_syllabus=500)
        run_id = runs.submit(ws, "generate", "test", order)
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "glan_core", "work", str(ws.folder), str(run_id)],
            env={**os.environ, "PYTHONPATH": str(CHECKOUT), "OPENAI_API_KEY": "x"}, stderr=subprocess.DEVNULL,
            # Below nohup, or in the background of a script, a signal is ignored, and stays so.
            preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
        )  # fmt: skip
        try:
            wait_for(lambda: (last := run_rows.last_sample(ws.db, run_id)) and last.done, "the first replies")
            child.send_signal(number)
            assert child.wait(60) == 0
        finally:
            child.kill()
    run = runs.get(ws, run_id)
    assert (run.state, runs.state_of(run)) == ("paused", "paused") and run.message.startswith("Paused")


def test_the_budget_of_a_resumed_run_is_checked_before_it_is_stored(ws, settings, capsys):
    for kind, params in (("generate", settings()), ("dedup", {})):
        run_id = runs.submit(ws, kind, "test", params)
        with ws.write() as db:
            run_rows.update_run(db, run_id, state="paused")
        for budget in ("inf", "nan", "-1", "0", "1e999"):
            assert main(["runs", str(ws.folder), "resume", str(run_id), f"--budget-usd={budget}"]) == 2
            assert "budget" in capsys.readouterr().err.lower()
        run = runs.get(ws, run_id)
        assert run.state == "paused" and "budget_usd" not in {k for k, v in run.params.items() if v is not None}


def test_a_small_amount_is_never_shown_as_nothing():
    shown = [usd(amount) for amount in (0, 0.004, 0.0001, 0.00004, 1.5e-9, 0.1, 3.1, 1204)]
    assert shown == ["$0.00", "$0.0040", "$0.0001", "$0.000040", "$0.0000000015", "$0.10", "$3.10", "$1,204"]
    assert "$0.0040" in Budget(0.004).reason() and "$0.00 does" not in Budget(0.004).reason()
