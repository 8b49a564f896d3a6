"""Dataset card of a workspace as one Markdown text, without writing the dataset."""

from glan_core.dataset import card
from glan_core.dataset.manifest import Manifest, selection_manifest
from glan_core.dataset.settings import RowSelection
from glan_core.dataset.snapshot_store import list_snapshots
from glan_core.errors import GlanError
from glan_core.formatting import number
from glan_core.taxonomy import coverage
from glan_core.workspace import Workspace

MOST_PAIRS = 50_000  # pairs above which the card needs a snapshot, because counting the current dataset reads every row


def dataset_card(ws: Workspace) -> str:
    """Return the dataset card of the newest snapshot, or without one of the current dataset, as Markdown.

    Raises:
        GlanError: If there is no snapshot and the dataset is empty or too large to be read at once.
    """
    snapshots = list_snapshots(ws)
    return card.card(snapshots[0] if snapshots else _current(ws), "chat", figure=None)


def _current(ws: Workspace) -> Manifest:
    if coverage.coverage_by_node(ws)[""].counts["pairs"] > MOST_PAIRS:
        raise GlanError(
            f"The dataset has more than {number(MOST_PAIRS)} pairs. Create a snapshot; its card needs no further reading."
        )
    manifest = selection_manifest(ws, RowSelection())
    if not manifest.number:
        raise GlanError("The dataset has no pairs yet, so there is no card. Generate pairs first.")
    return manifest
