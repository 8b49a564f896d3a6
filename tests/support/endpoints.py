"""Endpoints with one habit each, and a teacher that asks them."""

import asyncio
import json

from aiohttp import web
from support.runs import Served

from glan_core.teachers.contract import (
    DecodingParams,
)
from glan_core.teachers.endpoint_settings import EndpointSettings
from glan_core.teachers.http_teacher import HttpTeacher

CHAT = [{"role": "user", "content": "What is 2 + 2?"}]
LIMITED = DecodingParams(0.7, 0.95, 100)


def ask(handle, decoding=LIMITED, times: int = 1, model: str = "m", path: str = "", stream: bool = False, **settings):
    """Ask a served handler `times` times with one teacher; return the last reply or error, and the teacher."""

    async def run(url):
        teacher = HttpTeacher(model, settings=EndpointSettings(base_url=url, **settings))
        result = None
        try:
            for _ in range(times):
                try:
                    if stream:
                        [*pieces, result] = [item async for item in teacher.stream(CHAT, decoding)]
                        assert all(isinstance(piece, str) for piece in pieces)
                    else:
                        result = await teacher.reply(CHAT, decoding)
                except Exception as error:
                    result = error
            return result, teacher
        finally:
            await teacher.close()

    with Served(handle, everything=True) as served:
        return asyncio.run(run(served.url.removesuffix("/v1") + path if path else served.url))


def always(status: int, body, **headers):
    """Return a handler with one response."""

    async def handle(request):
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return web.Response(status=status, body=raw, headers=headers)

    return handle
