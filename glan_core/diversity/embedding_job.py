"""The run that embeds: every question without a vector gets one, and every question that was edited since gets a new one."""

from collections.abc import Iterator
from itertools import islice

from glan_core.diversity.embedders import Embedder, open_embedder
from glan_core.diversity.settings import WORDS, EmbedderSettings, EmbeddingSettings
from glan_core.diversity.vector_store import Vectors, Writer, folder_of, read_vectors
from glan_core.errors import GlanError
from glan_core.formatting import plural
from glan_core.runs.heartbeat import Progress
from glan_core.workspace import Workspace, homework_rows, record_rows

ROWS = 2000  # vectors that are stored together: at most so many are made again after a kill
SLOW_ROWS = 256  # of an embedder that takes seconds for them


def embed_rows(ws: Workspace, settings: EmbeddingSettings, progress: Progress) -> str:
    """Bring the vectors of an embedder in line with the questions; one sentence about what was done."""
    embedder, made = bring_up_to_date(ws, settings, progress)
    if not made:
        return f"Every question has its vector already. {embedder.about}"
    return f"Embedded {plural(made, 'question')}. {embedder.about}"


def bring_up_to_date(ws: Workspace, settings: EmbedderSettings, progress: Progress) -> tuple[Embedder, int]:
    """Embed what is missing; the embedder, and how many vectors were made."""
    progress.step("embedder loaded", 0, 1)
    embedder = open_embedder(settings.embedder, settings.base_url)
    progress.step("embedder loaded", 1, 1)
    writer = Writer(folder_of(ws, embedder.name), embedder)
    newest, last_event = homework_rows.last_seq(ws.db), record_rows.last_event(ws.db)
    known = read_vectors(writer.folder)
    edited = record_rows.edited_questions(ws.db, writer.info.last_event) if known else []
    planned = newest - (known.last_seq if known else 0) + len(edited)
    made = 0
    for seqs, texts in batches(ws, embedder, known, edited, newest):
        progress.step("questions embedded", made, max(planned, made + len(seqs)))
        writer.append(seqs, embedder.embed(texts))
        made += len(seqs)
    progress.step("questions embedded", made, made)
    if last_event != writer.info.last_event:
        writer.follow(last_event)
    return embedder, made


def needed_vectors(ws: Workspace, embedder: str) -> Vectors:
    """The vectors of an embedder that was just brought up to date; GlanError where there is no question at all."""
    vectors = read_vectors(folder_of(ws, embedder))
    if vectors is None:
        raise GlanError("There are no questions yet: generate some first.")
    return vectors


def batches(
    ws: Workspace, embedder: Embedder, known: Vectors | None, edited: list[tuple[int, str]], newest: int
) -> Iterator[tuple[list[int], list[str]]]:
    """What has to be embedded, as (seqs, texts): edited questions first, then those that are newer than the newest vector."""
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
