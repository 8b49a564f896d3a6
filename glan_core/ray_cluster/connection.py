"""Connection to a Ray cluster: the process of a run connects to a running one, or starts one of this machine that ends with it."""

import importlib.util
import os
import queue
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from glan_core.errors import GlanError
from glan_core.processes import THREADS, threads_of_each
from glan_core.ray_cluster.settings import LOCAL
from glan_core.untrusted import clean_line

CONNECT_SECONDS = 120.0
REACH_SECONDS = 10.0
OBJECT_STORE = 100 << 20  # bytes of a cluster of this machine; what does not fit is kept in files

_connecting = threading.Lock()
_ended = threading.Event()


def check_installed() -> None:
    """Check that Ray is installed.

    Raises:
        GlanError: If it is not.
    """
    if importlib.util.find_spec("ray") is None:
        raise GlanError("The Ray engine needs the package ray: pip install -r requirements-ray.txt (or use the local engine).")


def check_on_node(address: str) -> None:
    """Check that an address is that of a cluster which this machine is a node of, as Ray Data and Ray Train need.

    Raises:
        GlanError: If it is that of Ray Client.
    """
    check_installed()
    if "://" in address:
        raise GlanError(
            f"{address} is an address of Ray Client, which only generation can use. Start the run on a node of the cluster, and give "
            "auto or HOST:PORT of its head."
        )


def connect(address: str, workers: int) -> None:
    """Connect this process to a cluster, unless it is connected.

    Args:
        address: Address of a running cluster, such as 'auto' or 'ray://host:10001'; `LOCAL` for one of this machine.
        workers: Processes that share the cores of a cluster of this machine.

    Raises:
        GlanError: If Ray is not installed, or the cluster cannot be used.
    """
    check_installed()
    import ray

    try:
        with _connecting:  # the teachers of a run share one connection
            if ray.is_initialized():
                return
            _check_address(address)
            _ended.clear()
            outcome: queue.Queue[Exception | None] = queue.Queue()
            threading.Thread(target=_hold, args=(address, workers, outcome), daemon=True).start()
            if error := outcome.get(timeout=CONNECT_SECONDS):
                raise error
    except (TimeoutError, queue.Empty):
        raise GlanError(f"The Ray cluster {address} does not respond. Check ray status.") from None
    except Exception as error:  # Ray raises Exception itself if a process of the cluster does not start in time
        raise GlanError(f"The Ray cluster {address} cannot be used: {clean_line(str(error)) or type(error).__name__}") from None


def disconnect() -> None:
    """End the connection, and the cluster if it is one of this machine."""
    import ray

    ray.shutdown()
    _ended.set()


@contextmanager
def connected(address: str, workers: int) -> Iterator[None]:
    """Connect to a cluster for the duration of a block; see `connect`."""
    connect(address, workers)
    try:
        yield
    finally:
        disconnect()


def cause_of(error: Exception) -> str:
    """Return the last line of an error of Ray, whose text is a traceback with what the node raised at its end."""
    lines = [line for line in map(clean_line, str(error).splitlines()) if line]
    return lines[-1].rstrip(".")[:300] if lines else type(error).__name__


def cannot_start(address: str, error: Exception) -> str:
    """Return the message about a worker that a cluster cannot start."""
    return (
        f"A worker of the Ray cluster {address} cannot start: {cause_of(error)}. Install this release of the studio and its packages "
        "on every node, then resume the run."
    )


def _check_address(address: str) -> None:
    """Raise an OSError if nothing listens at the address; Ray itself would try for minutes, in a thread that cannot be ended."""
    parts = urlsplit(address if "//" in address else f"//{address}")
    if parts.port:
        socket.create_connection((parts.hostname, parts.port), REACH_SECONDS).close()


def _hold(address: str, workers: int, outcome: "queue.Queue[Exception | None]") -> None:
    """Connect, and wait for the end of the connection.

    In a thread, so that Ray does not take over the signals of the run. The kernel ends the processes of a cluster of this machine
    together with the thread that started them.
    """
    try:
        _init(address, workers)
    except Exception as error:
        outcome.put(error)
    else:
        outcome.put(None)
        _ended.wait()


def _init(address: str, workers: int) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    quiet: dict[str, Any] = {"log_to_driver": False, "configure_logging": False}
    if address != LOCAL:
        ray.init(address=address, **quiet)
        return
    threads, os.environ[THREADS] = os.environ.get(THREADS), threads_of_each(workers)  # inherited by the workers
    try:
        ray.init(address=LOCAL, num_cpus=workers, include_dashboard=False, object_store_memory=OBJECT_STORE, **quiet)
    finally:
        if threads is None:
            del os.environ[THREADS]
        else:
            os.environ[THREADS] = threads
