"""Client of the model server: finds or starts it on demand, sends requests, and releases its memory.

Address and token are stored in the user's runtime folder: `GLAN_RUNTIME`, else below `XDG_RUNTIME_DIR` or the system's
temporary folder, readable by the user only. `GLAN_MODEL_IDLE` is the idle time in seconds after which the server exits.
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
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from glan_core import __version__, access
from glan_core.errors import GlanError
from glan_core.models.model_specs import ReplyTarget, ResolvedModel, SeededDecodingParams, TurnSettings
from glan_core.processes import command_has, wait_until_ended
from glan_core.resources import CHECKOUT
from glan_core.settings import Settings
from glan_core.teachers.contract import Message
from glan_core.teachers.endpoint_settings import key_from_environment

ADDRESS, LOCK, LOG = "models.json", "models.lock", "models.log"
IDLE_SECONDS = 600.0
START_SECONDS = 60.0  # cold start of Python on a busy machine
ASK_SECONDS = 20.0  # for requests that are answered immediately
LONG_SECONDS = 900.0  # for requests that load weights first
COMMAND = "serve-models"
END_SECONDS = 15.0  # for replies to end and memory to be released
KILL_SECONDS = 5.0  # for the system to kill the process
MOST_LOG = 2**20
CRASHED = (
    "The model server exited unexpectedly, which usually means that the machine ran out of memory. The text so far is kept. The "
    "next question restarts it; use a smaller model or close other programs."
)


class Address(Settings):
    """Address and token of the model server; `source` identifies its release."""

    pid: int
    port: int
    token: str
    source: str


class ServerLost(GlanError):
    """The model server is not running or exited during a request."""


def runtime_folder() -> Path:
    """Return the runtime folder, creating it if needed.

    Raises:
        GlanError: If other users can access the folder.
    """
    if given := os.environ.get("GLAN_RUNTIME"):
        folder = Path(given)
    else:
        below = os.environ.get("XDG_RUNTIME_DIR")
        folder = Path(below) / "glan-studio" if below and Path(below).is_dir() else (
            Path(tempfile.gettempdir()) / f"glan-studio-{os.getuid()}")  # fmt: skip
    if not folder.exists():
        access.check_may_change()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    what = folder.lstat()
    if folder.is_symlink() or what.st_uid != os.getuid() or what.st_mode & 0o077:
        raise GlanError(
            f"{folder} must be accessible to you only (chmod 700), because it contains the token of the model server."
        )
    return folder


def source() -> str:
    """Return the release of the studio and its location."""
    return f"{__version__} {CHECKOUT}"


def idle_seconds() -> float:
    """Return the idle time in seconds after which the model server exits."""
    given = os.environ.get("GLAN_MODEL_IDLE", "")
    with suppress(ValueError):
        return max(1.0, float(given))
    if given:
        raise GlanError(f"GLAN_MODEL_IDLE must be a number of seconds, not {given!r}.")
    return IDLE_SECONDS


def status() -> dict | None:
    """Return the status of the model server, or None if it is not running; does not start it."""
    if (address := _address()) is None:
        return None
    with suppress(ServerLost):
        return _request_json(address, "GET", "/status")
    return None


def ensure_running() -> None:
    """Start a model server of this release if none is running.

    Raises:
        GlanError: If it cannot be started, or nothing may be started here.
    """
    access.check_may_change()
    address = _address()
    if address and status() is not None:
        if address.source == source():
            return
        release()
    folder = runtime_folder()
    child, deadline = _launch(folder), time.monotonic() + START_SECONDS
    while status() is None:
        # A server that exits with 0 has found another one, which is about to write its address.
        if child.poll() not in (None, 0):
            raise GlanError(f"The model server failed to start: {_last_words(folder) or 'it exited immediately'}.")
        if time.monotonic() > deadline:
            raise GlanError(f"The model server did not start within {START_SECONDS:.0f} s. See {folder / LOG}.")
        time.sleep(0.05)


def create_turn(
    panes: Sequence[ResolvedModel],
    chats: Sequence[Sequence[Message]],
    decoding: SeededDecodingParams,
    kept: ReplyTarget | None = None,
    id: str = "",
    own: Mapping[int, SeededDecodingParams] | None = None,
) -> TurnSettings:
    """Return a request for models to answer, each with its own chat and, by its pane in `own`, its own decoding parameters."""
    id = id or new_id()
    return TurnSettings.model_validate({
        "id": id, "panes": tuple(panes), "chats": tuple(tuple(dict(m) for m in c) for c in chats), "decoding": decoding,
        "kept": kept, "own": dict(own or {}),
    })  # fmt: skip


def new_id() -> str:
    """Return a unique turn ID."""
    return uuid.uuid4().hex


def start_turn(settings: TurnSettings, key: str = "") -> None:
    """Answer a turn in the background; `turn_state` returns its state. `key` defaults to OPENAI_API_KEY."""
    ensure_running()
    _request_json(_here(), "POST", "/turns", {"order": settings.model_dump(mode="json"), "key": key or key_from_environment()})


def stream_turn(settings: TurnSettings, key: str = "") -> Generator[dict, None, None]:
    """Answer a turn and yield its events (`reply_stream.Turn.events`). Closing the iterator stops it.

    Raises:
        ServerLost: If the server exits meanwhile.
    """
    ensure_running()
    body = {"order": settings.model_dump(mode="json"), "key": key or key_from_environment(), "stream": True}
    with _request(_here(), "POST", "/turns", body, LONG_SECONDS) as response:
        open_panes = len(settings.panes)
        try:
            for line in response:
                event = json.loads(line)
                open_panes -= "state" in event
                yield event
        except (OSError, http.client.HTTPException, ValueError):
            raise ServerLost(CRASHED) from None
        if open_panes:
            raise ServerLost(CRASHED)


def turn_state(id: str) -> dict | None:
    """Return the state of a turn (`reply_stream.Turn.picture`), or None if no server knows it."""
    address = _address()
    if address is None:
        return None
    with suppress(ServerLost):
        return _ask(address, "GET", f"/turns/{id}", missing=True)
    return None


def stop_turn(id: str) -> None:
    """Stop a turn, keeping its text."""
    access.check_may_change()
    if address := _address():
        with suppress(ServerLost):
            _request_json(address, "POST", f"/turns/{id}/stop", {})


def self_test(panes: Sequence[ResolvedModel]) -> dict:
    """Check that models run the weights they claim (`chat.self_test`).

    Raises:
        GlanError: If a model cannot be loaded.
    """
    ensure_running()
    body = {"panes": [pane.model_dump(mode="json") for pane in panes]}
    return _request_json(_here(), "POST", "/self-test", body, seconds=LONG_SECONDS)


def nearest_rows(folder: Path, model: str, prompt: str, answer: str) -> dict:
    """Return the training rows of a tuned model nearest to an answer (`chat.training_attribution`)."""
    ensure_running()
    body = {"folder": str(folder), "model": model, "prompt": prompt, "answer": answer}
    return _request_json(_here(), "POST", "/nearest", body, seconds=LONG_SECONDS)


def release() -> bool:
    """Stop the model server and release its memory; replies in progress end with the text so far.

    Returns:
        Whether a server was running.

    Raises:
        GlanError: If it cannot be killed, or nothing may be stopped here.
    """
    access.check_may_change()
    address = _address()
    if address is None or not command_has(address.pid, COMMAND):  # the PID may have been reused
        return False
    with suppress(ServerLost, GlanError):
        _request_json(address, "POST", "/release", {})
    if not wait_until_ended(address.pid, END_SECONDS):  # stuck in a library
        with suppress(ProcessLookupError):
            os.kill(address.pid, signal.SIGKILL)
        if not wait_until_ended(address.pid, KILL_SECONDS):
            raise GlanError(f"The model server (pid {address.pid}) does not exit and keeps its memory. Kill it and try again.")
    with suppress(ChildProcessError):  # reap it if it is a child of this process; never wait for one that still exits
        os.waitpid(address.pid, os.WNOHANG)
    return True


def memory_in_use() -> int:
    """Return the bytes of memory that the model server holds and that `release` would free; 0 if it is not running."""
    try:
        address = _address()
        if address is None or not command_has(address.pid, COMMAND):
            return 0
        return psutil.Process(address.pid).memory_info().rss
    except (GlanError, OSError, psutil.Error):
        return 0


def try_release() -> None:
    """Release the memory of the model server if possible; a run that needs it must not fail because of the chat.

    What remains is reported in the log of the run; whether the memory suffices is checked separately.
    """
    try:
        release()
    except (GlanError, OSError) as error:
        print(f"The memory of the chat models could not be released: {error}", file=sys.stderr, flush=True)


def _launch(folder: Path) -> subprocess.Popen:
    """Start the server in its own session with its output in a log file."""
    variables = {name: value for name, value in os.environ.items() if name != "OPENAI_API_KEY"}
    variables["PYTHONPATH"] = os.pathsep.join(filter(None, (str(CHECKOUT), variables.get("PYTHONPATH"))))
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
    except GlanError:
        if access.refusal():  # there is no folder, and none may be created
            return None
        raise


def _here() -> Address:
    address = _address()
    if address is None:
        raise ServerLost(CRASHED)
    return address


def _ask(
    address: Address, method: str, path: str, body: dict | None = None, *, seconds: float = ASK_SECONDS, missing: bool = False
) -> dict | None:
    """Send a request and parse its JSON response; None for a 404 if `missing`."""
    with _request(address, method, path, body, seconds) as response:
        try:
            data = json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError):
            raise ServerLost(CRASHED) from None
    if response.status == 404 and missing:
        return None
    if response.status == 401:
        raise ServerLost("Another process uses the address of the model server.")
    if response.status != 200:
        raise GlanError(data.get("error") or "The model server rejected the request.")
    return data


def _request_json(address: Address, method: str, path: str, body: dict | None = None, *, seconds: float = ASK_SECONDS) -> dict:
    data = _ask(address, method, path, body, seconds=seconds)
    if data is None:
        raise ServerLost(CRASHED)
    return data


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
            raise ServerLost(CRASHED) from None
        yield response
    finally:
        connection.close()


def _last_words(folder: Path) -> str:
    with suppress(OSError):
        lines = [line.strip() for line in (folder / LOG).read_text("utf-8", "replace").splitlines() if line.strip()]
        return lines[-1][:200].rstrip(".") if lines else ""
    return ""
