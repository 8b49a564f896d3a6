"""Questions that a model was never trained on, to ask it: rows that its snapshot held out, with their reference answers."""

import random
from collections.abc import Collection
from dataclasses import dataclass

from glan_core.dataset.snapshots import read_snapshot
from glan_core.dataset.splits import VALIDATION
from glan_core.errors import GlanError
from glan_core.workspace import Workspace

MOST_GROUPS = 12  # of some 2,000 rows, that are looked through: a million rows are never read for a handful


@dataclass(frozen=True, slots=True)
class HeldOut:
    """A held-out row: its question, the reference answer, and its place in the taxonomy."""

    id: str
    question: str
    answer: str
    taxonomy: tuple[str, ...]


def draw(ws: Workspace, snapshot: str, disciplines: Collection[str] | None, number: int, seed: int) -> list[HeldOut]:
    """Some held-out rows of a snapshot, drawn from parts of it that are drawn, too; of these disciplines, None: of any. Fewer
    where no more are found. GlanError when there is no such snapshot, or it can't be read."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import parquet

    taken = read_snapshot(ws, snapshot)
    if not taken.manifest.rows.get(VALIDATION):
        return []
    rng, found = random.Random(seed), []
    columns = ["id", "prompt", "completion", "taxonomy", "discipline"]
    try:
        file = parquet.ParquetFile(taken.file(VALIDATION))
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
        raise GlanError(f"The snapshot {snapshot} is damaged: validation.parquet is missing or cannot be read.") from None
    return [HeldOut(row["id"], row["prompt"], row["completion"], tuple(row["taxonomy"])) for row in found]
