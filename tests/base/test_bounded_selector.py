"""The selector of HTTP clients: few sockets at a time, and every socket in its turn."""

import asyncio
import socket
from contextlib import ExitStack
from selectors import EVENT_READ, EVENT_WRITE

from glan_core.bounded_selector import MAX_EVENTS, BoundedSelector


def run(main):
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(BoundedSelector())) as runner:
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


def test_all_sockets_that_are_ready_can_be_asked_for():
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
        assert {key.fileobj for key, _ in selector.select_all()} == {one for one, _ in sockets}
        assert len(selector.select(0)) == MAX_EVENTS
