"""The embedder behind an OpenAI-compatible /v1/embeddings endpoint."""

import asyncio
import json
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING

from glan_core.errors import GlanError
from glan_core.teachers import wire_format
from glan_core.teachers.contract import TeacherBusy, TeacherError, TeacherFault, TeacherRefusal
from glan_core.teachers.http_teacher import TIMEOUT, endpoint, key_from_environment, proxy_of

if TYPE_CHECKING:
    import aiohttp
    import numpy as np

BATCH = 64  # texts of a request
IN_FLIGHT = 8
TRIES = 7
LONGEST = 20_000  # characters of a text: what fits 8,192 tokens in most languages
BACKOFF = 0.5  # seconds before the first repetition where the endpoint names no wait


class RemoteEmbedder:
    """Asks one model of one endpoint, eight requests at a time; what is busy or fails for a while is asked again.

    The key comes from OPENAI_API_KEY alone. GlanError when the endpoint can't be used.
    """

    def __init__(self, model: str, base_url: str | None = None) -> None:
        self.model, self.name = model, f"openai:{model}"
        self.url, self._key = endpoint(base_url), key_from_environment()
        if self.url == wire_format.OPENAI_URL and not self._key:
            raise TeacherError("OPENAI_API_KEY is not set. Set it, or give the address of an endpoint that needs none.")
        self.dim = len(self.embed(["How long is a vector?"])[0])
        self.about = f"Made by {model} at {self.url}: it measures what questions mean, as this model sees it."

    def embed(self, texts: Sequence[str]) -> "np.ndarray":
        """See Embedder. A text is cut after 20,000 characters."""
        from glan_core.diversity.embedders import unit_rows

        return unit_rows(asyncio.run(self._all([text[:LONGEST] or " " for text in texts])))

    async def _all(self, texts: list[str]) -> list[list[float]]:
        import aiohttp

        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {self._key}"} if self._key else {})
        turn = asyncio.Semaphore(IN_FLIGHT)
        async with aiohttp.ClientSession(headers=headers, timeout=TIMEOUT, proxy=proxy_of(self.url)) as session:
            requests = [self._insist(session, turn, texts[n : n + BATCH]) for n in range(0, len(texts), BATCH)]
            return [row for part in await asyncio.gather(*requests) for row in part]

    async def _insist(self, session: "aiohttp.ClientSession", turn: asyncio.Semaphore, texts: list[str]) -> list[list[float]]:
        """The vectors of one request, asked again while that can help."""
        async with turn:
            for nth in range(TRIES):
                try:
                    return await self._ask(session, texts)
                except (TeacherBusy, TeacherFault) as error:
                    said, wait = str(error), error.retry_after
                except TeacherRefusal as error:
                    raise GlanError(str(error)) from None
                if nth < TRIES - 1:
                    await asyncio.sleep(BACKOFF * 2**nth * random.uniform(0.7, 1.3) if wait is None else wait)
        raise GlanError(f"{said} It was asked {TRIES} times; what is embedded is kept: go on later.")

    async def _ask(self, session: "aiohttp.ClientSession", texts: list[str]) -> list[list[float]]:
        import aiohttp

        body = json.dumps({"model": self.model, "input": texts, "encoding_format": "float"}).encode()
        try:
            async with session.post(f"{self.url}/embeddings", data=body, allow_redirects=False) as response:
                raw, status = await response.read(), response.status
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise TeacherFault(
                f"{self.url} cannot be reached: {wire_format.redact(str(error) or 'no answer', self._key)}."
            ) from None
        if status != 200:
            raise wire_format.error_of(status, raw, response.headers, where=self.url, model=self.model, key=self._key)
        return read_vectors(raw, len(texts))


def read_vectors(raw: bytes, number: int) -> list[list[float]]:
    """The vectors in a 200 response, in the order of their texts; TeacherFault when it does not hold one for each."""
    try:
        items = {int(item["index"]): [float(value) for value in item["embedding"]] for item in json.loads(raw)["data"]}
        rows = [items[n] for n in range(number)]
    except (ValueError, KeyError, TypeError, IndexError, RecursionError):
        raise TeacherFault("The response was cut or holds no embeddings.") from None
    if len({len(row) for row in rows}) != 1 or not rows[0]:
        raise TeacherFault("The response holds embeddings of different lengths.")
    return rows
