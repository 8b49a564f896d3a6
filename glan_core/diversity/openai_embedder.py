"""Embedder for OpenAI-compatible `/v1/embeddings` endpoints."""

import asyncio
import json
import random
from collections.abc import Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING

from glan_core.errors import GlanError
from glan_core.formatting import plural
from glan_core.http_client import HttpClient
from glan_core.http_transfer import HttpError
from glan_core.teachers.contract import TeacherBusy, TeacherError, TeacherFault, TeacherRefusal
from glan_core.teachers.endpoint_errors import SUCCESS, error_of, redact
from glan_core.teachers.endpoint_settings import endpoint, key_from_environment
from glan_core.teachers.wire_format import ENVELOPE, OPENAI_URL

if TYPE_CHECKING:
    import numpy as np

BATCH = 64  # texts per request
IN_FLIGHT = 8
TRIES = 7
LONGEST = 20_000  # characters per text: fits 8,192 tokens in most languages
VECTOR_BYTES = 524_288  # of the JSON of one vector: 16,384 numbers of 32 characters
SECONDS = 600  # of a request
MAX_WAIT = 300.0  # seconds that a request waits as the endpoint asks; after that the job ends and can be started again
BACKOFF = 0.5  # seconds before the first retry if the endpoint does not state a wait


class OpenAIEmbedder:
    """Embeds texts with a model of an endpoint, with eight concurrent requests and retries.

    The API key is read from the environment variable OPENAI_API_KEY only.

    Raises:
        GlanError: If the endpoint cannot be used.
    """

    def __init__(self, model: str, base_url: str | None = None) -> None:
        self.model, self.name = model, f"openai:{model}"
        self.url, self._key = endpoint(base_url), key_from_environment()
        if self.url == OPENAI_URL and not self._key:
            raise TeacherError("OPENAI_API_KEY is not set. Set it, or use an endpoint that needs no key.")
        self.dim = 0  # not known yet
        self.dim = len(self.embed(["Embedding dimension probe"])[0])
        self.about = f"Embedded with {model} at {self.url}: it measures similarity of meaning as this model sees it."

    def embed(self, texts: Sequence[str]) -> "np.ndarray":
        """Embed texts, truncated to 20,000 characters.

        Raises:
            GlanError: If the endpoint fails, or returns vectors of another dimension than before.
        """
        import numpy as np

        from glan_core.diversity.embedders import unit_rows

        rows = asyncio.run(self._all([text[:LONGEST] or " " for text in texts]))
        dims = {len(row) for row in rows} | ({self.dim} if self.dim else set())
        if len(dims) > 1:
            raise GlanError(
                f"{self.url} returns vectors of different dimensions ({', '.join(map(str, sorted(dims)))}) for {self.model}. Check that "
                "all of its replicas serve the same model."
            )
        return unit_rows(np.array(rows, dtype=np.float32))

    async def _all(self, texts: list[str]) -> list[list[float]]:
        limit = asyncio.Semaphore(IN_FLIGHT)
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        async with aclosing(HttpClient(self.url, headers, total=SECONDS)) as client:
            requests = [self._retry(client, limit, texts[n : n + BATCH]) for n in range(0, len(texts), BATCH)]
            return [row for part in await asyncio.gather(*requests) for row in part]

    async def _retry(self, client: HttpClient, limit: asyncio.Semaphore, texts: list[str]) -> list[list[float]]:
        """Send one request, retrying transient errors."""
        message = ""
        async with limit:
            for nth in range(TRIES):
                try:
                    return await self._ask(client, texts)
                except (TeacherBusy, TeacherFault) as error:
                    message, wait = str(error), error.retry_after
                except TeacherRefusal as error:
                    raise GlanError(str(error)) from None
                if wait is not None and wait > MAX_WAIT:
                    raise GlanError(
                        f"{message} It asks to wait {wait:,.0f} s. Stored vectors are kept; start the run again then."
                    )
                if nth < TRIES - 1:
                    await asyncio.sleep(BACKOFF * 2**nth * random.uniform(0.7, 1.3) if wait is None else wait)
        raise GlanError(f"{message} Gave up after {TRIES} attempts. Stored vectors are kept; start the run again later.")

    async def _ask(self, client: HttpClient, texts: list[str]) -> list[list[float]]:
        body = json.dumps({"model": self.model, "input": texts, "encoding_format": "float"}).encode()
        most = ENVELOPE + VECTOR_BYTES * len(texts)
        try:
            response = await client.request(f"{self.url}/embeddings", body, most=most)
        except HttpError as error:
            raise TeacherFault(f"{self.url} cannot be reached: {redact(str(error), self._key)}.") from None
        status, raw = response.status, response.body
        if len(raw) > most:
            raise TeacherFault(f"{self.url} sent more than {plural(len(texts), 'vector')} can have.")
        if status not in SUCCESS:
            raise error_of(status, raw, response.headers, where=self.url, model=self.model, secrets=(self._key,))
        return parse_embeddings(raw, len(texts))


def parse_embeddings(raw: bytes, number: int) -> list[list[float]]:
    """Parse the vectors of a successful response, in the order of the texts.

    Raises:
        TeacherFault: If the response does not contain one vector per text.
    """
    try:
        items = {int(item["index"]): [float(value) for value in item["embedding"]] for item in json.loads(raw)["data"]}
        rows = [items[n] for n in range(number)]
    except (ValueError, KeyError, TypeError, IndexError, OverflowError, RecursionError):
        raise TeacherFault("The response was truncated or contains no embeddings.") from None
    if len({len(row) for row in rows}) != 1 or not rows[0]:
        raise TeacherFault("The response contains embeddings of different dimensions.")
    return rows
