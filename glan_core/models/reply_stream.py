"""Reply stream: answers one turn with several models at once in the model server.

Models that share a base are decoded as one batch in a thread, different weights in parallel threads, and teachers in the
event loop. `stored_replies` stores their text in the workspace.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, contextmanager, suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from glan_core.errors import GlanError
from glan_core.io import packaged_models
from glan_core.models.model_specs import MAX_MODELS, ResolvedModel, SeededDecodingParams, TurnSettings
from glan_core.models.pane_state import PaneState, ReplyMetadata
from glan_core.models.stored_replies import StoredReplies
from glan_core.teachers import open_teacher
from glan_core.teachers.contract import (
    DecodingParams,
    Message,
    Reply,
    TeacherBusy,
    TeacherFault,
    TeacherRefusal,
    UnusableReply,
)
from glan_core.teachers.endpoint_settings import KEY_VARIABLE, EndpointSettings
from glan_core.workspace.chat_rows import DONE, FAILED, STOPPED, WRITING

if TYPE_CHECKING:
    from glan_core.models.batched_decode import DecodingRow
    from glan_core.models.weights_cache import LoadedWeights, WeightsCache

PAUSE = 0.05  # seconds in which text is collected before it is sent
NEEDED = "Stopped because another task needed the memory. The text so far is kept."


class Turn:
    """A turn that is being answered. The API key `key` is kept in memory only."""

    def __init__(self, settings: TurnSettings, key: str, cache: "WeightsCache | None", pool: ThreadPoolExecutor) -> None:
        self.settings = settings
        self.panes = [
            PaneState(facts=ReplyMetadata(**settings.decoding_of(n).model_dump())) for n in range(len(settings.panes))
        ]
        self._key, self._cache, self._pool = key, cache, pool
        self._stop = ""
        self._tasks: list[asyncio.Task] = []
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._some_ended = asyncio.Event()
        self._replies = StoredReplies(settings, self.panes)
        self.ended = False

    def stop(self, message: str = "") -> None:
        """Stop all replies, keeping their text."""
        self._stop = message or "Stopped."
        for task in self._tasks:
            task.cancel()

    def picture(self) -> dict:
        """Return the state of all replies as plain values; a reply that must be stored counts as WRITING until that was tried."""
        panes = [asdict(pane) for pane in self.panes]
        for n, pane in enumerate(panes):
            if self.settings.kept and n not in self._replies.tried:
                pane["state"] = WRITING
        return {"id": self.settings.id, "ended": self.ended, "panes": panes}

    def _chat(self, n: int) -> list[Message]:
        return [cast("Message", dict(message)) for message in self.settings.chats[n]]

    async def run(self) -> None:
        """Answer the turn; returns when every reply has ended and is stored, or cannot be stored for STORE_SECONDS."""
        storing = asyncio.create_task(self._replies.store_periodically(self._some_ended))
        try:
            groups: defaultdict[str, list[int]] = defaultdict(list)
            for n, pane in enumerate(self.settings.panes):
                if pane.teacher:
                    self._tasks.append(asyncio.create_task(self._ask(n, pane)))
                else:
                    groups[pane.base].append(n)
            threads = [self._loop.run_in_executor(self._pool, self._write, group, len(groups)) for group in groups.values()]
            await asyncio.gather(*self._tasks, *threads, return_exceptions=True)
        finally:
            for n, state in enumerate(self.panes):
                if state.state == WRITING:
                    self._end(n, FAILED, "An internal error occurred in the model server. See its log.")
            storing.cancel()
            try:
                await asyncio.to_thread(self._replies.store)
            finally:
                self.ended = True
                self._wake.set()
        await self._replies.store_rest()

    async def events(self) -> AsyncIterator[dict | None]:
        """Yield events as they happen.

        Yields:
            {'pane', 'text'} for new text, {'pane', 'doing'} for a new status, {'pane', 'state', 'message', 'facts'} at the end of
            a reply, and None periodically so that the caller can check its connection.
        """
        sent, doing, over = [0] * len(self.panes), [""] * len(self.panes), set()
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), 0.5)
            self._wake.clear()
            yield None
            ended = self.ended
            for n, pane in enumerate(self.panes):
                if pane.doing and pane.doing != doing[n] and pane.state == WRITING:
                    doing[n] = pane.doing
                    yield {"pane": n, "doing": pane.doing}
                if new := pane.text[sent[n] :]:
                    sent[n] += len(new)
                    yield {"pane": n, "text": new}
                if pane.state != WRITING and sent[n] == len(pane.text) and n not in over:
                    over.add(n)
                    yield {"pane": n, "state": pane.state, "message": pane.message, "facts": asdict(pane.facts)}
            if ended and len(over) == len(self.panes):
                return
            if any(sent):  # the first words are sent immediately
                await asyncio.sleep(PAUSE)

    # ------------------------------------------------------------------------------------------------------- weights

    def _write(self, group: list[int], groups: int) -> None:
        """Decode the replies of one base in a thread; `groups` such threads share the CPU."""
        from glan_core.models.weights_cache import ModelUnavailable

        self._do_all(group, "Loading weights.")
        begun = time.monotonic()
        try:
            if self._cache is None:
                raise RuntimeError("local weights need a weights cache")
            packaged_models.convert(self.settings.panes[group[0]].base, partial(self._do_all, group))
            with self._cache.acquire(self.settings.panes[group[0]]) as held, self._alone(held, group):
                rows = self._rows(held, group)
                for n in rows:
                    self.panes[n].facts.loading = time.monotonic() - begun
                if rows:
                    self._write_rows(held, rows, groups)
        except _Unwanted:
            self._end_all(group, STOPPED, self._stop)
        except (ModelUnavailable, GlanError) as fault:
            self._end_all(group, FAILED, str(fault))
        except Exception as error:
            self._end_all(group, FAILED, describe_error(error))
            if _is_out_of_memory(error) and self._cache:
                self._cache.evict_unused()
            else:
                raise

    @contextmanager
    def _alone(self, held: "LoadedWeights", group: list[int]) -> Iterator[None]:
        """Lock the weights, waiting for other replies that use them."""
        if not held.lock.acquire(blocking=False):
            self._do_all(group, "Waiting for another reply that uses these weights.")
            while not held.lock.acquire(timeout=0.1):
                if self._stop:
                    raise _Unwanted
        try:
            yield
        finally:
            held.lock.release()

    def _rows(self, held: "LoadedWeights", group: list[int]) -> "dict[int, DecodingRow]":
        """Return the batch rows with adapters attached; replies that cannot be generated end here."""
        from glan_core.models.batched_decode import PromptTooLong, create_row
        from glan_core.models.weights_cache import ModelUnavailable, attach_adapter, cached_hash, get_tokenizer

        rows: dict[int, DecodingRow] = {}
        for n in group:
            pane, now = self.settings.panes[n], self.panes[n]
            try:
                attach_adapter(held, pane)
                tokenizer, on_text = get_tokenizer(held, pane), partial(self._say, n)
                row = create_row(
                    held.model, tokenizer, self._chat(n), self.settings.decoding_of(n), on_text, lambda: bool(self._stop)
                )
                now.facts.weights_hash = cached_hash(held.folder)
                now.facts.adapter_hash = cached_hash(Path(pane.adapter)) if pane.adapter else ""
            except (ModelUnavailable, PromptTooLong) as fault:
                hint = " Start a new conversation." if isinstance(fault, PromptTooLong) else ""
                self._end(n, FAILED, f"{fault}{hint}")
                continue
            now.facts.tokens_in = len(row.tokens)
            rows[n] = row
        for n, row in rows.items():  # only now is it known whether the base has adapters
            row.adapter = held.adapter_name(self.settings.panes[n].adapter)
            state = "on" if self.settings.panes[n].adapter else "off" if row.adapter else "none"
            facts = self.panes[n].facts
            facts.adapter, facts.dtype, facts.device = state, held.dtype, str(held.model.device)
        return rows

    def _write_rows(self, held: "LoadedWeights", rows: "dict[int, DecodingRow]", groups: int) -> None:
        import torch

        from glan_core.models import memory
        from glan_core.models.batched_decode import decode_batch

        if self._stop:
            raise _Unwanted
        self._do_all(rows, "Processing the prompt.")
        torch.set_num_threads(max(1, memory.threads() // groups))
        begun = time.monotonic()

        def ended(n: int) -> None:
            row, facts = rows[n], self.panes[n].facts
            facts.tokens_out, facts.finish, facts.seconds = len(row.written), row.finish, row.ended_at - begun
            facts.first_token = row.first_at - begun if row.first_at else None
            if row.finish != "failed":  # the exception has the details
                self._end(n, *((STOPPED, self._stop) if row.finish == "stopped" else (DONE, "")))

        for n, row in rows.items():
            row.on_end = partial(ended, n)
        decode_batch(held.model, list(rows.values()))

    # ------------------------------------------------------------------------------------------------------- teachers

    async def _ask(self, n: int, pane: ResolvedModel) -> None:
        """Let a teacher answer."""
        seeded, now, begun = self.settings.decoding_of(n), self.panes[n], time.monotonic()
        decoding = DecodingParams(seeded.temperature, seeded.top_p, seeded.max_tokens)
        facts = now.facts
        try:
            usual = pane.endpoint.key_variable in (None, KEY_VARIABLE)
            teacher = open_teacher(
                pane.teacher,
                pane.base_url,
                key=(self._key or None) if usual else None,
                settings=_with_sampling(pane.endpoint, seeded),
            )
            self._do(n, "Waiting for the first token.")
            try:
                replies: Any = teacher.stream(self._chat(n), decoding)
                async with aclosing(replies) as stream:
                    async for item in stream:
                        if isinstance(item, Reply):
                            facts.tokens_in, facts.tokens_out, facts.estimated = item.tokens_in, item.tokens_out, item.estimated
                            facts.finish = item.finish_reason
                            facts.tokens_reasoning = item.reasoning_tokens(item.split()[0])
                        else:
                            facts.first_token = facts.first_token or time.monotonic() - begun
                            self._say(n, item)
            finally:
                await teacher.close()
        except asyncio.CancelledError:
            facts.seconds = time.monotonic() - begun
            self._end(n, STOPPED, self._stop)
        except (GlanError, TeacherBusy, TeacherFault, TeacherRefusal, UnusableReply) as error:
            self._end(n, FAILED, str(error))
        except Exception as error:
            self._end(n, FAILED, describe_error(error))
            raise
        else:
            facts.seconds = time.monotonic() - begun
            self._end(n, DONE)

    # ------------------------------------------------------------------------------------------------------- state

    def _do_all(self, group: Iterable[int], what: str) -> None:
        for n in group:
            if self.panes[n].state == WRITING:
                self._do(n, what)

    def _do(self, n: int, what: str) -> None:
        self.panes[n].doing = what
        self._changed()

    def _say(self, n: int, text: str) -> None:
        now = self.panes[n]
        now.doing, now.text = "", now.text + text
        self._changed()

    def _end_all(self, group: list[int], state: str, message: str) -> None:
        for n in group:
            if self.panes[n].state == WRITING:
                self._end(n, state, message)

    def _end(self, n: int, state: str, message: str = "") -> None:
        now = self.panes[n]
        now.doing, now.message, now.at, now.state = "", message, time.time(), state
        self._changed()
        self._loop.call_soon_threadsafe(self._some_ended.set)

    def _changed(self) -> None:
        if not self._wake.is_set():  # readers clear it before reading, so later changes are seen
            self._loop.call_soon_threadsafe(self._wake.set)


class _Unwanted(Exception):
    """The turn was stopped while it waited."""


def _is_out_of_memory(error: Exception) -> bool:
    return type(error).__name__ in ("MemoryError", "OutOfMemoryError") or "allocate memory" in str(error)


def _with_sampling(at: EndpointSettings, decoding: SeededDecodingParams) -> EndpointSettings:
    """Return an endpoint that is also sent the sampling parameters of vLLM, Ollama and llama.cpp, where they are set."""
    usual = SeededDecodingParams()
    names = [name for name in ("top_k", "repetition_penalty") if getattr(decoding, name) != getattr(usual, name)]
    if not names:
        return at
    return at.model_copy(update={"extra_body": {**{name: getattr(decoding, name) for name in names}, **(at.extra_body or {})}})


def describe_error(error: Exception) -> str:
    """Describe an error of a library in one sentence."""
    if _is_out_of_memory(error):
        return "The model ran out of memory. Use fewer tokens or a smaller model."
    first = (str(error).strip().splitlines() or [""])[0][:200]
    return f"The model failed ({type(error).__name__}{': ' + first if first else ''})."


def new_pool() -> ThreadPoolExecutor:
    """Return the thread pool for loading weights and generating replies."""
    return ThreadPoolExecutor(2 * MAX_MODELS, thread_name_prefix="writing")
