"""Data files of a dataset: one file, a folder, a zip archive, or what Hugging Face `datasets` saved to disk."""

import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from glan_core.errors import GlanError
from glan_core.io import compression
from glan_core.json_text import parse_json

SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".arrow")
COLUMNAR = (".parquet", ".arrow")
ARCHIVE = ".zip"
FORMATS = "JSONL, JSON, CSV, Parquet or Arrow, also compressed (.gz, .zst) or as .zip"  # for captions
METADATA = (
    "dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json", "manifest.json", "metadata.json", "config.json",
)  # fmt: skip
MOST_FILES, MOST_DEPTH = 5000, 4
MOST_BYTES = 20_000_000_000  # of all files of an archive
CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file with rows.

    Attributes:
        path: Path for messages; within an archive, below the archive's path.
        opened: Function that opens the file from its start, expanded unless it is columnar.
    """

    path: Path
    opened: Callable[[], BinaryIO]

    @property
    def suffix(self) -> str:
        """Suffix without that of the compression, in lower case."""
        return compression.without_suffix(self.path).suffix.lower()

    @property
    def name(self) -> str:
        """File name."""
        return self.path.name


def is_data_file(path: Path) -> bool:
    """Return whether a file name has a known suffix: one of SUFFIXES, also compressed, or that of an archive."""
    return path.suffix.lower() == ARCHIVE or compression.without_suffix(path).suffix.lower() in SUFFIXES


def data_suffix(path: Path) -> str:
    """Return the suffix of a data file with that of its compression: '.jsonl.gz'; '' if it is not known."""
    if not is_data_file(path):
        return ""
    inner = compression.without_suffix(path)
    return path.suffix.lower() if inner == path else inner.suffix.lower() + path.suffix.lower()


def data_files(path: Path) -> list[DataFile]:
    """Return the files with rows of a path, by name; those of a saved dataset in its own order.

    Raises:
        GlanError: If the path does not exist, is of another type, or has no such files.
    """
    if not path.exists():
        raise GlanError(f"{path} does not exist.")
    if path.is_file():
        if path.suffix.lower() == ARCHIVE:
            return _of_archive(path)
        if not is_data_file(path):
            raise GlanError(
                f"{path.name} cannot be read as a dataset. Use JSONL, JSON, CSV, Parquet or Arrow, or a zip of these."
            )
        return [_stored(path)]
    names = [str(PurePosixPath(found.relative_to(path))) for found in _walk(path)]
    return [_stored(path / name) for name in _chosen(names, lambda name: (path / name).read_bytes(), path.name, "folder")]


def _stored(path: Path) -> DataFile:
    return DataFile(path, lambda: compression.open_expanded(path.open("rb"), path.name))


def _walk(folder: Path) -> list[Path]:
    """Return the visible files of a folder and its visible subfolders by name."""
    found: list[Path] = []
    pending = [folder]
    while pending and len(found) < MOST_FILES:
        at = pending.pop()
        try:
            inside = sorted(path for path in at.iterdir() if not path.name.startswith("."))
        except OSError as error:
            raise GlanError(f"{at} cannot be read: {error.strerror}.") from None
        found += [path for path in inside if path.is_file()]
        if len(at.relative_to(folder).parts) < MOST_DEPTH:
            pending += [path for path in reversed(inside) if path.is_dir() and not path.is_symlink()]
    return sorted(found)


def _of_archive(path: Path) -> list[DataFile]:
    """Return the data files of a zip archive; a single folder at its top is left out of the names."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if not info.is_dir()]
    except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError):
        raise GlanError(f"{path.name} is not a complete zip archive. Download or create it again.") from None
    members = [
        info for info in members if not any(part.startswith((".", "__MACOSX")) for part in PurePosixPath(info.filename).parts)
    ]
    if any(".." in PurePosixPath(info.filename).parts or info.filename.startswith("/") for info in members):
        raise GlanError(f"{path.name} contains paths that lead out of it. Create it again.")
    if len(members) > MOST_FILES or sum(info.file_size for info in members) > MOST_BYTES:
        raise GlanError(f"{path.name} contains more than {MOST_FILES:,} files or 20 GB. Extract it and use the folder.")
    by_name = {info.filename: info for info in members}

    def read(name: str) -> bytes:
        with _open_member(path, by_name[name]) as file:
            return file.read()

    def member(name: str) -> DataFile:
        return DataFile(path / name, lambda: compression.open_expanded(_open_member(path, by_name[name]), name))

    return [member(name) for name in _chosen(sorted(by_name), read, path.name, "archive")]


def _open_member(path: Path, info: zipfile.ZipInfo) -> BinaryIO:
    """Return a member of an archive as an unnamed temporary file, because readers seek; its stated size is the limit."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open(info) as member:
            file = tempfile.TemporaryFile()  # noqa: SIM115 (the caller closes it)
            while chunk := member.read(CHUNK):
                file.write(chunk)
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError) as error:
        encrypted = "encrypted" in str(error)
        raise GlanError(
            f"{info.filename} of {path.name} {'is encrypted' if encrypted else 'is damaged'}. Extract it, or create the archive again."
        ) from None
    file.seek(0)
    return cast(BinaryIO, file)


def _chosen(names: list[str], read: Callable[[str], bytes], title: str, what: str) -> list[str]:
    """Return the names of the files with rows among those of a folder or archive."""
    known = set(names)
    if saved := _saved(known, read, title):
        return saved
    data = [name for name in names if is_data_file(Path(name)) and not Path(name).name.startswith("cache-")]
    rows = [
        name for name in data if compression.without_suffix(Path(name)).suffix.lower() != ".json" and not name.endswith(ARCHIVE)
    ]
    # JSON files next to others contain metadata
    found = rows or [name for name in data if Path(name).name not in METADATA and not name.endswith(ARCHIVE)]
    top = min((name.count("/") for name in found), default=0)
    if top == 0 and any("/" not in name for name in found):
        found = [name for name in found if "/" not in name]
    elif any(name.startswith("data/") for name in found):
        found = [name for name in found if name.startswith("data/")]
    if not found:
        raise GlanError(
            f"The {what} {title} contains no dataset. Use one saved by `datasets`, or one with JSONL, JSON, CSV, Parquet or Arrow files."
        )
    return found


def _saved(known: set[str], read: Callable[[str], bytes], title: str) -> list[str]:
    """Return the Arrow files of a dataset or its splits that `datasets` saved, in order; empty if it did not save any."""
    tops = [name.removesuffix("dataset_dict.json") for name in known if PurePosixPath(name).name == "dataset_dict.json"]
    tops = tops or [name.removesuffix("state.json") for name in known if PurePosixPath(name).name == "state.json"]
    found: list[str] = []
    try:
        for top in sorted(tops):
            splits = [""]
            if (all_splits := f"{top}dataset_dict.json") in known:
                splits = [f"{split}/" for split in parse_json(read(all_splits))["splits"]]
            for split in splits:
                found += [
                    f"{top}{split}{part['filename']}" for part in parse_json(read(f"{top}{split}state.json"))["_data_files"]
                ]
        if missing := [name for name in found if name not in known]:
            raise GlanError(f"The dataset saved in {title} lacks {missing[0]}. Save it again.")
    except (OSError, ValueError, KeyError, TypeError):
        raise GlanError(f"The dataset saved in {title} is damaged. Save it again.") from None
    return found
