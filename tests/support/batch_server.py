"""A double of the file and batch endpoints of OpenAI, over HTTP; its state outlives the clients.

Every poll moves a batch one status further. Replies are those of the scripted teacher, or of `answer`, in a shuffled order.
"""

import json
import random
import time
from collections import Counter
from collections.abc import Callable

from aiohttp import web
from support.runs import Served

from glan_core.teachers.contract import estimate_tokens
from glan_core.teachers.scripted import scripted_teacher

COURSE = ("validating", "in_progress", "finalizing", "completed")
LOST = "lost"  # the request is carried out and its response is lost

# Reaction to a request line: None (the default reply), a text, or (status, error body).
Answer = Callable[[str, dict], "str | tuple[int, dict] | None"]


class BatchServer:
    """State and handlers of the endpoint.

    Attributes:
        answer: `answer(custom_id, body)` may return another reply or an error.
        ends: Final status by number of the batch, from 1: 'expired' answers the first half only, 'failed' nothing.
        reject: Error (code, message) of batches that fail, by number of the batch; a function of its requests may decide.
        faults: Statuses, or `LOST`, of the next requests by 'POST /files', 'GET /batches/ID' and so on.
        submitted: Uploads and created batches.
        served: Replies by stage, record and chat, which is the part of a custom id behind the batch.
    """

    def __init__(self, answer: Answer | None = None, seed: int = 0) -> None:
        self.answer = answer
        self.ends: dict[int, str] = {}
        self.reject: Callable[[list[dict]], tuple[str, str] | None] | None = None
        self.faults: dict[str, list[int | str]] = {}
        self.files: dict[str, dict] = {}
        self.batches: dict[str, dict] = {}
        self.submitted: Counter[str] = Counter()
        self.served: Counter[str] = Counter()
        self.requests: Counter[str] = Counter()
        self.cuts: list[int] = []  # bytes that the next downloads lack
        self.held = False  # batches stay in progress
        self._random = random.Random(seed)

    def serving(self) -> Served:
        """Serve this endpoint, within a block."""
        return Served(self.handle, everything=True)

    def lines(self, number: int) -> list[dict]:
        """Return the requests of a batch by its number."""
        return _rows(self.files[list(self.batches.values())[number - 1]["input_file_id"]]["content"])

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Handle any request."""
        path = request.path.removeprefix("/v1")
        parts = path.strip("/").split("/")
        known = parts[1:2] and parts[1] in (*self.files, *self.batches)
        name = f"{request.method} /{'/'.join([parts[0], 'ID', *parts[2:]] if known else parts)}"
        self.requests[name] += 1
        fault = self.faults[name].pop(0) if self.faults.get(name) else None
        if isinstance(fault, int):
            error = {"message": f"fault {fault}", "code": "invalid_api_key" if fault == 401 else None}
            return web.json_response({"error": error}, status=fault)
        response = await self._respond(name, parts, request)
        if fault == LOST:
            request.transport.abort()
        return response

    async def _respond(self, name: str, parts: list[str], request: web.Request) -> web.Response:
        match name:
            case "POST /files":
                return await self._upload(request)
            case "GET /files":
                return _page(list(self.files.values()), request)
            case "GET /files/ID/content":
                content = self.files[parts[1]]["content"]
                cut = self.cuts.pop() if self.cuts else 0
                return web.Response(body=content[: len(content) - cut])
            case "POST /batches":
                return self._create(await request.json())
            case "GET /batches":
                return _page(list(self.batches.values()), request)
            case "GET /batches/ID":
                return web.json_response(_shown(self._moved(self.batches[parts[1]])))
            case "POST /batches/ID/cancel":
                batch = self.batches[parts[1]]
                if batch["status"] in ("completed", "expired", "failed", "cancelled"):
                    return web.json_response({"error": {"message": "it has ended"}}, status=400)
                batch["status"] = "cancelling"
                return web.json_response(_shown(batch))
        return web.json_response({"error": {"message": f"there is no {name}"}}, status=404)

    async def _upload(self, request: web.Request) -> web.Response:
        form = await request.post()
        assert form["purpose"] == "batch"
        content, filename = form["file"].file.read(), form["file"].filename
        self.submitted["files"] += 1
        return web.json_response(_shown(self._file(content, filename)))

    def _file(self, content: bytes, filename: str) -> dict:
        id = f"file-{len(self.files) + 1}"
        self.files[id] = {"id": id, "object": "file", "bytes": len(content), "filename": filename, "purpose": "batch",
                          "content": content}  # fmt: skip
        return self.files[id]

    def _create(self, asked: dict) -> web.Response:
        assert asked["endpoint"] == "/v1/chat/completions" and asked["completion_window"] == "24h"
        assert all(isinstance(value, str) and len(value) <= 512 for value in asked["metadata"].values())
        rows = _rows(self.files[asked["input_file_id"]]["content"])
        assert len({row["custom_id"] for row in rows}) == len(rows) <= 50_000
        assert len({row["body"]["model"] for row in rows}) == 1, "a batch has one model"
        assert all(len(row["custom_id"]) <= 64 for row in rows)
        self.submitted["batches"] += 1
        id = f"batch_{len(self.batches) + 1}"
        self.batches[id] = batch = {
            "id": id, "object": "batch", "status": "validating", "input_file_id": asked["input_file_id"], "metadata": asked["metadata"],
            "created_at": int(time.time()), "request_counts": {"total": len(rows), "completed": 0, "failed": 0},
            "output_file_id": None, "error_file_id": None, "errors": None, "number": len(self.batches) + 1,
        }  # fmt: skip
        return web.json_response(_shown(batch))

    def _moved(self, batch: dict) -> dict:
        """Move a batch one status further."""
        rows = _rows(self.files[batch["input_file_id"]]["content"])
        if batch["status"] == "cancelling":
            self._end(batch, rows, "cancelled")
        elif batch["status"] == "validating" and self.reject and (error := self.reject(rows)):
            batch["errors"] = {"data": [{"code": error[0], "message": error[1]}]}
            batch["status"] = "failed"
        elif batch["status"] in COURSE[:-1] and not (self.held and batch["status"] == "in_progress"):
            status = COURSE[COURSE.index(batch["status"]) + 1]
            if status == "completed":
                self._end(batch, rows, self.ends.get(batch["number"], "completed"))
            else:
                batch["status"] = status
        return batch

    def _end(self, batch: dict, rows: list[dict], status: str) -> None:
        batch["status"] = status
        self._random.shuffle(rows)
        half = len(rows) // 2
        done, left = (rows, []) if status == "completed" else (rows[:half], rows[half:])
        replies, errors = [], []
        for row in done:
            line, ok = self._answered(row)
            (replies if ok else errors).append(line)
        code = "batch_expired" if status == "expired" else "batch_cancelled"
        errors += [
            {"id": "r", "custom_id": row["custom_id"], "response": None, "error": {"code": code, "message": "not executed"}}
            for row in left
        ]
        batch["request_counts"] |= {"completed": len(replies), "failed": len(errors)}
        for name, lines in (("output_file_id", replies), ("error_file_id", errors)):
            if lines:
                batch[name] = self._file(b"".join(json.dumps(line).encode() + b"\n" for line in lines), name)["id"]

    def _answered(self, row: dict) -> tuple[dict, bool]:
        """Return the line of results of a request, and whether it is a reply."""
        reply = self.answer(row["custom_id"], row["body"]) if self.answer else None
        if isinstance(reply, tuple):
            status, body = reply
        else:
            self.served[row["custom_id"].partition("-")[2]] += 1
            status, body = 200, completion_body(row["body"], reply)
        response = {"status_code": status, "request_id": "r", "body": body}
        return {"id": "r", "custom_id": row["custom_id"], "response": response, "error": None}, status == 200


def completion_body(body: dict, text: str | None = None) -> dict:
    """Return a chat completion with the scripted reply, or this text."""
    messages = body["messages"]
    text = scripted_teacher.answer(messages) if text is None else text
    tokens_in = sum(estimate_tokens(message["content"]) for message in messages)
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": tokens_in, "completion_tokens": estimate_tokens(text)}
    return {"id": "c", "model": body["model"], "choices": [choice], "usage": usage}


def _rows(content: bytes) -> list[dict]:
    return [json.loads(line) for line in content.splitlines()]


def _shown(entry: dict) -> dict:
    return {name: value for name, value in entry.items() if name not in ("content", "number")}


def _page(entries: list[dict], request: web.Request) -> web.Response:
    """Return a page of a list, newest first, of at most 2 entries."""
    newest = entries[::-1]
    ids = [entry["id"] for entry in newest]
    start = ids.index(request.query["after"]) + 1 if "after" in request.query else 0
    page = newest[start : start + 2]
    return web.json_response({"object": "list", "data": [_shown(entry) for entry in page], "has_more": start + 2 < len(newest)})
