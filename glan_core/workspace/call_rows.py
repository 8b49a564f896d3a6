"""Teacher calls, failures, prompts and counters."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import apsw

from glan_core.workspace.sql import fetch_all, fetch_one


class Call(NamedTuple):
    """One paid call to a teacher: a row of the table `calls`, whose columns have the names of the fields.

    Attributes:
        work_id: Id of the record that the call was for.
        cost_usd: Cost in USD, None if the price is unknown.
        temperature: Sampling temperature as sent, None if it was not sent; likewise `top_p` and `max_tokens`.
        tokens_out: Completion tokens, reasoning included.
        latency_ms: Latency in milliseconds.
        estimated: Whether the token counts are estimates.
        outcome: 'stored', or why no record was stored: a cause of `generation.failure_causes.CAUSES`, 'discarded', or 'lost' (the
            reply did not arrive; tokens and cost are upper bounds).
        reply: The reply without its reasoning, kept only if it differs from the stored text of the record.
        at: When the reply arrived, in seconds since 1970.
        tokens_reasoning: Completion tokens of the reasoning.
        reasoning: The reasoning, None if the run does not keep it.
        sent: Further parameters of the request as a JSON object, None if there were none.
        endpoint: Host of the endpoint that answered if several serve the model, None otherwise.
    """

    work_id: str
    run_id: int | None
    stage: str
    discipline_id: str | None
    teacher: str
    prompt_version: str
    prompt_sha: str
    temperature: float | None
    top_p: float | None
    max_tokens: int | None
    tokens_in: int
    tokens_out: int
    estimated: bool
    cost_usd: float | None
    latency_ms: int
    attempts: int
    outcome: str
    reply: str | None
    at: float
    tokens_reasoning: int = 0
    reasoning: str | None = None
    sent: str | None = None
    endpoint: str | None = None


COLUMNS = ", ".join(Call._fields)
_INSERT = f"INSERT INTO calls ({COLUMNS}) VALUES ({', '.join('?' * len(Call._fields))})"
_COUNT = "INSERT INTO counters VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET value = value + excluded.value"


def add_calls(db: apsw.Connection, calls: Sequence[Call], *, timed: bool = True) -> None:
    """Store calls and add them to the counters of their disciplines and the totals of their teachers.

    Args:
        db: Connection.
        calls: The calls.
        timed: Whether their latencies are those of the teachers; those of calls in a batch, which wait for others, do not count.
    """
    db.executemany(_INSERT, calls)
    totals: defaultdict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    counters: defaultdict[tuple[str, str], float] = defaultdict(int)
    latest: dict[str, float] = {}
    for call in calls:
        if call.outcome != "lost":  # their tokens and latency are unknown
            total = totals[call.teacher, call.stage]
            total[0] += 1
            total[1] += call.tokens_in
            total[2] += call.tokens_out
            total[3] += call.latency_ms if timed else 0
        if (discipline := call.discipline_id) is not None:
            counters[discipline, "calls"] += 1
            counters[discipline, "tokens_in"] += call.tokens_in
            counters[discipline, "tokens_out"] += call.tokens_out
            counters[discipline, "tokens_reasoning"] += call.tokens_reasoning
            counters[discipline, "cost_usd"] += call.cost_usd or 0
            counters[discipline, "unpriced"] += call.cost_usd is None
            latest[discipline] = max(call.at, latest.get(discipline, call.at))
    mean = "excluded.calls * latency_ms / calls"  # of calls without latencies of their own, so that the mean remains
    first = (
        "excluded.latency_ms * CASE WHEN latency_ms = 0 THEN calls + excluded.calls ELSE excluded.calls END / excluded.calls"
    )
    db.executemany(
        f"""INSERT INTO call_totals VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET calls = calls + excluded.calls,
            tokens_in = tokens_in + excluded.tokens_in, tokens_out = tokens_out + excluded.tokens_out,
            latency_ms = latency_ms + {first if timed else mean}""",
        [(*key, *total) for key, total in totals.items()],
    )
    db.executemany(_COUNT, [(*key, amount) for key, amount in counters.items() if amount])
    db.executemany(
        "INSERT INTO counters VALUES (?, 'last_at', ?) ON CONFLICT DO UPDATE SET value = max(value, excluded.value)",
        latest.items(),
    )


def count(db: apsw.Connection, node_id: str, **amounts: float) -> None:
    """Add amounts to the counters of a discipline; `coverage.MEASURES` lists their names."""
    db.executemany(_COUNT, [(node_id, measure, amount) for measure, amount in amounts.items() if amount])


def counters(db: apsw.Connection) -> dict[str, dict[str, float]]:
    """Return all counters as discipline id -> counter -> value; counters that are zero may be absent."""
    result: dict[str, dict[str, float]] = {}
    for node_id, measure, value in db.execute("SELECT node_id, measure, value FROM counters"):
        result.setdefault(node_id, {})[measure] = value
    return result


def calls_of(db: apsw.Connection, work_id: str) -> list[Call]:
    """Return the calls made for a record, oldest first."""
    rows = db.execute(f"SELECT {COLUMNS} FROM calls WHERE work_id = ? ORDER BY seq", (work_id,))
    return [Call(*row) for row in rows]


def kept_reasoning(db: apsw.Connection, work_id: str) -> str | None:
    """Return the reasoning of the call that wrote a record, None if it was not kept."""
    row = db.execute(
        "SELECT reasoning FROM calls WHERE work_id = ? AND outcome = 'stored' ORDER BY seq DESC LIMIT 1", (work_id,)
    ).fetchone()
    return row[0] if row else None


def stage_averages(db: apsw.Connection, teacher: str, *, prefix: bool = False) -> dict[str, tuple[float, float, float, int]]:
    """Return a teacher's averages per stage: mean prompt tokens, completion tokens, seconds, and the number of calls.

    Args:
        db: Connection.
        teacher: Name of the teacher, or with `prefix` the beginning of the names of several.
        prefix: Average over all teachers whose names begin so.
    """
    which = "substr(teacher, 1, length(?1)) = ?1" if prefix else "teacher = ?1"
    rows = db.execute(
        f"""SELECT stage, sum(tokens_in), sum(tokens_out), sum(latency_ms), sum(calls) FROM call_totals WHERE {which}
            GROUP BY stage HAVING sum(calls) > 0""",
        (teacher,),
    )
    return {stage: (t_in / n, t_out / n, ms / 1000 / n, n) for stage, t_in, t_out, ms, n in rows}


@dataclass(frozen=True, slots=True)
class CallTotal:
    """Totals of the calls of one stage to one teacher; `latency_ms` is their sum."""

    teacher: str
    stage: str
    calls: int
    tokens_in: int
    tokens_out: int
    latency_ms: int


def call_totals(db: apsw.Connection) -> list[CallTotal]:
    """Return the totals of all calls by teacher and stage, from counters."""
    return [
        CallTotal(*row)
        for row in db.execute("SELECT teacher, stage, calls, tokens_in, tokens_out, latency_ms FROM call_totals")
    ]


def run_cost(db: apsw.Connection, run_id: int) -> tuple[int, float]:
    """Return the number of calls of a run and their cost in USD."""
    calls, cost = fetch_one(db, "SELECT count(*), coalesce(sum(cost_usd), 0) FROM calls WHERE run_id = ?", (run_id,))
    return calls, cost


@dataclass(frozen=True, slots=True)
class StageCost:
    """Calls of a stage, the cost in USD of those with a known price, and the number of the others."""

    calls: int
    usd: float
    unpriced: int


def stage_costs(db: apsw.Connection) -> dict[str, StageCost]:
    """Return the cost of all calls by stage; reads every call, so call it only on request."""
    rows = fetch_all(
        db, "SELECT stage, count(*), coalesce(sum(cost_usd), 0.0), sum(cost_usd IS NULL) FROM calls GROUP BY stage"
    )
    return {stage: StageCost(calls, usd, unpriced) for stage, calls, usd, unpriced in rows}


def has_unpriced(db: apsw.Connection, run_id: int) -> bool:
    """Return whether the price of calls of a run is unknown, by its first and last 1,000 calls."""
    some = "SELECT cost_usd FROM calls WHERE run_id = ?1 ORDER BY seq {} LIMIT 1000"
    return bool(
        fetch_one(
            db,
            f"""SELECT EXISTS (SELECT 1 FROM ({some.format("ASC")}) WHERE cost_usd IS NULL)
                    OR EXISTS (SELECT 1 FROM ({some.format("DESC")}) WHERE cost_usd IS NULL)""",
            (run_id,),
        )[0]
    )


def stored_by_stage(db: apsw.Connection, run_id: int) -> dict[str, int]:
    """Return the number of records that a run stored, by stage."""
    return dict(
        db.execute("SELECT stage, count(*) FROM calls WHERE run_id = ? AND outcome = 'stored' GROUP BY stage", (run_id,))
    )


def add_prompt(db: apsw.Connection, version: str, name: str, text: str) -> None:
    """Store the text of a prompt version; known versions are left unchanged."""
    db.execute("INSERT OR IGNORE INTO prompts VALUES (?, ?, ?)", (version, name, text))


def prompt_text(db: apsw.Connection, version: str) -> tuple[str, str] | None:
    """Return the name and text of a prompt version, or None."""
    return db.execute("SELECT name, text FROM prompts WHERE version = ?", (version,)).fetchone()


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed task that can be retried.

    Attributes:
        work_id: Id of the record that could not be created.
        stage: Stage of the task.
        discipline_id: Discipline of the record.
        run_id: Run in which the task failed.
        cause: Call outcome, see `Call.outcome`.
        message: Error message.
        reply: The reply that was not stored as data.
        at: Time of the failure in seconds since 1970.
    """

    work_id: str
    stage: str
    discipline_id: str | None
    run_id: int | None
    cause: str
    message: str
    reply: str
    at: float


def add_failure(db: apsw.Connection, failure: Failure) -> None:
    """Record a failed task; a later success of the same task removes it."""
    f = failure
    known = db.execute("SELECT 1 FROM failures WHERE work_id = ? AND stage = ?", (f.work_id, f.stage)).fetchone()
    db.execute(
        "INSERT OR REPLACE INTO failures VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (f.work_id, f.stage, f.discipline_id, f.run_id, f.cause, f.message, f.reply, f.at),
    )
    if known is None and f.discipline_id:
        count(db, f.discipline_id, failures=1)


def clear_failure(db: apsw.Connection, work_id: str, stage: str, discipline_id: str | None) -> None:
    """Remove a task from the open failures."""
    db.execute("DELETE FROM failures WHERE work_id = ? AND stage = ?", (work_id, stage))
    if db.changes() and discipline_id:
        count(db, discipline_id, failures=-1)


def failures(db: apsw.Connection, run_id: int | None = None, limit: int = 200) -> list[Failure]:
    """Return open failures, newest first.

    Args:
        db: The workspace database.
        run_id: Only failures of this run.
        limit: Maximum number of failures.
    """
    rows = db.execute("SELECT * FROM failures WHERE ?1 IS NULL OR run_id = ?1 ORDER BY at DESC LIMIT ?2", (run_id, limit))
    return [Failure(*row) for row in rows]


def failed_tasks(db: apsw.Connection, run_id: int) -> set[tuple[str, str]]:
    """Return (stage, record id) of the open failures of a run."""
    return set(fetch_all(db, "SELECT stage, work_id FROM failures WHERE run_id = ?", (run_id,)))


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """The open failures of one stage with one cause, with the message and the reply of the latest."""

    stage: str
    cause: str
    count: int
    message: str
    reply: str


def failure_groups(db: apsw.Connection, run_id: int | None = None) -> list[FailureGroup]:
    """Return the open failures by stage and cause, most frequent first."""
    rows = fetch_all(
        db,  # SQLite takes the bare columns from the row with the largest time
        """SELECT stage, cause, count(*) AS number, message, reply, max(at) FROM failures WHERE ?1 IS NULL OR run_id = ?1
           GROUP BY stage, cause ORDER BY number DESC""",
        (run_id,),
    )
    return [FailureGroup(*row[:5]) for row in rows]
