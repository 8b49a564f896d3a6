"""The worker of a run under a fault of its machine: `faulty_worker.py FAULT SECONDS FOLDER RUN`.

The fault begins after the given seconds and is one that tests cannot cause from outside: a full disk and a read-only file system, as
SQLite reports them, and a clock that jumps.
"""

import os
import random
import sys
import threading
import time
import weakref

import apsw

CONNECTIONS: "weakref.WeakSet[apsw.Connection]" = weakref.WeakSet()
JUMP = 86_400.0  # seconds


def full_disk(seconds: float) -> None:
    """Keep the database from growing, which SQLite reports as a full disk."""

    def limit(connection: apsw.Connection) -> None:
        connection.pragma("max_page_count", connection.pragma("page_count") + 4)

    _on_all(limit, seconds)


def read_only(seconds: float) -> None:
    """Refuse every write, as after a remount."""
    _on_all(lambda connection: connection.pragma("query_only", 1), seconds)


def clock_jumps(seconds: float) -> None:
    """Let the clock of the process jump by up to a day in both directions, again and again."""
    real, rng, begun = time.time, random.Random(7), time.monotonic()
    state = {"until": begun + seconds, "by": 0.0}

    def jumping() -> float:
        if time.monotonic() > state["until"]:
            state.update(until=time.monotonic() + 0.3, by=rng.uniform(-JUMP, JUMP))
        return real() + state["by"]

    time.time = jumping


def short_lock_wait(seconds: float) -> None:
    """Wait for a locked database for half a second instead of half a minute."""
    apsw.connection_hooks.append(lambda connection: None)
    from glan_core.workspace import workspace

    workspace.BUSY_MS = 500


def _on_all(change, seconds: float) -> None:
    begun = []
    apsw.connection_hooks.append(CONNECTIONS.add)
    apsw.connection_hooks.append(lambda connection: connection.set_exec_trace(trace) if not begun else None)

    def trace(cursor: apsw.Cursor, sql: str, values: object) -> bool:
        if begun and sql.startswith("BEGIN IMMEDIATE"):
            connection = cursor.connection
            connection.set_exec_trace(None)
            change(connection)
        return True

    timer = threading.Timer(seconds, lambda: begun.append(True))
    timer.daemon = True
    timer.start()


FAULTS = {"full disk": full_disk, "read-only": read_only, "clock jumps": clock_jumps, "short lock wait": short_lock_wait}

if __name__ == "__main__":
    fault, seconds, folder, run = sys.argv[1:]
    FAULTS[fault](float(seconds))
    from glan_core.cli import main

    os._exit(main(["work", folder, run]))
