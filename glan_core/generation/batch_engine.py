"""The engine of runs in batches: ready tasks become request files, whose results are attached when the endpoint has them.

All tasks that are ready are collected before a file is sent, so that a stage takes few batches; tasks that replies make ready follow
in the next ones. What is at an endpoint stays there when a run is paused or its process is killed, and is joined with the tasks of the
work queue when the run is resumed. Without an endpoint (`GenerationSettings.batch_files`), the run ends after writing the files, and
continues when their results are given.
"""

import asyncio
import json
import shlex
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from glan_core.errors import GlanError
from glan_core.formatting import clock_time, plural
from glan_core.generation import batch_files
from glan_core.generation.batch_replies import BatchReplies
from glan_core.generation.batch_steps import BatchRejected, BatchRun, BatchSteps, OpenBatch
from glan_core.generation.batch_writer import BatchWriter
from glan_core.generation.protocols import Work, fingerprint
from glan_core.generation.reply_storage import maximum_price
from glan_core.generation.settings import GenerationSettings
from glan_core.generation.work_spool import WorkSpool
from glan_core.prompts import Prompt, prompt
from glan_core.runs.states import CANCELLED
from glan_core.teachers.batch_client import TOKEN_LIMIT
from glan_core.teachers.contract import TeacherBusy, TeacherError, TeacherFault, TeacherRefusal
from glan_core.teachers.http_teacher import HttpTeacher
from glan_core.workspace import batch_rows, call_rows
from glan_core.workspace.batch_rows import Batch, BatchRequest
from glan_core.workspace.run_rows import EndpointProgress

MAX_OPEN = 8  # batches of a run that are open at a time
MAX_FAULTS = 20  # failed attempts of one step in a row, after which the run stops; it can be resumed
NEVER_REACHED = 5  # of them if the endpoint has not answered at all
WRITTEN = "Request files are written"  # reason for which an offline run stops


@dataclass(frozen=True, slots=True)
class Timing:
    """Intervals in seconds.

    Attributes:
        first_poll: From the submission of a batch to the first poll; each interval is longer by `growth`, up to `most_poll`.
        first_fault: Wait after the first error of a step; it doubles, up to `most_fault`.
        cancel: For batches to be cancelled by the endpoint, after which the run ends anyway.
    """

    first_poll: float = 10.0
    growth: float = 1.5
    most_poll: float = 300.0
    first_fault: float = 5.0
    most_fault: float = 600.0
    cancel: float = 900.0


TIMING = Timing()


class BatchEngine:
    """Processes a work queue in batches until it is empty, the engine is stopped, or the budget is reached."""

    def __init__(self, run: BatchRun, settings: GenerationSettings) -> None:
        self.queue, self.models, self.budget, self.run_id = run.queue, run.models, run.budget, run.id
        self.offline = settings.batch_files
        self.stop_reason: str | None = None
        self.steps = BatchSteps(run)
        self._ws, self._commits, self._clock, self._timing = run.ws, run.commits, run.clock, TIMING
        self._attached = BatchReplies(run, keep_reasoning=settings.keep_reasoning, stop=self.stop, fail=self.fail)
        self.totals, self._retries = self._attached.storage.totals, self._attached.storage.retries
        self._spool = WorkSpool(run.ws.folder)
        self._open: dict[int, OpenBatch] = {}
        self._unclaimed: dict[tuple[str, str], BatchRequest] = {}  # requests of an earlier process without their tasks
        self._writer, self._max_open = BatchWriter(run, self._take_over), MAX_OPEN
        self._fatal: Exception | None = None
        self._wake = asyncio.Event()
        self._cancel_until: float | None = None
        self._reached = False
        # An offline run is resumed for each file of results, which must not repeat what has failed; a new run does.
        self._failed = call_rows.failed_tasks(run.ws.db, run.id) if self.offline else set()

    # ------------------------------------------------------------------------------------- what reporters and requests use

    @property
    def in_flight(self) -> int:
        """Requests in open batches."""
        return sum(len(batch.requests) for batch in self._open.values())

    @property
    def endpoints(self) -> list[EndpointProgress]:
        """None: a batch has one endpoint."""
        return []

    @property
    def concurrency(self) -> int:
        """The same: the number of requests in batches has no limit that adapts."""
        return self.in_flight

    @property
    def notices(self) -> tuple[str, ...]:
        """What was learned about the endpoints and their results, in sentences."""
        teachers = {id(model.teacher): model.teacher for model in self.models.values()}
        learned = [notice for teacher in teachers.values() for notice in getattr(teacher, "notices", ())]
        return tuple(dict.fromkeys([*learned, *self._attached.notices]))

    def fail(self, error: Exception) -> None:
        """Stop; `run` raises this error after the results at hand were stored."""
        self._fatal = self._fatal or error
        self._wake.set()

    def stop(self, reason: str, seconds: float = 1.0) -> None:
        """Stop: batches at an endpoint stay there, or are cancelled if this is the reason.

        A second request, with 0 seconds, ends the wait for batches that are being cancelled.
        """
        if self.stop_reason is not None and not seconds:
            self._cancel_until = self._clock.steady()
        self.stop_reason = self.stop_reason or reason
        self._wake.set()

    def waiting(self) -> str:
        """Return what the run waits for and until when, '' if it is not waiting."""
        if not self._open or self.offline:
            return ""
        batch = min(self._open.values(), key=lambda batch: batch.due)
        others = f" and {plural(len(self._open) - 1, 'other batch', 'other batches')}" if len(self._open) > 1 else ""
        row, at = batch.row, clock_time(self._clock.now() + max(0.0, batch.due - self._clock.steady()))
        done = f", {row.completed:,} completed" if row.completed else ""
        problem = f" The latest attempt failed: {batch.problem}" if batch.problem else ""
        state = row.state.replace("_", " ")
        return f"Waiting for batch {row.id} of {plural(row.requests, 'request')} ({state}{done}){others}; the next check is at {at}.{problem}"

    def instructions(self) -> str:
        """Return what to do with the files of an offline run, in a few sentences."""
        files = [
            f"{self.steps.path(batch)} ({plural(batch.row.requests, 'request')} for {batch.teacher.model})"
            for batch in self._open.values()
        ]
        first = next(iter(self._open.values()))
        path, model, folder = map(shlex.quote, (str(self.steps.path(first)), first.teacher.model, str(self._ws.folder)))
        command = f"python -m vllm.entrypoints.openai.run_batch -i {path} -o results.jsonl --model {model}"
        return (
            f"Requests are written to {', '.join(files)}. Answer them, for example with '{command}', then continue with "
            f"'glan batch {folder} read results.jsonl'."
        )

    # ----------------------------------------------------------------------------------------------------------- the loop

    async def run(self) -> None:
        """Process the queue until it is empty or the engine is stopped (see `stop_reason`).

        Raises:
            GlanError: If a teacher fails permanently, or another run has the same requests in open batches.
            Exception: Whatever storing raises.
        """
        try:
            await self._restore()
            for batch in [batch for batch in self._open.values() if batch.row.step == "fetched"]:
                await self._advance(batch)  # so that what follows from it is part of the next files
            while self._running:
                await self._submit_ready()
                if not self._open:
                    break
                if self.offline and all(batch.row.step != "fetched" for batch in self._open.values()):
                    self.stop(WRITTEN)
                elif not await self._advance_due() and self._running:
                    await self._sleep()
            if self.stop_reason == CANCELLED and self._fatal is None:
                await self._cancel()
        finally:
            self._spool.close()
        if self._fatal is not None:
            raise self._fatal

    @property
    def _running(self) -> bool:
        return self.stop_reason is None and self._fatal is None

    async def _sleep(self) -> None:
        """Wait until the next step of a batch is due, or the engine is stopped."""
        seconds = min(batch.due for batch in self._open.values()) - self._clock.steady()
        if seconds > 0:
            await self._clock.wait(self._wake, seconds)
        else:
            await asyncio.sleep(0)
        self._wake.clear()

    # ------------------------------------------------------------------------------------------------------------ restart

    async def _restore(self) -> None:
        """Take over the open batches of an earlier process of the run, and find the tasks of their requests."""
        for row in batch_rows.open_batches(self._ws.db, self.run_id):
            if row.step == "planned":  # nothing was sent
                batch_files.remove_leftovers(batch_files.request_path(self._ws.folder, self.run_id, row.id))
                await self._commits.store(lambda db, row=row: batch_rows.remove_batch(db, row.id))  # type: ignore[misc]
                continue
            requests = {request.custom_id: request for request in batch_rows.open_requests(self._ws.db, row.id)}
            self._open[row.id] = OpenBatch(row, self._teacher_of(row), requests)
            self._reached = self._reached or row.remote_id is not None
            for request in requests.values():
                self._unclaimed[request.stage, request.work_id] = request
                self.budget.reserved_usd += request.worst_usd
                self.budget.reserved_calls += 1
        for teacher in self._teachers():
            learned = batch_rows.latest_adaptations(self._ws.db, teacher.name, teacher.url)
            teacher.adapt(json.loads(learned))
        while self._unclaimed and (work := self.queue.next()) is not None:
            if not work.messages:
                await self._merge(work)
            elif not self._claim(work):
                self._spool.add(work)
        self._unclaimed.clear()  # their tasks exist no longer: the replies are stored as discarded

    def _teachers(self) -> Iterable[HttpTeacher]:
        """Return the teachers of the run once each."""
        found = {id(model.teacher): model.teacher for model in self.models.values()}
        return [teacher for teacher in found.values() if isinstance(teacher, HttpTeacher)]

    def _teacher_of(self, row: Batch) -> HttpTeacher:
        for teacher in self._teachers():
            if (teacher.name, teacher.url) == (row.teacher, row.url):
                return teacher
        raise GlanError(
            f"Batch {row.id} of run {self.run_id} is for {row.teacher} at {row.url}, which the run does not use any longer. Restore the "
            f"settings of the run, or give the batch up with 'glan batch {self._ws.folder} discard {row.id}'."
        )

    def _claim(self, work: Work) -> bool:
        """Assign a task to the open request that an earlier process made of it; return False if there is none.

        A request whose chat has changed since is not that of the task.
        """
        request = self._unclaimed.get((work.stage, work.id))
        if request is None or (not request.repairs and fingerprint(work.messages) != request.prompt_sha):
            return False
        del self._unclaimed[work.stage, work.id]
        work.repairs, work.failed_tries, work.faults = request.repairs, request.failed_tries, request.faults
        work.attempts = request.faults + 1
        if request.repairs:
            work.first, work.prompt = (work.prompt, work.messages), self._repair_prompt(request)
        work.messages = []
        self._open[request.batch].works[request.custom_id] = work
        return True

    def _repair_prompt(self, request: BatchRequest) -> Prompt:
        if (now := prompt("repair")).version == request.prompt_version:
            return now
        name, text = call_rows.prompt_text(self._ws.db, request.prompt_version) or (now.name, now.text)
        return Prompt(name, text, request.prompt_version)

    # ------------------------------------------------------------------------------------------------------------- writing

    async def _submit_ready(self) -> None:
        """Write the tasks that are ready to request files, as far as the budget reaches."""
        writer, short = self._writer, False
        may_open = lambda: len(self._open) + len(writer) < self._max_open  # noqa: E731
        try:
            while self.stop_reason is None and (writer or may_open()) and (work := await self._next()) is not None:
                worst = maximum_price(self.budget, self.models[work.stage], work)
                short = not self.budget.reserve(worst)
                if short or not await writer.add(work, worst, may_open=may_open):
                    if not short:
                        self.budget.settle(worst, 0.0, paid=False)
                    self._retries.append(work)
                    break
            await writer.finish()
        finally:
            writer.discard()
        if short and not self._open:
            self.stop(self.budget.reason())

    def _take_over(self, batch: OpenBatch) -> None:
        """Add a batch whose request file is complete."""
        self._open[batch.row.id] = batch
        self.totals.requests += batch.row.requests

    async def _next(self) -> Work | None:
        """Return the next task that is ready, None if there is none; tasks without a call are stored on the way."""
        while True:
            work = self._retries.pop() if self._retries else self._spool.take() or self.queue.next()
            if work is not None and (work.stage, work.id) in self._failed:
                self._failed.remove((work.stage, work.id))
                self.totals.failed[work.stage] = self.totals.failed.get(work.stage, 0) + 1
                self.queue.failed(work)
            elif work is None or work.messages:
                return work
            else:
                await self._merge(work)

    async def _merge(self, work: Work) -> None:
        """Store a task without a call."""
        name = self.models["subjects"].teacher.name
        value = await self._commits.store(lambda db: self.queue.stage(work).store(db, work, None, name))
        self.queue.stored(work, value)

    # ------------------------------------------------------------------------------------------------------------ endpoint

    async def _advance_due(self) -> bool:
        """Take the steps of all batches that are due; return whether one has ended."""
        before = len(self._open)
        for batch in list(self._open.values()):
            while self.stop_reason in (None, CANCELLED) and self._fatal is None and batch.due <= self._clock.steady():
                if not await self._advance(batch):
                    break
        return len(self._open) < before

    async def _advance(self, batch: OpenBatch) -> bool:
        """Take one step of a batch; return whether the next may follow at once."""
        if batch.row.step == "fetched":
            await self._attached.attach(batch)
            del self._open[batch.row.id]
            return False
        if self.offline:
            return False
        try:
            more = await self.steps.advance(batch)
        except BatchRejected as rejected:
            await self._rejected(batch, rejected)
            return False
        except (TeacherBusy, TeacherFault) as fault:
            self._postpone(batch, fault)
            return False
        except TeacherRefusal as refusal:
            raise TeacherError(f"{refusal} No request of batch {batch.row.id} was processed.") from None
        self._reached, batch.faults, batch.problem = True, 0, ""
        if not more:
            batch.wait = min(self._timing.most_poll, batch.wait * self._timing.growth or self._timing.first_poll)
            batch.due = self._clock.steady() + batch.wait
        return more

    def _postpone(self, batch: OpenBatch, fault: TeacherBusy | TeacherFault) -> None:
        """Repeat a step later; what it may have done at the endpoint is looked up then.

        Raises:
            TeacherError: If it has failed too often.
        """
        batch.faults += 1
        batch.problem = str(fault)
        self.totals.faults += 1
        if batch.faults >= (MAX_FAULTS if self._reached else NEVER_REACHED):
            raise TeacherError(f"{fault} Tried {batch.faults} times. Open batches are kept; resume the run to continue.")
        wait = min(self._timing.most_fault, self._timing.first_fault * 2 ** (batch.faults - 1))
        batch.due = self._clock.steady() + max(wait, fault.retry_after or 0.0)

    async def _rejected(self, batch: OpenBatch, rejected: BatchRejected) -> None:
        """Handle a batch that the endpoint refuses as a whole: smaller ones one at a time if it is too large for the account.

        Raises:
            TeacherError: For any other reason.
        """
        await self._attached.return_all(batch)
        del self._open[batch.row.id]
        if rejected.code != TOKEN_LIMIT or batch.row.requests == 1:
            raise TeacherError(f"{batch.row.url} rejected batch {batch.row.id}: {rejected} None of its requests was processed.")
        self._max_open, self._writer.most_requests = 1, max(1, batch.row.requests // 2)
        self._attached.notices.append(
            f"{batch.row.url} accepts fewer tokens at a time than batch {batch.row.id} had. Batches are sent one by one, with at most "
            f"{plural(self._writer.most_requests, 'request')}."
        )

    async def _cancel(self) -> None:
        """Cancel the open batches and attach what they finished."""
        deadline = self._clock.steady() + self._timing.cancel
        for batch in list(self._open.values()):
            batch.due = batch.wait = 0.0
            if batch.row.step == "fetched":
                continue
            if self.offline or not await self._cancel_one(batch, deadline):
                await self._attached.return_all(batch)
                del self._open[batch.row.id]
        while self._open and self._fatal is None:
            await self._advance_due()
            until = deadline if self._cancel_until is None else min(deadline, self._cancel_until)
            if self._clock.steady() >= until:
                break
            if self._open:
                await self._sleep()
        if self._open:
            names = ", ".join(str(batch) for batch in self._open)
            self._attached.notices.append(
                f"The endpoint is still cancelling batch {names}. Resume the run to store what was finished."
            )

    async def _cancel_one(self, batch: OpenBatch, deadline: float) -> bool:
        """Ask for the cancellation of a batch until the endpoint has answered; return False if the endpoint does not have it."""
        while True:
            try:
                return await self.steps.cancel(batch)
            except (TeacherBusy, TeacherFault) as fault:
                self._postpone(batch, fault)
                if self._clock.steady() >= deadline or self._cancel_until is not None:
                    return True
                self._wake.clear()
                with suppress(TimeoutError):
                    await self._clock.wait(self._wake, max(0.0, batch.due - self._clock.steady()))
