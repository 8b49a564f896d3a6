"""The interface of teachers: chats in, replies or typed errors out.

The generation engine depends only on this module. A teacher may receive many concurrent requests from one event loop.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypedDict

from glan_core.errors import GlanError
from glan_core.teachers.reasoning import split_reasoning

DEFAULT_LIMIT = 32_768  # tokens of a reply that is requested without a limit; bounds what is generated and received


class Message(TypedDict):
    """One message of a chat; the role is 'user', 'assistant' or 'system'."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class DecodingParams:
    """Decoding parameters; None means that the parameter is not sent, so that the model's own default applies.

    Attributes:
        temperature: Sampling temperature; 0 is greedy decoding.
        top_p: Nucleus sampling threshold.
        max_tokens: Limit of the completion, reasoning included, in tokens of the teacher's tokenizer.
    """

    temperature: float | None = 1.0
    top_p: float | None = 0.95
    max_tokens: int | None = 4096

    def complete(self) -> "CompleteDecodingParams":
        """Return the parameters for a model that decodes in this process, which has no defaults of its own to fall back to."""
        return CompleteDecodingParams(
            1.0 if self.temperature is None else self.temperature, 1.0 if self.top_p is None else self.top_p,
            DEFAULT_LIMIT if self.max_tokens is None else self.max_tokens,
        )  # fmt: skip


class CompleteDecodingParams(NamedTuple):
    """Decoding parameters without gaps; see `DecodingParams`."""

    temperature: float
    top_p: float
    max_tokens: int


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete reply.

    Attributes:
        text: Text of the reply as received; it may begin with reasoning in tags (see `split`).
        finish_reason: 'stop' for a complete reply, 'length' if truncated at a limit, 'content_filter' or 'refusal' if withheld.
        tokens_in: Prompt tokens.
        tokens_out: Completion tokens, reasoning included.
        estimated: Whether the token counts are estimates because the teacher reported none.
        reasoning: Reasoning that the endpoint sent apart from the text.
        tokens_reasoning: Reasoning tokens that the endpoint reported, None if it did not.
        sent: Parameters of the request as sent, except model and messages; None for a teacher without requests.
    """

    text: str
    finish_reason: str = "stop"
    tokens_in: int = 0
    tokens_out: int = 0
    estimated: bool = False
    reasoning: str = ""
    tokens_reasoning: int | None = None
    sent: Mapping[str, Any] | None = None

    def split(self) -> tuple[str, str]:
        """Return (reasoning, reply): the reasoning sent apart and in tags, and the text without it."""
        in_text, reply = split_reasoning(self.text, closed_only=not self.reasoning)
        return "\n\n".join(filter(None, (self.reasoning.strip(), in_text))), reply

    @property
    def streamed(self) -> str:
        """The text as `Teacher.stream` yields it: reasoning that was sent apart comes first, in tags."""
        return f"<think>{self.reasoning}</think>\n\n{self.text}" if self.reasoning else self.text

    def reasoning_tokens(self, reasoning: str) -> int:
        """Return the reasoning tokens: as reported, or estimated from the share of the reasoning in the characters."""
        if self.tokens_reasoning is not None or not reasoning:
            return min(self.tokens_reasoning or 0, self.tokens_out)
        whole = len(self.text) + len(self.reasoning)
        return min(self.tokens_out, round(self.tokens_out * len(reasoning) / max(1, whole)))


class TeacherError(GlanError):
    """The teacher cannot be used as configured (key, model, URL, quota); retrying does not help."""


class TeacherBusy(Exception):
    """The request was not served and should be queued again: a rate limit (429), or a server that is loading its model.

    Attributes:
        retry_after: Requested wait in seconds, or None.
        loading: Whether the server is loading the model.
    """

    def __init__(self, message: str, retry_after: float | None = None, *, loading: bool = False) -> None:
        super().__init__(message)
        self.retry_after, self.loading = retry_after, loading


class TeacherFault(Exception):
    """A transient error (timeout, connection reset, 5xx, truncated body): retrying may help.

    Attributes:
        sent: False if the request never reached the teacher (connection refused).
        billed: True if a reply was or may have been generated but was lost in transit (truncated body, timeout).
        retry_after: Requested wait in seconds, or None.
        timed_out: Whether the teacher did not reply in time, which fewer concurrent requests may prevent.
        misdirected: Whether something else than a teacher may have responded, such as a login page; if nothing else ever comes, the
            address is wrong.
        sender_lost: Whether the process that sent the request ended, which says nothing about the endpoint.
    """

    def __init__(
        self, message: str, *, sent: bool = True, billed: bool = False, retry_after: float | None = None, timed_out: bool = False,
        misdirected: bool = False, sender_lost: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(message)
        self.misdirected, self.sender_lost = misdirected, sender_lost
        self.sent, self.billed, self.retry_after, self.timed_out = sent, billed, retry_after, timed_out


class UnusableReply(Exception):
    """A response that was paid for but cannot become a record, such as one without end.

    Attributes:
        cause: Outcome of the call (`Call.outcome`).
        reply: What was received, with its tokens.
    """

    def __init__(self, cause: str, message: str, reply: Reply) -> None:
        super().__init__(message)
        self.cause, self.reply = cause, reply

    def __reduce__(self) -> tuple:
        """Return what another process needs to rebuild the error."""
        return UnusableReply, (self.cause, str(self), self.reply)


class TeacherRefusal(Exception):
    """The teacher refuses this request (too long, filtered); other requests may succeed."""


class Teacher(Protocol):
    """A model that answers chats.

    Attributes:
        name: Name stored with every row, such as 'openai:gpt-4o'.

    A teacher of an endpoint also has `url`, and `notices`: what it learned about the endpoint and people should know, such as a
    parameter that the endpoint rejects.
    """

    name: str

    async def reply(self, messages: Sequence[Message], decoding: DecodingParams) -> Reply:
        """Return the complete reply.

        Raises:
            TeacherError: If the teacher cannot be used as configured.
            TeacherBusy: If the rate limit is reached.
            TeacherFault: If a transient error occurs.
            TeacherRefusal: If the teacher refuses this request.
            UnusableReply: If the response is paid for but not a usable reply.
        """
        ...

    def stream(self, messages: Sequence[Message], decoding: DecodingParams) -> AsyncGenerator[str | Reply, None]:
        """Stream the reply as text pieces, followed by the complete `Reply`; raises as `reply` does.

        For example, 'A', ' word' is followed by Reply('A word', 'stop', 12, 2). Reasoning that the endpoint sends apart is streamed
        between <think> and </think>. If the stream is closed early, there is no `Reply` and the teacher stops generating if it can.
        """
        ...

    async def close(self) -> None:
        """Release connections, threads and memory."""
        ...


def estimate_tokens(text: str) -> int:
    """Estimate the number of tokens without a tokenizer: one per four UTF-8 bytes, at least one."""
    return max(1, len(text.encode("utf-8", "replace")) // 4)
