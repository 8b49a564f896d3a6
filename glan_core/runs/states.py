"""States of runs: what is stored, and whether the worker behind it still lives."""

import socket
import time

from glan_core.errors import GlanError
from glan_core.processes import is_running
from glan_core.runs.registry import is_job
from glan_core.workspace import Workspace, run_rows
from glan_core.workspace.run_rows import LIVE, STALE_AFTER, Run

PAUSED, CANCELLED, TAKEN_OVER = "Paused", "Cancelled", "Another process has taken this run over"
KEPT = "Ended early: what it made so far is kept"
JOB_SECONDS = 600.0  # that a job whose process is there may be silent
LAUNCH_SECONDS = 45.0  # a cold Python on a busy machine may need this long to its first heartbeat


def get(ws: Workspace, run_id: int) -> Run:
    """A run by its number; GlanError when there is none."""
    run = run_rows.run(ws.db, run_id)
    if run is None:
        raise GlanError(f"There is no run {run_id} in {ws.folder}.")
    return run


def state_of(run: Run, now: float | None = None) -> str:
    """The state of a run as it really is: 'lost' when it says that it lives and its process is gone or silent."""
    if run.state not in LIVE:
        return run.state
    now = time.time() if now is None else now
    patience = STALE_AFTER if run.state == "running" else LAUNCH_SECONDS
    here = run.pid is not None and run.host == socket.gethostname()
    if here and is_job(run.kind):  # one step in a library may keep even the thread of the heartbeat waiting
        patience = JOB_SECONDS
    silent = now - (run.heartbeat_at or run.created_at) > patience
    return "lost" if silent or (here and not is_running(run.pid)) else run.state
