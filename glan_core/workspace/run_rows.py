"""Runs, their progress and their wishes in the database."""

import json
import time
from dataclasses import dataclass

import apsw

STATES = ("queued", "running", "paused", "cancelled", "failed", "finished", "lost")
LIVE = ("queued", "running")
STALE_AFTER = 15.0  # seconds without a heartbeat (one is written every second) after which a run counts as lost


@dataclass(frozen=True, slots=True)
class Run:
    """A run as stored. `wish` is what a person asked of it while it works: 'pause', 'cancel' or None. `claim` names the
    process that may work on it; a running one that others found lost has none. Times are seconds since 1970. Whether a run
    that calls itself live is lost is for `glan_core.runs` to say."""

    id: int
    kind: str
    title: str
    params: dict
    plan: dict | None
    state: str
    wish: str | None
    message: str
    pid: int | None
    host: str | None
    claim: str | None
    created_at: float
    started_at: float | None
    heartbeat_at: float | None
    finished_at: float | None


@dataclass(frozen=True, slots=True)
class StageProgress:
    """Work of one stage of a run: planned (an estimate until the stages before it are done), done, failed."""

    stage: str
    planned: int
    done: int
    failed: int


@dataclass(frozen=True, slots=True)
class Sample:
    """The totals of a run at one moment: `done` calls stored, HTTP `requests` sent, of them `throttled` (429) and `faults`."""

    at: float
    done: int
    requests: int
    throttled: int
    faults: int
    in_flight: int
    concurrency: int
    tokens_in: int
    tokens_out: int
    cost_usd: float


def add_run(db: apsw.Connection, kind: str, title: str, params: dict, plan: dict | None = None) -> int:
    """Store a new run in state 'queued'; its number."""
    db.execute(
        "INSERT INTO runs (kind, title, params, plan, state, created_at) VALUES (?, ?, ?, ?, 'queued', ?)",
        (kind, title, json.dumps(params), plan and json.dumps(plan), time.time()),
    )
    return db.last_insert_rowid()


def run(db: apsw.Connection, run_id: int) -> Run | None:
    """One run, or None."""
    row = db.execute("SELECT * FROM runs WHERE id = ?", (run_id,)).fetchone()
    return row and _run(row)


def holds(db: apsw.Connection, run_id: int, claim: str) -> bool:
    """Whether the process of a claim still has the run: nobody has taken it over, given it up as lost or ended it."""
    row = run(db, run_id)
    return row is not None and row.claim == claim and row.state == "running"


def runs(db: apsw.Connection, limit: int = 100) -> list[Run]:
    """The latest runs, newest first."""
    return [_run(row) for row in db.execute("SELECT * FROM runs ORDER BY id DESC LIMIT ?", (limit,))]


def live_runs(db: apsw.Connection) -> list[Run]:
    """Runs that say they are queued or running, oldest first."""
    return [_run(row) for row in db.execute("SELECT * FROM runs WHERE state IN ('queued', 'running') ORDER BY id")]


def _run(row: tuple) -> Run:
    return Run(*row[:3], json.loads(row[3]), row[4] and json.loads(row[4]), *row[5:])


def update_run(db: apsw.Connection, run_id: int, **values: object) -> None:
    """Set columns of a run, such as state='running', wish=None."""
    columns = ", ".join(f"{name} = ?" for name in values)
    db.execute(f"UPDATE runs SET {columns} WHERE id = ?", (*values.values(), run_id))


def set_params(db: apsw.Connection, run_id: int, params: dict) -> None:
    """Replace the order of a run."""
    update_run(db, run_id, params=json.dumps(params))


def set_stage(db: apsw.Connection, run_id: int, progress: StageProgress) -> None:
    """Store the progress of one stage."""
    db.execute("INSERT OR REPLACE INTO run_stages VALUES (?, ?, ?, ?, ?)",
               (run_id, progress.stage, progress.planned, progress.done, progress.failed))  # fmt: skip


def stages(db: apsw.Connection, run_id: int) -> list[StageProgress]:
    """The progress of every stage of a run, in no particular order."""
    rows = db.execute("SELECT stage, planned, done, failed FROM run_stages WHERE run_id = ?", (run_id,))
    return [StageProgress(*row) for row in rows]


def add_sample(db: apsw.Connection, run_id: int, sample: Sample) -> None:
    """Store the totals of a run at one moment."""
    db.execute(
        "INSERT OR REPLACE INTO run_samples VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (run_id, *(getattr(sample, name) for name in Sample.__dataclass_fields__)),
    )


def last_sample(db: apsw.Connection, run_id: int) -> Sample | None:
    """The latest totals of a run, or None when it has not begun."""
    row = db.execute("SELECT * FROM run_samples WHERE run_id = ? ORDER BY at DESC LIMIT 1", (run_id,)).fetchone()
    return row and Sample(*row[1:])


def samples(db: apsw.Connection, run_id: int, most: int = 400) -> list[Sample]:
    """The samples of a run, oldest first; thinned evenly to at most about `most`, the newest always among them."""
    rows = db.execute(
        """WITH numbered AS (SELECT *, row_number() OVER (ORDER BY at DESC) - 1 AS n, count(*) OVER () AS total
                             FROM run_samples WHERE run_id = ?1)
           SELECT at, done, requests, throttled, faults, in_flight, concurrency, tokens_in, tokens_out, cost_usd
           FROM numbered WHERE n % max(1, total / ?2) = 0 ORDER BY at""",
        (run_id, most),
    )
    return [Sample(*row) for row in rows]
