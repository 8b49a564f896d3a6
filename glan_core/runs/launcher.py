"""Starting runs as detached children, and telling them to pause, cancel or go on."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping

from glan_core.errors import GlanError
from glan_core.import_strings import load_symbol
from glan_core.resources import CHECKOUT
from glan_core.runs.registry import CHECK_TEACHERS, RUN_KINDS, is_job, settings_of
from glan_core.runs.states import get, state_of
from glan_core.settings import Settings
from glan_core.workspace import Workspace, run_rows
from glan_core.workspace.run_rows import LIVE


def submit(ws: Workspace, kind: str, title: str, params: dict, plan: dict | None = None) -> int:
    """Store a run that has not begun; its number. Keys are no part of `params`: a child gets them by its environment."""
    with ws.write() as db:
        return run_rows.add_run(db, kind, title, params, plan)


def start(
    ws: Workspace,
    kind: str,
    title: str,
    settings: Settings,
    environment: Mapping[str, str] | None = None,
    plan: dict | None = None,
) -> int:
    """Make sure that an order can be begun, store its run and start the child; the run's number.

    `environment` as for `launch`. GlanError, with nothing stored, when the order can't be carried out.
    """
    if not is_job(kind):
        _check_teachers(settings, environment)
    run_id = submit(ws, kind, title, settings.model_dump(mode="json"), plan)
    launch(ws, run_id, environment)
    return run_id


def _check_teachers(settings: Settings, environment: Mapping[str, str] | None) -> None:
    load_symbol(CHECK_TEACHERS)(settings, (environment or {}).get("OPENAI_API_KEY"))


def launch(ws: Workspace, run_id: int, environment: Mapping[str, str] | None = None) -> None:
    """Start the child of a stored run, in a session of its own, its output in a file of the workspace.

    It lives on when the caller, the terminal or the browser is closed, and has the caller's working folder, so that a path
    to weights means the same to both. `environment` is added to the child's own: the way for a key that a person typed.
    """
    variables = {**os.environ, **(environment or {})}
    variables["PYTHONPATH"] = os.pathsep.join(filter(None, (str(CHECKOUT), variables.get("PYTHONPATH"))))
    folder = ws.folder / "runs"
    folder.mkdir(exist_ok=True)
    with (folder / f"{run_id}.log").open("ab") as log:
        child = subprocess.Popen(
            # -P: modules come from the packages, not from whatever lies in the working folder.
            [sys.executable, "-P", "-m", "glan_core", "work", str(ws.folder), str(run_id)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, env=variables,
        )  # fmt: skip
    with ws.write() as db:
        if run_rows.run(db, run_id).pid is None:
            run_rows.update_run(db, run_id, pid=child.pid, host=socket.gethostname())


def pause(ws: Workspace, run_id: int) -> None:
    """Ask a live run to stop sending, store what is in flight, and end; `resume` takes it up again."""
    with ws.write() as db:
        if (state := state_of(get(ws, run_id))) not in LIVE:
            raise GlanError(f"Run {run_id} is {state}: only a queued or running run can be asked to pause.")
        run_rows.update_run(db, run_id, wish="pause")


def keep(ws: Workspace, run_id: int) -> None:
    """Ask a working run to end early and keep what it made so far, as fine-tuning can."""
    with ws.write() as db:
        run = get(ws, run_id)
        if run.kind not in RUN_KINDS or not RUN_KINDS[run.kind].keeps_partial:
            raise GlanError(f"Run {run_id} has nothing that could be kept half made: pause or cancel it.")
        if (state := state_of(run)) != "running":
            raise GlanError(f"Run {run_id} is {state}: only one that is at work can be ended early.")
        run_rows.update_run(db, run_id, wish="keep")


def cancel(ws: Workspace, run_id: int) -> None:
    """Ask a live run to end for good; one that is paused or lost is cancelled at once. What it stored is kept."""
    with ws.write() as db:
        state = state_of(get(ws, run_id))
        if state in LIVE:
            run_rows.update_run(db, run_id, wish="cancel")
        elif state in ("paused", "lost"):  # without its claim a process that was only stalled stops when it wakes
            message = "Cancelled: what was stored is kept."
            run_rows.update_run(db, run_id, state="cancelled", claim=None, message=message, finished_at=time.time())
        else:
            raise GlanError(f"Run {run_id} is {state}: there is nothing to cancel.")


def resume(ws: Workspace, run_id: int, environment: Mapping[str, str] | None = None, *, params: dict | None = None) -> None:
    """Take up a run that was paused, lost, cancelled or failed, in a new child: it does what is still missing.

    `params` replaces the order, for a larger budget. GlanError, with nothing changed, when the run is live or finished, or
    the order can't be carried out: no such teacher, no key, a limit that is none.
    """
    run = get(ws, run_id)
    if not is_job(run.kind):
        _check_teachers(settings_of(run.kind, run.params if params is None else params), environment)
    make_ready(ws, run_id, params=params)
    launch(ws, run_id, environment)


def make_ready(ws: Workspace, run_id: int, *, params: dict | None = None) -> None:
    """Put a run that ended early back in the queue without starting a child; GlanError when it is live or finished."""
    with ws.write() as db:  # asking and writing in one step, so that of two who ask at the same time only one passes
        if (state := state_of(get(ws, run_id))) not in ("paused", "lost", "cancelled", "failed"):
            why = "it is still at work" if state in LIVE else "there is nothing left of it; start a new one to go further"
            raise GlanError(f"Run {run_id} is {state}: {why}.")
        run_rows.update_run(
            db, run_id, state="queued", wish=None, message="", pid=None, claim=None, heartbeat_at=time.time(), finished_at=None
        )
        if params is not None:
            run_rows.set_params(db, run_id, params)
