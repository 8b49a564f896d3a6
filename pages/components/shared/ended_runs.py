"""The runs that a browser may tell its user about: those of more than a minute that ended lately, and lost ones."""

import time
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse

from glan_core.errors import GlanError
from glan_core.runs.notifications import LONG_SECONDS
from glan_core.runs.states import state_of
from glan_core.workspace import DatabaseError, Workspace, find_workspaces, run_rows
from glan_core.workspace.run_rows import Run
from pages.components.shared import sign_in
from pages.components.shared.workspace_home import workspace_home

RECENT = 3600.0  # seconds; a browser that looks less often is not told


def ended_runs(ws: Workspace, now: float) -> list[dict]:
    """Return the long runs of a workspace that ended within the last hour or are lost, newest first."""
    found = run_rows.ended_since(ws.db, now - RECENT, LONG_SECONDS)
    lost = [run for run in run_rows.live_runs(ws.db) if state_of(run, now) == "lost" and _was_long(run)]
    return [
        {
            "key": f"{run.id}-{state}-{int(run.finished_at or 0)}", "id": run.id, "title": run.title, "state": state,
            "message": run.message,
        }
        for run, state in [*((run, run.state) for run in found), *((run, "lost") for run in lost)]
    ]  # fmt: skip


def _was_long(run: Run) -> bool:
    return (run.heartbeat_at or 0) - (run.started_at or run.created_at) >= LONG_SECONDS


async def answer(request: Request) -> JSONResponse:
    """Answer the request of notifications.js for a workspace of the home folder; with sign-in nobody is answered here."""
    if sign_in.is_required():
        return JSONResponse({"now": time.time(), "runs": []}, 403)
    return await run_in_threadpool(_answer, workspace_home(), request.query_params.get("workspace", ""))


def _answer(home: Path, name: str) -> JSONResponse:
    folder = next((folder for folder in find_workspaces(home) if folder.name == name), None)
    now = time.time()
    if folder is None:
        return JSONResponse({"now": now, "runs": []}, 404)
    try:
        ws = Workspace.open(folder)
        try:
            return JSONResponse({"now": now, "runs": ended_runs(ws, now)}, headers={"Cache-Control": "no-store"})
        finally:
            ws.close()
    except (GlanError, DatabaseError):
        return JSONResponse({"now": now, "runs": []}, 503)
