"""What fine-tuning runs log: a row a step, and what the student said to fixed prompts."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import apsw


@dataclass(frozen=True, slots=True)
class Step:
    """What was logged at an optimiser step: training loss (mean cross-entropy in nats a trained token since the last row), and
    where it was taken the held-out loss; `tokens` seen so far, padding not counted, in `seconds` at work; memory in megabytes;
    `gpu_use` in percent. None: not taken, or no GPU."""

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
class Spoken:
    """What the student said to the `nth` prompt at a step."""

    step: int
    nth: int
    prompt: str
    reply: str


NAMES = tuple(field.name for field in fields(Step))


def add_steps(db: apsw.Connection, run_id: int, steps: Sequence[Step]) -> None:
    """Store rows; what an earlier row of the same step knew and a new one does not is kept."""
    values = ", ".join(f"coalesce(excluded.{name}, {name})" for name in NAMES[1:])
    db.executemany(
        f"""INSERT INTO training_steps (run_id, {", ".join(NAMES)}) VALUES ({", ".join("?" * (len(NAMES) + 1))})
            ON CONFLICT DO UPDATE SET ({", ".join(NAMES[1:])}) = ({values})""",
        [(run_id, *(getattr(step, name) for name in NAMES)) for step in steps],
    )


def forget_after(db: apsw.Connection, run_id: int, step: int) -> None:
    """Remove what was logged after a step: a run that was killed goes on from a checkpoint before it."""
    db.execute("DELETE FROM training_steps WHERE run_id = ? AND step > ?", (run_id, step))
    db.execute("DELETE FROM training_replies WHERE run_id = ? AND step > ?", (run_id, step))


def steps(db: apsw.Connection, run_id: int, most: int = 600) -> list[Step]:
    """The rows of a run, oldest first, thinned evenly to at most about `most`; the newest and all that hold a held-out loss are
    among them."""
    count, last = db.execute("SELECT count(*), max(step) FROM training_steps WHERE run_id = ?", (run_id,)).fetchone()
    every = max(1, count // most)
    rows = db.execute(
        f"""SELECT {", ".join(NAMES)} FROM (SELECT *, row_number() OVER (ORDER BY step) AS nth FROM training_steps WHERE run_id = ?)
            WHERE nth % ? = 0 OR step = ? OR validation_loss IS NOT NULL ORDER BY step""",
        (run_id, every, last),
    )
    return [Step(*row) for row in rows]


def last_step(db: apsw.Connection, run_id: int) -> Step | None:
    """The newest row of a run, or None."""
    row = db.execute(
        f"SELECT {', '.join(NAMES)} FROM training_steps WHERE run_id = ? ORDER BY step DESC LIMIT 1", (run_id,)
    ).fetchone()
    return row and Step(*row)


def add_replies(db: apsw.Connection, run_id: int, replies: Sequence[Spoken]) -> None:
    """Store what the student said."""
    db.executemany(
        "INSERT OR REPLACE INTO training_replies VALUES (?, ?, ?, ?, ?)",
        [(run_id, spoken.step, spoken.nth, spoken.prompt, spoken.reply) for spoken in replies],
    )


def replies(db: apsw.Connection, run_id: int) -> list[Spoken]:
    """Everything that the student of a run said, by step and prompt."""
    rows = db.execute("SELECT step, nth, prompt, reply FROM training_replies WHERE run_id = ? ORDER BY step, nth", (run_id,))
    return [Spoken(*row) for row in rows]
