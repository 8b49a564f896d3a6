"""One turn in the model process: all panes answer at once, each into a picture of what it has written so far.

Panes that share a base are written as one batch in a thread; those of different weights in threads side by side; a teacher
answers in the event loop. What is written goes to the workspace now and then, and when a pane ends.
"""

import asyncio
import threading
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from glan_core.errors import GlanError
from glan_core.models.model_specs import MOST_PANES, Pane, TurnSettings
from glan_core.teachers import open_teacher
from glan_core.teachers.contract import DecodingParams, Reply, TeacherBusy, TeacherFault, TeacherRefusal
from glan_core.workspace import Workspace, chat_rows
from glan_core.workspace.chat_rows import DONE, FAILED, STOPPED, WRITING

PAUSE = 0.05  # seconds in which pieces of text gather before they are sent
KEEP_SECONDS = 2.0  # between two times that unfinished text is stored
NEEDED = "Stopped: something else needed the memory. What was written is kept."


@dataclass
class Facts:
    """What is known of an answer. Hashes are 'sha256:…' over the weights that were loaded; `adapter` is 'on' or 'off' where the
    base is in memory, 'none' for whole models, '' for teachers. `first_token` and `seconds` count from when the weights were at
    hand, `loading` before that. Of a teacher that gave no token counts they are `estimated`."""

    weights_hash: str = ""
    adapter_hash: str = ""
    adapter: str = ""
    dtype: str = ""
    device: str = ""
    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 0
    seed: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    estimated: bool = False
    loading: float = 0.0
    first_token: float | None = None
    seconds: float = 0.0
    finish: str = ""


@dataclass
class PaneState:
    """How far a pane is. `doing` says in words what keeps it from writing, '' while it writes."""

    state: str = WRITING
    text: str = ""
    message: str = ""
    doing: str = "Waiting for its turn."
    facts: Facts = field(default_factory=Facts)
    at: float = field(default_factory=time.time)


class Turn:
    """A turn at work. `key` is for its teachers, and is kept here alone."""

    def __init__(self, settings: TurnSettings, key: str, shelf, pool: ThreadPoolExecutor) -> None:
        drawing = settings.drawing.model_dump()
        self.settings = settings
        self.panes = [PaneState(facts=Facts(**drawing)) for _ in settings.panes]
        self._key, self._shelf, self._pool = key, shelf, pool
        self._stop = ""
        self._tasks: list[asyncio.Task] = []
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._some_ended = asyncio.Event()
        self._stored: set[int] = set()
        self._keeping = threading.Lock()
        self.ended = False

    def stop(self, message: str = "") -> None:
        """Have every pane end with what it has written."""
        self._stop = message or "Stopped."
        for task in self._tasks:
            task.cancel()

    def picture(self) -> dict:
        """How far all panes are, as plain values. One that is to be stored still writes until it is."""
        panes = [asdict(pane) for pane in self.panes]
        for n, pane in enumerate(panes):
            if self.settings.kept and n not in self._stored:
                pane["state"] = WRITING
        return {"id": self.settings.id, "ended": self.ended, "panes": panes}

    async def run(self) -> None:
        """Answer; returns when every pane has ended."""
        keeping = asyncio.create_task(self._keep_now_and_then())
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
            for n, pane in enumerate(self.panes):
                if pane.state == WRITING:
                    self._end(n, FAILED, "Something went wrong in the model process; its log says what.")
            keeping.cancel()
            await asyncio.to_thread(self._keep)
            self.ended = True
            self._wake.set()

    async def events(self) -> AsyncIterator[dict | None]:
        """What happens, as it happens: {'pane', 'text'} for new text, {'pane', 'doing'}, and at the end of a pane all that is
        known of it with its whole 'state'. None now and then, so that the reader can look whether anybody still listens."""
        said, doing, over = [0] * len(self.panes), [""] * len(self.panes), set()
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
                if new := pane.text[said[n] :]:
                    said[n] += len(new)
                    yield {"pane": n, "text": new}
                if pane.state != WRITING and said[n] == len(pane.text) and n not in over:
                    over.add(n)
                    yield {"pane": n, "state": pane.state, "message": pane.message, "facts": asdict(pane.facts)}
            if ended and len(over) == len(self.panes):
                return
            if any(said):  # the first words come at once
                await asyncio.sleep(PAUSE)

    # ------------------------------------------------------------------------------------------------------- weights

    def _write(self, group: list[int], groups: int) -> None:
        """Let the panes of one base write, in a thread; `groups` such threads share the processor."""
        from glan_core.models.weights_cache import PaneFault

        self._do_all(group, "Loading the weights.")
        begun = time.monotonic()
        try:
            with self._shelf.taken(self.settings.panes[group[0]]) as held, self._alone(held, group):
                rows = self._rows(held, group)
                for n in rows:
                    self.panes[n].facts.loading = time.monotonic() - begun
                if rows:
                    self._write_rows(held, rows, groups)
        except _Unwanted:
            self._end_all(group, STOPPED, self._stop)
        except PaneFault as fault:
            self._end_all(group, FAILED, str(fault))
        except Exception as error:
            self._end_all(group, FAILED, explained(error))
            if _is_out_of_memory(error):
                self._shelf.forget_unused()
            else:
                raise

    @contextmanager
    def _alone(self, held, group: list[int]) -> Iterator[None]:
        """Weights for these panes alone, once nobody else writes with them."""
        if not held.lock.acquire(blocking=False):
            self._do_all(group, "Waiting: another answer is being written with these weights.")
            while not held.lock.acquire(timeout=0.1):
                if self._stop:
                    raise _Unwanted
        try:
            yield
        finally:
            held.lock.release()

    def _rows(self, held, group: list[int]) -> dict[int, object]:
        """The rows of a batch by their panes, with adapters attached; panes that can't be asked end here, and no other."""
        from glan_core.models.batched_decode import TooLong, row_of
        from glan_core.models.weights_cache import PaneFault, attach, hash_of, tokenizer_of

        rows = {}
        for n in group:
            pane, now = self.settings.panes[n], self.panes[n]
            try:
                attach(held, pane)
                tokenizer, say = tokenizer_of(held, pane), partial(self._say, n)
                row = row_of(
                    held.model, tokenizer, self.settings.chats[n], self.settings.drawing, say, lambda: bool(self._stop)
                )
                now.facts.weights_hash = hash_of(held.folder)
                now.facts.adapter_hash = hash_of(Path(pane.adapter)) if pane.adapter else ""
            except (PaneFault, TooLong) as fault:
                long = f"The conversation is {fault}: begin a new one."
                self._end(n, FAILED, long if isinstance(fault, TooLong) else str(fault))
                continue
            now.facts.tokens_in = len(row.tokens)
            rows[n] = row
        for n, row in rows.items():  # only now is it known whether the base bears adapters
            row.adapter = held.adapter_name(self.settings.panes[n].adapter)
            state = "on" if self.settings.panes[n].adapter else "off" if row.adapter else "none"
            facts = self.panes[n].facts
            facts.adapter, facts.dtype, facts.device = state, held.dtype, str(held.model.device)
        return rows

    def _write_rows(self, held, rows: dict[int, object], groups: int) -> None:
        import torch

        from glan_core.models import memory
        from glan_core.models.batched_decode import write

        if self._stop:
            raise _Unwanted
        self._do_all(rows, "Reading the prompt.")
        torch.set_num_threads(max(1, memory.threads() // groups))
        begun = time.monotonic()

        def ended(n: int) -> None:
            row, facts = rows[n], self.panes[n].facts
            facts.tokens_out, facts.finish, facts.seconds = len(row.written), row.finish, row.ended_at - begun
            facts.first_token = row.first_at - begun if row.first_at else None
            if row.finish != "failed":  # of which the exception tells more
                self._end(n, *((STOPPED, self._stop) if row.finish == "stopped" else (DONE, "")))

        for n, row in rows.items():
            row.ended = partial(ended, n)
        write(held.model, list(rows.values()), self.settings.drawing)

    # ------------------------------------------------------------------------------------------------------- teachers

    async def _ask(self, n: int, pane: Pane) -> None:
        """Let a teacher answer."""
        drawing, now, begun = self.settings.drawing, self.panes[n], time.monotonic()
        sampling = DecodingParams(drawing.temperature, drawing.top_p, drawing.max_tokens)
        facts = now.facts
        try:
            teacher = open_teacher(pane.teacher, pane.base_url, key=self._key or None)
            self._do(n, "Waiting for the first words.")
            try:
                async with aclosing(teacher.stream(self.settings.chats[n], sampling)) as stream:
                    async for item in stream:
                        if isinstance(item, Reply):
                            facts.tokens_in, facts.tokens_out, facts.estimated = item.tokens_in, item.tokens_out, item.estimated
                            facts.finish = item.finish_reason
                        else:
                            facts.first_token = facts.first_token or time.monotonic() - begun
                            self._say(n, item)
            finally:
                await teacher.close()
        except asyncio.CancelledError:
            facts.seconds = time.monotonic() - begun
            self._end(n, STOPPED, self._stop)
        except (GlanError, TeacherBusy, TeacherFault, TeacherRefusal) as error:
            self._end(n, FAILED, str(error))
        except Exception as error:
            self._end(n, FAILED, explained(error))
            raise
        else:
            facts.seconds = time.monotonic() - begun
            self._end(n, DONE)

    # ------------------------------------------------------------------------------------------------------- the picture

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
        if not self._wake.is_set():  # who reads clears it before looking, so what is added meanwhile is seen
            self._loop.call_soon_threadsafe(self._wake.set)

    # ------------------------------------------------------------------------------------------------------- the workspace

    async def _keep_now_and_then(self) -> None:
        kept = 0
        while self.settings.kept:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._some_ended.wait(), KEEP_SECONDS)
            length = sum(len(pane.text) for pane in self.panes)
            if self._some_ended.is_set() or length != kept:
                self._some_ended.clear()
                kept = length
                await asyncio.to_thread(self._keep)

    def _keep(self) -> None:
        """Store how far the panes are. A workspace that is gone or full does not end the answer."""
        if not self.settings.kept:
            return
        with self._keeping:  # one after the other, or an older picture might overwrite a newer one
            replies = self._replies()
            with suppress(GlanError, OSError):
                ws = Workspace.open(self.settings.kept.folder)
                try:
                    with ws.write() as db:
                        for reply in replies:
                            chat_rows.put_reply(db, reply)
                finally:
                    ws.close()
            self._stored |= {reply.pane for reply in replies if reply.state != WRITING}

    def _replies(self) -> list[chat_rows.Reply]:
        """How far the panes are, as the workspace keeps it."""
        kept, replies = self.settings.kept, []
        for n, (pane, now) in enumerate(zip(self.settings.panes, self.panes, strict=True)):
            state = now.state  # before the text, which is whole once the state says so
            replies.append(chat_rows.Reply(
                kept.turn_id, kept.version, n, pane.spec, state, now.text, now.message, asdict(now.facts), self.settings.id, now.at
            ))  # fmt: skip
        return replies


class _Unwanted(Exception):
    """Somebody stopped the turn while it waited."""


def _is_out_of_memory(error: Exception) -> bool:
    return type(error).__name__ in ("MemoryError", "OutOfMemoryError") or "allocate memory" in str(error)


def explained(error: Exception) -> str:
    """What went wrong in a library, in a sentence."""
    if _is_out_of_memory(error):
        return "The memory did not suffice for this answer: ask for fewer tokens, or choose a smaller model."
    first = (str(error).strip().splitlines() or [""])[0][:200]
    return f"The model could not answer ({type(error).__name__}{': ' + first if first else ''})."


def new_pool() -> ThreadPoolExecutor:
    """Threads in which weights are loaded and answers are written."""
    return ThreadPoolExecutor(2 * MOST_PANES, thread_name_prefix="writing")
