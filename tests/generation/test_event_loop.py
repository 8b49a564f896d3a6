"""The event loop of a run: few sockets per iteration, and every socket in its turn."""

import asyncio
import socket
from contextlib import ExitStack
from selectors import EVENT_READ, EVENT_WRITE
from types import SimpleNamespace

from glan_core.generation import event_loop
from glan_core.generation.event_loop import MAX_EVENTS, STANDSTILL, BoundedSelector, new_event_loop


def run(main):
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(main())


def pairs(number: int, stack: ExitStack) -> list[tuple[socket.socket, socket.socket]]:
    made = [socket.socketpair() for _ in range(number)]
    for sockets in made:
        for one in sockets:
            one.setblocking(False)
            stack.enter_context(one)
    return made


def test_replies_that_arrive_together_are_read_in_turns_between_which_tasks_go_on():
    async def main():
        loop, read, turns = asyncio.get_running_loop(), [], []
        with ExitStack() as stack:
            sockets = pairs(5 * MAX_EVENTS, stack)
            for n, (one, other) in enumerate(sockets):
                loop.add_reader(one, lambda n=n, one=one: (one.recv(1), read.append(n)))
                other.send(b"x")
            while len(read) < len(sockets):
                await asyncio.sleep(0)
                turns.append(len(read))
            for one, _ in sockets:
                loop.remove_reader(one)
        steps = [after - before for before, after in zip([0, *turns], turns, strict=False)]
        assert sorted(read) == list(range(len(sockets)))
        assert max(steps) == MAX_EVENTS

    run(main)


def test_sockets_that_are_always_ready_keep_none_of_the_others_waiting():
    async def main():
        loop, order = asyncio.get_running_loop(), []
        with ExitStack() as stack:
            sockets = pairs(3 * MAX_EVENTS, stack)
            for n, (one, other) in enumerate(sockets):
                loop.add_reader(one, lambda n=n: order.append(n))  # what it got is never read
                other.send(b"x")
            while len(order) < 2 * len(sockets):
                await asyncio.sleep(0)
            for one, _ in sockets:
                loop.remove_reader(one)
        assert set(order[: len(sockets)]) == set(range(len(sockets)))

    run(main)


def test_a_socket_that_was_closed_or_changed_while_it_waited_is_not_reported():
    with ExitStack() as stack:
        selector = stack.enter_context(BoundedSelector())
        sockets = pairs(MAX_EVENTS + 2, stack)
        for one, other in sockets:
            selector.register(one, EVENT_READ)
            other.send(b"x")
        first = {key.fileobj for key, _ in selector.select(0)}
        closed, changed = [one for one, _ in sockets if one not in first]
        selector.unregister(closed)
        selector.modify(changed, EVENT_READ | EVENT_WRITE)
        assert len(first) == MAX_EVENTS and selector.select(0) == []
        ready = {key.fileobj: events for key, events in [*selector.select(0), *selector.select(0)]}
        assert closed not in ready and ready[changed] == EVENT_READ | EVENT_WRITE


def test_all_replies_that_arrived_during_a_standstill_are_read_before_their_timeouts(monkeypatch):
    now = 0.0
    monkeypatch.setattr(event_loop, "time", SimpleNamespace(monotonic=lambda: now))
    with ExitStack() as stack:
        selector = stack.enter_context(BoundedSelector())
        sockets = pairs(3 * MAX_EVENTS, stack)
        for one, _ in sockets:
            selector.register(one, EVENT_READ)
        for _, other in sockets[: 2 * MAX_EVENTS]:
            other.send(b"x")
        assert len(selector.select(0)) == MAX_EVENTS
        for _, other in sockets[2 * MAX_EVENTS :]:
            other.send(b"x")
        now = STANDSTILL
        assert len(selector.select(0)) == MAX_EVENTS
        now += STANDSTILL + 0.001
        assert {key.fileobj for key, _ in selector.select(0)} == {one for one, _ in sockets}


def test_a_reply_of_many_parts_and_a_thread_reach_a_run():
    async def main():
        async def answer(reader, writer):
            await reader.readline()
            writer.write(b"a" * 2_000_000 + b"\n")
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0, limit=2**22)
        port = server.sockets[0].getsockname()[1]

        async def ask() -> int:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**22)
            writer.write(b"?\n")
            got = len(await reader.readline())
            writer.close()
            return got

        sizes = await asyncio.gather(*(ask() for _ in range(3 * MAX_EVENTS)))
        from_thread = await asyncio.get_running_loop().run_in_executor(None, lambda: 7)
        server.close()
        await server.wait_closed()
        assert sizes == [2_000_001] * (3 * MAX_EVENTS) and from_thread == 7

    run(main)
