"""Storage of calls: each with the records, or the failure, that came of it in one transaction."""

import time
from collections.abc import Callable

import apsw

from glan_core.generation.call_records import ReceivedReply, StageModel, call_record, largest_reply
from glan_core.generation.protocols import Work
from glan_core.workspace import call_rows
from glan_core.workspace.call_rows import Call, Failure
from glan_core.workspace.group_commit import GroupCommit

MAX_KEPT_REPLY = 20_000  # characters of a failed reply that are stored for inspection


class CallStore:
    """Stores the calls of a run.

    Args:
        commits: Group commits of the run.
        run_id: The run.
        keep_reasoning: Whether the reasoning of replies is stored.
        close: For requests of batches: marks the request as closed, in the transaction that stores its reply or failure.
    """

    def __init__(
        self, commits: GroupCommit, run_id: int | None, *, keep_reasoning: bool,
        close: Callable[[apsw.Connection, Work], None] | None = None,
    ) -> None:  # fmt: skip
        self._commits, self._run_id, self._keep_reasoning, self._close = commits, run_id, keep_reasoning, close
        self._known_prompts: set[str] = set()

    def record(self, work: Work, model: StageModel, received: ReceivedReply, outcome: str, kept: str | None) -> Call:
        """Return the record of a call; see `call_record`."""
        return call_record(work, model, received, outcome, kept, run_id=self._run_id, keep_reasoning=self._keep_reasoning)

    async def store(self, work: Work, call: Call, also: Callable[[apsw.Connection], object] | None = None) -> object:
        """Store a call together with what `also` writes, and return the result of `also`."""

        def job(db: apsw.Connection) -> object:
            if work.prompt.version not in self._known_prompts:
                call_rows.add_prompt(db, work.prompt.version, work.prompt.name, work.prompt.text)
            if self._close:
                self._close(db, work)
            return also(db) if also else None

        value = await self._commits.store(job, call)
        self._known_prompts.add(work.prompt.version)
        return value

    async def store_lost(self, work: Work, model: StageModel, seconds: float) -> None:
        """Store a call whose reply did not arrive, at its maximum price."""
        lost = ReceivedReply(largest_reply(work.messages, model.decoding), "", "", seconds)
        await self.store(work, self.record(work, model, lost, "lost", None))

    async def store_failure(self, work: Work, cause: str, message: str, call: Call | None = None) -> None:
        """Store that a task failed, with its last call if it had a reply."""
        reply = (call.reply or "") if call else ""
        failure = Failure(
            work.id, work.stage, work.discipline_id, self._run_id, cause, message, reply[:MAX_KEPT_REPLY], time.time()
        )
        if call is None:

            def job(db: apsw.Connection) -> None:
                call_rows.add_failure(db, failure)
                if self._close:
                    self._close(db, work)

            await self._commits.store(job)
        else:
            await self.store(work, call, lambda db: call_rows.add_failure(db, failure))
