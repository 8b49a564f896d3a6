"""Batches of requests and the task of each request, for the Batch API and for offline engines."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

import apsw

from glan_core.errors import GlanError
from glan_core.workspace.sql import fetch_all, fetch_value

STEPS = ("planned", "written", "uploading", "uploaded", "creating", "submitted", "fetched", "ended")
UNSENT = ("planned", "written", "uploading", "uploaded")  # no batch can exist at the endpoint yet


@dataclass(frozen=True, slots=True)
class Batch:
    """One request file of a run.

    Attributes:
        teacher: Name of the teacher.
        url: URL of its endpoint.
        step: One of `STEPS`. A step that ends in 'ing' was begun, and whether the endpoint completed it may be unknown.
        requests: Number of requests.
        file: Path of the request file, relative to the workspace.
        file_hash: SHA-256 of the request file.
        input_file_id: Id of the uploaded file at the endpoint.
        remote_id: Id of the batch at the endpoint.
        status: Status that the endpoint reported last.
        completed: Completed requests by the endpoint's count, and `failed` those that failed.
        output_file_id: Id of the file of replies at the endpoint.
        error_file_id: Id of the file of errors at the endpoint.
        message: What the endpoint said about the batch as a whole.
        adaptations: What the teacher learned about the endpoint from the results, as a JSON object.
        created_at: Time in seconds since 1970, as are the other times.
    """

    id: int
    run_id: int
    teacher: str
    url: str
    step: str
    requests: int = 0
    file: str = ""
    file_hash: str = ""
    input_file_id: str | None = None
    remote_id: str | None = None
    status: str = ""
    completed: int = 0
    failed: int = 0
    output_file_id: str | None = None
    error_file_id: str | None = None
    message: str = ""
    adaptations: str = "{}"
    created_at: float = 0.0
    submitted_at: float | None = None
    ended_at: float | None = None

    @property
    def state(self) -> str:
        """What people are shown: the endpoint's status, or the step before there is one."""
        return "ended" if self.step == "ended" and not self.status else self.status or self.step


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """One request of a batch and the task that it is for.

    Attributes:
        custom_id: Id by which the reply is attached.
        work_id: Id of the record that the request creates.
        prompt_version: Version of the prompt.
        prompt_sha: Hash of the chat as sent.
        repairs: Repair turns in the chat.
        failed_tries: Replies to the task that could not be used.
        faults: Batches in which the request was not processed.
        worst_usd: Maximum price, which is reserved from the budget.
    """

    batch: int
    custom_id: str
    stage: str
    work_id: str
    discipline_id: str | None
    prompt_version: str
    prompt_sha: str
    repairs: int
    failed_tries: int
    faults: int
    worst_usd: float


_BATCH = ", ".join(field.name for field in fields(Batch))
_REQUEST = ", ".join(field.name for field in fields(BatchRequest))


def add_batch(db: apsw.Connection, run_id: int, teacher: str, url: str, at: float) -> int:
    """Store a batch in step 'planned'; return its id."""
    db.execute(
        "INSERT INTO batches (run_id, teacher, url, step, created_at) VALUES (?, ?, ?, 'planned', ?)",
        (run_id, teacher, url, at),
    )
    return db.last_insert_rowid()


def remove_batch(db: apsw.Connection, batch: int) -> None:
    """Delete a batch that was not submitted."""
    db.execute("DELETE FROM batch_requests WHERE batch = ?", (batch,))
    db.execute("DELETE FROM batches WHERE id = ?", (batch,))


def add_requests(db: apsw.Connection, requests: Iterable[BatchRequest]) -> None:
    """Store the requests of a batch."""
    names = [field.name for field in fields(BatchRequest)]
    db.executemany(
        f"INSERT INTO batch_requests ({_REQUEST}) VALUES ({', '.join('?' * len(names))})",
        [tuple(getattr(request, name) for name in names) for request in requests],
    )


def update_batch(db: apsw.Connection, batch: int, **values: object) -> None:
    """Set columns of a batch, such as `step='uploaded'`."""
    columns = ", ".join(f"{name} = ?" for name in values)
    db.execute(f"UPDATE batches SET {columns} WHERE id = ?", (*values.values(), batch))


def batch(db: apsw.Connection, batch_id: int) -> Batch | None:
    """Return one batch, or None."""
    row = db.execute(f"SELECT {_BATCH} FROM batches WHERE id = ?", (batch_id,)).fetchone()
    return Batch(*row) if row else None


def batches(db: apsw.Connection, run_id: int) -> list[Batch]:
    """Return the batches of a run, oldest first."""
    return [Batch(*row) for row in fetch_all(db, f"SELECT {_BATCH} FROM batches WHERE run_id = ? ORDER BY id", (run_id,))]


def open_batches(db: apsw.Connection, run_id: int) -> list[Batch]:
    """Return the batches of a run that have not ended, oldest first."""
    return [batch for batch in batches(db, run_id) if batch.step != "ended"]


def open_requests(db: apsw.Connection, batch_id: int) -> list[BatchRequest]:
    """Return the requests of a batch whose reply is not stored and that were not returned to the run."""
    rows = fetch_all(
        db, f"SELECT {_REQUEST} FROM batch_requests WHERE batch = ? AND outcome IS NULL ORDER BY custom_id", (batch_id,)
    )
    return [BatchRequest(*row) for row in rows]


def close_request(db: apsw.Connection, batch_id: int, custom_id: str) -> None:
    """Record that the reply or failure of a request is stored."""
    db.execute("UPDATE batch_requests SET outcome = 'answered' WHERE batch = ? AND custom_id = ?", (batch_id, custom_id))


def end_batch(db: apsw.Connection, batch_id: int, at: float, adaptations: str = "{}") -> int:
    """End a batch and return its open requests to the run; return their number."""
    db.execute("UPDATE batch_requests SET outcome = 'returned' WHERE batch = ? AND outcome IS NULL", (batch_id,))
    returned = db.changes()
    update_batch(db, batch_id, step="ended", ended_at=at, adaptations=adaptations)
    return returned


def latest_adaptations(db: apsw.Connection, teacher: str, url: str) -> str:
    """Return what the latest batch of a teacher and endpoint taught, '{}' if there is none."""
    row = db.execute(
        "SELECT adaptations FROM batches WHERE teacher = ? AND url = ? AND adaptations != '{}' ORDER BY id DESC LIMIT 1",
        (teacher, url),
    ).fetchone()
    return row[0] if row else "{}"


def discard_unsent(db: apsw.Connection, run_id: int, at: float) -> None:
    """End the batches of a cancelled run; nothing of them was sent.

    Raises:
        GlanError: If a batch is at an endpoint, where it must be cancelled as well.
    """
    waiting = open_batches(db, run_id)
    if sent := [batch for batch in waiting if batch.step not in UNSENT]:
        raise GlanError(
            f"Run {run_id} has {len(sent)} open batches at {sent[0].url}, which go on without it. Resume the run, then cancel it, so "
            "that they are cancelled too and finished replies are stored."
        )
    for batch in waiting:
        end_batch(db, batch.id, at)


def run_with_open_requests(db: apsw.Connection, run_id: int, disciplines: Sequence[str]) -> int | None:
    """Return another run with requests in open batches about one of these disciplines, None if there is none."""
    for (other,) in fetch_all(db, "SELECT DISTINCT run_id FROM batches WHERE step != 'ended' AND run_id != ?", (run_id,)):
        for batch in open_batches(db, other):
            found = fetch_all(
                db, "SELECT DISTINCT discipline_id FROM batch_requests WHERE batch = ? AND outcome IS NULL", (batch.id,)
            )
            if {id for (id,) in found} & set(disciplines):
                return other
    return None


def count_answered(db: apsw.Connection, batch_id: int) -> int:
    """Return the number of requests of a batch of which the outcome is stored."""
    return fetch_value(db, "SELECT count(*) FROM batch_requests WHERE batch = ? AND outcome = 'answered'", (batch_id,))
