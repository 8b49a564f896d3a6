"""The OpenAI-compatible wire format: request bodies, replies and streams (errors: `endpoint_errors`)."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from glan_core.json_text import parse_json
from glan_core.reply_parsing import storable
from glan_core.teachers.contract import (
    DEFAULT_LIMIT,
    DecodingParams,
    Message,
    Reply,
    TeacherFault,
    UnusableReply,
    estimate_tokens,
)
from glan_core.teachers.endpoint_errors import is_html, read_error
from glan_core.teachers.secret_filter import SecretFilter

OPENAI_URL = "https://api.openai.com/v1"
BYTES_PER_TOKEN = 48  # of a JSON body: long tokens, and escapes of six bytes per character
BYTES_PER_EVENT = 1024  # of a stream, which repeats its envelope with every token
ENVELOPE = 65_536  # bytes of a response besides the text
MAX_TOKENS_REPORTED = 4_000_000  # a larger count is an error of the endpoint
SERVER_PROMPT = 32_768  # tokens that a server may add to a prompt
FINISH_LENGTH = 80  # characters of a finish reason; those of the common servers are single words
NO_SECRETS = SecretFilter()
REASONING_FIELDS = ("reasoning_content", "reasoning", "thinking")  # DeepSeek, vLLM; OpenRouter, Ollama; others
REASONING_PARTS = ("thinking", "reasoning", "summary", "text", "content")  # of a typed content part


def chat_body(
    model: str, messages: Sequence[Message], decoding: DecodingParams, *, unsupported: frozenset[str] = frozenset(),
    new_limit_name: bool = False, stream: bool = False, extra: Mapping[str, Any] | None = None,
) -> dict:  # fmt: skip
    """Build the body of a chat completion request.

    Args:
        model: Name of the model.
        messages: The chat.
        decoding: Decoding parameters; those that are None are not sent.
        unsupported: Parameters to omit; reasoning models reject temperature and top_p, for example.
        new_limit_name: Whether to send max_completion_tokens, which newer OpenAI models require and older servers reject.
        stream: Whether to stream the reply with token counts at the end.
        extra: Further fields of the body, which replace those above.
    """
    body: dict = {"model": model, "messages": list(messages)}
    fields: dict[str, Any] = {"temperature": decoding.temperature, "top_p": decoding.top_p}
    fields["max_completion_tokens" if new_limit_name else "max_tokens"] = decoding.max_tokens
    if stream:
        body["stream"] = True
        fields["stream_options"] = {"include_usage": True}
    fields |= extra or {}
    return body | {name: value for name, value in fields.items() if name not in unsupported and value is not None}


def listed_models(raw: bytes) -> tuple[str, ...] | None:
    """Return the names in a list of models, None if the body is no such list."""
    try:
        return tuple(storable(str(entry["id"])) for entry in parse_json(raw)["data"])
    except (ValueError, TypeError, LookupError, RecursionError):
        return None


def max_bytes(decoding: DecodingParams, *, stream: bool) -> int:
    """Return the size above which a response cannot be a reply within `max_tokens`."""
    return ENVELOPE + (decoding.max_tokens or DEFAULT_LIMIT) * (BYTES_PER_EVENT if stream else BYTES_PER_TOKEN)


def read_reply(
    raw: bytes, messages: Sequence[Message], secrets: SecretFilter = NO_SECRETS, *, sent: Mapping[str, Any] | None = None
) -> Reply | None:
    """Parse the body of a successful response; None if it reports an error instead of a reply.

    Args:
        raw: The body.
        messages: The chat.
        secrets: Removes keys from the texts of the reply and of exceptions.
        sent: Parameters of the request (`Reply.sent`).

    Raises:
        TeacherFault: If the body is truncated or not a chat completion.
        UnusableReply: If it reports an error and tokens to be paid.
    """
    try:
        body = parse_json(raw)
    except ValueError:
        raise _no_completion(raw, secrets) from None
    choices = body.get("choices") if isinstance(body, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else None
    if choice is None or body.get("error") or choice.get("error"):
        _raise_if_paid(body, raw, messages, secrets)
        return None
    message: Any = choice.get("message")
    try:
        text, in_parts = _content(message.get("content"))
        finish = "refusal" if message.get("refusal") else _finish_reason(choice) or "stop"
        return secrets.reply(_reply(text, in_parts or _reasoning(message), finish, body.get("usage"), messages, sent))
    except (KeyError, TypeError, AttributeError, RecursionError):
        raise TeacherFault("The response is not a chat completion.", billed=True) from None


def error_in(raw: bytes) -> bytes:
    """Return the part of a response that reports an error: the body, or its first choice with an error of its own."""
    try:
        choice = json.loads(raw)["choices"][0]
        return json.dumps({"error": choice["error"]}).encode() if choice.get("error") else raw
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        return raw


def _no_completion(raw: bytes, secrets: SecretFilter) -> TeacherFault:
    """Return the fault of a body that is not JSON: truncated JSON may have been paid for, a page was not generated."""
    if raw.lstrip()[:1] in (b"{", b"["):
        return TeacherFault("The response is truncated.", billed=True)
    what = "an HTML page" if is_html(raw) else "text" if raw.strip() else "an empty body"
    shown = read_error(raw, *secrets.secrets).message
    said = f": “{shown}”" if shown else ""
    return TeacherFault(f"The response is {what} instead of a chat completion{said}.", misdirected=True)


def _raise_if_paid(body: object, raw: bytes, messages: Sequence[Message], secrets: SecretFilter) -> None:
    """Raise UnusableReply if a response with an error reports tokens."""
    usage = body.get("usage") if isinstance(body, dict) else None
    counted = _reply("", "", "error", usage, messages)
    if not counted.estimated and counted.tokens_in + counted.tokens_out:
        said = read_error(error_in(raw), *secrets.secrets).message or "It has no choices."
        raise UnusableReply("endpoint error", f"The response reports an error after a paid call. Message: {said}", counted)


def _finish_reason(choice: dict) -> str:
    """Return the finish reason of a choice, '' if it has none; some servers send other values than text."""
    return storable(str(choice.get("finish_reason") or "")[:FINISH_LENGTH])


def _reply(
    text: str, reasoning: str, finish: str, usage: object, messages: Sequence[Message], sent: Mapping[str, Any] | None = None
) -> Reply:
    """Build a reply with the endpoint's token counts, or estimates if it reported none or impossible ones."""
    text, reasoning = storable(text), storable(reasoning)
    usage = usage if isinstance(usage, dict) else {}
    tokens_in, tokens_out = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    details = usage.get("completion_tokens_details")
    thought = _count(details.get("reasoning_tokens")) if isinstance(details, dict) else None
    if tokens_in is not None and tokens_out is not None and _possible(tokens_in, messages):
        return Reply(text, finish, tokens_in, tokens_out, reasoning=reasoning, tokens_reasoning=thought, sent=sent)
    tokens_in = sum(estimate_tokens(m["content"]) for m in messages)
    tokens_out = estimate_tokens(text + reasoning)
    return Reply(text, finish, tokens_in, tokens_out, estimated=True, reasoning=reasoning, tokens_reasoning=thought, sent=sent)


def _possible(tokens_in: int, messages: Sequence[Message]) -> bool:
    """Return whether a chat may have so many tokens: at most one per byte, and those that the server adds."""
    added = tokens_in - SERVER_PROMPT
    return added <= 0 or added <= sum(len(message["content"].encode("utf-8", "replace")) for message in messages)


def _count(value: object) -> int | None:
    return value if type(value) is int and 0 <= value <= MAX_TOKENS_REPORTED else None


class StreamParser:
    """Parser of a streamed chat completion from the bytes of its server-sent events.

    Args:
        messages: The chat.
        secrets: Removes keys from all texts.

    Attributes:
        error: An event with an error, None if there was none.
        done: Whether the server said that the reply is complete.
    """

    def __init__(self, messages: Sequence[Message], secrets: SecretFilter = NO_SECRETS) -> None:
        self._messages, self._secrets, self._shown = messages, secrets, secrets.stream()
        self._rest, self._text, self._reasoning, self._finish, self._usage = b"", "", "", "", None
        self._thinking, self._halves = False, ("", "")
        self._index: int | None = None  # of the reply that is read
        self.error: bytes | None = None
        self.done = False

    def feed(self, raw: bytes) -> str:
        """Return the text in the next bytes; reasoning that is sent apart stands between <think> and </think>.

        An end that may be the beginning of a key is withheld until the next bytes, or until `rest`. After an event with an error,
        `error` holds it and no more text is returned.

        Raises:
            TeacherFault: If they are not a chat completion.
        """
        *lines, self._rest = (self._rest + raw).split(b"\n")
        pieces = (self._piece(line.removeprefix(b"data:").strip()) for line in lines if line.startswith(b"data:"))
        return self._shown.feed("".join(pieces))

    def rest(self) -> str:
        """Return the text that was withheld, after all bytes were fed."""
        return self._shown.rest()

    def _piece(self, data: bytes) -> str:
        """Return the text of one event."""
        self.done = self.done or data == b"[DONE]"
        if self.done or not data or self.error is not None:
            return ""
        try:
            event = json.loads(data)
            if event.get("error"):
                self.error = data
                return ""
            self._usage = event.get("usage") or self._usage
            if not event.get("choices"):
                return ""
            if (choice := self._own_choice(event["choices"])) is None:
                return ""
            if choice.get("error"):
                self.error = json.dumps({"error": choice["error"]}).encode()
                return ""
            delta = choice.get("delta") or {}
            self._finish = "refusal" if delta.get("refusal") else self._finish or _finish_reason(choice)
            text, in_parts = _content(delta.get("content"))
            return self._add(text, in_parts or _reasoning(delta))
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
            raise TeacherFault("The response is truncated or not a chat completion.", billed=True) from None

    def _own_choice(self, choices: Sequence[dict]) -> dict | None:
        """Return the choice of the one reply that is read: the first, or the one of the same index as before.

        A server may send several replies at once (`n` in the further fields of the body), whose pieces must not be mixed.
        """
        if self._index is None:
            self._index = min((choice["index"] for choice in choices if type(choice.get("index")) is int), default=None)
        return next((choice for choice in choices if choice.get("index") in (None, self._index) or self._index is None), None)

    def _add(self, text: str, reasoning: str) -> str:
        """Collect new text and reasoning and return them as one text.

        The first half of a character waits for the second, and is dropped if none comes.
        """
        text, half = _without_half(self._halves[0] + text)
        reasoning, half_of_reasoning = _without_half(self._halves[1] + reasoning)
        self._halves = (half, half_of_reasoning)
        self._text += text
        self._reasoning += reasoning
        shown = ""
        if reasoning:
            shown += reasoning if self._thinking else f"<think>{reasoning}"
            self._thinking = True
        if text:
            shown += f"</think>\n\n{text}" if self._thinking else text
            self._thinking = False
        return shown

    @property
    def started(self) -> bool:
        """Whether any text was received."""
        return bool(self._text or self._reasoning)

    def reply(self) -> Reply:
        """Return the complete reply after all bytes were fed.

        Raises:
            TeacherFault: If the end is missing.
        """
        if not self._finish:
            raise TeacherFault("The response ended early.", billed=True)
        return self.partial(self._finish)

    def partial(self, finish: str) -> Reply:
        """Return what was received so far as a reply with this finish reason."""
        return self._secrets.reply(_reply(self._text, self._reasoning, finish, self._usage, self._messages))


def _without_half(text: str) -> tuple[str, str]:
    """Return a text that can be stored and the first half of a character at its end, '' if there is none.

    Some servers cut a text after each unit of UTF-16, of which an emoji has two.
    """
    cut = len(text) - ("\ud800" <= text[-1:] <= "\udbff")
    return storable(text[:cut]), text[cut:]


def _content(content: object) -> tuple[str, str]:
    """Return text and reasoning of a message content: a string, None, or a list of typed parts."""
    if isinstance(content, dict):
        content = [content]
    if isinstance(content, list):
        texts, thoughts = [], []
        for part in content:
            if isinstance(part, str):
                texts.append(part)
            elif part.get("thought") is True:
                thoughts.append(_text_of(part))
            elif (kind := part.get("type", "text")) in ("text", "output_text"):
                texts.append(part["text"])
            elif "think" in kind or "reason" in kind:
                thoughts.append(_text_of(next((part[name] for name in REASONING_PARTS if part.get(name)), "")))
        return "".join(texts), "".join(thoughts)
    if not isinstance(content, str | None):
        raise TypeError
    return content or "", ""


def _reasoning(message: dict) -> str:
    """Return the reasoning that a message or a delta carries besides its content, in any of the known fields."""
    for name in REASONING_FIELDS:
        if text := _text_of(message.get(name)):
            return text
    return _text_of(message.get("reasoning_details"))


def _text_of(value: object) -> str:
    """Return the text of a reasoning field: a string, an object, or a list of such parts."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(map(_text_of, value))
    if isinstance(value, dict):
        return _text_of(
            next((value[name] for name in ("text", "content", "summary", "thinking", "reasoning") if value.get(name)), "")
        )
    return ""
