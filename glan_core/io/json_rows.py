"""Streaming readers of JSON lines and of large JSON files, with one row in memory at a time.

A JSON file holds a list of rows, an object with such a list, one list per split, several objects one after the other, or
what `pandas.DataFrame.to_json` writes in any orientation except 'values'. NaN and Infinity are read as missing values.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, TextIO

from glan_core.errors import GlanError
from glan_core.io.raw_rows import RawRow

CHUNK = 1 << 16  # characters read at a time
MOST_ROW = 1 << 26  # characters of a row
MOST_VALUE = 1 << 28  # characters of a whole column
SPLITS = ("train", "test", "validation", "valid", "val", "dev")
_END = object()
_DECODER = json.JSONDecoder(parse_constant=lambda _: None, strict=False)


def holds_lines(text: TextIO, *, expected: bool) -> bool:
    """Return whether a text holds JSON lines rather than one JSON value.

    Args:
        text: The text, read from its start.
        expected: Whether the name of the file says that it is JSON lines; its first line may then be damaged.
    """
    first, second = (_nonempty(text, CHUNK * 16).strip() for _ in range(2))
    row = _parsed(first)
    if isinstance(row, dict):
        return second.startswith("{") or (bool(second) and expected) or (not second and _is_flat(row))
    pretty = first.startswith("[") or (first.startswith("{") and second[:1] in ("", '"', "}"))
    return expected and bool(first) and not pretty


def _nonempty(text: TextIO, most: int) -> str:
    while line := text.readline(most):
        if line.strip():
            return line
    return ""


def _is_flat(row: dict) -> bool:
    """Return whether the only object of a file is a row rather than a table."""
    return any(not isinstance(value, list | dict) for value in row.values()) and not _has_rows(row)


def _has_rows(row: dict) -> bool:
    return any(
        isinstance(value, list) and value and isinstance(value[0], dict) and not {"role", "from"} & set(value[0])
        for value in row.values()
    )


def _parsed(line: str) -> Any:
    try:
        return _DECODER.decode(line)
    except (ValueError, RecursionError):
        return None


def lines(text: TextIO) -> Iterator[RawRow]:
    """Iterate over the nonempty lines as rows; a line that is not a JSON object is a row with a problem."""
    number = 0
    while line := text.readline(MOST_ROW):
        number += 1
        place = f"Line {number:,}"
        if len(line) == MOST_ROW and not line.endswith("\n"):
            yield RawRow(place, None, f"is longer than {MOST_ROW:,} characters", last=True)
            return
        if not line.strip():
            continue
        try:
            row = _DECODER.decode(line)
        except (ValueError, RecursionError):
            yield RawRow(place, None, "is not JSON")
            continue
        yield _row(place, row, "is not a JSON object", damaged=not line.isascii() and _is_damaged(line))


def _is_damaged(text: str) -> bool:
    """Return whether a text had characters that could not be decoded (see `text_decoding.text_of`)."""
    return any("\udc80" <= c <= "\udcff" for c in text)


def _row(place: str, row: Any, problem: str, split: str = "", *, damaged: bool = False) -> RawRow:
    if not isinstance(row, dict):
        return RawRow(place, None, problem, split)
    if damaged:
        return RawRow(place, None, "is not UTF-8 text", split)
    if isinstance(row.get("row"), dict) and "row_idx" in row:  # a page of the Hub's dataset viewer
        row = row["row"]
    return RawRow(place, row, split=split)


def items(handle: TextIO, name: str) -> Iterator[RawRow]:
    """Iterate over the rows of a JSON file; text that is not JSON ends it with a row that has this problem.

    Raises:
        GlanError: If the file is not JSON, or holds no list of rows.
    """
    text = _Text(handle)
    number, split = 0, ""
    if text.ended():
        return
    try:
        opening = text.peek()
        if opening == "[":
            for number, row in enumerate(text.elements(), start=1):
                yield _item(number, row)
        elif opening == "{":
            yield from _top_level(text, name)
        else:
            raise ValueError
    except (ValueError, RecursionError):
        if not text.counted:
            raise GlanError(f"{name} is not JSON. Use a list of rows or one row per line.") from None
        yield RawRow(f"Row {text.counted:,}", None, "is not JSON, and the rest of the file cannot be read", split, last=True)


def _item(number: int, row: Any, split: str = "") -> RawRow:
    place = f"Row {number:,}" + (f" of split {split}" if split else "")
    damaged = isinstance(row, dict) and any(
        isinstance(value, str) and not value.isascii() and _is_damaged(value) for value in row.values()
    )
    return _row(place, row, "is not a JSON object", split, damaged=damaged)


def _top_level(text: "_Text", name: str) -> Iterator[RawRow]:
    """Yield the rows of an object, and of further objects behind it."""
    values: dict[str, Any] = {}
    streamed = False
    for key in text.object_keys():
        if text.peek() != "[":
            values[key] = text.value(MOST_VALUE)
            continue
        elements = text.elements()
        first = next(elements, _END)
        if isinstance(first, dict) and not {"role", "from"} & set(first) and key not in ("schema", "index"):
            split = key if key.lower() in SPLITS else ""
            for number, row in enumerate(chain([first], elements), start=1):
                yield _item(number, row, split)
            streamed = True
        else:
            values[key] = [] if first is _END else [first, *_bounded(elements)]
    if streamed:
        return
    if text.ended():
        yield from _assembled(values, name)
        return
    text.counted = 1
    yield _item(1, values)
    number = 1
    while not text.ended():
        if text.peek() == ",":
            text.skip()
        number += 1
        text.counted = number
        yield _item(number, text.value())


def _bounded(elements: Iterator[Any]) -> Iterator[Any]:
    """Yield elements of a column that is kept in memory.

    Raises:
        GlanError: If there are too many.
    """
    size = 0
    for element in elements:
        size += len(element) if isinstance(element, str) else 16
        if size > MOST_VALUE:
            raise GlanError("A column is too large to be read at once. Save the file as JSON lines, one row per line.")
        yield element


def _assembled(values: dict[str, Any], name: str) -> Iterator[RawRow]:
    """Yield the rows of an object without a list of rows: columns, rows by index, splits of these, or a single row."""
    tables = {
        key: table
        for key, value in values.items()
        if key.lower() in SPLITS and isinstance(value, dict) and (table := _of_table(value))
    }
    if not tables and (table := _of_table(values)):
        tables = {"": table}
    for split, table in tables.items():
        yield from (_item(number, row, split) for number, row in enumerate(table(), start=1))
    if tables:
        return
    if any(isinstance(value, str) for value in values.values()) or any(_is_talk(value) for value in values.values()):
        yield _item(1, values)
        return
    if values and not all(isinstance(value, list) and not value for value in values.values()):
        raise GlanError(f"{name} holds no list of rows. Use a list of rows or one row per line.")


def _is_talk(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


Rows = Callable[[], Iterable[dict]]


def _of_table(values: Mapping[str, Any]) -> Rows | None:
    """Return the rows of a table written by pandas or `Dataset.to_dict`, or None if the object is no table."""
    columns, data = values.get("columns"), values.get("data")
    if isinstance(columns, list) and isinstance(data, list) and all(isinstance(row, list) for row in data):
        return lambda: (dict(zip(map(str, columns), row, strict=False)) for row in data)  # orient='split' and 'tight'
    if not values:
        return None
    if all(isinstance(value, list) for value in values.values()):
        lists = {key: value for key, value in values.items() if not _is_talk(value) or "role" not in value[0]}
        most = max(map(len, lists.values()), default=0)
        if len(lists) == len(values) and most:
            return lambda: (
                {key: column[nth] if nth < len(column) else None for key, column in lists.items()} for nth in range(most)
            )
    if all(isinstance(value, dict) and value for value in values.values()):
        inner = next(iter(values.values()))
        if _is_index(inner) or not (_is_index(values) or len(inner) < len(values)):  # orient='columns', the default of pandas
            labels = dict.fromkeys(label for column in values.values() for label in column)
            return lambda: ({key: column.get(label) for key, column in values.items()} for label in labels)
        return lambda: values.values()  # orient='index'
    return None


def _is_index(labels: Iterable[str]) -> bool:
    """Return whether keys are the row numbers of a pandas index."""
    return all(label.lstrip("-").isdigit() for label in labels)


class _Text:
    """A window on a long JSON text that advances as values are read.

    Attributes:
        counted: Number of the list element that is read next; 0 before the first list.
    """

    def __init__(self, handle: TextIO) -> None:
        self._handle, self._text, self._at, self.counted = handle, "", 0, 0

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

    def ended(self) -> bool:
        """Return whether only white space follows."""
        try:
            return not self.peek()
        except ValueError:
            return True

    def skip(self) -> None:
        """Skip the character returned by `peek`."""
        self._at += 1

    def elements(self) -> Iterator[Any]:
        """Yield the elements of the list that begins here.

        Raises:
            ValueError: If the list is malformed or does not end.
        """
        self.skip()
        self.counted = 1
        while self.peek() != "]":
            yield self.value()
            self.counted += 1
            if self.peek() == ",":
                self.skip()
            elif self.peek() != "]":
                raise ValueError
        self.skip()

    def object_keys(self) -> Iterator[str]:
        """Yield the keys of the object that begins here; the caller reads the value after each.

        Raises:
            ValueError: If the object is malformed or does not end.
        """
        self.skip()
        while self.peek() == '"':
            key = self.value()
            if self.peek() != ":":
                raise ValueError
            self.skip()
            yield key
            if self.peek() == ",":
                self.skip()
        if self.peek() != "}":
            raise ValueError
        self.skip()

    def value(self, most: int = MOST_ROW) -> Any:
        """Read the next JSON value.

        Raises:
            ValueError: If there is none, or it is longer than `most` characters.
        """
        self.peek()
        size = CHUNK
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
                if end < len(self._text):  # a number at the end of the window may continue
                    self._at = end
                    return value
            except ValueError:
                if len(self._text) - self._at > most:
                    raise  # too long for a row: the text is malformed
            if not self._more(size):
                value, self._at = _DECODER.raw_decode(self._text, self._at)
                return value
            size *= 2  # doubling keeps the number of retries small

    def _more(self, size: int) -> bool:
        chunk = self._handle.read(size)
        self._text, self._at = self._text[self._at :] + chunk, 0
        return bool(chunk)
