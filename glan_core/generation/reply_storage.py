"""From a reply to stored rows: checks, record and call in one transaction, repair turns, further tries, failures and totals.

Both engines use it, so that a reply is treated alike whether it arrived online or in the results of a batch.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import apsw

from glan_core.generation.call_records import ReceivedReply, StageModel, cost_of, largest_reply, storable_reply
from glan_core.generation.call_store import MAX_KEPT_REPLY, CallStore
from glan_core.generation.failure_causes import retried_within_run
from glan_core.generation.protocols import Work, WorkQueue, ask
from glan_core.generation.rate_limits import Budget
from glan_core.generation.reply_checks import checked_text
from glan_core.generation.stage_specs import STAGE_SPECS
from glan_core.prompts import prompt
from glan_core.reply_parsing import MalformedReply
from glan_core.teachers.contract import Reply, UnusableReply
from glan_core.workspace import call_rows
from glan_core.workspace.call_rows import Call


@dataclass(slots=True)
class Totals:
    """Totals of a run.

    Attributes:
        done: Completed tasks by stage.
        failed: Failed tasks by stage.
        requests: HTTP requests sent, or requests of batches.
        throttled: Requests answered with status 429.
        faults: Transient errors.
        tokens_in: Prompt tokens.
        tokens_out: Completion tokens, reasoning included.
        tokens_reasoning: Completion tokens of reasoning.
        last_fault: Message of the latest transient error.
        last_fault_at: Its time by the monotonic clock.
    """

    done: dict[str, int] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)
    requests: int = 0
    throttled: int = 0
    faults: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    tokens_reasoning: int = 0
    last_fault: str = ""
    last_fault_at: float = float("-inf")


def lost_price(model: StageModel, work: Work) -> float:
    """Return the price in USD at which a call is stored whose reply was lost, given by `max_tokens`; 0 if no price is known."""
    return cost_of(model, largest_reply(work.messages, model.decoding)) or 0.0


def maximum_price(budget: Budget, model: StageModel, work: Work) -> float:
    """Return the price in USD to reserve for a call; 0 without a budget."""
    return 0.0 if budget.usd is None else lost_price(model, work)


def settle_reply(budget: Budget, model: StageModel, reply: Reply, worst: float) -> str | None:
    """Replace the reservation of a call by its cost; return why the run must stop if it cost more than reserved."""
    cost = cost_of(model, reply) or 0.0
    budget.settle(worst, cost)
    if budget.usd is not None and cost > worst:
        return f"{model.teacher.name} charged more than the maximum price of the request (it may ignore max_tokens)"
    return None


class ReplyStorage:
    """Stores replies with their records, or why there are none.

    Attributes:
        totals: Totals of the run.
        retries: Tasks to be sent again: repair turns and further tries.
    """

    def __init__(self, queue: WorkQueue, models: Mapping[str, StageModel], calls: CallStore) -> None:
        self._queue, self._models, self._calls = queue, models, calls
        self.totals = Totals()
        self.retries: list[Work] = []

    async def store(self, work: Work, reply: Reply, unusable: UnusableReply | None, seconds: float) -> None:
        """Store the record of a reply, or record why there is none.

        Args:
            work: The task.
            reply: Its reply.
            unusable: Why the response cannot become a record, None if it may.
            seconds: Seconds from the request to the reply.
        """
        reply = storable_reply(reply)
        self.totals.tokens_in += reply.tokens_in
        self.totals.tokens_out += reply.tokens_out
        reasoning, text = reply.split() if unusable is None else ("", reply.text)
        self.totals.tokens_reasoning += reply.reasoning_tokens(reasoning)
        await self._handle(work, ReceivedReply(reply, reasoning, text, seconds), unusable)

    async def _handle(self, work: Work, received: ReceivedReply, unusable: UnusableReply | None) -> None:
        stage, model = self._queue.stage(work), self._models[work.stage]
        text, reasoning = received.text, received.reasoning
        try:
            if unusable is not None:
                raise MalformedReply(unusable.cause, str(unusable))
            parsed = stage.parse(work, checked_text(stage, received, work.messages, model.decoding))
        except MalformedReply as fault:
            call = self._calls.record(work, model, received, fault.cause, (text or reasoning)[:MAX_KEPT_REPLY])
            if fault.repairable and not work.repairs:
                await self._calls.store(work, call)
                self._ask_to_repair(work, text, str(fault))
                return
            work.failed_tries += 1
            if work.failed_tries < STAGE_SPECS[work.stage].tries and retried_within_run(fault.cause):
                await self._calls.store(work, call)
                self._start_over(work)
            else:
                await self.give_up(work, fault.cause, str(fault), call)
            return
        call = self._calls.record(work, model, received, "stored", None if stage.record_text(parsed) == text else text)

        def store(db: apsw.Connection) -> object:
            value = stage.store(db, work, parsed, call.teacher)
            call_rows.clear_failure(db, work.id, work.stage, work.discipline_id)
            return value

        value = await self._calls.store(work, call, store)
        self.totals.done[work.stage] = self.totals.done.get(work.stage, 0) + 1
        self._queue.stored(work, value)

    def _ask_to_repair(self, work: Work, text: str, problem: str) -> None:
        repair = prompt("repair")
        work.first = work.first or (work.prompt, work.messages)
        work.messages = [*work.messages, {"role": "assistant", "content": text}, *ask(repair, problem=problem)]
        work.prompt, work.repairs, work.attempts, work.faults = repair, 1, 0, 0
        self.retries.append(work)

    def _start_over(self, work: Work) -> None:
        """Request another reply to the original chat."""
        if work.first is not None:
            work.prompt, work.messages = work.first
        work.repairs = work.attempts = work.faults = 0
        self.retries.append(work)

    async def give_up(self, work: Work, cause: str, message: str, call: Call | None = None) -> None:
        """Record a task as failed; the next run retries it."""
        await self._calls.store_failure(work, cause, message, call)
        self.totals.failed[work.stage] = self.totals.failed.get(work.stage, 0) + 1
        self._queue.failed(work)
