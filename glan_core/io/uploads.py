"""Files that a person gave to a workspace: kept in a folder of it under their own names, so that work on them can be done
again."""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from glan_core.errors import GlanError
from glan_core.io.dataset_reader import SUFFIXES

CHUNK = 1 << 20
LONGEST_NAME = 80


def kept_files(folder: Path) -> list[Path]:
    """The dataset files in a folder of uploads, sorted by name."""
    return sorted(path for path in folder.glob("[!.]*") if path.suffix.lower() in SUFFIXES)


def keep_file(folder: Path, name: str, data: BinaryIO, check: Callable[[Path], None]) -> Path:
    """Keep a file under its own name, freed of what is no part of a file's name; where another file has that name, a number
    is added. GlanError, and nothing is kept, where `check`, which gets the file, raises one."""
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
        raise GlanError(f"{plain} can't be used: {str(error).replace(new.name, plain).replace(new.stem, plain)}") from None
    finally:
        new.unlink(missing_ok=True)
    return path


def _plain_name(name: str) -> str:
    """'GSM8K test.jsonl' as 'GSM8K-test.jsonl'; GlanError for a kind of file that is not read."""
    path = Path(name.replace("\\", "/"))
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise GlanError(f"Files of this kind can't be read: give one that ends in {', '.join(SUFFIXES)}.")
    stem = re.sub(r"[^\w.-]+", "-", path.stem).strip(".-")[: LONGEST_NAME - len(suffix)]
    return f"{stem or 'rows'}{suffix}"


def _places(path: Path) -> Iterator[Path]:
    yield path
    yield from (path.with_stem(f"{path.stem}-{nth}") for nth in range(2, 1000))


def _same(one: Path, other: Path) -> bool:
    if one.stat().st_size != other.stat().st_size:
        return False
    with one.open("rb") as first, other.open("rb") as second:
        while chunk := first.read(CHUNK):
            if chunk != second.read(CHUNK):
                return False
    return True
