"""Growth of the time that reading a text takes, in CPU time, so that a busy machine does not matter."""

import gc
import signal
import sys
from collections.abc import Callable
from contextlib import contextmanager
from time import thread_time

FLOOR = 0.0006  # seconds per kB; a text that is read faster is not slow
RATIO = 8.0  # four times the text: linear is 4, quadratic 16
PER_KB = 0.050  # seconds
LIMIT = 5.0  # seconds of CPU time after which reading is interrupted


class _TooSlowError(BaseException):
    """No Exception, which a parser might catch."""


@contextmanager
def _limited(limit: float):
    def stop(*_):
        raise _TooSlowError

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, limit)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def seconds(read: Callable[[str], object], text: str) -> float:
    """CPU seconds of reading a text, at most about LIMIT; errors of the reader do not matter."""
    collecting = gc.isenabled()
    gc.disable()  # its time depends on all other objects
    began = thread_time()
    try:
        with _limited(LIMIT):
            read(text)
    except (Exception, _TooSlowError):
        pass
    took = thread_time() - began
    if collecting:
        gc.enable()
    return took


def slowness(read: Callable[[str], object], make: Callable[[int], str], size: int) -> str | None:
    """Return how the time grows from `size` characters to four times as many if it grows faster than the text, or None.

    Args:
        read: The reader.
        make: Function that returns a text of about a number of characters.
        size: Characters of the smaller text.
    """
    small, large = make(size), make(4 * size)
    floor = FLOOR * len(large) / 1000
    long = seconds(read, large)
    if long < floor:
        return None
    short = seconds(read, small)
    for _ in range(2):
        if long >= LIMIT or (long <= RATIO * short and long <= PER_KB * len(large) / 1000):
            break
        long, short = min(long, seconds(read, large)), max(short, seconds(read, small))  # some clocks stand still for moments
    if long > PER_KB * len(large) / 1000:
        return f"{1000 * long:,.0f} ms for {len(large):,} characters"
    if long > floor and long > RATIO * max(short, 1e-4):
        return f"{1000 * short:,.1f} ms for {len(small):,} characters, {1000 * long:,.1f} ms for {len(large):,}"
    return None


if sys.platform == "win32":  # no virtual timer
    _limited = contextmanager(lambda limit: iter([None]))  # type: ignore[assignment]
