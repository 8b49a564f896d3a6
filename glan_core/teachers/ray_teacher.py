"""Teacher whose requests are sent by the actors of a Ray cluster (`--engine ray`).

The driver, which is the process of the run, plans, keeps budget and rate limits, and is the only one that writes. Its actors send
requests. An actor or a node that dies loses the requests that it had in flight; Ray starts the actor again, on another node if
need be, and meanwhile the others go on. If the driver dies, Ray ends its actors.

Needs the packages of requirements-ray.txt, here and on every node.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any

from glan_core.errors import GlanError
from glan_core.ray_cluster.connection import CONNECT_SECONDS, cannot_start, check_installed, connect, disconnect
from glan_core.ray_cluster.settings import LOCAL
from glan_core.teachers.contract import DecodingParams, Message, Reply, TeacherError, TeacherFault
from glan_core.teachers.endpoint_settings import header_variables
from glan_core.teachers.http_teacher import HttpTeacher
from glan_core.teachers.ray_worker import RayWorker

RESTART_SECONDS = 120.0  # for which a run waits while no worker is alive


@dataclass(slots=True, eq=False)
class Worker:
    """One actor.

    Attributes:
        actor: Its handle.
        number: Its number in the run, from 1.
        alive: Set unless its process is being started.
        host: Its host.
        in_flight: Requests that it has not returned.
        answered: Requests that it has returned.
        lost: Requests that were lost with its process.
        restarts: How often its process ended.
    """

    actor: Any
    number: int
    alive: asyncio.Event
    host: str = ""
    in_flight: int = 0
    answered: int = 0
    lost: int = 0
    restarts: int = 0

    @property
    def name(self) -> str:
        """Its name for people."""
        return f"Ray worker {self.number} on {self.host}"


class RayTeacher:
    """The teacher of an endpoint, called by the actors of a cluster; use it from one event loop only.

    Args:
        teacher: The teacher of the endpoint.
        workers: Number of actors.
        address: Address of a running cluster, such as 'auto' or 'ray://host:10001'; `LOCAL` for one of this machine.
        first: Number of the first actor in the run.

    Raises:
        GlanError: If Ray is not installed.
    """

    def __init__(self, teacher: HttpTeacher, workers: int, address: str = LOCAL, first: int = 1) -> None:
        check_installed()
        self.name, self.url, self.notices = teacher.name, teacher.url, list(teacher.notices)
        self._teacher, self._numbers, self._address = teacher, range(first, first + workers), address
        self.workers: list[Worker] = []
        self._starting: asyncio.Task | None = None
        self._restarts: set[asyncio.Task] = set()

    async def reply(self, messages: Sequence[Message], decoding: DecodingParams) -> Reply:
        """Return the reply to a request that the least busy worker sends."""
        import ray.exceptions

        worker = await self._free_worker()
        worker.in_flight += 1
        call = worker.actor.reply.remote(list(messages), decoding)
        try:
            outcome, notices = await call
        except (ray.exceptions.RayActorError, ray.exceptions.NodeDiedError):
            worker.lost += 1
            self._restart(worker)
            raise TeacherFault(f"{worker.name} ended. Its requests are sent again.", billed=True, sender_lost=True) from None
        except ray.exceptions.RayTaskError:  # an unexpected error, which ends a run on the local engine as well
            raise
        except ray.exceptions.RayError as error:
            raise TeacherFault(
                f"Ray could not pass a request on: {type(error).__name__}.", billed=True, sender_lost=True
            ) from None
        except asyncio.CancelledError:
            ray.cancel(call)
            raise
        finally:
            worker.in_flight -= 1
        worker.answered += 1
        self.notices += [notice for notice in notices if notice not in self.notices]
        if isinstance(outcome, Reply):
            return outcome
        raise outcome

    async def stream(self, messages: Sequence[Message], decoding: DecodingParams) -> AsyncGenerator[str | Reply, None]:
        """Yield the whole text as one piece, then the reply: actors do not stream."""
        reply = await self.reply(messages, decoding)
        yield reply.streamed
        yield reply

    async def list_models(self) -> tuple[str, ...] | None:
        """See `HttpTeacher.list_models`; asked from this process."""
        return await self._teacher.list_models()

    async def _free_worker(self) -> Worker:
        """Return the worker with the fewest requests in flight; wait for one if none is alive.

        Raises:
            TeacherError: If the cluster cannot be reached, or no worker starts in time.
        """
        if self._starting is None:
            self._starting = asyncio.create_task(self._start())
        await asyncio.shield(self._starting)
        alive = [worker for worker in self.workers if worker.alive.is_set()]
        if not alive:
            waits = [asyncio.ensure_future(worker.alive.wait()) for worker in self.workers]
            await asyncio.wait(waits, timeout=RESTART_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
            alive = [worker for worker in self.workers if worker.alive.is_set()]
        if not alive:
            raise TeacherError(f"No Ray worker has started in {RESTART_SECONDS:g} s. See ray status, then resume the run.")
        return min(alive, key=lambda worker: worker.in_flight)

    async def _start(self) -> None:
        """Connect to the cluster and start the workers."""
        import ray.exceptions

        try:
            actors = await asyncio.to_thread(self._connect)
            self.workers = [Worker(actor, number, asyncio.Event()) for number, actor in zip(self._numbers, actors, strict=True)]
            await asyncio.wait_for(asyncio.gather(*map(self._locate, self.workers)), CONNECT_SECONDS)
        except TimeoutError:
            raise TeacherError(
                f"The Ray cluster {self._address} did not start the workers in {CONNECT_SECONDS:g} s. Check ray status."
            ) from None
        except GlanError as error:
            raise TeacherError(str(error)) from None
        except ray.exceptions.RayError as error:
            raise TeacherError(cannot_start(self._address, error)) from None

    def _connect(self) -> list[Any]:
        """Connect and create the actors."""
        import ray

        connect(self._address, len(self._numbers))
        # No CPU is reserved: a worker waits for the network most of the time. Restarts are without limit, calls are never repeated.
        options: Any = ray.remote  # its types lack max_concurrency
        actor = options(
            num_cpus=0, max_restarts=-1, max_task_retries=0, max_concurrency=10_000, scheduling_strategy="SPREAD"
        )(RayWorker)  # fmt: skip
        teacher = self._teacher
        variables = header_variables(teacher.settings.headers)
        return [actor.remote(teacher.model, teacher.settings, teacher.key, variables) for _ in self._numbers]

    async def _locate(self, worker: Worker) -> None:
        worker.host = await worker.actor.host.remote()
        worker.alive.set()

    def _restart(self, worker: Worker) -> None:
        """Send nothing to a worker until its new process replies."""
        if not worker.alive.is_set():
            return
        worker.alive.clear()
        worker.restarts += 1

        async def wait() -> None:
            import ray.exceptions

            while True:
                try:
                    return await self._locate(worker)
                except ray.exceptions.RayError:
                    await asyncio.sleep(1.0)

        task = asyncio.create_task(wait())
        self._restarts.add(task)
        task.add_done_callback(self._restarts.discard)

    async def close(self) -> None:
        """End the workers, and the cluster if it is of this run."""
        for task in (self._starting, *self._restarts):
            if task is not None:
                task.cancel()
        if self._starting is not None:
            await asyncio.to_thread(disconnect)
        await self._teacher.close()
