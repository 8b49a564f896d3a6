"""Training attribution: the rows a model was trained on that are nearest to an answer. Runs in the model server because its imports are slow.

Rows are compared as a whole (question and answer) by hashed words (`embedders.WordEmbedder`), which needs no model. For large
snapshots only candidates are compared: rows whose question is nearest by stored word vectors, or rows that share keywords with
the answer according to the text index.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from glan_core.dataset.snapshot_store import Snapshot
from glan_core.dataset.splits import TRAIN
from glan_core.dataset.text_normalization import placed_words
from glan_core.diversity import vector_store
from glan_core.diversity.embedders import WordEmbedder
from glan_core.diversity.nearest_neighbors import nearest
from glan_core.diversity.settings import WORDS
from glan_core.errors import GlanError
from glan_core.models.tuned_model_store import read_model
from glan_core.training.training_texts import RowSample, trained_rows
from glan_core.workspace import Workspace, homework_rows
from glan_core.workspace.pair_filter import PairFilter, matching

if TYPE_CHECKING:
    import numpy as np

SHOWN = 6
MOST_WHOLE = 4000  # snapshots up to this size are compared completely
CANDIDATES = 400
BLOCK = 20_000  # stored vectors per block
LEAST_LETTERS = 5  # of such a word
KEYWORDS = 6  # words of an answer that are looked up in the text index
COLUMNS = ("id", "prompt", "completion", "taxonomy", "discipline", "subject", "concepts")


def nearest_rows(folder: str | Path, model: str, prompt: str, answer: str) -> dict:
    """Find the rows that a tuned model was trained on nearest to a prompt and its answer.

    Returns:
        `rows`, best first, with `similarity` (cosine) and `here` (whether the row is still in the workspace); `measure`, how
        they were found; `compared`, the number of rows compared; `of`, the number of rows the model was trained on.

    Raises:
        GlanError: If the model or its snapshot does not exist.
    """
    ws = Workspace.open(folder)
    try:
        sample = trained_rows(ws, read_model(ws, model))
        number = sample.number
        words = WordEmbedder()
        asked = words.embed([f"{prompt}\n{answer}"])
        if number <= MOST_WHOLE:
            rows, how = [{name: row[name] for name in COLUMNS} for row in sample.rows()], "all training rows"
        else:
            ids, how = _candidates(ws, words, asked, f"{prompt}\n{answer}")
            rows = _rows(sample.snapshot, _trained(sample, ids))
        if not rows:
            return {"rows": [], "measure": f"Shared words, among {how}.", "compared": 0, "of": number}
        made = words.embed([f"{row['prompt']}\n{row['completion']}" for row in rows])
        (places,), (scores,) = nearest(asked, made, SHOWN)
        found = [rows[place] | {"similarity": round(float(score), 3)} for place, score in zip(places, scores, strict=True)]
        for row in found:
            row["here"] = homework_rows.pair(ws.db, row["id"]) is not None
        measure = f"Shared words of question and answer together (cosine of hashed word counts), among {how}."
        return {"rows": found, "measure": measure, "compared": len(rows), "of": number}
    finally:
        ws.close()


def _candidates(ws: Workspace, words: WordEmbedder, asked: "np.ndarray", text: str) -> tuple[list[str], str]:
    """Return the IDs of candidate rows and how they were chosen."""
    stored = vector_store.read_vectors(vector_store.vector_folder(ws, WORDS))
    if stored is not None and vector_store.is_current(stored.info, words):
        import numpy as np

        best: list[tuple[float, int]] = []
        for start in range(0, len(stored), BLOCK):
            (places,), (scores,) = nearest(asked, stored.rows(slice(start, start + BLOCK)), CANDIDATES)
            best = sorted([*best, *zip(scores.tolist(), (places + start).tolist(), strict=True)], reverse=True)[:CANDIDATES]
        nearest_seqs = stored.seqs[np.array([place for _, place in best])].tolist()
        return homework_rows.pair_ids(ws.db, nearest_seqs), f"the {len(best)} rows with the nearest questions by stored vectors"
    seqs: list[int] = []
    for word in _keywords(text):
        seqs += matching(ws.db, PairFilter(words=word), limit=CANDIDATES // KEYWORDS)
    return homework_rows.pair_ids(ws.db, list(dict.fromkeys(seqs))), "rows that contain one of the longest words of the answer"


def _keywords(text: str) -> list[str]:
    """Return the longest words, which tend to be rare."""
    spans = (slice(*span) for span in placed_words(text).spans)
    found = dict.fromkeys(text[span].lower() for span in spans if span.stop - span.start >= LEAST_LETTERS)
    return sorted(found, key=lambda word: -len(word))[:KEYWORDS]


def _trained(sample: RowSample, ids: Sequence[str]) -> list[str]:
    """Return those of some rows that are in a sample; the sample is read only if it is a part of the split."""
    if sample.number == sample.snapshot.manifest.rows.get(sample.split, 0):
        return list(ids)
    wanted = set(ids)
    return [row["id"] for row in sample.rows() if row["id"] in wanted]


def _rows(snapshot: Snapshot, ids: Sequence[str]) -> list[dict]:
    """Return the given rows that are training rows of a snapshot."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import parquet

    wanted, found = pa.array(ids, pa.string()), []
    try:
        file = parquet.ParquetFile(snapshot.file(TRAIN))
        for group in range(file.num_row_groups):
            of = file.read_row_group(group, columns=["id"]).column("id")
            mask = pc.is_in(of, value_set=wanted)
            if pc.any(mask).as_py():
                found += file.read_row_group(group, columns=list(COLUMNS)).filter(mask).to_pylist()
    except (OSError, pa.ArrowInvalid):
        raise GlanError(f"Snapshot {snapshot.manifest.name} is damaged: train.parquet cannot be read.") from None
    return found
