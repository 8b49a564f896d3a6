"""Training texts: samples the training and validation rows of a snapshot and tokenizes them."""

import hashlib
import heapq
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from glan_core.dataset.snapshot_store import Snapshot, read_snapshot
from glan_core.dataset.splits import TRAIN, VALIDATION
from glan_core.errors import GlanError
from glan_core.models.tuned_model_store import TunedModel
from glan_core.training.chat_encoding import Encoder
from glan_core.workspace import Workspace

MOST_HELD_OUT = 1000  # maximum number of rows for the validation loss
CHUNK = 256


@dataclass(frozen=True, slots=True)
class RowSample:
    """A seeded sample of a split; a smaller sample is part of a larger one.

    Attributes:
        snapshot: Dataset.
        split: Name of the split.
        most: Maximum number of rows; None selects all.
        seed: Seed of the sample.
    """

    snapshot: Snapshot
    split: str
    most: int | None = None
    seed: int = 0

    def rows(self) -> Iterator[dict]:
        """Yield the rows of the sample in stored order."""
        if self.most is None or self.most >= self.snapshot.manifest.rows.get(self.split, 0):
            yield from (row for _, row in self.snapshot.rows(self.split))
            return
        ranked = heapq.nsmallest(self.most, (_rank(row["id"], self.seed) for _, row in self.snapshot.rows(self.split)))
        limit = ranked[-1]
        yield from (row for _, row in self.snapshot.rows(self.split) if _rank(row["id"], self.seed) <= limit)

    @property
    def number(self) -> int:
        """Number of rows in the sample."""
        there = self.snapshot.manifest.rows.get(self.split, 0)
        return there if self.most is None else min(self.most, there)


def trained_rows(ws: Workspace, model: TunedModel) -> RowSample:
    """Return the rows that a model was trained on: those of its snapshot that its settings selected.

    Raises:
        GlanError: If the snapshot was removed or replaced.
    """
    snapshot = read_snapshot(ws, model.snapshot)
    if snapshot.manifest.hash != model.snapshot_hash:
        raise GlanError(f"Snapshot {model.snapshot} was replaced after {model.name} was trained on it.")
    return RowSample(snapshot, TRAIN, model.settings.get("rows"), model.settings.get("seed") or 0)


@dataclass
class TokenCounts:
    """Counts of encoded rows.

    Attributes:
        rows: Rows encoded.
        cut: Rows truncated at the length limit.
        dropped: Rows dropped because the question alone fills the limit.
        tokens: Tokens of one epoch.
        trained: Tokens in the loss of one epoch.
        bytes: UTF-8 bytes of the answers in the loss.
        disciplines: Rows by discipline ID.
        lengths: Tokens of each row.
    """

    rows: int = 0
    cut: int = 0
    dropped: int = 0
    tokens: int = 0
    trained: int = 0
    bytes: int = 0
    disciplines: Counter[str] = field(default_factory=Counter)
    lengths: list[int] = field(default_factory=list)


def encoded_rows(
    sample: RowSample,
    encoder: Encoder,
    max_length: int,
    counts: TokenCounts,
    step: Callable[[int], None] | None = None,
) -> Iterator[dict]:
    """Yield the rows of a sample as `input_ids` and `labels`.

    Args:
        sample: Rows to encode.
        encoder: Chat encoding.
        max_length: Maximum number of tokens per row.
        counts: Updated while rows are encoded.
        step: Callback `step(done)` for progress.
    """
    rows = sample.rows()
    seen = 0
    while chunk := list(islice(rows, CHUNK)):
        pairs = [(row["prompt"], row["completion"]) for row in chunk]
        for row, encoded in zip(chunk, encoder.encode_all(pairs, max_length), strict=True):
            if not encoded.trained:
                counts.dropped += 1
                continue
            counts.rows += 1
            counts.cut += encoded.cut
            counts.tokens += len(encoded.ids)
            counts.trained += encoded.trained
            counts.bytes += encoded.bytes
            counts.disciplines[row["discipline"]] += 1
            counts.lengths.append(len(encoded.ids))
            yield {"input_ids": encoded.ids, "labels": encoded.labels}
        seen += len(chunk)
        if step:
            step(seen)


def first_prompts(snapshot: Snapshot, number: int = 3) -> tuple[str, ...]:
    """Return sample prompts, from the validation split if there is one, each of another discipline first."""
    split = VALIDATION if snapshot.manifest.rows.get(VALIDATION) else TRAIN
    rows = list(islice(snapshot.rows(split), 2000))
    by_discipline: dict[str, list[str]] = {}
    for _, row in rows:
        by_discipline.setdefault(row["discipline"], []).append(row["prompt"])
    turns = [prompt for nth in range(number) for prompts in by_discipline.values() for prompt in prompts[nth : nth + 1]]
    return tuple(turns[:number])


def training_texts(snapshot: Snapshot, most: int | None, seed: int) -> Iterator[str]:
    """Yield the questions and answers of the training rows, for training a tokenizer."""
    for row in RowSample(snapshot, TRAIN, most, seed).rows():
        yield row["prompt"]
        yield row["completion"]


def check_rows(counts: TokenCounts, max_length: int) -> None:
    """Check that there are rows to train on.

    Raises:
        GlanError: If all rows were dropped.
    """
    if not counts.rows:
        raise GlanError(
            f"No rows are left to train on: all {counts.dropped:,} questions alone have {max_length:,} tokens or more. Raise the "
            "max length."
        )


def _rank(id: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}\n{id}".encode()).digest()
