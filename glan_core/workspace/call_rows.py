"""Calls, failures, prompts and counters: what was asked, what it cost, and what came of it."""

from dataclasses import dataclass

import apsw


@dataclass(frozen=True, slots=True)
class Call:
    """One paid call. `outcome` is 'stored', or why nothing came of it: 'malformed', 'not self-contained', 'cut', 'empty',
    'reasoning only', 'refused', 'discarded', or 'lost': the reply was written but did not arrive, so tokens and cost are the most it may be.

    `work_id` is the id of the record that the call was for; `cost_usd` is None where the price is not known; `reply` is
    kept where it is not word for word the text of that record; `at` is when the reply arrived (seconds since 1970).
    """

    work_id: str
    run_id: int | None
    stage: str
    discipline_id: str | None
    teacher: str
    prompt_version: str
    prompt_sha: str
    temperature: float
    top_p: float
    max_tokens: int
    tokens_in: int
    tokens_out: int
    estimated: bool
    cost_usd: float | None
    latency_ms: int
    attempts: int
    outcome: str
    reply: str | None
    at: float


COLUMNS = ", ".join(Call.__dataclass_fields__)
_FIELDS = tuple(Call.__dataclass_fields__)
_INSERT = f"INSERT INTO calls ({COLUMNS}) VALUES ({', '.join('?' * len(_FIELDS))})"


def add_call(db: apsw.Connection, call: Call) -> None:
    """Record a call and add it to its discipline's counters and its teacher's totals."""
    db.execute(_INSERT, tuple(getattr(call, name) for name in _FIELDS))
    if call.outcome != "lost":  # nobody knows what those were like
        db.execute(
            """INSERT INTO call_totals VALUES (?, ?, 1, ?, ?, ?) ON CONFLICT DO UPDATE SET calls = calls + 1,
               tokens_in = tokens_in + excluded.tokens_in, tokens_out = tokens_out + excluded.tokens_out,
               latency_ms = latency_ms + excluded.latency_ms""",
            (call.teacher, call.stage, call.tokens_in, call.tokens_out, call.latency_ms),
        )
    if call.discipline_id is not None:
        count(
            db, call.discipline_id, calls=1, tokens_in=call.tokens_in, tokens_out=call.tokens_out, cost_usd=call.cost_usd or 0
        )
        db.execute(
            "INSERT INTO counters VALUES (?, 'last_at', ?) ON CONFLICT DO UPDATE SET value = max(value, excluded.value)",
            (call.discipline_id, call.at),
        )


def count(db: apsw.Connection, node_id: str, **amounts: float) -> None:
    """Add to the counters of a discipline; `coverage.MEASURES` names them."""
    db.executemany(
        "INSERT INTO counters VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET value = value + excluded.value",
        [(node_id, measure, amount) for measure, amount in amounts.items() if amount],
    )


def counters(db: apsw.Connection) -> dict[str, dict[str, float]]:
    """All counters: discipline id -> measure -> value. Measures that never counted are absent."""
    result: dict[str, dict[str, float]] = {}
    for node_id, measure, value in db.execute("SELECT node_id, measure, value FROM counters"):
        result.setdefault(node_id, {})[measure] = value
    return result


def calls_of(db: apsw.Connection, work_id: str) -> list[Call]:
    """Every call made for a record, oldest first."""
    rows = db.execute(f"SELECT {COLUMNS} FROM calls WHERE work_id = ? ORDER BY seq", (work_id,))
    return [Call(*row) for row in rows]


def stage_averages(db: apsw.Connection, teacher: str) -> dict[str, tuple[float, float, float, int]]:
    """What a teacher's calls are like, by stage: mean tokens in, tokens out, seconds, and of how many calls."""
    rows = db.execute("SELECT stage, tokens_in, tokens_out, latency_ms, calls FROM call_totals WHERE teacher = ?", (teacher,))
    return {stage: (t_in / n, t_out / n, ms / 1000 / n, n) for stage, t_in, t_out, ms, n in rows}


def spent(db: apsw.Connection, run_id: int) -> tuple[int, float]:
    """What a run has paid for so far: how many calls, how many dollars."""
    return db.execute("SELECT count(*), coalesce(sum(cost_usd), 0) FROM calls WHERE run_id = ?", (run_id,)).fetchone()


def stored_by_stage(db: apsw.Connection, run_id: int) -> dict[str, int]:
    """How many pieces of work a run has stored, by stage."""
    return dict(
        db.execute("SELECT stage, count(*) FROM calls WHERE run_id = ? AND outcome = 'stored' GROUP BY stage", (run_id,))
    )


def keep_prompt(db: apsw.Connection, version: str, name: str, text: str) -> None:
    """Keep the wording of a prompt beside the rows that were made with it."""
    db.execute("INSERT OR IGNORE INTO prompts VALUES (?, ?, ?)", (version, name, text))


def prompt_text(db: apsw.Connection, version: str) -> tuple[str, str] | None:
    """Name and wording of a prompt version, or None."""
    return db.execute("SELECT name, text FROM prompts WHERE version = ?", (version,)).fetchone()


def add_failure(
    db: apsw.Connection, work_id: str, stage: str, discipline_id: str | None, run_id: int | None,
    cause: str, message: str, reply: str, at: float,
) -> None:  # fmt: skip
    """List a piece of work that could not be done; a later success of the same work takes it off the list."""
    known = db.execute("SELECT 1 FROM failures WHERE work_id = ? AND stage = ?", (work_id, stage)).fetchone()
    db.execute(
        "INSERT OR REPLACE INTO failures VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (work_id, stage, discipline_id, run_id, cause, message, reply, at),
    )
    if known is None and discipline_id:
        count(db, discipline_id, failures=1)


def clear_failure(db: apsw.Connection, work_id: str, stage: str, discipline_id: str | None) -> None:
    """Take a piece of work off the list of failures."""
    db.execute("DELETE FROM failures WHERE work_id = ? AND stage = ?", (work_id, stage))
    if db.changes() and discipline_id:
        count(db, discipline_id, failures=-1)


@dataclass(frozen=True, slots=True)
class Failure:
    """A piece of work that awaits another try: at which stage, why it failed, and the reply that was not kept as data."""

    work_id: str
    stage: str
    discipline_id: str | None
    run_id: int | None
    cause: str
    message: str
    reply: str
    at: float


def failures(db: apsw.Connection, run_id: int | None = None, limit: int = 200) -> list[Failure]:
    """The open failures, newest first; of one run where `run_id` is given."""
    rows = db.execute("SELECT * FROM failures WHERE ?1 IS NULL OR run_id = ?1 ORDER BY at DESC LIMIT ?2", (run_id, limit))
    return [Failure(*row) for row in rows]


def failure_causes(db: apsw.Connection, run_id: int | None = None) -> list[tuple[str, str, int]]:
    """Open failures grouped: (stage, cause, how many), most first."""
    return db.execute(
        """SELECT stage, cause, count(*) AS number FROM failures WHERE ?1 IS NULL OR run_id = ?1
           GROUP BY stage, cause ORDER BY number DESC""",
        (run_id,),
    ).fetchall()
