"""Streaming readers of JSON lines and large JSON lists, with one row in memory at a time."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from glan_core.errors import GlanError

CHUNK = 1 << 16  # characters read at a time


def lines(file: Path) -> Iterator[tuple[str, dict]]:
    """Iterate over ('Line 7', row) for each nonempty line.

    Raises:
        GlanError: If a line is not a JSON object; the message names it.
    """
    with file.open(encoding="utf-8-sig", newline="\n") as handle:
        for number, line in enumerate(handle, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                raise GlanError(f"Line {number:,} of {file.name} is not JSON.") from None
            if not isinstance(row, dict):
                raise GlanError(f"Line {number:,} of {file.name} is not a JSON object.")
            yield f"Line {number:,}", row


def items(file: Path) -> Iterator[tuple[str, dict]]:
    """Iterate over ('Row 7', row) of a JSON list of objects, or of an object that contains such a list.

    Raises:
        GlanError: If the file or a row is not valid; the message names the row.
    """
    with file.open(encoding="utf-8-sig") as handle:
        text = _Text(handle)
        number = 0
        try:
            _enter_list(text)
            while text.peek() != "]":
                number += 1
                row = text.value()
                if not isinstance(row, dict):
                    raise GlanError(f"Row {number:,} of {file.name} is not a JSON object.")
                yield f"Row {number:,}", row
                if text.peek() == ",":
                    text.skip()
                elif text.peek() != "]":
                    raise ValueError
        except (ValueError, RecursionError) as error:
            if isinstance(error, UnicodeDecodeError):
                raise
            where = f"Row {number:,} of {file.name}" if number else file.name
            raise GlanError(f"{where} is not JSON. Use a list of rows or one row per line.") from None


def _enter_list(text: "_Text") -> None:
    """Move behind the opening bracket of the list of rows."""
    if text.peek() == "{":
        text.skip()
        while text.peek() == '"':
            text.value()
            if text.peek() != ":":
                raise ValueError
            text.skip()
            if text.peek() == "[":
                break
            text.value()
            if text.peek() == ",":
                text.skip()
    if text.peek() != "[":
        raise ValueError
    text.skip()


class _Text:
    """A window on a long JSON text that advances as values are read."""

    def __init__(self, handle: TextIO) -> None:
        self._handle, self._text, self._at = handle, "", 0
        self._decode = json.JSONDecoder().raw_decode

    def peek(self) -> str:
        """Return the next nonspace character.

        Raises:
            ValueError: If the text ends.
        """
        while True:
            while self._at < len(self._text):
                if not self._text[self._at].isspace():
                    return self._text[self._at]
                self._at += 1
            if not self._more(CHUNK):
                raise ValueError("unexpected end of text")

    def skip(self) -> None:
        """Skip the character returned by `peek`."""
        self._at += 1

    def value(self) -> object:
        """Read the next JSON value.

        Raises:
            ValueError: If there is none.
        """
        self.peek()
        size = CHUNK
        while True:
            try:
                value, end = self._decode(self._text, self._at)
                if end < len(self._text):  # a number at the end of the window may continue
                    self._at = end
                    return value
            except ValueError:
                if len(self._text) - self._at > 1 << 28:
                    raise  # too long for a row: the text is malformed
            if not self._more(size):
                value, self._at = self._decode(self._text, self._at)
                return value
            size *= 2  # doubling keeps the number of retries small

    def _more(self, size: int) -> bool:
        chunk = self._handle.read(size)
        self._text, self._at = self._text[self._at :] + chunk, 0
        return bool(chunk)
