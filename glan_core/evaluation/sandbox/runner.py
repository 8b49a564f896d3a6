"""Sandbox runner: runs generated Python code in an isolated process.

The process has no network, cannot start other processes, sees neither the user's files nor environment variables, writes only to
its own temporary folder, and is killed at its limits. `sandbox_child` applies the restrictions. Before any generated code runs,
`prove` verifies them and refuses to continue if one does not hold; it requires Linux on x86-64 or 64-bit ARM with Landlock
(kernel 5.13 or newer). The sandbox protects the machine, not the score: code could find the pass token in its own process.
"""

import json
import os
import secrets
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from glan_core.errors import GlanError

CHILD = Path(__file__).with_name("sandbox_child.py")
POLL_SECONDS = 0.01
LOOK_SECONDS = 0.2  # between checks of the folder size
CRASHES = {signal.SIGSEGV: "a crash", signal.SIGABRT: "a crash", signal.SIGSYS: "a forbidden call"}
MOST_TOLD = 1 << 16  # bytes read from the process


@dataclass(frozen=True, slots=True)
class Limits:
    """Resource limits of a run.

    Attributes:
        cpu_seconds: CPU seconds, including the start of Python.
        seconds: Wall-clock seconds.
        memory: Bytes of memory.
        file_bytes: Bytes per file.
        folder_bytes: Bytes of the folder.
    """

    cpu_seconds: int = 4
    seconds: float = 15.0
    memory: int = 1 << 30
    file_bytes: int = 1 << 24
    folder_bytes: int = 1 << 26


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of a program.

    Attributes:
        passed: Whether it ran to its end.
        why: Why it failed; exception texts are untrusted.
    """

    passed: bool
    why: str = ""


LIMITS = Limits()


def run_code(source: str, limits: Limits = LIMITS) -> Outcome:
    """Run a program with its tests at the end; it passes if it ends without an exception. Its output is discarded.

    Raises:
        GlanError: If the sandbox does not hold on this machine.
    """
    prove()
    return _run(source, limits)


@cache
def prove() -> None:
    """Verify the restrictions of the sandbox.

    Raises:
        GlanError: If a restriction is missing or does not hold.
    """
    if not sys.platform.startswith("linux"):
        raise GlanError(
            "Generated code runs only on Linux, because the sandbox needs its security features. Skip the code benchmarks."
        )
    with tempfile.TemporaryDirectory(prefix="glan-outside-") as folder:
        outside = Path(folder) / "kept.txt"
        outside.write_text("kept")
        outcome = _run(_PROBE.format(outside=str(outside), memory=LIMITS.memory), LIMITS)
        broken = os.listdir(folder) != [outside.name] or outside.stat().st_mode & 0o777 == 0 or outside.read_text() != "kept"
    if not outcome.passed or broken:
        why = outcome.why or "a file outside its folder was written"
        raise GlanError(
            f"Generated code cannot run on this machine because the sandbox does not hold: {why}. Skip the code benchmarks."
        )


def _run(source: str, limits: Limits) -> Outcome:
    token = secrets.token_hex(16)
    with tempfile.TemporaryDirectory(prefix="glan-code-", ignore_cleanup_errors=True) as folder:
        read, write = os.pipe()
        try:
            process = _start(folder, write)
        finally:
            os.close(write)
        request = {"code": source, "token": token, "parent": os.getpid(), "readable": _readable(), **asdict(limits)}
        try:
            ended = _wait(process, json.dumps(request).encode(), Path(folder), limits)
        finally:
            _kill(process)
            os.set_blocking(read, False)
            with os.fdopen(read, "rb", buffering=0) as pipe:
                report = _parse(pipe.read(MOST_TOLD))
    if report.get("passed") == token:
        return Outcome(passed=True)
    if unlocked := report.get("unlocked"):
        return Outcome(passed=False, why=f"this machine lacks {unlocked}")
    return Outcome(passed=False, why=ended or str(report.get("failed") or "") or "it ended before its tests")


def _start(folder: str, write: int) -> subprocess.Popen:
    """Start the restricted process in its own session without our environment; it reports to the file descriptor `write`."""
    return subprocess.Popen(
        [sys.executable, "-I", "-B", str(CHILD), str(write)], cwd=folder, start_new_session=True, pass_fds=(write,),
        env={"HOME": folder, "TMPDIR": folder, "LC_ALL": "C.UTF-8"},
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def _wait(process: subprocess.Popen, request: bytes, folder: Path, limits: Limits) -> str:
    """Send the request and wait for the end; return why the process was stopped, or ''."""
    begun = looked = time.monotonic()
    if process.stdin is not None:
        with suppress(OSError):  # the process may have ended already
            process.stdin.write(request)
            process.stdin.close()
    while (code := process.poll()) is None:
        now = time.monotonic()
        if now - begun > limits.seconds:
            return f"stopped after {limits.seconds:g} seconds"
        if now - looked > LOOK_SECONDS:
            looked = now
            if _held(folder) > limits.folder_bytes:
                return "stopped because it wrote too much"
        time.sleep(POLL_SECONDS)
    if code in (-signal.SIGXCPU, -signal.SIGKILL):
        return f"stopped after {limits.cpu_seconds} CPU seconds"
    if code >= 0:
        return ""
    names = {int(number): text for number, text in CRASHES.items()}
    return f"ended by {names.get(-code, f'signal {-code}')}"


def _kill(process: subprocess.Popen) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _parse(raw: bytes | None) -> dict:
    """Parse the report of the process; it is untrusted, because the code could have written it."""
    try:
        report = json.loads(raw or b"{}")
    except (ValueError, RecursionError):
        return {}
    return report if isinstance(report, dict) else {}


def _held(folder: Path) -> int:
    total = 0
    for place, _, files in os.walk(folder):
        for name in files:
            with suppress(OSError):
                total += os.lstat(os.path.join(place, name)).st_blocks * 512
    return total


@cache
def _readable() -> list[str]:
    """Return the paths the code may read: Python with its libraries, and system libraries."""
    paths = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")} | {str(CHILD)}
    paths |= {
        str(Path(sys.base_prefix) / "lib"),
        "/usr/lib",
        "/usr/lib64",
        "/lib",
        "/lib64",
        "/usr/share/zoneinfo",
        "/dev/urandom",
    }
    return sorted(os.path.realpath(path) for path in paths if path)


_PROBE = """
import os, socket, subprocess, threading
broken = []

def tried(what, action):
    try:
        action()
    except (OSError, MemoryError, subprocess.SubprocessError):
        return
    broken.append(what)

def fork():
    if not os.fork():
        os._exit(0)

outside = {outside!r}
tried("the network", lambda: socket.socket())
tried("other processes", fork)
tried("other programs", lambda: subprocess.run(["/bin/true"]))
tried("signals", lambda: os.kill(os.getppid(), 0))
tried("files outside", lambda: open(outside, "w"))
tried("files outside", lambda: open(outside))
tried("files outside", lambda: os.unlink(outside))
tried("files outside", lambda: os.truncate(outside, 0))
tried("files outside", lambda: os.chmod(outside, 0))
tried("files outside", lambda: os.mkdir(outside + ".new"))
tried("files outside", lambda: os.rename(outside, "here"))
tried("files of others", lambda: os.listdir("/"))
tried("memory", lambda: bytearray({memory}))
if set(os.environ) - {{"HOME", "TMPDIR", "LC_ALL"}}:
    broken.append("variables")
with open("own.txt", "w") as file:
    file.write("own")
assert open("own.txt").read() == "own"
thread = threading.Thread(target=int)
thread.start()
thread.join()
if broken:
    raise RuntimeError(", ".join(sorted(set(broken))))
"""
