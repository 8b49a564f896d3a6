"""The async engine: takes tasks from a work queue, calls teachers, and stores each reply with its records in one transaction.

A call gives its place to the next one when its reply arrives, unless more than a quarter of `max_in_flight` replies wait to be stored.
So a kill loses, and a later run repeats, at most the calls in flight and this store allowance.
"""

import asyncio
import random
import time
from collections.abc import Mapping
from contextlib import suppress

from glan_core.formatting import clock_time
from glan_core.generation.call_records import StageModel, teacher_notices
from glan_core.generation.call_store import CallStore
from glan_core.generation.endpoint_gates import EndpointGate, EndpointGates, Route
from glan_core.generation.protocols import Work, WorkQueue
from glan_core.generation.rate_limits import Budget, Rate
from glan_core.generation.replica_health import ReplicaHealth
from glan_core.generation.reply_storage import ReplyStorage, lost_price, maximum_price, settle_reply
from glan_core.generation.settings import TeacherSettings
from glan_core.teachers.contract import (
    DEFAULT_LIMIT,
    Reply,
    TeacherBusy,
    TeacherError,
    TeacherFault,
    TeacherRefusal,
    UnusableReply,
    estimate_tokens,
)
from glan_core.teachers.endpoint_errors import MAX_RETRY_AFTER
from glan_core.workspace.group_commit import GroupCommit
from glan_core.workspace.run_rows import EndpointProgress

STORE_ALLOWANCE = 4  # replies that may wait to be stored while calls are sent: `max_in_flight` divided by this
MAX_FAULTS = 6  # transient errors of one task before it fails
MAX_REFUSALS = 5  # refused requests without any reply before, after which the run stops
BACKOFF = 0.5  # seconds, doubled at each error of the same task, at most 30
EXPECTED_REPLY = 1000  # tokens
PAUSE_SECONDS = 120.0  # for replies in flight when a run is paused or fails
CANCEL_SECONDS = 8.0  # for replies in flight when a run is cancelled
LOADING_PAUSE = 5.0  # seconds between attempts while a server is loading its model
LOADING_SECONDS = 1800  # after which such a server is given up
SHOWN_WAIT = 3.0  # seconds; shorter waits are not reported
SHOWN_FAULT = 5.0  # seconds for which the latest transient error is reported


class Engine:
    """Processes a work queue until it is empty, the engine is stopped, the budget is reached, or a teacher fails permanently."""

    def __init__(
        self, queue: WorkQueue, models: Mapping[str, StageModel], settings: TeacherSettings, commits: GroupCommit, run_id: int | None,
        budget: Budget,
    ) -> None:  # fmt: skip
        self.queue, self.models, self.commits, self.run_id, self.budget = queue, models, commits, run_id, budget
        self.stop_reason: str | None = None
        self._calls = CallStore(commits, run_id, keep_reasoning=settings.keep_reasoning)
        self._replies = ReplyStorage(queue, models, self._calls)
        self.totals, self._retries = self._replies.totals, self._replies.retries
        self._gates = EndpointGates({stage: model.teacher for stage, model in models.items()}, settings.max_in_flight)
        self._most_unstored = settings.max_in_flight // STORE_ALLOWANCE
        self._fatal: Exception | None = None
        self._requests, self._tokens = Rate(settings.requests_per_minute), Rate(settings.tokens_per_minute)
        self._delayed: dict[int, tuple[float, str]] = {}  # when a task is due (monotonic clock), and why it waits
        self._wake = asyncio.Event()
        self._health = ReplicaHealth(self._gates, self._wake.set, self.fail)
        self._tasks: set[asyncio.Task] = set()
        self._requesting: set[asyncio.Task] = set()  # those that wait for a reply
        self._drain_until: float | None = None
        self._jitter = random.Random()

    def fail(self, error: Exception) -> None:
        """Stop sending; `run` raises this error after what is in flight was stored."""
        self._fatal = self._fatal or error
        self._stop_within(PAUSE_SECONDS)

    def stop(self, reason: str, seconds: float = PAUSE_SECONDS) -> None:
        """Stop sending; replies that arrive within this time are still stored, and other calls are abandoned after it."""
        self.stop_reason = self.stop_reason or reason
        self._stop_within(seconds)

    def _stop_within(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        self._drain_until = until if self._drain_until is None else min(self._drain_until, until)
        self._wake.set()

    async def run(self) -> None:
        """Process the queue until it is empty or the engine is stopped (see `stop_reason`).

        Raises:
            TeacherError: If a teacher fails permanently.
            Exception: Whatever storing raises, after everything in flight is stored.
        """
        try:
            await self._health.check()
            while self.stop_reason is None and self._fatal is None:
                if (work := self._take()) is not None:
                    self._start(work)
                elif self.stop_reason is None:
                    self._gates.record_full()
                    if not self._tasks and not self._delayed and not self._gates.parked():
                        break
                    await self._sleep(self._wait())
            await self._drain()
        finally:
            self._health.close()
        if self._fatal is not None:
            raise self._fatal

    async def _drain(self) -> None:
        """Wait for the calls in flight; after the time given to `stop`, those without a reply are abandoned."""
        while self._tasks:
            left = None if self._drain_until is None else self._drain_until - time.monotonic()
            if left is not None and left <= 0:
                for task in self._requesting:
                    task.cancel()
                left = None
            self._wake.clear()
            waker = asyncio.ensure_future(self._wake.wait())  # stop() may shorten the time
            await asyncio.wait({*self._tasks, waker}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            waker.cancel()

    def _take(self) -> Work | None:
        """Return the next task that may be started now, with its price reserved; None if there is none.

        Tasks of endpoints that may not be called are parked, so that those of other endpoints can go on.
        """
        may_call = not self._rate_wait() and len(self._tasks) - self.in_flight <= self._most_unstored
        while self._retries:
            self._gates.park(self._retries.pop(), first=True)
        if may_call and (parked := self._gates.next_parked()) is not None:
            return self._reserved(parked)
        while self._gates.have_room():
            work = self.queue.next()
            if work is None:
                return None
            if not work.messages:
                return work
            if may_call and self._gates.open(work):
                return self._reserved(work)
            self._gates.park(work)
        return None

    def _reserved(self, work: Work) -> Work | None:
        """Reserve the maximum price of a task; without enough budget it is parked, and the run ends once no call is in flight."""
        if self.budget.reserve(maximum_price(self.budget, self.models[work.stage], work)):
            return work
        self._gates.park(work, first=True)
        if not self._tasks and not self._delayed:
            self.stop(self.budget.reason())
        return None

    def _rate_wait(self) -> float:
        """Seconds until the limits per minute allow another call."""
        return max(self._requests.wait(), self._tokens.wait())

    def _wait(self) -> float | None:
        """Return the seconds until the next call may be allowed, None if that depends on a call in flight."""
        return self._rate_wait() or self._gates.seconds_closed()

    @property
    def in_flight(self) -> int:
        """Calls that wait for a reply, over all endpoints."""
        return sum(gate.in_flight for gate in self._gates.all())

    @property
    def concurrency(self) -> int:
        """Calls that may be in flight at the moment, over all endpoints."""
        return self._gates.limit()

    @property
    def notices(self) -> tuple[str, ...]:
        """Sentences about the endpoints."""
        return tuple(dict.fromkeys([*self._health.notices, *teacher_notices(self.models)]))

    @property
    def endpoints(self) -> list[EndpointProgress]:
        """What each endpoint does, the base URL first, and each worker of a Ray cluster; empty if there is only one endpoint."""
        found = [gate.progress() for gate in self._gates.all()]
        teachers = {id(teacher): teacher for gate in self._gates.all() for teacher in self._gates.teachers_of(gate)}
        found += [
            EndpointProgress(
                worker.name, "in use" if worker.alive.is_set() else "out of use", worker.in_flight, worker.answered, worker.lost,
                worker.restarts,
            )
            for teacher in teachers.values()
            for worker in getattr(teacher, "workers", ())
        ]  # fmt: skip
        return found if len(found) > 1 else []

    def waiting(self) -> str:
        """Return what the run waits for and until when, '' if it is not waiting."""
        now = time.monotonic()
        if self.stop_reason is not None or self._fatal is not None:
            if self._requesting and self._drain_until is not None:
                until = clock_time(time.time() + max(0.0, self._drain_until - now))
                return f"Waiting for calls in flight, at most until {until}; stopping again ends at once."
            return ""
        closed = [wait for group in self._gates.groups() if (wait := group.waits)[0] > SHOWN_WAIT]
        delayed = [(due - now, reason) for due, reason in self._delayed.values()] if not self._tasks else []
        soonest = min((entry for entry in (*closed, *delayed) if entry[1]), default=None)
        if soonest is None or soonest[0] <= SHOWN_WAIT:
            recent = now - self.totals.last_fault_at < SHOWN_FAULT
            return f"Repeating a request after an error: {self.totals.last_fault}" if recent else ""
        return f"{soonest[1]} The next attempt is at {clock_time(time.time() + soonest[0])}."

    async def _sleep(self, seconds: float | None) -> None:
        """Wait for an event, or at most this many seconds."""
        if seconds is None:
            await self._wake.wait()
        else:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), seconds)
        self._wake.clear()

    def _start(self, work: Work) -> None:
        route = self._gates.choose(work) if work.messages else None
        if route is not None:
            work.endpoint = route.gate.host if route.gate.replicated else None
            self._requests.take(1)
            self._tokens.take(self._expected_tokens(work))
            route.gate.in_flight += 1
        task = asyncio.create_task(self._perform(work, route))
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _expected_tokens(self, work: Work) -> int:
        """Return the estimated tokens of a call for the rate limit, until its reply is known; 0 without such a limit."""
        if not self._tokens.limited:
            return 0
        reply = min(self.models[work.stage].decoding.max_tokens or DEFAULT_LIMIT, EXPECTED_REPLY)
        return reply + sum(estimate_tokens(message["content"]) for message in work.messages)

    def _finished(self, task: asyncio.Task) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.fail(error if isinstance(error, Exception) else RuntimeError(repr(error)))
        self._wake.set()

    async def _perform(self, work: Work, route: Route | None) -> None:
        """Execute one task, from the request to the transaction; tasks without messages, which have no route, are only stored."""
        if route is None:
            value = await self.commits.store(lambda db: self.queue.stage(work).store(db, work, None, self._teacher_name()))
            self.queue.stored(work, value)
            return
        gate, worst = route.gate, maximum_price(self.budget, self.models[work.stage], work)
        work.attempts += 1
        self.totals.requests += 1
        start = time.monotonic()
        unusable: UnusableReply | None = None
        try:
            reply = await self._request(work, route)
        except TeacherBusy as busy:
            self._tokens.take(-self._expected_tokens(work))
            self.budget.settle(worst, 0.0, paid=False)
            self._busy(work, gate, busy)
            return
        except TeacherFault as fault:
            self.budget.settle(worst, lost_price(self.models[work.stage], work) if fault.billed else 0.0, paid=fault.billed)
            await self._fault(work, gate, fault, time.monotonic() - start)
            return
        except TeacherRefusal as refusal:
            self.budget.settle(worst, 0.0, paid=False)
            await self._refusal(work, gate, refusal)
            return
        except TeacherError as error:
            self.budget.settle(worst, 0.0, paid=False)
            self._unusable(work, gate, error)
            return
        except asyncio.CancelledError:  # abandoned by `_drain`, but the reply may still be generated and billed
            self.budget.settle(worst, lost_price(self.models[work.stage], work))
            await self._calls.store_lost(work, self.models[work.stage], time.monotonic() - start)
            return
        except UnusableReply as fault:
            reply, unusable = fault.reply, fault
        except BaseException:
            self.budget.settle(worst, 0.0, paid=False)
            raise
        gate.served, gate.returning, gate.reason, gate.loading_since = True, False, "" if gate.in_use else gate.reason, None
        gate.answered += 1
        gate.outage.end()
        gate.concurrency.served(reply.tokens_out, full=gate.full)
        self._tokens.take(reply.tokens_in + reply.tokens_out - self._expected_tokens(work))
        if (overcharge := settle_reply(self.budget, self.models[work.stage], reply, worst)) is not None:
            self.stop(overcharge)
        await self._replies.store(work, reply, unusable, time.monotonic() - start)

    async def _request(self, work: Work, route: Route) -> Reply:
        """Send the request of a task; only this part of a task is abandoned when the run is stopped."""
        task = asyncio.current_task()
        assert task is not None
        self._requesting.add(task)
        try:
            return await route.teacher.reply(work.messages, self.models[work.stage].decoding)
        finally:
            self._requesting.discard(task)
            route.gate.in_flight -= 1
            self._wake.set()

    def _busy(self, work: Work, gate: EndpointGate, busy: TeacherBusy) -> None:
        """Handle a rate limit or a server that is loading its model: the task is sent again later, or at once to another endpoint.

        Raises:
            TeacherError: If the wait would be too long to be useful, and no other endpoint serves the model.
        """
        now = time.monotonic()
        if busy.retry_after is not None and busy.retry_after >= MAX_RETRY_AFTER:
            hint = "It asks to wait a day or longer. Resume the run after that."
            self._unusable(work, gate, TeacherError(f"{busy} {hint}"))
            return
        if not busy.loading:
            self.totals.throttled += 1
            wait = gate.concurrency.refused(busy.retry_after)
        else:
            gate.loading_since = gate.loading_since or now
            if now - gate.loading_since > LOADING_SECONDS:
                hint = f"It has not finished for {LOADING_SECONDS // 60} minutes. See the log of the server."
                self._unusable(work, gate, TeacherError(f"{busy} {hint}"))
                return
            wait = LOADING_PAUSE if busy.retry_after is None else max(busy.retry_after, 1.0)
            gate.concurrency.close(wait)
        gate.reason = str(busy)
        self._retry(work, 0.0 if self._gates.elsewhere(work, gate) else wait, str(busy))

    def _unusable(self, work: Work, gate: EndpointGate, error: TeacherError) -> None:
        """Handle an endpoint that cannot be used as configured: the task goes to another one that serves the same model.

        Raises:
            TeacherError: If there is no other.
        """
        if not self._health.exclude(gate, error):
            raise error
        self._retry(work, 0.0, str(error))

    async def _fault(self, work: Work, gate: EndpointGate, fault: TeacherFault, seconds: float) -> None:
        """Handle a transient error: retry the task unless it reached its limit or the endpoint is unavailable.

        Where another endpoint serves the same model, the task is sent there at once, and the error is not counted against the task.

        A reply that was generated but lost in transit is recorded as a call at its maximum price.
        """
        self.totals.faults += 1
        gate.faults += 1
        self.totals.last_fault, self.totals.last_fault_at = str(fault), time.monotonic()
        if fault.timed_out:
            gate.concurrency.timed_out()
        elif not gate.replicated and not fault.sender_lost:  # a slow server, or a sender that ended, is no unavailable endpoint
            gate.outage.fault(sent=fault.sent)
        if fault.billed:
            await self._calls.store_lost(work, self.models[work.stage], seconds)
        if gate.replicated and not fault.sender_lost:
            self._health.fault(gate, fault)
        gate.refusals += fault.misdirected
        if not gate.served and gate.refusals >= MAX_REFUSALS:
            hint = f"Nothing else came in {gate.refusals} responses. Check the URL and the log of the server."
            self._unusable(work, gate, TeacherError(f"{fault} {hint}"))
            return
        if not gate.replicated and gate.outage.gone:
            hint = "It has not replied for a while." if fault.sent else "Check the URL."
            raise TeacherError(f"{fault} {hint}") from None
        if not gate.replicated and gate.outage.down:
            gate.reason = str(fault)
            gate.concurrency.collapse(max(gate.outage.pause, fault.retry_after or 0.0))
        if self._gates.elsewhere(work, gate):
            self._retry(work, 0.0, str(fault))
            return
        # Errors during an outage are not due to the task. A sender that ended may be: a task whose senders all end is not repeated forever.
        work.faults += fault.sent and not gate.outage.down
        if work.faults >= MAX_FAULTS:
            await self._replies.give_up(work, "no reply", f"{fault} Tried {work.faults} times.")
        else:
            wait = min(30.0, BACKOFF * 2 ** max(0, work.faults - 1)) * self._jitter.uniform(0.5, 1.0)
            self._retry(work, max(wait, fault.retry_after or 0.0), str(fault))

    async def _refusal(self, work: Work, gate: EndpointGate, refusal: TeacherRefusal) -> None:
        """Handle a refused request: the task fails; if the first requests are all refused, the endpoint cannot be used."""
        gate.refusals += 1
        if not gate.served and gate.refusals >= MAX_REFUSALS:
            hint = f"The first {gate.refusals} requests were all refused."
            self._unusable(work, gate, TeacherError(f"{refusal} {hint}"))
            return
        await self._replies.give_up(work, "refused", str(refusal))

    def _retry(self, work: Work, seconds: float, reason: str) -> None:
        """Retry a task after a delay, during which it does not count as in flight."""
        self._delayed[id(work)] = (time.monotonic() + seconds, reason)

        def enqueue() -> None:
            del self._delayed[id(work)]
            self._retries.append(work)
            self._wake.set()

        asyncio.get_running_loop().call_later(seconds, enqueue)

    def _teacher_name(self) -> str:
        """Return the teacher to record for records merged from several replies."""
        return self.models["subjects"].teacher.name
