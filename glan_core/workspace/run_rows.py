"""Runs, their progress and their wishes in the database."""

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass

import apsw

from glan_core.workspace import call_rows

STATES = ("queued", "running", "paused", "cancelled", "failed", "finished", "lost")
LIVE = ("queued", "running")
STALE_AFTER = 15.0  # seconds without a heartbeat (one is written every second) after which a run counts as lost


@dataclass(frozen=True, slots=True)
class Run:
    """A run as stored. `wish` is what a person asked of it while it works: 'pause', 'keep', 'cancel' or None. `claim` names the
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


def sample_since(db: apsw.Connection, run_id: int, at: float) -> Sample | None:
    """The first totals of a run that are not older than a moment, or None."""
    row = db.execute("SELECT * FROM run_samples WHERE run_id = ? AND at >= ? ORDER BY at LIMIT 1", (run_id, at)).fetchone()
    return row and Sample(*row[1:])


def working_seconds(db: apsw.Connection, run_id: int) -> float:
    """How long a run has been at work: longer silences between its samples are pauses, and no work."""
    return db.execute(
        """SELECT coalesce(sum(gap), 0.0) FROM (SELECT at - lag(at) OVER (ORDER BY at) AS gap FROM run_samples
           WHERE run_id = ?) WHERE gap < ?""",
        (run_id, STALE_AFTER),
    ).fetchone()[0]


def samples(db: apsw.Connection, run_id: int, most: int = 400) -> list[Sample]:
    """The samples of a run, oldest first; thinned evenly to at most about `most`, the newest always among them."""
    times = [at for (at,) in db.execute("SELECT at FROM run_samples WHERE run_id = ? ORDER BY at", (run_id,))]
    kept = times[:: -max(1, len(times) // most)]
    marks = ", ".join("?" * len(kept))
    rows = db.execute(f"SELECT * FROM run_samples WHERE run_id = ? AND at IN ({marks}) ORDER BY at", (run_id, *kept))
    return [Sample(*row[1:]) for row in rows]


Counters = dict[str, dict[str, float]]  # discipline id -> measure -> value


@dataclass(frozen=True, slots=True)
class Account:
    """What the disciplines of a run's target held before it, and when it was done; `after` is None as long as it adds to
    them. Measures that never counted are absent."""

    before: Counters
    after: Counters | None


def open_account(db: apsw.Connection, run_id: int, disciplines: Iterable[str]) -> None:
    """Note what the disciplines of a run hold as it begins, or goes on: what others added to them since it was stopped is
    not its own. Runs that never closed their accounts, since they were killed, are past adding now."""
    for (other,) in db.execute(
        "SELECT run_id FROM run_counters GROUP BY run_id HAVING max(moment) = 'before' AND run_id <> ?", (run_id,)
    ).fetchall():
        close_account(db, other)
    known = account(db, run_id)
    if known is None:
        _put_counters(db, run_id, "before", _counters_of(db, disciplines))
    elif known.after is not None:
        own = difference(known.before, known.after)
        _put_counters(db, run_id, "before", difference(own, _counters_of(db, known.before)))
        db.execute("DELETE FROM run_counters WHERE run_id = ? AND moment = 'after'", (run_id,))


def close_account(db: apsw.Connection, run_id: int) -> None:
    """Note what the disciplines of a run hold as it ends."""
    if (known := account(db, run_id)) is not None:
        _put_counters(db, run_id, "after", _counters_of(db, known.before))


def account(db: apsw.Connection, run_id: int) -> Account | None:
    """The account of a run, or None where none was opened: it never began, or is for no disciplines."""
    kept = dict(db.execute("SELECT moment, counters FROM run_counters WHERE run_id = ?", (run_id,)))
    after = kept.get("after")
    return Account(json.loads(kept["before"]), after and json.loads(after)) if kept else None


def difference(before: Counters, after: Counters) -> Counters:
    """What each discipline gained from one moment to another, by measure; 'last_at' is a time and no gain."""
    return {
        id: {
            measure: values.get(measure, 0) - before.get(id, {}).get(measure, 0)
            for measure in {**before.get(id, {}), **values} if measure != "last_at"
        }
        for id, values in after.items()
    }  # fmt: skip


def _counters_of(db: apsw.Connection, disciplines: Iterable[str]) -> Counters:
    now = call_rows.counters(db)
    return {id: now.get(id, {}) for id in disciplines}


def _put_counters(db: apsw.Connection, run_id: int, moment: str, counters: Counters) -> None:
    db.execute("INSERT OR REPLACE INTO run_counters VALUES (?, ?, ?)", (run_id, moment, json.dumps(counters)))
