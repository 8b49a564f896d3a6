"""Processes of this machine: whether one still runs, and a bounded wait for its end."""

import time

import psutil

POLL_SECONDS = 0.02


def is_running(pid: int) -> bool:
    """Tell whether a process runs; a zombie, which has ended and whose parent has not waited for it, does not."""
    try:
        process = psutil.Process(pid)
        if process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
            return True
        return process.num_threads() > 1  # its main thread has ended, but others still hold its memory
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:  # it belongs to somebody else, but it is there
        return True


def command_has(pid: int, word: str) -> bool:
    """Tell whether a process runs whose command line has this word; False where its command line can't be read."""
    try:
        return is_running(pid) and word in psutil.Process(pid).cmdline()
    except psutil.Error:
        return False


def wait_until_ended(pid: int, seconds: float) -> bool:
    """Wait at most so many seconds for a process to end; whether it did."""
    deadline = time.monotonic() + seconds
    while is_running(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True
