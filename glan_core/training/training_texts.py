"""The rows that a run trains on and those it holds out, from a snapshot, as tokens."""

import hashlib
import heapq
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from glan_core.dataset.snapshot_store import Snapshot
from glan_core.dataset.splits import TRAIN, VALIDATION
from glan_core.errors import GlanError
from glan_core.training.chat_encoding import Encoder

MOST_HELD_OUT = 1000  # rows that the held-out loss is taken of
CHUNK = 256


@dataclass
class Counted:
    """What became of rows on their way to tokens: how many were taken, `cut` at the length limit, and left out since the question
    alone fills it; tokens in all and those trained on, of one pass; rows by discipline; the lengths."""

    rows: int = 0
    cut: int = 0
    dropped: int = 0
    tokens: int = 0
    trained: int = 0
    disciplines: Counter[str] = field(default_factory=Counter)
    lengths: list[int] = field(default_factory=list)


def chosen_rows(snapshot: Snapshot, split: str, most: int | None, seed: int) -> Iterator[dict]:
    """The rows of a split, or `most` of them, drawn by the seed; a smaller draw is part of a larger one."""
    if most is None or most >= snapshot.manifest.rows.get(split, 0):
        yield from (row for _, row in snapshot.rows(split))
        return
    ranked = heapq.nsmallest(most, (_rank(row["id"], seed) for _, row in snapshot.rows(split)))
    limit = ranked[-1]
    yield from (row for _, row in snapshot.rows(split) if _rank(row["id"], seed) <= limit)


def encoded_rows(
    snapshot: Snapshot, split: str, encoder: Encoder, max_length: int, counted: Counted, most: int | None = None, seed: int = 0,
    step: Callable[[int], None] | None = None,
) -> Iterator[dict]:  # fmt: skip
    """The chosen rows as the trainer takes them: `input_ids` and `labels`. Counts them on the way; `step(done)` is called now and
    then."""
    rows = chosen_rows(snapshot, split, most, seed)
    seen = 0
    while chunk := list(islice(rows, CHUNK)):
        pairs = [(row["prompt"], row["completion"]) for row in chunk]
        for row, encoded in zip(chunk, encoder.encode_all(pairs, max_length), strict=True):
            if not encoded.trained:
                counted.dropped += 1
                continue
            counted.rows += 1
            counted.cut += encoded.cut
            counted.tokens += len(encoded.ids)
            counted.trained += encoded.trained
            counted.disciplines[row["discipline"]] += 1
            counted.lengths.append(len(encoded.ids))
            yield {"input_ids": encoded.ids, "labels": encoded.labels}
        seen += len(chunk)
        if step:
            step(seen)


def first_prompts(snapshot: Snapshot, number: int = 3) -> tuple[str, ...]:
    """Questions to watch a student by: of the held-out rows, where there are any, each of another discipline at first."""
    split = VALIDATION if snapshot.manifest.rows.get(VALIDATION) else TRAIN
    rows = list(islice(snapshot.rows(split), 2000))
    by_discipline: dict[str, list[str]] = {}
    for _, row in rows:
        by_discipline.setdefault(row["discipline"], []).append(row["prompt"])
    turns = [prompt for nth in range(number) for prompts in by_discipline.values() for prompt in prompts[nth : nth + 1]]
    return tuple(turns[:number])


def training_texts(snapshot: Snapshot, most: int | None, seed: int) -> Iterator[str]:
    """Questions and answers of the training rows, for a tokenizer to be trained on."""
    for row in chosen_rows(snapshot, TRAIN, most, seed):
        yield row["prompt"]
        yield row["completion"]


def check_rows(counted: Counted, max_length: int) -> None:
    """GlanError when nothing is left to train on."""
    if not counted.rows:
        raise GlanError(
            f"No row is left to train on: all {counted.dropped:,} questions alone are {max_length:,} tokens long or longer. Raise the "
            "length limit."
        )


def _rank(id: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}\n{id}".encode()).digest()
