"""Embedding job: embeds every question that has no vector or was edited since."""

import socket
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from glan_core.diversity.embedders import Embedder, open_embedder
from glan_core.diversity.settings import AUTO, DEFAULT_MODEL, WORDS, EmbedderSettings, EmbeddingSettings
from glan_core.diversity.vector_store import StoreInfo, Vectors, VectorWriter, is_current, read_vectors, vector_folder
from glan_core.errors import GlanError
from glan_core.formatting import plural
from glan_core.ray_cluster.connection import check_on_node
from glan_core.ray_cluster.pipeline import map_batches
from glan_core.ray_cluster.settings import RaySettings
from glan_core.runs.heartbeat import Progress
from glan_core.workspace import Workspace, homework_rows, record_rows

if TYPE_CHECKING:
    import numpy as np

ROWS = 2000  # vectors stored per batch; at most this many are recomputed after a kill
SLOW_ROWS = 256  # batch size for embedders that take seconds per batch

Batch = tuple[list[int], list[str]]  # `seq` and text of questions


def embed_rows(ws: Workspace, settings: EmbeddingSettings, progress: Progress) -> str:
    """Embed all questions that need a vector.

    Returns:
        One sentence about the result.
    """
    embedder, made = embed_missing(ws, settings, progress)
    if not made:
        return f"All questions are embedded already. {embedder.about}"
    return f"Embedded {plural(made, 'question')}. {embedder.about}"


def embed_missing(ws: Workspace, settings: EmbedderSettings, progress: Progress) -> tuple[Embedder, int]:
    """Embed missing and edited questions; return the embedder and the number of new vectors.

    The model is not loaded if every question has a vector: its libraries alone take 15 to 20 s.
    """
    if (stored := _complete_store(ws, settings.embedder)) is not None:
        progress.step("questions embedded", len(stored), len(stored))
        return StoredEmbedder(stored.info, settings), 0
    engine = settings if isinstance(settings, RaySettings) else RaySettings()
    if engine.engine == "ray":
        check_on_node(engine.ray_address)
    progress.step("embedder loaded", 0, 1)
    embedder = open_embedder(settings.embedder, settings.base_url)
    progress.step("embedder loaded", 1, 1)
    writer = VectorWriter(vector_folder(ws, embedder.name), embedder)
    newest, last_event = homework_rows.last_seq(ws.db), record_rows.last_event(ws.db)
    known = read_vectors(writer.folder)
    edited = record_rows.edited_questions(ws.db, writer.info.last_event) if known else []
    planned = newest - (known.last_seq if known else 0) + len(edited)
    made = 0
    progress.step("questions embedded", 0, planned)
    parts = batches(ws, embedder, known, edited, newest)
    # A worker on another machine opens the model there and checks that it is the one of the stored vectors.
    open_here = lambda: partial(_embed, embedder)  # noqa: E731
    prepare = open_here if engine.engine == "local" else partial(_open_on_worker, embedder.name, writer.info)
    for seqs, vectors in map_batches(parts, prepare, engine, progress.check, gpu=embedder.name != WORDS):
        writer.append(seqs, vectors)
        made += len(seqs)
        progress.step("questions embedded", made, max(planned, made))
    progress.step("questions embedded", made, made)
    if last_event != writer.info.last_event:
        writer.follow(last_event)
    return embedder, made


def _embed(embedder: Embedder, batch: Batch) -> "tuple[list[int], np.ndarray]":
    """Return the `seq` of questions, and their vectors."""
    seqs, texts = batch
    return seqs, embedder.embed(texts)


def _open_on_worker(spec: str, info: StoreInfo) -> "Callable[[Batch], tuple[list[int], np.ndarray]]":
    """Open the embedder of stored vectors on a worker of a cluster.

    Raises:
        GlanError: If it is not there, or produces other vectors.
    """
    embedder = open_embedder(spec)
    if not is_current(info, embedder):
        raise GlanError(
            f"{spec} on {socket.gethostname()} is another model than on the machine of the run. Use the same files on every node."
        )
    return partial(_embed, embedder)


class StoredEmbedder:
    """The embedder of stored vectors, which is opened when a text must be embedded."""

    def __init__(self, info: StoreInfo, settings: EmbedderSettings) -> None:
        self.name, self.dim, self.about = info.embedder, info.dim, info.about
        self._settings = settings
        self._opened: Embedder | None = None

    def embed(self, texts: Sequence[str]) -> "np.ndarray":
        """Embed texts; see `Embedder`."""
        if self._opened is None:
            self._opened = open_embedder(self._settings.embedder, self._settings.base_url)
        return self._opened.embed(texts)


def _complete_store(ws: Workspace, spec: str) -> Vectors | None:
    """Return the stored vectors of an embedder if no question is missing or edited since."""
    name = f"st:{DEFAULT_MODEL}" if spec == AUTO else spec
    if name == WORDS:  # opens at once, and an outdated version is noticed
        return None
    kind, _, model = name.partition(":")
    stored = read_vectors(vector_folder(ws, f"{kind}:{model.strip()}"))
    if stored is None or homework_rows.last_seq(ws.db) > stored.last_seq:
        return None
    return None if record_rows.edited_questions(ws.db, stored.info.last_event) else stored


def existing_vectors(ws: Workspace, embedder: str) -> Vectors:
    """Return the vectors of an embedder.

    Raises:
        GlanError: If there are none.
    """
    vectors = read_vectors(vector_folder(ws, embedder))
    if vectors is None:
        raise GlanError("The workspace has no questions. Generate some first.")
    return vectors


def batches(
    ws: Workspace, embedder: Embedder, known: Vectors | None, edited: list[tuple[int, str]], newest: int
) -> Iterator[Batch]:
    """Yield (seqs, texts) to embed: edited questions first, then those newer than the newest vector."""
    size = ROWS if embedder.name == WORDS else SLOW_ROWS
    after = known.last_seq if known else 0
    older = [(seq, text) for seq, text in edited if seq <= after]
    newer = (
        (text.seq, text.question)
        for page in homework_rows.texts(ws.db, after=after, up_to=newest, answers=False)
        for text in page
    )
    for rows in (iter(older), newer):
        while some := list(islice(rows, size)):
            yield [seq for seq, _ in some], [text for _, text in some]
