"""Duplicate job: a consistent copy of a workspace with its files, next to it, also while it is generating.

The job runs in the lane of the jobs that write files, so that none of these is half written when it is copied. Files are copied
before the database: vectors and maps may lack the newest rows, as they also do during a run, but never have rows that do not exist.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field

from glan_core.errors import GlanError
from glan_core.formatting import plural, quoted, size
from glan_core.generation import preview
from glan_core.operations.workspaces import folder_name, new_place
from glan_core.runs.heartbeat import Progress
from glan_core.settings import Settings
from glan_core.workspace import Workspace, WorkspaceError, run_rows, workspace_facts
from glan_core.workspace.removed import FOLDER as REMOVED
from glan_core.workspace.run_rows import LIVE
from glan_core.workspace.workspace import FILE
from glan_core.workspace.workspace_copy import copied_by, copy_database, mark_as_copy

MEGABYTE = 1_000_000
RESERVE = 100 * MEGABYTE  # left free on the disk
BESIDE = (f"{FILE}-wal", f"{FILE}-shm", f"{FILE}-journal")


class DuplicateSettings(Settings):
    """Settings of a duplicate: a copy of the workspace with a name of its own, next to it."""

    name: str = Field(title="Name", description="Name of the copy.")
    kind: Literal["duplicate"] = "duplicate"


def check_duplicate(ws: Workspace, name: str) -> int:
    """Check that a workspace can be copied; return the bytes to copy.

    Raises:
        GlanError: If the name is not valid or exists, or the disk has too little space.
    """
    place = new_place(ws.folder.parent, name)
    needed, free = workspace_facts.disk_bytes(ws.folder), shutil.disk_usage(place.parent).free
    if needed + RESERVE > free:
        raise WorkspaceError(
            f"A copy of {quoted(ws.folder.name)} needs {size(needed)}, and {place.parent} has {size(free)} left. Free some space "
            "first."
        )
    return needed


def duplicate(ws: Workspace, settings: DuplicateSettings, progress: Progress) -> str:
    """Copy a workspace.

    Returns:
        One sentence about the result.

    Raises:
        GlanError: If the name exists, the disk has too little space, or a file cannot be copied.
    """
    title = str(ws.metadata("name") or ws.folder.name)
    try:
        check_duplicate(ws, settings.name)
    except WorkspaceError:
        place = ws.folder.parent / folder_name(settings.name)
        if copied_by(place) == {"name": title, "run": progress.run_id}:  # this run was killed after it had finished its work
            return _message(ws, place)
        raise
    place = new_place(ws.folder.parent, settings.name)
    new = place.parent / f".{place.name}.unfinished-{progress.run_id}"
    shutil.rmtree(new, ignore_errors=True)
    try:
        new.mkdir()
        _copy_files(ws, new, progress)
        copy_database(ws, new / FILE, lambda done, of: report_bytes(progress, "database, MB", done, of))
        mark_as_copy(new, settings.name, title, progress.run_id)
        if place.exists():
            raise WorkspaceError(f"{quoted(place.name)} was created in {place.parent} meanwhile. Choose another name.")
        new.rename(place)
    except OSError as error:
        raise GlanError(f"{error.filename or place} cannot be copied: {error.strerror or error}.") from None
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return _message(ws, place)


def _message(ws: Workspace, place: Path) -> str:
    return f"Copied {quoted(ws.folder.name)} to {quoted(place.name)}."


def files_to_copy(ws: Workspace, *, whole: bool = False) -> list[tuple[Path, int]]:
    """Return the files of a workspace with their size, without its database and what live runs are writing.

    Args:
        ws: The workspace.
        whole: Whether to include removed files, and previews that are not being generated.
    """
    skipped = {ws.folder / name for name in (FILE, *BESIDE, "previews")}
    skipped |= {ws.folder / "training" / str(run.id) for run in run_rows.live_runs(ws.db)}  # half-written checkpoints
    found = list(_files(ws.folder, skipped))
    if whole:
        idle = [preview.folder_of(ws, one.node.id) for one in preview.pending(ws) if one.state not in LIVE]
        found += [file for folder in (*idle, ws.folder / REMOVED) if folder.is_dir() for file in _files(folder, set())]
    return found


def _copy_files(ws: Workspace, new: Path, progress: Progress) -> None:
    """Copy the files; links stay links, and files that are removed meanwhile are skipped."""
    files = files_to_copy(ws)
    total, done = sum(number for _, number in files), 0
    for file, number in files:
        target = new / file.relative_to(ws.folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copy2(file, target, follow_symlinks=False)
        except FileNotFoundError:
            target.unlink(missing_ok=True)
        done += number
        report_bytes(progress, f"{plural(len(files), 'file')}, MB", done, total)


def report_bytes(progress: Progress, what: str, done: int, of: int) -> None:
    """Report bytes as megabytes, so that small copies are complete as well."""
    if of:
        progress.step(what, -(-done // MEGABYTE), -(-of // MEGABYTE))


def _files(folder: Path, skipped: set[Path]) -> Iterator[tuple[Path, int]]:
    """Yield the files below a folder with their size, without hidden ones, which are unfinished."""
    for entry in sorted(folder.iterdir()):
        if entry in skipped or entry.name.startswith("."):
            continue
        if entry.is_dir() and not entry.is_symlink():
            yield from _files(entry, skipped)
        else:
            yield entry, entry.lstat().st_size
