"""Requests to local weights that wait for a thread to decode them; each is answered as soon as its own reply ends."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from typing import Any

from glan_core.teachers.contract import DecodingParams, Message, Reply


class Request:
    """One request; the thread answers it with `answer` or `fail`.

    Attributes:
        messages: Chat to answer.
        decoding: Decoding parameters.
        on_text: Called in the event loop with each new piece of text; None if only the whole reply is needed.
        future: The reply.
    """

    def __init__(
        self, messages: Sequence[Message], decoding: DecodingParams, on_text: Callable[[str], None] | None = None
    ) -> None:
        self.messages, self.decoding, self.on_text = messages, decoding, on_text
        self._loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Reply] = self._loop.create_future()

    def is_canceled(self) -> bool:
        """Return whether nobody waits for the reply anymore."""
        return self.future.cancelled()

    def say(self, text: str) -> None:
        """Pass on a piece of text."""
        if self.on_text:
            self._call(self.on_text, text)

    def answer(self, reply: Reply) -> None:
        """Set the reply."""
        self._call(self._set, self.future.set_result, reply)

    def fail(self, error: Exception) -> None:
        """Set the error."""
        self._call(self._set, self.future.set_exception, error)

    def _set(self, setter: Callable[[Any], None], value: object) -> None:
        if not self.future.done():
            setter(value)

    def _call(self, function: Callable[..., None], *values: object) -> None:
        with suppress(RuntimeError):  # the loop has ended, and so has whoever waited
            self._loop.call_soon_threadsafe(function, *values)


class RequestQueue:
    """Waiting requests; while there are any, `decode` runs in the executor.

    Args:
        decode: Blocking function that takes requests (`take`) and answers them until none is left.
        executor: Executor of the function.
    """

    def __init__(self, decode: Callable[[], None], executor: Executor) -> None:
        self._decode, self._executor = decode, executor
        self._waiting: deque[Request] = deque()
        self._taken: list[Request] = []
        self._lock = threading.Lock()
        self._is_decoding = False

    async def reply(
        self, messages: Sequence[Message], decoding: DecodingParams, on_text: Callable[[str], None] | None = None
    ) -> Reply:
        """Return the reply to a chat, or raise the error it failed with. If canceled, decoding stops at the next token."""
        request = Request(messages, decoding, on_text)
        with self._lock:
            self._waiting.append(request)
            start, self._is_decoding = not self._is_decoding, True
        if start:
            self._executor.submit(self._run)
        return await request.future

    def take(self, most: int) -> list[Request]:
        """Take up to `most` waiting requests, in the thread."""
        taken: list[Request] = []
        with self._lock:
            while self._waiting and len(taken) < most:
                if not (request := self._waiting.popleft()).is_canceled():
                    taken.append(request)
            self._taken = [request for request in self._taken if not request.future.done()] + taken
        return taken

    def _run(self) -> None:
        while True:
            try:
                self._decode()
            except Exception as error:
                with self._lock:
                    failed, self._taken = [*self._taken, *self._waiting], []
                    self._waiting.clear()
                for request in failed:
                    request.fail(error)
            with self._lock:
                if not self._waiting:
                    self._is_decoding = False
                    return
