"""Teacher for OpenAI-compatible endpoints: OpenAI, Azure, vLLM, Ollama, llama.cpp, `glan serve-teacher` and others.

Does not use the openai package, which needs more than ten times the CPU per call (benchmarks/README.md), takes most of a second to
import, and silently retries refused requests.
"""

import asyncio
import os
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

from glan_core.http_client import Form, HttpClient, Response
from glan_core.http_transfer import HttpError, NotConnected, TimedOut
from glan_core.json_text import json_bytes
from glan_core.teachers import wire_format
from glan_core.teachers.contract import (
    DEFAULT_LIMIT,
    DecodingParams,
    Message,
    Reply,
    TeacherBusy,
    TeacherError,
    TeacherFault,
    UnusableReply,
    estimate_tokens,
)
from glan_core.teachers.endpoint_errors import SUCCESS, error_of, read_error, redact, rejected_parameter
from glan_core.teachers.endpoint_settings import (
    KEY_VARIABLE,
    EndpointSettings,
    chat_url,
    endpoint,
    header_secrets,
    header_values,
    is_azure,
    key_from_environment,
)
from glan_core.teachers.secret_filter import SecretFilter
from glan_core.teachers.wire_format import OPENAI_URL

MAX_ERROR_BYTES = 262_144  # of a response that is not a reply
LIST_SECONDS = 10.0  # for the list of models
MAX_LIST_BYTES = 4_000_000
UNAVAILABLE = (502, 503, 504)  # other errors say that the list fails, and nothing about chats: transformers serve answers 500
MAX_REJECTED = 8  # parameters that one request may lose
LIMIT_NAMES = ("max_tokens", "max_completion_tokens")
TOO_LARGE = re.compile(r"too (?:large|high|big)|at most|exceed|greater than|less than|maximum|context", re.IGNORECASE)


class HttpTeacher:
    """Client for one model of one endpoint; use it from one event loop only. Connections are reused.

    Attributes:
        name: Name of the teacher.
        url: URL of the endpoint.
        notices: What was learned about the endpoint, in sentences; a notice appears once.
        secrets: Removes the key and the values of header variables from what the endpoint sends.
    """

    def __init__(
        self, model: str, base_url: str | None = None, *, key: str | None = None, settings: EndpointSettings | None = None
    ) -> None:  # fmt: skip
        settings = settings or EndpointSettings()
        self.model, self.settings = model, settings
        self.name = f"openai:{model}"
        self.url = endpoint(base_url or settings.base_url)
        self.notices: list[str] = []
        self.key = key_from_environment(settings.key_variable) if key is None else key
        self._headers = header_values(settings.headers)
        self.secrets = SecretFilter((self.key or "", *header_secrets(settings.headers)))
        self._client: HttpClient | None = None
        self._unsupported: frozenset[str] = frozenset()
        self._new_limit_name = self.url == OPENAI_URL
        self._streaming = False
        if self.url == OPENAI_URL and not self.key:
            variable = settings.key_variable or KEY_VARIABLE
            raise TeacherError(
                f"{variable} is not set. Set it, use the URL of a vLLM or Ollama endpoint, or use the scripted teacher."
            )

    async def reply(self, messages: Sequence[Message], decoding: DecodingParams) -> Reply:
        """Return the complete reply; parameters that the endpoint rejects are omitted from then on."""
        if self._streaming:
            return await self._streamed(messages, decoding)
        for _ in range(MAX_REJECTED):
            body = self.body(messages, decoding)
            try:
                response = await self._post(body, decoding)
            except TeacherFault as fault:
                if fault.timed_out and not self._streaming:
                    self._streaming = True
                    self._notice(
                        f"{self.url} sent nothing for {self.settings.idle_timeout:g} s. Replies are streamed from now on, so that the "
                        "idle timeout applies between tokens."
                    )
                raise
            raw = self._checked(response.status, response.body, messages, decoding)
            if response.status in SUCCESS and (reply := self._read(raw, messages, body)) is not None:
                return reply
            raw = wire_format.error_in(raw)
            if not self._learn(rejected_parameter(response.status, raw, _parameters(body)), body, raw):
                break
        raise self.error(response.status, raw, response.headers)

    async def _streamed(self, messages: Sequence[Message], decoding: DecodingParams) -> Reply:
        """Return the complete reply of a stream."""
        async with aclosing(self.stream(messages, decoding)) as stream:
            async for item in stream:
                if isinstance(item, Reply):
                    return item
        raise TeacherFault("The response ended early.", billed=True)

    async def stream(self, messages: Sequence[Message], decoding: DecodingParams) -> AsyncGenerator[str | Reply, None]:
        """Stream the reply; an endpoint without streaming yields the whole text as one piece."""
        for _ in range(MAX_REJECTED):
            body = self.body(messages, decoding, stream=True)
            limit, text_limit = (wire_format.max_bytes(decoding, stream=stream) for stream in (True, False))
            streamed = wire_format.StreamParser(messages, self.secrets)
            try:
                async with self._opened().stream(chat_url(self.url, self.model), json_bytes(body), most=limit) as response:
                    if streaming := response.status in SUCCESS and response.media_type == "text/event-stream":
                        size = 0
                        async for some in response.parts():
                            size += len(some)
                            if piece := streamed.feed(some):
                                text_limit -= len(piece)
                                yield piece
                            if size > limit or text_limit < 0:
                                raise self._too_large(decoding, streamed.partial("length"))
                            if streamed.error is not None:
                                break
                    else:
                        raw = self._checked(response.status, await response.read(text_limit), messages, decoding)
            except HttpError as error:
                if not streamed.done:  # some servers do not end the response, or not properly
                    raise self._fault(error) from None
            if streaming:
                if streamed.error is None:
                    if piece := streamed.rest():
                        yield piece
                    yield replace(streamed.reply(), sent=_parameters(body))
                    return
                raw = streamed.error
                if streamed.started:
                    said = read_error(raw, *self.secrets.secrets).message
                    raise TeacherFault(f"The reply of {self.url} was interrupted: {said}", billed=True)
            elif response.status in SUCCESS and (reply := self._read(raw, messages, body)) is not None:
                yield reply.streamed
                yield reply
                return
            raw = wire_format.error_in(raw)
            if not self._learn(rejected_parameter(response.status, raw, _parameters(body)), body, raw):
                break
        raise self.error(response.status, raw, response.headers)

    def body(self, messages: Sequence[Message], decoding: DecodingParams, *, stream: bool = False) -> dict:
        """Return the body of a request, without the parameters that the endpoint rejects."""
        return wire_format.chat_body(
            self.model, messages, decoding, unsupported=self._unsupported, new_limit_name=self._new_limit_name, stream=stream,
            extra=self.settings.extra_body,
        )  # fmt: skip

    def _read(self, raw: bytes, messages: Sequence[Message], body: dict) -> Reply | None:
        """Return the reply in the response to a request with this body; see `read_reply`."""
        return wire_format.read_reply(raw, messages, self.secrets, sent=_parameters(body))

    def _checked(self, status: int, received: bytes, messages: Sequence[Message], decoding: DecodingParams) -> bytes:
        """Return the body of a response without secrets; of an error, no more than its beginning.

        Raises:
            UnusableReply: If a reply is larger than `max_tokens` allows.
        """
        if status not in SUCCESS:
            return self.secrets.raw(received)[:MAX_ERROR_BYTES]  # removed first: a secret may lie at the cut
        raw = self.secrets.raw(received)
        if len(received) > wire_format.max_bytes(decoding, stream=False):
            raise self._oversized(raw, messages, decoding)
        return raw

    def _oversized(self, raw: bytes, messages: Sequence[Message], decoding: DecodingParams) -> UnusableReply:
        """Return the error for a response that is larger than `max_tokens` allows, with its beginning."""
        start = raw[:2000].decode("utf-8", "replace")
        tokens_in = sum(estimate_tokens(message["content"]) for message in messages)
        received = Reply(start, "length", tokens_in, decoding.max_tokens or DEFAULT_LIMIT, estimated=True)
        return self._too_large(decoding, received)

    def _too_large(self, decoding: DecodingParams, received: Reply) -> UnusableReply:
        limit = decoding.max_tokens or DEFAULT_LIMIT
        return UnusableReply(
            "too large", f"{self.url} sent more than a reply of {limit:,} tokens can have; it may ignore max_tokens.", received
        )

    def error(self, status: int, raw: bytes, headers: Mapping[str, str]) -> Exception:
        """Return the exception for an error response; see `error_of`."""
        return error_of(
            status, raw, headers, where=self.url, model=self.model, key_variable=self.settings.key_variable or KEY_VARIABLE,
            secrets=self.secrets.secrets,
        )  # fmt: skip

    def read_response(self, status: int, raw: bytes, body: dict, decoding: DecodingParams) -> Reply:
        """Return the reply in a response that was stored in a file of results.

        Args:
            status: Status of the response.
            raw: Its body.
            body: Body of the request.
            decoding: Decoding parameters of the request.

        Raises:
            TeacherBusy: If the endpoint rejects a parameter; the request should be sent again, without it.
            Exception: As `reply` does.
        """
        messages = body["messages"]
        raw = self._checked(status, raw, messages, decoding)
        if status in SUCCESS and (reply := self._read(raw, messages, body)) is not None:
            return reply
        raw = wire_format.error_in(raw)
        if self._learn(rejected_parameter(status, raw, _parameters(body)), body, raw):
            raise TeacherBusy(f"{self.url} rejects a parameter of the request.")
        raise self.error(status, raw, {})

    @property
    def adaptations(self) -> dict:
        """What was learned about the endpoint, as plain values: rejected parameters, and the name of the token limit."""
        return {"unsupported": sorted(self._unsupported), "new_limit_name": self._new_limit_name} if self._unsupported else {}

    def adapt(self, learned: Mapping[str, Any]) -> None:
        """Take over what an earlier process learned (see `adaptations`)."""
        if learned:
            self._unsupported |= {str(name) for name in learned.get("unsupported", ())}
            self._new_limit_name = bool(learned.get("new_limit_name"))

    async def download(self, url: str, path: Path, most: int) -> tuple[int, bytes]:
        """Download a file without the secrets in it; return the status and, if it is not 200, the body.

        Raises:
            TeacherError: If the file is larger than `most` bytes.
            Exception: As `reply` does.
        """
        overlap, size, rest = self.secrets.longest, 0, b""
        try:
            async with self._opened().stream(url, most=most) as response:
                if response.status != 200:
                    return response.status, self.secrets.raw(await response.read(MAX_ERROR_BYTES))
                with path.open("wb") as file:
                    async for some in response.parts():
                        if (size := size + len(some)) > most:
                            raise TeacherError(f"{self.url} sent a file of more than {most:,} bytes.")
                        rest = self.secrets.json(rest + some)  # a secret may lie in two pieces
                        file.write(rest[: len(rest) - overlap] if len(rest) > overlap else b"")
                        rest = rest[len(rest) - overlap :] if len(rest) > overlap else rest
                    file.write(rest)
                    file.flush()
                    os.fsync(file.fileno())
        except HttpError as error:
            raise self._fault(error) from None
        return 200, b""

    def _learn(self, parameter: str | None, body: dict, raw: bytes) -> bool:
        """Adapt to a rejected parameter of this body; return False if there is nothing to adapt.

        Concurrent requests with the same rejection change nothing further but are sent again too.
        """
        if parameter is None or parameter not in body:
            return False
        if parameter in LIMIT_NAMES:
            other = LIMIT_NAMES[parameter == LIMIT_NAMES[0]]
            if other in self._unsupported or TOO_LARGE.search(read_error(raw).message):
                self._unsupported |= set(LIMIT_NAMES)
                self._notice(f"{self.url} rejects {parameter} for {self.model}. Calls continue without a token limit.")
            else:
                self._unsupported |= {parameter}
                self._new_limit_name = parameter == "max_tokens"
            return True
        if parameter not in self._unsupported:
            self._unsupported |= {parameter}
            if parameter != "stream_options":
                self._notice(f"{self.url} rejects {parameter} for {self.model}. Calls continue without it.")
        return True

    def _notice(self, text: str) -> None:
        if text not in self.notices:
            self.notices.append(text)

    async def list_models(self) -> tuple[str, ...] | None:
        """Return the names of the models that the endpoint lists, None if it answers without a list.

        Raises:
            TeacherFault: If it cannot be reached, does not answer in time or says that it is unavailable.
        """
        try:
            async with asyncio.timeout(LIST_SECONDS):
                status, raw = await self.get(chat_url(self.url, self.model, "/models"), MAX_LIST_BYTES)
        except TimeoutError:
            raise TeacherFault(f"{self.url} did not answer within {LIST_SECONDS:g} s.", timed_out=True) from None
        if status in UNAVAILABLE:
            raise TeacherFault(f"{self.url} failed with status {status}.")
        return wire_format.listed_models(raw) if status in SUCCESS else None

    async def get(self, url: str, most: int) -> tuple[int, bytes]:
        """Return status and body, up to a number of bytes, of another address of the endpoint; raises as `reply` does."""
        response = await self.send(url, most=most)
        return response.status, self.secrets.raw(response.body)

    async def send(self, url: str, data: bytes | Form | None = None, *, most: int) -> Response:
        """Send a request to the endpoint (see `HttpClient.request`); raises TeacherFault if there is no complete response."""
        try:
            return await self._opened().request(url, data, most=most)
        except HttpError as error:
            raise self._fault(error) from None

    async def _post(self, body: dict, decoding: DecodingParams) -> Response:
        most = max(wire_format.max_bytes(decoding, stream=False), MAX_ERROR_BYTES)
        return await self.send(chat_url(self.url, self.model), json_bytes(body), most=most)

    def _fault(self, error: HttpError) -> TeacherFault:
        """Return what an error of a request means for a run."""
        if isinstance(error, NotConnected):
            return TeacherFault(f"{self.url} cannot be reached: {redact(str(error), *self.secrets.secrets)}.", sent=False)
        if isinstance(error, TimedOut):
            which, seconds = ("idle", self.settings.idle_timeout) if error.idle else ("total", self.settings.total_timeout or 0)
            return TeacherFault(
                f"{self.url} did not reply in time ({which} timeout {seconds:g} s). If the server is slow, raise the {which} timeout.",
                billed=True, timed_out=True,
            )  # fmt: skip
        why = redact(str(error), *self.secrets.secrets)
        return TeacherFault(f"{self.url} sent no complete response: {why}.", billed=error.status in SUCCESS)

    def _opened(self) -> HttpClient:
        """Return the client, which is created for the event loop of the first request."""
        if self._client is None:
            headers = (
                {} if not self.key else {"api-key": self.key} if is_azure(self.url) else {"Authorization": f"Bearer {self.key}"}
            )
            self._client = HttpClient(
                self.url, headers | self._headers, total=self.settings.total_timeout, idle=self.settings.idle_timeout
            )
        return self._client

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None


def _parameters(body: dict) -> dict:
    """Return the parameters of a request body: all but model and messages."""
    return {name: value for name, value in body.items() if name not in ("model", "messages")}
