"""Runs whose requests are sent by actors of a Ray cluster: rows as on one machine, workers and drivers that die, shared limits."""

import asyncio
import os
import pickle
import signal
import time

import psutil
import pytest
from support.child_processes import children_with
from support.runs import Served, content, execute_run, number, wait_for

from glan_core import runs
from glan_core.errors import GlanError
from glan_core.generation.engine import STORE_ALLOWANCE
from glan_core.generation.run import open_stage_models
from glan_core.generation.settings import GenerationSettings
from glan_core.runs.states import get
from glan_core.settings import read_settings
from glan_core.teachers.contract import DecodingParams, Reply, TeacherBusy, TeacherFault, UnusableReply
from glan_core.teachers.endpoint_settings import EndpointSettings
from glan_core.teachers.http_teacher import HttpTeacher
from glan_core.teachers.ray_teacher import RayTeacher
from glan_core.teachers.ray_worker import RayWorker
from glan_core.workspace import call_rows

pytestmark = [pytest.mark.slow, pytest.mark.ray]
pytest.importorskip("ray")
IN_FLIGHT = 8
BOUND = IN_FLIGHT + IN_FLIGHT // STORE_ALLOWANCE  # calls that one kill may repeat
CHAT = [{"role": "user", "content": "What is 2 + 2?"}]


@pytest.fixture(scope="module")
def endpoint():
    """The scripted teacher with 40 ms latency, recording the served requests."""
    with Served(latency_ms=40, record=True) as served:
        yield served


@pytest.fixture
def wanted(settings, endpoint):
    """Build settings for the served teacher on the Ray engine."""

    def build(**values) -> dict:
        on_ray = {
            "teacher": "openai:scripted",
            "base_url": endpoint.url,
            "max_in_flight": IN_FLIGHT,
            "engine": "ray",
            "ray_workers": 2,
        }
        return settings("cave-mapping", "bell-founding", seed=3, **on_ray | values)

    return build


def served(endpoint) -> int:
    """Return the number of requests that the endpoint has served."""
    return sum(endpoint.tells("/requests").values())


def calls(ws) -> int:
    """Return the number of stored calls."""
    return number(ws, "SELECT count(*) FROM calls")


def actors(driver: int) -> list[psutil.Process]:
    """Return the processes of the actors below a driver."""
    return children_with("RayWorker", driver)


def undisturbed(new_workspace, wanted, **values):
    """Return a workspace that the local engine filled with the same settings."""
    ws = new_workspace("undisturbed")
    assert execute_run(ws, wanted(engine="local", **values)).state == "finished"
    return ws


def test_a_worker_that_is_killed_costs_the_calls_in_flight_and_rows_are_those_of_the_local_engine(
    new_workspace, wanted, endpoint
):
    expected = undisturbed(new_workspace, wanted, questions_per_syllabus=14)
    total, before, ws = calls(expected), served(endpoint), new_workspace()
    run_id = runs.submit(ws, "generate", "ray", wanted(questions_per_syllabus=14))
    runs.launch(ws, run_id, {})
    wait_for(lambda: calls(ws) >= total / 3, "a third of the calls", 90)
    first, _ = actors(get(ws, run_id).pid)
    first.send_signal(signal.SIGKILL)
    wait_for(lambda: runs.state_of(get(ws, run_id)) not in ("queued", "running"), "the run ends", 120)
    assert get(ws, run_id).state == "finished"
    assert content(ws) == content(expected)
    lost = number(ws, "SELECT count(*) FROM calls WHERE outcome = 'lost'")
    assert served(endpoint) - before - total <= lost <= IN_FLIGHT
    assert calls(ws) == total + lost  # what a dead worker may have cost is counted
    _, *workers = get(ws, run_id).endpoints
    assert sorted(worker.outages for worker in workers) == [0, 1] and sum(worker.faults for worker in workers) == lost
    assert sum(worker.answered for worker in workers) == total


def test_a_driver_that_is_killed_takes_its_actors_with_it_and_the_run_continues(new_workspace, wanted, endpoint):
    expected = undisturbed(new_workspace, wanted, questions_per_syllabus=10)
    total, before, ws = calls(expected), served(endpoint), new_workspace()
    run_id = runs.submit(ws, "generate", "ray", wanted(questions_per_syllabus=10))
    runs.launch(ws, run_id, {})
    wait_for(lambda: calls(ws) >= total / 3, "a third of the calls", 90)
    driver = get(ws, run_id).pid
    found = actors(driver)
    assert len(found) == 2
    os.kill(driver, signal.SIGKILL)
    wait_for(lambda: not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in found), "the actors end", 60)
    wait_for(lambda: runs.state_of(get(ws, run_id)) == "lost", "the run is lost")
    runs.resume(ws, run_id)
    wait_for(lambda: runs.state_of(get(ws, run_id)) not in ("queued", "running"), "the run ends", 120)
    assert get(ws, run_id).state == "finished" and content(ws) == content(expected)
    assert 0 <= served(endpoint) - before - total <= BOUND


def test_budget_and_rate_limit_hold_over_all_workers(new_workspace, wanted, endpoint):
    before, ws, began = served(endpoint), new_workspace(), time.monotonic()
    run = execute_run(ws, wanted(questions_per_syllabus=30, max_calls=40, requests_per_minute=600))
    assert (run.state, calls(ws)) == ("paused", 40) and "limit of 40 calls" in run.message
    assert served(endpoint) - before == 40
    assert time.monotonic() - began >= 39 / 600 * 60 - 1  # the bucket holds a second


def test_errors_cross_the_processes_whole_and_keys_do_not_show(endpoint):
    async def ask(url: str, **settings) -> tuple[list, list]:
        teacher = RayTeacher(
            HttpTeacher("scripted", settings=EndpointSettings(base_url=url, **settings), key="sk-own-key-0123456789"), 2
        )
        try:
            found = await asyncio.gather(*(teacher.reply(CHAT, DecodingParams()) for _ in range(6)), return_exceptions=True)
            return found, [(one.alive.is_set(), one.in_flight, one.answered, one.lost) for one in teacher.workers]
        finally:
            await teacher.close()

    replies, workers = asyncio.run(ask(endpoint.url))
    assert all(isinstance(reply, Reply) for reply in replies)
    assert workers == [(True, 0, 3, 0)] * 2
    faults, _ = asyncio.run(ask("http://127.0.0.1:9/v1"))
    assert all(isinstance(fault, TeacherFault) and not fault.sent and not fault.sender_lost for fault in faults)
    assert "sk-own" not in repr(faults)


def test_variables_of_headers_reach_workers_whose_node_does_not_have_them(monkeypatch, endpoint):
    monkeypatch.setenv("HEADER_TOKEN", "a-token-of-the-driver")
    settings = EndpointSettings(base_url=endpoint.url, headers={"X-Token": "$HEADER_TOKEN"})

    async def ask() -> Reply:
        teacher = RayTeacher(HttpTeacher("scripted", settings=settings, key=""), 1)
        connect = teacher._connect

        def without_the_variable():
            import ray

            ray.init(include_dashboard=False, log_to_driver=False, configure_logging=False)  # nodes that started earlier
            os.environ["HEADER_TOKEN"] = "a-token-of-the-driver"
            return connect()

        monkeypatch.setattr(teacher, "_connect", without_the_variable)
        monkeypatch.delenv("HEADER_TOKEN")
        try:
            return await teacher.reply(CHAT, DecodingParams())
        finally:
            await teacher.close()

    assert isinstance(asyncio.run(ask()), Reply)


def test_a_worker_that_cannot_start_is_one_sentence(new_workspace, wanted, monkeypatch):
    class Missing(RayWorker):
        def __init__(self, *values: object) -> None:
            raise ModuleNotFoundError("No module named 'glan_core'")

    monkeypatch.setattr("glan_core.teachers.ray_teacher.RayWorker", Missing)
    run = execute_run(new_workspace(), wanted())
    assert run.state == "failed" and "cannot start: ModuleNotFoundError: No module named" in run.message
    assert "\n" not in run.message and "\x1b" not in run.message


def test_the_errors_of_teachers_can_be_passed_between_processes():
    lost = UnusableReply("too large", "It sent too much.", Reply("a", "length", 1, 2))
    again = pickle.loads(pickle.dumps(lost))
    assert (again.cause, str(again), again.reply) == (lost.cause, str(lost), lost.reply)
    busy = pickle.loads(pickle.dumps(TeacherBusy("Wait.", 3.0, loading=True)))
    assert (str(busy), busy.retry_after, busy.loading) == ("Wait.", 3.0, True)
    fault = pickle.loads(pickle.dumps(TeacherFault("Gone.", billed=True, sender_lost=True)))
    assert (str(fault), fault.billed, fault.sender_lost, fault.sent) == ("Gone.", True, True, True)


def test_a_cluster_that_is_not_there_is_one_sentence(new_workspace, wanted):
    ws = new_workspace()
    run = execute_run(ws, wanted(ray_address="127.0.0.1:9"))
    assert run.state == "failed" and "Ray cluster 127.0.0.1:9" in run.message and "\n" not in run.message
    assert not call_rows.failure_groups(ws.db, run.id)


def test_replicas_are_called_through_the_cluster_too(new_workspace, wanted, endpoint):
    with Served(latency_ms=40, record=True) as other:
        ws = new_workspace()
        run = execute_run(ws, wanted(questions_per_syllabus=4, replicas=(other.url,), ray_workers=1))
        assert run.state == "finished" and served(other) > 20
    assert [one.name.partition(" on ")[0] for one in get(ws, run.id).endpoints][2:] == ["Ray worker 1", "Ray worker 2"]


def test_teachers_without_an_endpoint_are_refused():
    settings = read_settings(
        GenerationSettings, {"target": {"disciplines": ("music",)}, "teacher": "scripted", "engine": "ray"}
    )
    with pytest.raises(GlanError, match="scripted has none"):
        open_stage_models(settings, settings.asked)
