"""What teachers are writing right now, for whoever watches: in a small file beside the database, gone when nothing is written.

The file is a picture of the moment, no record: a page may read it at any time, and a process that was killed may leave it.
"""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from glan_core.generation.engine import StageModel
from glan_core.generation.protocols import fingerprint
from glan_core.teachers.contract import DecodingParams, Message, Reply, Teacher

FILE = "live.json"
SECONDS = 0.2  # between two pictures
MOST_CALLS = 12  # in a picture: the first begun
MOST_CHARACTERS = 20_000  # of a call: the last written


@dataclass(frozen=True, slots=True)
class Writing:
    """A call in flight: its stage, the fingerprint of its chat (`generation.work`), and the text so far."""

    stage: str
    chat: str
    text: str


def read(folder: Path) -> list[Writing]:
    """What was being written in a workspace's folder when its process last said so, the first begun first."""
    try:
        return [Writing(**fields) for fields in json.loads((folder / FILE).read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):
        return []


@contextmanager
def stream_to_file(folder: Path, voices: Mapping[str, StageModel]) -> Iterator[dict[str, StageModel]]:
    """The same voices, whose replies can be read in `folder` while they are written. Belongs around a running event loop."""
    board = Board(folder)
    try:
        yield {stage: replace(voice, teacher=WatchedTeacher(voice.teacher, stage, board)) for stage, voice in voices.items()}
    finally:
        board.close()


class Board:
    """Gathers the texts of calls in flight, and writes them to the file when they have changed, not too often."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE
        self._texts: dict[object, Writing] = {}
        self._shown_at = 0.0
        self._next: asyncio.TimerHandle | None = None

    def put(self, call: object, writing: Writing | None) -> None:
        """Say how far a call is; None: it has ended."""
        if writing is None:
            self._texts.pop(call, None)
        else:
            self._texts[call] = writing
        if self._next is None:
            wait = self._shown_at + SECONDS - time.monotonic()
            self._next = asyncio.get_running_loop().call_later(max(0.0, wait), self._show)

    def _show(self) -> None:
        self._next, self._shown_at = None, time.monotonic()
        shown = [replace(w, text=w.text[-MOST_CHARACTERS:]) for w in list(self._texts.values())[:MOST_CALLS]]
        draft = self._file.with_suffix(".part")
        with suppress(OSError):  # a full disk must not end a run whose rows still find room
            draft.write_text(json.dumps([asdict(writing) for writing in shown]), encoding="utf-8")
            os.replace(draft, self._file)

    def close(self) -> None:
        """Write nothing more, and remove the file."""
        if self._next is not None:
            self._next.cancel()
        self._file.unlink(missing_ok=True)


class WatchedTeacher:
    """A teacher whose replies are streamed, so that a board can show them; else the same teacher."""

    def __init__(self, teacher: Teacher, stage: str, board: Board) -> None:
        self.name = teacher.name
        self._teacher, self._stage, self._board = teacher, stage, board

    async def reply(self, messages: Sequence[Message], sampling: DecodingParams) -> Reply:
        """See Teacher."""
        call, writing, reply = object(), Writing(self._stage, fingerprint(messages), ""), None
        self._board.put(call, writing)
        try:
            async with aclosing(self._teacher.stream(messages, sampling)) as stream:
                async for item in stream:
                    if isinstance(item, Reply):
                        reply = item
                    else:
                        writing = replace(writing, text=writing.text + item)
                        self._board.put(call, writing)
        finally:
            self._board.put(call, None)
        return reply

    def stream(self, messages: Sequence[Message], sampling: DecodingParams) -> AsyncIterator[str | Reply]:
        """See Teacher."""
        return self._teacher.stream(messages, sampling)

    async def close(self) -> None:
        """See Teacher."""
        await self._teacher.close()
