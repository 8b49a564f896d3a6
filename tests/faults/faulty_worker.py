"""The worker of a run under a fault of its machine: `faulty_worker.py FAULT TRANSACTION FOLDER RUN`.

The fault begins at a transaction, counted from the start of the process, and is one that tests cannot cause from outside: a full disk
and a read-only file system, as SQLite reports them, and a clock that jumps.
"""

import itertools
import os
import random
import sys
import time
from collections.abc import Callable

import apsw

JUMP = 86_400.0  # seconds


def full_disk(transaction: int) -> None:
    """Keep the database from growing, which SQLite reports as a full disk."""

    def limit(connection: apsw.Connection) -> None:
        connection.pragma("max_page_count", connection.pragma("page_count") + 4)

    _from(transaction, limit)


def read_only(transaction: int) -> None:
    """Refuse every write, as after a remount."""
    _from(transaction, lambda connection: connection.pragma("query_only", 1))


def clock_jumps(transaction: int) -> None:
    """Let the clock of the process jump by up to a day in both directions, again and again; the first jump is within 2 seconds."""
    real, rng, begun = time.time, random.Random(7), time.monotonic()
    state = {"until": begun + transaction / 25, "by": 0.0}

    def jumping() -> float:
        if time.monotonic() > state["until"]:
            state.update(until=time.monotonic() + 0.3, by=rng.uniform(-JUMP, JUMP))
        return real() + state["by"]

    time.time = jumping


def short_lock_wait(transaction: int) -> None:
    """Wait for a locked database for half a second instead of half a minute."""
    from glan_core.workspace import workspace

    workspace.BUSY_MS = 500


def _from(transaction: int, change: Callable[[apsw.Connection], object]) -> None:
    """Change every connection of the process from a transaction on."""
    begun = itertools.count(1)
    changed: set[int] = set()

    def trace(cursor: apsw.Cursor, sql: str, values: object) -> bool:
        connection = cursor.connection
        if sql.startswith("BEGIN IMMEDIATE") and next(begun) >= transaction and id(connection) not in changed:
            changed.add(id(connection))
            change(connection)
        return True

    apsw.connection_hooks.append(lambda connection: connection.set_exec_trace(trace))


FAULTS = {"full disk": full_disk, "read-only": read_only, "clock jumps": clock_jumps, "short lock wait": short_lock_wait}

if __name__ == "__main__":
    fault, transaction, folder, run = sys.argv[1:]
    FAULTS[fault](int(transaction))
    from glan_core.cli import main

    os._exit(main(["work", folder, run]))
