"""Sandbox runner: runs a generated program and the tests of a benchmark in two confined processes.

The program runs in one process, which nothing is told about its tests. The tests run in another, with stand-ins for the functions
of the program (`stand_ins`): arguments and results travel as plain data, and only the process of the tests reports what passed.
Both are confined in the same way (`confinement`): no network, no other processes, neither the user's files nor environment
variables, a folder of their own that is removed afterwards, and limits. The runner kills both at the limits of time, disk and
threads. Before any generated code runs, `prove` tries what is forbidden and refuses to continue if something works; Linux on
x86-64 or 64-bit ARM with Landlock (kernel 5.13 or newer) is required.
"""

import os
import select
import signal
import site
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import IO

from glan_core.errors import GlanError
from glan_core.evaluation.sandbox.control_group import control_group
from glan_core.evaluation.sandbox.plain_values import SIZE, Malformed, decode, encode
from glan_core.evaluation.sandbox.tested_names import find_helpers, find_names

PROBE = Path(__file__).with_name("probe.py")
SOURCE = Path(__file__).parents[3]  # the folder of glan_core
# Python starts without `site`, which would run code of installed packages; the child gets their folders and `exit` from here.
BOOT = """import sys, site
sys.path.insert(0, {source!r})
from glan_core.evaluation.sandbox.sandbox_child import main
sys.path[:1], sys.dont_write_bytecode = [], True
sys.path += {packages!r}
site.setquit()
main()
"""
LOOK_SECONDS = 0.02  # between checks of the folders and threads
END_SECONDS = 0.5  # for a process to end after it closed its pipes
CRASHES = {
    signal.SIGSEGV: "a crash", signal.SIGABRT: "a crash", signal.SIGBUS: "a crash", signal.SIGILL: "a crash",
    signal.SIGSYS: "a forbidden call",
}  # fmt: skip
MOST_SOURCE = 1 << 20  # characters of a program
MOST_TOLD = 1 << 16  # bytes of a report


@dataclass(frozen=True, slots=True)
class Limits:
    """Resource limits of a process; a run has two, of which one waits for the other most of the time.

    Attributes:
        cpu_seconds: CPU seconds, including the start of Python.
        seconds: Wall-clock seconds of the run.
        memory: Bytes of memory.
        file_bytes: Bytes per file.
        folder_bytes: Bytes of the folder.
        files: Files in the folder.
        threads: Threads.
    """

    cpu_seconds: int = 4
    seconds: float = 15.0
    memory: int = 1 << 30
    file_bytes: int = 1 << 24
    folder_bytes: int = 1 << 26
    files: int = 256
    threads: int = 64


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of a program.

    Attributes:
        passed: Whether it passed its tests.
        why: Why not; texts of exceptions are untrusted.
        unsupported: Whether the sandbox could not judge it; it has not passed then.
    """

    passed: bool
    why: str = ""
    unsupported: bool = False


LIMITS = Limits()


def run_code(program: str, tests: str, prompt: str = "", limits: Limits | None = None) -> Outcome:
    """Run a program and its tests; it passes if both end without an exception. Their output is discarded.

    Args:
        program: Python source; untrusted.
        tests: Source of the tests, which use what the program defines.
        prompt: Beginning of the program that comes from the benchmark: the tests use the helper functions of the prompt, not what
            the program makes of them.
        limits: Limits; the default ones if None.

    Raises:
        GlanError: If the sandbox does not hold on this machine.
    """
    prove()
    return _run(program, tests, prompt, limits or LIMITS)


@cache
def prove() -> None:
    """Verify the restrictions of the sandbox in both processes.

    Raises:
        GlanError: If a restriction is missing or does not hold.
    """
    if not sys.platform.startswith("linux"):
        raise GlanError(
            "Generated code runs only on Linux, because the sandbox needs its security features. Skip the code benchmarks."
        )
    probe = PROBE.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory(prefix="glan-outside-") as folder:
        outside = Path(folder) / "kept.txt"
        outside.write_text("kept")
        tried = f"({str(outside)!r}, {LIMITS.memory})"
        tests = f"{probe}\nbroken = sorted({{*probe{tried}, *probe_program{tried}}})\nif broken:\n    raise RuntimeError(', '.join(broken))"
        outcome = _run(f"{probe}\nprobe_program = probe\n", tests, "", LIMITS)
        broken = os.listdir(folder) != [outside.name] or outside.stat().st_mode & 0o777 == 0 or outside.read_text() != "kept"
    if not outcome.passed or broken:
        why = outcome.why or "a file outside its folder was written"
        raise GlanError(
            f"Generated code cannot run on this machine because the sandbox does not hold: {why}. Skip the code benchmarks."
        )


def _run(program: str, tests: str, prompt: str, limits: Limits) -> Outcome:
    if max(len(program), len(tests), len(prompt)) > MOST_SOURCE:
        return Outcome(passed=False, why=f"it is longer than {MOST_SOURCE:,} characters")
    helpers, known = find_helpers(prompt)
    try:
        names = find_names(tests, known)
    except ValueError as error:
        return _unsupported(str(error))
    if names.unsupported:
        return _unsupported(names.unsupported)
    judged = {
        "tests": tests, "helpers": helpers, "names": sorted(names.program), "modules": names.modules, "library": names.library,
    }  # fmt: skip
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="glan-code-"))
        stack.callback(_remove, folder)
        join = stack.enter_context(control_group(limits.memory + limits.folder_bytes, 2 * limits.threads))
        (call, calling), (reply, replying), (report, reporting) = (_pipe(stack) for _ in range(3))
        parts = (
            _Part("program", folder, (call, replying), {"source": program}, limits),
            _Part("tests", folder, (calling, reply, reporting), judged, limits),
        )
        for part in parts:
            part.start(stack, join)
        for part in parts:
            part.send()
        kind, why = _watch(parts, report, limits)
        if kind == "passed":
            return Outcome(passed=True)
        if kind == "unlocked":
            return Outcome(passed=False, why=f"this machine lacks {why}")
        if kind == "unsupported":
            return _unsupported(why)
        if kind == "ended":  # one of the two closed its pipes: usually a signal ended it
            why = next((ending for part in parts if (ending := part.ending())), why)
        return Outcome(passed=False, why=why)


def _unsupported(why: str) -> Outcome:
    return Outcome(passed=False, why=f"not supported: {why}", unsupported=True)


def _watch(parts: tuple["_Part", ...], report: IO[bytes], limits: Limits) -> tuple[str, str]:
    """Wait until the tests report or a limit is reached; return what happened and why."""
    end, told = time.monotonic() + limits.seconds, b""
    ready = select.poll()  # select() knows only descriptors below 1024
    ready.register(report, select.POLLIN | select.POLLHUP)
    while time.monotonic() < end:
        if ready.poll(LOOK_SECONDS * 1000):
            chunk = report.read(MOST_TOLD)
            told += chunk
            if not chunk or len(told) >= MOST_TOLD:
                return _parse(told)
        elif excess := next((why for part in parts if (why := part.excess())), ""):
            return "stopped", excess
    return "stopped", f"stopped after {limits.seconds:g} seconds"


def _parse(told: bytes) -> tuple[str, str]:
    """Parse the report of the tests."""
    try:
        ((kind, why),) = decode(told[SIZE:]).items()
    except (Malformed, ValueError, AttributeError):
        return "ended", "its tests ended early"
    return str(kind), str(why)


class _Part:
    """One of the two processes of a run, with its folder."""

    def __init__(self, role: str, folder: Path, pipes: tuple[IO[bytes], ...], request: dict, limits: Limits) -> None:
        self.folder, self.limits = folder / role, limits
        self.folder.mkdir(mode=0o700)
        self._role, self._pipes = role, pipes
        self._request = request | {"limits": asdict(limits), "readable": _readable(), "parent": os.getpid()}

    def start(self, stack: ExitStack, join: Callable[[int], None]) -> None:
        """Start the process in a session of its own without our environment, and close its ends of the pipes here."""
        numbers = [pipe.fileno() for pipe in self._pipes]
        code = BOOT.format(source=str(SOURCE), packages=_packages())
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", code, self._role, *map(str, numbers)], cwd=self.folder, start_new_session=True,
            pass_fds=numbers, env={"HOME": str(self.folder), "TMPDIR": str(self.folder), "LC_ALL": "C.UTF-8"},
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        stack.callback(self._kill)
        join(self._process.pid)
        for pipe in self._pipes:
            pipe.close()

    def send(self) -> None:
        """Send the request."""
        if self._process.stdin is not None:
            with suppress(OSError):  # the process may have ended already
                self._process.stdin.write(encode(self._request))
            with suppress(OSError):
                self._process.stdin.close()

    def excess(self) -> str:
        """Return which limit the process exceeds that the kernel does not enforce, or ''."""
        if (count := _threads(self._process.pid)) > self.limits.threads:
            return f"stopped because it had {count} threads"
        used, files = _usage(self.folder, self.limits.files)
        if used > self.limits.folder_bytes:
            return "stopped because it wrote too much"
        return f"stopped because it wrote too many files (more than {self.limits.files})" if files > self.limits.files else ""

    def ending(self) -> str:
        """Return the signal that ended the process, or ''; a process that goes on is none of that."""
        try:
            code = self._process.wait(END_SECONDS if self._role == "program" else 0)
        except subprocess.TimeoutExpired:
            return ""
        if code == -signal.SIGXCPU:
            return f"stopped after {self.limits.cpu_seconds} CPU seconds"
        if code == -signal.SIGKILL:
            return "stopped at its limit of memory or CPU seconds"
        names = {int(number): text for number, text in CRASHES.items()}
        return "" if code >= 0 else f"ended by {names.get(-code, f'signal {-code}')}"

    def _kill(self) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def _pipe(stack: ExitStack) -> tuple[IO[bytes], IO[bytes]]:
    read, write = os.pipe()
    return stack.enter_context(os.fdopen(read, "rb", buffering=0)), stack.enter_context(os.fdopen(write, "wb", buffering=0))


def _threads(process: int) -> int:
    try:
        return os.stat(f"/proc/{process}/task").st_nlink - 2
    except OSError:
        return 0


def _usage(folder: Path, most: int) -> tuple[int, int]:
    """Return the bytes and the number of files of a folder; counting ends after `most` files."""
    used = count = 0
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            count += 1
            if count > most:
                break
            with suppress(OSError):
                used += entry.stat(follow_symlinks=False).st_blocks * 512
    return used, count


def _remove(folder: Path) -> None:
    """Remove the folder of a run. Its two folders have only files, because no process could create anything else."""
    for place in (folder / "program", folder / "tests", folder):
        with suppress(OSError), os.scandir(place) as entries:
            for entry in entries:
                with suppress(OSError):
                    os.unlink(entry.path)
        with suppress(OSError):
            os.rmdir(place)


def _packages() -> list[str]:
    return sorted({*site.getsitepackages(), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})


@cache
def _readable() -> list[str]:
    """Return the paths that code may read: Python with its libraries, and system libraries."""
    paths = {*_packages(), *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib")), str(Path(sys.base_prefix) / "lib")}
    paths |= {"/usr/lib", "/usr/lib64", "/lib", "/lib64", "/usr/share/zoneinfo", "/dev/urandom"}
    return sorted(os.path.realpath(path) for path in paths if path)
