"""States of runs, from the stored state and the heartbeat of the worker process."""

import socket
import time

from glan_core.errors import GlanError
from glan_core.processes import is_running
from glan_core.runs.registry import is_job
from glan_core.workspace import Workspace, run_rows
from glan_core.workspace.run_rows import LIVE, STALE_AFTER, Run

PAUSED, CANCELLED, TAKEN_OVER = "Paused", "Cancelled", "Another process took over this run"
KEPT = "Ended early: the partial result is kept"
JOB_SECONDS = 600.0  # heartbeat timeout of a job whose process is running on this machine
LAUNCH_SECONDS = 45.0  # timeout of the first heartbeat, which a cold start on a busy machine may need


def get(ws: Workspace, run_id: int) -> Run:
    """Return a run.

    Raises:
        GlanError: If it does not exist.
    """
    run = run_rows.run(ws.db, run_id)
    if run is None:
        raise GlanError(f"Run {run_id} does not exist in {ws.folder}.")
    return run


def state_of(run: Run, now: float | None = None) -> str:
    """Return the actual state of a run: 'lost' if it is stored as live but its worker ended or has no heartbeat."""
    if run.state not in LIVE:
        return run.state
    now = time.time() if now is None else now
    timeout = STALE_AFTER if run.state == "running" else LAUNCH_SECONDS
    local_pid = run.pid if run.host == socket.gethostname() else None
    if local_pid is not None and is_job(run.kind):  # a long library call may block even the heartbeat thread
        timeout = JOB_SECONDS
    silent = now - (run.heartbeat_at or run.created_at) > timeout
    return "lost" if silent or (local_pid is not None and not is_running(local_pid)) else run.state


def live_runs(ws: Workspace) -> list[Run]:
    """Return the runs that are queued or running, oldest first; runs that are stored as live but lost are left out."""
    return [run for run in run_rows.live_runs(ws.db) if state_of(run) in LIVE]
