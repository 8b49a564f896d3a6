"""Model server: `python -m glan_core serve-models`. One process per user holds all chat weights and generates replies.

It listens on 127.0.0.1 only, requires the token stored in the user's runtime folder, and exits when idle. `server_client`
starts it and is its only client.
"""

import asyncio
import contextlib
import fcntl
import hmac
import json
import os
import secrets
import signal
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from glan_core.errors import GlanError
from glan_core.import_strings import load_symbol
from glan_core.models import reply_stream
from glan_core.models.model_specs import ResolvedModel, TurnSettings
from glan_core.models.server_client import ADDRESS, LOCK, Address, runtime_folder, source
from glan_core.settings import read_settings

if TYPE_CHECKING:
    from glan_core.models.weights_cache import WeightsCache

MAX_BODY = 64 * 2**20
REMEMBERED = 100  # ended turns that can still be queried
RELEASE_SECONDS = 10.0  # for replies to end when their memory is needed


class ModelServer:
    """Request handlers and their shared state. torch is imported when weights are first used."""

    def __init__(self, token: str) -> None:
        self._authorization = f"Bearer {token}".encode()
        self._cache: WeightsCache | None = None
        self._pool = reply_stream.new_pool()
        self._turns: dict[str, reply_stream.Turn] = {}
        self._tasks: dict[str, asyncio.Task] = {}
        self._asked = 0
        self.used_at = time.monotonic()
        self.over = asyncio.Event()

    @property
    def busy(self) -> bool:
        """Whether a reply is being generated or a query runs."""
        return bool(self._tasks or self._asked)

    def cache(self) -> "WeightsCache":
        """Return the weights cache."""
        if self._cache is None:
            from glan_core.models.weights_cache import WeightsCache

            self._cache = WeightsCache()
        return self._cache

    @web.middleware
    async def guard(self, request: web.Request, handler) -> web.StreamResponse:
        """Reject requests without the token and convert known errors into JSON responses."""
        sent = request.headers.get("Authorization", "").encode("utf-8", "replace")
        if not hmac.compare_digest(sent, self._authorization):
            return web.json_response({"error": "The token is missing or invalid."}, status=401)
        try:
            return await handler(request)
        except GlanError as error:
            return web.json_response({"error": str(error)}, status=400)

    async def status(self, request: web.Request) -> web.Response:
        """GET /status: loaded weights and active replies."""
        held = self._cache.summary() if self._cache else []
        idle = 0 if self.busy else time.monotonic() - self.used_at
        return web.json_response({"pid": os.getpid(), "held": held, "writing": len(self._tasks), "idle": idle})

    async def begin(self, request: web.Request) -> web.StreamResponse:
        """POST /turns: answer a turn; with 'stream', send JSON lines until it ends or the client disconnects."""
        body = await request.json()
        settings = read_settings(TurnSettings, body["order"])
        self.used_at = time.monotonic()
        cache = self.cache() if any(not pane.teacher for pane in settings.panes) else None
        turn = self._turns[settings.id] = reply_stream.Turn(settings, body.get("key", ""), cache, self._pool)
        task = self._tasks[settings.id] = asyncio.create_task(turn.run())
        task.add_done_callback(lambda _: self._ended(settings.id))
        if not body.get("stream"):
            return web.json_response({"id": settings.id})
        response = web.StreamResponse(headers={"Content-Type": "application/jsonl", "Cache-Control": "no-store"})
        await response.prepare(request)
        try:
            async for event in turn.events():
                if request.transport is None or request.transport.is_closing():
                    raise ConnectionResetError
                if event:
                    await response.write(json.dumps(event).encode() + b"\n")
        except (ConnectionError, asyncio.CancelledError):
            turn.stop()
            raise
        await response.write_eof()
        return response

    def _ended(self, id: str) -> None:
        self._tasks.pop(id, None)
        self.used_at = time.monotonic()
        for old in [id for id in self._turns if id not in self._tasks][:-REMEMBERED]:
            del self._turns[old]

    async def look(self, request: web.Request) -> web.Response:
        """GET /turns/ID: state of a turn."""
        turn = self._turns.get(request.match_info["id"])
        return (
            web.json_response(turn.picture()) if turn else web.json_response({"error": "The turn does not exist."}, status=404)
        )

    async def stop(self, request: web.Request) -> web.Response:
        """POST /turns/ID/stop: stop a turn, keeping its text."""
        if turn := self._turns.get(request.match_info["id"]):
            turn.stop()
        return web.json_response({})

    async def self_test(self, request: web.Request) -> web.Response:
        """POST /self-test: check that models run the weights they claim."""

        def test() -> dict:
            self_test = load_symbol("glan_core.chat.self_test:self_test")
            from glan_core.models.weights_cache import ModelUnavailable

            try:
                return self_test(self.cache(), panes)
            except ModelUnavailable as fault:
                raise GlanError(str(fault)) from None
            except Exception as error:
                raise GlanError(reply_stream.describe_error(error)) from error

        panes = [read_settings(ResolvedModel, pane) for pane in (await request.json())["panes"]]
        with self._used():
            return web.json_response(await asyncio.get_running_loop().run_in_executor(self._pool, test))

    async def nearest(self, request: web.Request) -> web.Response:
        """POST /nearest: training rows nearest to an answer."""

        def find() -> dict:
            return load_symbol("glan_core.chat.training_attribution:nearest_rows")(**body)

        body = await request.json()
        with self._used():
            return web.json_response(await asyncio.get_running_loop().run_in_executor(self._pool, find))

    async def release(self, request: web.Request) -> web.Response:
        """POST /release: stop all replies and exit, releasing all memory."""
        for id in list(self._tasks):
            self._turns[id].stop(reply_stream.NEEDED)
        if unended := [task for id, task in self._tasks.items() if not self._turns[id].ended]:
            await asyncio.wait(unended, timeout=RELEASE_SECONDS)
        self.over.set()
        return web.json_response({})

    @contextlib.contextmanager
    def _used(self) -> Iterator[None]:
        self._asked += 1
        try:
            yield
        finally:
            self._asked -= 1
            self.used_at = time.monotonic()


def build_app(models: ModelServer) -> web.Application:
    """Return the aiohttp application of the server."""
    app = web.Application(client_max_size=MAX_BODY, middlewares=[models.guard])
    app.router.add_get("/status", models.status)
    app.router.add_post("/turns", models.begin)
    app.router.add_get("/turns/{id}", models.look)
    app.router.add_post("/turns/{id}/stop", models.stop)
    app.router.add_post("/self-test", models.self_test)
    app.router.add_post("/nearest", models.nearest)
    app.router.add_post("/release", models.release)
    return app


def run(idle: float) -> None:
    """Serve until idle for `idle` seconds or told to exit; returns immediately if another server runs."""
    folder = runtime_folder()
    with (folder / LOCK).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        asyncio.run(_serve(folder, idle))
        (folder / ADDRESS).unlink(missing_ok=True)
        # Exit without waiting for threads, so that memory is released immediately.
        os._exit(0)


async def _serve(folder: Path, idle: float) -> None:
    token = secrets.token_urlsafe(32)
    models = ModelServer(token)
    for sign in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(sign, models.over.set)
    async with _listening(models) as port:
        _write_address(folder / ADDRESS, Address(pid=os.getpid(), port=port, token=token, source=source()))
        print(f"Model server listening on port {port}.", flush=True)
        while not models.over.is_set():
            if not models.busy and time.monotonic() - models.used_at > idle:
                break
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(models.over.wait(), min(1.0, idle))


@contextlib.asynccontextmanager
async def _listening(models: ModelServer) -> AsyncIterator[int]:
    runner = web.AppRunner(build_app(models), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def _write_address(file: Path, address: Address) -> None:
    new = file.with_suffix(".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(address.model_dump_json())
    os.replace(new, file)
