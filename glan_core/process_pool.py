"""Processes of this machine that compute batches in order, so that long work uses all cores."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import Any, TypeVar

from glan_core.processes import cores

SERIAL_BATCHES = 15  # batches that this process computes before it starts others, which takes seconds
MAX_PROCESSES = 8  # more would wait for this process, which reads and writes
QUEUED_PER_PROCESS = 2  # batches per process that are computed or wait for it
LOOK_SECONDS = 0.5

Batch = TypeVar("Batch")
Result = TypeVar("Result")

_function: Callable[[Any], Any]  # of a process of the pool


def map_in_processes(
    batches: Iterable[Batch], prepare: Callable[[], Callable[[Batch], Result]], waiting: Callable[[], object]
) -> Iterator[Result]:
    """Yield the result of each batch in order: the first ones computed in this process, the others by a process per core.

    If one of the processes is killed, for example for lack of memory, this process computes what is left.

    Args:
        batches: Batches, which can be pickled; read in this process as they are needed.
        prepare: Called once by each process that computes; returns the function of a batch. It and the results can be pickled.
        waiting: Called every half a second while no result is there; what it raises ends the work.
    """
    function, rest = prepare(), iter(batches)
    yield from map(function, islice(rest, SERIAL_BATCHES))
    processes = min(cores(), MAX_PROCESSES)
    if processes > 1:
        pending: deque[Batch] = deque()  # submitted, without a result yet
        try:
            yield from _computed(rest, pending, prepare, processes, waiting)
        except BrokenProcessPool:
            yield from map(function, pending)
    yield from map(function, rest)


def _computed(
    rest: Iterator[Batch], pending: deque[Batch], prepare: Callable[[], Callable], processes: int, waiting: Callable[[], object]
) -> Iterator[Any]:
    """Yield the results of a pool, and keep in `pending` the batches that it has not computed."""
    context = multiprocessing.get_context("spawn")  # a copy of this process could inherit locks that nobody opens
    pool = ProcessPoolExecutor(processes, context, _begin, (prepare,))
    results: deque[Future] = deque()
    try:
        while True:
            for batch in islice(rest, QUEUED_PER_PROCESS * processes - len(pending)):
                pending.append(batch)
                results.append(pool.submit(_compute, batch))
            if not results:
                return
            result = _result(results.popleft(), waiting)
            pending.popleft()
            yield result
    finally:
        pool.shutdown(cancel_futures=True)


def _result(future: Future, waiting: Callable[[], object]) -> Any:
    while True:
        try:
            return future.result(LOOK_SECONDS)
        except TimeoutError:
            if future.done():  # the error is that of the batch
                raise
            waiting()


def _begin(prepare: Callable[[], Callable]) -> None:
    """Prepare a process of the pool; it leaves Ctrl+C to the first process, and ends with it however that ends."""
    global _function
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _function = prepare()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _compute(batch: Any) -> Any:
    return _function(batch)
