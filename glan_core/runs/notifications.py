"""Webhooks: an HTTP request when a run of more than a minute ends, fails or stops.

The addresses are in `notifications.json` in the user's configuration folder, like connections, because they often contain a secret.
An address belongs to all workspaces, to the workspaces of a folder, or to one workspace; the most specific one counts. A request
that fails is reported in the notices of its run and has no other effect.
"""

import asyncio
import json
import os
from contextlib import aclosing
from pathlib import Path
from urllib.parse import urlsplit

from glan_core import access
from glan_core.errors import GlanError
from glan_core.formatting import duration, quoted
from glan_core.http_client import HttpClient
from glan_core.http_transfer import HttpError, TimedOut
from glan_core.io.atomic import atomic_output
from glan_core.json_text import parse_json
from glan_core.runs.report import results_of
from glan_core.runs.states import get
from glan_core.teachers.connections import file_path
from glan_core.teachers.endpoint_errors import redact
from glan_core.teachers.endpoint_settings import environment_secrets
from glan_core.workspace import Workspace, run_rows
from glan_core.workspace.run_rows import Run

FILE = "notifications.json"
PREVIEWS = "previews"  # folder of workspaces within a workspace, whose runs belong to a form
EVERYWHERE = ""  # scope of an address for all workspaces
LONG_SECONDS = 60.0  # duration from which the end of a run is reported
TIMEOUT_SECONDS = 5.0
TRIES = 2
MOST_LENGTH = 2000
COUNTS = ("subjects", "syllabi", "sessions", "concepts", "questions", "pairs")


class WebhookError(GlanError):
    """The address of a webhook is not valid, or the webhook did not accept a request."""


def checked_url(url: str) -> str:
    """Return a valid address of a webhook.

    Raises:
        WebhookError: If it is not http or https, has no host, or contains a user name.
    """
    url = url.strip()
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    if not host or parts.scheme not in ("http", "https") or len(url) > MOST_LENGTH or not url.isprintable() or " " in url:
        raise WebhookError(f"{quoted(url)} is not an address of a webhook. Give one that begins with https:// or http://.")
    if "@" in parts.netloc:
        raise WebhookError("The address contains a user name or password. Give one without, or with a token in its path.")
    return url


def host_of(url: str) -> str:
    """Return scheme and host of an address, which can be shown: the rest may contain a secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def settings_path() -> Path:
    """Return the file of the user's webhooks."""
    return file_path().with_name(FILE)


def webhooks() -> dict[str, str]:
    """Return the webhooks by scope: `EVERYWHERE`, or the path of a folder.

    Raises:
        WebhookError: If the file cannot be read.
    """
    path = settings_path()
    try:
        values = parse_json(path.read_text("utf-8"))
        if not isinstance(values, dict) or not all(isinstance(url, str) for url in values.values()):
            raise ValueError("it is not a mapping of folders to addresses")
        return {scope: checked_url(url) for scope, url in values.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, WebhookError) as error:
        raise WebhookError(f"The webhooks in {path} cannot be read ({error}). Correct or remove the file.") from None


def webhook_of(folder: Path) -> tuple[str, str] | None:
    """Return scope and address of the webhook of a workspace, or None."""
    known = webhooks()
    scopes = [str(place) for place in (folder.absolute(), *folder.absolute().parents)]
    return next(((scope, known[scope]) for scope in (*scopes, EVERYWHERE) if scope in known), None)


def set_webhook(url: str | None, scope: str = EVERYWHERE) -> None:
    """Set the webhook of a scope, or remove it with None.

    Raises:
        GlanError: If the address is not valid, there is none to remove, the file cannot be written, or nothing may be changed here.
    """
    access.check_may_change()
    known = webhooks()
    if url is not None:
        known[scope] = checked_url(url)
    elif known.pop(scope, None) is None:
        raise WebhookError(f"There is no webhook for {scope or 'all workspaces'}.")
    path = settings_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_output(path, folder=False, mark=os.getpid()) as new:
            new.touch(mode=0o600)
            new.write_text(f"{json.dumps(known, ensure_ascii=False, indent=2)}\n", "utf-8")
        path.chmod(0o600)
    except (OSError, GlanError) as error:
        raise WebhookError(f"The webhook cannot be saved: {error}") from None


def payload(ws: Workspace, run: Run) -> dict:
    """Return what a webhook receives about a run."""
    results = results_of(ws, run)
    seconds = (run.finished_at or 0) - (run.started_at or 0) if run.started_at and run.finished_at else 0.0
    title, message = str(ws.metadata("name") or ws.folder.name), redact(run.message, *environment_secrets())
    counts = {} if results is None else {name: int(value) for name, value in results.gained.items() if value and name in COUNTS}
    return {
        "text": f"{title}: run {run.id} ({run.title}) {run.state} after {duration(seconds)}. {message}".strip(),
        "workspace": title, "folder": ws.folder.name, "run": run.id, "title": run.title, "kind": run.kind, "state": run.state,
        "message": message, "seconds": round(seconds, 1), "counts": counts,
        "calls": 0 if results is None else results.calls, "failures": 0 if results is None else results.failures,
        "cost_usd": None if results is None or results.unpriced else round(results.usd, 6), "finished_at": run.finished_at,
    }  # fmt: skip


def test_payload(workspace: str, now: float) -> dict:
    """Return what a webhook receives as a test; the keys are those of `payload`."""
    return {
        "text": f"{workspace or 'GLAN Studio'}: this is a test of the webhook.", "workspace": workspace, "folder": workspace,
        "run": 0, "title": "Test", "kind": "test", "state": "finished", "message": "This is a test of the webhook.",
        "seconds": 0.0, "counts": {}, "calls": 0, "failures": 0, "cost_usd": 0.0, "finished_at": now,
    }  # fmt: skip


def send(url: str, content: dict) -> None:
    """Send JSON to a webhook: `TRIES` times at most, each of `TIMEOUT_SECONDS`; redirects are refused.

    Raises:
        GlanError: If it does not answer with a status of 200 to 299, or nothing may be sent here.
    """
    access.check_may_change()
    asyncio.run(_send(checked_url(url), content))


async def _send(url: str, content: dict) -> None:
    reason = ""
    async with aclosing(HttpClient(url, total=TIMEOUT_SECONDS)) as client:
        for _ in range(TRIES):
            try:
                status = (await client.request(url, json.dumps(content).encode(), most=0)).status
            except TimedOut:
                reason = f"no answer within {TIMEOUT_SECONDS:g} s"
            except HttpError as error:
                reason = str(error)
            else:
                if 200 <= status < 300:
                    return
                reason = f"status {status}"
                if 300 <= status < 500 and status not in (408, 429):
                    break  # another try would have the same answer
    raise WebhookError(f"The webhook at {host_of(url)} did not accept the notification: {reason}.")


def notify_end(ws: Workspace, run_id: int) -> None:
    """Send the end of a run to the webhook of its workspace, if it has one and the run was long; nothing is raised."""
    try:
        run = get(ws, run_id)
        if run.started_at is None or run.finished_at is None or run.finished_at - run.started_at < LONG_SECONDS:
            return
        if ws.folder.parent.name == PREVIEWS:
            return
        if (found := webhook_of(ws.folder)) is not None:
            send(found[1], payload(ws, run))
    except Exception as error:  # a notification must not change the result of a run
        said = str(error) if isinstance(error, GlanError) else f"The webhook failed ({type(error).__name__})."
        _note(ws, run_id, said)


def _note(ws: Workspace, run_id: int, said: str) -> None:
    """Add a sentence to the notices of a run, if the workspace can be written."""
    try:
        with ws.write() as db:
            run_rows.add_notice(db, run_id, said)
    except Exception:  # the workspace was moved, or its disk is full
        return
