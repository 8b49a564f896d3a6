"""Reader of external datasets as questions and answers; the format of every row is detected and rows are streamed."""

import json
import math
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from glan_core.errors import GlanError
from glan_core.formatting import plural
from glan_core.io import json_rows, table_rows
from glan_core.io.data_files import COLUMNAR, DataFile, data_files
from glan_core.io.raw_rows import RawRow
from glan_core.io.text_decoding import detect_encoding, text_of
from glan_core.reply_parsing import storable

MOST_PROBLEMS = 5  # problems of rows that are kept for messages

# Display name, question column, optional column appended to the question, answer column; the first match is used.
_COLUMNS = (
    ("Alpaca", "instruction", "input", "output"),
    ("instruction and response", "instruction", "context", "response"),
    ("prompt and response", "prompt", None, "response"),
    ("prompt and completion", "prompt", None, "completion"),
    ("question and answer", "question", None, "answer"),
    ("question and response", "question", None, "response"),
    ("query and response", "query", None, "response"),
    ("problem and solution", "problem", None, "solution"),
    ("input and output", "input", None, "output"),
    ("instructions alone", "instruction", "input", None),
    ("prompts alone", "prompt", None, None),
    ("questions alone", "question", None, None),
)
_USER_ROLES, _ASSISTANT_ROLES = {"user", "human", "prompter"}, {"assistant", "gpt", "model", "chatgpt", "bot"}


@dataclass(frozen=True, slots=True)
class ExternalRow:
    """A question and its answer in an external dataset; the answer is None if there is none."""

    question: str
    answer: str | None


@dataclass(frozen=True, slots=True)
class ExternalDataset:
    """An external dataset.

    Attributes:
        name: File or folder name.
        form: Detected format for display, such as 'Alpaca' or 'chat messages'; of mixed rows, the most frequent first.
        rows: Function that streams the rows from the start.
        number: Number of rows with a question.
        skipped: Number of rows without a question, or that cannot be read.
        problems: The first problems of rows, such as 'Line 7 is not JSON.'
    """

    name: str
    form: str
    rows: Callable[[], Iterator[ExternalRow]]
    number: int
    skipped: int = 0
    problems: tuple[str, ...] = ()

    @property
    def skipped_summary(self) -> str:
        """A sentence about the skipped rows with the first problem; '' if there are none."""
        if not self.skipped:
            return ""
        return (
            f"{plural(self.skipped, 'row')} of {self.name} {'was' if self.skipped == 1 else 'were'} skipped: {self.problems[0]}"
        )


@dataclass(frozen=True, slots=True)
class _Format:
    """How rows are read: name of the format and function that extracts question and answer."""

    name: str
    read: Callable[[dict], tuple[str, str | None]]


def read_dataset(path: str | os.PathLike) -> ExternalDataset:
    """Detect the format of all rows of a dataset and check them, with constant memory.

    Reads JSON lines, JSON (a list of rows, one list per split, pandas orientations), CSV, Parquet and Arrow, the text formats
    also compressed; folders and zip archives of such files, and what Hugging Face `datasets` saved to disk. Of a
    conversation, the first question and its reply are used. A row that cannot be read is skipped and counted.

    Args:
        path: File or folder.

    Raises:
        GlanError: If a file cannot be read (the message names it), or no row has a question.
    """
    path = Path(path).expanduser()
    files = data_files(path)
    forms: Counter[str] = Counter()
    skipped, problems, columns = 0, list[str](), ""
    for place, form, row in _rows(files):
        if isinstance(row, ExternalRow):
            forms[form] += 1
            continue
        skipped += 1
        columns = columns or form
        if len(problems) < MOST_PROBLEMS:
            problems.append(f"{place} {row}.")
    if not forms:
        raise GlanError(_nothing_usable(path.name, skipped, problems, columns))
    form = " and ".join(name for name, _ in forms.most_common(3))
    return ExternalDataset(path.name, form, lambda: _usable(files), forms.total(), skipped, tuple(problems))


def _nothing_usable(name: str, skipped: int, problems: Sequence[str], columns: str) -> str:
    """Return the message about a dataset in which no row has a question."""
    if not skipped:
        return f"{name} has no rows."
    if columns:
        return (
            f"The columns of {name} are not recognized: {columns}. Use instruction and output, prompt and response, question and "
            "answer, messages or conversations."
        )
    return f"{name} has no questions: {problems[0][0].lower()}{problems[0][1:]}" + (
        f" None of its {skipped:,} rows can be used." if skipped > 1 else ""
    )


def detect_format(row: dict) -> _Format | None:
    """Detect the format of a row, or None; conversations take precedence over column pairs and lone questions."""
    for column in ("messages", "conversations", "conversation"):
        if (key := _key(row, column)) and _is_conversation(talk := _decoded(row[key])):
            return _Format("ShareGPT" if "from" in talk[0] else "chat messages", _conversation(key))
    found = _column_format(tuple(key for key in row if isinstance(key, str)))
    return found


@lru_cache(256)
def _column_format(columns: tuple[str, ...]) -> _Format | None:
    row = dict.fromkeys(columns)
    for name, asks, adds, replies in _COLUMNS:
        question, answer = _key(row, asks), _key(row, replies)
        if question and (answer or replies is None):
            return _Format(name, _columns(question, _key(row, adds), answer))
    return None


def stored_rows(path: str | os.PathLike) -> Iterator[tuple[Path, str, dict]]:
    """Iterate over (file, location, row) of a dataset with any columns; empty rows are skipped.

    A split that a file names is appended to its path: 'rows.json/test'.

    Raises:
        GlanError: If a file or row cannot be read; the message names it.
    """
    for file in data_files(Path(path).expanduser()):
        for row in raw_rows(file):
            if row.data is None:
                raise GlanError(f"{row.place} of {file.name} {row.problem}.")
            if any(value is not None for value in row.data.values()):
                yield (file.path / row.split if row.split else file.path), row.place, row.data


def raw_rows(file: DataFile) -> Iterator[RawRow]:
    """Yield the rows of a file, whatever their columns are.

    Raises:
        GlanError: If the file cannot be read.
    """
    try:
        if file.suffix in COLUMNAR:
            yield from table_rows.columnar(file)
            return
        encoding = detect_encoding(file.opened, file.name)
        if file.suffix in (".csv", ".tsv"):
            with text_of(file.opened, encoding, newline="") as text:
                yield from table_rows.separated(text, file.name, "\t" if file.suffix == ".tsv" else ",")
            return
        with text_of(file.opened, encoding) as text:
            by_line = json_rows.holds_lines(text, expected=file.suffix != ".json")
        with text_of(file.opened, encoding) as text:
            yield from json_rows.lines(text) if by_line else json_rows.items(text, file.name)
    except UnicodeDecodeError:
        raise GlanError(f"{file.name} is not UTF-8 text: save it as UTF-8.") from None
    except OSError as error:
        raise GlanError(f"{file.name} cannot be read: {error.strerror or 'it is damaged'}.") from None


def _usable(files: list[DataFile]) -> Iterator[ExternalRow]:
    return (row for _, _, row in _rows(files) if isinstance(row, ExternalRow))


def _rows(files: list[DataFile]) -> Iterator[tuple[str, str, ExternalRow | str]]:
    """Yield the place of every row, the name of its format, and the row.

    Instead of a row that cannot be used, its problem is yielded, and its columns if they are not known.
    """
    for file in files:
        of_file = f" of {file.name}" if len(files) > 1 else ""
        for raw in raw_rows(file):
            place = f"{raw.place}{of_file}"
            if raw.data is None:
                yield place, "", raw.problem
                continue
            form = detect_format(raw.data)
            if form is None:
                columns = ", ".join(" ".join(str(key).split())[:40] for key in list(raw.data)[:12])
                yield place, columns, f"has no known columns, but {columns}" if columns else "is empty"
                continue
            try:
                question, answer = form.read(raw.data)
            except (KeyError, TypeError, AttributeError, ValueError, IndexError):
                yield place, "", f"has no text where {form.name} has it"
                continue
            if not question.strip():
                yield place, "", "has an empty question"
            else:
                yield place, form.name, ExternalRow(storable(question), answer if answer is None else storable(answer))


def _key(row: dict, column: str | None) -> str | None:
    """Return the row's own spelling of a column name, or None."""
    return next((key for key in row if isinstance(key, str) and key.strip().lower() == column), None)


def _columns(question: str, adds: str | None, answer: str | None) -> Callable[[dict], tuple[str, str | None]]:
    def read(row: dict) -> tuple[str, str | None]:
        asked, more = _text(row.get(question), _USER_ROLES), _text(row.get(adds), _USER_ROLES) if adds else ""
        return (f"{asked}\n\n{more}" if more.strip() else asked), None if answer is None else _text(
            row.get(answer), _ASSISTANT_ROLES
        )

    return read


def _conversation(key: str) -> Callable[[dict], tuple[str, str | None]]:
    def read(row: dict) -> tuple[str, str | None]:
        turns = [(_role(turn), _content(turn)) for turn in _decoded(row[key])]
        asked = next((nth for nth, (who, _) in enumerate(turns) if who in _USER_ROLES), None)
        if asked is None:
            return "", None
        return turns[asked][1], next((text for who, text in turns[asked + 1 :] if who in _ASSISTANT_ROLES), None)

    return read


def _text(value: Any, who: set[str]) -> str:
    """Convert a cell to text: '' for None; for a conversation, the first message of one of the roles in `who`."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if _is_conversation(value):
        return next((_content(turn) for turn in value if _role(turn) in who), "")
    if isinstance(value, list | dict):
        raise TypeError
    return str(value)


def _decoded(value: Any) -> Any:
    """Return a conversation that a table stores as JSON text; any other value unchanged."""
    if isinstance(value, str) and value.lstrip().startswith("[{"):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def _is_conversation(value: object) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict) and bool({"role", "from"} & set(value[0]))


def _role(turn: dict) -> str:
    return str(turn.get("role") or turn.get("from") or "").lower()


def _content(turn: dict) -> str:
    content = turn["content"] if turn.get("content") is not None else turn.get("value") or ""
    if isinstance(content, list):
        return "\n".join(part["text"] for part in content if part.get("type") == "text")
    if not isinstance(content, str):
        raise TypeError
    return content
