"""Tasks, and the interfaces of stages and work queues."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol

import apsw
import pydantic_core

from glan_core.prompts import Prompt
from glan_core.teachers.contract import Message

# Characters of a question's prompt after its syllabus, at most. What precedes them is the same for many questions.
PROMPT_TAIL = 2000


@dataclass(slots=True)
class Work:
    """One call to be made, whose record id is known in advance.

    Attributes:
        stage: Name of the stage.
        id: Id of the record that the call creates.
        discipline_id: Discipline of the record, if it has one.
        prompt: The prompt template.
        messages: The chat; empty for a task without a call, which is only stored.
        facts: Data that the stage needs to store the record.
        attempts: Requests since the last repair turn.
        faults: Transient errors among them.
        repairs: Repair turns.
        failed_tries: Replies in this run that could not be used, repair turns included.
        first: Prompt and chat without repair turns, while there is one.
        endpoint: Endpoint of the latest request if its model has several, None otherwise.
        failed_at: Endpoints at which it failed since its last wait.
    """

    stage: str
    id: str
    discipline_id: str | None
    prompt: Prompt
    messages: list[Message]
    facts: Any
    attempts: int = 0
    faults: int = 0
    repairs: int = 0
    failed_tries: int = 0
    first: tuple[Prompt, list[Message]] | None = None
    endpoint: str | None = None
    failed_at: set[str] = field(default_factory=set)

    def require_discipline(self) -> str:
        """Return the id of the discipline.

        Raises:
            ValueError: If the record has no discipline.
        """
        if self.discipline_id is None:
            raise ValueError(f"the task {self.id} has no discipline")
        return self.discipline_id


NO_PROMPT = Prompt("", "", "")  # of tasks without a call


class Stage(Protocol):
    """How the replies of one stage are parsed and stored.

    A stage may define `check_reply(text, finish_reason)` to replace `reply_parsing.check_complete` if truncated, empty or refused
    replies are acceptable.
    """

    name: str

    def parse(self, work: Work, text: str) -> Any:
        """Parse a complete reply.

        Raises:
            MalformedReply: If it cannot be parsed.
        """
        ...

    def store(self, db: apsw.Connection, work: Work, parsed: Any, teacher: str) -> Any:
        """Store the records within the transaction of the call; the result is passed to `WorkQueue.stored`."""
        ...

    def record_text(self, parsed: Any) -> str | None:
        """Return the text that the record contains verbatim, so that the call need not store it; None if there is none."""
        ...


class WorkQueue(Protocol):
    """The pending tasks of a run, given what is already stored.

    It may define `stage_models(models)`, which adds the models of further stages to those of the settings,
    `finish(outcome)`, which completes the run after its last call and returns its final state and message, and
    `renewed(work)`, which returns a task as it is now: itself, another one if the text that it is about was edited while it
    waited for its reply, or None if that was removed.
    """

    def next(self) -> Work | None:
        """Return the next task, deepest stage first, or None if there is none at the moment."""
        ...

    def stage(self, work: Work) -> Stage:
        """Return the stage of a task."""
        ...

    def stored(self, work: Work, value: Any) -> None:
        """Handle a stored task; `value` is the result of its stage's `store`."""
        ...

    def failed(self, work: Work) -> None:
        """Handle a task that failed in this run."""
        ...

    def planned(self) -> dict[str, int]:
        """Return the number of all known tasks by stage, including completed and failed ones."""
        ...


def ask(prompt: Prompt, **values: str) -> list[Message]:
    """Return a chat with one message, the rendered prompt."""
    return [{"role": "user", "content": prompt.render(**values)}]


def fingerprint(messages: Sequence[Message]) -> str:
    """Return a 64-bit hash of a chat, by which a chat reconstructed from provenance is verified.

    What is hashed is the chat as Python's json module writes it, with spaces.
    """
    try:
        digest = _digest(messages)
    except (LookupError, pydantic_core.PydanticSerializationError):  # no messages; lone surrogates
        digest = hashlib.sha256(json.dumps(messages, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:16]


def _digest(messages: Sequence[Message]) -> "hashlib._Hash":
    text = messages[0]["content"]
    shared = max(0, len(text) - PROMPT_TAIL) // 1000 * 1000  # rounded, to be the same for prompts of different lengths
    digest = _digest_of_beginning(messages[0]["role"], text[:shared]).copy()
    digest.update(b"%b}" % pydantic_core.to_json(text[shared:])[1:])
    for message in messages[1:]:
        role, content = pydantic_core.to_json(message["role"]), pydantic_core.to_json(message["content"])
        digest.update(b', {"role": %b, "content": %b}' % (role, content))
    digest.update(b"]")
    return digest


@lru_cache(maxsize=64)
def _digest_of_beginning(role: str, beginning: str) -> "hashlib._Hash":
    """Return the hash so far: hashing a syllabus once, instead of once for each question, saves a hundredth of the CPU of a run."""
    return hashlib.sha256(b'[{"role": %b, "content": %b' % (pydantic_core.to_json(role), pydantic_core.to_json(beginning)[:-1]))
