"""Datasets that others made, read as questions and answers: the form is recognised by its columns, the rows are streamed."""

import csv
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from glan_core.errors import GlanError
from glan_core.io.json_rows import items, lines

SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".arrow")
ROWS_READ = 1000  # rows of a Parquet or Arrow batch: memory stays flat

# The name for people, the column of the question, the column that may add to it, the column of the answer; the first that fits.
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
_ASKS, _REPLIES = {"user", "human", "prompter"}, {"assistant", "gpt", "model", "chatgpt", "bot"}


@dataclass(frozen=True, slots=True)
class ForeignRow:
    """A question and its answer as another dataset has them; None where it has no answer."""

    question: str
    answer: str | None


@dataclass(frozen=True, slots=True)
class Foreign:
    """A dataset that was made elsewhere.

    `form` names for people how its columns were recognised ('Alpaca', 'chat messages' ...). `rows()` streams the rows from
    the start each time it is called. `number` is how many that gives, `skipped` how many more hold no question.
    """

    name: str
    form: str
    rows: Callable[[], Iterator[ForeignRow]]
    number: int
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class _Form:
    """How a row is read: its form's name and the function that takes the question and answer from it."""

    name: str
    read: Callable[[dict], tuple[str, str | None]]


def read_foreign(path: str | os.PathLike) -> Foreign:
    """Recognise a dataset and check each of its rows, in one pass whose memory does not grow.

    Reads JSON lines, a JSON list (or an object that holds one), CSV, Parquet, a folder of such files and a folder that
    Hugging Face `datasets` saved to disk; of a conversation the first question and the reply to it are taken. GlanError, in
    one sentence that names the line or row, when the file can't be read, a row is broken or no known columns are there.
    """
    path = Path(path).expanduser()
    files = _files(path)
    first = next((row for file in files for _, row in _raw(file)), None)
    if first is None:
        raise GlanError(f"{path.name} holds no rows.")
    form = recognise(first)
    if form is None:
        columns = ", ".join(str(key)[:40] for key in list(first)[:12])
        raise GlanError(
            f"The columns of {path.name} are not known: it has {columns or 'none'}. Name them instruction and output, prompt "
            "and response, question and answer, or give messages or conversations."
        )
    number = skipped = 0
    for row in _rows(files, form):
        number, skipped = (number + 1, skipped) if row else (number, skipped + 1)
    if not number:
        raise GlanError(f"{path.name} holds no question: in all of its {skipped:,} rows it is empty.")
    return Foreign(path.name, form.name, lambda: filter(None, _rows(files, form)), number, skipped)


def recognise(row: dict) -> _Form | None:
    """The form of a row by its columns, or None: conversations first, then pairs of columns, then questions alone."""
    for column in ("messages", "conversations", "conversation"):
        if (key := _key(row, column)) and _is_talk(row[key]):
            return _Form("ShareGPT" if "from" in row[key][0] else "chat messages", _conversation(key))
    for name, asks, adds, replies in _COLUMNS:
        question, answer = _key(row, asks), _key(row, replies)
        if question and (answer or replies is None):
            return _Form(name, _columns(question, _key(row, adds), answer))
    return None


def stored_rows(path: str | os.PathLike) -> Iterator[tuple[Path, str, dict]]:
    """(file, where, row) of every row of a dataset as it is stored, whatever its columns; GlanError as `read_foreign`."""
    for file in _files(Path(path).expanduser()):
        yield from ((file, where, row) for where, row in _raw(file))


def _files(path: Path) -> list[Path]:
    """The data files of a path, in the order of their names; those of a saved dataset as it lists them."""
    if not path.exists():
        raise GlanError(f"{path} does not exist.")
    if path.is_file():
        if path.suffix.lower() not in SUFFIXES:
            raise GlanError(f"{path.name} is no dataset that can be read: give JSONL, JSON, CSV or Parquet.")
        return [path]
    try:
        if (splits := path / "dataset_dict.json").is_file():
            return [file for split in json.loads(splits.read_text("utf-8"))["splits"] for file in _files(path / split)]
        if (state := path / "state.json").is_file():
            return [path / part["filename"] for part in json.loads(state.read_text("utf-8"))["_data_files"]]
    except (OSError, ValueError, KeyError, TypeError):
        raise GlanError(f"The dataset saved in {path.name} is damaged: save it again.") from None
    data = (*SUFFIXES[:2], ".csv", ".tsv", ".parquet")  # JSON beside them holds facts, not rows
    for folder in (path, path / "data"):
        if files := sorted(file for file in folder.glob("*") if file.suffix.lower() in data):
            return files
    raise GlanError(
        f"The folder {path.name} holds no dataset: give one that was saved to disk, or with JSONL, CSV or Parquet files."
    )


def _rows(files: list[Path], form: _Form) -> Iterator[ForeignRow | None]:
    """Every row, None for one without a question."""
    for file in files:
        for where, row in _raw(file):
            try:
                question, answer = form.read(row)
            except (KeyError, TypeError, AttributeError, ValueError, IndexError):
                raise GlanError(f"{where} of {file.name} is not like the first, which is of the form {form.name}.") from None
            yield ForeignRow(question, answer) if question.strip() else None


def _raw(file: Path) -> Iterator[tuple[str, dict]]:
    """(where, row) of each row of a file, as it is stored."""
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
                    raise GlanError(f"Line {reader.line_num:,} of {file.name} has not as many columns as the first line names.")
                yield f"Line {reader.line_num:,}", row
        except csv.Error as error:
            raise GlanError(f"Line {reader.line_num:,} of {file.name} is not CSV: {error}.") from None


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
        raise GlanError(f"{file.name} is no {'Parquet' if suffix == '.parquet' else 'Arrow'} file, or is damaged.") from None


def _is_lines(file: Path) -> bool:
    """Whether a .json file holds JSON lines, as many do: its first line is a whole row of a known form."""
    with file.open(encoding="utf-8-sig") as handle:
        try:
            first = json.loads(handle.readline(1 << 20))
        except ValueError:
            return False
    return isinstance(first, dict) and recognise(first) is not None


def _key(row: dict, column: str | None) -> str | None:
    """The row's own spelling of a column, or None."""
    return next((key for key in row if isinstance(key, str) and key.strip().lower() == column), None)


def _columns(question: str, adds: str | None, answer: str | None) -> Callable[[dict], tuple[str, str | None]]:
    def read(row: dict) -> tuple[str, str | None]:
        asked, more = _text(row.get(question), _ASKS), _text(row.get(adds), _ASKS) if adds else ""
        return (f"{asked}\n\n{more}" if more.strip() else asked), None if answer is None else _text(row.get(answer), _REPLIES)

    return read


def _conversation(key: str) -> Callable[[dict], tuple[str, str | None]]:
    def read(row: dict) -> tuple[str, str | None]:
        turns = [(_said_by(turn), _said(turn)) for turn in row[key] or ()]
        asked = next((nth for nth, (who, _) in enumerate(turns) if who in _ASKS), None)
        if asked is None:
            return "", None
        return turns[asked][1], next((text for who, text in turns[asked + 1 :] if who in _REPLIES), None)

    return read


def _text(value: object, who: set[str]) -> str:
    """A cell as text: '' for none, what was said by `who` where the cell is a conversation itself."""
    if value is None:
        return ""
    if _is_talk(value):
        return next((_said(turn) for turn in value if _said_by(turn) in who), "")
    if isinstance(value, list | dict):
        raise TypeError
    return str(value)


def _is_talk(value: object) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict) and bool({"role", "from"} & set(value[0]))


def _said_by(turn: dict) -> str:
    return str(turn.get("role") or turn.get("from") or "").lower()


def _said(turn: dict) -> str:
    said = turn["content"] if turn.get("content") is not None else turn.get("value") or ""
    if isinstance(said, list):
        return "\n".join(part["text"] for part in said if part.get("type") == "text")
    if not isinstance(said, str):
        raise TypeError
    return said
