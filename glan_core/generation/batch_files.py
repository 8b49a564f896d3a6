"""Request files of batches and the files of their results, in the folder `batches` of a workspace."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from glan_core.errors import GlanError
from glan_core.json_text import parse_json
from glan_core.teachers.batch_format import MAX_BYTES, MAX_REQUESTS, ResultLine, read_result, request_line

FOLDER = "batches"
UNFINISHED = ".unfinished-"
MOST_LINE = 1 << 26  # bytes of a result: more than a reply of a million tokens has
TOO_LONG = b"too long"  # no result


def request_path(folder: Path, run_id: int, batch: int) -> Path:
    """Return the path of the request file of a batch, in a workspace folder."""
    return folder / FOLDER / f"run-{run_id}-batch-{batch}.jsonl"


def result_paths(requests: Path) -> tuple[Path, Path]:
    """Return the paths of the replies and of the errors of a batch, given that of its request file."""
    return requests.with_suffix(".output.jsonl"), requests.with_suffix(".errors.jsonl")


class RequestFile:
    """A request file that is being written; it appears under its name when it is finished.

    Args:
        path: Path of the file.
        most: Maximum number of requests.
    """

    def __init__(self, path: Path, most: int = MAX_REQUESTS) -> None:
        self.path, self._most = path, min(most, MAX_REQUESTS)
        self.count = self.size = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        self._new = path.with_name(f".{path.name}{UNFINISHED}{os.getpid()}")
        self._file = self._new.open("wb")
        self._hash = hashlib.sha256()

    def add(self, custom_id: str, body: dict) -> bool:
        """Add a request; return False if the file has no room for it."""
        line = request_line(custom_id, body)
        if self.count and (self.count >= self._most or self.size + len(line) > MAX_BYTES):
            return False
        self._file.write(line)
        self._hash.update(line)
        self.count, self.size = self.count + 1, self.size + len(line)
        return True

    def finish(self) -> str:
        """Put the file in its place; return its SHA-256."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        os.replace(self._new, self.path)
        _sync_folder(self.path.parent)
        return self._hash.hexdigest()

    def discard(self) -> None:
        """Delete the unfinished file."""
        self._file.close()
        self._new.unlink(missing_ok=True)


def remove_leftovers(path: Path) -> None:
    """Delete a request file that was not submitted, complete or not."""
    for found in (path, *path.parent.glob(f".{path.name}{UNFINISHED}*")):
        found.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make the name of a new file durable."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


class RequestIndex:
    """Bodies of the requests of a file by custom id; only their places are in memory.

    Raises:
        GlanError: If the file is missing or differs from what was sent.
    """

    def __init__(self, path: Path, file_hash: str) -> None:
        self._places: dict[str, int] = {}
        found, place = hashlib.sha256(), 0
        try:
            self._file = path.open("rb")
            for line in self._file:
                found.update(line)
                try:
                    self._places[parse_json(line)["custom_id"]] = place
                except (ValueError, KeyError, TypeError):
                    break  # the hash differs
                place += len(line)
        except OSError as error:
            raise GlanError(f"{path} cannot be read: {error.strerror}. {_ADVICE}") from None
        if found.hexdigest() != file_hash:
            self._file.close()
            raise GlanError(f"{path} was changed after it was written. {_ADVICE}")

    def body(self, custom_id: str) -> dict:
        """Return the body of a request."""
        self._file.seek(self._places[custom_id])
        return json.loads(self._file.readline())["body"]

    def close(self) -> None:
        """Close the file."""
        self._file.close()


_ADVICE = "Restore it from a backup, or give the batch up with 'glan batch DIR discard ID'."


def check_unchanged(path: Path, file_hash: str) -> None:
    """Check that a request file is as it was written.

    Raises:
        GlanError: If it is missing or differs.
    """
    RequestIndex(path, file_hash).close()


def lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield the place and content of each line; one with more than `MOST_LINE` bytes is skipped, and `TOO_LONG` stands for it."""
    place = 0
    while line := file.readline(MOST_LINE):
        at, place = place, place + len(line)
        if len(line) == MOST_LINE and not line.endswith(b"\n"):
            line = TOO_LONG
            while rest := file.readline(MOST_LINE):
                place += len(rest)
                if rest.endswith(b"\n"):
                    line += b"\n"
                    break
        yield at, line


def results(paths: Iterable[Path]) -> Iterator[ResultLine | None]:
    """Yield the lines of files of results, None for each that is not a result; files that do not exist are skipped."""
    for path in paths:
        if not path.exists():
            continue
        with path.open("rb") as file:
            for _, line in lines(file):
                if line.strip():
                    yield read_result(line)
