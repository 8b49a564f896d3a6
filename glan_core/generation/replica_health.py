"""Health of replicas: checks them at the start of a run, takes failing ones out of use, and puts them back once they answer.

Bounds: an endpoint that serves the same model as others is taken out of use when a connection to it cannot be opened, after
`FAULTS_IN_A_ROW` transient errors without a reply in between, or at the first error after it was put back. A probe, which requests
the list of models, follows after a pause of 1 to 30 seconds that grows with the time since its first error. Once it answers, it is in
use again with one call in flight, and with more as they succeed. The run ends if no endpoint of a model has replied for
`Outage.GONE_SECONDS`.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from glan_core.generation.endpoint_gates import EndpointGate, EndpointGates
from glan_core.generation.rate_limits import Outage
from glan_core.teachers.contract import TeacherError, TeacherFault

FAULTS_IN_A_ROW = 5
MODELS_SHOWN = 5


class ReplicaHealth:
    """Decides which replicas of a run are in use.

    Args:
        gates: The endpoints of the run.
        wake: Called when an endpoint may be called again.
        fail: Called with the error that ends the run.

    Attributes:
        notices: What people should know about the replicas, in sentences.
    """

    def __init__(self, gates: EndpointGates, wake: Callable[[], None], fail: Callable[[Exception], None]) -> None:
        self.notices: list[str] = []
        self._gates, self._wake, self._fail = gates, wake, fail
        self._probes: set[asyncio.Task] = set()
        self._listed: set[str] = set()  # models that an endpoint listed at the start, which every list must contain

    async def check(self) -> None:
        """Probe all replicas; those that do not answer are out of use until they do.

        Raises:
            TeacherError: If none of the endpoints of a model answers, or one of them serves other models.
        """
        gates = [gate for gate in self._gates.all() if gate.replicated]
        answers = dict(
            zip((gate.name for gate in gates), await asyncio.gather(*map(self._models_or_fault, gates)), strict=True)
        )
        wanted = {model for group in self._gates.groups() if len(group.gates) > 1 for model in group.models}
        self._listed = {model for model in wanted if any(isinstance(a, tuple) and model in a for a in answers.values())}
        for gate in gates:
            answer = answers[gate.name]
            if isinstance(answer, TeacherFault):
                self._take_out(gate, answer)
                self.notices.append(f"{answer} It is used as soon as it answers.")
            elif error := self._wrong_model(gate, answer):
                raise error
        for group in self._gates.groups():
            if len(group.gates) > 1 and not any(gate.in_use for gate in group.gates):
                raise TeacherError(
                    f"None of the {len(group.gates)} endpoints answers. {group.gates[0].reason} Check that the servers are running and "
                    "the URLs are right."
                )

    def fault(self, gate: EndpointGate, fault: TeacherFault) -> None:
        """Record a transient error of a replica, which may take it out of use.

        Raises:
            TeacherError: If no endpoint of a model has replied for too long.
        """
        gate.outage.fault(sent=fault.sent)
        self._check_gone(gate, fault)
        if gate.in_use and (not fault.sent or gate.returning or gate.outage.in_a_row >= FAULTS_IN_A_ROW):
            self._take_out(gate, fault)

    def exclude(self, gate: EndpointGate, error: TeacherError) -> bool:
        """Stop using an endpoint that cannot be used as configured; return False if it is the last one of a model."""
        others = [[other for other in group.gates if other is not gate] for group in self._gates.groups_of(gate)]
        if not all(any(not other.excluded for other in several) for several in others):
            return False
        if not gate.excluded:
            gate.excluded = str(error)
            self.notices.append(f"{error} {gate.host} is not used for the rest of the run.")
            self._wake()
        return True

    def close(self) -> None:
        """Stop probing."""
        for probe in self._probes:
            probe.cancel()

    def _take_out(self, gate: EndpointGate, fault: TeacherFault) -> None:
        if not gate.outage.in_a_row:
            gate.outage.fault(sent=fault.sent)
        gate.out, gate.returning, gate.reason = True, False, str(fault)
        gate.outages += 1
        gate.concurrency.collapse(gate.outage.pause)
        probe = asyncio.get_running_loop().create_task(self._until_back(gate))
        self._probes.add(probe)
        probe.add_done_callback(self._ended)

    def _ended(self, probe: asyncio.Task) -> None:
        self._probes.discard(probe)
        if not probe.cancelled() and isinstance(error := probe.exception(), Exception):
            self._fail(error)

    async def _until_back(self, gate: EndpointGate) -> None:
        """Probe an endpoint until it answers, is excluded, or no endpoint of its model has answered for too long."""
        while not gate.excluded:
            await asyncio.sleep(gate.closed_for)
            if self.probed(gate, await self._models_or_fault(gate)):
                return

    def probed(self, gate: EndpointGate, answer: tuple[str, ...] | TeacherFault | None) -> bool:
        """Handle the answer of an endpoint to a probe; return whether it is in use again or excluded.

        Raises:
            TeacherError: If no endpoint of a model remains.
        """
        if isinstance(answer, TeacherFault):
            gate.outage.fault(sent=answer.sent)
            gate.reason = str(answer)
            self._check_gone(gate, answer)
            gate.concurrency.close(gate.outage.pause)
            return False
        if error := self._wrong_model(gate, answer):
            if not self.exclude(gate, error):
                raise error
            return True
        gate.out, gate.returning, gate.reason = False, True, ""
        self._wake()
        return True

    def _check_gone(self, gate: EndpointGate, fault: TeacherFault) -> None:
        for group in self._gates.groups_of(gate):
            remaining = [other for other in group.gates if not other.excluded]
            failing = all(other.out or other.returning for other in remaining)
            if remaining and failing and min(other.outage.seconds for other in remaining) > Outage.GONE_SECONDS:
                raise TeacherError(f"{fault} None of the {len(group.gates)} endpoints of the model has replied for a while.")

    async def _models_or_fault(self, gate: EndpointGate) -> tuple[str, ...] | TeacherFault | None:
        teacher: Any = self._gates.teachers_of(gate)[0]
        try:
            return await teacher.list_models()
        except TeacherFault as fault:
            return fault

    def _wrong_model(self, gate: EndpointGate, listed: tuple[str, ...] | None) -> TeacherError | None:
        """Return an error if an endpoint lists models without one that it has to serve and that another endpoint lists."""
        wanted = {model for group in self._gates.groups_of(gate) for model in group.models}
        missing = sorted((wanted & self._listed) - set(listed)) if listed is not None else []
        if not missing:
            return None
        there = ", ".join(name[:80] for name in (listed or ())[:MODELS_SHOWN]) or "none"
        return TeacherError(
            f"{gate.name} does not serve {missing[0]}, which another endpoint of this run serves. Models there: {there}. All replicas must "
            "serve the same model: start it there, or remove this URL from the replicas."
        )
