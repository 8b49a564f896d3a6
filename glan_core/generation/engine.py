"""The async engine: takes work from a frontier, asks teachers, and stores every reply with its records in one transaction.

A call keeps its place among those in flight until its reply is on the disk, so what a kill can lose, and a later run
repeats, is never more than was in flight.
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

MAX_FAULTS = 6  # passing faults of one piece of work before it counts as failed
MAX_REFUSALS = 5  # refused requests, before anything was served, that stop a run: it is not about single requests
BACKOFF = 0.5  # seconds, doubled at each fault of the same work, at most 30
LIKELY_REPLY = 1000  # tokens
MAX_KEPT_REPLY = 20_000  # characters of a failed reply that are kept for a person to read


@dataclass(slots=True)
class StageModel:
    """How one stage is asked: by whom, with which sampling, at what price (None: unknown)."""

    teacher: Teacher
    sampling: DecodingParams
    price: Price | None


@dataclass(slots=True)
class Totals:
    """What a run has done so far. `requests` counts HTTP requests, `done` and `failed` pieces of work by stage."""

    done: dict[str, int] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)
    requests: int = 0
    throttled: int = 0
    faults: int = 0
    tokens_in: int = 0
    tokens_out: int = 0


class Engine:
    """Runs a frontier to its end, or until it is told to stop, the budget is reached, or a teacher can't be used."""

    def __init__(
        self, frontier: WorkQueue, voices: Mapping[str, StageModel], terms: TeacherSettings, commits: GroupCommit, run_id: int | None,
        budget: Budget,
    ) -> None:  # fmt: skip
        self.frontier, self.voices, self.commits, self.run_id, self.budget = frontier, voices, commits, run_id, budget
        self.concurrency = Concurrency(terms.max_in_flight)
        self.totals = Totals()
        self.in_flight = 0
        self.stop_reason: str | None = None
        self._fatal: Exception | None = None
        self._requests, self._tokens = Rate(terms.requests_per_minute), Rate(terms.tokens_per_minute)
        self._again: list[Work] = []
        self._delayed = 0
        self._outage = Outage()
        self._served, self._refusals = False, 0
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task] = set()
        self._held: Work | None = None
        self._known_prompts: set[str] = set()
        self._jitter = random.Random()

    def fail(self, error: Exception) -> None:
        """Send nothing more, and let `run` raise this once what is in flight is stored."""
        self._fatal = self._fatal or error
        self._wake.set()

    def stop(self, reason: str) -> None:
        """Send nothing more; what is in flight is still received and stored."""
        self.stop_reason = self.stop_reason or reason
        self._wake.set()

    async def run(self) -> None:
        """Work until there is nothing left or the engine is stopped (`stop_reason` says why).

        Raises TeacherError when a teacher can't be used, and what storing raised, after everything in flight is stored.
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
        return self._again.pop() if self._again else self.frontier.next()

    def _may_send(self, work: Work) -> bool:
        if work.messages is None:
            return True
        if self.in_flight >= int(self.concurrency.limit) or self._wait():
            return False
        if self.budget.reserve(self._worst(work)):
            return True
        if not self.in_flight and not self._delayed:
            self.stop(self.budget.reason())
        return False

    def _wait(self) -> float | None:
        """Seconds until time alone may allow the next call; None when only an outcome can."""
        seconds = max(self._requests.wait(), self._tokens.wait(), self.concurrency.closed_until - time.monotonic())
        return seconds if seconds > 0 else None

    async def _sleep(self, seconds: float | None) -> None:
        """Until something happens, or has happened since the last sleep, or the time is over."""
        if seconds is None:
            await self._wake.wait()
        else:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), seconds)
        self._wake.clear()

    def _worst(self, work: Work) -> float:
        """What a call costs at most, its reply being as long as `max_tokens` allows."""
        voice = self.voices[work.stage]
        if voice.price is None or self.budget.usd is None:
            return 0.0
        return voice.price.of(_most_tokens(work.messages), voice.sampling.max_tokens)

    def _start(self, work: Work) -> None:
        if work.messages is not None:
            self._requests.take(1)
            self._tokens.take(self._likely_tokens(work))
        self.in_flight += 1
        task = asyncio.create_task(self._perform(work))
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _likely_tokens(self, work: Work) -> int:
        """What a call counts towards the tokens a minute until its reply tells."""
        reply = min(self.voices[work.stage].sampling.max_tokens, LIKELY_REPLY)
        return reply + sum(estimate_tokens(message["content"]) for message in work.messages)

    def _finished(self, task: asyncio.Task) -> None:
        self._tasks.discard(task)
        self.in_flight -= 1
        if not task.cancelled() and (error := task.exception()) is not None:
            self.fail(error)
        self._wake.set()

    async def _perform(self, work: Work) -> None:
        """One call, from the request to the disk. Without messages: only the disk."""
        if work.messages is None:
            value = await self.commits.store(lambda db: self.frontier.stage(work).store(db, work, None, self._teacher_name()))
            self.frontier.stored(work, value)
            return
        worst, voice = self._worst(work), self.voices[work.stage]
        work.attempts += 1
        self.totals.requests += 1
        start = time.monotonic()
        try:
            reply = await voice.teacher.reply(work.messages, voice.sampling)
        except TeacherBusy as busy:
            self._tokens.take(-self._likely_tokens(work))
            self.budget.settle(worst, 0.0, paid=False)
            self.totals.throttled += 1
            self._put_back(work, self.concurrency.refused(busy.retry_after))
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
        self._outage.over()
        self.concurrency.served()
        self._tokens.take(reply.tokens_in + reply.tokens_out - self._likely_tokens(work))
        cost = voice.price.of(reply.tokens_in, reply.tokens_out) if voice.price else 0.0
        self.budget.settle(worst, cost)
        if self.budget.usd is not None and cost > worst:
            self.stop(f"{voice.teacher.name} charged more than the most that was asked for (it ignores max_tokens?)")
        self.totals.tokens_in += reply.tokens_in
        self.totals.tokens_out += reply.tokens_out
        await self._take(work, reply, time.monotonic() - start)

    async def _take(self, work: Work, reply: Reply, seconds: float) -> None:
        """Make a record of a reply, or say why there is none."""
        stage = self.frontier.stage(work)
        reasoning, text = split_reasoning(reply.text)
        try:
            if reasoning and not text:
                raise MalformedReply("reasoning only", "the reply ended before an answer: raise max_tokens for this stage")
            whole = getattr(stage, "whole", check_complete)
            parsed = stage.parse(work, whole(text, reply.finish_reason))
        except MalformedReply as fault:
            long = len(reply.text) > MAX_KEPT_REPLY  # then the reply is of more use than its reasoning
            kept = (text if long and text else reply.text)[:MAX_KEPT_REPLY]
            call = self._call(work, reply, seconds, fault.cause, kept)
            if fault.repairable and not work.repairs:
                await self._store(work, call, lambda db: None)
                self._ask_to_repair(work, text, str(fault))
            else:
                await self._give_up(work, fault.cause, str(fault), kept, call)
            return
        kept = None if stage.record_text(parsed) == reply.text else reply.text
        call = self._call(work, reply, seconds, "stored", kept)

        def store(db: apsw.Connection) -> object:
            value = stage.store(db, work, parsed, call.teacher)
            call_rows.clear_failure(db, work.id, work.stage, work.discipline_id)
            return value

        value = await self._store(work, call, store)
        self.totals.done[work.stage] = self.totals.done.get(work.stage, 0) + 1
        self.frontier.stored(work, value)

    async def _store(self, work: Work, call: Call, also: Callable[[apsw.Connection], object]) -> object:
        """Commit a call together with what came of it."""

        def job(db: apsw.Connection) -> object:
            if work.prompt.version not in self._known_prompts:
                call_rows.add_prompt(db, work.prompt.version, work.prompt.name, work.prompt.text)
            call_rows.add_call(db, call)
            return also(db)

        value = await self.commits.store(job)
        self._known_prompts.add(work.prompt.version)
        return value

    def _call(self, work: Work, reply: Reply, seconds: float, outcome: str, kept: str | None) -> Call:
        voice = self.voices[work.stage]
        cost = voice.price.of(reply.tokens_in, reply.tokens_out) if voice.price else None
        return Call(
            work.id, self.run_id, work.stage, work.discipline_id, voice.teacher.name, work.prompt.version,
            fingerprint(work.messages), voice.sampling.temperature, voice.sampling.top_p, voice.sampling.max_tokens,
            reply.tokens_in, reply.tokens_out, reply.estimated, cost, round(seconds * 1000), work.attempts, outcome, kept,
            time.time(),
        )  # fmt: skip

    def _ask_to_repair(self, work: Work, text: str, problem: str) -> None:
        repair = prompt("repair")
        work.messages = [*work.messages, {"role": "assistant", "content": text}, *ask(repair, problem=problem)]
        work.prompt, work.repairs, work.attempts, work.faults = repair, 1, 0, 0
        self._again.append(work)

    async def _fault(self, work: Work, fault: TeacherFault, seconds: float) -> None:
        """A passing fault: put the work back, unless it has had its share, or the endpoint is down for good.

        A reply that was written and lost on its way is recorded as a call, at its worst price.
        """
        self.totals.faults += 1
        self._outage.fault(fault.sent)
        if fault.billed:
            lost = Reply("", "lost", _most_tokens(work.messages), self.voices[work.stage].sampling.max_tokens, estimated=True)
            await self._store(work, self._call(work, lost, seconds, "lost", None), lambda db: None)
        if self._outage.gone:
            ask = "Is the server running, and the address right?"
            raise TeacherError(f"{fault} {'It has sent no reply for a while.' if fault.sent else ask}") from None
        if self._outage.down:
            self.concurrency.collapse(max(self._outage.pause, fault.retry_after or 0.0))
        work.faults += fault.sent and not self._outage.down  # what an outage does to a piece of work is not its own fault
        if work.faults >= MAX_FAULTS:
            await self._give_up(work, "no reply", f"{fault} Tried {work.faults} times.", "", None)
        else:
            wait = min(30.0, BACKOFF * 2 ** max(0, work.faults - 1)) * self._jitter.uniform(0.5, 1.0)
            self._put_back(work, max(wait, fault.retry_after or 0.0))

    async def _refusal(self, work: Work, refusal: TeacherRefusal) -> None:
        """One request that the endpoint will not have: a failure of this work, unless it will have none at all."""
        self._refusals += 1
        if not self._served and self._refusals >= MAX_REFUSALS:
            raise TeacherError(f"{refusal} So it did with the first {self._refusals} requests.") from None
        await self._give_up(work, "refused", str(refusal), "", None)

    async def _give_up(self, work: Work, cause: str, message: str, reply: str, call: Call | None) -> None:
        """List a piece of work as failed; the next run tries it again."""

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
        self.frontier.failed(work)

    def _put_back(self, work: Work, seconds: float) -> None:
        """Send a piece of work again after a while; its place in flight is free meanwhile."""
        self._delayed += 1

        def again() -> None:
            self._delayed -= 1
            self._again.append(work)
            self._wake.set()

        asyncio.get_running_loop().call_later(seconds, again)

    def _teacher_name(self) -> str:
        """The teacher to name for records that merge several replies."""
        return self.voices["subjects"].teacher.name


def _most_tokens(messages: Sequence[Message]) -> int:
    """How many tokens a prompt has at most, whatever the tokenizer: one for every byte, and some for each turn's frame."""
    return sum(len(message["content"].encode("utf-8", "replace")) + 10 for message in messages)
