"""Benchmark files that a person gave to a workspace: kept in its folder, so that a check can be made again."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from glan_core.dataset.benchmark_files import read_benchmark
from glan_core.dataset.foreign import SUFFIXES
from glan_core.dataset.orders import BenchmarkSource
from glan_core.errors import GlanError
from glan_core.workspace import Workspace

FOLDER = "benchmarks"  # within a workspace's folder
CHUNK = 1 << 20
LONGEST_NAME = 80


def stored_benchmarks(ws: Workspace) -> list[Path]:
    """The benchmark files that the workspace keeps, by their names."""
    return sorted(path for path in (ws.folder / FOLDER).glob("[!.]*") if path.suffix.lower() in SUFFIXES)


def store_benchmark(ws: Workspace, name: str, data: BinaryIO, column: str | None = None) -> Path:
    """Keep a benchmark's file under its own name, freed of what is no part of a file's name; where another file has that name,
    a number is added. GlanError, and nothing is kept, where it can't be read or `column` is not in it."""
    if ws.read_only:
        raise GlanError("This workspace can only be read: nothing can be stored in it.")
    plain = _plain_name(name)
    folder = ws.folder / FOLDER
    folder.mkdir(exist_ok=True)
    new = folder / f".{os.getpid()}-{plain}"
    try:
        with new.open("wb") as file:
            while chunk := data.read(CHUNK):
                file.write(chunk)
        if not any(item.text for item in read_benchmark(BenchmarkSource(source=str(new), column=column))):
            raise GlanError("It holds no questions.")
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
    return f"{stem or 'benchmark'}{suffix}"


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
