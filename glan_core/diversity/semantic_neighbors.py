"""Questions that say the same as an earlier one of their discipline in other words, by the vectors of an embedder."""

from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING

from glan_core.dataset.near_duplicate_job import OUT_BEFORE, Repeat, Step
from glan_core.dataset.settings import NearDuplicateSettings
from glan_core.diversity import vector_store
from glan_core.errors import GlanError
from glan_core.workspace import Workspace, homework_rows

if TYPE_CHECKING:
    import numpy as np

BLOCK = 1000  # rows that are compared at a time with all earlier ones
# Where to begin looking for the least cosine of questions that say the same, by what an embedder's name holds: the scales of
# embedders differ, and some find any two English questions alike at 0.8.
USUAL = {"minilm": 0.9, "mpnet": 0.9, "text-embedding-3": 0.85, "e5": 0.97, "gte": 0.96}
USUAL_OTHERWISE = 0.95


def usual_threshold(embedder: str) -> float:
    """The least cosine that is proposed for an embedder: a place to begin, to be moved once pairs were looked at."""
    return next((cosine for part, cosine in USUAL.items() if part in embedder.lower()), USUAL_OTHERWISE)


def repeats_in_meaning(
    ws: Workspace, settings: NearDuplicateSettings, already: set[int], last: int, step: Step
) -> list[Repeat]:
    """The rows up to the `seq` `last`, but for those that repeat one `already`, whose question has a cosine of at least
    `order.meaning_threshold` with an earlier one of its discipline that stands; each names the most similar of these.

    Rows without a vector are passed over. GlanError where the workspace has no vectors of the embedder.
    """
    import numpy as np

    names = [info.embedder for info in vector_store.list_vectors(ws)]
    name = settings.embedder or next(iter(names), None)
    stored = name and vector_store.read_vectors(vector_store.folder_of(ws, name))
    if stored is None:
        raise GlanError(
            f"There are no vectors of {name}: those of {', '.join(names)} are there." if names
            else f"No question has a vector yet: embed them first, with 'glan embed {ws.folder}' or on the page Diversity."
        )  # fmt: skip
    of_discipline: dict[str, list[int]] = defaultdict(list)
    for page in homework_rows.texts(ws.db, up_to=last, answers=False):
        for row in page:
            if row.answer_length is not None and row.dropped not in OUT_BEFORE and row.seq not in already:
                of_discipline[row.discipline_id].append(row.seq)
    found: list[Repeat] = []
    for nth, seqs in enumerate(of_discipline.values()):
        places = np.searchsorted(stored.seqs, seqs)
        known = np.flatnonzero(stored.seqs[np.minimum(places, len(stored) - 1)] == seqs)
        rows = stored.rows(places[known])
        for row, of, cosine in similar(rows, settings.meaning_threshold):
            found.append(Repeat(seqs[known[row]], seqs[known[of]], "meaning", cosine))
        step("disciplines compared", nth + 1, len(of_discipline))
    return found


def similar(rows: "np.ndarray", threshold: float) -> Iterable[tuple[int, int, float]]:
    """(row, earlier row, cosine) of each of some unit vectors that is similar to an earlier one which itself is to none."""
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
