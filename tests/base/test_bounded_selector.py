"""The selector of HTTP clients: few sockets at a time, and every socket in its turn."""

import socket
from contextlib import ExitStack
from selectors import EVENT_READ, EVENT_WRITE

from glan_core.bounded_selector import MAX_EVENTS, BoundedSelector


def pairs(number: int, stack: ExitStack) -> list[tuple[socket.socket, socket.socket]]:
    made = [socket.socketpair() for _ in range(number)]
    for sockets in made:
        for one in sockets:
            one.setblocking(False)
            stack.enter_context(one)
    return made


def test_sockets_that_are_always_ready_keep_none_of_the_others_waiting():
    with ExitStack() as stack:
        selector = stack.enter_context(BoundedSelector())
        sockets = pairs(3 * MAX_EVENTS, stack)
        for one, other in sockets:
            selector.register(one, EVENT_READ)
            other.send(b"x")  # never read
        looks = [{key.fileobj for key, _ in selector.select(0)} for _ in range(3)]
        assert [len(look) for look in looks] == [MAX_EVENTS] * 3
        assert set.union(*looks) == {one for one, _ in sockets}


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
