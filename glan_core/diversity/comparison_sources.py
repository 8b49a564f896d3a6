"""Datasets a workspace can be compared with: its snapshots, other workspaces and uploaded files."""

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from glan_core.dataset.snapshot_store import list_snapshots
from glan_core.formatting import plural
from glan_core.io.dataset_reader import read_dataset
from glan_core.io.uploads import store_upload, uploaded_files
from glan_core.workspace import Workspace, find_workspaces

FOLDER = "datasets"  # workspace folder of uploaded datasets


@dataclass(frozen=True, slots=True)
class ComparisonSource:
    """A dataset to compare with: its path in the settings and its label."""

    path: str
    said: str


def comparison_sources(ws: Workspace, home: Path) -> list[ComparisonSource]:
    """Return the uploaded files, the snapshots (newest first) and the other workspaces below `home`."""
    files = [ComparisonSource(str(path), f"{path.name} · uploaded file") for path in uploaded_files(ws.folder / FOLDER)]
    snapshots = [
        ComparisonSource(str(ws.folder / "snapshots" / one.name), f"{one.name} · snapshot, {plural(one.number, 'pair')}")
        for one in list_snapshots(ws)
    ]
    beside = [folder for folder in find_workspaces(home) if folder.resolve() != ws.folder.resolve()]
    return [*files, *snapshots, *(ComparisonSource(str(folder), f"{folder.name} · workspace") for folder in beside)]


def store_dataset(ws: Workspace, name: str, data: BinaryIO) -> tuple[Path, str]:
    """Store an uploaded dataset.

    Returns:
        Its path, and a sentence about the rows that cannot be used ('' if there are none).

    Raises:
        GlanError: If no questions are recognized in the file. No file is stored.
    """
    skipped = ""

    def check(file: Path) -> None:
        nonlocal skipped
        dataset = read_dataset(file)
        skipped = dataset.skipped_summary.replace(file.name, name)

    return store_upload(ws.writable_folder(FOLDER), name, data, check), skipped
