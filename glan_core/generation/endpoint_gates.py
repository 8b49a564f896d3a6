"""Endpoint gates: which endpoints a run calls, how many calls each may have in flight, and what is waited for.

A stage whose teacher has replicas has several endpoints. Each call goes to the one with the fewest calls in flight among those that
may be called now, the first of them if several have as few.
"""

import time
from collections import Counter, deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import urlsplit

from glan_core.generation.protocols import Work
from glan_core.generation.rate_limits import Clock, Concurrency, Outage
from glan_core.teachers.contract import Teacher
from glan_core.teachers.endpoint_settings import is_local
from glan_core.workspace.run_rows import EndpointProgress

MAX_PARKED = 64  # tasks per group of endpoints that wait while those of other endpoints go on


@dataclass(slots=True)
class EndpointGate:
    """One endpoint of a run.

    Attributes:
        name: URL of the endpoint, or name of a teacher without one.
        host: Host and port of the endpoint, with the path if several endpoints of the run share them; the name if there is no URL.
        concurrency: Limit of the calls in flight.
        outage: Errors in a row.
        replicated: Whether another endpoint serves the same model.
        in_flight: Calls in flight.
        full: Whether as many calls as allowed were in flight when the engine had last sent all that it could send. When a reply
            arrives, fewer may be: calls of one latency return together.
        served: Whether it has ever replied.
        refusals: Refused requests.
        reason: Why no call may be sent at the moment.
        loading_since: Since when the server has been loading its model, by the monotonic clock; None if it is not.
        answered: Replies.
        faults: Transient errors.
        outages: How often it was taken out of use.
        out: Whether it is out of use until it answers a probe.
        returning: Whether it is in use again and has not replied since.
        excluded: Why it is not used for the rest of the run, '' if it is.
    """

    name: str
    host: str
    concurrency: Concurrency
    outage: Outage
    clock: Clock = time.monotonic
    replicated: bool = False
    in_flight: int = 0
    full: bool = True
    served: bool = False
    refusals: int = 0
    reason: str = ""
    loading_since: float | None = None
    answered: int = 0
    faults: int = 0
    outages: int = 0
    out: bool = False
    returning: bool = False
    excluded: str = ""

    @property
    def open(self) -> bool:
        """Whether another call may be sent now."""
        return self.in_use and self.concurrency.allows(self.in_flight)

    @property
    def in_use(self) -> bool:
        """Whether it gets calls, now or when those in flight end or a wait that it asked for is over."""
        return not self.out and not self.excluded

    @property
    def usable(self) -> bool:
        """Whether it is in use and does not ask to wait; it may have as many calls in flight as it may have."""
        return self.in_use and not self.closed_for

    @property
    def closed_for(self) -> float:
        """Seconds until the next call or probe may be sent, 0 if it depends on calls in flight."""
        return max(0.0, self.concurrency.closed_until - self.clock())

    def progress(self) -> EndpointProgress:
        """Return what a run reports about this endpoint."""
        state = "excluded" if self.excluded else "out of use" if self.out else "waiting" if self.closed_for else "in use"
        return EndpointProgress(self.host, state, self.in_flight, self.answered, self.faults, self.outages)


class Route(NamedTuple):
    """One endpoint of a stage: its gate, and the teacher that calls it."""

    gate: EndpointGate
    teacher: Teacher


@dataclass(slots=True)
class EndpointGroup:
    """The endpoints that serve the same models.

    Attributes:
        gates: Their gates, that of the base URL first.
        models: The models.
        parked: Tasks that wait until one of the endpoints may be called.
    """

    gates: tuple[EndpointGate, ...]
    models: set[str] = field(default_factory=set)
    parked: deque[Work] = field(default_factory=deque)

    @property
    def open(self) -> bool:
        """Whether another call may be sent now."""
        return any(gate.open for gate in self.gates)

    @property
    def waits(self) -> tuple[float, str]:
        """Seconds until the next call or probe may be sent and why; 0 if that depends on calls in flight."""
        if any(gate.usable for gate in self.gates):
            return 0.0, ""
        return min(((gate.closed_for, gate.reason) for gate in self.gates if not gate.excluded), default=(0.0, ""))


class EndpointGates:
    """The endpoints of a run by stage; teachers of the same endpoint share its gate."""

    def __init__(self, teachers: Mapping[str, Teacher], max_in_flight: int, clock: Clock = time.monotonic) -> None:
        members = {stage: getattr(teacher, "replicas", ()) or (teacher,) for stage, teacher in teachers.items()}
        hosts = _hosts({_address(teacher) for several in members.values() for teacher in several})
        gates: dict[str, EndpointGate] = {}
        groups: dict[tuple[str, ...], EndpointGroup] = {}
        self._routes: dict[str, tuple[Route, ...]] = {}
        self._groups: dict[str, EndpointGroup] = {}
        for stage, several in members.items():
            for name in map(_address, several):
                if name not in gates:
                    local = bool(urlsplit(name).hostname) and is_local(name)
                    gates[name] = EndpointGate(
                        name, hosts[name], Concurrency(max_in_flight, clock, local=local), Outage(clock), clock
                    )
                gates[name].replicated |= len(several) > 1
            names = tuple(map(_address, several))
            self._routes[stage] = tuple(Route(gates[name], teacher) for name, teacher in zip(names, several, strict=True))
            self._groups[stage] = groups.setdefault(names, EndpointGroup(tuple(gates[name] for name in names)))
            self._groups[stage].models.add(several[0].name.partition(":")[2])
        self._all, self._distinct = tuple(gates.values()), tuple(groups.values())
        self._room = 1 if len(groups) == 1 else MAX_PARKED

    def all(self) -> Iterable[EndpointGate]:
        """Return every gate once."""
        return self._all

    def record_full(self) -> None:
        """Record of every endpoint whether it has as many calls as allowed, now that no other call can be sent."""
        for gate in self._all:
            gate.full = gate.in_flight >= int(gate.concurrency.limit)

    def groups(self) -> Iterable[EndpointGroup]:
        """Return every group once."""
        return self._distinct

    def groups_of(self, gate: EndpointGate) -> list[EndpointGroup]:
        """Return the groups that have this endpoint."""
        return [group for group in self._distinct if gate in group.gates]

    def teachers_of(self, gate: EndpointGate) -> list[Teacher]:
        """Return the teachers that call this endpoint."""
        return [route.teacher for routes in self._routes.values() for route in routes if route.gate is gate]

    def open(self, work: Work) -> bool:
        """Return whether a task may be sent now."""
        return self._groups[work.stage].open

    def choose(self, work: Work) -> Route:
        """Return the endpoint for a task that may be sent now: the fewest calls in flight, rather not one at which it just failed."""
        routes = [route for route in self._routes[work.stage] if route.gate.open]
        return min(routes, key=lambda route: (route.gate.name in work.failed_at, route.gate.in_flight))

    def elsewhere(self, work: Work, gate: EndpointGate) -> bool:
        """Return whether a task that just failed at an endpoint may be sent to one that it has not tried since its last wait."""
        work.failed_at.add(gate.name)
        found = any(
            route.gate.usable and route.gate.name not in work.failed_at for route in self._routes[work.stage]
        )  # fmt: skip
        if not found:
            work.failed_at.clear()
        return found

    def park(self, work: Work, *, first: bool = False) -> None:
        """Keep a task until one of its endpoints may be called, before or after those that wait already."""
        parked = self._groups[work.stage].parked
        parked.appendleft(work) if first else parked.append(work)

    def parked(self) -> bool:
        """Whether any task waits."""
        return any(group.parked for group in self._distinct)

    def next_parked(self) -> Work | None:
        """Remove and return a parked task that may be sent now, None if there is none."""
        return next((group.parked.popleft() for group in self._distinct if group.parked and group.open), None)

    def have_room(self) -> bool:
        """Whether another task may be taken from the queue, although its endpoints may turn out to be closed."""
        return all(len(group.parked) < self._room for group in self._distinct)

    def seconds_closed(self) -> float | None:
        """Return the seconds until the first closed endpoint with parked tasks may be called, None if there is none.

        Endpoints out of use are not considered: the run is told when one of them answers a probe.
        """
        waited = (gate for group in self._distinct if group.parked for gate in group.gates if gate.in_use)
        return min((gate.closed_for for gate in waited if gate.closed_for), default=None)

    def limit(self) -> int:
        """Return the sum of the concurrency limits of the endpoints in use."""
        return sum(int(gate.concurrency.limit) for gate in self._all if gate.in_use)


def _address(teacher: Teacher) -> str:
    return getattr(teacher, "url", None) or teacher.name


def _hosts(names: Collection[str]) -> dict[str, str]:
    """Return host and port of each URL, with the path where several URLs share them; other names are kept."""
    hosts = Counter(urlsplit(name).netloc for name in names)
    shown = {}
    for name in names:
        parts = urlsplit(name)
        shown[name] = (parts.netloc if hosts[parts.netloc] == 1 else f"{parts.netloc}{parts.path}") or name
    return shown
