"""The line format of batches, common to OpenAI's Batch API and to `vllm run_batch`: requests and results, one JSON object per line."""

import json
from dataclasses import dataclass
from typing import Any

from glan_core.json_text import parse_json
from glan_core.teachers.endpoint_errors import SUCCESS

CHAT_URL = "/v1/chat/completions"  # of every request, whatever the address of the endpoint
MAX_REQUESTS = 50_000  # of a file of OpenAI
MAX_BYTES = 200_000_000  # of a file of OpenAI
NOT_PROCESSED = ("batch_expired", "batch_cancelled")  # codes of requests that the endpoint did not get to


@dataclass(frozen=True, slots=True)
class ResultLine:
    """One line of results.

    Attributes:
        custom_id: Id of the request.
        status: HTTP status of the response; that of the error, or 500, if there is no response.
        body: Body of the response, or the error in the form of an error response.
        code: Code of the error, '' if there is none.
        size: Bytes of the line.
    """

    custom_id: str
    status: int
    body: dict[str, Any]
    code: str = ""
    size: int = 0

    @property
    def ok(self) -> bool:
        """Whether the line holds a reply."""
        return self.status in SUCCESS and not self.body.get("error")

    @property
    def processed(self) -> bool:
        """Whether the endpoint processed the request."""
        return self.code not in NOT_PROCESSED


def request_line(custom_id: str, body: dict[str, Any]) -> bytes:
    """Return the line of a request."""
    return json.dumps({"custom_id": custom_id, "method": "POST", "url": CHAT_URL, "body": body}).encode() + b"\n"


def read_result(line: bytes) -> ResultLine | None:
    """Parse a line of results; None if it is not one, such as a truncated last line."""
    try:
        row = parse_json(line)
    except ValueError:
        return None
    if not isinstance(row, dict) or not isinstance(row.get("custom_id"), str):
        return None
    response, error = row.get("response"), row.get("error")
    response = response if isinstance(response, dict) else {}
    body = response.get("body")
    if isinstance(body, str):
        try:
            body = parse_json(body)
        except ValueError:
            body = {}
    body = body if isinstance(body, dict) else {}
    status = response.get("status_code")
    status = status if type(status) is int else 0
    if error:
        error = error if isinstance(error, dict) else {"message": str(error)}
        code = str(error.get("code") or error.get("type") or "")
        numbers = [value for value in (error.get("code"), status) if type(value) is int and 400 <= value < 600]
        return ResultLine(row["custom_id"], numbers[0] if numbers else 500, {"error": error}, code, len(line))
    return ResultLine(row["custom_id"], status or (200 if body.get("choices") else 500), body, size=len(line))
