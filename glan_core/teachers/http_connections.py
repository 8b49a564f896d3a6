"""Connections to an endpoint: reused while the server keeps to one response per request."""

import aiohttp


class Connector(aiohttp.TCPConnector):
    """Connector that closes an idle connection on which the server sent something unsolicited.

    aiohttp would return those bytes as the response to the next request on the connection, so that a reply would belong to another
    question.
    """

    async def _get(self, key, traces) -> aiohttp.connector.Connection | None:  # type: ignore[no-untyped-def]
        while (connection := await super()._get(key, traces)) is not None:
            if connection.protocol is None or not connection.protocol.should_close:
                return connection
            connection.close()
        return None
