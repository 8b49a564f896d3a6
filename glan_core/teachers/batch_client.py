"""Client of the Batch API of an OpenAI-compatible endpoint: files and batches, over the connections of a teacher."""

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from glan_core.http_client import Form
from glan_core.json_text import parse_json
from glan_core.teachers.batch_format import CHAT_URL
from glan_core.teachers.contract import TeacherError, TeacherFault
from glan_core.teachers.endpoint_errors import read_error, redact
from glan_core.teachers.http_teacher import HttpTeacher
from glan_core.untrusted import clean_line

COMPLETION_WINDOW = "24h"
ENDED = ("completed", "failed", "expired", "cancelled")
TOKEN_LIMIT = "token_limit_exceeded"  # too many tokens wait in the batches of the organization
MAX_BYTES = 4_000_000  # of a response that is not a file of results
MAX_RESULTS = 4_000_000_000  # bytes of a file of results
PAGE = 100  # entries that one request for a list returns
MOST_PAGES = 100
MOST_ID = 300  # characters of an ID
MOST_COUNT = 10_000_000  # requests; a file of OpenAI has at most 50,000


@dataclass(frozen=True, slots=True)
class RemoteBatch:
    """A batch as the endpoint reports it.

    Attributes:
        status: 'validating', 'failed', 'in_progress', 'finalizing', 'completed', 'expired', 'cancelling' or 'cancelled'.
        completed: Completed requests, and `failed` those that failed.
        code: Code of the first error of a failed batch.
        message: Its message.
    """

    id: str
    status: str
    input_file_id: str
    metadata: Mapping[str, Any]
    completed: int = 0
    failed: int = 0
    output_file_id: str | None = None
    error_file_id: str | None = None
    code: str = ""
    message: str = ""

    @property
    def ended(self) -> bool:
        """Whether the endpoint works on it no longer."""
        return self.status in ENDED


class BatchUnknown(TeacherError):
    """The endpoint does not know the batch."""


class BatchClient:
    """Files and batches of the endpoint of a teacher.

    Methods raise as `HttpTeacher.reply` does: TeacherBusy and TeacherFault if they may be repeated, TeacherError and TeacherRefusal if
    that does not help.
    """

    def __init__(self, teacher: HttpTeacher) -> None:
        self._teacher = teacher
        if "?" in teacher.url:
            raise TeacherError(
                f"{teacher.url} is a classic Azure address, which has no Batch API that the studio can use. Use the address that ends in "
                "/openai/v1, or turn the Batch API off."
            )

    async def upload(self, path: Path, name: str) -> str:
        """Upload a request file under a name; return its id."""
        form = Form({"purpose": "batch"}, path, name, "application/jsonl")
        return self._text(await self._call("/files", form), "id")

    async def find_file(self, name: str, size: int) -> str | None:
        """Return the id of an uploaded request file with this name and size, None if there is none."""
        async for entry in self._list(f"/files?purpose=batch&limit={PAGE}"):
            if entry.get("filename") == name and entry.get("bytes") in (None, size) and entry.get("status") != "error":
                return self._text(entry, "id")
        return None

    async def create(self, file_id: str, metadata: Mapping[str, str]) -> RemoteBatch:
        """Create a batch from an uploaded file."""
        asked = {"input_file_id": file_id, "endpoint": CHAT_URL, "completion_window": COMPLETION_WINDOW, "metadata": metadata}
        return self._batch(await self._call("/batches", json.dumps(asked).encode()))

    async def find(self, file_id: str) -> RemoteBatch | None:
        """Return the batch that was created from an uploaded file, None if there is none."""
        async for entry in self._list(f"/batches?limit={PAGE}"):
            if entry.get("input_file_id") == file_id:
                return self._batch(entry)
        return None

    async def get(self, batch_id: str) -> RemoteBatch:
        """Return the present status of a batch."""
        return self._batch(await self._call(f"/batches/{quote(batch_id, safe='')}", unknown=batch_id))

    async def cancel(self, batch_id: str) -> None:
        """Ask for a batch to be cancelled."""
        await self._call(f"/batches/{quote(batch_id, safe='')}/cancel", b"{}", unknown=batch_id)

    async def download(self, file_id: str, path: Path) -> None:
        """Download a file of results."""
        url = f"{self._teacher.url}/files/{quote(file_id, safe='')}/content"
        status, raw = await self._teacher.download(url, path, MAX_RESULTS)
        if status == 404:
            raise TeacherError(
                f"{self._teacher.url} does not have the file {file_id} with the results of a batch. If it was deleted there, give the batch "
                "up with 'glan batch DIR discard ID'."
            )
        if status != 200:
            raise self._teacher.error(status, raw, {})

    async def _list(self, path: str) -> AsyncIterator[dict]:
        """Yield the entries of a list, newest first."""
        after = ""
        for _ in range(MOST_PAGES):
            answer = await self._call(f"{path}&after={quote(after, safe='')}" if after else path)
            entries = answer.get("data")
            if not isinstance(entries, list):
                raise TeacherFault(f"The response of {self._teacher.url} is not a list.")
            for entry in entries:
                if isinstance(entry, dict):
                    yield entry
            last = entries[-1].get("id") if entries and isinstance(entries[-1], dict) else None
            if not answer.get("has_more") or not last or last == after:
                return
            after = str(last)

    async def _call(self, path: str, data: bytes | Form | None = None, *, unknown: str = "") -> dict:
        """Send a request and return the JSON object of the response."""
        teacher = self._teacher
        response = await teacher.send(teacher.url + path, data, most=MAX_BYTES)
        if len(response.body) > MAX_BYTES:
            raise TeacherFault(f"The response of {teacher.url} is too large.")
        status, raw = response.status, teacher.secrets.raw(response.body)
        if status == 404 and unknown:
            raise BatchUnknown(
                f"{teacher.url} does not know the batch {unknown}. Check that the key belongs to the same project. If the batch was deleted "
                "there, give it up with 'glan batch DIR discard ID'."
            )
        if status in (404, 405, 501) and not read_error(raw).code.startswith("model"):
            raise TeacherError(
                f"{teacher.url} has no Batch API (status {status}). Turn the Batch API off, or write request files for an offline engine."
            )
        if not 200 <= status < 300:
            raise teacher.error(status, raw, response.headers)
        try:
            answer = parse_json(raw)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise TeacherFault(f"The response of {teacher.url} is not that of a Batch API.")
        return answer

    def _batch(self, entry: dict) -> RemoteBatch:
        counts = entry.get("request_counts")
        counts = counts if isinstance(counts, dict) else {}
        errors = entry.get("errors")
        listed = errors.get("data") if isinstance(errors, dict) else errors
        first = listed[0] if isinstance(listed, list) and listed and isinstance(listed[0], dict) else {}
        metadata = entry.get("metadata")
        return RemoteBatch(
            self._text(entry, "id"), self._text(entry, "status")[:40], str(entry.get("input_file_id") or ""),
            metadata if isinstance(metadata, dict) else {}, _count(counts.get("completed")), _count(counts.get("failed")),
            _id(entry.get("output_file_id")), _id(entry.get("error_file_id")), clean_line(str(first.get("code") or ""))[:80],
            clean_line(redact(str(first.get("message") or "")))[:500],
        )  # fmt: skip

    def _text(self, entry: dict, name: str) -> str:
        if (value := _id(entry.get(name))) is None:
            raise TeacherFault(f"The response of {self._teacher.url} has no {name}.")
        return value


def _count(value: object) -> int:
    """Return a number of requests; 0 for what can be none."""
    return value if type(value) is int and 0 <= value <= MOST_COUNT else 0


def _id(value: object) -> str | None:
    """Return what can be an ID or a status: one line of limited length without control characters."""
    return value if isinstance(value, str) and 0 < len(value) <= MOST_ID and clean_line(value) == value else None
