"""What the process of a run does: wait for its turn, claim the run, do the work, and say how it ended."""

import os
import socket
import sys
import time
import traceback
import uuid
from collections.abc import Callable

from glan_core.errors import GlanError
from glan_core.import_strings import load_symbol
from glan_core.runs.heartbeat import Watcher, run_job
from glan_core.runs.registry import RUN_TEACHERS, is_job, lane_of
from glan_core.runs.states import get, state_of
from glan_core.teachers.http_teacher import key_from_environment
from glan_core.teachers.wire_format import redact
from glan_core.workspace import Workspace, run_rows
from glan_core.workspace.run_rows import Run

TURN_SECONDS = 0.5


def work(ws: Workspace, run_id: int, watch: Watcher | None = None, waiting: Callable[[int], None] | None = None) -> Run:
    """Do a queued run in this process, after the runs before it; returns it as it ended.

    `waiting` is called with the number of each run that it has to wait for. Faults end up in the run's state and message,
    not as exceptions; a traceback of an unexpected one goes to stderr. Ctrl-C cancels a run that waits, and pauses one that
    has begun.
    """
    claim, told = uuid.uuid4().hex, None
    try:
        while (ahead := _claim(ws, run_id, claim)) is not None:
            if waiting and ahead != told:
                waiting(ahead)
            told = ahead
            time.sleep(TURN_SECONDS)
    except KeyboardInterrupt:
        return _end(ws, run_id, claim, "cancelled", "Cancelled before it began.")
    if not run_rows.holds(ws.db, run_id, claim):
        return get(ws, run_id)
    try:
        run = get(ws, run_id)
        state, message = (run_job if is_job(run.kind) else load_symbol(RUN_TEACHERS))(ws, run, claim, watch)
    except KeyboardInterrupt:  # before the engine listens to signals
        state, message = "paused", "Paused: resume it to go on."
    except GlanError as error:
        state, message = "failed", redact(str(error), key_from_environment())
    except Exception as error:
        print(redact(traceback.format_exc(), key_from_environment()), file=sys.stderr, flush=True)
        log = f"runs/{run_id}.log"
        where = f"; {log} tells where" if (ws.folder / log).exists() else ""
        state, message = "failed", f"Something unforeseen went wrong ({type(error).__name__}){where}."
    return _end(ws, run_id, claim, state, message)


def _claim(ws: Workspace, run_id: int, claim: str) -> int | None:
    """Take the run if it is its turn: of those in a lane (`registry.lane_of`) one works at a time, in the order of their numbers.
    Says that it lives, too.

    Returns the run to wait for, None where there is nothing to wait for: the run is taken, or it can't be.
    """
    now = time.time()
    mine = {"claim": claim, "pid": os.getpid(), "host": socket.gethostname(), "heartbeat_at": now}
    with ws.write() as db:
        run = run_rows.run(db, run_id)
        if run.state != "queued" or run.claim not in (None, claim):
            return None
        if run.wish:
            state = "paused" if run.wish == "pause" else "cancelled"
            run_rows.update_run(db, run_id, state=state, wish=None, message="Stopped before it began.", finished_at=now)
            return None
        same = [other for other in run_rows.live_runs(db) if lane_of(other.kind) == lane_of(run.kind)]
        others = [other for other in same if other.id != run_id]
        lost = [other for other in others if state_of(other, now) == "lost"]
        ahead = [other for other in others if other not in lost and (other.state == "running" or other.id < run_id)]
        if ahead:
            run_rows.update_run(db, run_id, **mine)
            return ahead[0].id
        for other in lost:  # one whose process was only stalled must not go on beside this run when it wakes
            run_rows.update_run(db, other.id, claim=None)
        run_rows.update_run(db, run_id, **mine, state="running", started_at=run.started_at or now)
        return None


def _end(ws: Workspace, run_id: int, claim: str, state: str, message: str) -> Run:
    """Close the run, if it is still this process's: running under its claim, or queued and nobody else's."""
    with ws.write() as db:
        run = run_rows.run(db, run_id)
        if run_rows.holds(db, run_id, claim) or (run.state == "queued" and run.claim in (None, claim)):
            run_rows.update_run(db, run_id, state=state, message=message, wish=None, finished_at=time.time())
    return get(ws, run_id)
