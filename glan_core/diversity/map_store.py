"""Map store: maps of a workspace as memory-mapped columns, one entry per embedded question.

    maps/<embedder>-2d/map.json           map info with the current version
    maps/<embedder>-2d/<version>/*.npy    columns and projection

A new version is written next to the old one and activated by replacing map.json atomically.
"""

import json
import os
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from glan_core.diversity.projection import Projection
from glan_core.diversity.vector_store import write_json
from glan_core.errors import GlanError
from glan_core.ids import slug
from glan_core.workspace import Workspace

FOLDER = "maps"
INFO = "map.json"
COLUMNS = ("seqs", "xy", "cluster", "novelty", "discipline", "level", "strategy", "teacher", "length", "dropped", "vector")
PROJECTION = ("mean", "axes", "landmarks", "landmark_xy", "landmark_cluster")
DROPPED = ("", "rejected", "quality", "duplicate", "contaminated")  # values of the column 'dropped'


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster of a map.

    Attributes:
        id: Cluster number.
        size: Number of rows.
        terms: Keywords.
        x: Center.
        y: Center.
        z: Center, in 3-D only.
    """

    id: int
    size: int
    terms: tuple[str, ...]
    x: float
    y: float
    z: float | None = None

    @property
    def label(self) -> str:
        """Keywords as one text."""
        return ", ".join(self.terms) or f"cluster {self.id + 1}"


@dataclass(frozen=True, slots=True)
class MapInfo:
    """Description of a map.

    Attributes:
        embedder: Name of the embedder.
        about: Sentence about what the embedder measures.
        dims: 2 or 3.
        seed: Seed of the projection.
        rows: Number of rows.
        fitted: Number of rows when the projection was fitted.
        landmarks: Number of rows the projection was fitted on.
        made_at: Time of the last update in seconds since the epoch.
        drawn_at: Time the projection was fitted in seconds since the epoch.
        up_to: Last `seq` on the map.
        clusters: Clusters, largest first.
        disciplines: Discipline IDs that the column `discipline` indexes.
        levels: Levels that the column `level` indexes.
        strategies: Strategies that the column `strategy` indexes.
        teachers: Answer models that the column `teacher` indexes.
        version: Incremented with every update.
        born: `vector_store.StoreInfo.born` of the vectors.
    """

    embedder: str
    about: str
    dims: int
    seed: int
    rows: int
    fitted: int
    landmarks: int
    made_at: float
    drawn_at: float
    up_to: int
    clusters: tuple[Cluster, ...]
    disciplines: tuple[str, ...]
    levels: tuple[str, ...]
    strategies: tuple[str, ...]
    teachers: tuple[str, ...]
    version: int = 0
    born: float = 0.0


@dataclass(frozen=True)
class Map:
    """A map with memory-mapped columns, one entry per row, by ascending `seqs`.

    Attributes:
        info: Description of the map.
        folder: Folder of the columns.
        seqs: `int64` `seq` of the question.
        xy: `(n, dims) float32` position.
        cluster: `int32`, -1 for none.
        novelty: `float32` cosine distance to the nearest earlier question of the discipline, 1 for the first.
        discipline: `uint16` index into `info.disciplines`.
        level: `uint8` index into `info.levels`.
        strategy: `uint8` index into `info.strategies`.
        teacher: `uint8` index into `info.teachers`.
        length: `int32` characters of the answer, 0 without one.
        dropped: `uint8` index into `DROPPED` when the map was made.
        vector: `int64` row of the vector matrix.
    """

    info: MapInfo
    folder: Path
    seqs: np.ndarray
    xy: np.ndarray
    cluster: np.ndarray
    novelty: np.ndarray
    discipline: np.ndarray
    level: np.ndarray
    strategy: np.ndarray
    teacher: np.ndarray
    length: np.ndarray
    dropped: np.ndarray
    vector: np.ndarray

    def projection(self) -> tuple[Projection, np.ndarray]:
        """Return the projection and the cluster of each landmark."""
        mean, axes, landmarks, xy, cluster = (np.load(self.folder / f"{name}.npy") for name in PROJECTION)
        return Projection(mean, axes, landmarks, xy), cluster


def read_map(ws: Workspace, embedder: str, dims: int) -> Map | None:
    """Return the map of an embedder, or None if there is none."""
    folder = _folder(ws, embedder, dims)
    for _ in range(3):  # a writer may replace the version between the two reads
        if (info := _read_info(folder)) is None:
            return None
        columns = folder / str(info.version)
        try:
            return Map(info, columns, *(np.load(columns / f"{name}.npy", mmap_mode="r") for name in COLUMNS))
        except FileNotFoundError:
            continue
    return None


def existing_map(ws: Workspace, embedder: str, dims: int) -> Map:
    """Return the map of an embedder.

    Raises:
        GlanError: If there is none.
    """
    if (found := read_map(ws, embedder, dims)) is None:
        raise GlanError(f"The workspace has no map for {embedder}. Create one first.")
    return found


def list_maps(ws: Workspace) -> list[MapInfo]:
    """Return the maps of a workspace, newest first."""
    found = [_read_info(path.parent) for path in (ws.folder / FOLDER).glob(f"*/{INFO}")]
    return sorted((info for info in found if info), key=lambda info: -info.made_at)


def write_map(
    ws: Workspace, info: MapInfo, columns: dict[str, np.ndarray], projection: Projection, cluster: np.ndarray
) -> MapInfo:
    """Store a map in place of an earlier one; return its info with the new version."""
    folder = _folder(ws, info.embedder, info.dims)
    folder.mkdir(parents=True, exist_ok=True)
    earlier = _read_info(folder)
    info = replace(info, version=earlier.version + 1 if earlier else 1)
    new = folder / str(info.version)
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    parts = (projection.mean, projection.axes, projection.landmarks, projection.xy, cluster)
    for name, values in {**columns, **dict(zip(PROJECTION, parts, strict=True))}.items():
        with (new / f"{name}.npy").open("wb") as file:
            np.save(file, values)
            file.flush()
            os.fsync(file.fileno())
    write_json(folder / INFO, asdict(info))
    for path in folder.iterdir():  # on POSIX, readers of an older version keep its open files
        if path.is_dir() and path != new:
            shutil.rmtree(path, ignore_errors=True)
    return info


def _folder(ws: Workspace, embedder: str, dims: int) -> Path:
    return ws.folder / FOLDER / f"{slug(embedder)}-{dims}d"


def _read_info(folder: Path) -> MapInfo | None:
    try:
        data = json.loads((folder / INFO).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    lists = {name: tuple(data[name]) for name in ("disciplines", "levels", "strategies", "teachers")}
    clusters = tuple(Cluster(**{**item, "terms": tuple(item["terms"])}) for item in data["clusters"])
    return MapInfo(**{**data, **lists, "clusters": clusters})
