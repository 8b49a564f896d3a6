"""Near-duplicates: questions that repeat an earlier one, word for word or nearly, or (where asked) in meaning.

Two questions are nearly the same where the Jaccard similarity of their sets of 3-word runs is at least the threshold. Pairs to
compare are found by MinHash with 128 permutations in 32 bands of 4: of two questions at 0.73, one in 30,000 is missed. What is
found is then compared exactly. Rows are looked at in the order in which they were written: the first of its kind stands, later
ones are tagged with the row that they repeat, which itself stands, so tags never form a chain.

Memory holds some 200 bytes a question (its band hashes); the hashes of its 3-word runs wait in a file without a name.
"""

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, BinaryIO

from glan_core.dataset.settings import NearDuplicateSettings
from glan_core.dataset.tagging import clear
from glan_core.dataset.text_normalization import Hashes, grams, words_and_signs
from glan_core.formatting import number, plural
from glan_core.import_strings import load_symbol
from glan_core.workspace import Workspace, homework_rows, tag_rows
from glan_core.workspace.tag_rows import Tag
from glan_core.workspace.workspace import set_fact

if TYPE_CHECKING:
    import numpy as np

    from glan_core.runs.heartbeat import Progress

N = 3  # words of a run
PERMUTATIONS, BANDS = 128, 32
SEED = 7  # of the permutations: any will do, as long as it stays
MOST_STANDING = 200  # rows of a bucket, and rows that one is compared with: bounds the work where all look alike
SEMANTIC_DUPLICATES = "glan_core.diversity.semantic_neighbors:repeats_in_meaning"
OUT_BEFORE = ("rejected", "quality")  # such rows are no part of the dataset whatever they repeat
BATCH = 2000  # tags of a transaction
FACT = "check:dedup"

Step = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Repeat:
    """The row `seq` repeats the row `of`, which stands. `how` is 'exact', 'near' or 'meaning', `score` the Jaccard similarity
    or, for 'meaning', the cosine."""

    seq: int
    of: int
    how: str
    score: float


def tag_duplicates(ws: Workspace, settings: NearDuplicateSettings, progress: "Progress") -> str:
    """Tag every pair whose question repeats that of an earlier pair; those that an earlier check tagged and this one does not
    are freed. Pairs that were rejected or that a quality filter took out are not looked at."""
    last = homework_rows.last_seq(ws.db)
    pages = (
        [(row.seq, row.question) for row in page if row.answer_length is not None and row.dropped not in OUT_BEFORE]
        for page in homework_rows.texts(ws.db, up_to=last, answers=False)
    )
    found = Finder(settings.threshold, ws.folder)
    with found:
        for page in pages:
            found.add(page)
            if page:
                progress.step("rows read", page[-1][0], last)
        progress.step("rows read", last, last)
        repeats = list(found.repeats(progress.step))
        rows = found.rows
    if settings.meaning:
        repeats = resolved(
            repeats, load_symbol(SEMANTIC_DUPLICATES)(ws, settings, {r.seq for r in repeats}, last, progress.step)
        )
    _store(ws, repeats, progress)
    counts = Counter(repeat.how for repeat in repeats)
    fact = {
        "settings": settings.model_dump(mode="json"), "rows": rows, "up_to": last, "tagged": len(repeats), "by": dict(counts),
        "crowded": found.crowded, "at": time.time(), "run_id": progress.run_id,
    }  # fmt: skip
    with ws.write() as db:
        set_fact(db, FACT, fact)
    return _sentence(settings, rows, counts, found.crowded)


def _sentence(settings: NearDuplicateSettings, rows: int, counts: Counter, crowded: int) -> str:
    parts = [f"{number(counts['exact'])} word for word", f"{number(counts['near'])} nearly (at least {settings.threshold:.2f})"]
    if settings.meaning:
        parts.append(f"{number(counts['meaning'])} in meaning (at least {settings.meaning_threshold:.2f})")
    said = f"{plural(rows, 'question')} compared: {', '.join(parts)} repeat an earlier one."
    if crowded:
        said += f" {plural(crowded, 'question')} had more look-alikes than could all be compared."
    return said


def _store(ws: Workspace, repeats: Sequence[Repeat], progress: "Progress") -> None:
    """Put the tags of these repeats in place of those of earlier checks."""
    for start in range(0, len(repeats), BATCH):
        batch = repeats[start : start + BATCH]
        with ws.write() as db:
            ids = homework_rows.ids_by_seq(db, {repeat.of for repeat in batch})
            tag_rows.put_tags(
                db, [Tag(r.seq, "duplicate", r.how, ids[r.of], r.score) for r in batch if r.of in ids], progress.run_id
            )
        progress.step("tags stored", start + len(batch), len(repeats))
    clear(ws, "duplicate", except_run=progress.run_id)


def repeats(pages: Iterable[Sequence[tuple[int, str]]], threshold: float = 0.7) -> list[Repeat]:
    """The repeats among questions, given in pages of (seq, text) in the order in which they were written."""
    with Finder(threshold) as found:
        for page in pages:
            found.add(page)
        return list(found.repeats())


class Finder:
    """Takes questions in, page by page, and then tells which repeat others. To be closed: it holds an open file.

    `rows` is how many came in; `crowded` for how many of them not all look-alikes were compared.
    """

    def __init__(self, threshold: float, folder: object = None) -> None:
        self.threshold, self.crowded = threshold, 0
        self._seqs: list[np.ndarray] = []
        self._exact: list[np.ndarray] = []
        self._bands: list[np.ndarray] = []
        self._sizes: list[np.ndarray] = []
        self._hashes = Hashes()
        self._file: BinaryIO = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (closed by __exit__)
        self._starts: np.ndarray | None = None

    def __enter__(self) -> "Finder":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def rows(self) -> int:
        """How many questions came in."""
        return sum(len(page) for page in self._seqs)

    def add(self, page: Sequence[tuple[int, str]]) -> None:
        """Take in questions as (seq, text); `seq` rises."""
        import numpy as np
        import rensa

        if not page:
            return
        texts = [words_and_signs(text) or [text.strip()] for _, text in page]
        exact = (blake2b(" ".join(text).encode("utf-8", "replace"), digest_size=8).digest() for text in texts)
        self._exact.append(np.frombuffer(b"".join(exact), np.uint64))
        self._seqs.append(np.fromiter((seq for seq, _ in page), np.int64))
        runs, starts = self._runs(texts)
        self._sizes.append(np.diff(starts).astype(np.int32))
        runs.tofile(self._file)
        matrix = rensa.RMinHash.digest_matrix_from_flat_token_hashes(runs, starts.astype(np.uint64), PERMUTATIONS, SEED)
        digests = np.array(matrix.to_rows(), np.uint32).reshape(len(page), BANDS, -1)
        self._bands.append(_band_hashes(digests))

    def _runs(self, texts: Sequence[list[str]]) -> "tuple[np.ndarray, np.ndarray]":
        """The hashes of the 3-word runs of some texts, and where each text's begin. A shorter text is one run of its own."""
        import numpy as np

        hashes, starts = self._hashes.flat([text if len(text) >= N else [*text, "", ""][:N] for text in texts])
        ends = starts[1:, None] - np.arange(1, N)  # where a run would reach into the next text
        inside = np.ones(len(hashes), bool)
        inside[ends.ravel()] = False
        return grams(np.append(hashes, np.zeros(N - 1, np.uint64)), N)[inside], starts - (N - 1) * np.arange(len(starts))

    def repeats(self, step: Step = lambda *_: None) -> Iterator[Repeat]:
        """What repeats what, among all that came in."""
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
            yield Repeat(int(seqs[row]), int(seqs[of]), "near", score)
        for row in np.flatnonzero(first_of != np.arange(len(seqs))).tolist():
            first = int(first_of[row])
            of, score = near.get(first, (first, 1.0))
            yield Repeat(int(seqs[row]), int(seqs[of]), "near" if first in near else "exact", score)

    def _near(self, own: "np.ndarray", step: Step) -> dict[int, tuple[int, float]]:
        """row -> (the row that it nearly repeats, their similarity), among rows of different words."""
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
                    if len(others) < MOST_STANDING:
                        others.append(row)
            if nth % 500 == 0:
                step("look-alikes compared", nth, len(rows))
        step("look-alikes compared", len(rows), len(rows))
        return found

    def _buckets(self, own: "np.ndarray") -> "tuple[list[int], np.ndarray, np.ndarray]":
        """The rows that share a band with another, in their order; the numbers of the buckets they share; and where each
        row's begin among these. Most rows of a diverse dataset share none, and cost nothing further."""
        import numpy as np

        rows, buckets, next_bucket = [], [], 0
        for band in range(BANDS):
            values = np.concatenate([page[:, band] for page in self._bands])[own]
            settings = np.argsort(values, kind="stable")
            same = values[settings][1:] == values[settings][:-1]
            shared = np.append(same, False) | np.insert(same, 0, False)
            begins = np.insert(~same, 0, True)[shared]
            rows.append(own[settings[shared]].astype(np.int32))
            buckets.append((next_bucket + np.cumsum(begins)).astype(np.int64))
            next_bucket += int(begins.sum())
        all_rows, all_buckets = np.concatenate(rows), np.concatenate(buckets)
        by_row = np.argsort(all_rows, kind="stable")
        unique, starts = np.unique(all_rows[by_row], return_index=True)
        return unique.tolist(), all_buckets[by_row], np.append(starts, len(by_row))

    def _most_similar(self, row: int, alike: Counter) -> tuple[int, float] | None:
        """The most similar of the rows that share bands with a row, the earliest of equals; those that share most go first."""
        if not alike:
            return None
        if len(alike) > MOST_STANDING:
            self.crowded += 1
        mine = self._set_of(row)
        return max(
            ((other, _jaccard(mine, self._set_of(other))) for other, _ in alike.most_common(MOST_STANDING)),
            key=lambda pair: (pair[1], -pair[0]),
        )

    def _set_of(self, row: int) -> frozenset[int]:
        import numpy as np

        start, end = self._starts[row], self._starts[row + 1]
        self._file.seek(int(start) * 8)
        return frozenset(np.frombuffer(self._file.read(int(end - start) * 8), np.uint64).tolist())


def _band_hashes(digests: "np.ndarray") -> "np.ndarray":
    """One number of 32 bits for each band of each row, from its (rows, bands, values) digests."""
    import numpy as np

    mixed = np.zeros(digests.shape[:2], np.uint64)
    for place in range(digests.shape[2]):
        mixed = (mixed ^ digests[:, :, place]) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
    return (mixed >> np.uint64(32)).astype(np.uint32)


def _jaccard(one: frozenset, other: frozenset) -> float:
    both = len(one & other)
    return both / (len(one) + len(other) - both)


def resolved(repeats: Iterable[Repeat], in_meaning: Iterable[Repeat]) -> list[Repeat]:
    """All repeats, none naming a row that repeats another in meaning: it names that other one, with the cosine of the two."""
    of = {repeat.seq: repeat for repeat in in_meaning}
    moved = (Repeat(r.seq, of[r.of].of, "meaning", of[r.of].score) if r.of in of else r for r in repeats)
    return [*moved, *of.values()]
