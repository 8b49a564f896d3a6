"""The model process as the rest of the studio sees it: found or started on demand, asked, and told to give its memory back.

Its address and token lie in the runtime folder of the user: `GLAN_RUNTIME`, else below `XDG_RUNTIME_DIR` or the system's
folder for temporary files; readable by nobody else. `GLAN_MODEL_IDLE` is how many seconds it stays without being asked.
"""

import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from glan_core import __version__
from glan_core.errors import GlanError
from glan_core.models.model_specs import Kept, Pane, SeededDecodingParams, TurnSettings
from glan_core.processes import command_has, wait_until_ended
from glan_core.resources import CHECKOUT
from glan_core.settings import Settings
from glan_core.teachers.contract import Message
from glan_core.teachers.http_teacher import key_from_environment

ADDRESS, LOCK, LOG = "models.json", "models.lock", "models.log"
IDLE_SECONDS = 600.0
START_SECONDS = 60.0  # a cold Python on a busy machine
ASK_SECONDS = 20.0  # for what is answered at once
LONG_SECONDS = 900.0  # for what loads weights first
COMMAND = "serve-models"
END_SECONDS = 15.0  # for answers to end and memory to be given back
KILL_SECONDS = 5.0  # for the system to end it by force
MOST_LOG = 2**20
CRASHED = (
    "The model process has ended without a word, as it does when the machine's memory runs out. What was written is kept. The "
    "next question starts it anew: choose a smaller model, or end what else needs memory."
)


class Address(Settings):
    """Where the model process is, and what it must be told to answer. `source` says which release it runs."""

    pid: int
    port: int
    token: str
    source: str


class ProcessGone(GlanError):
    """The model process is not there, or ended while it was asked."""


def runtime_folder() -> Path:
    """The folder for the address, made where it is not there; GlanError when it is not this user's alone."""
    if given := os.environ.get("GLAN_RUNTIME"):
        folder = Path(given)
    else:
        below = os.environ.get("XDG_RUNTIME_DIR")
        folder = Path(below) / "glan-studio" if below and Path(below).is_dir() else (
            Path(tempfile.gettempdir()) / f"glan-studio-{os.getuid()}")  # fmt: skip
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    what = folder.lstat()
    if folder.is_symlink() or what.st_uid != os.getuid() or what.st_mode & 0o077:
        raise GlanError(
            f"{folder} must be a folder that only you can read (chmod 700): the token of the model process lies there."
        )
    return folder


def source() -> str:
    """Which release of the studio this is, and where it lies."""
    return f"{__version__} {CHECKOUT}"


def idle_seconds() -> float:
    """How long the model process stays without being asked."""
    given = os.environ.get("GLAN_MODEL_IDLE", "")
    with suppress(ValueError):
        return max(1.0, float(given))
    if given:
        raise GlanError(f"GLAN_MODEL_IDLE must be a number of seconds, and is {given!r}.")
    return IDLE_SECONDS


def status() -> dict | None:
    """What the model process holds and writes, None where there is none; starts nothing."""
    address = _address()
    with suppress(ProcessGone):
        return address and _ask(address, "GET", "/status")
    return None


def ensure() -> None:
    """Make sure that a model process of this release runs; GlanError when it can't be started."""
    address = _address()
    if address and status() is not None:
        if address.source == source():
            return
        release()
    folder = runtime_folder()
    child, deadline = _launch(folder), time.monotonic() + START_SECONDS
    while status() is None:
        # One that ends well has found another, which will write its address in a moment.
        if child.poll() not in (None, 0):
            raise GlanError(f"The model process does not start: {_last_words(folder) or 'it ended at once'}.")
        if time.monotonic() > deadline:
            raise GlanError(f"The model process did not start within {START_SECONDS:.0f} s: see {folder / LOG}.")
        time.sleep(0.05)


def order_turn(
    panes: Sequence[Pane],
    chats: Sequence[Sequence[Message]],
    drawing: SeededDecodingParams,
    kept: Kept | None = None,
    id: str = "",
) -> TurnSettings:
    """An order for the panes to answer, each its own chat."""
    id = id or new_id()
    return TurnSettings(id=id, panes=tuple(panes), chats=tuple(tuple(c) for c in chats), drawing=drawing, kept=kept)


def new_id() -> str:
    """A name for a turn at work that no other has."""
    return uuid.uuid4().hex


def begin(settings: TurnSettings, key: str = "") -> None:
    """Have a turn answered in the background; `look` tells how far it is. `key` is for endpoints, '' for OPENAI_API_KEY."""
    ensure()
    _ask(_here(), "POST", "/turns", {"order": settings.model_dump(mode="json"), "key": key or key_from_environment()})


def stream(settings: TurnSettings, key: str = "") -> Iterator[dict]:
    """Have a turn answered, and yield what happens as it happens (`turns.Turn.events`). Closing the iterator stops it.

    ProcessGone when the process ends meanwhile.
    """
    ensure()
    body = {"order": settings.model_dump(mode="json"), "key": key or key_from_environment(), "stream": True}
    with _request(_here(), "POST", "/turns", body, LONG_SECONDS) as response:
        open_panes = len(settings.panes)
        try:
            for line in response:
                event = json.loads(line)
                open_panes -= "state" in event
                yield event
        except (OSError, http.client.HTTPException, ValueError):
            raise ProcessGone(CRASHED) from None
        if open_panes:
            raise ProcessGone(CRASHED)


def look(id: str) -> dict | None:
    """How far a turn is (`turns.Turn.picture`); None where no process knows it."""
    address = _address()
    if address is None:
        return None
    with suppress(ProcessGone):
        return _ask(address, "GET", f"/turns/{id}", missing=True)
    return None


def stop(id: str) -> None:
    """Have a turn end with what is written."""
    if address := _address():
        with suppress(ProcessGone):
            _ask(address, "POST", f"/turns/{id}/stop", {})


def self_test(panes: Sequence[Pane]) -> dict:
    """Prove that panes run the weights that they say (`selftest.self_test`); GlanError when one can't be loaded."""
    ensure()
    body = {"panes": [pane.model_dump(mode="json") for pane in panes]}
    return _ask(_here(), "POST", "/self-test", body, seconds=LONG_SECONDS)


def nearest(folder: Path, snapshot: str, prompt: str, answer: str) -> dict:
    """The training rows nearest to an answer (`nearest.nearest_rows`)."""
    ensure()
    body = {"folder": str(folder), "snapshot_name": snapshot, "prompt": prompt, "answer": answer}
    return _ask(_here(), "POST", "/nearest", body, seconds=LONG_SECONDS)


def release() -> bool:
    """Have the model process end and give all its memory back; answers that are being written end with what they have.
    Returns when it is gone; whether there was one. GlanError when it does not end even by force."""
    address = _address()
    if address is None or not command_has(address.pid, COMMAND):  # its number may be another process's by now
        return False
    with suppress(ProcessGone, GlanError):
        _ask(address, "POST", "/release", {})
    if not wait_until_ended(address.pid, END_SECONDS):  # it hangs in a library
        with suppress(ProcessLookupError):
            os.kill(address.pid, signal.SIGKILL)
        if not wait_until_ended(address.pid, KILL_SECONDS):
            raise GlanError(f"The model process (pid {address.pid}) holds memory and does not end: end it, then try again.")
    with suppress(ChildProcessError):  # a child of this very process is taken off the system's list; it has ended
        os.waitpid(address.pid, 0)
    return True


def _launch(folder: Path) -> subprocess.Popen:
    """Start the process in a session of its own, with its output in a file. Threads that wait for work must not spin, or those
    of several answers would slow one another down."""
    variables = {name: value for name, value in os.environ.items() if name != "OPENAI_API_KEY"}
    variables["PYTHONPATH"] = os.pathsep.join(filter(None, (str(CHECKOUT), variables.get("PYTHONPATH"))))
    variables = {"OMP_WAIT_POLICY": "PASSIVE", "TOKENIZERS_PARALLELISM": "false"} | variables
    log = folder / LOG
    fresh = log.exists() and log.stat().st_size > MOST_LOG
    with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if fresh else os.O_APPEND), 0o600), "ab") as out:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "glan_core", COMMAND, "--idle", str(idle_seconds())],
            stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, env=variables,
        )  # fmt: skip


def _address() -> Address | None:
    try:
        return Address.model_validate_json((runtime_folder() / ADDRESS).read_text("utf-8"))
    except (OSError, ValueError):
        return None


def _here() -> Address:
    address = _address()
    if address is None:
        raise ProcessGone(CRASHED)
    return address


def _ask(
    address: Address, method: str, path: str, body: dict | None = None, *, seconds: float = ASK_SECONDS, missing: bool = False
) -> dict | None:
    """An answer in JSON; None for a 404 where that is `missing`. GlanError with what the process says, ProcessGone without it."""
    with _request(address, method, path, body, seconds) as response:
        try:
            said = json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError):
            raise ProcessGone(CRASHED) from None
    if response.status == 404 and missing:
        return None
    if response.status == 401:
        raise ProcessGone("Another process listens where the model process was.")
    if response.status != 200:
        raise GlanError(said.get("error") or "The model process refuses the request.")
    return said


@contextmanager
def _request(address: Address, method: str, path: str, body: dict | None, seconds: float) -> Iterator[http.client.HTTPResponse]:
    connection = http.client.HTTPConnection("127.0.0.1", address.port, timeout=seconds)
    try:
        try:
            raw = None if body is None else json.dumps(body).encode()
            connection.request(
                method, path, raw, {"Authorization": f"Bearer {address.token}", "Content-Type": "application/json"}
            )
            response = connection.getresponse()
        except (OSError, http.client.HTTPException):
            raise ProcessGone(CRASHED) from None
        yield response
    finally:
        connection.close()


def _last_words(folder: Path) -> str:
    with suppress(OSError):
        lines = [line.strip() for line in (folder / LOG).read_text("utf-8", "replace").splitlines() if line.strip()]
        return lines[-1][:200].rstrip(".") if lines else ""
    return ""
