"""The OpenAI-compatible wire format: request bodies, replies, streams and errors."""

import json
import re
from collections.abc import Mapping, Sequence
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
    """Replace the key, and anything that looks like one, because endpoints quote keys in errors."""
    if key:
        text = text.replace(key, "[key]")
    return SECRET.sub("[key]", text)


def chat_body(
    model: str, messages: Sequence[Message], decoding: DecodingParams, *, unsupported: frozenset[str] = frozenset(),
    new_limit_name: bool = False, stream: bool = False,
) -> dict:  # fmt: skip
    """Build the body of a chat completion request.

    Args:
        model: Name of the model.
        messages: The chat.
        decoding: Decoding parameters.
        unsupported: Parameters to omit; reasoning models reject temperature and top_p, for example.
        new_limit_name: Whether to send max_completion_tokens, which newer OpenAI models require and older servers reject.
        stream: Whether to stream the reply with token counts at the end.
    """
    body: dict = {"model": model, "messages": list(messages)}
    if stream:
        body["stream"] = True
        if "stream_options" not in unsupported:
            body["stream_options"] = {"include_usage": True}
    limit = "max_completion_tokens" if new_limit_name else "max_tokens"
    for name, value in (("temperature", decoding.temperature), ("top_p", decoding.top_p), (limit, decoding.max_tokens)):
        if name not in unsupported:
            body[name] = value
    return body


def read_reply(raw: bytes, messages: Sequence[Message]) -> Reply:
    """Parse the body of a successful response.

    Raises:
        TeacherFault: If the body is truncated or not a chat completion.
    """
    try:
        body = json.loads(raw)
        choice = body["choices"][0]
        message = choice["message"]
        text = _text(message.get("content"))
        finish = "refusal" if message.get("refusal") else choice.get("finish_reason") or "stop"
        usage = body.get("usage")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        raise TeacherFault("The response is truncated or not a chat completion.", billed=True) from None
    return _reply(text, finish, usage, messages)


def _reply(text: str, finish: str, usage: object, messages: Sequence[Message]) -> Reply:
    """Build a reply with the endpoint's token counts, or estimates if it reported none."""
    usage = usage if isinstance(usage, dict) else {}
    tokens_in, tokens_out = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if type(tokens_in) is int and type(tokens_out) is int and min(tokens_in, tokens_out) >= 0:
        return Reply(text, finish, tokens_in, tokens_out)
    tokens_in = sum(estimate_tokens(m["content"]) for m in messages)
    return Reply(text, finish, tokens_in, estimate_tokens(text), estimated=True)


class StreamParser:
    """Parser of a streamed chat completion from the bytes of its server-sent events."""

    def __init__(self, messages: Sequence[Message], key: str = "") -> None:
        self._messages, self._key = messages, key
        self._rest, self._text, self._finish, self._usage = b"", "", "", None

    def feed(self, raw: bytes) -> str:
        """Return the text in the next bytes.

        Raises:
            TeacherFault: If they report an error or are not a chat completion.
        """
        *lines, self._rest = (self._rest + raw).split(b"\n")
        new = "".join(self._piece(line.removeprefix(b"data:").strip()) for line in lines if line.startswith(b"data:"))
        self._text += new
        return new

    def _piece(self, data: bytes) -> str:
        """Return the text of one event."""
        if data == b"[DONE]":
            return ""
        try:
            event = json.loads(data)
            if event.get("error"):
                raise TeacherFault(f"The reply was interrupted: {redact(error_message(data)[0], self._key)}", billed=True)
            self._usage = event.get("usage") or self._usage
            if not event.get("choices"):
                return ""
            choice = event["choices"][0]
            delta = choice.get("delta") or {}
            self._finish = "refusal" if delta.get("refusal") else self._finish or choice.get("finish_reason") or ""
            return _text(delta.get("content"))
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
            raise TeacherFault("The response is truncated or not a chat completion.", billed=True) from None

    def reply(self) -> Reply:
        """Return the complete reply after all bytes were fed.

        Raises:
            TeacherFault: If the end is missing.
        """
        if not self._finish:
            raise TeacherFault("The response ended early.", billed=True)
        return _reply(self._text, self._finish, self._usage, self._messages)


def _text(content: object) -> str:
    """Return the text of a message content: a string, None, or a list of parts."""
    if isinstance(content, list):
        return "".join(part["text"] for part in content if part.get("type", "text") == "text")
    if not isinstance(content, str | None):
        raise TypeError
    return content or ""


def error_message(raw: bytes) -> tuple[str, str, str]:
    """Return (message, code, param) of an error body, each possibly empty."""
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


def error_of(status: int, raw: bytes, headers: Mapping[str, str], *, where: str, model: str, key: str) -> Exception:
    """Return the exception for an error response.

    Returns:
        TeacherError if retrying does not help (401, 403, 404, other 4xx, exhausted quota), TeacherBusy for 429, TeacherFault for
        408, 409, 425 and 5xx, TeacherRefusal for errors of a single request (400, 413, 422).
    """
    message, code, _ = error_message(raw)
    detail = f" Message: {redact(message, key)}" if message else ""
    if status == 429 and code not in ("insufficient_quota", "billing_hard_limit_reached"):
        return TeacherBusy(f"{where} reports a rate limit (status 429).", retry_after(headers))
    if status in (408, 409, 425) or status >= 500:
        return TeacherFault(f"{where} failed with status {status}.{detail}", retry_after=retry_after(headers))
    if status in (400, 413, 422):
        return TeacherRefusal(f"{where} rejected the request (status {status}).{detail}")
    advice = {
        401: "rejected the API key: set OPENAI_API_KEY to a valid key",
        403: f"does not allow this key to use {model}",
        404: f"has no model {model}, or the URL is wrong (it should end in /v1)",
        429: "reports that the quota is exhausted: add credit or raise the limit there, then resume the run",
    }.get(status, f"rejected the request (status {status})")
    return TeacherError(f"{where} {advice}.{detail}")


def unsupported_parameter(status: int, raw: bytes) -> str | None:
    """Return the parameter that a 400 response rejects, if it can be omitted or renamed."""
    if status != 400:
        return None
    message, code, param = error_message(raw)
    known = ("temperature", "top_p", "max_tokens", "max_completion_tokens", "stream_options")
    if param in known and code in ("unsupported_parameter", "unsupported_value", "invalid_request_error"):
        return param
    return next((name for name in known if f"'{name}'" in message and "support" in message.lower()), None)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the requested wait of a response in seconds, from retry-after-ms or Retry-After (number or date)."""
    try:
        if milliseconds := headers.get("retry-after-ms"):
            wait = float(milliseconds) / 1000
        elif value := headers.get("retry-after"):
            wait = float(value) if value.replace(".", "", 1).isdigit() else parsedate_to_datetime(value).timestamp() - time()
        else:
            return None
    except (ValueError, TypeError):
        return None
    return None if wait != wait else min(max(wait, 0.0), MAX_RETRY_AFTER)  # float('nan') is accepted above
