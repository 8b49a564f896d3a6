"""Files uploaded to a workspace, kept under their own names so that jobs can be repeated."""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from glan_core import access
from glan_core.errors import GlanError
from glan_core.io import compression
from glan_core.io.data_files import ARCHIVE, SUFFIXES, data_suffix, is_data_file

CHUNK = 1 << 20
MAX_NAME = 80


def uploaded_files(folder: Path) -> list[Path]:
    """Return the dataset files in an upload folder, sorted by name."""
    return sorted(path for path in folder.glob("[!.]*") if is_data_file(path))


def store_upload(folder: Path, name: str, data: BinaryIO, check: Callable[[Path], None]) -> Path:
    """Store an uploaded file under its sanitized name; return its path.

    If a different file has that name, a number is appended.

    Args:
        folder: Upload folder, created if needed.
        name: Name of the file.
        data: Its content.
        check: Function that raises GlanError if the file is not usable.

    Raises:
        GlanError: If `check` raises it, or nothing may be changed here. The file is not stored.
    """
    access.check_may_change()
    plain = _plain_name(name)
    folder.mkdir(exist_ok=True)
    new = folder / f".{os.getpid()}-{plain}"
    try:
        with new.open("wb") as file:
            while chunk := data.read(CHUNK):
                file.write(chunk)
        check(new)
        path = next(path for path in _places(folder / plain) if not path.exists() or _same(path, new))
        os.replace(new, path)
    except GlanError as error:
        raise GlanError(f"{plain} cannot be used: {str(error).replace(new.name, plain).replace(new.stem, plain)}") from None
    finally:
        new.unlink(missing_ok=True)
    return path


def _plain_name(name: str) -> str:
    """Sanitize a file name: 'GSM8K test.jsonl' becomes 'GSM8K-test.jsonl'.

    Raises:
        GlanError: If the type of file is not supported.
    """
    path = Path(name.replace("\\", "/"))
    suffix = data_suffix(path)
    if not suffix:
        known = ", ".join((*SUFFIXES, ARCHIVE))
        raise GlanError(
            f"This type of file is not supported. Use one of {known}; text may be compressed ({', '.join(compression.SUFFIXES)})."
        )
    stem = re.sub(r"[^\w.-]+", "-", path.name[: len(path.name) - len(suffix)]).strip(".-")[: MAX_NAME - len(suffix)]
    return f"{stem or 'rows'}{suffix}"


def _places(path: Path) -> Iterator[Path]:
    yield path
    suffix = data_suffix(path)
    stem = path.name[: len(path.name) - len(suffix)]
    yield from (path.with_name(f"{stem}-{nth}{suffix}") for nth in range(2, 1000))


def _same(one: Path, other: Path) -> bool:
    if one.stat().st_size != other.stat().st_size:
        return False
    with one.open("rb") as first, other.open("rb") as second:
        while chunk := first.read(CHUNK):
            if chunk != second.read(CHUNK):
                return False
    return True
