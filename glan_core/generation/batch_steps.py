"""The steps of one batch at an endpoint: upload, creation, polling, download and cancellation.

Each step that changes something at the endpoint is stored before and after it. A process that finds a step begun looks at the endpoint
for its effect before it repeats it, so that no file of requests is submitted twice.
"""

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from glan_core.generation import batch_files
from glan_core.generation.call_records import StageModel
from glan_core.generation.protocols import Work, WorkQueue
from glan_core.generation.rate_limits import Budget
from glan_core.teachers.batch_client import BatchClient, BatchUnknown, RemoteBatch
from glan_core.teachers.batch_format import read_result
from glan_core.teachers.contract import TeacherFault, TeacherRefusal
from glan_core.teachers.http_teacher import HttpTeacher
from glan_core.workspace import Workspace, batch_rows
from glan_core.workspace.batch_rows import UNSENT, Batch, BatchRequest
from glan_core.workspace.group_commit import GroupCommit

MAX_INCOMPLETE = 4  # downloads of a file that has fewer replies than the endpoint counted


class Clock:
    """Time of the engine; tests replace it."""

    def now(self) -> float:
        """Return the time in seconds since 1970."""
        return time.time()

    def steady(self) -> float:
        """Return a time that never goes back, in seconds."""
        return time.monotonic()

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        """Wait for an event, or at most this many seconds."""
        with suppress(TimeoutError):
            await asyncio.wait_for(event.wait(), seconds)


@dataclass(frozen=True, slots=True)
class BatchRun:
    """A run in batches: its workspace, id, work queue, models by stage, group commits, budget and time."""

    ws: Workspace
    id: int
    queue: WorkQueue
    models: Mapping[str, StageModel]
    commits: GroupCommit
    budget: Budget
    clock: Clock = field(default_factory=Clock)


@dataclass(slots=True)
class OpenBatch:
    """A batch that has not ended.

    Attributes:
        row: What is stored about it.
        teacher: The teacher of its requests.
        requests: Its open requests by custom id.
        works: Their tasks, as far as the work queue has produced them; without messages, which are in the request file.
        due: When its next step is due, by the steady clock.
        wait: Latest interval between two polls, in seconds.
        faults: Failed attempts of the present step in a row.
        problem: Message of the latest of them.
    """

    row: Batch
    teacher: HttpTeacher
    requests: dict[str, BatchRequest]
    works: dict[str, Work] = field(default_factory=dict)
    due: float = 0.0
    wait: float = 0.0
    faults: int = 0
    problem: str = ""


class BatchRejected(Exception):
    """The endpoint refuses a batch as a whole; none of its requests was processed.

    Attributes:
        code: Code of its first error.
    """

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class BatchSteps:
    """Steps of the batches of a run.

    Args:
        run: The run.
        step_done: Called after each request to the endpoint and each stored step; tests end the process there.
    """

    def __init__(self, run: BatchRun, step_done: Callable[[str], None] = lambda _: None) -> None:
        self._ws, self._commits, self._clock, self._step_done = run.ws, run.commits, run.clock, step_done

    def path(self, batch: OpenBatch) -> Path:
        """Return the path of the request file."""
        return self._ws.folder / batch.row.file

    async def store(self, batch: OpenBatch, **values: object) -> None:
        """Set columns of a batch durably."""
        await self._commits.store(lambda db: batch_rows.update_batch(db, batch.row.id, **values))
        batch.row = replace(batch.row, **values)  # type: ignore[arg-type]
        self._step_done("stored")

    async def advance(self, batch: OpenBatch) -> bool:
        """Take the next step of a batch; return whether another one may follow at once.

        Raises:
            BatchRejected: If the endpoint refuses the batch.
            Exception: As methods of `BatchClient` do.
        """
        client = BatchClient(batch.teacher)
        match batch.row.step:
            case "written" | "uploading":
                await self._upload(client, batch)
                return True
            case "uploaded" | "creating":
                await self._create(client, batch)
                return False
            case "submitted":
                return await self._poll(client, batch)
        return False

    async def _upload(self, client: BatchClient, batch: OpenBatch) -> None:
        path = self.path(batch)
        batch_files.check_unchanged(path, batch.row.file_hash)
        begun, file_id = batch.row.step == "uploading", None
        if begun:
            file_id = await client.find_file(self._upload_name(batch), path.stat().st_size)
        if file_id is None:
            if not begun:
                await self.store(batch, step="uploading")
            file_id = await client.upload(path, self._upload_name(batch))
            self._step_done("uploaded")
        await self.store(batch, step="uploaded", input_file_id=file_id)

    def _upload_name(self, batch: OpenBatch) -> str:
        """Return the name of the request file at the endpoint, which no other request file has."""
        workspace = str(self._ws.metadata("id") or "")[:8]
        return f"glan-{workspace}-{batch.row.id}-{batch.row.file_hash[:16]}.jsonl"

    async def _create(self, client: BatchClient, batch: OpenBatch) -> None:
        remote = await self.find_created(client, batch)
        if remote is None:
            if batch.row.step != "creating":
                await self.store(batch, step="creating")
            metadata = {
                "application": "glan-studio", "run": str(batch.row.run_id), "batch": str(batch.row.id),
                "file_sha256": batch.row.file_hash,
            }  # fmt: skip
            remote = await client.create(str(batch.row.input_file_id), metadata)
            self._step_done("created")
        await self.store(
            batch, step="submitted", remote_id=remote.id, status=remote.status, submitted_at=self._clock.now()
        )  # fmt: skip

    async def find_created(self, client: BatchClient, batch: OpenBatch) -> RemoteBatch | None:
        """Return the batch at the endpoint if its creation was begun and had succeeded, else None."""
        return await client.find(str(batch.row.input_file_id)) if batch.row.step == "creating" else None

    async def _poll(self, client: BatchClient, batch: OpenBatch) -> bool:
        remote = await client.get(str(batch.row.remote_id))
        self._step_done("polled")
        seen = {
            "status": remote.status, "completed": remote.completed, "failed": remote.failed, "message": remote.message,
            "output_file_id": remote.output_file_id, "error_file_id": remote.error_file_id,
        }  # fmt: skip
        if any(getattr(batch.row, name) != value for name, value in seen.items()):
            await self.store(batch, **seen)
        if not remote.ended:
            return False
        if remote.status == "failed" and not (remote.output_file_id or remote.error_file_id):
            raise BatchRejected(remote.message or "It gave no reason.", remote.code)
        if remote.completed and not remote.output_file_id:
            raise TeacherFault(f"{batch.teacher.url} names no file of the {remote.completed:,} completed replies.")
        await self._fetch(client, batch)
        return True

    async def _fetch(self, client: BatchClient, batch: OpenBatch) -> None:
        """Download the results; the step is complete when both files are in their place."""
        files = zip(
            (batch.row.output_file_id, batch.row.error_file_id), batch_files.result_paths(self.path(batch)), strict=True
        )
        for file_id, path in files:
            if file_id is None or path.exists():
                continue
            new = path.with_name(f".{path.name}{batch_files.UNFINISHED}{os.getpid()}")
            try:
                await client.download(file_id, new)
                self._check_complete(batch, file_id, new)
                os.replace(new, path)
            finally:
                new.unlink(missing_ok=True)
            self._step_done("fetched")
        await self.store(batch, step="fetched")

    @staticmethod
    def _check_complete(batch: OpenBatch, file_id: str, path: Path) -> None:
        """Check that a file of replies has as many lines as the endpoint counted; after some attempts its count is not believed.

        Raises:
            TeacherFault: If it has fewer, such as a file that was truncated on its way.
        """
        if file_id == batch.row.output_file_id and batch.faults < MAX_INCOMPLETE:
            with path.open("rb") as file:
                found = sum(
                    line.endswith(b"\n") or read_result(line) is not None for _, line in batch_files.lines(file) if line.strip()
                )
            if found < batch.row.completed:
                raise TeacherFault(
                    f"{batch.teacher.url} sent {found:,} of {batch.row.completed:,} replies of batch {batch.row.id}."
                )

    async def cancel(self, batch: OpenBatch) -> bool:
        """Ask the endpoint to cancel a batch; return False if there is nothing to wait for."""
        client = BatchClient(batch.teacher)
        if batch.row.step in UNSENT:
            return False
        if batch.row.step == "creating":
            remote = await self.find_created(client, batch)
            if remote is None:
                return False
            await self.store(
                batch, step="submitted", remote_id=remote.id, status=remote.status, submitted_at=self._clock.now()
            )  # fmt: skip
        if batch.row.step == "submitted":
            try:
                await client.cancel(str(batch.row.remote_id))
            except BatchUnknown:
                return False
            except TeacherRefusal:
                pass  # it ended in the meantime
        return True
