"""The interface of teachers: chats in, replies or typed errors out.

The generation engine depends only on this module. A teacher may receive many concurrent requests from one event loop.
"""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypedDict

from glan_core.errors import GlanError


class Message(TypedDict):
    """One message of a chat; the role is 'user', 'assistant' or 'system'."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class DecodingParams:
    """Decoding parameters; `max_tokens` limits the reply, in tokens of the teacher's tokenizer."""

    temperature: float = 1.0
    top_p: float = 0.95
    max_tokens: int = 4096


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete reply.

    Attributes:
        text: Text of the reply.
        finish_reason: 'stop' for a complete reply, 'length' if truncated at `max_tokens`, 'content_filter' or 'refusal' if
            withheld.
        tokens_in: Prompt tokens.
        tokens_out: Completion tokens.
        estimated: Whether the token counts are estimates because the teacher reported none.
    """

    text: str
    finish_reason: str = "stop"
    tokens_in: int = 0
    tokens_out: int = 0
    estimated: bool = False


class TeacherError(GlanError):
    """The teacher cannot be used as configured (key, model, URL, quota); retrying does not help."""


class TeacherBusy(Exception):
    """Rate limit (429): the request was not served and should be queued again.

    Attributes:
        retry_after: Requested wait in seconds, or None.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class TeacherFault(Exception):
    """A transient error (timeout, connection reset, 5xx, truncated body): retrying may help.

    Attributes:
        sent: False if the request never reached the teacher (connection refused).
        billed: True if a reply was or may have been generated but was lost in transit (truncated body, timeout).
        retry_after: Requested wait in seconds, or None.
    """

    def __init__(self, message: str, *, sent: bool = True, billed: bool = False, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.sent, self.billed, self.retry_after = sent, billed, retry_after


class TeacherRefusal(Exception):
    """The teacher refuses this request (too long, filtered); other requests may succeed."""


class Teacher(Protocol):
    """A model that answers chats.

    Attributes:
        name: Name stored with every row, such as 'openai:gpt-4o'.
    """

    name: str

    async def reply(self, messages: Sequence[Message], decoding: DecodingParams) -> Reply:
        """Return the complete reply.

        Raises:
            TeacherError: If the teacher cannot be used as configured.
            TeacherBusy: If the rate limit is reached.
            TeacherFault: If a transient error occurs.
            TeacherRefusal: If the teacher refuses this request.
        """
        ...

    def stream(self, messages: Sequence[Message], decoding: DecodingParams) -> AsyncGenerator[str | Reply, None]:
        """Stream the reply as text pieces, followed by the complete `Reply`; raises as `reply` does.

        For example, 'A', ' word' is followed by Reply('A word', 'stop', 12, 2). If the stream is closed early, there is no `Reply`
        and the teacher stops generating if it can.
        """
        ...

    async def close(self) -> None:
        """Release connections, threads and memory."""
        ...


def estimate_tokens(text: str) -> int:
    """Estimate the number of tokens without a tokenizer: one per four UTF-8 bytes, at least one."""
    return max(1, len(text.encode("utf-8", "replace")) // 4)
