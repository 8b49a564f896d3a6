"""Snapshot job: stores the selected rows as an immutable, hashed snapshot."""

from collections.abc import Iterator

from glan_core.dataset.formats import write_splits
from glan_core.dataset.manifest import FILE, Manifest, ManifestBuilder
from glan_core.dataset.settings import SnapshotSettings
from glan_core.dataset.snapshot_store import ContentHash, exclusion_summary, read_snapshot, snapshot_folder, split_warning
from glan_core.dataset.split_estimate import check_training_rows
from glan_core.dataset.splits import TRAIN, VALIDATION
from glan_core.errors import GlanError
from glan_core.formatting import plural, quoted
from glan_core.io.atomic import atomic_output
from glan_core.runs.heartbeat import Progress
from glan_core.workspace import Workspace, homework_rows


def check_name(ws: Workspace, name: str) -> None:
    """Check that a snapshot may be created under a name.

    Raises:
        GlanError: If it exists.
    """
    if snapshot_folder(ws, name).exists():
        raise GlanError(f"Snapshot {quoted(name)} already exists. Choose another name or remove it.")


def create_snapshot(ws: Workspace, settings: SnapshotSettings, progress: Progress) -> str:
    """Create a snapshot of the selected rows.

    Returns:
        One sentence about the result.

    Raises:
        GlanError: If the name already exists or no rows are selected.
    """
    folder = snapshot_folder(ws, settings.name)
    if folder.exists():
        existing = read_snapshot(ws, settings.name).manifest
        if existing.run_id == progress.run_id:  # this run was killed after it had finished its work
            return _message(existing)
        check_name(ws, settings.name)
    folder.parent.mkdir(exist_ok=True)
    tally = ManifestBuilder(ws, settings)
    with atomic_output(folder, folder=True, mark=progress.run_id) as new:
        content = ContentHash()
        planned = homework_rows.last_seq(ws.db)
        write_splits(new, "snapshot", content.update(_report_progress(tally, progress, planned)))
        manifest = tally.manifest(name=settings.name, run_id=progress.run_id, hash=content.hash)
        if not manifest.number:
            excluded = exclusion_summary(manifest.left_out)
            raise GlanError(
                f"The snapshot would be empty: {f'all pairs are excluded ({excluded})' if excluded else 'no pairs match'}."
            )
        check_training_rows(manifest.rows.get(TRAIN, 0), manifest.rows.get(VALIDATION, 0))
        (new / FILE).write_text(manifest.model_dump_json(indent=1), "utf-8")
    return _message(manifest)


def _report_progress(tally: ManifestBuilder, progress: Progress, planned: int) -> Iterator[tuple[str, dict]]:
    number = 0
    for number, found in enumerate(tally, start=1):
        if number % 500 == 0:
            progress.step("pairs written", number + tally.excluded.total(), planned)
        yield found
    progress.step("pairs written", number, number)


def _message(manifest: Manifest) -> str:
    parts = " and ".join(f"{count:,} for {split}" for split, count in sorted(manifest.rows.items()))
    excluded = exclusion_summary(manifest.left_out)
    return (
        f"Created snapshot {quoted(manifest.name)} with {plural(manifest.number, 'pair')}: {parts}."
        + (f" Excluded: {excluded}." if excluded else "")
        + (f" {warning}" if (warning := split_warning(manifest)) else "")
    )
