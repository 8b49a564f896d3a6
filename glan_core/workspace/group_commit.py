"""Group commit: many small writes from one event loop share few transactions.

A write is acknowledged only after its transaction is on disk. Jobs run on the event loop, which takes microseconds each;
commits, and waiting for other writers, run in a thread. (Running the jobs in the thread as well was slower, because it
contends with the event loop for the interpreter lock.) While one batch commits the next one collects, so the batch size
adapts to the speed of the disk.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import apsw

from glan_core.workspace import call_rows
from glan_core.workspace.call_rows import Call
from glan_core.workspace.workspace import BUSY_MS, Workspace

GATHER_SECONDS = 0.002  # a transaction begins once no job came for so long; one transaction per job would double the CPU time
LONGEST_GATHER = 0.01  # seconds after which it begins although jobs are still coming
MAX_JOBS = 500

Job = Callable[[apsw.Connection], object]


@dataclass(slots=True)
class _Item:
    job: Job
    future: asyncio.Future
    call: Call | None


class GroupCommit:
    """Groups the writes of one event loop into transactions.

    A job is a function of the database. It may run a second time if another job of its batch fails and the batch is rolled back.
    """

    def __init__(self, ws: Workspace, *, timed: bool = True) -> None:
        """Open a connection.

        Args:
            ws: The workspace.
            timed: Whether the latencies of calls count (see `call_rows.add_calls`).
        """
        self._ws, self._db, self._timed = ws, ws.new_connection(), timed
        self._db.set_busy_timeout(0)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="commit")
        self._waiting: list[_Item] = []
        self._flusher: asyncio.Task | None = None

    async def store(self, job: Job, call: Call | None = None) -> object:
        """Run a job and return its result once its transaction is on disk.

        Args:
            job: The job.
            call: A call to be stored in the same transaction, together with the calls of other jobs.

        Raises:
            Exception: Whatever the job or the commit raises.
        """
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(_Item(job, future, call))
        if self._flusher is None or self._flusher.done():
            self._flusher = asyncio.create_task(self._flush())
        return await future

    async def _flush(self) -> None:
        while self._waiting:
            await self._gather()
            batch, self._waiting = self._waiting[:MAX_JOBS], self._waiting[MAX_JOBS:]
            try:
                await self._commit(batch)
            except Exception:
                for item in batch:
                    try:
                        await self._commit([item])
                    except Exception as error:
                        if not item.future.done():  # the caller may have been cancelled
                            item.future.set_exception(error)

    async def _gather(self) -> None:
        """Wait for further jobs, which share the cost of a transaction."""
        clock = asyncio.get_running_loop().time
        until, number = clock() + LONGEST_GATHER, 0
        while number < len(self._waiting) < MAX_JOBS and clock() < until:
            number = len(self._waiting)
            await asyncio.sleep(GATHER_SECONDS)

    async def _commit(self, batch: list[_Item]) -> None:
        loop = asyncio.get_running_loop()
        try:
            self._db.execute("BEGIN IMMEDIATE")
        except apsw.BusyError:  # another process is writing: wait for it in the thread
            await loop.run_in_executor(self._thread, self._begin_patiently)
        try:
            values = [item.job(self._db) for item in batch]
            if calls := [item.call for item in batch if item.call is not None]:
                call_rows.add_calls(self._db, calls, timed=self._timed)
            await loop.run_in_executor(self._thread, self._db.execute, "COMMIT")
        except BaseException as error:
            self._ws.roll_back(self._db, error)
            raise
        for item, value in zip(batch, values, strict=True):
            if not item.future.done():
                item.future.set_result(value)

    def _begin_patiently(self) -> None:
        self._db.set_busy_timeout(BUSY_MS)
        try:
            self._db.execute("BEGIN IMMEDIATE")
        finally:
            self._db.set_busy_timeout(0)

    async def close(self) -> None:
        """Commit the pending jobs and close the connection."""
        if self._flusher is not None:
            await self._flusher
        self._thread.shutdown(wait=True)
        self._db.close()
