"""Concurrent requests to local weights, answered in batches by a thread."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor

from glan_core.teachers.contract import DecodingParams, Message, Reply

Answer = Callable[[Sequence[Sequence[Message]], DecodingParams], Sequence[Reply | Exception]]


class RequestBatcher:
    """Collects waiting requests with the same decoding parameters and answers them as one batch.

    Args:
        answer: Blocking function that answers chats in order, run in the executor.
        executor: Executor of the function.
        max_batch: Most chats of a batch.
        gather_seconds: Wait for further requests before each batch.
    """

    def __init__(self, answer: Answer, executor: Executor, *, max_batch: int, gather_seconds: float = 0.0) -> None:
        self._answer, self._executor = answer, executor
        self._max_batch, self._gather_seconds = max_batch, gather_seconds
        self._waiting: list[tuple[Sequence[Message], DecodingParams, asyncio.Future]] = []
        self._pump: asyncio.Task | None = None

    async def reply(self, messages: Sequence[Message], decoding: DecodingParams) -> Reply:
        """Return the reply to a chat, or raise what the function raised or returned for it."""
        future: asyncio.Future = asyncio.get_running_loop().create_future()
        self._waiting.append((messages, decoding, future))
        if self._pump is None or self._pump.done():
            self._pump = asyncio.create_task(self._answer_waiting())
        return await future

    async def _answer_waiting(self) -> None:
        while self._waiting:
            await asyncio.sleep(self._gather_seconds)
            decoding = self._waiting[0][1]
            batch = [request for request in self._waiting if request[1] == decoding][: self._max_batch]
            selected = {id(request) for request in batch}
            self._waiting = [request for request in self._waiting if id(request) not in selected]
            chats, futures = [request[0] for request in batch], [request[2] for request in batch]
            replies: Sequence[Reply | Exception]
            try:
                replies = await asyncio.get_running_loop().run_in_executor(self._executor, self._answer, chats, decoding)
            except Exception as error:
                replies = [error] * len(batch)
            for future, reply in zip(futures, replies, strict=True):
                if future.done():
                    continue
                if isinstance(reply, Exception):
                    future.set_exception(reply)
                else:
                    future.set_result(reply)
