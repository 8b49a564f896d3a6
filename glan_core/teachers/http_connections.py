"""Connections to an endpoint: reused while the server keeps to one response per request."""

import select
import sys

import aiohttp


class Connector(aiohttp.TCPConnector):
    """Connector that closes an idle connection on which the server sent something unsolicited, or which it closed.

    aiohttp would return those bytes as the response to the next request on the connection, so that a reply would belong to another
    question. It knows only what the event loop has read, so what waits to be read is looked for here.
    """

    async def _get(self, key, traces) -> aiohttp.connector.Connection | None:  # type: ignore[no-untyped-def]
        while (connection := await super()._get(key, traces)) is not None:
            if connection.protocol is None or not (connection.protocol.should_close or _is_readable(connection)):
                return connection
            connection.close()
        return None


def _is_readable(connection: aiohttp.connector.Connection) -> bool:
    """Return whether bytes, or the end of the connection, wait to be read; on Windows, whose loop reads ahead, False."""
    sock = None if connection.transport is None else connection.transport.get_extra_info("socket")
    if sys.platform == "win32" or sock is None:
        return False
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))
