"""A selector that reports few sockets at a time, so that requests do not run in waves.

With one of the usual selectors, all sockets that are ready are read before any task continues. When the replies of an endpoint of
constant latency arrive together, all of them are read, then all are parsed, then all next requests are sent: the endpoint waits for the
run, the run waits for the endpoint, and the next replies arrive together again. With few sockets at a time, requests are sent while other
replies wait to be read.
"""

import selectors
from collections import deque

MAX_EVENTS = 16  # ready sockets at a time


class BoundedSelector(selectors.DefaultSelector):
    """A selector that reports at most `MAX_EVENTS` ready sockets, and the others of the same look at the next calls."""

    def __init__(self) -> None:
        super().__init__()
        self._ready: deque[tuple[selectors.SelectorKey, int]] = deque()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return some of the sockets that are ready, with their events; see `selectors.BaseSelector.select`."""
        if not self._ready:
            self._ready.extend(super().select(timeout))
        registered = self.get_map()
        found: list[tuple[selectors.SelectorKey, int]] = []
        while self._ready and len(found) < MAX_EVENTS:
            key, events = self._ready.popleft()
            if registered.get(key.fd) is key:  # neither closed nor changed since; what is still ready is found again
                found.append((key, events))
        return found

    def select_all(self) -> list[tuple[selectors.SelectorKey, int]]:
        """Return all sockets that are ready now, with their events."""
        self._ready.clear()  # what is still ready is found again
        return super().select(0)
