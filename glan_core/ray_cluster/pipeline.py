"""Batches computed on this machine or by the actors of a Ray Data pipeline, in order.

The caller reads and writes the workspace; the cluster sees only the batches. Batches go to the cluster in windows of bounded size, so
that neither the caller nor the cluster ever holds all of them. An actor or a node that dies costs time only: Ray starts it again and
repeats its batches, each at most `RETRIES` times.
"""

import math
import pickle
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, islice
from typing import Any, TypeVar

from glan_core.errors import GlanError
from glan_core.process_pool import map_in_processes
from glan_core.ray_cluster.connection import cause_of, check_on_node, connected
from glan_core.ray_cluster.settings import RaySettings

WINDOW = 256 << 20  # bytes of the batches that a cluster gets at once
LOOK_SECONDS = 0.5
READ_AHEAD = 2  # results that wait for the caller
END_SECONDS = 10.0
RETRIES = 3

Batch = TypeVar("Batch")
Result = TypeVar("Result")


def map_batches(
    batches: Iterable[Batch],
    prepare: Callable[[], Callable[[Batch], Result]],
    settings: RaySettings,
    waiting: Callable[[], object],
    *,
    gpu: bool = False,
    single_threaded: bool = False,
) -> Iterator[Result]:
    """Yield the result of each batch in order, computed on this machine or by the actors of a cluster.

    Args:
        batches: Batches, which can be pickled; read in this process as they are needed.
        prepare: Called once by each process that computes; returns the function of a batch. A GlanError of either is raised here.
        settings: Engine, address of the cluster, and number of actors.
        waiting: Called every half a second while the cluster has no result; what it raises ends the work.
        gpu: Whether the actors use GPUs, if the cluster has some.
        single_threaded: Whether the function uses one core; on this machine, several processes then compute.

    Raises:
        GlanError: If the cluster cannot be used, or an actor cannot start.
    """
    if settings.engine == "local":
        yield from map_in_processes(batches, prepare, waiting) if single_threaded else map(prepare(), batches)
        return
    check_on_node(settings.ray_address)
    pickled = (pickle.dumps(batch, pickle.HIGHEST_PROTOCOL) for batch in batches)
    first = list(islice(pickled, 1))
    if not first:  # no cluster is needed
        return
    with connected(settings.ray_address, settings.ray_workers), _readable_errors(settings.ray_address):
        rest = chain(first, pickled)
        while window := _put_window(rest, waiting):
            yield from _computed(window, prepare, settings, waiting, gpu=gpu)


def _put_window(pickled: Iterator[bytes], waiting: Callable[[], object]) -> list[Any]:
    """Put the next batches into the cluster, each as a block of one row; return their references."""
    import pyarrow as pa
    import ray

    window, size = [], 0
    for batch in pickled:
        window.append(ray.put(pa.table({"batch": pa.array([batch], pa.large_binary())})))
        size += len(batch)
        waiting()
        if size >= WINDOW:
            break
    return window


def _computed(
    window: list[Any], prepare: Callable[[], Callable], settings: RaySettings, waiting: Callable[[], object], *, gpu: bool
) -> Iterator[Any]:
    """Yield the results of a window."""
    import ray.data

    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = context.print_on_execution_start = False
    gpus = gpu_share(int(ray.cluster_resources().get("GPU", 0)), settings.ray_workers) if gpu else 0

    def results() -> Iterable[Any]:  # waits for free cores of the cluster from its first line on
        return ray.data.from_arrow_refs(window).map_batches(
            _Actor, fn_constructor_args=(prepare,), batch_size=1, batch_format="pyarrow", num_cpus=1, num_gpus=gpus,
            compute=ray.data.ActorPoolStrategy(size=min(settings.ray_workers, len(window))), max_task_retries=RETRIES,
        ).iter_batches(batch_size=None, batch_format="pyarrow")  # fmt: skip

    for table in _read_ahead(results, waiting):
        for value in table.column("result").to_pylist():
            outcome = pickle.loads(value)  # of our own actors
            if isinstance(outcome, GlanError):
                raise outcome
            yield outcome


def gpu_share(gpus: int, workers: int) -> float:
    """Return the share of a GPU that each of a number of workers gets, so that all of them find a place."""
    return 1 / math.ceil(workers / gpus) if gpus else 0.0


@contextmanager
def _readable_errors(address: str) -> Iterator[None]:
    """Convert errors of a cluster into one sentence; those of our own code end a run as on the local engine."""
    import ray.data.exceptions
    import ray.exceptions

    try:
        yield
    except ray.exceptions.RayTaskError:
        raise
    except (ray.exceptions.RayError, ray.data.exceptions.ExecutionTimeoutError) as error:
        raise GlanError(
            f"The Ray cluster {address} failed: {cause_of(error)}. Check that every node has this release of the studio, its packages and "
            "enough memory, then resume the run."
        ) from None


def _read_ahead(read: Callable[[], Iterable[Any]], waiting: Callable[[], object]) -> Iterator[Any]:
    """Yield the items that `read` returns, read in a thread, with calls of `waiting` meanwhile."""
    ready: queue.Queue = queue.Queue(READ_AHEAD)
    ended = threading.Event()

    def give(kind: str, value: object) -> bool:
        while not ended.is_set():
            try:
                ready.put((kind, value), timeout=LOOK_SECONDS)
                return True
            except queue.Full:
                continue
        return False

    def run() -> None:
        try:
            for item in read():
                if not give("item", item):
                    return
            give("end", None)
        except BaseException as error:  # raised in the caller
            give("error", error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        while True:
            try:
                kind, value = ready.get(timeout=LOOK_SECONDS)
            except queue.Empty:
                waiting()
                continue
            if kind == "end":
                return
            if kind == "error":
                raise value
            yield value
    finally:
        ended.set()
        thread.join(END_SECONDS)


class _Actor:
    """Computes the results of batches; errors for the user are results, as Ray would add a traceback.

    Args:
        prepare: Returns the function of a batch.
    """

    def __init__(self, prepare: Callable[[], Callable[[Any], Any]]) -> None:
        self._prepare = prepare
        self._function: Callable[[Any], Any] | None = None

    def __call__(self, block: Any) -> Any:
        """Return the results of the batches in a block."""
        import pyarrow as pa

        results = [pickle.dumps(self._outcome(batch), pickle.HIGHEST_PROTOCOL) for batch in block.column("batch").to_pylist()]
        return pa.table({"result": pa.array(results, pa.large_binary())})

    def _outcome(self, batch: bytes) -> Any:
        try:
            if self._function is None:
                self._function = self._prepare()
            return self._function(pickle.loads(batch))
        except GlanError as error:
            return error.with_traceback(None)
