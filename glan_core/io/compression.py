"""Compressed files: gzip, Zstandard and bzip2, recognized by content and expanded as a stream of bounded length."""

import io
from pathlib import Path
from typing import BinaryIO

from glan_core.errors import GlanError
from glan_core.formatting import size

SUFFIXES = (".gz", ".zst", ".bz2")
MOST_BYTES, MOST_RATIO = 2_000_000_000, 200  # an expanded file may exceed one of these limits, but not both
_MARKS = ((b"\x1f\x8b", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"BZh", "bz2"))


def without_suffix(path: Path) -> Path:
    """Return the path of a file as it would be uncompressed: 'rows.jsonl.gz' becomes 'rows.jsonl'."""
    return path.with_suffix("") if path.suffix.lower() in SUFFIXES else path


def open_expanded(file: BinaryIO, name: str) -> BinaryIO:
    """Return a binary file from its start, expanded if its content is compressed.

    Args:
        file: File that can seek; closed with the result.
        name: Name of the file for messages.
    """
    start = file.read(4)
    length = file.seek(0, io.SEEK_END)
    file.seek(0)
    method = next((method for mark, method in _MARKS if start.startswith(mark)), None)
    return file if method is None else io.BufferedReader(_Expanded(file, method, name, max(MOST_BYTES, MOST_RATIO * length)))


class _Expanded(io.RawIOBase):
    """Reads a compressed file; damaged content and content beyond the limit raise GlanError."""

    def __init__(self, file: BinaryIO, method: str, name: str, most: int) -> None:
        import pyarrow as pa

        self._file, self._method, self._name, self._most, self._read = file, method, name, most, 0
        self._stream = pa.CompressedInputStream(pa.PythonFile(file, "r"), method)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]
        try:
            data = self._stream.read(len(buffer))
        except (OSError, ValueError):
            raise GlanError(f"{self._name} is not a complete {self._method} file. Download or compress it again.") from None
        self._read += len(data)
        if self._read > self._most:
            raise GlanError(f"{self._name} expands to more than {size(self._most)}. Expand it yourself if that is right.")
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()
