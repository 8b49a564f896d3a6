"""Endpoint gates: how many calls each endpoint of a run may have in flight, and what is waited for."""

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from glan_core.generation.protocols import Work
from glan_core.generation.rate_limits import Concurrency, Outage
from glan_core.teachers.contract import Teacher
from glan_core.teachers.endpoint_settings import is_local


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


def gate_name(teacher: Teacher) -> str:
    """Name of the gate of a teacher: teachers of the same endpoint share one."""
    return getattr(teacher, "url", None) or teacher.name


def open_gates(teachers: Mapping[str, Teacher], max_in_flight: int) -> dict[str, EndpointGate]:
    """Return a gate for each endpoint of these teachers, by stage."""
    gates: dict[str, EndpointGate] = {}
    by_stage = {}
    for stage, teacher in teachers.items():
        name = gate_name(teacher)
        if name not in gates:
            local = bool(urlsplit(name).hostname) and is_local(name)
            gates[name] = EndpointGate(name, Concurrency(max_in_flight, local=local))
        by_stage[stage] = gates[name]
    return by_stage
