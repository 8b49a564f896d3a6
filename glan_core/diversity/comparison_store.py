"""Comparisons on disk: another dataset's rows, their vectors, their places on the map, and what was found.

compare/<name>/rows.jsonl, offsets.npy   the rows that were taken of it
compare/<name>/vectors/                  their vectors (`vectors`), row k under the number k + 1
compare/<name>/<column>.npy              a value for each row, or for each that was held against the other set
compare/<name>/comparison.json           what was found; without it the comparison is not finished
"""

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from glan_core.diversity.metric_store import Scopes, Value, scopes_of
from glan_core.diversity.vector_store import write_json
from glan_core.errors import GlanError
from glan_core.ids import slug
from glan_core.io.dataset_reader import ForeignRow
from glan_core.workspace import Workspace

FOLDER = "compare"
INFO, ROWS, OFFSETS, VECTORS = "comparison.json", "rows.jsonl", "offsets.npy", "vectors"
OURS, THEIRS = "ours", "theirs"
COLUMNS = ("xy", "cluster", "similarity", "nearest", "discipline")
HELD = ("held_ours", "covered_ours", "held_theirs", "covered_theirs")


@dataclass(frozen=True, slots=True)
class ClusterShare:
    """A cluster of the map: how many rows of each set it holds. `id` -1: in no cluster."""

    id: int
    label: str
    ours: int
    theirs: int


@dataclass(frozen=True, slots=True)
class Gap:
    """A theme of the other set that this workspace does not cover: the words that tell it, how many rows, one of them."""

    terms: tuple[str, ...]
    rows: int
    example: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was found when another dataset was laid over this one.

    `rows` of its `number` rows were taken, `own` of this workspace held against them. `scopes`: 'ours' and 'theirs' ->
    measure -> value, both on samples of one size and the same clusters. A row is covered by the other set when that has a
    neighbour of at least `similarity`: `only_ours`, `only_theirs` are the percent that are not. `clusters` counts both sets,
    theirs only where they are covered; `gaps` are the themes of those that are not, the largest first. `disciplines` counts
    their rows by the discipline of their nearest row here, '' where that is below the similarity. `far_ours` (`seq`) and
    `far_theirs` (row numbers) are sampled rows that the other set covers least, the least first. `drawn_at` tells the map
    that the places are on: they fit it while its `drawn_at` is the same.
    """

    name: str
    path: str
    form: str
    embedder: str
    about: str
    dims: int
    drawn_at: float
    number: int
    rows: int
    own: int
    similarity: float
    seed: int
    made_at: float
    scopes: Scopes
    only_ours: Value
    only_theirs: Value
    clusters: tuple[ClusterShare, ...]
    gaps: tuple[Gap, ...]
    disciplines: dict[str, int]
    far_ours: tuple[int, ...]
    far_theirs: tuple[int, ...]

    @property
    def missing_there(self) -> tuple[ClusterShare, ...]:
        """Clusters that only this workspace has rows in, the largest first."""
        return tuple(sorted((c for c in self.clusters if c.id >= 0 and c.ours and not c.theirs), key=lambda c: -c.ours))


@dataclass(frozen=True)
class Points:
    """The other set's rows on the map, row by row: `xy`, `cluster` (-1 none, or too far from all rows), `similarity` to the
    nearest of up to 20,000 rows of this workspace and its `seq` (`nearest`), `discipline`: a place in `disciplines`, -1 for
    none near enough.

    Some rows of each set, at random where there are many, were held against every row of the other: `held_ours` (`seq`) and
    `held_theirs` (row numbers), both ascending, with the largest similarity that was found (`covered_ours`, `covered_theirs`).
    """

    xy: np.ndarray
    cluster: np.ndarray
    similarity: np.ndarray
    nearest: np.ndarray
    discipline: np.ndarray
    held_ours: np.ndarray
    covered_ours: np.ndarray
    held_theirs: np.ndarray
    covered_theirs: np.ndarray
    disciplines: tuple[str, ...]


def folder_of(ws: Workspace, name: str) -> Path:
    """Where a comparison is, or would be."""
    return ws.folder / FOLDER / slug(name)


def list_comparisons(ws: Workspace) -> list[Comparison]:
    """The finished comparisons of a workspace, the newest first."""
    found = [_read(path) for path in (ws.folder / FOLDER).glob(f"*/{INFO}")]
    return sorted(found, key=lambda comparison: -comparison.made_at)


def read_comparison(ws: Workspace, name: str) -> Comparison | None:
    """A comparison by its name; None where there is none that is finished."""
    file = folder_of(ws, name) / INFO
    return _read(file) if file.is_file() else None


def write_comparison(ws: Workspace, comparison: Comparison, columns: dict[str, np.ndarray], disciplines: list[str]) -> None:
    """Keep what was found; it counts from then on."""
    folder = folder_of(ws, comparison.name)
    for name, values in columns.items():
        np.save(folder / f"{name}.npy", values)
    write_json(folder / "disciplines.json", disciplines)
    write_json(folder / INFO, asdict(comparison))


def remove_comparison(ws: Workspace, name: str) -> None:
    """Forget a comparison and the copy of the other set's rows; nothing happens where there is none."""
    shutil.rmtree(folder_of(ws, name), ignore_errors=True)


def read_points(ws: Workspace, name: str) -> Points:
    """Where the rows of a finished comparison lie; the arrays are maps of files."""
    folder = folder_of(ws, name)
    try:
        columns = [np.load(folder / f"{column}.npy", mmap_mode="r") for column in COLUMNS + HELD]
        return Points(*columns, tuple(json.loads((folder / "disciplines.json").read_text(encoding="utf-8"))))
    except FileNotFoundError:
        raise GlanError(f"The comparison with {name} is not finished: compare again.") from None


def read_rows(ws: Workspace, name: str, numbers: list[int]) -> list[ForeignRow]:
    """Some rows of the other set, by their numbers from 0; reads no more than those."""
    folder = folder_of(ws, name)
    offsets = np.load(folder / OFFSETS, mmap_mode="r")
    rows = []
    with (folder / ROWS).open("rb") as file:
        for number in numbers:
            file.seek(int(offsets[number]))
            rows.append(ForeignRow(*json.loads(file.readline())))
    return rows


def _read(file: Path) -> Comparison:
    data = json.loads(file.read_text(encoding="utf-8"))
    values = {
        "scopes": scopes_of(data["scopes"]),
        "only_ours": Value(**data["only_ours"]), "only_theirs": Value(**data["only_theirs"]),
        "gaps": tuple(Gap(**{**item, "terms": tuple(item["terms"])}) for item in data["gaps"]),
        "clusters": tuple(ClusterShare(**item) for item in data["clusters"]),
        "far_ours": tuple(data["far_ours"]), "far_theirs": tuple(data["far_theirs"]),
    }  # fmt: skip
    return Comparison(**{**data, **values})
