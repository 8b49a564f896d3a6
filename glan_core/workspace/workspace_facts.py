"""Facts about a workspace folder for lists: read without opening it for writing and without migrating it."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import apsw

from glan_core.workspace.run_rows import Run
from glan_core.workspace.sql import fetch_value
from glan_core.workspace.workspace import FILE, WorkspaceError, check_file, connect_to_read

_RUN = "id, kind, title, state, pid, host, created_at, started_at, heartbeat_at, finished_at"  # columns of every release


@dataclass(frozen=True, slots=True)
class StoredFacts:
    """What a database says about its workspace.

    Attributes:
        title: Name of the workspace; its folder may be named differently.
        demo: Whether it is a demo workspace.
        pairs: Number of pairs of live disciplines, None if unknown.
        live: Runs that are stored as queued or running.
        problem: Why the workspace cannot be used, '' if it can.
    """

    title: str
    demo: bool = False
    pairs: int | None = None
    live: tuple[Run, ...] = ()
    problem: str = ""


def read_facts(folder: Path) -> StoredFacts:
    """Return the facts of a workspace folder; a damaged or newer one has a problem instead."""
    try:
        check_file(folder / FILE)
        db = connect_to_read(folder / FILE)
        try:
            facts = {
                key: json.loads(value) for key, value in db.execute("SELECT key, value FROM meta WHERE key IN ('name', 'demo')")
            }
            pairs = fetch_value(
                db,
                """SELECT coalesce(sum(c.value), 0) FROM counters c JOIN nodes n ON n.id = c.node_id
                   WHERE c.measure = 'pairs' AND n.removed = 0""",
            )
            live = db.execute(f"SELECT {_RUN} FROM runs WHERE state IN ('queued', 'running')").fetchall()
        finally:
            db.close()
    except WorkspaceError as error:
        return StoredFacts(folder.name, problem=str(error))
    except (apsw.Error, OSError, ValueError) as error:
        return StoredFacts(folder.name, problem=f"The database cannot be read ({error}). Restore it from a backup.")
    return StoredFacts(str(facts.get("name") or folder.name), bool(facts.get("demo")), int(pairs), tuple(map(_run, live)))


def changed_at(folder: Path) -> float:
    """Return when the database last changed, in seconds since 1970; 0 if there is none."""
    times = []
    for name in (FILE, f"{FILE}-wal"):
        try:
            status = (folder / name).stat()
        except OSError:
            continue
        times += [status.st_mtime] if status.st_size else []
    return max(times, default=0.0)


def disk_bytes(folder: Path) -> int:
    """Return the size of a folder with everything in it, without following links, in bytes."""
    total, folders = 0, [str(folder)]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_size
        except OSError:  # removed meanwhile, or not readable
            continue
    return total


def _run(row: tuple) -> Run:
    id, kind, title, state, pid, host, created, started, heartbeat, finished = row
    return Run(id, kind, title, {}, None, state, None, "", pid, host, None, created, started, heartbeat, finished)
