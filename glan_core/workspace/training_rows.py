"""Training log and sample replies of fine-tuning runs."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import apsw

from glan_core.workspace.sql import fetch_one


@dataclass(frozen=True, slots=True)
class Step:
    """One row of the training log; None for values that were not measured.

    Attributes:
        step: Optimizer step.
        epoch: Epoch as a fraction.
        tokens: Tokens seen so far, without padding.
        seconds: Training time in seconds.
        loss: Mean training cross-entropy in nats per trained token since the previous row.
        validation_loss: Validation loss.
        lr: Learning rate.
        grad_norm: Gradient norm.
        memory_mb: Process memory in megabytes.
        gpu_memory_mb: GPU memory in megabytes.
        gpu_use: GPU utilization in percent.
    """

    step: int
    epoch: float
    tokens: int
    seconds: float
    loss: float | None = None
    validation_loss: float | None = None
    lr: float | None = None
    grad_norm: float | None = None
    memory_mb: float | None = None
    gpu_memory_mb: float | None = None
    gpu_use: float | None = None


@dataclass(frozen=True, slots=True)
class SampleReply:
    """A sample reply of the model to the `nth` prompt at a training step."""

    step: int
    nth: int
    prompt: str
    reply: str


COLUMNS = tuple(field.name for field in fields(Step))


def add_steps(db: apsw.Connection, run_id: int, steps: Sequence[Step]) -> None:
    """Store log rows; values that an earlier row of the same step has and the new one lacks are kept."""
    values = ", ".join(f"coalesce(excluded.{name}, {name})" for name in COLUMNS[1:])
    db.executemany(
        f"""INSERT INTO training_steps (run_id, {", ".join(COLUMNS)}) VALUES ({", ".join("?" * (len(COLUMNS) + 1))})
            ON CONFLICT DO UPDATE SET ({", ".join(COLUMNS[1:])}) = ({values})""",
        [(run_id, *(getattr(step, name) for name in COLUMNS)) for step in steps],
    )


def delete_after(db: apsw.Connection, run_id: int, step: int) -> None:
    """Remove the log after a step, because an interrupted run resumes from an earlier checkpoint."""
    db.execute("DELETE FROM training_steps WHERE run_id = ? AND step > ?", (run_id, step))
    db.execute("DELETE FROM training_replies WHERE run_id = ? AND step > ?", (run_id, step))


def steps(db: apsw.Connection, run_id: int, most: int = 600) -> list[Step]:
    """Return the log of a run, oldest first, thinned evenly to about `most` rows.

    The newest row and all rows with a validation loss are always included.
    """
    count, last = fetch_one(db, "SELECT count(*), max(step) FROM training_steps WHERE run_id = ?", (run_id,))
    every = max(1, count // most)
    rows = db.execute(
        f"""SELECT {", ".join(COLUMNS)} FROM (SELECT *, row_number() OVER (ORDER BY step) AS nth FROM training_steps WHERE run_id = ?)
            WHERE nth % ? = 0 OR step = ? OR validation_loss IS NOT NULL ORDER BY step""",
        (run_id, every, last),
    )
    return [Step(*row) for row in rows]


def last_step(db: apsw.Connection, run_id: int) -> Step | None:
    """Return the newest log row of a run, or None."""
    row = db.execute(
        f"SELECT {', '.join(COLUMNS)} FROM training_steps WHERE run_id = ? ORDER BY step DESC LIMIT 1", (run_id,)
    ).fetchone()
    return Step(*row) if row else None


def add_replies(db: apsw.Connection, run_id: int, replies: Sequence[SampleReply]) -> None:
    """Store sample replies."""
    db.executemany(
        "INSERT OR REPLACE INTO training_replies VALUES (?, ?, ?, ?, ?)",
        [(run_id, spoken.step, spoken.nth, spoken.prompt, spoken.reply) for spoken in replies],
    )


def replies(db: apsw.Connection, run_id: int) -> list[SampleReply]:
    """Return all sample replies of a run, by step and prompt."""
    rows = db.execute("SELECT step, nth, prompt, reply FROM training_replies WHERE run_id = ? ORDER BY step, nth", (run_id,))
    return [SampleReply(*row) for row in rows]
