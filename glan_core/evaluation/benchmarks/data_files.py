"""Benchmark data files: finds local data and reads its rows.

Files have the columns of the original dataset, as JSONL, JSON, CSV or Parquet. The path names configuration and split, as on
the Hub: `main/test-00000-of-00001.parquet`, `test.jsonl`, `abstract_algebra_test.csv`.
"""

import hashlib
import json
import os
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from glan_core.dataset.benchmark_store import FOLDER
from glan_core.errors import GlanError
from glan_core.evaluation.benchmarks.registry import MAIN, Benchmark
from glan_core.io.data_files import data_suffix
from glan_core.io.dataset_reader import stored_rows
from glan_core.workspace import Workspace

SUFFIXES = tuple(
    f"{suffix}{packed}"
    for suffix in (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")
    for packed in ("", ".gz", ".zst")
)
SPLITS = ("train", "test", "validation", "valid", "val", "dev")
FACTS = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json")  # metadata files next to rows
LISTS = ("choices", "test_list", "instruction_id_list", "kwargs")  # columns that CSV stores as JSON
MOST_FILES = 5000  # maximum number of files searched in a folder


@dataclass(frozen=True, slots=True)
class BenchmarkData:
    """Data of a benchmark: the files of each part; MAIN holds files shared by all parts."""

    folder: Path
    files: dict[str, tuple[Path, ...]]

    def parts(self, benchmark: Benchmark) -> tuple[str, ...]:
        """Return the parts that have rows."""
        return tuple(benchmark.parts) if MAIN in self.files else tuple(part for part in benchmark.parts if part in self.files)


def data_folder(ws: Workspace, given: str | None) -> Path:
    """Return the folder that is searched first."""
    return Path(given).expanduser().absolute() if given else ws.folder / FOLDER


def candidate_paths(folder: Path, benchmark: Benchmark) -> list[Path]:
    """Return the candidate locations of a benchmark's data: in `folder` by name, and in the Hugging Face cache."""
    name = benchmark.dataset.split("/")[-1]
    found = [folder / called for called in dict.fromkeys((benchmark.id, name))]
    found += [folder / f"{called}{suffix}" for called in dict.fromkeys((benchmark.id, name)) for suffix in SUFFIXES]
    return [*found, *_cached(benchmark.dataset)]


def find_data(folder: Path, benchmark: Benchmark) -> BenchmarkData | None:
    """Return the data of a benchmark from the first location that has some, or None."""
    for place in candidate_paths(folder, benchmark):
        if place.is_file():
            return BenchmarkData(place.parent, {MAIN: (place,)})
        if place.is_dir() and (files := _of_parts(place, benchmark)):
            return BenchmarkData(place, files)
    return None


def read_rows(data: BenchmarkData, benchmark: Benchmark) -> dict[str, list[dict]]:
    """Return the rows of each part.

    Raises:
        GlanError: If a file cannot be read, lacks a column, or has no rows.
    """
    rows: dict[str, list[dict]] = {}
    for part, files in data.files.items():
        for file in files:
            for _, where, row in stored_rows(file):
                if lacks := [column for column in benchmark.columns if column not in row]:
                    raise GlanError(f"{where} of {file} has no column {lacks[0]!r}, which {benchmark.title} requires.")
                if benchmark.ids and row.get("task_id") not in benchmark.ids:
                    continue
                rows.setdefault(_part_of(row, part, benchmark), []).append(_parsed(row, benchmark))
    known = {part: rows[part] for part in benchmark.parts if part in rows}
    if not known:
        raise GlanError(f"{data.folder} has no rows for {benchmark.title}.")
    return known


def data_hash(data: BenchmarkData) -> str:
    """Return 'sha256:' plus the hash of the files' content, cached until they change."""
    digest = hashlib.sha256()
    for part in sorted(data.files):
        for file in data.files[part]:
            about = file.stat()
            digest.update(f"{part}\n{_hash(str(file), about.st_size, about.st_mtime_ns)}\n".encode())
    return f"sha256:{digest.hexdigest()}"


@lru_cache(256)
def _hash(file: str, size: int, changed: int) -> str:
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _cached(dataset: str) -> list[Path]:
    """Return the newest snapshot of a dataset in the Hugging Face cache."""
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "huggingface"
    cache = Path(os.environ.get("HF_HUB_CACHE") or Path(home) / "hub").expanduser()
    snapshots = list((cache / f"datasets--{dataset.replace('/', '--')}" / "snapshots").glob("*"))
    return sorted(snapshots, key=lambda folder: folder.stat().st_mtime, reverse=True)[:1]


def _of_parts(folder: Path, benchmark: Benchmark) -> dict[str, tuple[Path, ...]]:
    """Return the files of each part of a benchmark in a folder, matched by configuration and split in their path.

    Files without a split are used if no file names one; files without a configuration are used if the benchmark has only
    one, or a column that names it.
    """
    named = {}
    for file in sorted(folder.rglob("*"))[:MOST_FILES]:
        if (suffix := data_suffix(file)) in SUFFIXES and file.name not in FACTS and file.is_file():
            named[file] = f"_{_plain(str(file.relative_to(folder))[: -len(suffix)])}_"
    if any(f"_{split}_" in words for words in named.values() for split in SPLITS):
        named = {file: words for file, words in named.items() if f"_{benchmark.split}_" in words}
    found: dict[str, tuple[Path, ...]] = {}
    for file, words in named.items():
        named_here = [part for part, config in benchmark.parts.items() if f"_{_plain(config)}_" in words]
        if named_here:  # 'intermediate algebra' also contains 'algebra'
            part = max(named_here, key=lambda part: len(benchmark.parts[part]))
            found[part] = (*found.get(part, ()), file)
    whole = tuple(
        file for file, words in named.items() if re.fullmatch(rf"_(all_|data_|main_|{benchmark.split}_|[\d_]|of_)*", words)
    )
    if not found and (len(benchmark.parts) == 1 or benchmark.by):
        files = whole or (tuple(named) if len(named) == 1 else ())
        return {MAIN: files} if files else {}
    return found


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


def _part_of(row: dict, part: str, benchmark: Benchmark) -> str:
    if part != MAIN or len(benchmark.parts) == 1:
        return part
    called = _plain(str(row.get(benchmark.by, "")))
    return next((name for name, config in benchmark.parts.items() if called in (_plain(name), _plain(config))), "?")


def _parsed(row: dict, benchmark: Benchmark) -> dict:
    """Parse the lists and numbers that CSV stores as text."""
    for name in LISTS:
        if isinstance(row.get(name), str):
            row[name] = _value(row[name])
    if benchmark.id == "mmlu" and isinstance(answer := row["answer"], str):
        row["answer"] = "ABCD".index(answer) if answer in tuple("ABCD") else int(answer) if answer.isdigit() else answer
    return row


def _value(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
