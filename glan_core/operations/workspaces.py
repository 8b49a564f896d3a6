"""The workspaces of a home folder: list, create, rename, archive, restore, and a fresh demo.

An archived workspace is moved to `HOME/.archive/`, whole. Nothing is overwritten, and a workspace with a live run stays where it
is, because its worker has the folder open.
"""

import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from glan_core import access, text_validation
from glan_core.formatting import plural, quoted
from glan_core.ids import slug
from glan_core.operations import demo_workspace
from glan_core.runs.states import live_runs, state_of
from glan_core.workspace import Workspace, WorkspaceError, find_workspaces, workspace_facts
from glan_core.workspace.run_rows import LIVE
from glan_core.workspace.workspace import set_metadata

ARCHIVE = ".archive"


@dataclass(frozen=True, slots=True)
class WorkspaceFacts:
    """A workspace folder as lists show it.

    Attributes:
        folder: Its folder.
        title: Name stored in it; the folder may be named differently.
        pairs: Number of pairs, None if unknown.
        bytes: Size on disk.
        changed_at: Time of the last change of its database, in seconds since 1970.
        demo: Whether it is a demo workspace.
        archived: Whether it is archived.
        live: Number of queued and running runs.
        problem: Why it cannot be used, '' if it can.
    """

    folder: Path
    title: str
    pairs: int | None
    bytes: int
    changed_at: float
    demo: bool
    archived: bool
    live: int
    problem: str

    @property
    def name(self) -> str:
        """Name of its folder."""
        return self.folder.name


def list_workspaces(home: Path, *, archived: bool = True) -> list[WorkspaceFacts]:
    """Return the workspaces of a home folder by name, then the archived ones."""
    found = [_facts(folder, archived=False) for folder in find_workspaces(home)]
    return found + ([_facts(folder, archived=True) for folder in find_workspaces(home / ARCHIVE)] if archived else [])


def _facts(folder: Path, *, archived: bool) -> WorkspaceFacts:
    stored, now = workspace_facts.read_facts(folder), time.time()
    live = sum(state_of(run, now) in LIVE for run in stored.live)
    return WorkspaceFacts(
        folder, stored.title, stored.pairs, workspace_facts.disk_bytes(folder), workspace_facts.changed_at(folder), stored.demo,
        archived, live, stored.problem,
    )  # fmt: skip


def folder_name(name: str) -> str:
    """Return the name of the folder for a workspace name: 'My research' gives 'my-research'.

    Raises:
        GlanError: If the name is empty, too long, or has no letter or digit.
    """
    name = text_validation.name(name, "workspace")
    if not any(character.isalnum() for character in name):
        raise WorkspaceError(f"The name {quoted(name)} has no letter or digit. Choose another name.")
    return slug(name)


def new_place(home: Path, name: str, *, beside: Path | None = None) -> Path:
    """Return the folder of a new workspace.

    Args:
        home: The home folder.
        name: Name of the workspace.
        beside: A folder that is about to be renamed, whose place counts as free.

    Raises:
        GlanError: If the name is not valid, or the folder exists.
    """
    place = home / folder_name(name)
    if place != beside and place.exists():
        what = "A workspace" if place in find_workspaces(home) else "A file or folder"
        raise WorkspaceError(f"{what} named {quoted(place.name)} already exists in {home}. Choose another name.")
    return place


def find_workspace(home: Path, name: str, *, archived: bool = False) -> Path:
    """Return the folder of a workspace by the name of its folder.

    Raises:
        WorkspaceError: If it does not exist; the message lists those that do.
    """
    found = find_workspaces(home / ARCHIVE if archived else home)
    folder = next((folder for folder in found if folder.name == name), None)
    if folder is None:
        names = ", ".join(folder.name for folder in found[:10])
        what = "Archived workspace" if archived else "Workspace"
        others = f"There are: {names}." if names else f"There is no {'archived ' if archived else ''}workspace."
        raise WorkspaceError(f"{what} {quoted(name)} does not exist in {home}. {others}")
    return folder


def create(home: Path, name: str, *, demo: bool = False) -> Workspace:
    """Create a workspace with the starter taxonomy, or with demo content.

    Raises:
        GlanError: If the name is not valid, or exists.
    """
    ws = demo_workspace.create_workspace(new_place(home, name), demo=demo)
    _set_title(ws, name)
    return ws


def rename(home: Path, name: str, new_name: str) -> Path:
    """Rename a workspace: its title, and its folder; return the folder.

    Raises:
        GlanError: If the new name is not valid or exists, a run is live, or the workspace is read-only.
    """
    folder = find_workspace(home, name)
    place = new_place(home, new_name, beside=folder)
    moved = _move(folder, place)
    _set_title(moved, new_name)
    return place


def archive(home: Path, name: str, as_name: str = "") -> Path:
    """Move a workspace to the archive, where the studio no longer lists it; return its folder.

    Args:
        home: The home folder.
        name: Name of its folder.
        as_name: Name of the folder in the archive; the present one by default. If it exists, the date and a number are added.

    Raises:
        GlanError: If a run is live, or the workspace is read-only.
    """
    access.check_may_change()
    folder = find_workspace(home, name)
    place = _free(home / ARCHIVE, as_name or folder.name)
    place.parent.mkdir(exist_ok=True)
    _move(folder, place)
    return place


def restore(home: Path, name: str, as_name: str = "") -> Path:
    """Move a workspace out of the archive; return its folder.

    Args:
        home: The home folder.
        name: Name of its folder in the archive.
        as_name: Another name for it, needed if its name exists.

    Raises:
        GlanError: If the name exists.
    """
    folder = find_workspace(home, name, archived=True)
    place = new_place(home, as_name) if as_name else home / folder.name
    if place.exists():
        raise WorkspaceError(f"{quoted(place.name)} already exists in {home}. Restore it under another name.")
    moved = _move(folder, place)
    if as_name:
        _set_title(moved, as_name)
    return place


def reset_demo(home: Path, name: str) -> Path:
    """Archive a demo workspace and create a fresh one in its place; return the folder of the archived one.

    Raises:
        GlanError: If it is no demo workspace, a run is live, or the fresh one cannot be created; then nothing is changed.
    """
    folder = find_workspace(home, name)
    ws = Workspace.open(folder)
    demo = ws.metadata("demo")
    ws.close()
    if not demo:
        raise WorkspaceError(f"{quoted(name)} is not a demo workspace.")
    kept = archive(home, name, f"{name}-{date.today().isoformat()}")
    try:
        demo_workspace.create_workspace(folder, demo=True).close()
    except BaseException:
        if not folder.exists():
            _move(kept, folder)
        raise
    return kept


def _free(parent: Path, name: str) -> Path:
    """Return an unused path: the name, with the date and a number added where it exists."""
    today = date.today().isoformat()
    dated = name if name.endswith(today) else f"{name}-{today}"
    names = [name, dated, *(f"{dated}-{number}" for number in range(2, 1000))]
    return next(parent / each for each in names if not (parent / each).exists())


def _move(folder: Path, place: Path) -> Workspace:
    """Move a workspace while no run is live and nobody writes to it; return it at its new place, open.

    Connections that others still have open keep working: they refer to the file, which stays the same. SQLite deletes no
    write-ahead log by the old path once it finds that its file was moved.
    """
    ws = Workspace.open(folder)
    if place == folder:
        return ws
    try:
        with ws.write():  # nobody can submit a run meanwhile
            check_idle(ws)
            if place.exists():
                raise WorkspaceError(f"{place} already exists. Choose another name.")
            try:
                folder.rename(place)
            except OSError as error:
                raise WorkspaceError(f"{folder} cannot be moved to {place}: {error.strerror}.") from None
    finally:
        ws.close()
    return Workspace.open(place)


def check_idle(ws: Workspace) -> None:
    """Check that no run of a workspace is live.

    Raises:
        WorkspaceError: If a run is queued or running.
    """
    live = live_runs(ws)
    if live:
        names = ", ".join(f"{run.id} ({run.title})" for run in live[:3])
        raise WorkspaceError(
            f"{quoted(ws.folder.name)} has {plural(len(live), 'live run')}: {names}. Pause or cancel "
            f"{'it' if len(live) == 1 else 'them'} first."
        )


def _set_title(ws: Workspace, name: str) -> None:
    with ws.write() as db:
        set_metadata(db, "name", text_validation.name(name, "workspace"))
