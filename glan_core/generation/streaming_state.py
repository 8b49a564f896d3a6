"""Replies that are currently being generated, in a small file next to the database.

The file is transient: a page may read it at any time, and a killed process may leave it behind.
"""

import asyncio
import json
import os
import time
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from glan_core.generation.call_records import StageModel
from glan_core.generation.protocols import fingerprint
from glan_core.teachers.contract import DecodingParams, Message, Reply, Teacher, TeacherFault

FILE = "live.json"
SECONDS = 0.2  # between two updates
MAX_CALLS = 12  # the oldest calls in flight
MAX_CHARACTERS = 20_000  # the end of a reply


@dataclass(frozen=True, slots=True)
class Writing:
    """A call in flight: its stage, the fingerprint of its chat (`protocols.fingerprint`), and the text so far."""

    stage: str
    chat: str
    text: str


def read(folder: Path) -> list[Writing]:
    """Return the replies being generated in a workspace as last reported, oldest first."""
    try:
        return [Writing(**fields) for fields in json.loads((folder / FILE).read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):
        return []


@contextmanager
def stream_to_file(folder: Path, models: Mapping[str, StageModel]) -> Iterator[dict[str, StageModel]]:
    """Wrap stage models so that their replies are written to a file in `folder` while they are generated.

    Enter it around a running event loop.
    """
    state = StateFile(folder)
    try:
        yield {stage: replace(model, teacher=StreamingTeacher(model.teacher, stage, state)) for stage, model in models.items()}
    finally:
        state.close()


class StateFile:
    """Collects the texts of calls in flight and writes changes to the file at limited intervals."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE
        self._texts: dict[object, Writing] = {}
        self._written_at = 0.0
        self._next: asyncio.TimerHandle | None = None

    def put(self, call: object, writing: Writing | None) -> None:
        """Update the text of a call; None removes it."""
        if writing is None:
            self._texts.pop(call, None)
        else:
            self._texts[call] = writing
        if self._next is None:
            wait = self._written_at + SECONDS - time.monotonic()
            self._next = asyncio.get_running_loop().call_later(max(0.0, wait), self._write)

    def _write(self) -> None:
        self._next, self._written_at = None, time.monotonic()
        shown = [replace(w, text=w.text[-MAX_CHARACTERS:]) for w in list(self._texts.values())[:MAX_CALLS]]
        draft = self._file.with_suffix(".part")
        with suppress(OSError):  # a full disk must not end a run whose rows can still be stored
            draft.write_text(json.dumps([asdict(writing) for writing in shown]), encoding="utf-8")
            os.replace(draft, self._file)

    def close(self) -> None:
        """Stop writing and remove the file."""
        if self._next is not None:
            self._next.cancel()
        self._file.unlink(missing_ok=True)


class StreamingTeacher:
    """A teacher that streams its replies to a state file."""

    def __init__(self, teacher: Teacher, stage: str, state: StateFile) -> None:
        self.name, self.url = teacher.name, getattr(teacher, "url", None)
        self._teacher, self._stage, self._state = teacher, stage, state
        self.replicas = tuple(StreamingTeacher(replica, stage, state) for replica in getattr(teacher, "replicas", ()))

    async def list_models(self) -> tuple[str, ...] | None:
        """See `HttpTeacher`; only teachers of endpoints are asked for it."""
        teacher: Any = self._teacher
        return await teacher.list_models()

    @property
    def notices(self) -> Sequence[str]:
        """See Teacher."""
        return getattr(self._teacher, "notices", ())

    async def reply(self, messages: Sequence[Message], decoding: DecodingParams) -> Reply:
        """See Teacher."""
        call, writing = object(), Writing(self._stage, fingerprint(messages), "")
        reply: Reply | None = None
        self._state.put(call, writing)
        try:
            async with aclosing(self._teacher.stream(messages, decoding)) as stream:
                async for item in stream:
                    if isinstance(item, Reply):
                        reply = item
                    else:
                        writing = replace(writing, text=writing.text + item)
                        self._state.put(call, writing)
        finally:
            self._state.put(call, None)
        if reply is None:
            raise TeacherFault(f"The stream of {self.name} ended without a reply.", billed=True)
        return reply

    def stream(self, messages: Sequence[Message], decoding: DecodingParams) -> AsyncGenerator[str | Reply, None]:
        """See Teacher."""
        return self._teacher.stream(messages, decoding)

    async def close(self) -> None:
        """See Teacher."""
        await self._teacher.close()
