"""The scripted teacher as a local OpenAI-compatible endpoint with configurable latency and faults.

For tests, demos and benchmarks of clients. The fault schedule is deterministic, so a run of n requests meets a known number
of faults; `/stats` and `/requests` report what the endpoint received.
"""

import asyncio
import errno
import hashlib
import hmac
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Any

from aiohttp import web

from glan_core.errors import GlanError
from glan_core.teachers.contract import Message, estimate_tokens
from glan_core.teachers.scripted.faults import Faults, Schedule
from glan_core.teachers.scripted.scripted_teacher import MODEL, answer, cut, pieces

MAX_BODY = 16 * 2**20
EVENT_STREAM = "text/event-stream"
SHORTEST_PAUSE = 0.01  # minimum seconds between the pieces of a slow stream
ERROR_TYPES = {401: "authentication_error", 429: "rate_limit_error", 500: "server_error"}
BIND_FAILURES = {errno.EADDRINUSE: "is already in use", errno.EACCES: "requires additional privileges"}


@dataclass
class Stats:
    """Request counts; each chat request is served, refused (4xx other than 429) or fails with one type of fault."""

    requests: int = 0
    served: int = 0
    refused: int = 0
    fault_429: int = 0
    fault_500: int = 0
    fault_reset: int = 0
    fault_cut: int = 0
    in_flight: int = 0
    max_in_flight: int = 0

    def enter(self) -> None:
        """Count an incoming request."""
        self.requests += 1
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)

    def fault(self, kind: str) -> None:
        """Count a fault of this type."""
        name = f"fault_{kind}"
        setattr(self, name, getattr(self, name) + 1)


class BadRequest(Exception):
    """A rejected request with the fields of OpenAI's error object."""

    def __init__(self, status: int, message: str, *, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param


@dataclass(frozen=True)
class Call:
    """A valid chat request."""

    messages: list[Message]
    max_tokens: int
    stream: bool
    include_usage: bool


class Endpoint:
    """Handlers and state of one server."""

    def __init__(self, faults: Faults, latency_ms: float, seed: int, api_key: str | None, *, record: bool) -> None:
        self.faults = faults
        self.schedule = Schedule(faults, seed)
        self.latency = latency_ms / 1000
        self.authorization = f"Bearer {api_key}".encode() if api_key else None
        self.stats = Stats()
        self.seen: Counter[str] | None = Counter() if record else None

    async def chat(self, request: web.Request) -> web.StreamResponse:
        """Handle POST /v1/chat/completions."""
        self.stats.enter()
        try:
            self._check_key(request)
            call = _parse_call(await _body(request))
            fault = self.schedule.next()
            if self.latency and (fault or not call.stream):
                await asyncio.sleep(self.latency)
            if fault:
                self.stats.fault(fault)
                return await self._fail(fault, request, call)
            return await self._serve(request, call)
        except BadRequest as refusal:
            self.stats.refused += 1
            return _error(refusal.status, str(refusal), code=refusal.code, param=refusal.param)
        finally:
            self.stats.in_flight -= 1

    async def models(self, request: web.Request) -> web.Response:
        """Handle GET /v1/models."""
        try:
            self._check_key(request)
        except BadRequest as refusal:
            return _error(refusal.status, str(refusal), code=refusal.code)
        model = {"id": MODEL, "object": "model", "created": 0, "owned_by": "glan-studio"}
        return _json({"object": "list", "data": [model]})

    async def show_stats(self, request: web.Request) -> web.Response:
        """Handle GET /stats."""
        return _json(asdict(self.stats))

    async def show_requests(self, request: web.Request) -> web.Response:
        """Handle GET /requests."""
        if self.seen is None:
            return _error(404, "This server does not record requests; start it with record=True.")
        return _json(dict(self.seen))

    def _check_key(self, request: web.Request) -> None:
        sent = request.headers.get("Authorization", "").encode("utf-8", "replace")
        if self.authorization and not hmac.compare_digest(sent, self.authorization):
            raise BadRequest(401, "The API key is missing or wrong.", code="invalid_api_key")

    async def _serve(self, request: web.Request, call: Call) -> web.StreamResponse:
        self.stats.served += 1
        if self.seen is not None:
            self.seen[fingerprint(call.messages)] += 1
        if not call.stream:
            return _json(_completion(call))
        response = web.StreamResponse(headers={"Content-Type": EVENT_STREAM, "Cache-Control": "no-cache"})
        await response.prepare(request)
        events, start = _events(call), time.monotonic()
        for number, event in enumerate(events, start=1):
            await response.write(event)
            ahead = start + self.latency * number / len(events) - time.monotonic()
            if ahead > SHORTEST_PAUSE:
                await asyncio.sleep(ahead)
        await response.write_eof()
        return response

    async def _fail(self, fault: str, request: web.Request, call: Call) -> web.StreamResponse:
        if fault == "429":
            wait = {"Retry-After": f"{self.faults.retry_after:g}"}
            return _error(429, "Too many requests.", code="rate_limit_exceeded", headers=wait)
        if fault == "500":
            return _error(500, "The server had an error; ask again.")
        if fault == "reset":
            if request.transport is not None:
                request.transport.abort()
            return web.Response()
        return await _cut_off(request, call)


def build_app(
    *,
    faults: Faults | None = None,
    latency_ms: float = 0,
    seed: int = 0,
    api_key: str | None = None,
    record: bool = False,
) -> web.Application:
    """Create the server as an aiohttp application.

    Args:
        faults: Fault rates.
        latency_ms: Delay of every reply, or duration of a stream, in milliseconds.
        seed: Seed of the fault schedule.
        api_key: Key that requests must send.
        record: Whether to count the served requests by fingerprint for `/requests`.
    """
    endpoint = Endpoint(faults or Faults(), latency_ms, seed, api_key, record=record)
    app = web.Application(client_max_size=MAX_BODY)
    app.router.add_post("/v1/chat/completions", endpoint.chat)
    app.router.add_get("/v1/models", endpoint.models)
    app.router.add_get("/stats", endpoint.show_stats)
    app.router.add_get("/requests", endpoint.show_requests)
    app.router.add_route("*", "/{path:.*}", _no_such_route)
    return app


@asynccontextmanager
async def serving(*, host: str = "127.0.0.1", port: int = 0, **settings: Any) -> AsyncIterator[str]:
    """Serve within the block and yield the base URL; settings as for `build_app`.

    Raises:
        GlanError: If the port cannot be used.
    """
    runner = web.AppRunner(build_app(**settings), access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise GlanError(_bind_failure(host, port, error)) from error
        address = f"[{host}]" if ":" in host else host
        yield f"http://{address}:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()


def run(host: str = "127.0.0.1", port: int = 8765, **settings: Any) -> None:
    """Serve until Ctrl-C and print the base URL; port 0 picks a free port.

    Raises:
        GlanError: If the port cannot be used.
    """
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve_until_stopped(host, port, settings))


async def _serve_until_stopped(host: str, port: int, settings: dict[str, Any]) -> None:
    async with serving(host=host, port=port, **settings) as base_url:
        print(f"The scripted teacher listens at {base_url}", flush=True)
        await asyncio.Event().wait()


def fingerprint(messages: Sequence[Message]) -> str:
    """Return a 16-digit hash of the messages of a request."""
    return hashlib.sha256(json.dumps(messages, sort_keys=True).encode()).hexdigest()[:16]


def _bind_failure(host: str, port: int, error: OSError) -> str:
    reason = BIND_FAILURES.get(error.errno or 0, f"cannot be used ({error.strerror or error})")
    return f"Port {port} on {host} {reason}. Choose another port, or 0 for any free one."


# ----------------------------------------------------------------------------------------------------------- requests


async def _body(request: web.Request) -> object:
    try:
        return json.loads(await request.read())
    except web.HTTPRequestEntityTooLarge:
        raise BadRequest(413, f"The body is larger than {MAX_BODY:,} bytes.") from None
    except (ValueError, RecursionError):
        raise BadRequest(400, "The body is not valid JSON.") from None


def _parse_call(body: object) -> Call:
    """Parse the body of a chat request; BadRequest names the invalid parameter."""
    if not isinstance(body, dict):
        raise BadRequest(400, "The body must be a JSON object.")
    if body.get("model") != MODEL:
        message = f"The model {body.get('model')!r} does not exist here; the only one is '{MODEL}'."
        raise BadRequest(404, message, code="model_not_found", param="model")
    if body.get("n") not in (None, 1):
        raise BadRequest(400, "Only one choice can be asked for.", param="n")
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadRequest(400, "'messages' must be a list with at least one message.", param="messages")
    options = body.get("stream_options")
    return Call(
        [_message(message, place) for place, message in enumerate(messages)],
        _max_tokens(body),
        bool(body.get("stream")),
        bool(isinstance(options, dict) and options.get("include_usage")),
    )


def _message(message: object, place: int) -> Message:
    """Parse one message; content parts are joined to plain text."""
    where = f"messages[{place}]"
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        raise BadRequest(400, f"'{where}' must be an object with a role.", param=where)
    content = message.get("content")
    if isinstance(content, list):
        content = "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    if not isinstance(content, str):
        raise BadRequest(400, f"'{where}.content' must be text.", param=f"{where}.content")
    return {"role": message["role"], "content": content}


def _max_tokens(body: dict) -> int:
    limit = body.get("max_completion_tokens")
    limit = body.get("max_tokens") if limit is None else limit
    if limit is None:
        return MAX_BODY
    if type(limit) is not int or limit < 1:
        raise BadRequest(400, "'max_tokens' must be a whole number of at least 1.", param="max_tokens")
    return limit


# ------------------------------------------------------------------------------------------------------------ replies


def _completion(call: Call) -> dict[str, object]:
    text, finish_reason = cut(answer(call.messages), call.max_tokens)
    message = {"role": "assistant", "content": text, "refusal": None}
    return {
        "id": "chatcmpl-scripted",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": MODEL,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason}],
        "usage": _usage(call, text),
    }


def _usage(call: Call, text: str) -> dict[str, int]:
    tokens_in = sum(estimate_tokens(message["content"]) for message in call.messages)
    tokens_out = estimate_tokens(text)
    return {"prompt_tokens": tokens_in, "completion_tokens": tokens_out, "total_tokens": tokens_in + tokens_out}


def _events(call: Call) -> list[bytes]:
    """Return the reply as server-sent events: role, words, finish reason, optional usage, [DONE]."""
    text, finish_reason = cut(answer(call.messages), call.max_tokens)
    head = {"id": "chatcmpl-scripted", "object": "chat.completion.chunk", "created": int(time.time()), "model": MODEL}
    deltas: list[dict[str, str]] = [{"role": "assistant", "content": ""}, *({"content": piece} for piece in pieces(text))]
    choices: list[dict[str, Any]] = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    choices.append({"index": 0, "delta": {}, "finish_reason": finish_reason})
    chunks: list[dict[str, Any]] = [{**head, "choices": [choice]} for choice in choices]
    if call.include_usage:
        chunks.append({**head, "choices": [], "usage": _usage(call, text)})
    return [*(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks), b"data: [DONE]\n\n"]


async def _cut_off(request: web.Request, call: Call) -> web.StreamResponse:
    """Send the first half of a reply with the length of the whole, then close the connection."""
    whole = b"".join(_events(call)) if call.stream else _encoded(_completion(call))
    response = web.StreamResponse(headers={"Content-Type": EVENT_STREAM if call.stream else "application/json"})
    response.content_length = len(whole)
    await response.prepare(request)
    await response.write(whole[: len(whole) // 2])
    if request.transport is not None:
        request.transport.close()
    return response


async def _no_such_route(request: web.Request) -> web.Response:
    return _error(404, f"There is no {request.method} {request.path} here.")


def _error(
    status: int,
    message: str,
    *,
    code: str | None = None,
    param: str | None = None,
    headers: dict[str, str] | None = None,
) -> web.Response:
    kind = ERROR_TYPES.get(status, "invalid_request_error")
    return _json({"error": {"message": message, "type": kind, "param": param, "code": code}}, status, headers)


def _json(value: object, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(body=_encoded(value), status=status, headers=headers, content_type="application/json")


def _encoded(value: object) -> bytes:
    # Lone surrogates in a message must not break the reply, hence ASCII escapes.
    return json.dumps(value).encode()
