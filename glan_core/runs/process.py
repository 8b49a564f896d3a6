"""What the process of a run does: wait for its turn, claim the run, do the work, and say how it ended."""

import os
import socket
import sys
import time
import traceback
import uuid

from glan_core.errors import GlanError
from glan_core.generation.run import Watcher, carry_out
from glan_core.runs.control import get, state_of
from glan_core.teachers.http import key_from_environment
from glan_core.teachers.wire import redact
from glan_core.workspace import Workspace, run_rows
from glan_core.workspace.run_rows import Run

TURN_SECONDS = 0.5


def work(ws: Workspace, run_id: int, watch: Watcher | None = None) -> Run:
    """Do a queued run in this process, after the runs before it; returns it as it ended.

    Faults end up in the run's state and message, not as exceptions; a traceback of an unexpected one goes to stderr.
    """
    claim = uuid.uuid4().hex
    try:
        while not _claim(ws, run_id, claim):
            run = get(ws, run_id)
            if run.state != "queued" or run.claim not in (None, claim):
                return run
            time.sleep(TURN_SECONDS)
    except KeyboardInterrupt:
        return _end(ws, run_id, claim, "cancelled", "Cancelled before it began.")
    try:
        state, message = carry_out(ws, get(ws, run_id), claim, watch)
    except GlanError as error:
        state, message = "failed", redact(str(error), key_from_environment())
    except Exception as error:
        print(redact(traceback.format_exc(), key_from_environment()), file=sys.stderr, flush=True)
        state, message = "failed", f"Something unforeseen went wrong ({type(error).__name__}); runs/{run_id}.log tells where."
    return _end(ws, run_id, claim, state, message)


def _claim(ws: Workspace, run_id: int, claim: str) -> bool:
    """Take the run if it is its turn: one run writes at a time, in the order of their numbers. Says that it lives, too."""
    now = time.time()
    mine = {"claim": claim, "pid": os.getpid(), "host": socket.gethostname(), "heartbeat_at": now}
    with ws.write() as db:
        run = run_rows.run(db, run_id)
        if run.state != "queued" or run.claim not in (None, claim):
            return False
        if run.wish:
            state = "cancelled" if run.wish == "cancel" else "paused"
            run_rows.update_run(db, run_id, state=state, wish=None, message="Stopped before it began.", finished_at=now)
            return False
        others = [other for other in run_rows.live_runs(db) if other.id != run_id and state_of(other, now) != "lost"]
        if any(other.state == "running" or other.id < run_id for other in others):
            run_rows.update_run(db, run_id, **mine)
            return False
        run_rows.update_run(db, run_id, **mine, state="running", started_at=run.started_at or now)
        return True


def _end(ws: Workspace, run_id: int, claim: str, state: str, message: str) -> Run:
    with ws.write() as db:
        if run_rows.run(db, run_id).claim == claim:
            run_rows.update_run(db, run_id, state=state, message=message, wish=None, finished_at=time.time())
    return get(ws, run_id)
