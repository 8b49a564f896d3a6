"""Local weights as a teacher for the generation engine: waiting requests are decoded as one batch.

Used in the process of a run only. Models of a run share a weights cache, so a base model and its adapters are in memory once,
and the least recently used weights are evicted if memory is short.
"""

from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from glan_core.models.model_specs import ResolvedModel, SeededDecodingParams
from glan_core.models.request_batching import RequestBatcher
from glan_core.teachers.contract import DecodingParams, Message, Reply, TeacherError, TeacherRefusal

if TYPE_CHECKING:
    from glan_core.models.batched_decode import DecodingRow
    from glan_core.models.weights_cache import WeightsCache

BATCH = 16
REST = 0.02  # seconds to wait for further requests of a batch


class BatchedTeacher:
    """Implements `teachers.contract.Teacher` for local weights."""

    def __init__(self, pane: ResolvedModel, name: str, cache: "WeightsCache", pool: ThreadPoolExecutor) -> None:
        self.name = name
        self._pane, self._cache = pane, cache
        self._batcher = RequestBatcher(self._write, pool, max_batch=BATCH, gather_seconds=REST)

    async def reply(self, messages: Sequence[Message], decoding: DecodingParams) -> Reply:
        """Return the reply to a chat; see `Teacher`."""
        return await self._batcher.reply(messages, decoding)

    async def stream(self, messages: Sequence[Message], decoding: DecodingParams) -> AsyncGenerator[str | Reply, None]:
        """Yield the reply as a single piece; see `Teacher`."""
        reply = await self.reply(messages, decoding)
        yield reply.text
        yield reply

    async def close(self) -> None:
        """Do nothing: the weights cache belongs to the run."""

    def _write(self, chats: Sequence[Sequence[Message]], decoding: DecodingParams) -> list[Reply | Exception]:
        """Decode chats as one batch, in a thread; raises TeacherError if the weights cannot be used."""
        from glan_core.models import batched_decode, weights_cache
        from glan_core.models.reply_stream import describe_error

        params = SeededDecodingParams(**decoding.complete()._asdict())
        rows: list[batched_decode.DecodingRow | Exception] = []
        try:
            with self._cache.acquire(self._pane) as held, held.lock:
                weights_cache.attach_adapter(held, self._pane)
                tokenizer = weights_cache.get_tokenizer(held, self._pane)
                for chat in chats:
                    try:
                        row = batched_decode.create_row(held.model, tokenizer, chat, params)
                        row.adapter = held.adapter_name(self._pane.adapter)
                        rows.append(row)
                    except batched_decode.PromptTooLong as fault:
                        rows.append(TeacherRefusal(str(fault)))
                if batch := [row for row in rows if isinstance(row, batched_decode.DecodingRow)]:
                    batched_decode.decode_batch(held.model, batch, params)
        except weights_cache.ModelUnavailable as fault:
            raise TeacherError(str(fault)) from None
        except Exception as error:
            raise TeacherError(f"{self.name.removeprefix('local:')}: {describe_error(error)}") from error
        return [row if isinstance(row, Exception) else _reply(row) for row in rows]


def _reply(row: "DecodingRow") -> Reply:
    text = row.tokenizer.decode(row.written, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return Reply(text, row.finish, len(row.tokens), len(row.written))
