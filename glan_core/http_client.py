"""HTTP requests to model servers, embedding servers and webhooks, sent by libcurl from an asyncio event loop.

libcurl needs less CPU per request than aiohttp (benchmarks/README.md), and tells whether a request was sent.
"""

import asyncio
import math
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote, urlsplit
from urllib.request import getproxies, proxy_bypass

import pycurl

from glan_core.errors import GlanError
from glan_core.http_connections import Connections
from glan_core.http_multi import Multi
from glan_core.http_transfer import ConnectionLost, Transfer

CONNECT_SECONDS = 15
RESERVED = ":/?#[]@!$&'()*+,;=%~"  # characters that an address may have beside letters, digits and -._


@dataclass(frozen=True, slots=True)
class Form:
    """A multipart form with one file, which is read while it is sent.

    Attributes:
        fields: The other fields.
        path: The file, sent as the field `file`.
        filename: Its name for the server.
        media_type: Its media type.
    """

    fields: Mapping[str, str]
    path: Path
    filename: str
    media_type: str


class Response:
    """A response whose headers have been received.

    Attributes:
        status: Status code.
        body: The body; if it is larger than the request allowed, its beginning, which is longer than allowed. Of a response that is
            read in parts it is empty.
    """

    def __init__(self, status: int, lines: list[bytes], body: bytes = b"") -> None:
        self.status, self._lines, self.body = status, lines, body

    @property
    def headers(self) -> dict[str, str]:
        """Headers, by their names in lower case."""
        found: dict[str, str] = {}
        for line in self._lines:
            name, colon, value = line.decode("utf-8", "replace").partition(":")
            if colon:
                found[name.strip().lower()] = value.strip()
            elif name.startswith("HTTP/"):  # what came before belongs to an interim response, or to that of a proxy
                found.clear()
        return found

    @property
    def media_type(self) -> str:
        """Media type in lower case, without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


class ResponseInParts(Response):
    """A response whose body is read while it arrives."""

    def __init__(self, transfer: Transfer, performed: "asyncio.Future[None]") -> None:
        super().__init__(transfer.status or transfer.curl.getinfo(pycurl.RESPONSE_CODE), transfer.lines)
        self._transfer, self._performed = transfer, performed

    async def parts(self) -> AsyncGenerator[bytes, None]:
        """Yield the body as it arrives.

        Raises:
            HttpError: If the rest does not arrive.
        """
        transfer = self._transfer
        while True:
            if transfer.parts:
                some = b"".join(transfer.parts)
                transfer.parts.clear()
                yield some
            elif self._performed.done():
                self._performed.result()
                return
            else:
                transfer.arrived.clear()
                await transfer.arrived.wait()

    async def read(self, most: int) -> bytes:
        """Return the body; if it has more than `most` bytes, its beginning, which is longer than `most`."""
        parts, size = [], 0
        async for some in self.parts():
            parts.append(some)
            if (size := size + len(some)) > most:
                break
        return b"".join(parts)


class HttpClient:
    """Client of one server, which reuses connections; use it from one event loop only. Redirects are returned, not followed."""

    def __init__(
        self, server: str, headers: Mapping[str, str] | None = None, *, total: float | None = None, idle: float | None = None
    ) -> None:  # fmt: skip
        """Create a client without a connection.

        Args:
            server: An address of the server; a proxy is used if the environment names one for it.
            headers: Headers of every request. Bodies other than forms are sent as JSON, unless a header names another type.
            total: Most seconds for a request with its response, None for no limit.
            idle: Most seconds in which a connection neither sends nor receives, None for no limit.
        """
        self._total, self._idle = math.inf if total is None else total, math.inf if idle is None else idle
        proxy = proxy_of(server) or ""
        encrypted = "https" in (urlsplit(server).scheme, proxy.partition("://")[0].lower())
        self._options = [
            (pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1),  # one connection per request, so that one loss costs one reply
            (pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS),
            (pycurl.CONNECTTIMEOUT, CONNECT_SECONDS),
            (pycurl.NOSIGNAL, 1),
            (pycurl.TCP_KEEPALIVE, 1),  # routers drop connections without traffic, and a reply may take minutes
            (pycurl.PROXY, proxy),
            (pycurl.NOPROXY, ""),  # or libcurl would look into the environment, too
            (pycurl.ACCEPT_ENCODING, ""),  # decodes what is compressed although the header below does not ask for it
        ]
        if encrypted:
            self._options += _certificates()
        self._headers = [
            b"Expect:",
            b"Accept-Encoding:",
            b"User-Agent:",
            *(_header_line(*header) for header in (headers or {}).items()),
        ]
        self._multi, self._connections = Multi(), Connections(encrypted=encrypted)
        self._unused: list[pycurl.Curl] = []  # handles keep buffers, which take a tenth of a request to create
        self._open: set[Transfer] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def request(self, url: str, data: bytes | Form | None = None, *, most: int) -> Response:
        """Send a GET request, or data with POST, and return the response with its body.

        Args:
            url: Address.
            data: What to send.
            most: Bytes of the body after which no more is read.

        Raises:
            HttpError: One of its kinds.
        """
        transfer = Transfer(most, self._connections)
        await self._perform(transfer, url, data)
        return Response(transfer.status, transfer.lines, b"".join(transfer.parts))

    @asynccontextmanager
    async def stream(self, url: str, data: bytes | None = None, *, most: int) -> AsyncIterator[ResponseInParts]:
        """Send a request as `request` does and yield the response when its body begins; the connection ends with the context.

        Raises:
            HttpError: One of its kinds; also from the parts of the response.
        """
        transfer = Transfer(most, self._connections)
        performed = asyncio.ensure_future(self._perform(transfer, url, data))
        performed.add_done_callback(lambda _: transfer.arrived.set())
        try:
            await transfer.arrived.wait()
            if performed.done() and not transfer.parts:
                performed.result()
            yield ResponseInParts(transfer, performed)
        finally:
            performed.cancel()
            await asyncio.wait([performed])
            _ = performed.cancelled() or performed.exception()  # one that nobody looks at would be logged

    async def aclose(self) -> None:
        """Close the connections."""
        if self._timer is not None:
            self._timer.cancel()
        self._multi.close()

    async def _perform(self, transfer: Transfer, url: str, data: bytes | Form | None) -> None:
        """Send a request and receive its response."""
        posted = isinstance(data, bytes)
        curl = transfer.curl = self._unused.pop() if posted and self._unused else self._new_handle(data)
        curl.setopt(pycurl.URL, _address(url))
        curl.setopt(pycurl.SOCKOPTFUNCTION, transfer.connection.opened)
        curl.setopt(pycurl.HEADERFUNCTION, transfer.header if self._connections.encrypted else transfer.lines.append)
        curl.setopt(pycurl.WRITEFUNCTION, transfer.receive)
        curl.setopt(pycurl.PREREQFUNCTION, transfer.before_request)
        if posted:
            curl.setopt(pycurl.POSTFIELDS, data)
        completed = False
        try:
            await self._completed(transfer)
            if transfer.was_cut():
                raise ConnectionLost("the connection ended within the headers", curl.getinfo(pycurl.RESPONSE_CODE))
            completed = True
        finally:
            transfer.status = curl.getinfo(pycurl.RESPONSE_CODE)
            if completed and posted:
                self._unused.append(curl)
            else:
                curl.close()  # it and the transfer refer to each other, and garbage is rarely collected in a run

    async def _completed(self, transfer: Transfer) -> None:
        """Let libcurl send a request, on another connection if the one that it chose has something to read."""
        while True:
            transfer.added = time.monotonic()
            transfer.done = self._multi.add(transfer.curl)
            self._watch(transfer)
            try:
                await transfer.done
            except pycurl.error as error:
                code, message = error.args
                if transfer.size > transfer.most:
                    return
                if code != pycurl.E_ABORTED_BY_CALLBACK or transfer.requested:
                    raise transfer.failure(code, message) from None
            else:
                return
            finally:
                self._open.discard(transfer)
                self._multi.remove(transfer.curl)

    def _watch(self, transfer: Transfer) -> None:
        """Let a transfer fail if it takes too long; one timer serves all, because one for each takes a tenth of the CPU of a request."""
        self._open.add(transfer)
        if self._timer is None and (first := min(self._total, self._idle)) < math.inf:
            self._timer = transfer.done.get_loop().call_later(first, self._look)

    def _look(self) -> None:
        """End the transfers that took too long, and look again when the next one can have."""
        loop = asyncio.get_running_loop()
        try:
            self._multi.catch_up()
        finally:  # an error in a callback must not leave the requests without timeouts
            expiries = [transfer.expiry(loop.time(), self._total, self._idle) for transfer in self._open]
            first = min(expiries, default=math.inf)
            self._timer = loop.call_at(first, self._look) if first < math.inf else None

    def _new_handle(self, data: bytes | Form | None) -> pycurl.Curl:
        """Return a handle for GET, for posting bytes, or for one form."""
        curl = pycurl.Curl()
        for option, value in self._options:
            curl.setopt(option, value)
        headers, typed = self._headers, [line for line in self._headers if line.lower().startswith(b"content-type")]
        if isinstance(data, Form):
            headers = [line for line in headers if line not in typed]
            curl.setopt(pycurl.MIMEPOST, _mime(curl, data))
        elif data is not None and not typed:
            headers = [*headers, b"Content-Type: application/json"]
        curl.setopt(pycurl.HTTPHEADER, headers)
        return curl


@lru_cache(64)
def _address(url: str) -> bytes:
    """Return an address for libcurl, which refuses spaces, and would send some characters as they are."""
    scheme, slashes, rest = url.partition("//")
    host, slash, path = rest.partition("/")
    host = quote(host, RESERVED) if host.isascii() else host  # libcurl encodes international names
    return f"{scheme}{slashes}{host}{slash}{quote(path, RESERVED, errors='surrogatepass')}".encode("utf-8", "replace")


def proxy_of(url: str) -> str | None:
    """Return the proxy for a URL, from the environment or the settings of the system."""
    parts = urlsplit(url)
    return None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)


def _certificates() -> list[tuple[int, str | int]]:
    """Return the options for the certificates that Python's ssl trusts, which SSL_CERT_FILE and SSL_CERT_DIR can name."""
    paths = ssl.get_default_verify_paths()
    options: list[tuple[int, str | int]] = [(pycurl.SSL_OPTIONS, pycurl.SSLOPT_NATIVE_CA)]
    if paths.cafile:
        options += [(pycurl.CAINFO, paths.cafile), (pycurl.PROXY_CAINFO, paths.cafile)]
    if paths.capath:
        options += [(pycurl.CAPATH, paths.capath), (pycurl.PROXY_CAPATH, paths.capath)]
    return options


def _header_line(name: str, value: str) -> bytes:
    """Return a header for libcurl, which would leave out one that ends in a colon."""
    found = "a line break" if "\n" in name + value or "\r" in name + value else "a character that cannot be sent"
    try:
        line = (f"{name}: {value}" if value else f"{name};").encode()
    except UnicodeEncodeError:  # of a byte in an environment variable that is not UTF-8
        line = b"\0"
    if any(byte in line for byte in b"\n\r\0"):
        raise GlanError(f"The value of the header {name[:60]!r} contains {found}. Remove it, then try again.")
    return line


def _mime(curl: pycurl.Curl, form: Form) -> pycurl.CurlMime:
    mime = pycurl.CurlMime(curl)
    for name, value in form.fields.items():
        mime.add_field(name, value.encode())
    mime.add_file("file", str(form.path), filename=form.filename, content_type=form.media_type)
    return mime
