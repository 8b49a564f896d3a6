"""TCP delay: connections that the studio's server accepts send each part of an answer at once."""

import socket

import pytest

from pages.components.shared import tcp_delay


def accepted(listening: socket.socket) -> tuple[socket.socket, socket.socket]:
    client = socket.create_connection(listening.getsockname())
    return client, listening.accept()[0]


def delays(one: socket.socket) -> bool:
    return not one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_connections_to_a_socket_without_a_named_protocol_are_not_delayed_any_more():
    with socket.socket(socket.AF_INET) as listening:  # as Streamlit makes it
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        before = accepted(listening)
        tcp_delay.switch_off()
        after = accepted(listening)
        try:
            assert delays(before[1]) and not delays(after[1])
            after[1].sendall(b"answer")
            assert after[0].recv(6) == b"answer"  # the socket itself goes on
        finally:
            for one in (*before, *after):
                one.close()


@pytest.mark.parametrize("error", [tcp_delay.psutil.AccessDenied(), RuntimeError("malformed line")])
def test_a_system_that_shows_no_connections_is_left_as_it_is(monkeypatch, error):
    class Hidden:
        def net_connections(self, kind: str) -> list:
            raise error

    monkeypatch.setattr(tcp_delay.psutil, "Process", Hidden)
    tcp_delay.switch_off()
