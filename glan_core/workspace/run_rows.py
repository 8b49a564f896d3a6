"""Runs, their progress, requested actions and counters."""

import json
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass

import apsw

from glan_core.errors import GlanError
from glan_core.workspace import call_rows
from glan_core.workspace.sql import fetch_all, fetch_value, from_row, json_or_none

STATES = ("queued", "running", "paused", "cancelled", "failed", "finished", "lost")
LIVE = ("queued", "running")
STALE_AFTER = 15.0  # seconds without a heartbeat (written every second) after which a run is lost


@dataclass(frozen=True, slots=True)
class Run:
    """A stored run; whether a run in state 'running' is lost is determined by `glan_core.runs`.

    Attributes:
        params: Settings of the run.
        plan: The plan that was shown before the start.
        state: One of `STATES`.
        wish: Action requested while the run is live: 'pause', 'keep', 'cancel' or None.
        message: Final or error message.
        claim: Token of the process that owns the run, None if the run is lost.
        created_at: Time in seconds since 1970, as are the other times.
        waiting: What a live run waits for and until when, such as a rate limit; empty if nothing.
        notices: What the run learned about its endpoints, in sentences.
        tags: Tags given by people.
        endpoints: What each endpoint of the run does or did; empty if the run has only one.
    """

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
    waiting: str = ""
    notices: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    endpoints: tuple["EndpointProgress", ...] = ()


@dataclass(frozen=True, slots=True)
class StageProgress:
    """Task counts of one stage of a run; `planned` is an estimate until the previous stages are complete."""

    stage: str
    planned: int
    done: int
    failed: int


@dataclass(frozen=True, slots=True)
class EndpointProgress:
    """What one endpoint of a run does.

    Attributes:
        name: Host and port, or the name of a teacher without a URL.
        state: 'in use', 'waiting' (rate limit, loading or an outage), 'out of use' until it answers a probe, 'excluded' for the rest of the
            run, or 'not used' by the settings with which the run was resumed.
        in_flight: Requests in flight.
        answered: Replies.
        faults: Failed requests.
        outages: How often it was taken out of use.
    """

    name: str
    state: str
    in_flight: int
    answered: int
    faults: int
    outages: int


@dataclass(frozen=True, slots=True)
class Sample:
    """The totals of a run at one moment.

    Attributes:
        at: Time in seconds since 1970.
        done: Completed calls.
        requests: HTTP requests sent.
        throttled: Requests answered with status 429.
        faults: Failed requests.
        in_flight: Requests in flight.
        concurrency: Current concurrency limit.
        tokens_out: Completion tokens, reasoning included.
        tokens_reasoning: Completion tokens of reasoning.
    """

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
    tokens_reasoning: int = 0


def add_run(db: apsw.Connection, kind: str, title: str, params: dict, plan: dict | None = None) -> int:
    """Store a new run in state 'queued'; return its id."""
    db.execute(
        "INSERT INTO runs (kind, title, params, plan, state, created_at) VALUES (?, ?, ?, ?, 'queued', ?)",
        (kind, title, json.dumps(params), json.dumps(plan) if plan else None, time.time()),
    )
    return db.last_insert_rowid()


def run(db: apsw.Connection, run_id: int) -> Run | None:
    """Return one run, or None."""
    row = db.execute("SELECT * FROM runs WHERE id = ?", (run_id,)).fetchone()
    return _run(row) if row else None


def require_run(db: apsw.Connection, run_id: int) -> Run:
    """Return one run.

    Raises:
        GlanError: If it does not exist.
    """
    if (found := run(db, run_id)) is None:
        raise GlanError(f"Run {run_id} does not exist.")
    return found


def owns_run(db: apsw.Connection, run_id: int, claim: str) -> bool:
    """Return whether the process with this claim still owns the run, which is neither lost nor ended nor taken over."""
    row = run(db, run_id)
    return row is not None and row.claim == claim and row.state == "running"


def runs(db: apsw.Connection, limit: int = 100) -> list[Run]:
    """Return the latest runs, newest first."""
    return [_run(row) for row in db.execute("SELECT * FROM runs ORDER BY id DESC LIMIT ?", (limit,))]


def latest_of_kind(db: apsw.Connection, kind: str) -> Run | None:
    """Return the latest run of a kind, or None."""
    row = db.execute("SELECT * FROM runs WHERE kind = ? ORDER BY id DESC LIMIT 1", (kind,)).fetchone()
    return _run(row) if row else None


def live_runs(db: apsw.Connection) -> list[Run]:
    """Return the queued and running runs, oldest first."""
    return [_run(row) for row in db.execute("SELECT * FROM runs WHERE state IN ('queued', 'running') ORDER BY id")]


def _run(row: tuple) -> Run:
    return from_row(Run, row, params=json.loads, plan=json_or_none, notices=_json_tuple, tags=_json_tuple, endpoints=_endpoints)


def _json_tuple(text: str) -> tuple[str, ...]:
    return tuple(json.loads(text))


def _endpoints(text: str) -> tuple[EndpointProgress, ...]:
    return tuple(EndpointProgress(**values) for values in json.loads(text))


def set_endpoints(db: apsw.Connection, run_id: int, endpoints: Iterable[EndpointProgress]) -> None:
    """Store what the endpoints of a run do."""
    update_run(db, run_id, endpoints=json.dumps([asdict(endpoint) for endpoint in endpoints]))


def update_run(db: apsw.Connection, run_id: int, **values: object) -> None:
    """Set columns of a run, such as `state='running'`."""
    columns = ", ".join(f"{name} = ?" for name in values)
    db.execute(f"UPDATE runs SET {columns} WHERE id = ?", (*values.values(), run_id))


def add_notice(db: apsw.Connection, run_id: int, sentence: str) -> None:
    """Add a sentence to the notices of a run, if it is not there yet."""
    update_run(db, run_id, notices=json.dumps(list(dict.fromkeys([*require_run(db, run_id).notices, sentence]))))


def ended_since(db: apsw.Connection, since: float, seconds: float, limit: int = 20) -> list[Run]:
    """Return the latest runs that ended after a time and lasted at least some seconds, newest first."""
    rows = db.execute(
        """SELECT * FROM runs WHERE finished_at > ? AND finished_at - started_at >= ? AND state NOT IN ('queued', 'running')
           ORDER BY finished_at DESC LIMIT ?""",
        (since, seconds, limit),
    )
    return [_run(row) for row in rows]


def label_run(db: apsw.Connection, run_id: int, title: str, tags: Iterable[str]) -> None:
    """Set the title and the tags of a run."""
    update_run(db, run_id, title=title, tags=json.dumps(list(tags)))


def set_params(db: apsw.Connection, run_id: int, params: dict) -> None:
    """Replace the settings of a run."""
    update_run(db, run_id, params=json.dumps(params))


def set_stage(db: apsw.Connection, run_id: int, progress: StageProgress) -> None:
    """Store the progress of one stage."""
    db.execute("INSERT OR REPLACE INTO run_stages VALUES (?, ?, ?, ?, ?)",
               (run_id, progress.stage, progress.planned, progress.done, progress.failed))  # fmt: skip


def stages(db: apsw.Connection, run_id: int) -> list[StageProgress]:
    """Return the progress of each stage of a run, in no particular order."""
    rows = db.execute("SELECT stage, planned, done, failed FROM run_stages WHERE run_id = ?", (run_id,))
    return [StageProgress(*row) for row in rows]


def add_sample(db: apsw.Connection, run_id: int, sample: Sample) -> None:
    """Store the totals of a run at one moment."""
    db.execute(
        "INSERT OR REPLACE INTO run_samples VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (run_id, *(getattr(sample, name) for name in Sample.__dataclass_fields__)),
    )


def last_sample(db: apsw.Connection, run_id: int) -> Sample | None:
    """Return the latest totals of a run, or None if it has not started."""
    row = db.execute("SELECT * FROM run_samples WHERE run_id = ? ORDER BY at DESC LIMIT 1", (run_id,)).fetchone()
    return Sample(*row[1:]) if row else None


def sample_since(db: apsw.Connection, run_id: int, at: float) -> Sample | None:
    """Return the first totals of a run at or after a time, or None."""
    row = db.execute("SELECT * FROM run_samples WHERE run_id = ? AND at >= ? ORDER BY at LIMIT 1", (run_id, at)).fetchone()
    return Sample(*row[1:]) if row else None


def active_seconds(db: apsw.Connection, run_id: int) -> float:
    """Return how long a run was active, in seconds; long gaps between samples are pauses and excluded."""
    return fetch_value(
        db,
        """SELECT coalesce(sum(gap), 0.0) FROM (SELECT at - lag(at) OVER (ORDER BY at) AS gap FROM run_samples
           WHERE run_id = ?) WHERE gap < ?""",
        (run_id, STALE_AFTER),
    )


def samples(db: apsw.Connection, run_id: int, most: int = 400) -> list[Sample]:
    """Return the samples of a run, oldest first, thinned evenly to about `most`; the newest is always included."""
    times = [at for (at,) in db.execute("SELECT at FROM run_samples WHERE run_id = ? ORDER BY at", (run_id,))]
    kept = times[:: -max(1, len(times) // most)]
    marks = ", ".join("?" * len(kept))
    rows = db.execute(f"SELECT * FROM run_samples WHERE run_id = ? AND at IN ({marks}) ORDER BY at", (run_id, *kept))
    return [Sample(*row[1:]) for row in rows]


Counters = dict[str, dict[str, float]]  # discipline id -> measure -> value


@dataclass(frozen=True, slots=True)
class RunCounters:
    """Counters of the disciplines of a run before and after it.

    Attributes:
        before: Counters before the run.
        after: Counters after the run, None while it is live.
    """

    before: Counters
    after: Counters | None


def record_counters_before(db: apsw.Connection, run_id: int, disciplines: Iterable[str]) -> None:
    """Store the counters of a run's disciplines when the run starts or resumes.

    Changes by others while the run was stopped are not attributed to it. Runs that were killed before they stored their final
    counters are closed.
    """
    for (other,) in fetch_all(
        db, "SELECT run_id FROM run_counters GROUP BY run_id HAVING max(moment) = 'before' AND run_id <> ?", (run_id,)
    ):
        record_counters_after(db, other)
    known = run_counters(db, run_id)
    if known is None:
        _put_counters(db, run_id, "before", _counters_of(db, disciplines))
    elif known.after is not None:
        own = counter_difference(known.before, known.after)
        _put_counters(db, run_id, "before", counter_difference(own, _counters_of(db, known.before)))
        db.execute("DELETE FROM run_counters WHERE run_id = ? AND moment = 'after'", (run_id,))


def record_counters_after(db: apsw.Connection, run_id: int) -> None:
    """Store the counters of a run's disciplines when the run ends."""
    if (known := run_counters(db, run_id)) is not None:
        _put_counters(db, run_id, "after", _counters_of(db, known.before))


def run_counters(db: apsw.Connection, run_id: int) -> RunCounters | None:
    """Return the counters of a run, or None if it never started or has no disciplines."""
    kept = dict(db.execute("SELECT moment, counters FROM run_counters WHERE run_id = ?", (run_id,)))
    after = kept.get("after")
    return RunCounters(json.loads(kept["before"]), after and json.loads(after)) if kept else None


def counter_difference(before: Counters, after: Counters) -> Counters:
    """Return the change of each discipline's counters; 'last_at' is a time and is left out."""
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
