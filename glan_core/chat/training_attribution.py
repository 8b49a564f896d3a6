"""What taught a model this: the training rows that come nearest to an answer. Called in the model process, since hashing words
imports slow libraries.

Rows are compared as wholes, question and answer together, by the words that they share (`embedders.Words`): the same measure
for every workspace, which needs no model. Of a large snapshot only candidates are compared: those whose question lies nearest
by the stored vectors of words, or else those that share telling words with the answer by the text index.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from glan_core.dataset.snapshot_store import Snapshot, read_snapshot
from glan_core.dataset.splits import TRAIN
from glan_core.diversity import vector_store
from glan_core.diversity.embedders import WordEmbedder
from glan_core.diversity.nearest_neighbors import nearest
from glan_core.diversity.settings import WORDS
from glan_core.errors import GlanError
from glan_core.workspace import Workspace, homework_rows
from glan_core.workspace.pair_filter import PairFilter, matching

SHOWN = 6
MOST_WHOLE = 4000  # rows of a snapshot that are all compared
CANDIDATES = 400
BLOCK = 20_000  # stored vectors that are looked at together
TELLING = 6  # words of an answer that the text index is asked for
COLUMNS = ("id", "prompt", "completion", "taxonomy", "discipline", "subject", "concepts")


def nearest_rows(folder: str | Path, snapshot_name: str, prompt: str, answer: str) -> dict:
    """The training rows of a snapshot that come nearest to a prompt with its answer: `rows`, the best first, each with its
    `similarity` (cosine, 1: the same words) and whether it is still in the workspace (`here`); `measure` says how they were
    found, `compared` how many rows were looked at, `of` how many there are. GlanError when there is no such snapshot."""
    ws = Workspace.open(folder)
    try:
        snapshot = read_snapshot(ws, snapshot_name)
        number = snapshot.manifest.rows.get(TRAIN, 0)
        words = WordEmbedder()
        asked = words.embed([f"{prompt}\n{answer}"])
        if number <= MOST_WHOLE:
            rows, how = [{name: row[name] for name in COLUMNS} for _, row in snapshot.rows(TRAIN)], "all training rows"
        else:
            ids, how = _candidates(ws, asked, f"{prompt}\n{answer}")
            rows = _rows(snapshot, ids)
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


def _candidates(ws: Workspace, asked, text: str) -> tuple[list[str], str]:
    """The ids of rows that may come near a text, and how they were chosen."""
    stored = vector_store.read_vectors(vector_store.vector_folder(ws, WORDS))
    if stored is not None:
        import numpy as np

        best: list[tuple[float, int]] = []
        for start in range(0, len(stored), BLOCK):
            (places,), (scores,) = nearest(asked, stored.rows(slice(start, start + BLOCK)), CANDIDATES)
            best = sorted([*best, *zip(scores.tolist(), (places + start).tolist(), strict=True)], reverse=True)[:CANDIDATES]
        seqs = stored.seqs[np.array([place for _, place in best])].tolist()
        return homework_rows.pair_ids(ws.db, seqs), f"the {len(best)} rows whose question lies nearest by stored vectors"
    seqs: list[int] = []
    for word in _telling(text):
        seqs += matching(ws.db, PairFilter(words=word), limit=CANDIDATES // TELLING)
    return homework_rows.pair_ids(ws.db, list(dict.fromkeys(seqs))), "rows that hold one of the longest words of the answer"


def _telling(text: str) -> list[str]:
    """Long words first: they are rare more often than short ones."""
    words = dict.fromkeys(word.lower() for word in re.findall(r"\w{5,}", text))
    return sorted(words, key=lambda word: -len(word))[:TELLING]


def _rows(snapshot: Snapshot, ids: Sequence[str]) -> list[dict]:
    """Those of some rows that a snapshot trains on."""
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
        raise GlanError(f"The snapshot {snapshot.manifest.name} is damaged: train.parquet cannot be read.") from None
    return found
