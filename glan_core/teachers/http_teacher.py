"""Teacher for OpenAI-compatible endpoints: OpenAI, vLLM, Ollama, `glan serve-teacher`.

Uses aiohttp instead of the openai package, which needs ten times the CPU per call (benchmarks/README.md), takes most of a
second to import, and silently retries refused requests.
"""

import asyncio
import errno
import json
import os
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp

from glan_core.teachers import wire_format
from glan_core.teachers.contract import DecodingParams, Message, Reply, TeacherError, TeacherFault

TIMEOUT = aiohttp.ClientTimeout(total=600, sock_connect=15)


def key_from_environment() -> str:
    """Return OPENAI_API_KEY, or '' if it is not set (vLLM and Ollama need none)."""
    return os.environ.get("OPENAI_API_KEY", "").strip()


def endpoint(base_url: str | None) -> str:
    """Return the endpoint URL: `base_url`, OPENAI_BASE_URL or OpenAI's.

    Raises:
        TeacherError: If the URL is not valid.
    """
    url = (base_url or os.environ.get("OPENAI_BASE_URL") or wire_format.OPENAI_URL).strip().rstrip("/")
    try:
        parts = urlsplit(url)
        port_ok = parts.port is None or parts.port > 0
    except ValueError:
        port_ok = False
    if not port_ok or parts.scheme not in ("http", "https") or not parts.hostname:
        raise TeacherError(f"{wire_format.redact(url)!r} is not a valid URL. Use a URL such as http://localhost:8000/v1.")
    if parts.username or parts.password or parts.query:
        raise TeacherError("The URL contains a user name, password or query. Set the key in OPENAI_API_KEY instead.")
    return url


def proxy_of(url: str) -> str | None:
    """Return the proxy for a URL from the environment; aiohttp's trust_env would use two threads per request."""
    parts = urlsplit(url)
    return None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)


class HttpTeacher:
    """Client for one model of one endpoint; use it from one event loop only. Connections are reused."""

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
                "OPENAI_API_KEY is not set. Set it, use the URL of a vLLM or Ollama endpoint, or use the scripted teacher."
            )

    async def reply(self, messages: Sequence[Message], decoding: DecodingParams) -> Reply:
        """Return the complete reply; parameters that the endpoint rejects are omitted from then on."""
        for _ in range(4):
            body = self._body(messages, decoding)
            async with self._post(body) as response:
                raw = await response.read()
            if response.status == 200:
                return wire_format.read_reply(raw, messages)
            if not self._learn(wire_format.unsupported_parameter(response.status, raw), body):
                break
        raise self._error(response, raw)

    async def stream(self, messages: Sequence[Message], decoding: DecodingParams) -> AsyncGenerator[str | Reply, None]:
        """Stream the reply; an endpoint without streaming yields the whole text as one piece."""
        for _ in range(5):
            body = self._body(messages, decoding, stream=True)
            async with self._post(body) as response:
                if response.status == 200 and response.content_type == "text/event-stream":
                    streamed = wire_format.StreamParser(messages, self._key)
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

    def _body(self, messages: Sequence[Message], decoding: DecodingParams, *, stream: bool = False) -> dict:
        return wire_format.chat_body(
            self.model, messages, decoding, unsupported=self._unsupported, new_limit_name=self._new_limit_name, stream=stream
        )

    def _error(self, response: aiohttp.ClientResponse, raw: bytes) -> Exception:
        return wire_format.error_of(response.status, raw, response.headers, where=self.url, model=self.model, key=self._key)

    def _learn(self, parameter: str | None, body: dict) -> bool:
        """Adapt to a rejected parameter of this body; return False if there is nothing to adapt.

        Concurrent requests with the same rejection change nothing further but are sent again too.
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
        """Send a request and yield the response; connection errors become TeacherFault."""
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
            why = wire_format.redact(_connection_problem(error), self._key)
            raise TeacherFault(f"{self.url} cannot be reached: {why}.", sent=False) from None
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            timed_out = isinstance(error, asyncio.TimeoutError)
            what = "did not reply in time" if timed_out else "closed the connection"
            raise TeacherFault(f"{self.url} {what}.", billed=timed_out or status == 200) from None

    def _open_session(self) -> aiohttp.ClientSession:
        headers = {"Content-Type": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        # The engine limits concurrency, so the connection pool does not.
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), headers=headers, timeout=TIMEOUT, proxy=proxy_of(self.url),
            skip_auto_headers=("User-Agent", "Accept-Encoding"),
        )  # fmt: skip

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None


def _connection_problem(error: aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError) -> str:
    """Describe a failed connection for users."""
    if not isinstance(error, aiohttp.ClientConnectorError):
        return "it does not respond"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "the host name is unknown"
    if f"[Errno {errno.ECONNREFUSED}]" in str(error.os_error):  # of one address or of all addresses of a name
        return "the connection was refused; check that the server is running"
    return str(error.os_error)
