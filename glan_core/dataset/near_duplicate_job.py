"""Near-duplicate job: tags questions that repeat an earlier one exactly, nearly, or (optionally) semantically.

Two questions are near-duplicates if the Jaccard similarity of their 3-word shingles reaches the threshold; in scripts without
spaces a shingle has 5 to 7 characters. Candidates are
found by MinHash LSH with 128 permutations in 32 bands of 4 rows (miss rate 1 in 6,500 at a similarity of 0.7) and then
verified exactly. Rows are processed oldest first: the first row of a group is kept and later ones are tagged with its ID,
so tags never form a chain.

Memory use is about 200 bytes per question for the band hashes; shingle hashes are kept in an unnamed temporary file.
"""

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from glan_core.dataset.settings import NearDuplicateSettings
from glan_core.dataset.tagging import clear_tags
from glan_core.dataset.text_normalization import WordHashes, joined_characters, ngram_hashes, words_and_signs
from glan_core.formatting import number, plural
from glan_core.import_strings import load_symbol
from glan_core.ray_cluster.pipeline import map_batches
from glan_core.workspace import Workspace, homework_rows, tag_rows
from glan_core.workspace.tag_rows import Tag
from glan_core.workspace.workspace import set_metadata

if TYPE_CHECKING:
    import numpy as np

    from glan_core.runs.heartbeat import Progress

N = 3  # words per shingle
PERMUTATIONS, BANDS = 128, 32
SEED = 7  # of the permutations; fixed so that results are reproducible
MAX_CANDIDATES = 200  # kept rows per bucket, and comparisons per row: bounds the work on highly similar data
SEMANTIC_DUPLICATES = "glan_core.diversity.semantic_neighbors:find_semantic_duplicates"
OUT_BEFORE = ("rejected", "quality")  # rows with these tags are not part of the dataset
BATCH = 2000  # tags per transaction
FACT = "check:dedup"

Step = Callable[[str, int, int], None]
Page = Sequence[tuple[int, str]]  # questions as (seq, text)


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


@dataclass(frozen=True, slots=True)
class Signatures:
    """What questions are compared by.

    Attributes:
        seqs: `(n,) int64` `seq` of the questions.
        exact: `(n,) uint64` hash of all words.
        sizes: `(n,) int32` number of shingles.
        shingles: `(sum of sizes,) uint64` hashes of the shingles.
        bands: `(n, BANDS) uint32` hashes of the bands.
    """

    seqs: "np.ndarray"
    exact: "np.ndarray"
    sizes: "np.ndarray"
    shingles: "np.ndarray"
    bands: "np.ndarray"


def tag_duplicates(ws: Workspace, settings: NearDuplicateSettings, progress: "Progress") -> str:
    """Tag every pair whose question duplicates that of an earlier pair, and clear outdated tags.

    Pairs rejected by a person or tagged by a quality filter are skipped.

    Returns:
        One sentence about the result.
    """
    last = homework_rows.last_seq(ws.db)
    pages = (
        [(row.seq, row.question) for row in page if row.answer_length is not None and row.dropped not in OUT_BEFORE]
        for page in homework_rows.texts(ws.db, up_to=last, answers=False)
    )
    found = DuplicateFinder(settings.threshold, ws.folder)
    with found:
        for signatures in map_batches(filter(None, pages), Signer, settings, progress.check):
            found.collect(signatures)
            progress.step("rows read", int(signatures.seqs[-1]), last)
        progress.step("rows read", last, last)
        repeats = list(found.repeats(progress.step))
        rows = found.rows
    if settings.semantic:
        repeats = merge_semantic(
            repeats, load_symbol(SEMANTIC_DUPLICATES)(ws, settings, {r.seq for r in repeats}, last, progress.step)
        )
    _store(ws, repeats, progress)
    counts = Counter(repeat.how for repeat in repeats)
    fact = {
        "settings": settings.model_dump(mode="json"), "rows": rows, "up_to": last, "tagged": len(repeats), "by": dict(counts),
        "crowded": found.crowded, "at": time.time(), "run_id": progress.run_id,
    }  # fmt: skip
    with ws.write() as db:
        set_metadata(db, FACT, fact)
    return _sentence(settings, rows, counts, found.crowded)


def _sentence(settings: NearDuplicateSettings, rows: int, counts: Counter, crowded: int) -> str:
    parts = [f"{number(counts['exact'])} exact", f"{number(counts['near'])} near (similarity ≥ {settings.threshold:.2f})"]
    if settings.semantic:
        parts.append(f"{number(counts['meaning'])} semantic (similarity ≥ {settings.semantic_threshold:.2f})")
    summary = f"{plural(rows, 'question')} compared. Duplicates: {', '.join(parts)}."
    if crowded:
        summary += f" {plural(crowded, 'question')} had more candidates than could be compared."
    return summary


def _store(ws: Workspace, repeats: Sequence[Duplicate], progress: "Progress") -> None:
    """Replace the tags of earlier checks with those of these duplicates."""
    for start in range(0, len(repeats), BATCH):
        batch = repeats[start : start + BATCH]
        with ws.write() as db:
            ids = homework_rows.ids_by_seq(db, {repeat.of for repeat in batch})
            tag_rows.put_tags(
                db, [Tag(r.seq, "duplicate", r.how, ids[r.of], r.score) for r in batch if r.of in ids], progress.run_id
            )
        progress.step("tags stored", start + len(batch), len(repeats))
    clear_tags(ws, "duplicate", except_run=progress.run_id)


def find_duplicates(pages: Iterable[Page], threshold: float = 0.7) -> list[Duplicate]:
    """Find duplicates among pages of (seq, text), oldest first."""
    with DuplicateFinder(threshold) as found:
        for page in pages:
            found.add(page)
        return list(found.repeats())


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
        return Signatures(
            np.fromiter((seq for seq, _ in page), np.int64), np.frombuffer(b"".join(exact), np.uint64),
            np.diff(starts).astype(np.int32), shingles, _band_hashes(digests),
        )  # fmt: skip

    def _shingles(self, texts: Sequence[Sequence[str]]) -> "tuple[np.ndarray, np.ndarray]":
        """Return the shingle hashes of texts and the offset of each text; a shorter text is one shingle."""
        import numpy as np

        hashes, starts = self._hashes.flat([text if len(text) >= N else [*text, "", ""][:N] for text in texts])
        ends = starts[1:, None] - np.arange(1, N)  # shingles that would extend into the next text
        inside = np.ones(len(hashes), bool)
        inside[ends.ravel()] = False
        return ngram_hashes(np.append(hashes, np.zeros(N - 1, np.uint64)), N)[inside], starts - (N - 1) * np.arange(len(starts))


class DuplicateFinder:
    """Collects the signatures of questions and finds duplicates among them. Close it after use: it holds an open file.

    Attributes:
        crowded: Number of questions with more candidates than could be compared.
    """

    def __init__(self, threshold: float, folder: Path | None = None) -> None:
        self.threshold, self.crowded = threshold, 0
        import numpy as np

        self._seqs: list[np.ndarray] = []
        self._exact: list[np.ndarray] = []
        self._bands: list[np.ndarray] = []
        self._sizes: list[np.ndarray] = []
        self._sign = Signer()
        self._file: BinaryIO = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (closed by __exit__)
        self._starts: np.ndarray = np.zeros(1, np.int64)

    def __enter__(self) -> "DuplicateFinder":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def rows(self) -> int:
        """Number of questions added."""
        return sum(len(page) for page in self._seqs)

    def add(self, page: Page) -> None:
        """Add questions with a higher `seq` than those before."""
        if page:
            self.collect(self._sign(page))

    def collect(self, signatures: Signatures) -> None:
        """Add questions by their signatures; see `add`."""
        self._exact.append(signatures.exact)
        self._seqs.append(signatures.seqs)
        self._sizes.append(signatures.sizes)
        self._bands.append(signatures.bands)
        signatures.shingles.tofile(self._file)

    def repeats(self, step: Step = lambda *_: None) -> Iterator[Duplicate]:
        """Yield the duplicates among all questions added."""
        import numpy as np

        if not self._seqs:
            return
        seqs, exact = np.concatenate(self._seqs), np.concatenate(self._exact)
        self._starts = np.concatenate([[0], np.cumsum(np.concatenate(self._sizes))])
        _, firsts, group = np.unique(exact, return_index=True, return_inverse=True)
        first_of = firsts[group]  # the first row with the same words
        own = np.flatnonzero(first_of == np.arange(len(seqs)))
        near = self._near(own, step)
        for row, (of, score) in near.items():
            yield Duplicate(int(seqs[row]), int(seqs[of]), "near", score)
        for row in np.flatnonzero(first_of != np.arange(len(seqs))).tolist():
            first = int(first_of[row])
            of, score = near.get(first, (first, 1.0))
            yield Duplicate(int(seqs[row]), int(seqs[of]), "near" if first in near else "exact", score)

    def _near(self, own: "np.ndarray", step: Step) -> dict[int, tuple[int, float]]:
        """Map each near-duplicate row to (kept row, similarity), among rows with different words."""
        rows, buckets, starts = self._buckets(own)
        standing: dict[int, list[int]] = {}
        found: dict[int, tuple[int, float]] = {}
        for nth, row in enumerate(rows):
            mine = buckets[starts[nth] : starts[nth + 1]].tolist()
            alike = Counter(other for bucket in mine for other in standing.get(bucket, ()))
            best = self._most_similar(row, alike)
            if best and best[1] >= self.threshold:
                found[row] = best
            else:
                for bucket in mine:
                    others = standing.setdefault(bucket, [])
                    if len(others) < MAX_CANDIDATES:
                        others.append(row)
            if nth % 500 == 0:
                step("candidates compared", nth, len(rows))
        step("candidates compared", len(rows), len(rows))
        return found

    def _buckets(self, own: "np.ndarray") -> "tuple[list[int], np.ndarray, np.ndarray]":
        """Return the rows that share a band with another row, their bucket numbers, and the offset of each row's buckets."""
        import numpy as np

        rows, buckets, next_bucket = [], [], 0
        for band in range(BANDS):
            values = np.concatenate([page[:, band] for page in self._bands])[own]
            order = np.argsort(values, kind="stable")
            same = values[order][1:] == values[order][:-1]
            shared = np.append(same, False) | np.insert(same, 0, False)
            begins = np.insert(~same, 0, True)[shared]
            rows.append(own[order[shared]].astype(np.int32))
            buckets.append((next_bucket + np.cumsum(begins)).astype(np.int64))
            next_bucket += int(begins.sum())
        all_rows, all_buckets = np.concatenate(rows), np.concatenate(buckets)
        by_row = np.argsort(all_rows, kind="stable")
        unique, starts = np.unique(all_rows[by_row], return_index=True)
        return unique.tolist(), all_buckets[by_row], np.append(starts, len(by_row))

    def _most_similar(self, row: int, alike: Counter) -> tuple[int, float] | None:
        """Return the most similar candidate (the earliest if tied), comparing those with most shared bands first."""
        if not alike:
            return None
        if len(alike) > MAX_CANDIDATES:
            self.crowded += 1
        mine = self._set_of(row)
        return max(
            ((other, _jaccard(mine, self._set_of(other))) for other, _ in alike.most_common(MAX_CANDIDATES)),
            key=lambda pair: (pair[1], -pair[0]),
        )

    def _set_of(self, row: int) -> frozenset[int]:
        import numpy as np

        start, end = self._starts[row], self._starts[row + 1]
        self._file.seek(int(start) * 8)
        return frozenset(np.frombuffer(self._file.read(int(end - start) * 8), np.uint64).tolist())


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


def _jaccard(one: frozenset, other: frozenset) -> float:
    both = len(one & other)
    return both / (len(one) + len(other) - both)


def merge_semantic(repeats: Iterable[Duplicate], in_meaning: Iterable[Duplicate]) -> list[Duplicate]:
    """Merge semantic duplicates into the others, so that no tag points to a row that is itself a semantic duplicate."""
    of = {repeat.seq: repeat for repeat in in_meaning}
    moved = (Duplicate(r.seq, of[r.of].of, "meaning", of[r.of].score) if r.of in of else r for r in repeats)
    return [*moved, *of.values()]
