"""Semantic duplicates: questions that paraphrase an earlier one of their discipline, by embedding similarity."""

from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING

from glan_core.dataset.duplicate_finder import Duplicate, Step
from glan_core.dataset.near_duplicate_job import OUT_BEFORE
from glan_core.dataset.settings import NearDuplicateSettings
from glan_core.diversity import vector_store
from glan_core.errors import GlanError
from glan_core.workspace import Workspace, homework_rows

if TYPE_CHECKING:
    import numpy as np

BLOCK = 1000  # rows compared at a time with all earlier ones
# Suggested thresholds by a substring of the embedder name. The scales of embedders differ: with some, any two English
# questions have a cosine similarity of 0.8.
USUAL = {"minilm": 0.9, "mpnet": 0.9, "text-embedding-3": 0.85, "e5": 0.97, "gte": 0.96}
USUAL_OTHERWISE = 0.95


def suggested_threshold(embedder: str) -> float:
    """Return the suggested cosine similarity threshold of an embedder, as a starting point for tuning."""
    return next((cosine for part, cosine in USUAL.items() if part in embedder.lower()), USUAL_OTHERWISE)


def find_semantic_duplicates(
    ws: Workspace, settings: NearDuplicateSettings, already: set[int], last: int, step: Step
) -> list[Duplicate]:
    """Find semantic duplicates of earlier questions of the same discipline.

    Args:
        ws: Workspace.
        settings: Threshold and embedder.
        already: `seq` of rows known to be duplicates; they are skipped.
        last: Last `seq` to consider.
        step: Progress callback.

    Returns:
        Duplicates, each with the most similar earlier row that is kept. Rows without a vector are skipped.

    Raises:
        GlanError: If the workspace has no vectors of the embedder.
    """
    import numpy as np

    names = [info.embedder for info in vector_store.list_vectors(ws)]
    name = settings.embedder or next(iter(names), None)
    stored = vector_store.read_vectors(vector_store.vector_folder(ws, name)) if name else None
    if stored is None:
        raise GlanError(
            f"The workspace has no vectors of {name}. Available: {', '.join(names)}." if names
            else f"No questions are embedded. Run 'glan embed {ws.folder}' or use the Diversity page first."
        )  # fmt: skip
    of_discipline: dict[str, list[int]] = defaultdict(list)
    for page in homework_rows.texts(ws.db, up_to=last, answers=False):
        for row in page:
            if row.answer_length is not None and row.dropped not in OUT_BEFORE and row.seq not in already:
                of_discipline[row.discipline_id].append(row.seq)
    found: list[Duplicate] = []
    for nth, seqs in enumerate(of_discipline.values()):
        places = np.searchsorted(stored.seqs, seqs)
        known = np.flatnonzero(stored.seqs[np.minimum(places, len(stored) - 1)] == seqs)
        rows = stored.rows(places[known])
        for later, earlier, cosine in similar_rows(rows, settings.semantic_threshold):
            found.append(Duplicate(seqs[int(known[later])], seqs[int(known[earlier])], "meaning", cosine))
        step("disciplines compared", nth + 1, len(of_discipline))
    return found


def similar_rows(rows: "np.ndarray", threshold: float) -> Iterable[tuple[int, int, float]]:
    """Yield (row, earlier row, cosine) for each unit vector similar to an earlier one that is not itself a duplicate."""
    import numpy as np

    stands = np.ones(len(rows), bool)
    for start in range(0, len(rows), BLOCK):
        block = rows[start : start + BLOCK]
        alike = block @ rows[: start + len(block)].T
        for row in range(start, start + len(block)):
            cosines = np.where(stands[:row], alike[row - start, :row], -1.0)
            if row and cosines[best := int(cosines.argmax())] >= threshold:
                stands[row] = False
                yield row, best, round(float(min(1.0, cosines[best])), 4)
