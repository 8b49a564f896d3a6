"""Compiled comparison of questions with the earlier ones that share a MinHash bucket with them.

It runs without the interpreter lock, so that the heartbeat of the run goes on; import it by `with_compile_cache`.
"""

from typing import TYPE_CHECKING

import numba
import numpy as np

if TYPE_CHECKING:
    from glan_core.dataset.duplicate_finder import BucketedRows, Kept


@numba.njit(cache=True, nogil=True)
def match_or_keep(new: "BucketedRows", kept: "Kept", threshold: float, most: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Match each row with the most similar kept row of its buckets, or keep it: add it to its buckets.

    Candidates that share more buckets are compared first, earlier rows first among equals.

    Args:
        new: Rows, after all earlier rows.
        kept: The kept rows among them; changed in place.
        threshold: Lowest Jaccard similarity of a match.
        most: Kept rows per bucket, and comparisons per row.

    Returns:
        `(n,) int32` kept row that each row matches, -1 if it is kept itself; `(n,) float64` their similarity; and the number of
        rows with more candidates than could be compared.
    """
    crowded, members = 0, kept.members
    of, score = np.full(len(new.rows), -1, np.int32), np.zeros(len(new.rows))
    found = np.empty(most * int(np.max(new.starts[1:] - new.starts[:-1])), np.int32)
    for nth in range(len(new.rows)):
        row, number = new.rows[nth], 0
        own = new.places[new.starts[nth] : new.starts[nth + 1]]
        for place in own:
            for at in range(place + 1, place + 1 + members[place]):
                found[number] = members[at]
                number += 1
        candidates = _most_frequent(np.sort(found[:number]), most)
        crowded += len(candidates) > most
        best, similarity = -1, -1.0
        mine = kept.shingles[kept.offsets[row] : kept.offsets[row + 1]]
        for other in candidates[:most]:
            alike = _jaccard(mine, kept.shingles[kept.offsets[other] : kept.offsets[other + 1]])
            if alike > similarity or (alike == similarity and other < best):
                best, similarity = other, alike
        if best >= 0 and similarity >= threshold:
            of[nth], score[nth] = best, similarity
            continue
        for place in own:
            if members[place] < most:
                members[place] += 1
                members[place + members[place]] = row
    return of, score, crowded


@numba.njit(cache=True, nogil=True)
def _most_frequent(values: np.ndarray, most: int) -> np.ndarray:
    """Return the distinct values of ascending ones, most frequent first if there are more than `most`, else ascending."""
    distinct, counts, number = np.empty_like(values), np.empty(len(values), np.int32), 0
    for value in values:
        if number and distinct[number - 1] == value:
            counts[number - 1] += 1
        else:
            distinct[number], counts[number] = value, 1
            number += 1
    if number <= most:
        return distinct[:number]
    return distinct[:number][np.argsort(-counts[:number], kind="mergesort")]


@numba.njit(cache=True, nogil=True)
def _jaccard(one: np.ndarray, other: np.ndarray) -> float:
    """Return the Jaccard similarity of two sets, each given as ascending values that may repeat."""
    i = j = both = either = 0
    while i < len(one) or j < len(other):
        if j == len(other) or (i < len(one) and one[i] < other[j]):
            value = one[i]
        else:
            value = other[j]
            both += i < len(one) and one[i] == value
        either += 1
        while i < len(one) and one[i] == value:
            i += 1
        while j < len(other) and other[j] == value:
            j += 1
    return both / either
