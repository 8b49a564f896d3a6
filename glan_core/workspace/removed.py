"""Removed files of a workspace: models, snapshots, tests and comparisons are set aside when they are removed, and can be restored.

`DIR/.removed/ID/` holds one of them: `content`, the file or folder itself, and `about.json`. They take space until they are purged.
"""

import json
import os
import re
import shutil
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from glan_core.errors import GlanError
from glan_core.formatting import quoted
from glan_core.workspace.workspace import Workspace

FOLDER = ".removed"
# Folders of the workspace by the kind of what they hold.
PLACES = {
    "model": "models", "checkpoint": "models", "snapshot": "snapshots", "held-out test": "glan_tests", "comparison": "compare",
}  # fmt: skip
ABOUT, CONTENT = "about.json", "content"


@dataclass(frozen=True, slots=True)
class Removed:
    """A removed file or folder.

    Attributes:
        id: Its number among the removed ones of the workspace.
        kind: What it is, such as 'snapshot'.
        name: Its name.
        place: Where it was, relative to the workspace folder.
        at: When it was removed, in seconds since 1970.
        facts: What its kind needs to restore it.
    """

    id: int
    kind: str
    name: str
    place: str
    at: float
    facts: dict[str, Any] = field(default_factory=dict)

    def content(self, ws: Workspace) -> Path:
        """Path of the removed file or folder."""
        return ws.folder / FOLDER / str(self.id) / CONTENT


def set_aside(ws: Workspace, path: Path, kind: str, name: str, **facts: Any) -> Removed:
    """Remove a file or folder of the workspace so that it can be restored; readers never see half of it.

    Raises:
        GlanError: If the workspace is read-only or the file cannot be moved.
    """
    home = ws.writable_folder(FOLDER)
    try:
        home.mkdir(exist_ok=True)
        number = _reserve(home)
        one = Removed(number, kind, name, path.relative_to(ws.folder).as_posix(), time.time(), facts)
        with (home / str(number) / ABOUT).open("w", encoding="utf-8") as file:
            file.write(json.dumps(asdict(one)))
            file.flush()
            os.fsync(file.fileno())
        try:
            path.rename(one.content(ws))
        except OSError:
            shutil.rmtree(home / str(number), ignore_errors=True)
            raise
    except OSError as error:
        raise GlanError(f"{kind.capitalize()} {quoted(name)} cannot be removed: {error.strerror or error}.") from None
    with ws.write(f"{kind} {name}"):  # for the audit log
        return one


def _reserve(home: Path) -> int:
    """Create the folder with the next free number."""
    while True:
        number = 1 + max((int(entry.name) for entry in home.iterdir() if entry.name.isdecimal()), default=0)
        with suppress(FileExistsError):
            (home / str(number)).mkdir()
            return number


def list_removed(ws: Workspace) -> list[Removed]:
    """Return what can be restored, newest first."""
    home = ws.folder / FOLDER
    found = [_read(ws, entry) for entry in home.iterdir() if entry.name.isdecimal()] if home.is_dir() else []
    return sorted((one for one in found if one), key=lambda one: -one.id)


def _read(ws: Workspace, folder: Path) -> Removed | None:
    try:
        one = Removed(**json.loads((folder / ABOUT).read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    if not (str(one.id) == folder.name and isinstance(one.name, str) and isinstance(one.facts, dict) and _is_place(one)):
        return None
    if not isinstance(one.at, int | float) or not os.path.lexists(one.content(ws)):
        return None
    return replace(one, name="".join(c if c.isprintable() else "\ufffd" for c in one.name))


def _is_place(one: Removed) -> bool:
    """Return whether a record names a place that its kind can have; a record may come from a stranger's backup."""
    found = re.fullmatch(r"([^./\0][^/\0]*)(/[^./\0][^/\0]*)+", one.place) if isinstance(one.place, str) else None
    return found is not None and PLACES.get(str(one.kind)) == found[1]


def get_removed(ws: Workspace, id: int) -> Removed:
    """Return a removed file or folder.

    Raises:
        GlanError: If there is none of this number.
    """
    one = next((one for one in list_removed(ws) if one.id == id), None)
    if one is None:
        raise GlanError(f"Nothing with the number {id} can be restored. List what can: glan removed {ws.folder} list.")
    return one


def put_back(ws: Workspace, one: Removed) -> Path:
    """Move a removed file or folder back to its place; return the path.

    Raises:
        GlanError: If its place is taken, or the workspace is read-only.
    """
    ws.writable_folder(FOLDER)
    target = ws.folder / one.place
    if not target.parent.resolve().is_relative_to(ws.folder.resolve()):
        raise GlanError(f"{target.parent} is a link that leads out of the workspace. Restore {quoted(one.name)} by hand.")
    if os.path.lexists(target):
        raise GlanError(f"{one.kind.capitalize()} {quoted(one.name)} exists again. Rename or remove that one first.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        one.content(ws).rename(target)
    except OSError as error:
        raise GlanError(f"{one.kind.capitalize()} {quoted(one.name)} cannot be restored: {error.strerror or error}.") from None
    shutil.rmtree(one.content(ws).parent, ignore_errors=True)
    with ws.write(f"{one.kind} {one.name}"):
        return target


def purge(ws: Workspace, one: Removed) -> None:
    """Delete a removed file or folder permanently.

    Raises:
        GlanError: If the workspace is read-only or it cannot be deleted.
    """
    with ws.write(f"{one.kind} {one.name}"):
        pass
    (one.content(ws).parent / ABOUT).unlink(missing_ok=True)  # first, so that half of it is never restored
    try:
        shutil.rmtree(one.content(ws).parent)
    except OSError as error:
        raise GlanError(f"{one.kind.capitalize()} {quoted(one.name)} cannot be deleted: {error.strerror or error}.") from None
