"""Jobs report progress, stop on request and resume where they stopped."""

import threading
import time
from typing import Literal

import pytest
from support.runs import Canned, execute_run

from glan_core import import_strings, runs
from glan_core.errors import GlanError
from glan_core.runs import heartbeat, registry
from glan_core.runs.heartbeat import Stopped
from glan_core.runs.launcher import requeue
from glan_core.runs.registry import RunKind
from glan_core.settings import Settings
from glan_core.workspace import run_rows


class CountSettings(Settings):
    """Count up, recording every step in a file of the workspace."""

    to: int
    kind: Literal["count"] = "count"


def count(ws, settings: CountSettings, progress) -> str:
    file = ws.folder / "counted"
    done = len(file.read_text()) if file.exists() else 0
    if settings.to == 13:
        raise GlanError("13 cannot be counted to.")
    if settings.to == 14:
        raise ZeroDivisionError
    for number in range(done, settings.to):
        with file.open("a") as out:
            out.write("x")
        if number == MEANWHILE_AT and MEANWHILE:
            MEANWHILE.pop()(ws, progress.run_id)
            for _ in range(3000):  # until the heartbeat thread has read it
                progress.step("numbers counted", number + 1, settings.to)
                threading.Event().wait(0.01)
        progress.step("numbers counted", number + 1, settings.to)
    return f"Counted to {settings.to}."


MEANWHILE_AT = 7
MEANWHILE = []  # user actions while the job runs


@pytest.fixture(autouse=True)
def counting(monkeypatch):
    MEANWHILE.clear()
    monkeypatch.setitem(registry.RUN_KINDS, "count", RunKind("Counting", f"{__name__}:CountSettings", f"{__name__}:count"))


def start(ws, to: int) -> int:
    return runs.submit(ws, "count", "Counting", {"to": to})


def test_a_job_ends_with_what_it_says_and_its_progress_is_kept(ws):
    seen = []
    run = runs.work(ws, start(ws, 5), lambda sample, stages, notes: seen.append((sample.done, stages[0].planned)))
    assert (run.state, run.message) == ("finished", "Counted to 5.")
    assert [(s.stage, s.done, s.planned) for s in run_rows.stages(ws.db, run.id)] == [("numbers counted", 5, 5)]
    assert seen[-1] == (5, 5) and run_rows.last_sample(ws.db, run.id).done == 5


def test_what_a_person_can_mend_is_the_message_and_what_nobody_foresaw_is_named(ws, capsys):
    assert (run := runs.work(ws, start(ws, 13))).state == "failed" and run.message == "13 cannot be counted to."
    run = runs.work(ws, start(ws, 14))
    assert run.state == "failed" and "ZeroDivisionError" in run.message and "Traceback" not in run.message
    run = runs.work(ws, runs.submit(ws, "count", "Counting", {"to": "many"}))
    assert run.state == "failed" and run.message.startswith("to: ")


@pytest.mark.parametrize(("wish", "state"), [(runs.pause, "paused"), (runs.cancel, "cancelled")])
def test_a_job_stops_when_a_person_wishes_so_and_resumes_where_it_was(ws, monkeypatch, wish, state):
    monkeypatch.setattr(heartbeat, "BEAT_SECONDS", 0.01)
    MEANWHILE.append(wish)
    run = runs.work(ws, start(ws, 20))
    assert run.state == state and len((ws.folder / "counted").read_text()) == MEANWHILE_AT + 1
    requeue(ws, run.id)
    assert runs.work(ws, run.id).message == "Counted to 20."
    assert len((ws.folder / "counted").read_text()) == 20


def test_a_stop_passes_through_the_job(ws):
    progress = heartbeat.Progress(ws, start(ws, 3), "nobody")
    progress.step("one", 1, 2)
    progress.stop("Paused")
    with pytest.raises(Stopped, match="Paused"):
        progress.step("one", 2, 2)


def test_a_job_does_not_wait_for_a_run_that_asks_a_teacher_but_for_another_job(ws, settings, teach):
    """The run does not wait for the job either, because embedding and generation write different files."""
    with ws.write() as db:
        other = run_rows.add_run(db, "generate", "at work", settings("mathematics"))
        run_rows.update_run(db, other, state="running", claim="someone", heartbeat_at=time.time())
    assert runs.work(ws, start(ws, 2)).state == "finished"
    with ws.write() as db:
        run_rows.update_run(db, other, state="finished")
        job = run_rows.add_run(db, "count", "at work", {"to": 1})
        run_rows.update_run(db, job, state="running", claim="someone", heartbeat_at=time.time())
    teach(Canned())
    assert execute_run(ws, settings("mathematics")).state == "finished"
    later, told = start(ws, 3), []

    def waiting(ahead: int) -> None:
        told.append(ahead)
        with ws.write() as db:
            run_rows.update_run(db, job, state="finished")

    assert runs.work(ws, later, waiting=waiting).state == "finished" and told == [job]


def test_a_job_that_is_silent_in_a_long_step_is_not_lost_while_its_process_is_there(ws):
    import os
    import socket

    with ws.write() as db:
        id = run_rows.add_run(db, "count", "long step", {"to": 1})
        run_rows.update_run(
            db, id, state="running", claim="me", heartbeat_at=1000.0, pid=os.getpid(), host=socket.gethostname()
        )
    run = runs.get(ws, id)
    assert runs.state_of(run, now=1300.0) == "running" and runs.state_of(run, now=2000.0) == "lost"


@pytest.mark.parametrize("kind", registry.RUN_KINDS)
def test_every_kind_of_run_can_be_loaded(kind):
    settings = import_strings.load_symbol(registry.RUN_KINDS[kind].settings)
    assert callable(import_strings.load_symbol(registry.RUN_KINDS[kind].work))
    assert settings.__doc__ and settings.model_fields["kind"].default == kind
