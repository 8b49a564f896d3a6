"""Writing of request files: tasks are collected by teacher, because a batch has one model, and stored with their file."""

from collections.abc import Callable
from pathlib import Path

import apsw

from glan_core.generation import batch_files
from glan_core.generation.batch_files import RequestFile
from glan_core.generation.batch_steps import BatchRun, OpenBatch
from glan_core.generation.protocols import Work, fingerprint
from glan_core.prompts import Prompt
from glan_core.teachers.http_teacher import HttpTeacher
from glan_core.workspace import batch_rows, call_rows
from glan_core.workspace.batch_rows import Batch, BatchRequest


class BatchWriter:
    """Writes tasks to request files, of which one per teacher is unfinished at a time.

    Args:
        run: The run.
        written: Called with each batch whose file is complete.

    Attributes:
        most_requests: Maximum number of requests of a file.
    """

    def __init__(self, run: BatchRun, written: Callable[[OpenBatch], None]) -> None:
        self._run, self._written = run, written
        self._drafts: dict[int, _Draft] = {}
        self.most_requests = batch_files.MAX_REQUESTS

    def __len__(self) -> int:
        """Number of unfinished files."""
        return len(self._drafts)

    async def add(self, work: Work, worst: float, *, may_open: Callable[[], bool]) -> bool:
        """Add a task; return False if it needs a further file and none may be opened.

        Args:
            work: The task.
            worst: Its maximum price, which is reserved.
            may_open: Whether a further file may be opened.
        """
        model = self._run.models[work.stage]
        teacher = model.teacher
        assert isinstance(teacher, HttpTeacher)
        while True:
            draft = self._drafts.get(id(teacher))
            if draft is None:
                if not may_open():
                    return False
                draft = self._drafts[id(teacher)] = await self._open(teacher)
            if draft.add(work, teacher.body(work.messages, model.decoding), worst):
                return True
            await self._finish(self._drafts.pop(id(teacher)))  # it is full; an empty one takes any request

    async def finish(self) -> None:
        """Complete all files."""
        while self._drafts:
            await self._finish(self._drafts.pop(next(iter(self._drafts))))

    def discard(self) -> None:
        """Delete the unfinished files, after an error."""
        for draft in self._drafts.values():
            draft.file.discard()
        self._drafts.clear()

    async def _open(self, teacher: HttpTeacher) -> "_Draft":
        run, now = self._run, self._run.clock.now()
        batch = await run.commits.store(lambda db: batch_rows.add_batch(db, run.id, teacher.name, teacher.url, now))
        assert isinstance(batch, int)
        path = batch_files.request_path(run.ws.folder, run.id, batch)
        return _Draft(batch, teacher, RequestFile(path, self.most_requests), run.ws.folder)

    async def _finish(self, draft: "_Draft") -> None:
        """Put a request file in its place and store its requests."""
        file_hash = draft.file.finish()
        values = {"step": "written", "file": draft.name, "file_hash": file_hash, "requests": draft.file.count}

        def job(db: apsw.Connection) -> Batch:
            for used in draft.prompts.values():
                call_rows.add_prompt(db, used.version, used.name, used.text)
            batch_rows.add_requests(db, draft.requests.values())
            batch_rows.update_batch(db, draft.batch, **values)
            row = batch_rows.batch(db, draft.batch)
            assert row is not None
            return row

        row = await self._run.commits.store(job)
        assert isinstance(row, Batch)
        for work in draft.works.values():
            work.messages = []  # they are in the file
        self._written(OpenBatch(row, draft.teacher, draft.requests, draft.works))


class _Draft:
    """A batch that is being written."""

    def __init__(self, batch: int, teacher: HttpTeacher, file: RequestFile, folder: Path) -> None:
        self.batch, self.teacher, self.file = batch, teacher, file
        self.name = file.path.relative_to(folder).as_posix()
        self.requests: dict[str, BatchRequest] = {}
        self.works: dict[str, Work] = {}
        self.prompts: dict[str, Prompt] = {}

    def add(self, work: Work, body: dict, worst: float) -> bool:
        """Add a task; return False if the file is full."""
        sha = fingerprint(work.messages)
        custom_id = f"{self.batch}-{work.stage}-{work.id}-{sha[:8]}"
        if not self.file.add(custom_id, body):
            return False
        work.attempts += 1
        self.prompts[work.prompt.version] = work.prompt
        self.works[custom_id] = work
        self.requests[custom_id] = BatchRequest(
            self.batch, custom_id, work.stage, work.id, work.discipline_id, work.prompt.version, sha, work.repairs,
            work.failed_tries, work.faults, worst,
        )  # fmt: skip
        return True
