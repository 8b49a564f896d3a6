"""Snapshot store: immutable, hashed datasets for training and evaluation.

A snapshot is the workspace folder `snapshots/NAME/` with `manifest.json` and one Parquet file per split. It contains whole
rows, so later changes to the workspace do not affect it.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from glan_core.dataset.formats import BATCH
from glan_core.dataset.manifest import FILE, Manifest
from glan_core.dataset.splits import TRAIN, VALIDATION
from glan_core.errors import GlanError
from glan_core.formatting import quoted
from glan_core.workspace import Workspace
from glan_core.workspace.removed import set_aside

FOLDER = "snapshots"
EXCLUSION_LABELS = {
    "scripted": "by the scripted teacher", "rejected": "rejected", "quality": "tagged by a quality filter",
    "duplicate": "near-duplicates", "contaminated": "containing a benchmark question",
    "held_out": "held out for a GLAN-Test",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A stored dataset."""

    folder: Path
    manifest: Manifest

    def file(self, split: str) -> Path:
        """Return the Parquet file of a split."""
        return self.folder / f"{split}.parquet"

    def rows(self, split: str | None = None) -> Iterator[tuple[str, dict]]:
        """Yield (split, row) in stored order, train first, with flat memory use.

        Args:
            split: Yield only the rows of this split.

        Raises:
            GlanError: If a file is missing or damaged.
        """
        import pyarrow as pa
        from pyarrow import parquet

        for name in (split,) if split else (TRAIN, VALIDATION):
            if not self.manifest.rows.get(name):
                continue
            try:
                for batch in parquet.ParquetFile(self.file(name)).iter_batches(BATCH):
                    for row in batch.to_pylist():
                        yield name, row
            except (OSError, pa.ArrowInvalid):
                raise GlanError(
                    f"Snapshot {quoted(self.manifest.name)} is damaged: {name}.parquet is missing or cannot be read."
                ) from None


def list_snapshots(ws: Workspace) -> list[Manifest]:
    """Return the manifests of all snapshots, newest first; unreadable folders are skipped."""
    found = []
    for file in (ws.folder / FOLDER).glob(f"*/{FILE}"):
        if not file.parent.name.startswith("."):
            manifest = _manifest(file)
            found += [manifest] if manifest else []
    return sorted(found, key=lambda manifest: -manifest.created_at)


def read_snapshot(ws: Workspace, name: str) -> Snapshot:
    """Return a snapshot by name.

    Raises:
        GlanError: If the snapshot does not exist or its manifest cannot be read.
    """
    folder = snapshot_folder(ws, name)
    if not folder.is_dir():
        known = ", ".join(manifest.name for manifest in list_snapshots(ws)[:10])
        hint = f"Available snapshots: {known}." if known else "Create one first."
        raise GlanError(f"Snapshot {quoted(name)} does not exist. {hint}")
    manifest = _manifest(folder / FILE)
    if manifest is None:
        raise GlanError(f"Snapshot {quoted(name)} is damaged: its {FILE} cannot be read. Remove it and create it again.")
    return Snapshot(folder, manifest)


def verify_snapshot(ws: Workspace, name: str) -> bool:
    """Return whether the rows of a snapshot still match its hash; reads all rows."""
    snapshot = read_snapshot(ws, name)
    content = ContentHash()
    for _ in content.update(snapshot.rows()):
        pass
    return content.hash == snapshot.manifest.hash


def remove_snapshot(ws: Workspace, name: str) -> None:
    """Remove a snapshot so that it can be restored (`workspace.removed`).

    Raises:
        GlanError: If the snapshot does not exist or cannot be removed.
    """
    folder = snapshot_folder(ws, name)
    if not folder.is_dir():
        raise GlanError(f"Snapshot {quoted(name)} does not exist.")
    set_aside(ws, folder, "snapshot", name)


def exclusion_summary(excluded: dict[str, int]) -> str:
    """Return a phrase such as '12 rejected and 3 near-duplicates'; '' if nothing was excluded."""
    parts = [f"{count:,} {EXCLUSION_LABELS[reason]}" for reason, count in excluded.items() if count]
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def split_warning(manifest: Manifest) -> str:
    """Return a warning if the validation share is far from the requested one, as with few groups; else ''."""
    if manifest.split == "none" or manifest.validation_share is None:
        return ""
    actual, requested = manifest.rows.get(VALIDATION, 0) / manifest.number, manifest.validation_share
    if abs(actual - requested) <= requested / 2:
        return ""
    groups = {"syllabus": "syllabi", "combination": "combinations"}[manifest.split]
    return (
        f"The validation share is {actual:.0%} instead of {requested:.0%}, because {groups} are kept whole and there are few of "
        "them. Another seed may come closer."
    )


class ContentHash:
    """Hash of the rows of a dataset.

    Each split is hashed separately in row order, so that interleaving of splits while writing does not matter.
    """

    def __init__(self) -> None:
        self._splits: dict[str, hashlib._Hash] = {}
        self._encode = json.JSONEncoder(ensure_ascii=False, sort_keys=True).encode

    def update(self, rows: Iterable[tuple[str, dict]]) -> Iterator[tuple[str, dict]]:
        """Add rows to the hash while passing them through."""
        for split, row in rows:
            if split not in self._splits:
                self._splits[split] = hashlib.sha256()
            self._splits[split].update(self._encode(row).encode() + b"\n")
            yield split, row

    @property
    def hash(self) -> str:
        """'sha256:' plus the hash of all rows so far."""
        parts = "".join(f"{split} {self._splits[split].hexdigest()}\n" for split in sorted(self._splits))
        return f"sha256:{hashlib.sha256(parts.encode()).hexdigest()}"


def snapshot_folder(ws: Workspace, name: str) -> Path:
    """Return the folder of a snapshot.

    Raises:
        GlanError: If the name is not a plain folder name.
    """
    if not name or name.startswith(".") or Path(name).name != name:
        raise GlanError(f"Snapshot {quoted(name)} does not exist.")
    return ws.folder / FOLDER / name


def _manifest(file: Path) -> Manifest | None:
    try:
        return Manifest.model_validate_json(file.read_text("utf-8"))
    except (OSError, ValueError):  # pydantic.ValidationError is a ValueError
        return None
