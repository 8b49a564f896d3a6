"""Vector store: append-only float16 files with the question vectors of each embedder.

    embeddings/<embedder>/info.json       embedder, dimension, and last processed edit
    embeddings/<embedder>/vectors.f16     unit vectors
    embeddings/<embedder>/questions.i64   `seq` of the question of each vector

A vector is written and synced before its `seq`, so a kill leaves at most an incomplete tail that the next writer truncates.
An edited question gets a new vector; the last one counts.
"""

import json
import os
import shutil
import time
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from glan_core.diversity.embedders import Embedder
from glan_core.diversity.settings import WORDS
from glan_core.errors import GlanError
from glan_core.ids import slug
from glan_core.workspace import Workspace

FOLDER = "embeddings"
PROBE, PROBED = "How do plants turn light into sugar?", 32  # probe text, and the number of vector values kept
INFO, MATRIX, SEQS = "info.json", "vectors.f16", "questions.i64"


@dataclass(frozen=True, slots=True)
class StoreInfo:
    """Description of stored vectors.

    Attributes:
        embedder: Name of the embedder.
        about: Sentence about what the embedder measures.
        dim: Vector dimension.
        born: Time of the first vector in seconds since the epoch.
        probe: First values of the vector of `PROBE`; detects another model with the same name.
        last_event: ID of the last edit that the vectors include.
    """

    embedder: str
    about: str
    dim: int
    born: float = 0.0
    probe: tuple[float, ...] = ()
    last_event: int = 0


@dataclass(frozen=True)
class Vectors:
    """All vectors of an embedder.

    Attributes:
        info: Description of the vectors.
        seqs: `(n,) int64` `seq` of the questions, ascending.
        at: `(n,)` row of each question in `matrix`.
        matrix: `(m, dim) float16`, memory-mapped.
    """

    info: StoreInfo
    seqs: np.ndarray
    at: np.ndarray
    matrix: np.ndarray

    def __len__(self) -> int:
        return len(self.seqs)

    def rows(self, which: np.ndarray | slice) -> np.ndarray:
        """Return vectors as float32 by index into `seqs`."""
        return np.asarray(self.matrix[self.at[which]], dtype=np.float32)

    @cached_property
    def last_seq(self) -> int:
        """`seq` of the newest embedded question; 0 if there is none."""
        return int(self.seqs[-1]) if len(self.seqs) else 0


def vector_folder(ws: Workspace, embedder: str) -> Path:
    """Return the folder of an embedder's vectors."""
    return ws.folder / FOLDER / slug(embedder)


def list_vectors(ws: Workspace) -> list[StoreInfo]:
    """Return the embedders with stored vectors, the one with most vectors first."""
    folders = [path.parent for path in (ws.folder / FOLDER).glob(f"*/{INFO}")]
    return [_info(path) for path in sorted(folders, key=lambda path: (-_rows(path), path.name))]


def read_vectors(folder: Path) -> Vectors | None:
    """Return the vectors in a folder, or None if there are none."""
    if not (folder / INFO).is_file() or not (number := _rows(folder)):
        return None
    info = _info(folder)
    seqs = np.fromfile(folder / SEQS, dtype=np.int64, count=number)
    matrix = np.memmap(folder / MATRIX, dtype=np.float16, mode="r", shape=(number, info.dim))
    if (np.diff(seqs) > 0).all():
        return Vectors(info, seqs, np.arange(number), matrix)
    once, last = np.unique(seqs[::-1], return_index=True)
    return Vectors(info, once, number - 1 - last, matrix)


def count_vectors(ws: Workspace, embedder: str) -> int:
    """Return the number of stored vectors of an embedder, including outdated ones; reads only file sizes."""
    folder = vector_folder(ws, embedder)
    return _rows(folder) if (folder / INFO).is_file() else 0


def is_current(info: StoreInfo, embedder: Embedder) -> bool:
    """Return whether the embedder still produces the stored vectors."""
    return _is_of(info, embedder, _probe(embedder))


def _probe(embedder: Embedder) -> tuple[float, ...]:
    return tuple(float(value) for value in embedder.embed([PROBE])[0][:PROBED])


def _is_of(info: StoreInfo, embedder: Embedder, probe: tuple[float, ...]) -> bool:
    return info.dim == embedder.dim and np.allclose(info.probe or np.inf, probe, atol=0.02)


class VectorWriter:
    """Appends vectors of one embedder to a folder; only one process may write at a time."""

    def __init__(self, folder: Path, embedder: Embedder) -> None:
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        probe = _probe(embedder)
        if (self.folder / INFO).is_file() and not self._goes_on(embedder, probe):
            shutil.rmtree(self.folder)
        if not (self.folder / INFO).is_file():
            self.folder.mkdir(parents=True, exist_ok=True)
            self.info = StoreInfo(embedder.name, embedder.about, embedder.dim, time.time(), probe)
            self._put_info()
        self._cut_tail()

    def _goes_on(self, embedder: Embedder, probe: tuple[float, ...]) -> bool:
        """Return whether the stored vectors belong to this embedder.

        Outdated 'words' vectors are discarded; for any other embedder a mismatch raises, because recomputing costs time or money.
        """
        self.info = _info(self.folder)
        if _is_of(self.info, embedder, probe):
            return True
        if embedder.name == WORDS:
            return False
        raise GlanError(
            f"{embedder.name} no longer produces the stored vectors: another model has the same name. Remove {self.folder} to "
            "embed all questions again."
        )

    def append(self, seqs: np.ndarray | list[int], vectors: np.ndarray) -> None:
        """Store vectors durably: they survive a kill or power loss once this returns."""
        _append(self.folder / MATRIX, np.asarray(vectors, dtype=np.float16))
        _append(self.folder / SEQS, np.asarray(seqs, dtype=np.int64))

    def follow(self, last_event: int) -> None:
        """Record the last edit that the vectors include."""
        self.info = replace(self.info, last_event=last_event)
        self._put_info()

    def _put_info(self) -> None:
        write_json(self.folder / INFO, asdict(self.info))

    def _cut_tail(self) -> None:
        """Truncate the incomplete tail of a killed writer."""
        number = _rows(self.folder)
        for name, size in ((MATRIX, 2 * self.info.dim), (SEQS, 8)):
            with (self.folder / name).open("ab") as file:
                file.truncate(number * size)


def write_json(path: Path, data: object) -> None:
    """Write a JSON file atomically."""
    new = path.with_name(f".{path.name}.new")
    with new.open("w", encoding="utf-8") as file:
        json.dump(data, file, ensure_ascii=False)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)


def _append(path: Path, rows: np.ndarray) -> None:
    with path.open("ab") as file:
        file.write(rows.tobytes())
        file.flush()
        os.fsync(file.fileno())


def _info(folder: Path) -> StoreInfo:
    return StoreInfo(**json.loads((folder / INFO).read_text(encoding="utf-8")))


def _rows(folder: Path) -> int:
    """Return the number of complete vectors; a vector is complete once its `seq` is written."""
    dim = _info(folder).dim
    sizes = [(folder / name).stat().st_size if (folder / name).exists() else 0 for name in (MATRIX, SEQS)]
    return min(sizes[0] // (2 * dim), sizes[1] // 8)
