"""Which other datasets a workspace can be compared with: its snapshots, the workspaces beside it, files that it was given."""

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from glan_core.dataset.snapshots import list_snapshots
from glan_core.formatting import plural
from glan_core.io.dataset_reader import read_foreign
from glan_core.io.uploads import keep_file, kept_files
from glan_core.workspace import Workspace, found_in

FOLDER = "datasets"  # of a workspace: the files it was given to be compared with


@dataclass(frozen=True, slots=True)
class OtherSet:
    """A dataset that can be compared with: the path that an order takes, and what people read."""

    path: str
    said: str


def other_sets(ws: Workspace, home: Path) -> list[OtherSet]:
    """The files that were given to a workspace, its snapshots with the newest first, and the other workspaces below `home`."""
    files = [OtherSet(str(path), f"{path.name} · a file kept here") for path in kept_files(ws.folder / FOLDER)]
    snapshots = [
        OtherSet(str(ws.folder / "snapshots" / one.name), f"{one.name} · snapshot, {plural(one.number, 'pair')}")
        for one in list_snapshots(ws)
    ]
    beside = [folder for folder in found_in(home) if folder.resolve() != ws.folder.resolve()]
    return [*files, *snapshots, *(OtherSet(str(folder), f"{folder.name} · workspace") for folder in beside)]


def store_set(ws: Workspace, name: str, data: BinaryIO) -> Path:
    """Keep another dataset's file (`keep_file`). GlanError, and nothing is kept, where no questions are recognised in it."""
    return keep_file(ws.writable_folder(FOLDER), name, data, read_foreign)
