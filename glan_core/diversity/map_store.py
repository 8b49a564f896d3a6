"""Maps of a workspace on disk: columns that pages map into memory, a row for each question that has a vector.

    maps/<embedder>-2d/map.json           what the map is, and the folder of its columns
    maps/<embedder>-2d/<number>/*.npy     the columns, and the projection by which rows join

A new version is written beside the old one; replacing map.json makes it count, all at once.
"""

import json
import os
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from glan_core.diversity.projection import Projection
from glan_core.diversity.vector_store import write_json
from glan_core.ids import slug
from glan_core.workspace import Workspace

FOLDER = "maps"
INFO = "map.json"
COLUMNS = ("seqs", "xy", "cluster", "novelty", "discipline", "level", "strategy", "teacher", "length", "dropped", "vector")
PROJECTION = ("mean", "axes", "landmarks", "landmark_xy", "landmark_cluster")
DROPPED = ("", "rejected", "quality", "duplicate", "contaminated")  # what the column 'dropped' counts


@dataclass(frozen=True, slots=True)
class Cluster:
    """An island of a map: `size` rows are on it, `terms` tell it from others, x, y (and z in 3-D) are its middle."""

    id: int
    size: int
    terms: tuple[str, ...]
    x: float
    y: float
    z: float | None = None

    @property
    def label(self) -> str:
        """Its terms as one text."""
        return ", ".join(self.terms) or f"cluster {self.id + 1}"


@dataclass(frozen=True, slots=True)
class MapInfo:
    """What a map is. `about` is a sentence on which embedder made the picture and what it measures; `rows` are on it, of them
    `fitted` when it was drawn, on `landmarks` of them; `up_to` is the last `seq`. The columns count into `disciplines` (ids),
    `levels`, `strategies` and `teachers` (of the answer). `version` grows with every writing; `born` is that of
    the vectors (`vectors.StoreInfo`) it was made of."""

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
    """A map: one entry of each column for each row, by `seqs` ascending; all are maps of files.

    `xy` float32[n, dims]; `cluster` int32, -1 for none; `novelty` float32: the cosine distance to the nearest question of
    the same discipline that came before it, 1 for a discipline's first; `discipline` uint16, `level`, `strategy`, `teacher`
    uint8: places in the lists of `info`; `length` int32: characters of the answer, 0 without one; `dropped` uint8: a place in
    `maps.DROPPED` when the map was made; `vector` int64: the row's place in the matrix of vectors.
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
        """How rows join the map: the projection, and the cluster of each landmark."""
        mean, axes, landmarks, xy, cluster = (np.load(self.folder / f"{name}.npy") for name in PROJECTION)
        return Projection(mean, axes, landmarks, xy), cluster


def read_map(ws: Workspace, embedder: str, dims: int) -> Map | None:
    """The map of an embedder, by its name; None where there is none. Reads no more than a few pages of the files."""
    folder = _folder(ws, embedder, dims)
    for _ in range(3):  # a writer may put a newer version in place between two steps
        if (info := _read_info(folder)) is None:
            return None
        columns = folder / str(info.version)
        try:
            return Map(info, columns, *(np.load(columns / f"{name}.npy", mmap_mode="r") for name in COLUMNS))
        except FileNotFoundError:
            continue
    return None


def list_maps(ws: Workspace) -> list[MapInfo]:
    """The maps of a workspace, the newest first."""
    found = [_read_info(path.parent) for path in (ws.folder / FOLDER).glob(f"*/{INFO}")]
    return sorted((info for info in found if info), key=lambda info: -info.made_at)


def write_map(
    ws: Workspace, info: MapInfo, columns: dict[str, np.ndarray], projection: Projection, cluster: np.ndarray
) -> MapInfo:
    """Put a map in the place of an earlier one; its info with the version it got."""
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
    for path in folder.iterdir():  # those who read an older version keep its files until they let them go
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
