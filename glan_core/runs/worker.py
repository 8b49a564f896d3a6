"""The worker of a run: waits for its lane, claims the run, executes it and stores the final state."""

import errno
import os
import signal
import socket
import sys
import threading
import time
import traceback
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import apsw

from glan_core.errors import GlanError
from glan_core.import_strings import load_symbol
from glan_core.runs.heartbeat import Watcher, pausing_signals, run_job
from glan_core.runs.notifications import notify_end
from glan_core.runs.registry import RUN_TEACHERS, is_job, lane_of
from glan_core.runs.states import get, state_of
from glan_core.teachers.endpoint_errors import redact
from glan_core.teachers.endpoint_settings import environment_secrets
from glan_core.workspace import Workspace, run_rows
from glan_core.workspace.run_rows import LIVE, Run

TURN_SECONDS = 0.5


def work(ws: Workspace, run_id: int, watch: Watcher | None = None, waiting: Callable[[int], None] | None = None) -> Run:
    """Execute a queued run in this process, after the runs before it in its lane.

    Errors are stored in the run's state and message instead of being raised; tracebacks of unexpected ones go to stderr. Ctrl-C
    cancels a waiting run and pauses a running one.

    Args:
        ws: The workspace.
        run_id: The run.
        watch: Called with the progress.
        waiting: Called with the id of each run that this one waits for.

    Returns:
        The run in its final state.
    """
    claim, reported = uuid.uuid4().hex, None
    if threading.current_thread() is threading.main_thread():
        for number in pausing_signals():
            signal.signal(number, signal.default_int_handler)
    try:
        while (ahead := _claim(ws, run_id, claim)) is not None:
            if waiting and ahead != reported:
                waiting(ahead)
            reported = ahead
            time.sleep(TURN_SECONDS)
    except KeyboardInterrupt:
        return _end(ws, run_id, claim, "cancelled", "Cancelled before it started.")
    if not run_rows.owns_run(ws.db, run_id, claim):
        return get(ws, run_id)
    try:
        run = get(ws, run_id)
        state, message = (run_job if is_job(run.kind) else load_symbol(RUN_TEACHERS))(ws, run, claim, watch)
    except KeyboardInterrupt:  # before the engine handles signals
        state, message = "paused", "Paused. Resume the run to continue."
    except GlanError as error:
        state, message = "failed", redact(str(error), *environment_secrets())
    except (apsw.FullError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in (errno.ENOSPC, errno.EDQUOT):
            state, message = _unexpected(ws, run_id, error)
        else:
            state, message = "failed", f"The disk of {ws.folder} is full. Free some space and resume the run."
    except Exception as error:
        state, message = _unexpected(ws, run_id, error)
    ended = _end(ws, run_id, claim, state, message)
    if ended.state not in LIVE:  # not taken over by another process
        with suppress(KeyboardInterrupt):
            notify_end(ws, run_id)
            ended = replace(ended, notices=get(ws, run_id).notices)
    return ended


def _unexpected(ws: Workspace, run_id: int, error: Exception) -> tuple[str, str]:
    """Print the traceback of an error; return the final state and message. What a newer release's schema causes has a message of its own."""
    try:
        ws.check_in_place()
    except GlanError as reason:
        return "failed", str(reason)
    except apsw.Error:
        pass  # a damaged database: the error itself is shown
    with suppress(OSError):  # the disk of the log is full, or the terminal was closed
        print(redact(traceback.format_exc(), *environment_secrets()), file=sys.stderr, flush=True)
    log = f"runs/{run_id}.log"
    where = f" See {log} for details." if (ws.folder / log).exists() else ""
    return "failed", f"Unexpected error ({type(error).__name__}).{where}"


def _claim(ws: Workspace, run_id: int, claim: str) -> int | None:
    """Claim the run if no other run of its lane (`registry.lane_of`) is ahead; runs of a lane execute in id order.

    Also writes a heartbeat.

    Returns:
        The run to wait for, None if the run was claimed or cannot be.
    """
    now = time.time()
    ownership: dict[str, object] = {"claim": claim, "pid": os.getpid(), "host": socket.gethostname(), "heartbeat_at": now}
    with ws.write() as db:
        run = run_rows.require_run(db, run_id)
        if run.state != "queued" or run.claim not in (None, claim):
            return None
        if run.wish:
            state = "paused" if run.wish == "pause" else "cancelled"
            run_rows.update_run(db, run_id, state=state, wish=None, message="Stopped before it started.", finished_at=now)
            return None
        same = [other for other in run_rows.live_runs(db) if lane_of(other.kind) == lane_of(run.kind)]
        others = [other for other in same if other.id != run_id]
        lost = [other for other in others if state_of(other, now) == "lost"]
        ahead = [other for other in others if other not in lost and (other.state == "running" or other.id < run_id)]
        if ahead:
            run_rows.update_run(db, run_id, **ownership)
            return ahead[0].id
        for other in lost:  # a stalled worker must not continue in parallel to this run
            run_rows.update_run(db, other.id, claim=None)
        run_rows.update_run(db, run_id, **ownership, state="running", started_at=run.started_at or now)
        return None


def _end(ws: Workspace, run_id: int, claim: str, state: str, message: str) -> Run:
    """Store the final state if the run is still owned by this process, or queued and not claimed by another.

    If it cannot be stored, the run that is returned has failed with that reason.
    """
    try:
        try:
            _store_end(ws, run_id, claim, state, message)
        except GlanError:  # a full disk: the space of the write-ahead log can be used again
            ws.db.pragma("wal_checkpoint(restart)")
            _store_end(ws, run_id, claim, state, message)
    except (GlanError, apsw.Error) as error:
        reason = message if state == "failed" and message else str(error)
        return replace(get(ws, run_id), state="failed", message=reason, finished_at=time.time())
    return get(ws, run_id)


def _store_end(ws: Workspace, run_id: int, claim: str, state: str, message: str) -> None:
    with ws.write() as db:
        run = run_rows.require_run(db, run_id)
        if run_rows.owns_run(db, run_id, claim) or (run.state == "queued" and run.claim in (None, claim)):
            run_rows.update_run(db, run_id, state=state, message=message, wish=None, waiting="", finished_at=time.time())
