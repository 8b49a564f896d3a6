"""A piece of work, and what every stage must say about it."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import apsw

from glan_core.prompts import Prompt
from glan_core.teachers.contract import Message


@dataclass(slots=True)
class Work:
    """One call to be made, named before it is paid for.

    `id` is the id of the record that will come of it; `facts` is what the stage needs to store that record. A work
    without `messages` costs nothing: it is only stored. `attempts` counts its requests since the last repair turn, `faults`
    those of them that failed for a passing cause.
    """

    stage: str
    id: str
    discipline_id: str | None
    prompt: Prompt | None
    messages: list[Message] | None
    facts: Any
    attempts: int = 0
    faults: int = 0
    repairs: int = 0


class Stage(Protocol):
    """How the replies of one stage are read and stored. A stage may have a `whole(text, finish_reason)` of its own in the place of
    `replies.check_whole`, where a reply that is cut, empty or a refusal is no fault."""

    name: str

    def parse(self, work: Work, text: str) -> Any:
        """What a whole reply says; raises Malformed."""
        ...

    def store(self, db: apsw.Connection, work: Work, parsed: Any, teacher: str) -> Any:
        """Write the records, inside a transaction that also holds the call. What it returns goes to WorkQueue.stored."""
        ...

    def record_text(self, parsed: Any) -> str | None:
        """The text that the record keeps word for word, so that the call need not keep it again; None if there is none."""
        ...


class WorkQueue(Protocol):
    """What is to be done next, given what has been done.

    It may have `voices(voices)`, which gives the voices of all its stages, given those of the order's own teachers, and
    `ended(ending)`, which does what is left to do when the calls are over and gives the state and sentence in which the run ends.
    """

    def next(self) -> Work | None:
        """The next piece of work, deepest stage first, or None while there is none."""
        ...

    def stage(self, work: Work) -> Stage:
        """The stage that a piece of work belongs to."""
        ...

    def stored(self, work: Work, value: Any) -> None:
        """A piece of work is on the disk; `value` is what its stage's store returned."""
        ...

    def failed(self, work: Work) -> None:
        """A piece of work will not be done in this run."""
        ...

    def planned(self) -> dict[str, int]:
        """How much work there is in all, by stage, as far as can be told now; what is done and failed included."""
        ...


def ask(prompt: Prompt, **values: str) -> list[Message]:
    """A chat of one turn: the prompt, filled."""
    return [{"role": "user", "content": prompt.render(**values)}]


def fingerprint(messages: Sequence[Message]) -> str:
    """What tells one chat from another (64 bits of SHA-256): a prompt rendered again from provenance can be checked by it."""
    return hashlib.sha256(json.dumps(messages, ensure_ascii=False).encode("utf-8", "surrogatepass")).hexdigest()[:16]
