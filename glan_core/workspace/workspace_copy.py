"""A consistent copy of a workspace's database, also while runs write to it."""

import json
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import apsw

from glan_core.workspace.workspace import FILE, Workspace, set_metadata

PAGES = 2_000  # pages of 4 KiB that are copied at a time
COPY_OF = "copy_of"  # metadata of a copy: name of its source and number of the run that made it


def copy_database(ws: Workspace, target: Path, step: Callable[[int, int], None]) -> None:
    """Copy the database of a workspace to a new file.

    All pages are read in one transaction, so the copy has the state of its beginning while others go on writing.

    Args:
        ws: The source.
        target: The new file.
        step: Called with the copied and the total bytes; an exception of it ends the copy.
    """
    source, copy = ws.new_connection(), apsw.Connection(str(target))
    try:
        size = source.pragma("page_size")
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM meta").fetchall()  # begins the transaction
        with copy.backup("main", source, "main") as backup:
            while not backup.done:
                backup.step(PAGES)
                step((backup.page_count - backup.remaining) * size, backup.page_count * size)
        source.execute("COMMIT")
    finally:
        copy.close()
        source.close()


def mark_as_copy(folder: Path, name: str, source: str, run_id: int) -> None:
    """Give a copied database its own id and name, and end the runs that were live in its source.

    Args:
        folder: Folder of the copy.
        name: Name of the copy.
        source: Name of the source.
        run_id: Run that made the copy; it is finished in the copy.
    """
    ws, now = Workspace(folder), time.time()
    with ws.write() as db:
        facts = {"id": uuid.uuid4().hex, "name": name, "created_at": now, COPY_OF: {"name": source, "run": run_id}}
        for key, value in facts.items():
            set_metadata(db, key, value)
        _end_runs(db, run_id, f"This workspace is a copy of {source}.", "Copied while the run was live in the source")
    _complete(ws)


def mark_as_backup(folder: Path, run_id: int) -> None:
    """End the runs in a database that was copied for a backup: the run that makes it, and those that were live.

    Args:
        folder: Folder of the copied database.
        run_id: Run that makes the backup; it is finished in it.
    """
    ws = Workspace(folder)
    with ws.write() as db:
        _end_runs(db, run_id, "This workspace was restored from the backup of this run.", "Live when the backup was made")
    _complete(ws)


def _end_runs(db: apsw.Connection, run_id: int, finished: str, live: str) -> None:
    """Finish a run with a message, and pause those that are live."""
    ended = "claim = NULL, pid = NULL, wish = NULL, waiting = '', finished_at = :now"
    now = time.time()
    db.execute(
        f"UPDATE runs SET state = 'finished', message = :message, {ended} WHERE id = :id",
        {"message": finished, "now": now, "id": run_id},
    )
    db.execute(
        f"UPDATE runs SET state = 'paused', message = :message, {ended} WHERE state IN ('queued', 'running')",
        {"message": f"{live}. Resume it to continue here.", "now": now},
    )


def _complete(ws: Workspace) -> None:
    """Close a database so that its file is complete, without a write-ahead log beside it."""
    ws.db.pragma("journal_mode", "delete")
    ws.close()


def copied_by(folder: Path) -> dict | None:
    """Return name of the source and run of a copied workspace; None if it is not a copy or cannot be read."""
    try:
        db = apsw.Connection(str(folder / FILE), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            row = db.execute("SELECT value FROM meta WHERE key = ?", (COPY_OF,)).fetchone()
        finally:
            db.close()
    except apsw.Error:
        return None
    return json.loads(row[0]) if row else None
