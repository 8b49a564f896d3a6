"""Reader of external datasets as questions and answers; the format is detected from the columns and rows are streamed."""

import csv
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glan_core.errors import GlanError
from glan_core.io.json_rows import items, lines

SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".arrow")
ROWS_READ = 1000  # rows per Parquet or Arrow batch

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
        form: Detected format for display, such as 'Alpaca' or 'chat messages'.
        rows: Function that streams the rows from the start.
        number: Number of rows with a question.
        skipped: Number of rows without a question.
    """

    name: str
    form: str
    rows: Callable[[], Iterator[ExternalRow]]
    number: int
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class _Format:
    """How rows are read: name of the format and function that extracts question and answer."""

    name: str
    read: Callable[[dict], tuple[str, str | None]]


def read_dataset(path: str | os.PathLike) -> ExternalDataset:
    """Detect the format of a dataset and check all rows, in one pass with constant memory.

    Reads JSON lines, a JSON list (or an object that contains one), CSV, Parquet, a folder of such files, and a folder saved with
    Hugging Face `datasets`. Of a conversation, the first question and its reply are used.

    Args:
        path: File or folder.

    Raises:
        GlanError: If a file or row cannot be read (the message names it), or no known columns are found.
    """
    path = Path(path).expanduser()
    files = _files(path)
    first = next((row for file in files for _, row in _raw(file)), None)
    if first is None:
        raise GlanError(f"{path.name} has no rows.")
    form = detect_format(first)
    if form is None:
        columns = ", ".join(str(key)[:40] for key in list(first)[:12])
        raise GlanError(
            f"The columns of {path.name} are not recognized: {columns or 'none'}. Use instruction and output, prompt and "
            "response, question and answer, messages or conversations."
        )
    number = skipped = 0
    for row in _rows(files, form):
        number, skipped = (number + 1, skipped) if row else (number, skipped + 1)
    if not number:
        raise GlanError(f"{path.name} has no questions: the question is empty in all {skipped:,} rows.")
    return ExternalDataset(path.name, form.name, lambda: filter(None, _rows(files, form)), number, skipped)


def detect_format(row: dict) -> _Format | None:
    """Detect the format of a row, or None; conversations take precedence over column pairs and lone questions."""
    for column in ("messages", "conversations", "conversation"):
        if (key := _key(row, column)) and _is_conversation(row[key]):
            return _Format("ShareGPT" if "from" in row[key][0] else "chat messages", _conversation(key))
    for name, asks, adds, replies in _COLUMNS:
        question, answer = _key(row, asks), _key(row, replies)
        if question and (answer or replies is None):
            return _Format(name, _columns(question, _key(row, adds), answer))
    return None


def stored_rows(path: str | os.PathLike) -> Iterator[tuple[Path, str, dict]]:
    """Iterate over (file, location, row) of a dataset with any columns.

    Raises:
        GlanError: As `read_dataset`.
    """
    for file in _files(Path(path).expanduser()):
        yield from ((file, where, row) for where, row in _raw(file))


def _files(path: Path) -> list[Path]:
    """Return the data files of a path by name; those of a saved dataset in its own order."""
    if not path.exists():
        raise GlanError(f"{path} does not exist.")
    if path.is_file():
        if path.suffix.lower() not in SUFFIXES:
            raise GlanError(f"{path.name} cannot be read as a dataset. Use JSONL, JSON, CSV or Parquet.")
        return [path]
    try:
        if (splits := path / "dataset_dict.json").is_file():
            return [file for split in json.loads(splits.read_text("utf-8"))["splits"] for file in _files(path / split)]
        if (state := path / "state.json").is_file():
            return [path / part["filename"] for part in json.loads(state.read_text("utf-8"))["_data_files"]]
    except (OSError, ValueError, KeyError, TypeError):
        raise GlanError(f"The dataset saved in {path.name} is damaged. Save it again.") from None
    data = (*SUFFIXES[:2], ".csv", ".tsv", ".parquet")  # JSON files next to them contain metadata
    for folder in (path, path / "data"):
        if files := sorted(file for file in folder.glob("*") if file.suffix.lower() in data):
            return files
    raise GlanError(
        f"The folder {path.name} contains no dataset. Use a folder saved to disk or one with JSONL, CSV or Parquet files."
    )


def _rows(files: list[Path], form: _Format) -> Iterator[ExternalRow | None]:
    """Yield every row, None for rows without a question."""
    for file in files:
        for where, row in _raw(file):
            try:
                question, answer = form.read(row)
            except (KeyError, TypeError, AttributeError, ValueError, IndexError):
                raise GlanError(f"{where} of {file.name} does not match the format of the first row ({form.name}).") from None
            yield ExternalRow(question, answer) if question.strip() else None


def _raw(file: Path) -> Iterator[tuple[str, dict]]:
    """Yield (location, row) for each row of a file."""
    suffix = file.suffix.lower()
    try:
        if suffix in (".parquet", ".arrow"):
            yield from _columnar(file, suffix)
        elif suffix in (".csv", ".tsv"):
            yield from _separated(file, "\t" if suffix == ".tsv" else ",")
        elif suffix == ".json" and not _is_lines(file):
            yield from items(file)
        else:
            yield from lines(file)
    except UnicodeDecodeError:
        raise GlanError(f"{file.name} is not UTF-8 text: save it as UTF-8.") from None
    except OSError as error:
        raise GlanError(f"{file.name} cannot be read: {error.strerror or 'it is damaged'}.") from None


def _separated(file: Path, delimiter: str) -> Iterator[tuple[str, dict]]:
    csv.field_size_limit(1 << 30)
    with file.open(encoding="utf-8-sig", newline="") as handle:
        reader = csv.DictReader(handle, delimiter=delimiter, strict=True)
        try:
            for row in reader:
                if None in row or None in row.values():
                    raise GlanError(
                        f"Line {reader.line_num:,} of {file.name} has a different number of columns than the header."
                    )
                yield f"Line {reader.line_num:,}", row
        except csv.Error as error:
            raise GlanError(f"Line {reader.line_num:,} of {file.name} is not valid CSV: {error}.") from None


def _columnar(file: Path, suffix: str) -> Iterator[tuple[str, dict]]:
    import pyarrow as pa
    from pyarrow import parquet

    number = 0
    try:
        with pa.memory_map(str(file)) as source:
            read = parquet.ParquetFile(source).iter_batches if suffix == ".parquet" else lambda _: pa.ipc.open_stream(source)
            for batch in read(ROWS_READ):
                for row in batch.to_pylist():
                    number += 1
                    yield f"Row {number:,}", row
    except pa.ArrowInvalid:
        raise GlanError(f"{file.name} is not a valid {'Parquet' if suffix == '.parquet' else 'Arrow'} file.") from None


def _is_lines(file: Path) -> bool:
    """Return whether a .json file contains JSON lines, that is, its first line is a complete known row."""
    with file.open(encoding="utf-8-sig") as handle:
        try:
            first = json.loads(handle.readline(1 << 20))
        except ValueError:
            return False
    return isinstance(first, dict) and detect_format(first) is not None


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
        turns = [(_role(turn), _content(turn)) for turn in row[key] or ()]
        asked = next((nth for nth, (who, _) in enumerate(turns) if who in _USER_ROLES), None)
        if asked is None:
            return "", None
        return turns[asked][1], next((text for who, text in turns[asked + 1 :] if who in _ASSISTANT_ROLES), None)

    return read


def _text(value: Any, who: set[str]) -> str:
    """Convert a cell to text: '' for None; for a conversation, the first message of one of the roles in `who`."""
    if value is None:
        return ""
    if _is_conversation(value):
        return next((_content(turn) for turn in value if _role(turn) in who), "")
    if isinstance(value, list | dict):
        raise TypeError
    return str(value)


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
