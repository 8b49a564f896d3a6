"""Processes of this machine that compute batches in order, so that long work uses all cores."""

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import chain, islice
from multiprocessing.connection import Connection
from queue import SimpleQueue
from types import ModuleType
from typing import Any, TypeVar

from glan_core.processes import cores

SERIAL_BATCHES = 15  # batches that this process computes before it starts others, which takes seconds
MAX_PROCESSES = 8  # more would wait for this process, which reads and writes
QUEUED_PER_PROCESS = 2  # batches per process that are computed or wait for it
LOOK_SECONDS = 0.5

Batch = TypeVar("Batch")
Result = TypeVar("Result")


class ProcessLost(Exception):
    """A process of the pool could not be started, failed or was killed."""


def map_in_processes(
    batches: Iterable[Batch], prepare: Callable[[], Callable[[Batch], Result]], waiting: Callable[[], object]
) -> Iterator[Result]:
    """Yield the result of each batch in order: the first ones computed in this process, the others by a process per core.

    If one of the processes fails or is killed, for example for lack of memory, this process computes what is left, and raises the error.

    Args:
        batches: Batches, which can be pickled; read in this process as they are needed.
        prepare: Called once by each process that computes; returns the function of a batch. It and the results can be pickled.
        waiting: Called every half a second while no result is there; what it raises ends the work.
    """
    function, rest = prepare(), iter(batches)
    yield from map(function, islice(rest, SERIAL_BATCHES))
    processes = min(cores(), MAX_PROCESSES)
    pending = deque(islice(rest, 1))  # batches without a result yet
    if pending and processes > 1:
        with suppress(ProcessLost):
            yield from _computed(rest, pending, prepare, processes, waiting)
    yield from map(function, chain(pending, rest))


def _computed(
    rest: Iterator[Batch], pending: deque[Batch], prepare: Callable[[], Callable], processes: int, waiting: Callable[[], object]
) -> Iterator[Any]:
    """Yield the results of a pool, and keep in `pending` the batches that it has not computed."""
    workers: list[_Worker] = []
    idle: SimpleQueue[_Worker] = SimpleQueue()
    threads = ThreadPoolExecutor(processes)  # each waits for a process

    def compute(batch: Batch) -> Any:
        worker = idle.get()
        try:
            return worker.result(batch)
        finally:
            idle.put(worker)

    try:
        for _ in range(processes):
            workers.append(_Worker(prepare))
            idle.put(workers[-1])
        results = deque(threads.submit(compute, batch) for batch in pending)
        while results:
            for batch in islice(rest, QUEUED_PER_PROCESS * processes - len(pending)):
                pending.append(batch)
                results.append(threads.submit(compute, batch))
            result = _result(results.popleft(), waiting)
            pending.popleft()
            yield result
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
        for worker in workers:
            worker.kill()
        threads.shutdown()


def _result(future: Future, waiting: Callable[[], object]) -> Any:
    while True:
        try:
            return future.result(LOOK_SECONDS)
        except TimeoutError:
            waiting()


class _Worker:
    """A process that computes one batch at a time.

    It has a pipe of its own: where processes share queues, one that is killed while it writes leaves the others and the reader waiting.

    Raises:
        ProcessLost: If it cannot be started.
    """

    def __init__(self, prepare: Callable[[], Callable]) -> None:
        context = multiprocessing.get_context("spawn")  # a copy of this process could inherit locks that nobody opens
        try:
            self._connection, other_end = context.Pipe()
            with _without_main_module(), other_end:  # closed here, so that the pipe ends with the process
                self._process = context.Process(target=_work, args=(prepare, other_end), daemon=True)
                self._process.start()
        except OSError as error:
            raise ProcessLost from error

    def result(self, batch: Any) -> Any:
        """Return the result of a batch.

        Raises:
            ProcessLost: If the process ends.
        """
        try:
            self._connection.send(batch)
            return self._connection.recv()
        except (EOFError, OSError) as error:
            raise ProcessLost from error

    def kill(self) -> None:
        """End the process, whatever it does, and with it the wait for its result."""
        self._process.kill()
        self._process.join()


@contextmanager
def _without_main_module() -> Iterator[None]:
    """Hide the main module from the processes that are started: they would execute a script again that does its work when imported."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _work(prepare: Callable[[], Callable], connection: Connection) -> None:
    """Compute batches in a process of the pool; it leaves Ctrl+C to the first process, and ends with it however that ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with suppress(Exception):  # the first process computes the batch again, and raises the error
        function = prepare()
        while True:
            connection.send(function(connection.recv()))
    os._exit(1)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
