"""Transfers of one event loop: replies that arrive together are handled in turns."""

import asyncio
import itertools

import pycurl
import pytest
from support.byte_server import MOST, OK, with_server

from glan_core.bounded_selector import MAX_EVENTS
from glan_core.http_client import HttpClient
from glan_core.http_transfer import ConnectionLost, NotConnected, TimedOut


async def requests_in_flight(client, server, number):
    """Send requests and return their tasks once the server has received all of them."""
    tasks = [asyncio.create_task(client.request(server.url, b"{}", most=MOST)) for _ in range(number)]
    while len(server.requests) < number:
        await asyncio.sleep(0)
    return tasks


def test_replies_that_arrive_together_are_handled_in_turns_between_which_tasks_go_on():
    answered = asyncio.Event()

    async def test(client, server):
        tasks = await requests_in_flight(client, server, 4 * MAX_EVENTS)
        answered.set()
        turns = [0]
        while turns[-1] < len(tasks):
            await asyncio.sleep(0)
            turns.append(sum(task.done() for task in tasks))
        assert max(after - before for before, after in itertools.pairwise(turns)) <= MAX_EVENTS
        assert {task.result().body for task in tasks} == {b"OK"}

    with_server(test, [answered, OK], repeat=True)


def test_replies_that_arrived_are_read_before_their_timeouts():
    answered = asyncio.Event()

    async def test(client, server):
        tasks = await requests_in_flight(client, server, 4 * MAX_EVENTS)
        answered.set()
        while not any(task.done() for task in tasks):  # the server answers all in one turn
            await asyncio.sleep(0)
        assert sum(task.done() for task in tasks) <= MAX_EVENTS
        client._total = 0.0
        client._look()
        assert {(await task).body for task in tasks} == {b"OK"}

    with_server(test, [answered, OK], repeat=True, total=1000.0)


def test_requests_end_in_time_after_an_error_in_a_callback(monkeypatch):
    async def test(client, server):
        (task,) = await requests_in_flight(client, server, 1)
        client._total = 0.0
        monkeypatch.setattr(client._multi, "_end", lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            client._look()
        with pytest.raises(TimedOut):
            await task

    with_server(test, [asyncio.Event()], total=1000.0)


class _Another:
    """A multi handle; what is not its own is that of another one."""

    def __init__(self, multi):
        self._multi = multi

    def __getattr__(self, name):
        return getattr(self._multi, name)


def test_a_timer_that_libcurl_sets_while_transfers_are_abandoned_does_not_fire():
    async def test(client, server):
        multi = client._multi

        class Expiring(_Another):
            def remove_handle(self, curl):
                self._multi.remove_handle(curl)
                multi._set_timeout(0)

        (task,) = await requests_in_flight(client, server, 1)
        multi._multi = Expiring(multi._multi)
        await client.aclose()
        assert multi._timer.cancelled()
        with pytest.raises(asyncio.CancelledError):
            await task

    with_server(test, [asyncio.Event()])


def test_a_client_that_is_closed_can_be_closed_again():
    async def test(client, server):
        await client.request(server.url, most=MOST)
        await client.aclose()  # and once more by the context of the test

    with_server(test, [OK])


class _Failing(_Another):
    """A multi handle that fails."""

    def socket_action(self, socket, ready):
        raise pycurl.error(pycurl.E_MULTI_INTERNAL_ERROR, "Internal error")


def test_requests_in_flight_end_when_libcurl_itself_fails():
    answered = asyncio.Event()

    async def test(client, server):
        tasks = await requests_in_flight(client, server, 3)
        client._multi._multi = _Failing(client._multi._multi)
        answered.set()
        for task in tasks:
            with pytest.raises(ConnectionLost, match="Internal error"):
                await task

    with_server(test, [answered, OK], repeat=True)


def test_a_client_refuses_a_second_event_loop():
    client = HttpClient("http://localhost:9/v1")
    with pytest.raises(NotConnected):
        asyncio.run(client.request("http://localhost:9/v1", most=MOST))
    with pytest.raises(RuntimeError, match="another event loop"):
        asyncio.run(client.request("http://localhost:9/v1", most=MOST))
