"""The model process: `python -m glan_core serve-models`. One on a machine (for each user of it) holds all weights that are
talked to, writes the answers, and ends when nobody asks it for a while.

It listens on 127.0.0.1 only, and every request must bear the token that lies, readable by its user alone, in the runtime
folder beside its address. `chat.process` starts it and is the one client.
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
from collections.abc import AsyncIterator
from pathlib import Path

from aiohttp import web

from glan_core.errors import GlanError
from glan_core.import_strings import load_symbol
from glan_core.models import reply_stream
from glan_core.models.model_specs import Pane, TurnSettings
from glan_core.models.server_client import ADDRESS, LOCK, Address, runtime_folder, source
from glan_core.settings import read_settings

MAX_BODY = 64 * 2**20
REMEMBERED = 100  # turns that have ended, which can still be asked about
RELEASE_SECONDS = 10.0  # that answers get to end in, when their memory is needed


class Models:
    """The handlers, and what they share. torch is imported when the first weights are asked for."""

    def __init__(self, token: str) -> None:
        self._authorization = f"Bearer {token}".encode()
        self._shelf = None
        self._pool = reply_stream.new_pool()
        self._turns: dict[str, reply_stream.Turn] = {}
        self._tasks: dict[str, asyncio.Task] = {}
        self._asked = 0
        self.used_at = time.monotonic()
        self.over = asyncio.Event()

    @property
    def busy(self) -> bool:
        """Whether anything is being written or looked for."""
        return bool(self._tasks or self._asked)

    def shelf(self):
        """The weights in memory."""
        if self._shelf is None:
            from glan_core.models.weights_cache import WeightsCache

            self._shelf = WeightsCache()
        return self._shelf

    @web.middleware
    async def guard(self, request: web.Request, handler) -> web.StreamResponse:
        """Nobody without the token is answered; what a person can mend is told."""
        sent = request.headers.get("Authorization", "").encode("utf-8", "replace")
        if not hmac.compare_digest(sent, self._authorization):
            return web.json_response({"error": "The token is missing or wrong."}, status=401)
        try:
            return await handler(request)
        except GlanError as error:
            return web.json_response({"error": str(error)}, status=400)

    async def status(self, request: web.Request) -> web.Response:
        """GET /status: what is held and written."""
        held = self._shelf.what() if self._shelf else []
        idle = 0 if self.busy else time.monotonic() - self.used_at
        return web.json_response({"pid": os.getpid(), "held": held, "writing": len(self._tasks), "idle": idle})

    async def begin(self, request: web.Request) -> web.StreamResponse:
        """POST /turns: have something answered; with 'stream', as JSON lines while it is written, until the reader leaves."""
        body = await request.json()
        settings = read_settings(TurnSettings, body["order"])
        self.used_at = time.monotonic()
        shelf = self.shelf() if any(not pane.teacher for pane in settings.panes) else None
        turn = self._turns[settings.id] = reply_stream.Turn(settings, body.get("key", ""), shelf, self._pool)
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
        """GET /turns/ID: how far it is."""
        turn = self._turns.get(request.match_info["id"])
        return web.json_response(turn.picture()) if turn else web.json_response({"error": "No such turn."}, status=404)

    async def stop(self, request: web.Request) -> web.Response:
        """POST /turns/ID/stop: end it with what is written."""
        if turn := self._turns.get(request.match_info["id"]):
            turn.stop()
        return web.json_response({})

    async def self_test(self, request: web.Request) -> web.Response:
        """POST /self-test: do the panes run the weights that they say?"""

        def test() -> dict:
            self_test = load_symbol("glan_core.chat.self_test:self_test")
            from glan_core.models.weights_cache import PaneFault

            try:
                return self_test(self.shelf(), panes)
            except PaneFault as fault:
                raise GlanError(str(fault)) from None
            except Exception as error:
                raise GlanError(reply_stream.explained(error)) from error

        panes = [read_settings(Pane, pane) for pane in (await request.json())["panes"]]
        with self._used():
            return web.json_response(await asyncio.get_running_loop().run_in_executor(self._pool, test))

    async def nearest(self, request: web.Request) -> web.Response:
        """POST /nearest: the training rows nearest to an answer."""

        def find() -> dict:
            return load_symbol("glan_core.chat.training_attribution:nearest_rows")(**body)

        body = await request.json()
        with self._used():
            return web.json_response(await asyncio.get_running_loop().run_in_executor(self._pool, find))

    async def release(self, request: web.Request) -> web.Response:
        """POST /release: end every answer with what is written, then this process, and with it all its memory."""
        for id in list(self._tasks):
            self._turns[id].stop(reply_stream.NEEDED)
        if self._tasks:
            await asyncio.wait(list(self._tasks.values()), timeout=RELEASE_SECONDS)
        self.over.set()
        return web.json_response({})

    @contextlib.contextmanager
    def _used(self):
        self._asked += 1
        try:
            yield
        finally:
            self._asked -= 1
            self.used_at = time.monotonic()


def build_app(models: Models) -> web.Application:
    """The process as an aiohttp application."""
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
    """Serve until nobody has asked for `idle` seconds, or until told to end. Returns at once where another one serves."""
    folder = runtime_folder()
    with (folder / LOCK).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        asyncio.run(_serve(folder, idle))
        (folder / ADDRESS).unlink(missing_ok=True)
        # The memory is given back now, not when the last thread has noticed that it is over.
        os._exit(0)


async def _serve(folder: Path, idle: float) -> None:
    token = secrets.token_urlsafe(32)
    models = Models(token)
    for sign in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(sign, models.over.set)
    async with _listening(models) as port:
        _write_address(folder / ADDRESS, Address(pid=os.getpid(), port=port, token=token, source=source()))
        print(f"The model process listens at port {port}.", flush=True)
        while not models.over.is_set():
            if not models.busy and time.monotonic() - models.used_at > idle:
                break
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(models.over.wait(), min(1.0, idle))


@contextlib.asynccontextmanager
async def _listening(models: Models) -> AsyncIterator[int]:
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
