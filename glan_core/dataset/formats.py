"""Export formats: the shape of a row in each, and streaming writers with flat memory use."""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal, get_args

from glan_core.dataset.settings import ExportFormat

FORMATS: tuple[ExportFormat, ...] = get_args(ExportFormat)
SUFFIX = {"parquet": ".parquet", "snapshot": ".parquet", "datasets": ""}  # every other format: '.jsonl'
# Many readers split lines at these characters although JSON allows them in strings, so they are escaped.
LINE_BREAKS = str.maketrans({"\x85": "\\u0085", "\u2028": "\\u2028", "\u2029": "\\u2029"})
BATCH = 2000  # rows per columnar batch
GROUP = 10 * BATCH  # rows per row group of Parquet; the writer keeps the statistics of every group until the end
PROVENANCE: dict[str, Any] = {
    "id": str, "taxonomy": list, "group": str, "discipline": str, "subject": str,
    "level": str, "syllabus": str, "sessions": list, "concepts": list, "strategy": str, "draw_law": str, "seed": int,
    "draw": int, "question_teacher": str, "answer_teacher": str, "review": str, "starred": bool, "edited": bool,
    "dropped": str,
}  # fmt: skip
MESSAGES = object()  # type of a column with the turns of a chat
COLUMNS: dict[str, Any] = {"prompt": str, "completion": str} | PROVENANCE  # of a row, as snapshots store it
# Of a columnar export. It has no column named 'prompt': where there is one, SFTTrainer concatenates it with 'completion', without
# chat template, and ignores the messages.
EXPORT_COLUMNS: dict[str, Any] = {"messages": MESSAGES, "question": str, "answer": str} | PROVENANCE

REASONING = "reasoning"  # column of the trace, written only on request

Form = ExportFormat | Literal["snapshot"]

Write = Callable[[dict], None]


def file_suffix(form: Form) -> str:
    """Return the file suffix of a format; '' for a folder."""
    return SUFFIX.get(form, ".jsonl")


def format_row(row: dict, form: Form) -> dict:
    """Convert a row to an export format.

    Returns:
        The row unchanged for 'snapshot'; the messages alone for 'openai', which refuses other keys; messages, texts and provenance
        as columns for 'parquet' and 'datasets'; otherwise the pair with `provenance` as one object. Reasoning that the row has
        becomes a column of its own.
    """
    if form == "snapshot":
        return row
    provenance = dict(row)
    question, answer = provenance.pop("prompt"), provenance.pop("completion")
    trace = {REASONING: provenance.pop(REASONING)} if REASONING in provenance else {}
    asked, answered = {"role": "user", "content": question}, {"role": "assistant", "content": answer}
    pair: dict
    match form:
        case "openai":
            return {"messages": [asked, answered]}
        case "parquet" | "datasets":
            return {"messages": [asked, answered], "question": question, "answer": answer} | trace | provenance
        case "chat":
            pair = {"messages": [asked, answered]}
        case "alpaca":
            pair = {"instruction": question, "input": "", "output": answer}
        case "sharegpt":
            pair = {"conversations": [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]}
        case "prompt-completion":
            pair = {"prompt": [asked], "completion": [answered]}
    return pair | trace | {"provenance": provenance}


@contextmanager
def row_writer(file: Path, form: Form, split: str = "train", *, reasoning: bool = False) -> Iterator[Write]:
    """Open a writer for a new file (a new folder for 'datasets'); it takes one row per call, with `reasoning` if that is set."""
    columns = COLUMNS if form == "snapshot" else EXPORT_COLUMNS | ({REASONING: str} if reasoning else {})
    write_as = {"parquet": _parquet, "snapshot": _parquet, "datasets": _saved}.get(form, _lines)
    with write_as(file, form, split, columns) as write:
        yield write


def write_splits(folder: Path, form: Form, rows: Iterable[tuple[str, dict]], *, reasoning: bool = False) -> None:
    """Write the rows of each split to its own file (its own folder for 'datasets'); see `row_writer`."""
    with ExitStack() as stack:
        writers: dict[str, Write] = {}
        for split, row in rows:
            if split not in writers:
                writers[split] = stack.enter_context(
                    row_writer(folder / f"{split}{file_suffix(form)}", form, split, reasoning=reasoning)
                )
            writers[split](row)
    if form == "datasets":
        (folder / "dataset_dict.json").write_text(json.dumps({"splits": list(writers)}), "utf-8")


@contextmanager
def _lines(file: Path, form: Form, split: str, columns: dict[str, Any]) -> Iterator[Write]:
    with file.open("w", encoding="utf-8", newline="\n") as out:
        encode = json.JSONEncoder(ensure_ascii=False).encode

        def write(row: dict) -> None:
            line = encode(format_row(row, form))
            out.write((line if line.isascii() else line.translate(LINE_BREAKS)) + "\n")

        yield write


@contextmanager
def _parquet(file: Path, form: Form, split: str, columns: dict[str, Any]) -> Iterator[Write]:
    import pyarrow as pa
    from pyarrow import parquet

    schema = _schema(columns)
    group: list[pa.RecordBatch] = []

    def write_group() -> None:
        if group:
            out.write_table(pa.Table.from_batches(group))
            group.clear()

    def add(batch: pa.RecordBatch) -> None:
        group.append(batch)
        if sum(map(len, group)) >= GROUP:
            write_group()

    with parquet.ParquetWriter(file, schema, compression="zstd") as out:
        with _batches(schema, form, add) as write:
            yield write
        write_group()


@contextmanager
def _saved(folder: Path, form: Form, split: str, columns: dict[str, Any]) -> Iterator[Write]:
    """Write one split in the on-disk format of `datasets`: Arrow data, features and state."""
    import pyarrow as pa

    features = {name: _feature(kind) for name, kind in columns.items()}
    schema = _schema(columns).with_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    folder.mkdir()
    data = "data-00000-of-00001.arrow"
    with (
        pa.OSFile(str(folder / data), "wb") as file, pa.ipc.new_stream(file, schema) as out,
        _batches(schema, form, out.write_batch) as write,
    ):  # fmt: skip
        yield write
    info = {"citation": "", "description": "", "features": features, "homepage": "", "license": ""}
    state: dict = {
        "_data_files": [{"filename": data}], "_fingerprint": split, "_format_columns": None, "_format_kwargs": {},
        "_format_type": None, "_output_all_columns": False, "_split": split,
    }  # fmt: skip
    (folder / "dataset_info.json").write_text(json.dumps(info), "utf-8")
    (folder / "state.json").write_text(json.dumps(state), "utf-8")


def _feature(kind: Any) -> dict | list:
    text = {"dtype": "string", "_type": "Value"}
    if kind is MESSAGES:
        return [{"role": text, "content": text}]
    return [text] if kind is list else text | {"dtype": {str: "string", int: "int64", bool: "bool"}[kind]}


def _schema(columns: dict[str, Any]):
    import pyarrow as pa

    turns = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
    types = {MESSAGES: turns, str: pa.string(), list: pa.list_(pa.string()), int: pa.int64(), bool: pa.bool_()}
    return pa.schema([(name, types[kind]) for name, kind in columns.items()])


@contextmanager
def _batches(schema, form: Form, write_batch: Callable) -> Iterator[Write]:
    import pyarrow as pa

    chunk: list[dict] = []

    def flush() -> None:
        if chunk:
            write_batch(pa.RecordBatch.from_pylist(chunk, schema))
            chunk.clear()

    def write(row: dict) -> None:
        chunk.append(format_row(row, form))
        if len(chunk) == BATCH:
            flush()

    yield write
    flush()
