"""Python code that a model wrote, run where it can do no harm: in a process of its own that has no network and may start no other,
that sees neither files nor variables of the person, writes only in its own temporary folder, and ends at its limits.

`sandbox_child` is what locks itself in. Before any generated code runs, `prove` tries what must not work, and refuses where
something does: an ordinary account of Linux on x86-64 or 64-bit ARM with Landlock (kernel 5.13 or newer) is needed. The locks are
against code that does harm by mistake or design; that code could find, in its own process, what says 'passed' is not held off.
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
LOOK_SECONDS = 0.2  # between looks at how much the folder holds
CRASHES = {signal.SIGSEGV: "a crash", signal.SIGABRT: "a crash", signal.SIGSYS: "a forbidden call"}
MOST_TOLD = 1 << 16  # bytes that are read of what the process says


@dataclass(frozen=True, slots=True)
class Limits:
    """What a run may use: processor seconds (start of Python included) and seconds by the clock, bytes of memory, of one file,
    and of its folder in all."""

    cpu_seconds: int = 4
    seconds: float = 15.0
    memory: int = 1 << 30
    file_bytes: int = 1 << 24
    folder_bytes: int = 1 << 26


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a piece of code: whether it ran to its end, and if not, why, for people; the words of an exception are the
    code's own, so untrusted."""

    passed: bool
    why: str = ""


LIMITS = Limits()


def run_code(source: str, limits: Limits = LIMITS) -> Outcome:
    """Run a program, its tests at its end, in a sandbox; it passes when it comes to its end without an exception.

    What it prints is thrown away. GlanError where this machine can't hold it.
    """
    prove()
    return _run(source, limits)


@cache
def prove() -> None:
    """Try in a sandbox all that must not work; GlanError with one sentence that says what of it did, or what is missing here."""
    if not sys.platform.startswith("linux"):
        raise GlanError("Generated code runs only on Linux: the sandbox needs its locks. Leave the code benchmarks out.")
    with tempfile.TemporaryDirectory(prefix="glan-outside-") as folder:
        outside = Path(folder) / "kept.txt"
        outside.write_text("kept")
        outcome = _run(_PROBE.format(outside=str(outside), memory=LIMITS.memory), LIMITS)
        broken = os.listdir(folder) != [outside.name] or outside.stat().st_mode & 0o777 == 0 or outside.read_text() != "kept"
    if not outcome.passed or broken:
        why = outcome.why or "a file outside its folder was written"
        raise GlanError(
            f"Generated code can't run here, since the sandbox does not hold: {why}. Leave the code benchmarks out."
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
            ended = _watched(process, json.dumps(request).encode(), Path(folder), limits)
        finally:
            _kill(process)
            os.set_blocking(read, False)
            with os.fdopen(read, "rb", buffering=0) as told:
                said = _said(told.read(MOST_TOLD))
    if said.get("passed") == token:
        return Outcome(True)
    if unlocked := said.get("unlocked"):
        return Outcome(False, f"this machine lacks {unlocked}")
    return Outcome(False, ended or str(said.get("failed") or "") or "it ended before its tests")


def _start(folder: str, write: int) -> subprocess.Popen:
    """The locked process, in its own session, without a variable of ours, its output thrown away; it tells on `write`."""
    return subprocess.Popen(
        [sys.executable, "-I", "-B", str(CHILD), str(write)], cwd=folder, start_new_session=True, pass_fds=(write,),
        env={"HOME": folder, "TMPDIR": folder, "LC_ALL": "C.UTF-8"},
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def _watched(process: subprocess.Popen, request: bytes, folder: Path, limits: Limits) -> str:
    """Hand the process its order and wait for its end; why it was ended early or by the kernel, or ''."""
    begun = looked = time.monotonic()
    with suppress(OSError):  # it did not live to read it
        process.stdin.write(request)
        process.stdin.close()
    while (code := process.poll()) is None:
        now = time.monotonic()
        if now - begun > limits.seconds:
            return f"stopped after {limits.seconds:g} seconds"
        if now - looked > LOOK_SECONDS:
            looked = now
            if _held(folder) > limits.folder_bytes:
                return "stopped since it wrote too much"
        time.sleep(POLL_SECONDS)
    if code in (-signal.SIGXCPU, -signal.SIGKILL):
        return f"stopped after {limits.cpu_seconds} processor seconds"
    return f"ended by {CRASHES.get(-code, f'signal {-code}')}" if code < 0 else ""


def _kill(process: subprocess.Popen) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _said(told: bytes | None) -> dict:
    """What the process told: only JSON that holds names, since the code could have written it."""
    try:
        said = json.loads(told or b"{}")
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _held(folder: Path) -> int:
    total = 0
    for place, _, files in os.walk(folder):
        for name in files:
            with suppress(OSError):
                total += os.lstat(os.path.join(place, name)).st_blocks * 512
    return total


@cache
def _readable() -> list[str]:
    """What the code may read: Python with its libraries, and the system's own."""
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

def tried(what, deed):
    try:
        deed()
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
