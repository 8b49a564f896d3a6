"""Similar questions: the nearest neighbors of one question among all that have a vector."""

import numpy as np

from glan_core.diversity.map_store import list_maps
from glan_core.diversity.vector_store import read_vectors, vector_folder
from glan_core.workspace import Workspace

CHUNK = 100_000  # rows whose similarity is computed at once


def similar_questions(ws: Workspace, seq: int, most: int = 6, embedder: str | None = None) -> list[tuple[int, float]]:
    """Return the questions most similar to one.

    Args:
        ws: Workspace.
        seq: The question.
        most: Largest number of questions.
        embedder: Embedder whose vectors are compared; None: that of the newest map.

    Returns:
        (`seq`, cosine similarity), the most similar first; empty if the question has no vector.
    """
    maps = list_maps(ws)
    name = embedder or (maps[0].embedder if maps else None)
    vectors = read_vectors(vector_folder(ws, name)) if name else None
    if vectors is None:
        return []
    at = int(np.searchsorted(vectors.seqs, seq))
    if at == len(vectors) or vectors.seqs[at] != seq:
        return []
    asked = vectors.rows(slice(at, at + 1))[0]
    scores = np.concatenate([vectors.rows(slice(start, start + CHUNK)) @ asked for start in range(0, len(vectors), CHUNK)])
    scores[at] = -np.inf
    best = np.argsort(-scores, kind="stable")[: min(most, len(scores) - 1)]
    return [(int(vectors.seqs[n]), float(scores[n])) for n in best]
