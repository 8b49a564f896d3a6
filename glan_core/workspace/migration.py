"""Migration of a workspace to the schema of this release, with its progress."""

import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar

import apsw

from glan_core.workspace import schema

REPORT_SECONDS = 10.0  # between reports; most migrations take less
STEPS = 5_000_000  # of SQLite's virtual machine between looks at the clock, some tenths of a second

# Called with one sentence on the progress of a migration.
watcher: ContextVar[Callable[[str], None] | None] = ContextVar("watcher", default=None)


def migrate(db: apsw.Connection) -> None:
    """Bring a database to the schema of this release, or leave it unchanged."""
    if db.pragma("user_version") == len(schema.MIGRATIONS):
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        version = db.pragma("user_version")  # another process may have migrated it meanwhile
        for number in range(version, len(schema.MIGRATIONS)):
            if version:
                db.set_progress_handler(_report_step(number + 1 - version, len(schema.MIGRATIONS) - version), STEPS)
            schema.MIGRATIONS[number](db)
        db.pragma("application_id", schema.APPLICATION_ID)
        db.pragma("user_version", len(schema.MIGRATIONS))
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # a full disk has already ended the transaction
            db.execute("ROLLBACK")
        raise
    finally:
        db.set_progress_handler(None)


def _report_step(step: int, steps: int) -> Callable[[], bool]:
    """Return a function that reports one step of a migration when it is called, at most every `REPORT_SECONDS`."""
    report, began = watcher.get(), time.monotonic()
    due = began + REPORT_SECONDS

    def look() -> bool:
        nonlocal due
        if report is not None and (now := time.monotonic()) >= due:
            due = now + REPORT_SECONDS
            with suppress(OSError):  # of a terminal that was closed; an error would end the migration
                seconds = f"{now - began:,.0f} s"
                report(f"The workspace is being migrated to the schema of this release: step {step} of {steps}, for {seconds}.")
        return False  # go on

    return look
