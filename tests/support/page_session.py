"""A session with a page server over its websocket, as a browser has it: open a page and press its buttons."""

import time
from types import TracebackType
from typing import Any

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ClientState_pb2 import ClientState
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import connect

SECONDS = 60  # for a page of a busy machine


class PageSession:
    """One session, which draws nothing: it knows the texts and buttons that the server sends.

    Attributes:
        buttons: Labels of the buttons that can be pressed, by their keys (the label, if a button has no key).
        said: Headings, texts and messages, in order of arrival.
    """

    def __init__(self, url: str, page: str, query: str = "") -> None:
        self.buttons: dict[str, str] = {}
        self.said: list[str] = []
        self._ids: dict[str, str] = {}
        self._query, self._script = query, ""
        host = url.partition("//")[2]
        address = f"ws://{host}/_stcore/stream"
        # Without pings: their timeout would end the session on a busy machine.
        self._socket = connect(address, origin=url, subprotocols=["streamlit"], max_size=None, ping_interval=None)
        self._run(ClientState(page_name=page, query_string=query))

    def __enter__(self) -> "PageSession":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._socket.close_socket()

    def refresh(self) -> None:
        """Draw the page again."""
        self._run(self._state())

    def press(self, key: str, *, wait: bool = True) -> None:
        """Press the button of a key, or the first one whose label begins so.

        Args:
            key: The key, or the beginning of the label.
            wait: Whether to wait until the page is drawn.

        Raises:
            LookupError: If there is no such button.
        """
        found = key if key in self.buttons else next((k for k, label in self.buttons.items() if label.startswith(key)), None)
        if found is None:
            raise LookupError(f"no button {key!r} among {list(self.buttons.values())}; the page says {self.said}")
        state = self._state()
        pressed = state.widget_states.widgets.add()
        pressed.id, pressed.trigger_value = self._ids[found], True
        self._run(state, wait=wait)

    def _state(self) -> ClientState:
        return ClientState(page_script_hash=self._script, query_string=self._query)

    def _run(self, state: ClientState, *, wait: bool = True) -> None:
        """Ask for a run of the page's script, and read what it sends until it has ended."""
        asked = BackMsg()
        asked.rerun_script.CopyFrom(state)
        self._socket.send(asked.SerializeToString())
        deadline = time.monotonic() + SECONDS
        while wait:
            sent = ForwardMsg.FromString(self._socket.recv(timeout=max(0.1, deadline - time.monotonic())))
            match sent.WhichOneof("type"):
                case "new_session":
                    self._script = sent.new_session.page_script_hash
                    self.buttons, self.said, self._ids = {}, [], {}
                case "page_info_changed":
                    self._query = sent.page_info_changed.query_string
                case "delta" if sent.delta.WhichOneof("type") == "new_element":
                    self._read(sent.delta.new_element)
                case "script_finished":
                    wait = sent.script_finished != ForwardMsg.FINISHED_SUCCESSFULLY  # else it runs once more

    def _read(self, element: Any) -> None:
        match element.WhichOneof("type"):
            case "button" if not element.button.disabled:
                key = element.button.id.split("-", 2)[2]  # $$ID-HASH-KEY
                key = element.button.label if key == "None" else key
                self.buttons[key], self._ids[key] = element.button.label, element.button.id
            case "heading" | "markdown" | "alert" as kind:
                self.said.append(getattr(element, kind).body)
            case "exception":
                raise AssertionError(f"{element.exception.type}: {element.exception.message}")
