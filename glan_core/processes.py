"""Local processes: whether one is running, waiting for its exit, and the environment of those that compute."""

import os
import time
from pathlib import Path

import psutil

POLL_SECONDS = 0.02
THREADS = "OMP_NUM_THREADS"  # environment variable: threads of the numerical libraries in a process
CONTROL_GROUP = Path("/sys/fs/cgroup")
NO_LIMIT = 2**62


def is_running(pid: int) -> bool:
    """Return whether a process is running; zombies, which have exited but were not reaped, do not count."""
    try:
        process = psutil.Process(pid)
        if process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
            return True
        return process.num_threads() > 1  # The main thread has exited, but other threads still hold the process's memory.
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:  # The process exists but belongs to another user.
        return True


def command_has(pid: int, word: str) -> bool:
    """Return whether a process is running with `word` among its arguments; False if its command line is unreadable."""
    try:
        return is_running(pid) and word in psutil.Process(pid).cmdline()
    except psutil.Error:
        return False


def wait_until_ended(pid: int, seconds: float) -> bool:
    """Wait up to `seconds` for a process to exit; return whether it did."""
    deadline = time.monotonic() + seconds
    while is_running(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def set_library_variables() -> None:
    """Set the environment variables that numerical libraries read when they are loaded; child processes inherit them.

    Idle threads sleep instead of spinning, which slows every other process of a busy machine, and there are no more compute
    threads than cores: waiting for a thread without a core of its own takes longer than its share of the work. Progress bars
    of libraries are disabled. Variables that the user has set are kept.
    """
    variables = {
        "OMP_WAIT_POLICY": "PASSIVE", THREADS: str(cores()), "TOKENIZERS_PARALLELISM": "false",
        "TQDM_DISABLE": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }  # fmt: skip
    for name, value in variables.items():
        os.environ.setdefault(name, value)


def threads_of_each(processes: int) -> str:
    """Return the value of `THREADS` for each of several processes that share the cores; a value set by the user is kept."""
    given = os.environ.get(THREADS)
    return str(max(1, cores() // processes)) if given in (None, str(cores())) else given


def cores() -> int:
    """Return the number of cores that this process may use: physical ones, within its affinity and container limit."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(allowed, psutil.cpu_count(logical=False) or allowed, _cores_of_container()))


def _cores_of_container() -> int:
    """Return the whole cores that the control group may use."""
    try:
        quota, period = (CONTROL_GROUP / "cpu.max").read_text("ascii").split()
        return max(1, int(quota) // int(period))
    except (OSError, ValueError):  # no control group, or "max"
        return 2**16


def total_memory() -> int:
    """Return the memory of this machine or its container, in bytes."""
    return min(psutil.virtual_memory().total, _container_memory())


def available_memory() -> int:
    """Return the bytes that processes may still use: of the machine, or of its container if that has less."""
    return min(psutil.virtual_memory().available, _container_memory() - _used_in_container())


def _container_memory() -> int:
    try:
        most = (CONTROL_GROUP / "memory.max").read_text("ascii").strip()
        return NO_LIMIT if most == "max" else int(most)
    except (OSError, ValueError):
        return NO_LIMIT


def _used_in_container() -> int:
    """Return the memory that the control group uses, without reclaimable cache."""
    try:
        stat = dict(line.split() for line in (CONTROL_GROUP / "memory.stat").read_text("ascii").splitlines())
        return int((CONTROL_GROUP / "memory.current").read_text("ascii")) - int(stat["inactive_file"])
    except (OSError, ValueError, KeyError):
        return 0
