"""Shared test helpers: a configurable in-memory teacher, in-process runs, a served teacher, and workspace contents."""

import asyncio
import json
import re
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial

from aiohttp import web

from glan_core import runs
from glan_core.runs.heartbeat import Watcher
from glan_core.taxonomy import tree_editing
from glan_core.teachers.contract import DecodingParams, Message, Reply, estimate_tokens
from glan_core.teachers.scripted import http_server
from glan_core.workspace import Workspace, run_rows, taxonomy_rows
from glan_core.workspace.run_rows import Run

CONTENT_TABLES = (
    "nodes", "subject_queries", "subjects", "subject_mentions", "syllabi", "sessions", "concepts", "questions",
    "question_concepts", "answers",
)  # fmt: skip

# Reaction of the teacher to a request: None (the default reply), a text, a complete Reply, or an exception to raise.
Behavior = Callable[[str, int, Sequence[Message]], "str | Reply | Exception | None"]


class Canned:
    """An in-memory teacher: subjects, syllabi and sessions of a configured size; questions and answers that quote their prompts.

    Attributes:
        behave: `behave(stage, nth, messages)` may return another reply; `nth` counts the requests of that stage from 0.
        delay: `delay(nth)` is the duration of the nth request in seconds.
        asked: (stage, messages) of every request.
        most_at_once: Maximum number of concurrent requests.
    """

    def __init__(
        self, behave: Behavior | None = None, *, name: str = "canned", subjects: int = 2, sessions: int = 3, concepts: int = 4,
        delay: Callable[[int], float] | None = None,
    ) -> None:  # fmt: skip
        self.name = name
        self.behave, self.delay = behave, delay
        self.sizes = subjects, sessions, concepts
        self.asked: list[tuple[str, list[Message]]] = []
        self.seen: Counter[str] = Counter()
        self.at_once = self.most_at_once = 0

    def requests(self, stage: str) -> list[list[Message]]:
        """Return the chats of one stage in the order of arrival."""
        return [messages for name, messages in self.asked if name == stage]

    async def reply(self, messages: Sequence[Message], sampling: DecodingParams) -> Reply:
        """See Teacher."""
        stage, nth = stage_of(messages), len(self.asked)
        nth_of_stage = self.seen[stage]
        self.seen[stage] += 1
        self.asked.append((stage, list(messages)))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(self.delay(nth) if self.delay else 0)
        finally:
            self.at_once -= 1
        result = self.behave(stage, nth_of_stage, messages) if self.behave else None
        if isinstance(result, Exception):
            raise result
        if isinstance(result, Reply):
            return result
        text = self.usual(stage, messages) if result is None else result
        return Reply(text, "stop", sum(estimate_tokens(m["content"]) for m in messages), estimate_tokens(text))

    def usual(self, stage: str, messages: Sequence[Message]) -> str:
        """Return the default reply, which depends only on the messages."""
        subjects, sessions, concepts = self.sizes
        prompt = messages[-1]["content"] if stage != "repair" else messages[-3]["content"]
        if stage == "repair":
            return self.usual(stage_of(messages[:-2]), messages[:-2])
        if stage == "subject_list":
            return "\n".join(f"- Subject {n} of {tag(prompt, 'discipline')}" for n in range(subjects))
        if stage == "subjects":
            about = tag(messages[0]["content"], "discipline")
            return json_lines(
                {"subject_name": f"Subject {n} of {about}", "level": "basic", "subtopics": ["one", "two"]}
                for n in range(subjects)
            )
        if stage == "syllabus":
            return f"Syllabus of {tag(prompt, 'subject')} in {tag(prompt, 'discipline')}.\n{tag(prompt, 'subtopics')}"
        if stage == "sessions":
            about = tag(prompt, "subject")
            return json_lines(
                {"session": f"{about}, session {s}", "description": "What it is about.",
                 "key_concepts": [f"{about} {s}.{c}" for c in range(concepts)]}
                for s in range(sessions)
            )  # fmt: skip
        if stage == "question":
            return f"Explain how these fit together: {'; '.join(tag(prompt, 'selected_key_concepts').splitlines())}"
        return f"An answer to: {prompt}"

    async def stream(self, messages: Sequence[Message], sampling: DecodingParams) -> AsyncIterator[str | Reply]:
        """See Teacher."""
        reply = await self.reply(messages, sampling)
        yield reply.text
        yield reply

    async def close(self) -> None:
        """See Teacher."""


def stage_of(messages: Sequence[Message]) -> str:
    """Return the stage of a chat, determined from its last message."""
    prompt = messages[-1]["content"]
    for stage, mark in (
        ("repair", "That reply cannot be used"), ("question", "<selected_key_concepts>"),
        ("sessions", "Extract its class sessions"),
        ("syllabus", "Write its syllabus"), ("subjects", '"subject_name"'), ("subject_list", "List the subjects"),
        ("proposals", "drafting a complete taxonomy"), ("proposals", "reviewing a taxonomy"),
    ):  # fmt: skip
        if mark in prompt:
            return stage
    return "answer"


def tag(prompt: str, name: str) -> str:
    """Return the content of a tag in a prompt."""
    return re.search(rf"<{name}>(.*?)</{name}>", prompt, re.DOTALL).group(1).strip()


def json_lines(rows) -> str:
    """Format rows as JSON lines."""
    return "\n".join(json.dumps(row) for row in rows)


def execute_run(ws: Workspace, settings: dict, kind: str = "generate", watch: Watcher | None = None) -> Run:
    """Submit a run, execute it in this process and return its final state."""
    return runs.work(ws, runs.submit(ws, kind, "test", settings), watch)


def resume_run(ws: Workspace, run_id: int, settings: dict | None = None) -> Run:
    """Requeue a run that ended early, optionally with other settings, and execute it in this process."""
    from glan_core.runs import launcher

    launcher.requeue(ws, run_id, params=settings)
    return runs.work(ws, run_id)


def content(ws: Workspace, *, teachers: bool = True) -> dict[str, list[tuple]]:
    """Return the sorted rows of every content table, without the columns that depend on the order of arrival."""
    tables = {}
    for table in CONTENT_TABLES:
        columns = [row[1] for row in ws.db.execute(f"PRAGMA table_info({table})")]
        kept = [name for name in columns if name != "seq" and (teachers or not name.endswith("teacher"))]
        tables[table] = sorted(ws.db.execute(f"SELECT {', '.join(kept)} FROM {table}"), key=repr)
    return tables


def rows(ws: Workspace, sql: str, *values) -> list[tuple]:
    """Return the rows of a query."""
    return ws.db.execute(sql, values).fetchall()


def number(ws: Workspace, sql: str, *values) -> float:
    """Return the only value of a query."""
    return ws.db.execute(sql, values).fetchone()[0]


def latest_run(ws: Workspace) -> Run:
    """Return the newest run."""
    return run_rows.runs(ws.db, 1)[0]


class Served:
    """A local endpoint in a thread: the scripted teacher (settings as for `http_server.serving`), or `handle(request)` instead.

    The handler receives chat requests below /v1, or every request if `everything` is set.
    """

    def __init__(self, handle: Callable | None = None, **settings: object) -> None:
        self._settings = settings
        self._serving = http_server.serving if handle is None else partial(_serving, handle)
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._ready = threading.Event()
        self.url = ""

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with self._serving(**self._settings) as self.url:
            self._ready.set()
            await self._stop.wait()

    def __enter__(self) -> "Served":
        self._thread.start()
        assert self._ready.wait(20)
        return self

    def __exit__(self, *exc: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)

    def tells(self, page: str) -> dict:
        """Return the content of '/stats' or '/requests'."""
        with urllib.request.urlopen(self.url.removesuffix("/v1") + page, timeout=20) as response:
            return json.load(response)


@asynccontextmanager
async def _serving(handle: Callable, *, everything: bool = False, port: int = 0) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*" if everything else "POST", "/{path:.*}" if everything else "/v1/chat/completions", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()


def completion(text: object, **usage: object) -> web.Response:
    """Build a chat completion response."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return web.json_response({"choices": [choice], "usage": usage or {"prompt_tokens": 10, "completion_tokens": 5}})


def wait_for(condition: Callable[[], object], what: str, seconds: float = 60) -> object:
    """Wait for a condition to be true and return its value; the test fails on timeout."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not in {seconds} s: {what}"
        time.sleep(0.01)
    return value


def describe(ws, node_id: str, text: str, who: str) -> None:
    """Change only the description of a node."""
    node = next(node for node in taxonomy_rows.nodes(ws.db) if node.id == node_id)
    tree_editing.edit(ws, node_id, who, name=node.name, description=text, parent_id=node.parent_id)
