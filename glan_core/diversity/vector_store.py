"""The vectors of a workspace's questions: append-only float16 files beside the database, a folder for each embedder.

    embeddings/<embedder>/info.json       which embedder, how long a vector is, the last edit that was looked at
    embeddings/<embedder>/vectors.f16     one vector after another, each of length 1
    embeddings/<embedder>/questions.i64   the `seq` of the question of each

A vector is written and synced before the `seq` that makes it count, so that a kill leaves at most a tail that the next
writer cuts off. A question that was edited gets another vector; its last one counts.
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
PROBE, PROBED = "How do plants turn light into sugar?", 32  # a text, and how much of its vector is kept
INFO, MATRIX, SEQS = "info.json", "vectors.f16", "questions.i64"


@dataclass(frozen=True, slots=True)
class StoreInfo:
    """Whose vectors these are: the embedder's name, what it says of itself, its dimensions. `born` is when the first was made,
    `probe` the beginning of the vector of `PROBE`, by which another model of the same name is told. `last_event` is the number
    of the last edit of a record that the vectors follow."""

    embedder: str
    about: str
    dim: int
    born: float = 0.0
    probe: tuple[float, ...] = ()
    last_event: int = 0


@dataclass(frozen=True)
class Vectors:
    """All vectors of one embedder as they are now: `seqs` ascending, `at` the place of each in `matrix` (float16, a map of
    the file: what is not looked at is not read)."""

    info: StoreInfo
    seqs: np.ndarray
    at: np.ndarray
    matrix: np.ndarray

    def __len__(self) -> int:
        return len(self.seqs)

    def rows(self, which: np.ndarray | slice) -> np.ndarray:
        """Some vectors as float32, by their places in `seqs`."""
        return np.asarray(self.matrix[self.at[which]], dtype=np.float32)

    @cached_property
    def last_seq(self) -> int:
        """The `seq` of the newest question with a vector; 0 without any."""
        return int(self.seqs[-1]) if len(self.seqs) else 0


def folder_of(ws: Workspace, embedder: str) -> Path:
    """Where the vectors of an embedder are, or would be."""
    return ws.folder / FOLDER / slug(embedder)


def list_vectors(ws: Workspace) -> list[StoreInfo]:
    """The embedders that this workspace has vectors of, the one with most of them first."""
    folders = [path.parent for path in (ws.folder / FOLDER).glob(f"*/{INFO}")]
    return [_info(path) for path in sorted(folders, key=lambda path: (-_rows(path), path.name))]


def read_vectors(folder: Path) -> Vectors | None:
    """The vectors of a folder (`folder_of` an embedder); None where there are none."""
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
    """How many vectors of an embedder are stored, those of older texts included; reads two file sizes."""
    folder = folder_of(ws, embedder)
    return _rows(folder) if (folder / INFO).is_file() else 0


class Writer:
    """Appends vectors of one embedder to a folder. One process at a time: runs take turns."""

    def __init__(self, folder: Path, embedder: Embedder) -> None:
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        probe = tuple(float(value) for value in embedder.embed([PROBE])[0][:PROBED])
        if (self.folder / INFO).is_file() and not self._goes_on(embedder, probe):
            shutil.rmtree(self.folder)
        if not (self.folder / INFO).is_file():
            self.folder.mkdir(parents=True, exist_ok=True)
            self.info = StoreInfo(embedder.name, embedder.about, embedder.dim, time.time(), probe)
            self._put_info()
        self._cut_tail()

    def _goes_on(self, embedder: Embedder, probe: tuple[float, ...]) -> bool:
        """Whether the stored vectors are by this very embedder. Those of words are made anew without a question where they are
        of an older release; for any other, whose vectors took time or money, a GlanError."""
        self.info = _info(self.folder)
        if self.info.dim == embedder.dim and np.allclose(self.info.probe or np.inf, probe, atol=0.02):
            return True
        if embedder.name == WORDS:
            return False
        raise GlanError(
            f"{embedder.name} now makes other vectors than those that are stored: it is another model by the same name. Remove "
            f"{self.folder} to embed all rows with it."
        )

    def append(self, seqs: np.ndarray | list[int], vectors: np.ndarray) -> None:
        """Store vectors for good: when this returns, a kill or a power cut loses none of them."""
        _append(self.folder / MATRIX, np.asarray(vectors, dtype=np.float16))
        _append(self.folder / SEQS, np.asarray(seqs, dtype=np.int64))

    def follow(self, last_event: int) -> None:
        """Say up to which edit the vectors follow the questions."""
        self.info = replace(self.info, last_event=last_event)
        self._put_info()

    def _put_info(self) -> None:
        write_json(self.folder / INFO, asdict(self.info))

    def _cut_tail(self) -> None:
        """Cut off what a killed writer left incomplete."""
        number = _rows(self.folder)
        for name, size in ((MATRIX, 2 * self.info.dim), (SEQS, 8)):
            with (self.folder / name).open("ab") as file:
                file.truncate(number * size)


def write_json(path: Path, data: object) -> None:
    """Write a JSON file whole or not at all."""
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
    """How many vectors are whole: a vector counts once its `seq` is written."""
    dim = _info(folder).dim
    sizes = [(folder / name).stat().st_size if (folder / name).exists() else 0 for name in (MATRIX, SEQS)]
    return min(sizes[0] // (2 * dim), sizes[1] // 8)
