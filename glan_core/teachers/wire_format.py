"""The OpenAI-compatible wire format: what goes into a request, and what a response means.

The one module that knows it: whole replies and streams are both read through it.
"""

import json
import re
from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from time import time

from glan_core.teachers.contract import (
    DecodingParams,
    Message,
    Reply,
    TeacherBusy,
    TeacherError,
    TeacherFault,
    TeacherRefusal,
    estimate_tokens,
)

OPENAI_URL = "https://api.openai.com/v1"
SECRET = re.compile(r"\b(sk|rk|key|pk|hf)[-_][\w*.-]{6,}|\bBearer\s+\S+", re.IGNORECASE)
MAX_RETRY_AFTER = 600.0


def redact(text: str, key: str = "") -> str:
    """The text with the key, and all that looks like one, blotted out: endpoints quote keys in their errors."""
    if key:
        text = text.replace(key, "[key]")
    return SECRET.sub("[key]", text)


def chat_body(
    model: str, messages: Sequence[Message], sampling: DecodingParams, *, unsupported: frozenset[str] = frozenset(),
    new_limit_name: bool = False, stream: bool = False,
) -> dict:  # fmt: skip
    """The body of a chat completion request; a stream is asked to say its token counts at the end.

    Parameters in `unsupported` are left out: reasoning models refuse temperature and top_p. `new_limit_name` says
    max_completion_tokens, which OpenAI's newer models demand and older servers do not know.
    """
    body: dict = {"model": model, "messages": list(messages)}
    if stream:
        body["stream"] = True
        if "stream_options" not in unsupported:
            body["stream_options"] = {"include_usage": True}
    limit = "max_completion_tokens" if new_limit_name else "max_tokens"
    for name, value in (("temperature", sampling.temperature), ("top_p", sampling.top_p), (limit, sampling.max_tokens)):
        if name not in unsupported:
            body[name] = value
    return body


def read_reply(raw: bytes, messages: Sequence[Message]) -> Reply:
    """The reply in a 200 response; TeacherFault when the body is not whole or not a chat completion."""
    try:
        body = json.loads(raw)
        choice = body["choices"][0]
        message = choice["message"]
        text = _text(message.get("content"))
        finish = "refusal" if message.get("refusal") else choice.get("finish_reason") or "stop"
        usage = body.get("usage")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        raise TeacherFault("The response was cut or is not a chat completion.", billed=True) from None
    return _reply(text, finish, usage, messages)


def _reply(text: str, finish: str, usage: object, messages: Sequence[Message]) -> Reply:
    """A reply with the endpoint's token counts, or estimated ones where it gave none."""
    usage = usage if isinstance(usage, dict) else {}
    counts = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if all(type(count) is int and count >= 0 for count in counts):
        return Reply(text, finish, *counts)
    tokens_in = sum(estimate_tokens(m["content"]) for m in messages)
    return Reply(text, finish, tokens_in, estimate_tokens(text), estimated=True)


class Stream:
    """A streamed chat completion, put together from the bytes of its server-sent events as they arrive."""

    def __init__(self, messages: Sequence[Message], key: str = "") -> None:
        self._messages, self._key = messages, key
        self._rest, self._text, self._finish, self._usage = b"", "", "", None

    def feed(self, raw: bytes) -> str:
        """The text that some more bytes bring; TeacherFault when they report an error or are no chat completion."""
        *lines, self._rest = (self._rest + raw).split(b"\n")
        new = "".join(self._piece(line.removeprefix(b"data:").strip()) for line in lines if line.startswith(b"data:"))
        self._text += new
        return new

    def _piece(self, data: bytes) -> str:
        """The text of one event."""
        if data == b"[DONE]":
            return ""
        try:
            event = json.loads(data)
            if event.get("error"):
                raise TeacherFault(f"The reply broke off: {redact(error_message(data)[0], self._key)}", billed=True)
            self._usage = event.get("usage") or self._usage
            if not event.get("choices"):
                return ""
            choice = event["choices"][0]
            delta = choice.get("delta") or {}
            self._finish = "refusal" if delta.get("refusal") else self._finish or choice.get("finish_reason") or ""
            return _text(delta.get("content"))
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
            raise TeacherFault("The response was cut or is not a chat completion.", billed=True) from None

    def reply(self) -> Reply:
        """The whole reply, once all bytes are fed; TeacherFault when its end is missing."""
        if not self._finish:
            raise TeacherFault("The response was cut before its end.", billed=True)
        return _reply(self._text, self._finish, self._usage, self._messages)


def _text(content: object) -> str:
    """The text of a message: a string, nothing, or a list of parts; TypeError for anything else."""
    if isinstance(content, list):
        return "".join(part["text"] for part in content if part.get("type", "text") == "text")
    if not isinstance(content, str | None):
        raise TypeError
    return content or ""


def error_message(raw: bytes) -> tuple[str, str, str]:
    """What an error body says: (message, code, param), each possibly empty."""
    try:
        error = json.loads(raw)["error"]
    except (ValueError, KeyError, TypeError):
        return raw[:300].decode("utf-8", "replace").strip(), "", ""
    if not isinstance(error, dict):
        return str(error)[:300], "", ""
    return (
        str(error.get("message") or "")[:300],
        str(error.get("code") or error.get("type") or ""),
        str(error.get("param") or ""),
    )


def error_of(status: int, raw: bytes, headers, *, where: str, model: str, key: str) -> Exception:
    """The exception that a response with an error status stands for.

    TeacherError for what no retry mends (401, 403, 404, other 4xx, a used-up quota), TeacherBusy for 429, TeacherFault for
    408, 409, 425 and 5xx, TeacherRefusal for what is about one request alone (400, 413, 422: too long, filtered).
    """
    message, code, _ = error_message(raw)
    said = f" It says: {redact(message, key)}" if message else ""
    if status == 429 and code not in ("insufficient_quota", "billing_hard_limit_reached"):
        return TeacherBusy(f"{where} is busy.", retry_after(headers))
    if status in (408, 409, 425) or status >= 500:
        return TeacherFault(f"{where} failed with status {status}.{said}", retry_after=retry_after(headers))
    if status in (400, 413, 422):
        return TeacherRefusal(f"{where} refuses the request (status {status}).{said}")
    advice = {
        401: "does not accept the key: set OPENAI_API_KEY to a valid one",
        403: f"does not allow this key to use {model}",
        404: f"has no model {model}, or the address is wrong (it should end in /v1)",
        429: "says that the quota is used up: add credit or raise the limit there, then continue the run",
    }.get(status, f"refuses the request (status {status})")
    return TeacherError(f"{where} {advice}.{said}")


def unsupported_parameter(status: int, raw: bytes) -> str | None:
    """The parameter that a 400 response complains about, if it is one that can be left out or said otherwise."""
    if status != 400:
        return None
    message, code, param = error_message(raw)
    known = ("temperature", "top_p", "max_tokens", "max_completion_tokens", "stream_options")
    if param in known and code in ("unsupported_parameter", "unsupported_value", "invalid_request_error"):
        return param
    return next((name for name in known if f"'{name}'" in message and "support" in message.lower()), None)


def retry_after(headers) -> float | None:
    """The wait that a response asks for, in seconds: retry-after-ms, or Retry-After as a number or a date."""
    try:
        if milliseconds := headers.get("retry-after-ms"):
            wait = float(milliseconds) / 1000
        elif value := headers.get("retry-after"):
            wait = float(value) if value.replace(".", "", 1).isdigit() else parsedate_to_datetime(value).timestamp() - time()
        else:
            return None
    except (ValueError, TypeError):
        return None
    return None if wait != wait else min(max(wait, 0.0), MAX_RETRY_AFTER)  # 'nan' reads as a number
