"""Starting runs as detached worker processes, and requesting pause, cancel or resume."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping

import apsw

from glan_core import access, text_validation
from glan_core.errors import GlanError
from glan_core.import_strings import load_symbol
from glan_core.resources import CHECKOUT
from glan_core.runs.registry import CHECK_TEACHERS, RUN_KINDS, is_job, settings_of
from glan_core.runs.states import get, state_of
from glan_core.settings import Settings
from glan_core.workspace import Workspace, batch_rows, run_rows
from glan_core.workspace.run_rows import LIVE

MOST_TAGS = 20


def submit(ws: Workspace, kind: str, title: str, params: dict, plan: dict | None = None) -> int:
    """Store a queued run; return its id.

    API keys are not part of `params`: a worker receives them through its environment.
    """
    with ws.write(title) as db:
        return run_rows.add_run(db, kind, title, params, plan)


def start(
    ws: Workspace,
    kind: str,
    title: str,
    settings: Settings,
    environment: Mapping[str, str] | None = None,
    plan: dict | None = None,
) -> int:
    """Validate settings, store the run and start its worker process.

    Args:
        ws: The workspace.
        kind: Kind of the run, see `registry.RUN_KINDS`.
        title: Title for display.
        settings: The settings.
        environment: Additional environment variables of the worker, such as an API key.
        plan: The plan that was shown to the user.

    Returns:
        Id of the run.

    Raises:
        GlanError: If the settings cannot be executed. No run is stored.
    """
    if not is_job(kind):
        _check_teachers(settings, environment)
    run_id = submit(ws, kind, title, settings.model_dump(mode="json"), plan)
    launch(ws, run_id, environment)
    return run_id


def _check_teachers(settings: Settings, environment: Mapping[str, str] | None) -> None:
    load_symbol(CHECK_TEACHERS)(settings, environment)


def launch(ws: Workspace, run_id: int, environment: Mapping[str, str] | None = None) -> None:
    """Start the worker process of a stored run in its own session, logging to `runs/ID.log`.

    The worker survives the caller, terminal and browser. It keeps the working directory, so that relative paths are the same.

    Args:
        ws: The workspace.
        run_id: The run.
        environment: Additional environment variables, such as an API key entered by the user.

    Raises:
        GlanError: If nothing may be started here.
    """
    access.check_may_change()
    variables = {**os.environ, **(environment or {})}
    variables["PYTHONPATH"] = os.pathsep.join(filter(None, (str(CHECKOUT), variables.get("PYTHONPATH"))))
    folder = ws.folder / "runs"
    folder.mkdir(exist_ok=True)
    with (folder / f"{run_id}.log").open("ab") as log:
        child = subprocess.Popen(
            # -P: do not import modules from the working directory.
            [sys.executable, "-P", "-m", "glan_core", "work", str(ws.folder), str(run_id)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, env=variables,
        )  # fmt: skip
    with ws.write() as db:
        if run_rows.require_run(db, run_id).pid is None:
            run_rows.update_run(db, run_id, pid=child.pid, host=socket.gethostname())


def label(ws: Workspace, run_id: int, title: str, tags: Iterable[str]) -> None:
    """Set the title and tags of a run; an empty title keeps the present one.

    Raises:
        GlanError: If the run does not exist, or a text is too long or cannot be stored.
    """
    named = text_validation.name(title or get(ws, run_id).title, "run")
    kept = dict.fromkeys(text_validation.name(tag, "tag") for tag in tags if tag.strip())
    if len(kept) > MOST_TAGS:
        raise GlanError(f"{len(kept)} tags are given. Use at most {MOST_TAGS}.")
    with ws.write(f"run {run_id}") as db:
        run_rows.label_run(db, run_id, named, kept)


def pause(ws: Workspace, run_id: int) -> None:
    """Request that a live run stops sending, stores what is in flight and ends; `resume` continues it.

    A queued run is paused at once.

    Raises:
        GlanError: If the run is not live.
    """
    with ws.write(f"run {run_id}") as db:
        state = state_of(get(ws, run_id))
        if state == "queued":
            _end_queued(db, run_id, "paused", "Paused before it started. Resume the run to continue.")
        elif state in LIVE:
            run_rows.update_run(db, run_id, wish="pause")
        else:
            raise GlanError(f"Run {run_id} is {state}. Only queued or running runs can be paused.")


def _end_queued(db: apsw.Connection, run_id: int, state: str, message: str) -> None:
    """End a queued run: its worker, which may take long to start, finds it ended and without its claim, and exits."""
    run_rows.update_run(db, run_id, state=state, message=message, wish=None, claim=None, finished_at=time.time())


def keep(ws: Workspace, run_id: int) -> None:
    """Request that a running run ends early and keeps its partial result, as fine-tuning can.

    Raises:
        GlanError: If the run is not running, or its kind has no partial result.
    """
    with ws.write(f"run {run_id}") as db:
        run = get(ws, run_id)
        if run.kind not in RUN_KINDS or not RUN_KINDS[run.kind].keeps_partial:
            raise GlanError(f"Run {run_id} has no partial result to keep. Pause or cancel it.")
        if (state := state_of(run)) != "running":
            raise GlanError(f"Run {run_id} is {state}. Only running runs can be ended early.")
        run_rows.update_run(db, run_id, wish="keep")


def cancel(ws: Workspace, run_id: int) -> None:
    """Request that a running run ends; queued, paused and lost runs are cancelled directly. Stored results are kept.

    Raises:
        GlanError: If the run has already ended, or is not live and has batches at an endpoint.
    """
    with ws.write(f"run {run_id}") as db:
        state = state_of(get(ws, run_id))
        if state == "queued":
            _end_queued(db, run_id, "cancelled", "Cancelled before it started.")
        elif state in LIVE:
            run_rows.update_run(db, run_id, wish="cancel")
        elif state in ("paused", "lost"):  # without its claim, a stalled worker stops when it continues
            message = "Cancelled. Stored results are kept."
            batch_rows.discard_unsent(db, run_id, time.time())
            run_rows.update_run(db, run_id, state="cancelled", claim=None, message=message, finished_at=time.time())
        else:
            raise GlanError(f"Run {run_id} is {state}. Only live, paused or lost runs can be cancelled.")


def resume(ws: Workspace, run_id: int, environment: Mapping[str, str] | None = None, *, params: dict | None = None) -> None:
    """Resume a paused, lost, cancelled or failed run in a new worker process, which does what is missing.

    Args:
        ws: The workspace.
        run_id: The run.
        environment: Additional environment variables, see `launch`.
        params: New settings, for example with a larger budget; None to keep the stored ones.

    Raises:
        GlanError: If the run is live or finished, or the settings cannot be executed. The run is unchanged.
    """
    run = get(ws, run_id)
    settings = settings_of(run.kind, run.params if params is None else params)
    if not is_job(run.kind):
        _check_teachers(settings, environment)
    requeue(ws, run_id, params=params)
    launch(ws, run_id, environment)


def requeue(ws: Workspace, run_id: int, *, params: dict | None = None) -> None:
    """Queue a run that ended early without starting a worker.

    Raises:
        GlanError: If the run is live or finished.
    """
    with ws.write(
        f"run {run_id}"
    ) as db:  # check and update in one transaction, so that only one of two concurrent callers succeeds
        if (state := state_of(get(ws, run_id))) not in ("paused", "lost", "cancelled", "failed"):
            hint = "Pause or cancel it first." if state in LIVE else "Start a new run to continue."
            raise GlanError(f"Run {run_id} is {state} and cannot be resumed. {hint}")
        run_rows.update_run(
            db, run_id, state="queued", wish=None, message="", pid=None, claim=None, heartbeat_at=time.time(), finished_at=None
        )
        if params is not None:
            run_rows.set_params(db, run_id, params)
