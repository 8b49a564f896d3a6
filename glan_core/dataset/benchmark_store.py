"""Benchmark files stored in a workspace folder so that a check can be repeated."""

from pathlib import Path
from typing import BinaryIO

from glan_core.dataset.benchmark_files import read_benchmark
from glan_core.dataset.settings import BenchmarkSource
from glan_core.errors import GlanError
from glan_core.io.uploads import store_upload, uploaded_files
from glan_core.workspace import Workspace

FOLDER = "benchmarks"  # within the workspace folder


def stored_benchmarks(ws: Workspace) -> list[Path]:
    """Return the benchmark files stored in the workspace, sorted by name."""
    return uploaded_files(ws.folder / FOLDER)


def store_benchmark(ws: Workspace, name: str, data: BinaryIO, column: str | None = None) -> Path:
    """Store a benchmark file in the workspace.

    Args:
        ws: Workspace.
        name: File name.
        data: Binary content.
        column: Column that holds the question; detected if None.

    Raises:
        GlanError: If the file cannot be read, has no questions, or has no such column. No file is stored.
    """

    def check(file: Path) -> None:
        if not any(item.text for item in read_benchmark(BenchmarkSource(source=str(file), column=column))):
            raise GlanError("The file contains no questions.")

    return store_upload(ws.writable_folder(FOLDER), name, data, check)
