"""Finds questions that repeat an earlier one exactly or nearly, with an index on disk.

Two questions are near-duplicates if the Jaccard similarity of their 3-word shingles reaches the threshold; in scripts without
spaces a shingle has 5 to 7 characters. Candidates are found by MinHash LSH with 128 permutations in 32 bands of 4 rows (miss
rate 1 in 6,500 at a similarity of 0.7) and then verified exactly. Rows are processed oldest first: the first row of a group is
kept, and later ones name it, so duplicates never form a chain.

Shingles, bands and buckets are kept in unnamed temporary files, about 1 KB per question of 60 words. In memory are 70 bytes per
question and the pages of these files that the comparison of some hundred questions touches.
"""

import mmap
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from glan_core.compile_cache import with_compile_cache
from glan_core.dataset.shingle_signatures import BANDS, Page, Signatures, Signer

if TYPE_CHECKING:
    import numpy as np

MAX_CANDIDATES = 200  # kept rows per bucket, and comparisons per row: bounds the work on highly similar data
CHUNK = 500  # rows compared between two progress reports, and before mapped pages are released
CHUNK_SHINGLES = 400_000  # of these rows, at most, so that a pause or a cancellation waits for seconds only

Step = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A row that duplicates an earlier one.

    Attributes:
        seq: `seq` of the duplicate.
        of: `seq` of the row that is kept.
        how: 'exact', 'near' or 'meaning'.
        score: Jaccard similarity, or cosine similarity for 'meaning'.
    """

    seq: int
    of: int
    how: str
    score: float


class BucketedRows(NamedTuple):
    """Rows with the buckets that they share with others.

    Attributes:
        rows: `(n,) int32` rows, ascending.
        places: `(sum of buckets,) int64` place of each bucket in the members of all buckets.
        starts: `(n + 1,) int64` offset of each row's buckets.
    """

    rows: "np.ndarray"
    places: "np.ndarray"
    starts: "np.ndarray"


class Kept(NamedTuple):
    """The kept rows by bucket, and what all rows are compared by.

    Attributes:
        members: `int32`: at the place of a bucket the number of its kept rows, followed by these.
        shingles: `uint64` hashes of the shingles of all rows, ascending within a row.
        offsets: `(all rows + 1,) int64` offset of each row's shingles.
    """

    members: "np.ndarray"
    shingles: "np.ndarray"
    offsets: "np.ndarray"


def find_duplicates(pages: Iterable[Page], threshold: float = 0.7) -> list[Duplicate]:
    """Find duplicates among pages of (seq, text), oldest first."""
    with DuplicateFinder(threshold) as found:
        for page in pages:
            found.add(page)
        return list(found.repeats())


class DuplicateFinder:
    """Collects the signatures of questions and finds duplicates among them, once. Close it after use: it holds open files.

    Attributes:
        rows: Number of questions added.
        crowded: Number of questions with more candidates than could be compared.
    """

    def __init__(self, threshold: float, folder: Path | None = None) -> None:
        self.threshold, self.rows, self.crowded = threshold, 0, 0
        self._sign = Signer()
        self._open, self._folder = ExitStack(), folder
        self._seqs, self._exact = self._array("int64"), self._array("uint64")
        self._sizes, self._shingles = self._array("int32"), self._array("uint64")
        self._bands = [self._array("uint32") for _ in range(BANDS)]

    def __enter__(self) -> "DuplicateFinder":
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def _array(self, dtype: str) -> "FileArray":
        return self._open.enter_context(FileArray(dtype, self._folder))

    def add(self, page: Page) -> None:
        """Add questions with a higher `seq` than those before."""
        if page:
            self.collect(self._sign(page))

    def collect(self, signatures: Signatures) -> None:
        """Add questions by their signatures; see `add`."""
        self.rows += len(signatures.seqs)
        self._seqs.append(signatures.seqs)
        self._exact.append(signatures.exact)
        self._sizes.append(signatures.sizes)
        self._shingles.append(signatures.shingles)
        for band, hashes in zip(self._bands, signatures.bands.T, strict=True):
            band.append(hashes)

    def repeats(self, step: Step = lambda *_: None) -> Iterator[Duplicate]:
        """Yield the duplicates among all questions added."""
        import numpy as np

        if not self.rows:
            return
        seqs, first = self._seqs.read(), self._first_with_same_words()
        of, score = self._near(np.flatnonzero(first == np.arange(self.rows)).astype(np.int32), step)
        for row in np.flatnonzero((of >= 0) | (first < np.arange(self.rows))).tolist():
            same = int(first[row])
            if of[same] >= 0:  # of the row itself, or of the first one with the same words
                yield Duplicate(int(seqs[row]), int(seqs[of[same]]), "near", float(score[same]))
            else:
                yield Duplicate(int(seqs[row]), int(seqs[same]), "exact", 1.0)

    def _first_with_same_words(self) -> "np.ndarray":
        """Return the first row with the same words as each row, `(rows,) int32`."""
        import numpy as np

        exact = self._exact.read()
        order = np.argsort(exact, kind="stable").astype(np.int32)
        begins = np.append(True, np.diff(exact[order]) != 0)
        first = np.empty(self.rows, np.int32)
        first[order] = np.repeat(order[begins], np.diff(np.append(np.flatnonzero(begins), self.rows)))
        return first

    def _near(self, own: "np.ndarray", step: Step) -> "tuple[np.ndarray, np.ndarray]":
        """Return the kept row that each row nearly repeats (-1: none) and their similarity, among rows with different words."""
        import numpy as np

        of, score = np.full(self.rows, -1, np.int32), np.zeros(self.rows)
        buckets = Buckets(self._bands, own, self._array)
        if buckets.size:
            members = self._array("int32")
            members.fill(buckets.size)
            kept = Kept(members.read(), self._shingles.read(), np.append(0, np.cumsum(self._sizes.read(), dtype=np.int64)))
            match_or_keep = with_compile_cache(_match_or_keep)
            for low, high in _chunks(kept.offsets):
                step("questions compared", low, self.rows)
                new = buckets.between(low, high)
                if len(new.rows):
                    of[new.rows], score[new.rows], crowded = match_or_keep(new, kept, self.threshold, MAX_CANDIDATES)
                    self.crowded += crowded
                members.release()
                self._shingles.release()
        step("questions compared", self.rows, self.rows)
        return of, score


def _match_or_keep() -> "Callable[[BucketedRows, Kept, float, int], tuple[np.ndarray, np.ndarray, int]]":
    from glan_core.dataset.duplicate_comparison import match_or_keep

    return match_or_keep


def _chunks(offsets: "np.ndarray") -> Iterator[tuple[int, int]]:
    """Yield the first row of each chunk and the row after it.

    Args:
        offsets: `(rows + 1,) int64` offset of each row's shingles.
    """
    low = 0
    while low < len(offsets) - 1:
        fitting = int(offsets.searchsorted(offsets[low] + CHUNK_SHINGLES, "right")) - 1
        high = min(max(fitting, low + 1), low + CHUNK, len(offsets) - 1)
        yield low, high
        low = high


class Buckets:
    """Rows by the bands that they share with another row, in an array file per band.

    Attributes:
        size: Length of an array with room for the number and the kept rows of every bucket.
    """

    def __init__(self, bands: "list[FileArray]", own: "np.ndarray", array: "Callable[[str], FileArray]") -> None:
        """Group rows by each band; a band's file is closed once it is read.

        Args:
            bands: Hash of each row in each band.
            own: `(n,) int32` rows to group, ascending.
            array: Creates an array file.
        """
        self.size = 0
        self._bands = []
        for band in bands:
            rows, places = self._group(band.read()[own], own)
            band.close()
            if len(rows):
                self._bands.append((array("int32"), array("int64")))
                self._bands[-1][0].append(rows)
                self._bands[-1][1].append(places)

    def _group(self, hashes: "np.ndarray", own: "np.ndarray") -> "tuple[np.ndarray, np.ndarray]":
        """Return the rows whose hash is not unique, ascending, and the place of their bucket."""
        import numpy as np

        order = np.argsort(hashes, kind="stable")
        same = np.diff(hashes[order]) == 0
        shared = np.append(same, False) | np.append(False, same)
        begins = np.flatnonzero(np.append(True, ~same)[shared])
        rows = own[order[shared]]
        sizes = np.diff(np.append(begins, len(rows)))
        room = 1 + np.minimum(sizes, MAX_CANDIDATES)
        places = np.repeat(self.size + np.cumsum(room) - room, sizes)
        self.size += int(room.sum())
        by_row = np.argsort(rows, kind="stable")
        return rows[by_row], places[by_row]

    def between(self, low: int, high: int) -> BucketedRows:
        """Return the rows from `low` to below `high` with their buckets."""
        import numpy as np

        rows, places = [np.empty(0, np.int32)], [np.empty(0, np.int64)]
        for own, at in self._bands:
            begin, end = np.searchsorted(own.read(), np.array([low, high], np.int32))  # other types would copy all rows
            rows.append(own.read()[begin:end].copy())
            places.append(at.read()[begin:end].copy())
            own.release()
            at.release()
        every = np.concatenate(rows)
        by_row = np.argsort(every, kind="stable")
        unique, starts = np.unique(every[by_row], return_index=True)
        return BucketedRows(unique, np.concatenate(places)[by_row], np.append(starts, len(every)))


class FileArray:
    """An array that grows in an unnamed temporary file and is then mapped into memory."""

    def __init__(self, dtype: str, folder: Path | None) -> None:
        self._dtype = dtype
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (closed by close)
        self._mapping: mmap.mmap | None = None

    def __enter__(self) -> "FileArray":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def append(self, values: "np.ndarray") -> None:
        """Write values at the end, before the first `read`."""
        self._file.write(values.astype(self._dtype, copy=False).tobytes())

    def fill(self, number: int) -> None:
        """Write zeros. They take their place on the disk: a full disk would end the process when a mapped page is written."""
        import numpy as np

        for start in range(0, number, 1 << 20):
            self.append(np.zeros(min(1 << 20, number - start), self._dtype))

    def read(self) -> "np.ndarray":
        """Return all values, at least one; changes of the array change the file."""
        import numpy as np

        if self._mapping is None:
            self._file.flush()
            self._mapping = mmap.mmap(self._file.fileno(), 0)
        return np.frombuffer(self._mapping, self._dtype)

    def release(self) -> None:
        """Release the mapped pages from the memory of the process; the file keeps them."""
        if self._mapping is not None and hasattr(mmap, "MADV_DONTNEED"):
            self._mapping.madvise(mmap.MADV_DONTNEED)

    def close(self) -> None:
        """Delete the file; arrays that were read keep their memory until they are gone."""
        self._mapping = None
        self._file.close()
