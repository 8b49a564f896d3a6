"""Endpoint gates: how many calls each endpoint of a run may have in flight, and what is waited for."""

import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from glan_core.generation.protocols import Work
from glan_core.generation.rate_limits import Concurrency, Outage
from glan_core.teachers.contract import Teacher
from glan_core.teachers.endpoint_settings import is_local

MAX_PARKED = 64  # tasks per endpoint that wait while those of other endpoints go on


@dataclass(slots=True)
class EndpointGate:
    """One endpoint of a run.

    Attributes:
        name: URL of the endpoint, or name of a teacher without one.
        concurrency: Limit of the calls in flight.
        outage: Errors in a row.
        in_flight: Calls in flight.
        parked: Tasks that wait until the endpoint may be called.
        served: Whether it has ever replied.
        refusals: Refused requests.
        reason: Why no call may be sent at the moment.
        loading_since: Since when the server has been loading its model, by the monotonic clock; None if it is not.
    """

    name: str
    concurrency: Concurrency
    outage: Outage = field(default_factory=Outage)
    in_flight: int = 0
    parked: deque[Work] = field(default_factory=deque)
    served: bool = False
    refusals: int = 0
    reason: str = ""
    loading_since: float | None = None

    @property
    def open(self) -> bool:
        """Whether another call may be sent now."""
        return self.concurrency.allows(self.in_flight)

    @property
    def closed_for(self) -> float:
        """Seconds until the next call may be sent, 0 if it depends on calls in flight."""
        return max(0.0, self.concurrency.closed_until - time.monotonic())


class EndpointGates:
    """The gates of a run by stage; teachers of the same endpoint share one."""

    def __init__(self, teachers: Mapping[str, Teacher], max_in_flight: int) -> None:
        self._by_name: dict[str, EndpointGate] = {}
        self._by_stage: dict[str, EndpointGate] = {}
        for stage, teacher in teachers.items():
            name = getattr(teacher, "url", None) or teacher.name
            if name not in self._by_name:
                local = bool(urlsplit(name).hostname) and is_local(name)
                self._by_name[name] = EndpointGate(name, Concurrency(max_in_flight, local=local))
            self._by_stage[stage] = self._by_name[name]
        self._room = 1 if len(self._by_name) == 1 else MAX_PARKED

    def of(self, work: Work) -> EndpointGate:
        """Return the gate of a task."""
        return self._by_stage[work.stage]

    def all(self) -> Iterable[EndpointGate]:
        """Return every gate once."""
        return self._by_name.values()

    def park(self, work: Work, *, first: bool = False) -> None:
        """Keep a task until its endpoint may be called, before or after those that wait already."""
        parked = self.of(work).parked
        parked.appendleft(work) if first else parked.append(work)

    def parked(self) -> bool:
        """Whether any task waits."""
        return any(gate.parked for gate in self.all())

    def next_parked(self) -> Work | None:
        """Remove and return a parked task whose endpoint may be called now, None if there is none."""
        return next((gate.parked.popleft() for gate in self.all() if gate.parked and gate.open), None)

    def have_room(self) -> bool:
        """Whether another task may be taken from the queue, although its endpoint may turn out to be closed."""
        return all(len(gate.parked) < self._room for gate in self.all())

    def seconds_closed(self) -> float | None:
        """Return the seconds until the first closed endpoint with parked tasks may be called, None if there is none."""
        return min((gate.closed_for for gate in self.all() if gate.parked and gate.closed_for), default=None)

    def limit(self) -> int:
        """Return the sum of the concurrency limits."""
        return sum(int(gate.concurrency.limit) for gate in self.all())
