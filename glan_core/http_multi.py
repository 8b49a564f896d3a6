"""libcurl's multi interface on an asyncio event loop: all transfers of a client, whose sockets share one selector.

`pycurl.AsyncCurlMulti` registers each socket with the event loop, twice per request, which takes a twentieth of the CPU of a run.
"""

import asyncio
import math
import selectors

import pycurl

from glan_core.bounded_selector import BoundedSelector


class Multi:
    """Transfers of one event loop."""

    def __init__(self) -> None:
        self._multi, self._sockets = pycurl.CurlMulti(), BoundedSelector()
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._set_timeout)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._futures: dict[pycurl.Curl, asyncio.Future[None]] = {}
        # Times of the event loop's clock: of the next timeout that libcurl has set, and of the timer, which may be earlier.
        self._timeout_at = self._timer_at = math.inf
        self._timer: asyncio.TimerHandle | None = None

    def add(self, curl: pycurl.Curl) -> "asyncio.Future[None]":
        """Begin a transfer and return its end; call `remove` after it, however it ended.

        The end raises pycurl.error if the transfer fails.

        Raises:
            RuntimeError: If the event loop is not that of the first transfer, which watches the sockets.
        """
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
            loop.add_reader(self._sockets.fileno(), self._continue)
        elif loop is not self._loop:
            raise RuntimeError("the client belongs to another event loop")
        self._multi.add_handle(curl)
        future = self._futures[curl] = loop.create_future()
        return future

    def remove(self, curl: pycurl.Curl) -> None:
        """Forget a transfer; one that has not ended is abandoned."""
        if self._futures.pop(curl, None) is not None:
            self._multi.remove_handle(curl)

    def catch_up(self) -> None:
        """Let libcurl send and receive wherever it can: after a standstill, replies must be read before their timeouts."""
        self._handle(self._sockets.select_all())

    def close(self) -> None:
        """Abandon the transfers and close the connections; a second call does nothing."""
        if self._multi.closed:
            return
        for curl, future in list(self._futures.items()):
            self.remove(curl)
            future.cancel()
        self._multi.close()
        if self._timer is not None:  # now, because libcurl also sets the timer while transfers are removed
            self._timer.cancel()
        if self._loop is not None:
            self._loop.remove_reader(self._sockets.fileno())
        self._sockets.close()

    def _watch(self, what: int, socket: int, multi: pycurl.CurlMulti, data: object) -> None:
        """Watch a socket for what libcurl waits for, which is nothing if the socket is removed."""
        events = selectors.EVENT_READ * bool(what & pycurl.POLL_IN) | selectors.EVENT_WRITE * bool(what & pycurl.POLL_OUT)
        known = self._sockets.get_map().get(socket)
        if known is None:
            if events:
                self._sockets.register(socket, events)
        elif not events:
            self._sockets.unregister(socket)
        elif known.events != events:
            self._sockets.modify(socket, events)

    def _continue(self) -> None:
        """Let libcurl send and receive on some of the sockets where it can."""
        self._handle(self._sockets.select(0))

    def _handle(self, ready: list[tuple[selectors.SelectorKey, int]]) -> None:
        for key, events in ready:
            readable, writable = bool(events & selectors.EVENT_READ), bool(events & selectors.EVENT_WRITE)
            self._act(key.fd, pycurl.CSELECT_IN * readable | pycurl.CSELECT_OUT * writable)
        self._end()

    def _set_timeout(self, milliseconds: int) -> None:
        """Set the time of libcurl's next timeout; a timer that fires earlier is kept, because moving it takes longer."""
        assert self._loop is not None
        self._timeout_at = math.inf if milliseconds < 0 else self._loop.time() + milliseconds / 1000
        if self._timeout_at < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at, self._timer = self._timeout_at, self._loop.call_at(self._timeout_at, self._expire)

    def _expire(self) -> None:
        """Process libcurl's timeouts if the time has come; otherwise set the timer again."""
        assert self._loop is not None
        self._timer_at, self._timer = math.inf, None
        if self._timeout_at > self._loop.time():
            if self._timeout_at < math.inf:
                self._timer_at, self._timer = self._timeout_at, self._loop.call_at(self._timeout_at, self._expire)
            return
        self._timeout_at = math.inf
        self._act(pycurl.SOCKET_TIMEOUT, 0)
        self._end()

    def _act(self, socket: int, ready: int) -> None:
        try:
            self._multi.socket_action(socket, ready)
        except pycurl.error as error:  # of libcurl itself, which then ends no transfer
            for curl in list(self._futures):
                self._resolve(curl, error)

    def _end(self) -> None:
        """End the transfers that libcurl has completed or given up."""
        _, completed, failed = self._multi.info_read()
        for curl in completed:
            self._resolve(curl, None)
        for curl, code, message in failed:
            self._resolve(curl, pycurl.error(code, message))

    def _resolve(self, curl: pycurl.Curl, error: pycurl.error | None) -> None:
        future = self._futures.get(curl)
        self.remove(curl)
        if future is None or future.done():
            return
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
