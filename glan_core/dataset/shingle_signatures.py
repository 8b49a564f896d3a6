"""Signatures of questions for near-duplicates: hashes of all words, of 3-word shingles, and of MinHash bands."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

from glan_core.dataset.text_normalization import WordHashes, joined_characters, ngram_hashes, words_and_signs

if TYPE_CHECKING:
    import numpy as np

N = 3  # words per shingle
PERMUTATIONS, BANDS = 128, 32
SEED = 7  # of the permutations; fixed so that results are reproducible

Page = Sequence[tuple[int, str]]  # questions as (seq, text)


@dataclass(frozen=True, slots=True)
class Signatures:
    """What questions are compared by.

    Attributes:
        seqs: `(n,) int64` `seq` of the questions.
        exact: `(n,) uint64` hash of all words.
        sizes: `(n,) int32` number of shingles.
        shingles: `(sum of sizes,) uint64` hashes of the shingles, ascending within a question.
        bands: `(n, BANDS) uint32` hashes of the bands.
    """

    seqs: "np.ndarray"
    exact: "np.ndarray"
    sizes: "np.ndarray"
    shingles: "np.ndarray"
    bands: "np.ndarray"


class Signer:
    """Computes the signatures of questions; the most work of the job, and of each page by itself."""

    def __init__(self) -> None:
        self._hashes = WordHashes()

    def __call__(self, page: Page) -> Signatures:
        """Return the signatures of questions, of at least one."""
        import numpy as np
        import rensa

        texts = [words_and_signs(text) or [text.strip()] for _, text in page]
        exact = (blake2b(" ".join(text).encode("utf-8", "replace"), digest_size=8).digest() for text in texts)
        shingles, starts = self._shingles([joined_characters(text) for text in texts])
        matrix = rensa.RMinHash.digest_matrix_from_flat_token_hashes(shingles, starts.astype(np.uint64), PERMUTATIONS, SEED)
        digests = np.array(matrix.to_rows(), np.uint32).reshape(len(page), BANDS, -1)
        sizes = np.diff(starts).astype(np.int32)
        ascending = np.lexsort((shingles, np.repeat(np.arange(len(page)), sizes)))
        return Signatures(
            np.fromiter((seq for seq, _ in page), np.int64), np.frombuffer(b"".join(exact), np.uint64),
            sizes, shingles[ascending], _band_hashes(digests),
        )  # fmt: skip

    def _shingles(self, texts: Sequence[Sequence[str]]) -> "tuple[np.ndarray, np.ndarray]":
        """Return the shingle hashes of texts and the offset of each text; a shorter text is one shingle."""
        import numpy as np

        hashes, starts = self._hashes.flat([text if len(text) >= N else [*text, "", ""][:N] for text in texts])
        ends = starts[1:, None] - np.arange(1, N)  # shingles that would extend into the next text
        inside = np.ones(len(hashes), bool)
        inside[ends.ravel()] = False
        return ngram_hashes(np.append(hashes, np.zeros(N - 1, np.uint64)), N)[inside], starts - (N - 1) * np.arange(len(starts))


def _band_hashes(digests: "np.ndarray") -> "np.ndarray":
    """Hash each band to 32 bits.

    Args:
        digests: `(rows, bands, values) uint32`.

    Returns:
        `(rows, bands) uint32`.
    """
    import numpy as np

    mixed = np.zeros(digests.shape[:2], np.uint64)
    for place in range(digests.shape[2]):
        mixed = (mixed ^ digests[:, :, place]) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
    return (mixed >> np.uint64(32)).astype(np.uint32)
