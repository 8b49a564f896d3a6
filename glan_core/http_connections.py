"""Connections of an HTTP client: one on which the server sent something unsolicited is not used for another request.

libcurl reuses such a connection, and would take what came for the response to the next request, so that a reply would belong to another
question.
"""

import select
import socket
import sys

import pycurl

if sys.platform == "linux":
    import fcntl
    import termios

BYTES_RECEIVED = slice(128, 136)  # field of Linux's tcp_info


class Connections:
    """The sockets of the connections of one client, found by the address of the server and the local port.

    Attributes:
        encrypted: Whether the connections use TLS, which reads ahead.
        used: File descriptors by the address of the server and the local port.
    """

    def __init__(self, *, encrypted: bool) -> None:
        self.encrypted = encrypted
        self.used: dict[tuple[str, int], int] = {}


class Connection:
    """The connection of one request, which libcurl opens or takes from those of the client."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._opened: list[int] = []  # file descriptors of sockets; those of some may be closed, and used for something else
        self._reused: int | None = None  # file descriptor of a connection with TLS that had been used before
        self._read = 0  # bytes that had been read from it when the request was sent

    def opened(self, descriptor: int, purpose: int) -> int:
        """Take note of a new socket; libcurl calls it."""
        self._opened.append(descriptor)
        return pycurl.SOCKOPT_OK

    def is_clean(self, server: str, port: int) -> bool:
        """Return whether the connection that was chosen is new, or nothing waits to be read on it, not even its end."""
        ends, used = (server.partition("%")[0], port), self._connections.used
        for descriptor in self._opened:
            if _ends(descriptor) == ends:
                used[ends] = descriptor
                return True
        if (descriptor := used.get(ends, -1)) < 0:
            return True
        if _is_readable(descriptor):
            return False
        if self._connections.encrypted:
            self._reused, self._read = descriptor, _bytes_read(descriptor)
        return True

    def is_unsolicited(self) -> bool:
        """Return whether the response that begins now was received before the request: no byte was read from the socket after it.

        Bytes that TLS has read ahead do not show on the socket, so `is_clean` does not see them.
        """
        if self._reused is None or self._read <= 0:
            return False
        return _bytes_read(self._reused) - self._read <= 1  # the end of a connection counts as a byte


def _ends(descriptor: int) -> tuple[str, int] | None:
    """Return the address of the server and the local port of a connection; None if it was closed, also if its descriptor was reused."""
    try:
        found = socket.socket(fileno=descriptor)
    except OSError:
        return None
    try:
        if found.family not in (socket.AF_INET, socket.AF_INET6):
            return None
        return found.getpeername()[0].partition("%")[0], found.getsockname()[1]
    except OSError:  # it is still connecting
        return None
    finally:
        found.detach()  # it belongs to libcurl


def _bytes_read(descriptor: int) -> int:
    """Return how many bytes have been read from a connection, 0 or less if the operating system does not say."""
    if sys.platform != "linux":
        return 0
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM, fileno=descriptor)  # with its kind named, it asks for nothing
    try:
        received = found.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, BYTES_RECEIVED.stop)[BYTES_RECEIVED]
        waiting = fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4))
    except OSError:
        return 0
    finally:
        found.detach()
    return int.from_bytes(received, sys.byteorder) - int.from_bytes(waiting, sys.byteorder)


def _is_readable(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
