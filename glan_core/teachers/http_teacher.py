"""The teacher behind an OpenAI-compatible endpoint: OpenAI itself, vLLM, Ollama, `glan serve-teacher`.

Calls and streams go through aiohttp: the openai package costs ten times the CPU a call (benchmarks/README.md), which bounds
how many calls a machine can have answered, takes most of a second to import, and repeats refused requests unseen.
"""

import asyncio
import errno
import json
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp

from glan_core.teachers import wire_format
from glan_core.teachers.contract import DecodingParams, Message, Reply, TeacherError, TeacherFault

TIMEOUT = aiohttp.ClientTimeout(total=600, sock_connect=15)


def key_from_environment() -> str:
    """OPENAI_API_KEY, or '' where there is none (vLLM and Ollama need none)."""
    return os.environ.get("OPENAI_API_KEY", "").strip()


def endpoint(base_url: str | None) -> str:
    """The address to ask: the given one, else OPENAI_BASE_URL, else OpenAI's. TeacherError when it can't be one."""
    url = (base_url or os.environ.get("OPENAI_BASE_URL") or wire_format.OPENAI_URL).strip().rstrip("/")
    try:
        parts = urlsplit(url)
        port_ok = parts.port is None or parts.port > 0
    except ValueError:
        port_ok = False
    if not port_ok or parts.scheme not in ("http", "https") or not parts.hostname:
        raise TeacherError(f"{wire_format.redact(url)!r} is no address: it should look like http://localhost:8000/v1.")
    if parts.username or parts.password or parts.query:
        raise TeacherError("The address holds a user name, a password or a query: keys belong in OPENAI_API_KEY only.")
    return url


def proxy_of(url: str) -> str | None:
    """The proxy that the environment names for an address. (aiohttp's trust_env would ask two threads at every request.)"""
    parts = urlsplit(url)
    return None if proxy_bypass(parts.hostname) else getproxies().get(parts.scheme)


class HttpTeacher:
    """Asks one model of one endpoint. Must be used from one event loop; connections are kept and reused."""

    def __init__(self, model: str, base_url: str | None = None, *, key: str | None = None) -> None:
        self.model = model
        self.name = f"openai:{model}"
        self.url = endpoint(base_url)
        self._key = key_from_environment() if key is None else key
        self._session: aiohttp.ClientSession | None = None
        self._unsupported: frozenset[str] = frozenset()
        self._new_limit_name = self.url == wire_format.OPENAI_URL
        if self.url == wire_format.OPENAI_URL and not self._key:
            raise TeacherError(
                "OPENAI_API_KEY is not set. Set it, give the address of a vLLM or Ollama endpoint, or use the scripted teacher."
            )

    async def reply(self, messages: Sequence[Message], sampling: DecodingParams) -> Reply:
        """See Teacher. A parameter that the endpoint refuses is left out from then on."""
        for _ in range(4):
            body = self._body(messages, sampling)
            async with self._post(body) as response:
                raw = await response.read()
            if response.status == 200:
                return wire_format.read_reply(raw, messages)
            if not self._learn(wire_format.unsupported_parameter(response.status, raw), body):
                break
        raise self._error(response, raw)

    async def stream(self, messages: Sequence[Message], sampling: DecodingParams) -> AsyncIterator[str | Reply]:
        """See Teacher. From an endpoint that does not stream, the whole text comes as one piece."""
        for _ in range(5):
            body = self._body(messages, sampling, stream=True)
            async with self._post(body) as response:
                if response.status == 200 and response.content_type == "text/event-stream":
                    streamed = wire_format.Stream(messages, self._key)
                    async for some in response.content.iter_any():
                        if piece := streamed.feed(some):
                            yield piece
                    yield streamed.reply()
                    return
                raw = await response.read()
            if response.status == 200:
                reply = wire_format.read_reply(raw, messages)
                yield reply.text
                yield reply
                return
            if not self._learn(wire_format.unsupported_parameter(response.status, raw), body):
                break
        raise self._error(response, raw)

    def _body(self, messages: Sequence[Message], sampling: DecodingParams, *, stream: bool = False) -> dict:
        return wire_format.chat_body(
            self.model, messages, sampling, unsupported=self._unsupported, new_limit_name=self._new_limit_name, stream=stream
        )

    def _error(self, response: aiohttp.ClientResponse, raw: bytes) -> Exception:
        return wire_format.error_of(response.status, raw, response.headers, where=self.url, model=self.model, key=self._key)

    def _learn(self, parameter: str | None, body: dict) -> bool:
        """Adapt to a parameter of this body that was refused; False when there is nothing to adapt.

        Many requests may be under way when the first refusal comes: theirs then teach nothing new and are sent again too.
        """
        if parameter is None or parameter not in body:
            return False
        if parameter in ("max_tokens", "max_completion_tokens"):
            self._new_limit_name = parameter == "max_tokens"
        else:
            self._unsupported |= {parameter}
        return True

    @asynccontextmanager
    async def _post(self, body: dict) -> AsyncIterator[aiohttp.ClientResponse]:
        """The response to a request, to be read in the block; what breaks before it is read is a TeacherFault."""
        if self._session is None:
            self._session = self._open_session()
        status = None
        try:
            async with self._session.post(
                f"{self.url}/chat/completions", data=json.dumps(body).encode(), allow_redirects=False
            ) as response:
                status = response.status
                yield response
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            why = wire_format.redact(_why_unreachable(error), self._key)
            raise TeacherFault(f"{self.url} cannot be reached: {why}.", sent=False) from None
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            late = isinstance(error, asyncio.TimeoutError)
            what = "gave no reply in time" if late else "broke off the connection"
            raise TeacherFault(f"{self.url} {what}.", billed=late or status == 200) from None

    def _open_session(self) -> aiohttp.ClientSession:
        headers = {"Content-Type": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        # The engine bounds what is in flight, so the pool does not.
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), headers=headers, timeout=TIMEOUT, proxy=proxy_of(self.url),
            skip_auto_headers=("User-Agent", "Accept-Encoding"),
        )  # fmt: skip

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None


def _why_unreachable(error: aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError) -> str:
    """What a person can make of a connection that did not come about."""
    if not isinstance(error, aiohttp.ClientConnectorError):
        return "it does not answer"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "no machine of this name is known"
    if f"[Errno {errno.ECONNREFUSED}]" in str(error.os_error):  # of one address or of all that a name has
        return "nothing listens at this address"
    return str(error.os_error)
