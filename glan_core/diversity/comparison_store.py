"""Comparison store: the compared rows of another dataset, their vectors and map positions, and the results.

compare/<name>/rows.jsonl, offsets.npy   copied rows of the other dataset
compare/<name>/vectors/                  their vectors (`vector_store`); row k has number k + 1
compare/<name>/<column>.npy              one value per row, or per sampled row
compare/<name>/comparison.json           results; its absence marks an unfinished comparison
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from glan_core.diversity.metric_store import MetricValue, Scopes, parse_scopes
from glan_core.diversity.settings import WORDS
from glan_core.diversity.vector_store import write_json
from glan_core.errors import GlanError
from glan_core.ids import slug
from glan_core.io.dataset_reader import ExternalRow
from glan_core.workspace import Workspace
from glan_core.workspace.removed import set_aside

FOLDER = "compare"
INFO, ROWS, OFFSETS, VECTORS = "comparison.json", "rows.jsonl", "offsets.npy", "vectors"
OURS, THEIRS = "ours", "theirs"
COLUMNS = ("xy", "cluster", "similarity", "nearest", "discipline")
HELD = ("held_ours", "covered_ours", "held_theirs", "covered_theirs")


@dataclass(frozen=True, slots=True)
class ClusterShare:
    """Rows of each dataset in one cluster of the map.

    Attributes:
        id: Cluster number, -1 for rows in no cluster.
        label: Keywords of the cluster.
        ours: Rows of this workspace.
        theirs: Rows of the other dataset.
    """

    id: int
    label: str
    ours: int
    theirs: int


@dataclass(frozen=True, slots=True)
class Gap:
    """A theme of the other dataset that this workspace does not cover.

    Attributes:
        terms: Keywords.
        rows: Estimated number of rows.
        example: Row number of a central example.
    """

    terms: tuple[str, ...]
    rows: int
    example: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """Results of comparing another dataset with this workspace.

    A row is covered if the other dataset has a row with a cosine similarity of at least `similarity`.

    Attributes:
        name: Name of the comparison.
        path: Path of the other dataset.
        form: Format of the other dataset.
        embedder: Name of the embedder.
        about: Sentence about what the embedder measures.
        dims: Dimensions of the map.
        drawn_at: `drawn_at` of the map that the positions belong to.
        number: Rows of the other dataset.
        rows: Rows of the other dataset that were compared.
        own: Rows of this workspace that were compared.
        similarity: Cosine similarity above which a row is covered.
        seed: Sampling seed.
        made_at: Time of the comparison in seconds since the epoch.
        scopes: Metrics of 'ours' and 'theirs', on samples of equal size with the same clusters.
        only_ours: Percent of our rows that are not covered.
        only_theirs: Percent of their rows that are not covered.
        clusters: Rows per cluster; of theirs only covered ones.
        gaps: Themes of their uncovered rows, largest first.
        disciplines: Their rows by the discipline of the nearest row, '' if none is similar enough.
        far_ours: `seq` of our least covered sampled rows.
        far_theirs: Row numbers of their least covered sampled rows.
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
    only_ours: MetricValue
    only_theirs: MetricValue
    clusters: tuple[ClusterShare, ...]
    gaps: tuple[Gap, ...]
    disciplines: dict[str, int]
    far_ours: tuple[int, ...]
    far_theirs: tuple[int, ...]

    @property
    def by_words(self) -> bool:
        """Whether rows were compared by their words, so that paraphrases and translations do not count as near."""
        return self.embedder == WORDS

    @property
    def missing_there(self) -> tuple[ClusterShare, ...]:
        """Clusters without rows of the other dataset, largest first."""
        return tuple(sorted((c for c in self.clusters if c.id >= 0 and c.ours and not c.theirs), key=lambda c: -c.ours))


@dataclass(frozen=True)
class Points:
    """Rows of the other dataset on the map; arrays are memory-mapped.

    Attributes:
        xy: `(n, dims) float32` positions.
        cluster: `(n,)` cluster numbers, -1 for none or if no row is similar enough.
        similarity: `(n,)` cosine similarity to the nearest of up to 20,000 rows of this workspace.
        nearest: `(n,)` `seq` of that row.
        discipline: `(n,)` index into `disciplines`, -1 if no row is similar enough.
        held_ours: `seq` of our sampled rows, ascending.
        covered_ours: Their largest cosine similarity to any row of the other dataset.
        held_theirs: Row numbers of sampled rows of the other dataset, ascending.
        covered_theirs: Their largest cosine similarity to any row of this workspace.
        disciplines: Discipline IDs.
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


def comparison_folder(ws: Workspace, name: str) -> Path:
    """Return the folder of a comparison."""
    return ws.folder / FOLDER / slug(name)


def list_comparisons(ws: Workspace) -> list[Comparison]:
    """Return the finished comparisons, newest first."""
    found = [_read(path) for path in (ws.folder / FOLDER).glob(f"*/{INFO}")]
    return sorted(found, key=lambda comparison: -comparison.made_at)


def read_comparison(ws: Workspace, name: str) -> Comparison | None:
    """Return a finished comparison, or None."""
    file = comparison_folder(ws, name) / INFO
    return _read(file) if file.is_file() else None


def write_comparison(ws: Workspace, comparison: Comparison, columns: dict[str, np.ndarray], disciplines: list[str]) -> None:
    """Store a comparison; writing its info file last marks it as finished."""
    folder = comparison_folder(ws, comparison.name)
    for name, values in columns.items():
        np.save(folder / f"{name}.npy", values)
    write_json(folder / "disciplines.json", disciplines)
    write_json(folder / INFO, asdict(comparison))


def remove_comparison(ws: Workspace, name: str) -> None:
    """Remove a comparison and its copy of the other dataset so that it can be restored; does nothing if it does not exist."""
    if (folder := comparison_folder(ws, name)).is_dir():
        set_aside(ws, folder, "comparison", name)


def read_points(ws: Workspace, name: str) -> Points:
    """Return the rows of a finished comparison.

    Raises:
        GlanError: If the comparison is not finished.
    """
    folder = comparison_folder(ws, name)
    try:
        columns = {column: np.load(folder / f"{column}.npy", mmap_mode="r") for column in COLUMNS + HELD}
        disciplines = tuple(json.loads((folder / "disciplines.json").read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise GlanError(f"The comparison with {name} is not finished. Run it again.") from None
    return Points(**columns, disciplines=disciplines)


def read_rows(ws: Workspace, name: str, numbers: list[int]) -> list[ExternalRow]:
    """Return rows of the other dataset by row number, reading only those."""
    folder = comparison_folder(ws, name)
    offsets = np.load(folder / OFFSETS, mmap_mode="r")
    rows = []
    with (folder / ROWS).open("rb") as file:
        for number in numbers:
            file.seek(int(offsets[number]))
            rows.append(ExternalRow(*json.loads(file.readline())))
    return rows


def _read(file: Path) -> Comparison:
    data = json.loads(file.read_text(encoding="utf-8"))
    values = {
        "scopes": parse_scopes(data["scopes"]),
        "only_ours": MetricValue(**data["only_ours"]), "only_theirs": MetricValue(**data["only_theirs"]),
        "gaps": tuple(Gap(**{**item, "terms": tuple(item["terms"])}) for item in data["gaps"]),
        "clusters": tuple(ClusterShare(**item) for item in data["clusters"]),
        "far_ours": tuple(data["far_ours"]), "far_theirs": tuple(data["far_theirs"]),
    }  # fmt: skip
    return Comparison(**{**data, **values})
