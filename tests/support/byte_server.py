"""A server whose responses are given byte by byte, and a client of it."""

import asyncio
import contextlib

from glan_core.http_client import HttpClient

MOST = 1_000_000
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK"


class Server:
    """A server whose responses are bytes, one list of parts per request; None ends the connection, a number waits so many seconds,
    an event waits for it.

    Attributes:
        requests: Head and body of each request.
        connections: Number of connections.
        ended: Set when a client ended a connection.
    """

    def __init__(self, *responses, tls=None, repeat=False):
        self.responses, self.repeat, self.tls = list(responses), repeat, tls
        self.requests, self.connections, self.ended = [], 0, asyncio.Event()

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"{'https' if self.tls else 'http'}://localhost:{self.port}/v1"
        return self

    async def __aexit__(self, *error):
        self._server.close()

    async def _serve(self, reader, writer):
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
                body = await reader.readexactly(int(fields.get(b"content-length", 0)))
                self.requests.append((head.decode(), body))
                for part in self.responses[0] if self.repeat else self.responses.pop(0):
                    if part is None:
                        return
                    if isinstance(part, bytes):
                        writer.write(part)
                        await writer.drain()
                    elif isinstance(part, asyncio.Event):
                        await part.wait()
                    else:
                        with contextlib.suppress(TimeoutError):
                            await asyncio.wait_for(
                                reader.readexactly(1), part
                            )  # raises an error once the client ends the connection
        except (asyncio.IncompleteReadError, ConnectionError):
            self.ended.set()
        except asyncio.CancelledError:  # the end of the test
            pass
        finally:
            writer.close()


def with_server(test, *responses, tls=None, repeat=False, **settings):
    """Run an async function of a client and its server."""

    async def run():
        async with (
            Server(*responses, tls=tls, repeat=repeat) as server,
            contextlib.aclosing(HttpClient(server.url, **settings)) as client,
        ):
            return await test(client, server)

    return asyncio.run(run())
