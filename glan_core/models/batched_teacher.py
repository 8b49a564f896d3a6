"""Weights of this machine as somebody who answers through the engine: requests that wait are written as one batch.

In the process of a run only. Models of a run share a shelf, so that a base and its adapters lie in memory once, and the one used
least is put away when memory is short.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from glan_core.models.model_specs import Pane, SeededDecodingParams
from glan_core.teachers.contract import DecodingParams, Message, Reply, TeacherError, TeacherRefusal

if TYPE_CHECKING:
    from glan_core.models.weights_cache import WeightsCache

BATCH = 16
REST = 0.02  # seconds in which requests gather to a batch


class WeightsTeacher:
    """A pane behind the contract of `teachers.base.Teacher`."""

    def __init__(self, pane: Pane, name: str, shelf: "WeightsCache", pool: ThreadPoolExecutor) -> None:
        self.name = name
        self._pane, self._shelf, self._pool = pane, shelf, pool
        self._waiting: list[tuple[Sequence[Message], DecodingParams, asyncio.Future]] = []
        self._pump: asyncio.Task | None = None

    async def reply(self, messages: Sequence[Message], sampling: DecodingParams) -> Reply:
        """See Teacher."""
        future: asyncio.Future = asyncio.get_running_loop().create_future()
        self._waiting.append((messages, sampling, future))
        if self._pump is None or self._pump.done():
            self._pump = asyncio.create_task(self._answer_waiting())
        return await future

    async def stream(self, messages: Sequence[Message], sampling: DecodingParams) -> AsyncIterator[str | Reply]:
        """See Teacher; the whole reply is one piece."""
        reply = await self.reply(messages, sampling)
        yield reply.text
        yield reply

    async def close(self) -> None:
        """Nothing to give back: the shelf belongs to the run."""

    async def _answer_waiting(self) -> None:
        while self._waiting:
            await asyncio.sleep(REST)
            sampling = self._waiting[0][1]
            batch = [item for item in self._waiting if item[1] == sampling][:BATCH]
            taken = {id(item) for item in batch}
            self._waiting = [item for item in self._waiting if id(item) not in taken]
            loop = asyncio.get_running_loop()
            try:
                replies = await loop.run_in_executor(self._pool, self._write, [item[0] for item in batch], sampling)
            except Exception as error:
                for _, _, future in batch:
                    future.set_exception(error)
                continue
            for (_, _, future), reply in zip(batch, replies, strict=True):
                if isinstance(reply, Exception):
                    future.set_exception(reply)
                else:
                    future.set_result(reply)

    def _write(self, chats: Sequence[Sequence[Message]], sampling: DecodingParams) -> list[Reply | Exception]:
        """Answer chats as one batch, in a thread. TeacherError when the weights can't be used."""
        from glan_core.models import batched_decode, weights_cache
        from glan_core.models.reply_stream import explained

        drawing = SeededDecodingParams(temperature=sampling.temperature, top_p=sampling.top_p, max_tokens=sampling.max_tokens)
        rows: list[batched_decode.Row | Exception] = []
        try:
            with self._shelf.taken(self._pane) as held, held.lock:
                weights_cache.attach(held, self._pane)
                tokenizer = weights_cache.tokenizer_of(held, self._pane)
                for chat in chats:
                    try:
                        rows.append(batched_decode.row_of(held.model, tokenizer, chat, drawing))
                        rows[-1].adapter = held.adapter_name(self._pane.adapter)
                    except batched_decode.TooLong as fault:
                        rows.append(TeacherRefusal(f"The question is {fault}."))
                if asked := [row for row in rows if isinstance(row, batched_decode.Row)]:
                    batched_decode.write(held.model, asked, drawing)
        except weights_cache.PaneFault as fault:
            raise TeacherError(str(fault)) from None
        except Exception as error:
            raise TeacherError(f"{self.name.removeprefix('local:')}: {explained(error)}") from error
        return [row if isinstance(row, Exception) else _reply(row) for row in rows]


def _reply(row) -> Reply:
    text = row.tokenizer.decode(row.written, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return Reply(text, row.finish, len(row.tokens), len(row.written))
