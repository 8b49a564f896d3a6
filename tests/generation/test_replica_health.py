"""Choice among endpoints of one model, and when one is taken out of use and put back, by a clock that is set."""

import asyncio

import pytest

from glan_core.errors import GlanError
from glan_core.generation.endpoint_gates import EndpointGates
from glan_core.generation.protocols import NO_PROMPT, Work
from glan_core.generation.rate_limits import Outage
from glan_core.generation.replica_health import FAULTS_IN_A_ROW, ReplicaHealth
from glan_core.generation.settings import GenerationSettings
from glan_core.settings import read_settings
from glan_core.teachers import open_teacher
from glan_core.teachers.connections import Connection, resolve, save_connection, with_connection
from glan_core.teachers.contract import TeacherError, TeacherFault
from glan_core.teachers.endpoint_settings import EndpointSettings, same_host

DROPPED, REFUSED = TeacherFault("It closed the connection."), TeacherFault("It cannot be reached.", sent=False)


class Clock:
    """A clock that is set manually."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Endpoint:
    """A teacher with an address and a list of models; `answer` may be an exception."""

    name = "openai:x"
    replicas: tuple = ()

    def __init__(self, host: str) -> None:
        self.url, self.answer = f"https://{host}/v1", ("x",)

    async def list_models(self):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Replicated(Endpoint):
    """A teacher with several endpoints."""

    def __init__(self, *hosts: str) -> None:
        super().__init__(hosts[0])
        self.replicas = tuple(map(Endpoint, hosts))


def task() -> Work:
    return Work("answer", "a", None, NO_PROMPT, [{"role": "user", "content": "?"}], None)


class Scene:
    """Gates and health of endpoints a, b, …; probes are sent by the test."""

    def __init__(self, count: int = 2) -> None:
        self.teacher, self.clock, self.woken = Replicated(*"abcd"[:count]), Clock(), 0
        self.gates = EndpointGates({"answer": self.teacher}, 8, self.clock)
        self.health = ReplicaHealth(self.gates, self._wake, lambda error: None)
        self.health._until_back = self._no_probe
        self.a, self.b = list(self.gates.all())[:2]

    def _wake(self) -> None:
        self.woken += 1

    async def _no_probe(self, gate) -> None:
        """Replace the background probe."""

    def fail(self, gate, fault=DROPPED, times: int = 1) -> None:
        async def run() -> None:
            for _ in range(times):
                self.health.fault(gate, fault)

        asyncio.run(run())


def test_the_endpoint_with_the_fewest_calls_in_flight_is_chosen_and_the_first_of_equals():
    scene = Scene(3)
    first, second, third = scene.gates.all()
    chosen = []
    for _ in range(4):
        gate = scene.gates.choose(task()).gate
        gate.in_flight += 1
        chosen.append(gate.host)
    assert chosen == ["a", "b", "c", "a"]
    first.in_flight, second.in_flight, third.in_flight = 3, 1, 2
    assert scene.gates.choose(task()).gate is second


def test_a_task_goes_rather_to_an_endpoint_at_which_it_did_not_fail():
    scene, work = Scene(), task()
    scene.b.in_flight = 5
    assert scene.gates.elsewhere(work, scene.a) and scene.gates.choose(work).gate is scene.b
    assert not scene.gates.elsewhere(work, scene.b), "it failed at both: it waits"
    assert scene.gates.choose(work).gate is scene.a, "and may go to any of them afterwards"


def test_one_refused_connection_takes_an_endpoint_out():
    scene = Scene()
    scene.fail(scene.a, REFUSED)
    assert scene.a.progress().state == "out of use" and scene.b.progress().state == "in use"
    assert scene.gates.choose(task()).gate is scene.b and scene.gates.limit() == int(scene.b.concurrency.limit)


def test_errors_in_a_row_take_an_endpoint_out_and_a_reply_between_them_does_not():
    scene = Scene()
    scene.fail(scene.a, times=FAULTS_IN_A_ROW - 1)
    scene.a.outage.end()
    scene.fail(scene.a, times=FAULTS_IN_A_ROW - 1)
    assert scene.a.in_use
    scene.fail(scene.a)
    assert scene.a.out and scene.a.outages == 1
    scene.fail(scene.a, times=9)
    assert scene.a.outages == 1, "the calls that were in flight do not count as further outages"


def test_pauses_between_probes_grow_and_one_call_follows_a_probe_that_succeeds():
    scene = Scene()
    scene.fail(scene.a, REFUSED)
    pauses = []
    for _ in range(8):
        scene.clock.now += scene.a.closed_for
        assert not scene.health.probed(scene.a, REFUSED)
        pauses.append(scene.a.closed_for)
    assert pauses == sorted(pauses) and pauses[0] == 1.0 and pauses[-1] == 30.0
    scene.clock.now += scene.a.closed_for
    woken = scene.woken
    assert scene.health.probed(scene.a, ("x",)) and scene.woken == woken + 1
    assert scene.a.open and scene.a.returning
    scene.a.in_flight = 1
    assert not scene.a.open, "one call shows whether it replies"
    scene.a.concurrency.served()
    assert scene.a.concurrency.limit >= 1


def test_an_error_right_after_the_return_takes_an_endpoint_out_again():
    scene = Scene()
    scene.fail(scene.a, REFUSED)
    scene.clock.now = 1.5
    assert scene.health.probed(scene.a, None)
    scene.fail(scene.a)
    assert scene.a.out and scene.a.outages == 2


def test_the_run_ends_when_no_endpoint_has_replied_for_a_while_and_not_before():
    scene = Scene()
    scene.fail(scene.a, REFUSED)
    scene.clock.now = 1000.0
    assert not scene.health.probed(scene.a, REFUSED), "the other one is in use"
    scene.fail(scene.b, REFUSED)
    scene.clock.now += Outage.GONE_SECONDS - 1
    assert not scene.health.probed(scene.a, REFUSED)
    scene.clock.now += 2
    with pytest.raises(TeacherError, match="None of the 2 endpoints of the model has replied for a while"):
        scene.health.probed(scene.a, REFUSED)


def test_a_restarted_endpoint_with_another_model_is_excluded():
    scene = Scene()
    asyncio.run(scene.health.check())
    scene.fail(scene.a, REFUSED)
    assert scene.health.probed(scene.a, ("other",)) and scene.a.progress().state == "excluded"
    assert "a is not used for the rest of the run" in scene.health.notices[0]
    scene.fail(scene.b, REFUSED)
    with pytest.raises(TeacherError, match="does not serve x"):
        scene.health.probed(scene.b, ("other",))


def test_lists_without_the_name_of_the_model_say_nothing_about_it():
    scene = Scene()
    for replica, listed in zip(scene.teacher.replicas, (("/models/x.gguf",), None), strict=True):
        replica.answer = listed
    asyncio.run(scene.health.check())
    assert scene.a.in_use and scene.b.in_use and not scene.health.notices


def test_while_all_endpoints_are_out_the_first_probe_is_what_a_run_waits_for():
    scene = Scene()
    scene.fail(scene.a, REFUSED)
    assert [group.waits for group in scene.gates.groups()] == [(0.0, "")]
    scene.fail(scene.b, REFUSED)
    assert [group.waits for group in scene.gates.groups()] == [(1.0, "It cannot be reached.")]
    work = task()
    scene.gates.park(work)
    assert scene.gates.next_parked() is None and scene.gates.seconds_closed() is None
    scene.clock.now = 1.0
    scene.health.probed(scene.b, ("x",))
    assert scene.gates.next_parked() is work and scene.gates.choose(work).gate is scene.b


def test_endpoints_on_one_host_are_told_apart():
    gates = EndpointGates({"answer": Replicated("h", "h/second", "k")}, 8)
    assert [gate.host for gate in gates.all()] == ["h/v1", "h/second/v1", "k"]


# ---------------------------------------------------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("url", "base", "same"),
    [
        ("http://gpu:8001/v1", "http://gpu:8000/v1", True), ("https://gpu/v1", "http://gpu:8000/v1", True),
        ("http://gpu:8001/v1", "https://gpu/v1", False), ("http://gpu2:8000/v1", "http://gpu:8000/v1", False),
        ("http://gpu.evil.example/v1", "http://gpu/v1", False), ("http://GPU:8001/v1", "http://gpu:8000/v1", True),
    ],
)  # fmt: skip
def test_a_key_stays_on_its_host_and_encrypted(url, base, same):
    assert same_host(url, base) == same


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("http://a/v1, http://b/v1/ ,http://a/v1", ("http://a/v1", "http://b/v1")),
        (["http://a/v1/chat/completions#KEY_A"], ("http://a/v1#KEY_A",)), ("", ()), (None, ()), ([], ()),
    ],
)  # fmt: skip
def test_replicas_are_read_from_a_text_or_a_list_in_one_form(given, read):
    assert read_settings(EndpointSettings, {"replicas": given}).replicas == read


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("localhost:8000", "is not a valid URL"), ("http://user:pass@a/v1", "user name"), ("#KEY", "has no URL"),
        ("http://a/v1#sk-12345678", "not the name of an environment variable"), (7, "replicas"), ([7], "replicas"),
    ],
)  # fmt: skip
def test_replicas_that_cannot_be_called_are_refused(given, words):
    with pytest.raises(GlanError, match=words):
        read_settings(EndpointSettings, {"replicas": given})


def test_a_replica_that_needs_a_key_says_how_to_give_it(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "first-key-1234")
    at = EndpointSettings(base_url="http://a/v1", replicas="https://api.openai.com/v1")
    with pytest.raises(TeacherError, match="#OPENAI_API_KEY"):
        open_teacher("openai:x", settings=at)
    named = EndpointSettings(base_url="http://a/v1", replicas="https://api.openai.com/v1#OPENAI_API_KEY")
    assert [one.url for one in open_teacher("openai:x", settings=named).replicas] == [
        "http://a/v1",
        "https://api.openai.com/v1",
    ]


def test_replicas_of_a_run_hold_for_the_stages_at_its_address_only(settings):
    values = settings(teacher="openai:x", base_url="http://a/v1", replicas="http://b/v1")
    stages = {
        "answer": {"base_url": "http://c/v1"},
        "question": {"teacher": "openai:y"},
        "syllabus": {"replicas": "http://d/v1"},
    }
    read = read_settings(GenerationSettings, values | {"stages": stages})
    found = {stage: read.endpoint_of(stage).replicas for stage in ("sessions", "answer", "question", "syllabus")}
    assert found == {"sessions": ("http://b/v1",), "answer": (), "question": ("http://b/v1",), "syllabus": ("http://d/v1",)}


def test_a_connection_keeps_its_replicas_unless_another_address_is_given():
    save_connection(Connection(name="pool", model="x", base_url="http://a/v1", replicas="http://b/v1"))
    assert resolve("@pool")["replicas"] == ("http://b/v1",)
    assert with_connection({"teacher": "@pool", "replicas": ()})["replicas"] == ("http://b/v1",)
    assert with_connection({"teacher": "@pool", "replicas": "http://c/v1"})["replicas"] == "http://c/v1"
    assert "replicas" not in with_connection({"teacher": "@pool", "base_url": "http://c/v1"})
