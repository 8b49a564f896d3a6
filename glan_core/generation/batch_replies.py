"""Results of a batch: each reply is attached to its task by custom id, whatever the order of the lines.

A request is closed in the transaction that stores its reply or failure, so that results can be read again after a kill.
"""

import asyncio
import json
from collections.abc import Callable, Mapping

import apsw

from glan_core.formatting import plural
from glan_core.generation import batch_files
from glan_core.generation.batch_files import RequestIndex
from glan_core.generation.batch_steps import BatchRun, OpenBatch
from glan_core.generation.call_records import ReceivedReply, storable_reply
from glan_core.generation.call_store import CallStore
from glan_core.generation.protocols import Work
from glan_core.generation.reply_storage import ReplyStorage, lost_price, settle_reply
from glan_core.prompts import Prompt
from glan_core.teachers.batch_format import ResultLine
from glan_core.teachers.contract import (
    Reply,
    TeacherBusy,
    TeacherError,
    TeacherFault,
    TeacherRefusal,
    UnusableReply,
)
from glan_core.workspace import batch_rows, call_rows
from glan_core.workspace.batch_rows import BatchRequest

MAX_ROUNDS = 5  # batches in which a request may go without a reply before its task fails
CHUNK, CHUNK_BYTES = 256, 1 << 26  # results that are stored concurrently, and their size as JSON


class BatchReplies:
    """Attaches the results of batches.

    Attributes:
        storage: Storage of replies, with the totals of the run and the tasks to be sent again.
        notices: What is to be told about the results, in sentences.
    """

    def __init__(
        self, run: BatchRun, *, keep_reasoning: bool, stop: Callable[[str], None], fail: Callable[[Exception], None]
    ) -> None:
        self._ws, self._queue, self._models, self._commits = run.ws, run.queue, run.models, run.commits
        self._budget, self._clock = run.budget, run.clock
        self._calls = CallStore(run.commits, run.id, keep_reasoning=keep_reasoning, close=self._close)
        self.storage = ReplyStorage(run.queue, run.models, self._calls)
        self.notices: list[str] = []
        self._stop, self._fail = stop, fail
        self._sent: dict[int, tuple[int, str]] = {}  # batch and custom id of the tasks that are being stored

    def _close(self, db: apsw.Connection, work: Work) -> None:
        """Close the request of a task, within the transaction that stores its reply or failure."""
        if (sent := self._sent.get(id(work))) is not None:
            batch_rows.close_request(db, *sent)

    async def attach(self, batch: OpenBatch) -> None:
        """Store the results of a batch, end it, and hand the tasks without a result back to be sent again."""
        path = self._ws.folder / batch.row.file
        index = RequestIndex(path, batch.row.file_hash)
        try:
            seen: set[str] = set()
            again: dict[str, str] = {}  # custom id -> why the request has to be sent again
            unread = unknown = size = 0
            chunk: list[ResultLine] = []
            for result in batch_files.results(batch_files.result_paths(path)):
                if result is None:
                    unread += 1
                elif result.custom_id in seen or result.custom_id not in batch.requests:
                    unknown += result.custom_id not in seen and not result.custom_id.startswith(f"{batch.row.id}-")
                else:
                    seen.add(result.custom_id)
                    chunk.append(result)
                    size += result.size
                if len(chunk) == CHUNK or size > CHUNK_BYTES:
                    await self._attach_all(batch, chunk, index, again)
                    chunk, size = [], 0
            await self._attach_all(batch, chunk, index, again)
            self._tell(batch, unread, unknown)
            await self._end(batch, index, again)
        finally:
            index.close()

    def _tell(self, batch: OpenBatch, unread: int, unknown: int) -> None:
        for number, what in ((unread, "cannot be read"), (unknown, "belong to no request of it")):
            if number:
                self.notices.append(f"{plural(number, 'line')} of the results of batch {batch.row.id} {what} and were ignored.")

    async def _attach_all(self, batch: OpenBatch, chunk: list[ResultLine], index: RequestIndex, again: dict[str, str]) -> None:
        """Attach some results concurrently, so that they share transactions."""
        ended = await asyncio.gather(
            *(self._attach(batch, result, index.body(result.custom_id), again) for result in chunk), return_exceptions=True
        )
        for error in ended:
            if isinstance(error, BaseException):
                raise error

    async def _attach(self, batch: OpenBatch, result: ResultLine, body: dict, again: dict[str, str]) -> None:
        """Attach one result; a request that has to be sent again stays open."""
        request = batch.requests[result.custom_id]
        if not result.processed:
            return
        work = self._task(batch, request, body)
        unusable: UnusableReply | None = None
        try:
            reply = batch.teacher.read_response(
                result.status, _encoded(result.body), body, self._models[request.stage].decoding
            )
        except UnusableReply as fault:
            reply, unusable = fault.reply, fault
        except (TeacherBusy, TeacherFault) as fault:
            self.storage.totals.faults += 1
            if isinstance(fault, TeacherFault) and fault.billed:
                await self._lost(batch, request, work or self._without_task(request, body), str(fault), known=work is not None)
            else:
                again[result.custom_id] = str(fault)
            return
        except TeacherError as error:  # key or quota: what other requests got is stored first
            again[result.custom_id] = ""
            self._fail(error)
            return
        except TeacherRefusal as refusal:
            self._budget.settle(request.worst_usd, 0.0, paid=False)
            await self._closing(batch, request, work or self._without_task(request, body), self._refused(work, str(refusal)))
            return
        if (overcharge := settle_reply(self._budget, self._models[request.stage], reply, request.worst_usd)) is not None:
            self._stop(overcharge)
        if work is not None and (fresh := self._renewed(work)) is not work:
            await self._closing(batch, request, work, self._discarded(work, reply))
            if fresh is None:
                self._queue.failed(work)
            else:
                self.storage.retries.append(fresh)
        elif work is None:
            lost = self._without_task(request, body)
            await self._closing(batch, request, lost, self._discarded(lost, reply))
        else:
            await self._closing(batch, request, work, lambda task: self.storage.store(task, reply, unusable, self._age(batch)))

    async def _closing(self, batch: OpenBatch, request: BatchRequest, work: Work, store: Callable) -> None:
        """Store the reply or failure of a request and close it."""
        self._sent[id(work)] = (request.batch, request.custom_id)
        try:
            await store(work)
        finally:
            del self._sent[id(work)]
        del batch.requests[request.custom_id]
        batch.works.pop(request.custom_id, None)

    async def _lost(self, batch: OpenBatch, request: BatchRequest, work: Work, why: str, *, known: bool) -> None:
        """Store a call whose reply was generated and damaged, at its maximum price; its task is sent again."""
        model = self._models[request.stage]
        self._budget.settle(request.worst_usd, lost_price(model, work))
        await self._closing(batch, request, work, lambda task: self._calls.store_lost(task, model, self._age(batch)))
        work.faults += 1
        if known and work.faults >= MAX_ROUNDS:
            await self.storage.give_up(work, "no reply", f"{why} Sent in {work.faults} batches.")
        elif known:
            self.storage.retries.append(work)

    def _refused(self, work: Work | None, message: str) -> Callable:
        async def store(task: Work) -> None:
            if work is None:
                await self._commits.store(lambda db: self._close(db, task))
            else:
                await self.storage.give_up(task, "refused", message)

        return store

    def _discarded(self, work: Work, reply: Reply) -> Callable:
        """Store a reply that cannot become a record, because what it is about was edited or removed; its cost counts."""
        reply = storable_reply(reply)
        self.storage.totals.tokens_in += reply.tokens_in
        self.storage.totals.tokens_out += reply.tokens_out
        reasoning, text = reply.split()

        async def store(task: Work) -> None:
            received = ReceivedReply(reply, reasoning, text, 0.0)
            await self._calls.store(task, self._calls.record(work, self._models[work.stage], received, "discarded", None))

        return store

    def _renewed(self, work: Work) -> Work | None:
        """Return a task as it is now: itself, another one if what it is about was edited, None if that was removed."""
        renew = getattr(self._queue, "renewed", None)
        return renew(work) if renew else work

    def _age(self, batch: OpenBatch) -> float:
        """Return the seconds since a batch was submitted."""
        return max(0.0, self._clock.now() - (batch.row.submitted_at or batch.row.created_at))

    @staticmethod
    def _task(batch: OpenBatch, request: BatchRequest, body: dict) -> Work | None:
        """Return the task of a request with its chat, None if the work queue has no such task (any longer)."""
        work = batch.works.get(request.custom_id)
        if work is None:
            return None
        messages = body["messages"]
        if work.first is not None and messages[: len(work.first[1])] != work.first[1]:
            return None  # a repair turn of a chat that was edited since
        work.messages = messages
        return work

    def _without_task(self, request: BatchRequest, body: dict) -> Work:
        """Return a stand-in for a task that exists no longer."""
        name, text = call_rows.prompt_text(self._ws.db, request.prompt_version) or ("", "")
        wording = Prompt(name, text, request.prompt_version)
        return Work(request.stage, request.work_id, request.discipline_id, wording, body["messages"], None, attempts=1)

    async def _end(self, batch: OpenBatch, index: RequestIndex, again: Mapping[str, str]) -> None:
        """End a batch whose results are stored; tasks without a result are sent again, or fail after too many batches."""
        cancelled, row = batch.row.status == "cancelled", batch.row
        missing, returned = 0, []
        for custom_id, request in list(batch.requests.items()):
            self._budget.settle(request.worst_usd, 0.0, paid=False)
            work = self._task(batch, request, index.body(custom_id))
            missing += custom_id not in again
            if work is None:
                continue
            why = again.get(custom_id, f"The batch {row.status or 'ended'} before the request was processed.")
            work.faults += bool(why) and not cancelled
            if work.faults >= MAX_ROUNDS:
                message = f"{why} Sent in {work.faults} batches."
                await self._closing(
                    batch, request, work, lambda task, text=message: self.storage.give_up(task, "no reply", text)
                )
            else:
                returned.append(work)
        await self.end(batch)
        self.storage.retries.extend(returned)
        if missing and not cancelled:
            self.notices.append(
                f"{plural(missing, 'request')} of batch {row.id} had no result ({row.status or 'ended'}). The next batch repeats what is missing."
            )

    async def end(self, batch: OpenBatch) -> None:
        """End a batch durably; open requests of it are returned to the run."""
        learned, now = json.dumps(batch.teacher.adaptations), self._clock.now()
        await self._commits.store(lambda db: batch_rows.end_batch(db, batch.row.id, now, learned))

    async def return_all(self, batch: OpenBatch) -> None:
        """End a batch without results; all its tasks are sent again."""
        index = RequestIndex(self._ws.folder / batch.row.file, batch.row.file_hash)
        try:
            works = [self._task(batch, request, index.body(id)) for id, request in batch.requests.items()]
        finally:
            index.close()
        for request in batch.requests.values():
            self._budget.settle(request.worst_usd, 0.0, paid=False)
        await self.end(batch)
        self.storage.retries.extend(work for work in works if work is not None)


def _encoded(body: dict) -> bytes:
    """Return the body of a response as it was sent; b'' if it is nested too deeply to be one."""
    try:
        return json.dumps(body).encode()
    except RecursionError:
        return b""
