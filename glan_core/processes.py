"""Local processes: whether one is running, and waiting for its exit."""

import time

import psutil

POLL_SECONDS = 0.02


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
