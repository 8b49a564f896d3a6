"""What a teacher is: something that answers one chat at a time, or says why it did not.

Engines know only this module. A teacher may be asked many things at once from one event loop.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypedDict

from glan_core.errors import GlanError


class Message(TypedDict):
    """One turn of a chat: role is 'user', 'assistant' or 'system'."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class DecodingParams:
    """How a reply is drawn. `max_tokens` bounds the reply, in tokens of the teacher's own tokenizer."""

    temperature: float = 1.0
    top_p: float = 0.95
    max_tokens: int = 4096


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply that arrived whole.

    `finish_reason` is 'stop' for a complete reply, 'length' for one cut at `max_tokens`, 'content_filter' or 'refusal'
    for one withheld. Token counts are the teacher's own; where it gave none they are estimated and `estimated` is set.
    """

    text: str
    finish_reason: str = "stop"
    tokens_in: int = 0
    tokens_out: int = 0
    estimated: bool = False


class TeacherError(GlanError):
    """The teacher can't be used as it is set up (key, model, address, quota): asking again will not help."""


class TeacherBusy(Exception):
    """Too many requests (429): the request was not served and should be put back.

    `retry_after` is the wait in seconds that the teacher asked for, or None.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class TeacherFault(Exception):
    """A passing fault (timeout, reset connection, 5xx, body cut in transit): asking again may help.

    `sent` is False when the request certainly never reached the teacher (connection refused); `billed` is True when the
    reply was written, or may have been, and was lost on its way (cut body, timeout). `retry_after` is the wait in seconds
    that the teacher asked for, or None.
    """

    def __init__(self, message: str, *, sent: bool = True, billed: bool = False, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.sent, self.billed, self.retry_after = sent, billed, retry_after


class TeacherRefusal(Exception):
    """The teacher refuses this one request (too long, filtered): others may well be served."""


class Teacher(Protocol):
    """Anything that answers chats. `name` is what is recorded with every row, such as 'openai:gpt-4o'."""

    name: str

    async def reply(self, messages: Sequence[Message], sampling: DecodingParams) -> Reply:
        """The whole reply; raises TeacherError, TeacherBusy, TeacherFault or TeacherRefusal."""
        ...

    def stream(self, messages: Sequence[Message], sampling: DecodingParams) -> AsyncIterator[str | Reply]:
        """The reply piece by piece, as it is written, and last of all the whole Reply; raises as `reply` does.

        The pieces 'A', ' word' are followed by Reply('A word', 'stop', 12, 2). A caller that closes the stream early gets no
        Reply, and the teacher stops writing where it can.
        """
        ...

    async def close(self) -> None:
        """Give back connections, threads and memory."""
        ...


def estimate_tokens(text: str) -> int:
    """A rough token count for text whose tokenizer is not at hand: one token for every four UTF-8 bytes, at least one."""
    return max(1, len(text.encode("utf-8", "replace")) // 4)
