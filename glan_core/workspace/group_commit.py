"""Group commit: many small writes from one event loop, few transactions, nobody told 'stored' before it is.

Jobs run on the event loop, which costs microseconds each; the fsync of the commit, and waiting for another process that
writes, happen in a thread. (Running the jobs in the thread too was slower: it then fights the loop for the interpreter
at every statement.) While one batch commits the next gathers, so the batch size follows the speed of the disk.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import apsw

from glan_core.workspace.workspace import BUSY_MS, Workspace

GATHER_SECONDS = 0.002  # a reply takes a hundred times as long; a transaction for each one would cost its CPU twice
MOST_JOBS = 500

Job = Callable[[apsw.Connection], object]


class GroupCommit:
    """The write end of a workspace for one event loop. The jobs of a batch share a transaction; each is a function of
    the database that may run a second time, when another job of its batch failed and the batch was rolled back."""

    def __init__(self, ws: Workspace) -> None:
        self._ws, self._db = ws, ws.another_connection()
        self._db.set_busy_timeout(0)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="commit")
        self._waiting: list[tuple[Job, asyncio.Future]] = []
        self._flusher: asyncio.Task | None = None

    async def store(self, job: Job) -> object:
        """Run a job; returns what it returned, once its transaction is on the disk. Raises what it, or the commit, raised."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((job, future))
        if self._flusher is None or self._flusher.done():
            self._flusher = asyncio.create_task(self._flush())
        return await future

    async def _flush(self) -> None:
        while self._waiting:
            await asyncio.sleep(GATHER_SECONDS)
            batch, self._waiting = self._waiting[:MOST_JOBS], self._waiting[MOST_JOBS:]
            try:
                await self._commit(batch)
            except Exception:
                for item in batch:
                    try:
                        await self._commit([item])
                    except Exception as error:
                        if not item[1].done():  # its caller may have been cancelled
                            item[1].set_exception(error)

    async def _commit(self, batch: list[tuple[Job, asyncio.Future]]) -> None:
        loop = asyncio.get_running_loop()
        try:
            self._db.execute("BEGIN IMMEDIATE")
        except apsw.BusyError:  # another process is writing: wait for it, but not on the event loop
            await loop.run_in_executor(self._thread, self._begin_patiently)
        try:
            values = [job(self._db) for job, _ in batch]
            await loop.run_in_executor(self._thread, self._db.execute, "COMMIT")
        except BaseException as error:
            self._ws.roll_back(self._db, error)
            raise
        for (_, future), value in zip(batch, values, strict=True):
            if not future.done():
                future.set_result(value)

    def _begin_patiently(self) -> None:
        self._db.set_busy_timeout(BUSY_MS)
        try:
            self._db.execute("BEGIN IMMEDIATE")
        finally:
            self._db.set_busy_timeout(0)

    async def close(self) -> None:
        """Wait for what is waiting, then close the connection."""
        if self._flusher is not None:
            await self._flusher
        self._thread.shutdown(wait=True)
        self._db.close()
