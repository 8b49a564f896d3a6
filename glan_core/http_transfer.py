"""One HTTP request from libcurl's first step to the end of its response: what was received, timeouts, and the errors it ends with."""

import asyncio
import errno
import math
import os
import time

import pycurl

from glan_core.http_connections import Connection, Connections

REFUSED = "the connection was refused; check that the server is running"
REASONS = {
    pycurl.E_COULDNT_RESOLVE_HOST: "the host name is unknown",
    pycurl.E_OPERATION_TIMEDOUT: "it does not respond",
    pycurl.E_URL_MALFORMAT: "the address is not valid",
}
REASONS_OF_LOSS = {
    pycurl.E_ABORTED_BY_CALLBACK: "the connection ended without a response",  # and libcurl would have repeated the request
    pycurl.E_GOT_NOTHING: "the connection ended without a response",
    pycurl.E_PARTIAL_FILE: "the connection ended within the response",
    pycurl.E_UNSUPPORTED_PROTOCOL: "what it sent is not HTTP, so its address may have to begin with https",
}


class HttpError(Exception):
    """A request without a complete response; the text says why, in words of this module, libcurl or the operating system.

    Attributes:
        status: Status of the response, 0 if none was received.
    """

    status = 0


class NotConnected(HttpError):
    """There was no connection, so the request was not sent."""


class TimedOut(HttpError):
    """The request was sent, and no complete response came in time.

    Attributes:
        idle: Whether the idle timeout passed; otherwise the total timeout did.
    """

    def __init__(self, *, idle: bool) -> None:
        super().__init__("it did not answer in time")
        self.idle = idle


class ConnectionLost(HttpError):
    """The connection ended before the response was complete, or what came is no HTTP response."""

    def __init__(self, why: str, status: int) -> None:
        super().__init__(why)
        self.status = status


class Transfer:
    """A request that is being sent or answered.

    Attributes:
        curl: Its handle.
        added: When libcurl was given the handle.
        done: The end of the transfer.
        status: Status of the response, 0 before it is known.
        lines: The lines of the headers.
        parts: The parts of the body.
        size: Bytes of the body that have been received.
        most: Bytes after which no more is received.
        requested: Whether the request, or its beginning, has been sent.
        unsolicited: Whether the server had sent a response before.
        arrived: Set at each part, and at the end.
    """

    curl: pycurl.Curl
    added: float
    done: "asyncio.Future[None]"

    def __init__(self, most: int, connections: Connections) -> None:
        self.connection = Connection(connections)
        self.status, self.requested, self.unsolicited = 0, False, False
        self.lines: list[bytes] = []
        self.parts: list[bytes] = []
        self.size, self.most = 0, most
        self.arrived = asyncio.Event()
        self._began = self._active = time.monotonic()
        self._sent, self._lines = 0, 0  # bytes and lines of headers as of the last look

    def before_request(self, server: str, local: str, server_port: int, local_port: int) -> int:
        """Say whether the request may be sent on a connection: not on one with something to read, and not a second time.

        libcurl repeats a request if a connection that it reused ends without a response, but the server may have processed it.
        """
        if self.requested or not self.connection.is_clean(server, local_port):
            return pycurl.PREREQFUNC_ABORT
        self.requested = True
        return pycurl.PREREQFUNC_OK

    def header(self, line: bytes) -> int | None:
        """Store a line of the headers; end the transfer if they are those of a response that was there before the request."""
        if not self.lines and self.connection.is_unsolicited():
            self.unsolicited = True
            return 0
        self.lines.append(line)
        return None

    def receive(self, part: bytes) -> int | None:
        """Store a part of the body; libcurl ends a transfer of which fewer bytes than it received are stored."""
        self.size += len(part)
        self.parts.append(part)
        self._active = time.monotonic()
        self.arrived.set()
        return 0 if self.size > self.most else None

    def was_cut(self) -> bool:
        """Return whether the connection ended within the headers, which libcurl takes for a response without a body."""
        if self.size:
            return False
        for line in reversed(self.lines):
            if not line.strip():
                return False
            if line.startswith(b"HTTP/"):  # no empty line follows it; what came before was an interim response
                break
        return True

    def expiry(self, now: float, total: float, idle: float) -> float:
        """Return when the next timeout passes; if one has passed, end the transfer."""
        sent, lines = self.curl.getinfo(pycurl.SIZE_UPLOAD), len(self.lines)
        if self.requested and (took := self.curl.getinfo(pycurl.POSTTRANSFER_TIME_T)):  # all of the request has been sent
            self._active = max(self._active, self.added + took / 1e6)
        elif not self.requested or sent != self._sent:
            self._active = now
        if lines != self._lines and not self.size:  # an interim response; the time of a part is known
            self._active = now
        self._sent, self._lines = sent, lines
        ends, idles = self._began + total, self._active + idle
        if now >= min(ends, idles):
            late = TimedOut(idle=now < ends) if self.requested else NotConnected(REASONS[pycurl.E_OPERATION_TIMEDOUT])
            if not self.done.done():
                self.done.set_exception(late)
            return math.inf
        return min(ends, idles)

    def failure(self, code: int, message: str) -> HttpError:
        """Return the error for one of libcurl."""
        if self.unsolicited:
            return ConnectionLost("the server sent something unsolicited", 0)
        if self.requested:
            return ConnectionLost(
                REASONS_OF_LOSS.get(code) or message or "the response is not valid", self.curl.getinfo(pycurl.RESPONSE_CODE)
            )
        if (refused := self.curl.getinfo(pycurl.HTTP_CONNECTCODE)) >= 300:
            return NotConnected(f"the proxy answered with status {refused}")
        number = self.curl.getinfo(pycurl.OS_ERRNO)
        if code == pycurl.E_COULDNT_CONNECT and number:
            return NotConnected(REFUSED if number == errno.ECONNREFUSED else os.strerror(number))
        return NotConnected(REASONS.get(code) or _without_password(message))


def _without_password(message: str) -> str:
    """Return a message of libcurl, which quotes the address of a proxy as it stands in the environment, without user and password."""
    head, quote, address = message.partition("'")
    secret, at, host = address.rpartition("@")
    if not at:
        return message
    scheme, slashes, _ = secret.partition("://")
    return head + quote + (scheme + slashes if slashes and scheme.isalnum() else "") + host  # a password may contain slashes
