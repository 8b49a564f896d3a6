"""JSON lines, and long JSON lists, read row by row: memory holds one row at a time."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from glan_core.errors import GlanError

CHUNK = 1 << 16  # characters read at a time


def lines(file: Path) -> Iterator[tuple[str, dict]]:
    """('Line 7', row) of each line that holds one; GlanError naming the line when it is no JSON object."""
    with file.open(encoding="utf-8-sig", newline="\n") as handle:
        for number, line in enumerate(handle, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                raise GlanError(f"Line {number:,} of {file.name} is not JSON.") from None
            if not isinstance(row, dict):
                raise GlanError(f"Line {number:,} of {file.name} is no row with named columns.")
            yield f"Line {number:,}", row


def items(file: Path) -> Iterator[tuple[str, dict]]:
    """('Row 7', row) of a file that is a JSON list of objects, or an object that holds such a list under one of its names."""
    with file.open(encoding="utf-8-sig") as handle:
        text = _Text(handle)
        number = 0
        try:
            _enter_list(text)
            while text.peek() != "]":
                number += 1
                row = text.value()
                if not isinstance(row, dict):
                    raise GlanError(f"Row {number:,} of {file.name} is no row with named columns.")
                yield f"Row {number:,}", row
                if text.peek() == ",":
                    text.skip()
                elif text.peek() != "]":
                    raise ValueError
        except (ValueError, RecursionError) as error:
            if isinstance(error, UnicodeDecodeError):
                raise
            where = f"Row {number:,} of {file.name}" if number else file.name
            raise GlanError(f"{where} is not JSON: a list of rows is read, or one row on each line.") from None


def _enter_list(text: "_Text") -> None:
    """Stand behind the opening bracket of the list of rows."""
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
    """A window on a long JSON text, which moves on as values are taken from it."""

    def __init__(self, handle: TextIO) -> None:
        self._handle, self._text, self._at = handle, "", 0
        self._decode = json.JSONDecoder().raw_decode

    def peek(self) -> str:
        """The next character that is no space; ValueError at the end of the text."""
        while True:
            while self._at < len(self._text):
                if not self._text[self._at].isspace():
                    return self._text[self._at]
                self._at += 1
            if not self._more(CHUNK):
                raise ValueError("the text ends")

    def skip(self) -> None:
        """Step over the character that peek showed."""
        self._at += 1

    def value(self) -> object:
        """The JSON value that begins here; ValueError when there is none."""
        self.peek()
        size = CHUNK
        while True:
            try:
                value, end = self._decode(self._text, self._at)
                if end < len(self._text):  # a number at the window's end may go on behind it
                    self._at = end
                    return value
            except ValueError:
                if len(self._text) - self._at > 1 << 28:
                    raise  # no row is so long: the text is broken
            if not self._more(size):
                value, self._at = self._decode(self._text, self._at)
                return value
            size *= 2  # a long value is tried again only a few times

    def _more(self, size: int) -> bool:
        chunk = self._handle.read(size)
        self._text, self._at = self._text[self._at :] + chunk, 0
        return bool(chunk)
