"""Connections of an HTTP client: one on which something waits to be read is not used for another request.

libcurl reuses a connection on which the server sent something unsolicited, and would take that for the response to the next request, so that
a reply would belong to another question.
"""

import select
import socket

import pycurl


class Connections:
    """The sockets of the connections of one client, found by their local ports."""

    def __init__(self) -> None:
        self._new: set[int] = set()  # file descriptors of sockets that may still be connecting
        self._used: dict[int, int] = {}  # local port -> file descriptor

    def opened(self, descriptor: int, purpose: int) -> int:
        """Take note of a new socket; libcurl calls it."""
        self._new.add(descriptor)
        return pycurl.SOCKOPT_OK

    def is_clean(self, port: int) -> bool:
        """Return whether the connection with this local port is new, or nothing waits to be read on it, not even its end."""
        for descriptor in list(self._new):
            if (local := _local_port(descriptor)) in (port, None):
                self._new.discard(descriptor)
            if local == port:
                self._used[port] = descriptor
                return True
        return port not in self._used or not _is_readable(self._used[port])


def _local_port(descriptor: int) -> int | None:
    """Return the local port of a socket, None if it was closed, also if its descriptor is now that of something else."""
    try:
        found = socket.socket(fileno=descriptor)
    except OSError:
        return None
    try:
        return found.getsockname()[1] if found.family in (socket.AF_INET, socket.AF_INET6) else None
    finally:
        found.detach()  # it belongs to libcurl


def _is_readable(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
