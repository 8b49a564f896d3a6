"""Benchmark files that a person gave to a workspace: kept in its folder, so that a check can be made again."""

from pathlib import Path
from typing import BinaryIO

from glan_core.dataset.benchmark_files import read_benchmark
from glan_core.dataset.settings import BenchmarkSource
from glan_core.errors import GlanError
from glan_core.io.uploads import keep_file, kept_files
from glan_core.workspace import Workspace

FOLDER = "benchmarks"  # within a workspace's folder


def stored_benchmarks(ws: Workspace) -> list[Path]:
    """The benchmark files that the workspace keeps, by their names."""
    return kept_files(ws.folder / FOLDER)


def store_benchmark(ws: Workspace, name: str, data: BinaryIO, column: str | None = None) -> Path:
    """Keep a benchmark's file (`keep_file`). GlanError, and nothing is kept, where it can't be read or `column` is not in it."""

    def check(file: Path) -> None:
        if not any(item.text for item in read_benchmark(BenchmarkSource(source=str(file), column=column))):
            raise GlanError("It holds no questions.")

    return keep_file(ws.writable_folder(FOLDER), name, data, check)
