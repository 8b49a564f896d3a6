"""Streaming readers of tables: separated values, Parquet, and Arrow files and streams."""

import csv
import math
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, TextIO, cast

from glan_core.errors import GlanError
from glan_core.io.data_files import DataFile
from glan_core.io.raw_rows import RawRow

ROWS_READ = 1000  # rows per Parquet or Arrow batch
MOST_CELL = 1 << 26  # characters
SEPARATORS = ",;\t|"


def separated(text: TextIO, name: str, separator: str) -> Iterator[RawRow]:
    """Iterate over the rows below the header, which is the first row that is not empty.

    Args:
        text: Text opened with newline=''.
        name: Name of the file for messages.
        separator: Expected separator; another one is used if the header has more of it.

    Raises:
        GlanError: If there is no header.
    """
    csv.field_size_limit(MOST_CELL)
    before, start = 0, ""
    while start == "" and (line := text.readline(MOST_CELL)):
        if line.strip(f"{SEPARATORS}\r\n \"'") and not line.lower().startswith("sep="):
            start = line
        else:
            before += 1
    if not start:
        raise GlanError(f"{name} has no rows.")
    separator = max(separator + SEPARATORS, key=start.count) if start.count(separator) == 0 else separator

    def lines() -> Iterator[str]:
        yield start
        while line := text.readline(MOST_CELL):
            yield line

    reader = csv.reader(lines(), delimiter=separator, strict=True)
    header: list[str] | None = None
    while True:
        first = before + reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            place = f"Line {first:,}"
            if header is None or "unexpected end" in str(error):
                why = "the quotation mark is not closed" if "unexpected end" in str(error) else str(error)
                yield RawRow(place, None, f"is not valid CSV: {why}", last=True)
                return
            yield RawRow(place, None, f"is not valid CSV: {error}")
            continue
        if cells is None:
            return
        place = f"Line {before + reader.line_num:,}"
        if not any(cell.strip() for cell in cells):
            continue
        if header is None:
            header = [cell.strip() for cell in cells]
        elif len(cells) != len(header):
            yield RawRow(place, None, f"has {len(cells):,} columns, but the header has {len(header):,}")
        elif any("\udc80" <= c <= "\udcff" for cell in cells if not cell.isascii() for c in cell):
            yield RawRow(place, None, "is not UTF-8 text")
        else:
            yield RawRow(place, dict(zip(header, cells, strict=True)))


def columnar(file: DataFile) -> Iterator[RawRow]:
    """Iterate over the rows of a Parquet file, or an Arrow file or stream.

    Raises:
        GlanError: If nothing of the file can be read.
    """
    import pyarrow as pa
    from pyarrow import parquet

    number = 0
    with file.opened() as opened:
        if not opened.seekable():  # it is compressed
            opened = _copied(opened)
        start = opened.read(8)
        opened.seek(0)
        try:
            stored = getattr(opened, "name", None)
            source = pa.memory_map(str(stored)) if isinstance(stored, str | Path) else pa.PythonFile(opened, "r")
            with source:
                if start.startswith(b"PAR1"):
                    batches = parquet.ParquetFile(source).iter_batches(ROWS_READ)
                elif start.startswith(b"ARROW1"):
                    reader = pa.ipc.open_file(source)
                    batches = (reader.get_batch(nth) for nth in range(reader.num_record_batches))
                else:
                    batches = iter(pa.ipc.open_stream(source))
                for batch in batches:
                    batch.validate(full=True)  # damaged offsets would crash the conversion
                    floats = [field.name for field in batch.schema if pa.types.is_floating(field.type)]
                    for at in range(0, batch.num_rows, ROWS_READ):
                        for row in batch.slice(at, ROWS_READ).to_pylist():
                            number += 1
                            row.update(
                                (name, None) for name in floats if row[name] is not None and not math.isfinite(row[name])
                            )
                            yield RawRow(f"Row {number:,}", row)
        except (pa.ArrowException, OSError, UnicodeDecodeError, OverflowError) as error:
            if isinstance(error, OSError) and error.errno:
                raise
            if not number:
                kind = "Parquet" if file.suffix == ".parquet" else "Arrow"
                raise GlanError(f"{file.name} is not a valid {kind} file.") from None
            yield RawRow(f"Row {number + 1:,}", None, "is damaged, and the rest of the file cannot be read", last=True)


def _copied(opened: BinaryIO) -> BinaryIO:
    """Return the content of a file as an unnamed temporary file."""
    copy = tempfile.TemporaryFile()  # noqa: SIM115 (closed when it is collected)
    shutil.copyfileobj(opened, copy)
    copy.seek(0)
    return cast(BinaryIO, copy)
