"""Snapshots: a dataset frozen under a name, hashed, for training and evaluation to give.

A snapshot is a folder of the workspace, snapshots/NAME/: `manifest.json` and a Parquet file for each split with whole rows, so
that what happens to the workspace later changes nothing of it.
"""

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from glan_core.dataset.formats import BATCH, write_splits
from glan_core.dataset.manifest import FILE, Manifest, Tally
from glan_core.dataset.settings import SnapshotSettings
from glan_core.dataset.splits import TRAIN, VALIDATION
from glan_core.errors import GlanError
from glan_core.formatting import plural, quoted
from glan_core.io.atomic import placed
from glan_core.runs.heartbeat import Progress
from glan_core.workspace import Workspace, homework_rows

FOLDER = "snapshots"
WHY = {
    "scripted": "by the scripted teacher", "rejected": "rejected", "quality": "tagged by a quality filter",
    "duplicate": "near-duplicates", "contaminated": "holding a benchmark question",
    "held_out": "held out for a GLAN-Test",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A frozen dataset: where it lies and what it is."""

    folder: Path
    manifest: Manifest

    def file(self, split: str) -> Path:
        """The Parquet file of a split."""
        return self.folder / f"{split}.parquet"

    def rows(self, split: str | None = None) -> Iterator[tuple[str, dict]]:
        """(split, row) of every row in its order, train first, or those of one split; memory stays flat. GlanError when a file
        is missing or damaged."""
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
                    f"The snapshot {self.manifest.name} is damaged: {name}.parquet is missing or cannot be read."
                ) from None


def take_snapshot(ws: Workspace, settings: SnapshotSettings, progress: Progress) -> str:
    """Freeze the chosen rows under the order's name; what was done, in a sentence. GlanError when the name is taken, or
    nothing would be in it."""
    folder = _folder(ws, settings.name)
    if folder.exists():
        if (there := read_snapshot(ws, settings.name).manifest).run_id == progress.run_id:
            return _said(there)  # this run was killed after its work was done
        raise GlanError(f"There is already a snapshot {quoted(settings.name)}: choose another name, or remove it.")
    folder.parent.mkdir(exist_ok=True)
    tally = Tally(ws, settings)
    with placed(folder, folder=True, mark=progress.run_id) as new:
        content = _Content()
        planned = homework_rows.last_seq(ws.db)
        write_splits(new, "parquet", content.of(_stepping(tally, progress, planned)))
        manifest = tally.manifest(name=settings.name, run_id=progress.run_id, hash=content.hash)
        if not manifest.number:
            left = exclusion_titles(manifest.left_out)
            raise GlanError(f"There is nothing to freeze: {f'left out were {left}' if left else 'no pair is like that'}.")
        (new / FILE).write_text(manifest.model_dump_json(indent=1), "utf-8")
    return _said(manifest)


def list_snapshots(ws: Workspace) -> list[Manifest]:
    """What the snapshots of a workspace are, newest first; folders that hold none are passed over."""
    found = []
    for file in (ws.folder / FOLDER).glob(f"*/{FILE}"):
        if not file.parent.name.startswith("."):
            manifest = _manifest(file)
            found += [manifest] if manifest else []
    return sorted(found, key=lambda manifest: -manifest.created_at)


def read_snapshot(ws: Workspace, name: str) -> Snapshot:
    """A snapshot by its name; GlanError when there is none, or its manifest can't be read."""
    folder = _folder(ws, name)
    if not folder.is_dir():
        known = ", ".join(manifest.name for manifest in list_snapshots(ws)[:10])
        raise GlanError(f"There is no snapshot {quoted(name)}" + (f": there is {known}." if known else ": take one first."))
    manifest = _manifest(folder / FILE)
    if manifest is None:
        raise GlanError(f"The snapshot {quoted(name)} is damaged: its {FILE} cannot be read. Remove it and take another.")
    return Snapshot(folder, manifest)


def verify(ws: Workspace, name: str) -> bool:
    """Whether a snapshot still holds exactly the rows that it was taken with, by their hash; reads all of it."""
    snapshot = read_snapshot(ws, name)
    content = _Content()
    for _ in content.of(snapshot.rows()):
        pass
    return content.hash == snapshot.manifest.hash


def remove_snapshot(ws: Workspace, name: str) -> None:
    """Remove a snapshot for good; GlanError when there is none, or it may not be removed."""
    folder = _folder(ws, name)
    if not folder.is_dir():
        raise GlanError(f"There is no snapshot {quoted(name)}.")
    gone = folder.with_name(f".{name}.removed")
    try:
        shutil.rmtree(gone, ignore_errors=True)
        folder.rename(gone)  # at once: half a snapshot is none
        shutil.rmtree(gone)
    except OSError as error:
        raise GlanError(f"The snapshot {quoted(name)} cannot be removed: {error.strerror}.") from None


def exclusion_titles(left_out: dict[str, int]) -> str:
    """'12 rejected and 3 near-duplicates'; '' where nothing was left out."""
    parts = [f"{count:,} {WHY[reason]}" for reason, count in left_out.items() if count]
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


class _Content:
    """The hash of a dataset's rows. Each split has one over its rows in their order, so that it does not matter how the
    splits are interleaved while they are written."""

    def __init__(self) -> None:
        self._splits: dict[str, hashlib._Hash] = {}
        self._encode = json.JSONEncoder(ensure_ascii=False, sort_keys=True).encode

    def of(self, rows: Iterable[tuple[str, dict]]) -> Iterator[tuple[str, dict]]:
        """Pass rows on, and take them in."""
        for split, row in rows:
            if split not in self._splits:
                self._splits[split] = hashlib.sha256()
            self._splits[split].update(self._encode(row).encode() + b"\n")
            yield split, row

    @property
    def hash(self) -> str:
        """'sha256:' and the hash of all that was taken in."""
        parts = "".join(f"{split} {self._splits[split].hexdigest()}\n" for split in sorted(self._splits))
        return f"sha256:{hashlib.sha256(parts.encode()).hexdigest()}"


def _stepping(tally: Tally, progress: Progress, planned: int) -> Iterator[tuple[str, dict]]:
    number = 0
    for number, found in enumerate(tally, start=1):
        if number % 500 == 0:
            progress.step("pairs frozen", number + tally.left_out.total(), planned)
        yield found
    progress.step("pairs frozen", number, number)


def _said(manifest: Manifest) -> str:
    parts = " and ".join(f"{count:,} for {split}" for split, count in sorted(manifest.rows.items()))
    left = exclusion_titles(manifest.left_out)
    return (
        f"Froze {plural(manifest.number, 'pair')} as {manifest.name}: {parts}."
        + (f" Left out: {left}." if left else "")
        + (f" {uneven}" if (uneven := unevenness(manifest)) else "")
    )


def unevenness(manifest: Manifest) -> str:
    """A sentence where the part that is held out is far from the share that was asked for, as happens where groups are few;
    '' elsewhere."""
    if manifest.split == "none":
        return ""
    held, asked = manifest.rows.get(VALIDATION, 0) / manifest.number, manifest.validation_share
    if abs(held - asked) <= asked / 2:
        return ""
    groups = {"syllabus": "syllabi", "combination": "combinations"}[manifest.split]
    return f"Held out are {held:.0%}, not {asked:.0%}: {groups} stay whole, and here are few. Another seed may come nearer."


def _folder(ws: Workspace, name: str) -> Path:
    if not name or name.startswith(".") or Path(name).name != name:
        raise GlanError(f"There is no snapshot {quoted(name)}.")
    return ws.folder / FOLDER / name


def _manifest(file: Path) -> Manifest | None:
    try:
        return Manifest.model_validate_json(file.read_text("utf-8"))
    except (OSError, ValueError):  # what pydantic raises is one, too
        return None
