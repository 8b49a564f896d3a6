"""A selector that reports few sockets at a time, so that requests do not run in waves.

With one of the usual selectors, all sockets that are ready are read before any task continues. When the replies of an endpoint of
constant latency arrive together, all of them are read, then all are parsed, then all next requests are sent: the endpoint waits for the
run, the run waits for the endpoint, and the next replies arrive together again. With few sockets at a time, requests are sent while other
replies wait to be read.

After a standstill all are reported: replies that arrived meanwhile must be read before their timeouts, which follow at once.
"""

import selectors
import time
from collections import deque

MAX_EVENTS = 16  # ready sockets at a time
STANDSTILL = 1.0  # seconds; a longer time between two looks is a standstill


class BoundedSelector(selectors.DefaultSelector):
    """A selector that reports at most `MAX_EVENTS` ready sockets, and the others of the same look at the next calls."""

    def __init__(self) -> None:
        super().__init__()
        self._ready: deque[tuple[selectors.SelectorKey, int]] = deque()
        self._returned = time.monotonic()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return some of the sockets that are ready, with their events; see `selectors.BaseSelector.select`."""
        stood_still = time.monotonic() - self._returned > STANDSTILL
        if stood_still:
            self._ready.clear()  # what is still ready is found again
        if not self._ready:
            self._ready.extend(super().select(timeout))
        registered = self.get_map()
        found: list[tuple[selectors.SelectorKey, int]] = []
        while self._ready and (stood_still or len(found) < MAX_EVENTS):
            key, events = self._ready.popleft()
            if registered.get(key.fd) is key:  # neither closed nor changed since; what is still ready is found again
                found.append((key, events))
        self._returned = time.monotonic()
        return found
