"""The streaming state of teachers: bounded texts in a file that is never partial."""

import asyncio
import json

import pytest
from support.runs import Canned, content, execute_run

from glan_core.generation import streaming_state
from glan_core.generation.call_records import StageModel
from glan_core.generation.streaming_state import Writing, read
from glan_core.teachers.contract import DecodingParams, Reply, TeacherFault

CHAT = [{"role": "user", "content": "Say something."}]


class Spelling:
    """A teacher that streams given pieces and waits for the test before each."""

    name = "spelling"

    def __init__(self, pieces: list[str], fault: Exception | None = None) -> None:
        self.pieces, self.fault, self.closed = pieces, fault, 0
        self.go = asyncio.Event()

    async def stream(self, messages, sampling):
        try:
            for piece in self.pieces:
                await self.go.wait()
                self.go.clear()
                yield piece
            if self.fault:
                raise self.fault
            yield Reply("".join(self.pieces), "stop", 1, 2)
        finally:
            self.closed += 1

    async def close(self) -> None:
        pass


async def seen(folder, count: int) -> list[Writing]:
    """Return the state once it has this many calls with text."""
    for _ in range(2000):
        picture = [writing for writing in read(folder) if writing.text or not count]
        if len(picture) == count:
            return picture
        await asyncio.sleep(0.002)
    raise AssertionError(read(folder))


@pytest.fixture(autouse=True)
def often(monkeypatch):
    monkeypatch.setattr(streaming_state, "SECONDS", 0.001)


def test_the_text_so_far_is_there_while_a_reply_is_written_and_gone_afterwards(tmp_path):
    async def scene():
        teacher = Spelling(["A", " word"])
        with streaming_state.stream_to_file(tmp_path, {"answer": StageModel(teacher, DecodingParams(), None)}) as models:
            assert models["answer"].teacher.name == "spelling"
            asking = asyncio.create_task(models["answer"].teacher.reply(CHAT, DecodingParams()))
            teacher.go.set()
            [writing] = await seen(tmp_path, 1)
            assert (writing.stage, writing.text) == ("answer", "A")
            teacher.go.set()
            reply = await asking
            assert await seen(tmp_path, 0) == []
        return reply, teacher.closed

    reply, closed = asyncio.run(scene())
    assert reply == Reply("A word", "stop", 1, 2) and closed == 1
    assert list(tmp_path.iterdir()) == []


def test_a_fault_reaches_the_engine_and_leaves_no_text_behind(tmp_path):
    async def scene():
        teacher = Spelling(["A"], TeacherFault("cut", billed=True))
        with streaming_state.stream_to_file(tmp_path, {"answer": StageModel(teacher, DecodingParams(), None)}) as models:
            asking = asyncio.create_task(models["answer"].teacher.reply(CHAT, DecodingParams()))
            teacher.go.set()
            with pytest.raises(TeacherFault):
                await asking
            return await seen(tmp_path, 0)

    assert asyncio.run(scene()) == []


def test_a_picture_is_bounded_whatever_a_run_does(tmp_path):
    async def scene():
        state = streaming_state.StateFile(tmp_path)
        for n in range(100):
            state.put(n, Writing("answer", str(n), "long " * 100_000 + str(n)))
        picture = await seen(tmp_path, streaming_state.MAX_CALLS)
        state.close()
        return picture

    picture = asyncio.run(scene())
    assert [writing.chat for writing in picture] == [str(n) for n in range(streaming_state.MAX_CALLS)]
    assert all(
        len(writing.text) == streaming_state.MAX_CHARACTERS and writing.text.endswith(writing.chat) for writing in picture
    )


@pytest.mark.parametrize("left", ["", "[{", "{}", '[{"stage": "answer"}]', "[3]", json.dumps([{"surprise": 1}])])
def test_a_file_that_is_no_picture_shows_nothing(tmp_path, left):
    assert read(tmp_path) == []
    (tmp_path / streaming_state.FILE).write_text(left)
    assert read(tmp_path) == []


def test_a_watched_run_makes_the_same_rows(new_workspace, settings, teach):
    teach(Canned())
    plain, watched = new_workspace("plain"), new_workspace("watched")
    execute_run(plain, settings("music"))
    run = execute_run(watched, {**settings("music"), "live": True})
    assert run.state == "finished" and content(plain) == content(watched)
    assert not (watched.folder / streaming_state.FILE).exists()
