"""Local weights as a teacher, for stages of the generation engine and for answers that are judged.

Requests are decoded as one batch, and each is answered when its own reply ends; a waiting request takes its place at the next
token (`continuous_decode`). transformers' own continuous batching (`generate_batch`) needs paged attention: on a CPU it took
more CPU time per token (benchmarks/README.md), and it knows no adapters per row.
"""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from glan_core.models.model_specs import ResolvedModel, SeededDecodingParams, local_model
from glan_core.models.request_queue import Request, RequestQueue
from glan_core.teachers.contract import DecodingParams, Message, Reply, TeacherError, TeacherRefusal

if TYPE_CHECKING:
    from glan_core.models.batched_decode import DecodingRow
    from glan_core.models.weights_cache import LoadedWeights, WeightsCache

SLOTS = 16  # answers decoded at once
GATHER_SECONDS = 0.02  # to wait for further requests before the first prompts are processed


class WeightsTeacher:
    """Implements `teachers.contract.Teacher` for the local weights of a resolved model.

    Args:
        model: Weights, adapter and tokenizer.
        name: Name stored with the rows.
        cache: Weights cache of the run, so that a base and its adapters are in memory once; None for one of its own.
        pool: Executor with one thread per model that answers at the same time.
        seed: Sampling seed of every reply; None for a different one of each.
    """

    def __init__(
        self, model: ResolvedModel, name: str, cache: "WeightsCache | None", pool: ThreadPoolExecutor, *, seed: int | None = 0
    ) -> None:
        self.name = name
        self._model, self._cache, self._seed = model, cache, seed
        self._queue = RequestQueue(self._decode, pool)

    async def reply(self, messages: Sequence[Message], decoding: DecodingParams) -> Reply:
        """Return the reply to a chat; see `Teacher`."""
        return await self._queue.reply(messages, decoding)

    async def stream(self, messages: Sequence[Message], decoding: DecodingParams) -> AsyncGenerator[str | Reply, None]:
        """Yield the pieces of the reply, then the reply; see `Teacher`. A stream shares the batch of other requests."""
        pieces: asyncio.Queue[str | None] = asyncio.Queue()
        writing = asyncio.create_task(self._queue.reply(messages, decoding, pieces.put_nowait))
        writing.add_done_callback(lambda _: pieces.put_nowait(None))
        try:
            while (piece := await pieces.get()) is not None:
                yield piece
            yield await writing
        finally:
            writing.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await writing

    async def close(self) -> None:
        """Do nothing: cache and threads belong to the run."""

    def _decode(self) -> None:
        """Answer waiting requests until none is left, in a thread.

        Raises:
            TeacherError: If the weights cannot be used.
        """
        from glan_core.models import batched_decode, continuous_decode, weights_cache
        from glan_core.models.reply_stream import describe_error

        time.sleep(GATHER_SECONDS)
        if self._cache is None:
            self._cache = weights_cache.WeightsCache()
        try:
            with self._cache.acquire(self._model) as held, held.lock:
                weights_cache.attach_adapter(held, self._model)
                if continuous_decode.can_join(held.model):
                    continuous_decode.decode_continuously(held.model, partial(self._take, held), SLOTS)
                else:
                    while rows := self._take(held, SLOTS):
                        batched_decode.decode_batch(held.model, rows)
        except weights_cache.ModelUnavailable as fault:
            raise TeacherError(str(fault)) from None
        except Exception as error:
            raise TeacherError(f"{self.name.removeprefix('local:')}: {describe_error(error)}") from error

    def _take(self, held: "LoadedWeights", most: int) -> "list[DecodingRow]":
        """Return the rows of waiting requests; a prompt that is too long is refused."""
        from glan_core.models import batched_decode, weights_cache

        tokenizer = weights_cache.get_tokenizer(held, self._model)
        rows: list[DecodingRow] = []
        while not rows and (requests := self._queue.take(most)):
            for request in requests:
                try:
                    row = batched_decode.create_row(
                        held.model, tokenizer, request.messages, self._params(request.decoding),
                        request.say if request.on_text else None, request.is_canceled,
                    )  # fmt: skip
                except batched_decode.PromptTooLong as fault:
                    request.fail(TeacherRefusal(str(fault)))
                    continue
                row.adapter = held.adapter_name(self._model.adapter)
                row.on_end = partial(_answer, request, row)
                rows.append(row)
        return rows

    def _params(self, decoding: DecodingParams) -> SeededDecodingParams:
        seed = random.getrandbits(31) if self._seed is None else self._seed
        values: dict[str, Any] = decoding.complete()._asdict() | {"seed": seed}
        return SeededDecodingParams.model_construct(**values)


class LocalTeacher(WeightsTeacher):
    """Teacher `local:PATH_OR_NAME`: loads a folder or a Hub model on first use; safetensors only, no remote code."""

    def __init__(self, path_or_name: str) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="local-teacher")
        super().__init__(local_model(path_or_name), f"local:{path_or_name}", None, self._pool, seed=None)

    async def close(self) -> None:
        """Release the model and its thread."""
        self._cache = None
        self._pool.shutdown(wait=False, cancel_futures=True)


def _answer(request: Request, row: "DecodingRow") -> None:
    """Answer a request when its row ends; a row that failed gets the error of the batch."""
    if row.finish != "failed":
        text = row.tokenizer.decode(row.written, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        request.answer(Reply(text, row.finish, len(row.tokens), len(row.written)))
