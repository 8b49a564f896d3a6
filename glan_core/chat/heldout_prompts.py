"""Held-out prompts: validation rows of a model's snapshot with their reference answers."""

import random
from collections.abc import Collection
from dataclasses import dataclass

from glan_core.dataset.snapshot_store import read_snapshot
from glan_core.dataset.splits import VALIDATION
from glan_core.errors import GlanError
from glan_core.workspace import Workspace

MOST_GROUPS = 12  # row groups of about 2,000 rows that are searched


@dataclass(frozen=True, slots=True)
class HeldOutPrompt:
    """A held-out row: its question, the reference answer, and its place in the taxonomy."""

    id: str
    question: str
    answer: str
    taxonomy: tuple[str, ...]


def sample_prompts(
    ws: Workspace, snapshot: str, disciplines: Collection[str] | None, number: int, seed: int
) -> list[HeldOutPrompt]:
    """Sample validation rows of a snapshot from random row groups.

    Args:
        ws: Workspace.
        snapshot: Name of the snapshot.
        disciplines: Discipline IDs; None allows all.
        number: Number of rows; fewer are returned if no more are found.
        seed: Sampling seed.

    Raises:
        GlanError: If the snapshot does not exist or cannot be read.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import parquet

    source = read_snapshot(ws, snapshot)
    if not source.manifest.rows.get(VALIDATION):
        return []
    rng = random.Random(seed)
    found: list[dict] = []
    columns = ["id", "prompt", "completion", "taxonomy", "discipline"]
    try:
        file = parquet.ParquetFile(source.file(VALIDATION))
        groups = list(range(file.num_row_groups))
        rng.shuffle(groups)
        for group in groups[:MOST_GROUPS]:
            rows = file.read_row_group(group, columns=columns)
            if disciplines is not None:
                rows = rows.filter(pc.is_in(rows.column("discipline"), value_set=pa.array(list(disciplines), pa.string())))
            picked = rng.sample(range(len(rows)), min(len(rows), number - len(found)))
            found += rows.take(picked).to_pylist() if picked else []
            if len(found) >= number:
                break
    except (OSError, pa.ArrowInvalid):
        raise GlanError(f"Snapshot {snapshot} is damaged: validation.parquet is missing or cannot be read.") from None
    return [HeldOutPrompt(row["id"], row["prompt"], row["completion"], tuple(row["taxonomy"])) for row in found]
