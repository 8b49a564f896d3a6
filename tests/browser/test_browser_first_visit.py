"""The first visit to a new server, directly at the address of a page."""

import pytest
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from support.browser_driver import visit

pytest_plugins = ["support.browser_fixtures"]
pytestmark = [pytest.mark.browser, pytest.mark.long]


def test_it_runs_the_page_once(page, server):
    kinds: list[str | None] = []
    page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: kinds.append(kind(frame))))
    visit(page, server, "/runs?workspace=demo", "Runs")
    assert kinds.count("new_session") == kinds.count("script_finished") == 1


def kind(frame: bytes) -> str | None:
    return ForwardMsg.FromString(frame).WhichOneof("type")
