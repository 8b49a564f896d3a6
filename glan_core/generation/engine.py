"""The async engine: takes tasks from a work queue, calls teachers, and stores each reply with its records in one transaction.

A call counts as in flight until its reply is on disk. So a kill loses, and a later run repeats, at most the calls in flight.
"""

import asyncio
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

import apsw

from glan_core.generation.protocols import Work, WorkQueue, ask, fingerprint
from glan_core.generation.rate_limits import Budget, Concurrency, Outage, Rate
from glan_core.generation.settings import TeacherSettings
from glan_core.prompts import prompt
from glan_core.reply_parsing import MalformedReply, check_complete, storable
from glan_core.teachers.contract import (
    DecodingParams,
    Message,
    Reply,
    Teacher,
    TeacherBusy,
    TeacherError,
    TeacherFault,
    TeacherRefusal,
    estimate_tokens,
)
from glan_core.teachers.prices import Price
from glan_core.teachers.reasoning import split_reasoning
from glan_core.workspace import call_rows
from glan_core.workspace.call_rows import Call
from glan_core.workspace.group_commit import GroupCommit

MAX_FAULTS = 6  # transient errors of one task before it fails
MAX_REFUSALS = 5  # refused requests without any reply before, after which the run stops
BACKOFF = 0.5  # seconds, doubled at each error of the same task, at most 30
EXPECTED_REPLY = 1000  # tokens
MAX_KEPT_REPLY = 20_000  # characters of a failed reply that are stored for inspection


@dataclass(slots=True)
class StageModel:
    """The model of a stage with its decoding parameters and price (None if unknown)."""

    teacher: Teacher
    decoding: DecodingParams
    price: Price | None


@dataclass(slots=True)
class Totals:
    """Totals of a run.

    Attributes:
        done: Completed tasks by stage.
        failed: Failed tasks by stage.
        requests: HTTP requests sent.
        throttled: Requests answered with status 429.
        faults: Transient errors.
        tokens_in: Prompt tokens.
        tokens_out: Completion tokens.
    """

    done: dict[str, int] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)
    requests: int = 0
    throttled: int = 0
    faults: int = 0
    tokens_in: int = 0
    tokens_out: int = 0


class Engine:
    """Processes a work queue until it is empty, the engine is stopped, the budget is reached, or a teacher fails permanently."""

    def __init__(
        self, queue: WorkQueue, models: Mapping[str, StageModel], settings: TeacherSettings, commits: GroupCommit, run_id: int | None,
        budget: Budget,
    ) -> None:  # fmt: skip
        self.queue, self.models, self.commits, self.run_id, self.budget = queue, models, commits, run_id, budget
        self.concurrency = Concurrency(settings.max_in_flight)
        self.totals = Totals()
        self.in_flight = 0
        self.stop_reason: str | None = None
        self._fatal: Exception | None = None
        self._requests, self._tokens = Rate(settings.requests_per_minute), Rate(settings.tokens_per_minute)
        self._retries: list[Work] = []
        self._delayed = 0
        self._outage = Outage()
        self._served, self._refusals = False, 0
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task] = set()
        self._held: Work | None = None
        self._known_prompts: set[str] = set()
        self._jitter = random.Random()

    def fail(self, error: Exception) -> None:
        """Stop sending; `run` raises this error after what is in flight was stored."""
        self._fatal = self._fatal or error
        self._wake.set()

    def stop(self, reason: str) -> None:
        """Stop sending; what is in flight is still received and stored."""
        self.stop_reason = self.stop_reason or reason
        self._wake.set()

    async def run(self) -> None:
        """Process the queue until it is empty or the engine is stopped (see `stop_reason`).

        Raises:
            TeacherError: If a teacher fails permanently.
            Exception: Whatever storing raises, after everything in flight is stored.
        """
        while self.stop_reason is None and self._fatal is None:
            work = self._held or self._next()
            self._held = None
            if work is None:
                if not self.in_flight and not self._delayed:
                    break
                await self._sleep(None)
            elif not self._may_send(work):
                self._held = work
                await self._sleep(self._wait())
            else:
                self._start(work)
        while self._tasks:
            await asyncio.wait(self._tasks)
        if self._fatal is not None:
            raise self._fatal

    def _next(self) -> Work | None:
        return self._retries.pop() if self._retries else self.queue.next()

    def _may_send(self, work: Work) -> bool:
        if not work.messages:
            return True
        if self.in_flight >= int(self.concurrency.limit) or self._wait():
            return False
        if self.budget.reserve(self._worst(work)):
            return True
        if not self.in_flight and not self._delayed:
            self.stop(self.budget.reason())
        return False

    def _wait(self) -> float | None:
        """Return the seconds until the next call may be allowed, None if that depends on a call in flight."""
        seconds = max(self._requests.wait(), self._tokens.wait(), self.concurrency.closed_until - time.monotonic())
        return seconds if seconds > 0 else None

    async def _sleep(self, seconds: float | None) -> None:
        """Wait for an event, or at most this many seconds."""
        if seconds is None:
            await self._wake.wait()
        else:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), seconds)
        self._wake.clear()

    def _worst(self, work: Work) -> float:
        """Return the maximum price of a call in USD, given by `max_tokens`."""
        model = self.models[work.stage]
        if model.price is None or self.budget.usd is None:
            return 0.0
        return model.price.of(_max_prompt_tokens(work.messages), model.decoding.max_tokens)

    def _start(self, work: Work) -> None:
        if work.messages:
            self._requests.take(1)
            self._tokens.take(self._expected_tokens(work))
        self.in_flight += 1
        task = asyncio.create_task(self._perform(work))
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _expected_tokens(self, work: Work) -> int:
        """Return the estimated tokens of a call for the rate limit, until its reply is known."""
        reply = min(self.models[work.stage].decoding.max_tokens, EXPECTED_REPLY)
        return reply + sum(estimate_tokens(message["content"]) for message in work.messages)

    def _finished(self, task: asyncio.Task) -> None:
        self._tasks.discard(task)
        self.in_flight -= 1
        if not task.cancelled() and (error := task.exception()) is not None:
            self.fail(error if isinstance(error, Exception) else RuntimeError(repr(error)))
        self._wake.set()

    async def _perform(self, work: Work) -> None:
        """Execute one task, from the request to the transaction; tasks without messages are only stored."""
        if not work.messages:
            value = await self.commits.store(lambda db: self.queue.stage(work).store(db, work, None, self._teacher_name()))
            self.queue.stored(work, value)
            return
        worst, model = self._worst(work), self.models[work.stage]
        work.attempts += 1
        self.totals.requests += 1
        start = time.monotonic()
        try:
            reply = await model.teacher.reply(work.messages, model.decoding)
        except TeacherBusy as busy:
            self._tokens.take(-self._expected_tokens(work))
            self.budget.settle(worst, 0.0, paid=False)
            self.totals.throttled += 1
            self._retry(work, self.concurrency.refused(busy.retry_after))
            return
        except TeacherFault as fault:
            self.budget.settle(worst, worst if fault.billed else 0.0, paid=fault.billed)
            await self._fault(work, fault, time.monotonic() - start)
            return
        except TeacherRefusal as refusal:
            self.budget.settle(worst, 0.0, paid=False)
            await self._refusal(work, refusal)
            return
        except BaseException:
            self.budget.settle(worst, 0.0, paid=False)
            raise
        if (text := storable(reply.text)) != reply.text:
            reply = replace(reply, text=text)
        self._served = True
        self._outage.end()
        self.concurrency.served()
        self._tokens.take(reply.tokens_in + reply.tokens_out - self._expected_tokens(work))
        cost = model.price.of(reply.tokens_in, reply.tokens_out) if model.price else 0.0
        self.budget.settle(worst, cost)
        if self.budget.usd is not None and cost > worst:
            self.stop(f"{model.teacher.name} charged more than the maximum price of the request (it may ignore max_tokens)")
        self.totals.tokens_in += reply.tokens_in
        self.totals.tokens_out += reply.tokens_out
        await self._handle_reply(work, reply, time.monotonic() - start)

    async def _handle_reply(self, work: Work, reply: Reply, seconds: float) -> None:
        """Store the record of a reply, or record why there is none."""
        stage = self.queue.stage(work)
        reasoning, text = split_reasoning(reply.text)
        try:
            if reasoning and not text:
                raise MalformedReply(
                    "reasoning only", "the reply has only reasoning and no answer: raise max_tokens for this stage"
                )
            check = getattr(stage, "check_reply", check_complete)
            parsed = stage.parse(work, check(text, reply.finish_reason))
        except MalformedReply as fault:
            long = len(reply.text) > MAX_KEPT_REPLY  # then keep the reply rather than its reasoning
            kept = (text if long and text else reply.text)[:MAX_KEPT_REPLY]
            call = self._call(work, reply, seconds, fault.cause, kept)
            if fault.repairable and not work.repairs:
                await self._store(work, call, lambda db: None)
                self._ask_to_repair(work, text, str(fault))
            else:
                await self._give_up(work, fault.cause, str(fault), kept, call)
            return
        call = self._call(work, reply, seconds, "stored", None if stage.record_text(parsed) == reply.text else reply.text)

        def store(db: apsw.Connection) -> object:
            value = stage.store(db, work, parsed, call.teacher)
            call_rows.clear_failure(db, work.id, work.stage, work.discipline_id)
            return value

        value = await self._store(work, call, store)
        self.totals.done[work.stage] = self.totals.done.get(work.stage, 0) + 1
        self.queue.stored(work, value)

    async def _store(self, work: Work, call: Call, also: Callable[[apsw.Connection], object]) -> object:
        """Store a call together with its records."""

        def job(db: apsw.Connection) -> object:
            if work.prompt.version not in self._known_prompts:
                call_rows.add_prompt(db, work.prompt.version, work.prompt.name, work.prompt.text)
            call_rows.add_call(db, call)
            return also(db)

        value = await self.commits.store(job)
        self._known_prompts.add(work.prompt.version)
        return value

    def _call(self, work: Work, reply: Reply, seconds: float, outcome: str, kept: str | None) -> Call:
        model = self.models[work.stage]
        cost = model.price.of(reply.tokens_in, reply.tokens_out) if model.price else None
        return Call(
            work.id, self.run_id, work.stage, work.discipline_id, model.teacher.name, work.prompt.version,
            fingerprint(work.messages), model.decoding.temperature, model.decoding.top_p, model.decoding.max_tokens,
            reply.tokens_in, reply.tokens_out, reply.estimated, cost, round(seconds * 1000), work.attempts, outcome, kept,
            time.time(),
        )  # fmt: skip

    def _ask_to_repair(self, work: Work, text: str, problem: str) -> None:
        repair = prompt("repair")
        work.messages = [*work.messages, {"role": "assistant", "content": text}, *ask(repair, problem=problem)]
        work.prompt, work.repairs, work.attempts, work.faults = repair, 1, 0, 0
        self._retries.append(work)

    async def _fault(self, work: Work, fault: TeacherFault, seconds: float) -> None:
        """Handle a transient error: retry the task unless it reached its limit or the endpoint is unavailable.

        A reply that was generated but lost in transit is recorded as a call at its maximum price.
        """
        self.totals.faults += 1
        self._outage.fault(sent=fault.sent)
        if fault.billed:
            lost = Reply(
                "", "lost", _max_prompt_tokens(work.messages), self.models[work.stage].decoding.max_tokens, estimated=True
            )
            await self._store(work, self._call(work, lost, seconds, "lost", None), lambda db: None)
        if self._outage.gone:
            hint = "It has not replied for a while." if fault.sent else "Check that the server is running and the URL is right."
            raise TeacherError(f"{fault} {hint}") from None
        if self._outage.down:
            self.concurrency.collapse(max(self._outage.pause, fault.retry_after or 0.0))
        work.faults += fault.sent and not self._outage.down  # errors during an outage are not due to the task
        if work.faults >= MAX_FAULTS:
            await self._give_up(work, "no reply", f"{fault} Tried {work.faults} times.", "", None)
        else:
            wait = min(30.0, BACKOFF * 2 ** max(0, work.faults - 1)) * self._jitter.uniform(0.5, 1.0)
            self._retry(work, max(wait, fault.retry_after or 0.0))

    async def _refusal(self, work: Work, refusal: TeacherRefusal) -> None:
        """Handle a refused request: the task fails; if the first requests are all refused, the run stops."""
        self._refusals += 1
        if not self._served and self._refusals >= MAX_REFUSALS:
            raise TeacherError(f"{refusal} The first {self._refusals} requests were all refused.") from None
        await self._give_up(work, "refused", str(refusal), "", None)

    async def _give_up(self, work: Work, cause: str, message: str, reply: str, call: Call | None) -> None:
        """Record a task as failed; the next run retries it."""

        def job(db: apsw.Connection) -> None:
            if call is not None:
                call_rows.add_call(db, call)
                call_rows.add_prompt(db, work.prompt.version, work.prompt.name, work.prompt.text)
            call_rows.add_failure(
                db,
                call_rows.Failure(
                    work.id, work.stage, work.discipline_id, self.run_id, cause, message, reply[:MAX_KEPT_REPLY], time.time()
                ),
            )

        await self.commits.store(job)
        self.totals.failed[work.stage] = self.totals.failed.get(work.stage, 0) + 1
        self.queue.failed(work)

    def _retry(self, work: Work, seconds: float) -> None:
        """Retry a task after a delay, during which it does not count as in flight."""
        self._delayed += 1

        def enqueue() -> None:
            self._delayed -= 1
            self._retries.append(work)
            self._wake.set()

        asyncio.get_running_loop().call_later(seconds, enqueue)

    def _teacher_name(self) -> str:
        """Return the teacher to record for records merged from several replies."""
        return self.models["subjects"].teacher.name


def _max_prompt_tokens(messages: Sequence[Message]) -> int:
    """Return an upper bound of the prompt tokens for any tokenizer: one per byte, plus a margin per message."""
    return sum(len(message["content"].encode("utf-8", "replace")) + 10 for message in messages)
