"""Files of a bundle: hashes, and checks of folders that another machine wrote.

A bundle may come from a stranger. Its files are regular files of known types with plain names, links are refused, and what is imported is
the copy whose hash was checked while it was written.
"""

import hashlib
import os
import re
import shutil
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from glan_core.errors import GlanError
from glan_core.formatting import quoted, size
from glan_core.json_text import parse_json
from glan_core.settings import AnySettings, read_settings

CHUNK = 1 << 20
MOST_FILES, MOST_DEPTH = 10_000, 4
MOST_JSON = 64 * 2**20  # bytes of a JSON file that is read at once
PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+=-]{0,199}")
# Types of files of a model: weights, configurations, tokenizers and templates. Other formats of weights can execute code.
MODEL_SUFFIXES = (".safetensors", ".json", ".jinja", ".txt", ".model", ".md")
HASH = re.compile(r"[0-9a-f]{64}")


def is_plain_path(path: str) -> bool:
    """Return whether a path is relative, stays in its folder, and has plain names only."""
    parts = path.split("/")
    return len(parts) <= MOST_DEPTH and all(PLAIN_NAME.fullmatch(part) for part in parts)


def open_plain(file: Path) -> BinaryIO:
    """Open a regular file for reading; links and devices are refused.

    Raises:
        GlanError: If it is missing, not a regular file, or cannot be read.
    """
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | getattr(os, "O_CLOEXEC", 0))
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise GlanError(f"{file} is not a regular file. Copy the bundle again.")
        return os.fdopen(descriptor, "rb")
    except FileNotFoundError:
        raise GlanError(f"{file} is missing. Copy the bundle again.") from None
    except OSError as error:
        why = "it is a link, which is not followed" if file.is_symlink() else (error.strerror or str(error))
        raise GlanError(f"{file} cannot be read: {why}.") from None


def hash_file(file: Path) -> str:
    """Return the SHA-256 of a regular file in hexadecimal."""
    digest = hashlib.sha256()
    with open_plain(file) as opened:
        while chunk := opened.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def copy_checked(source: Path, target: Path, expected: str) -> None:
    """Copy a regular file whose hash is known.

    Raises:
        GlanError: If the content has another hash; the copy is removed.
    """
    digest = hashlib.sha256()
    target.parent.mkdir(parents=True, exist_ok=True)
    with open_plain(source) as opened, target.open("xb") as copy:
        while chunk := opened.read(CHUNK):
            digest.update(chunk)
            copy.write(chunk)
    if digest.hexdigest() != expected:
        target.unlink()
        raise GlanError(_changed(source))


def link_or_copy(source: str, target: str) -> None:
    """Give a file of one file system a second name, or copy it."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def read_document(file: Path, settings_type: type[AnySettings]) -> AnySettings:
    """Read a JSON file as settings.

    Raises:
        GlanError: If it is missing, too large, or not what it should be.
    """
    with open_plain(file) as opened:
        content = opened.read(MOST_JSON + 1)
    if len(content) > MOST_JSON:
        raise GlanError(f"{file} is larger than {size(MOST_JSON)}, which such a file never is.")
    try:
        values = parse_json(content)
        if not isinstance(values, dict):
            raise ValueError
    except ValueError:
        raise GlanError(f"{file} is not a JSON object. Copy the bundle again.") from None
    try:
        return read_settings(settings_type, values)
    except GlanError as error:
        raise GlanError(f"{file} cannot be read: {error}") from None


def list_files(folder: Path) -> list[str]:
    """Return the relative paths of all files below a folder, in order.

    Raises:
        GlanError: If there are links, special files, unusual names, too many files or too many levels.
    """
    found: list[str] = []
    for path, mode in _entries(folder, folder):
        relative = path.relative_to(folder).as_posix()
        if not is_plain_path(relative):
            raise GlanError(f"{folder} has a file with an unexpected name: {quoted(relative)}.")
        if not stat.S_ISREG(mode):
            what = "a link" if stat.S_ISLNK(mode) else "not a regular file"
            raise GlanError(f"{quoted(relative)} in {folder} is {what}, which a bundle never has.")
        found.append(relative)
        if len(found) > MOST_FILES:
            raise GlanError(f"{folder} has more than {MOST_FILES:,} files, which a bundle never has.")
    return sorted(found)


def _entries(root: Path, folder: Path) -> Iterator[tuple[Path, int]]:
    """Yield everything but folders below a folder, with its file mode; links are not followed."""
    if len(folder.relative_to(root).parts) > MOST_DEPTH:
        raise GlanError(f"{root} has more than {MOST_DEPTH} levels of folders, which a bundle never has.")
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise GlanError(f"{folder} cannot be read: {error.strerror or error}.") from None
    for entry in entries:
        mode = entry.stat(follow_symlinks=False).st_mode
        if stat.S_ISDIR(mode):
            yield from _entries(root, Path(entry.path))
        else:
            yield Path(entry.path), mode


def hash_files(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below a folder by relative path."""
    return {path: hash_file(folder / path) for path in list_files(folder)}


def check_files(folder: Path, files: Mapping[str, str]) -> None:
    """Check that files are there and have their hashes.

    Raises:
        GlanError: If one is missing or was changed; the message names it.
    """
    for path, expected in files.items():
        if hash_file(folder / path) != expected:
            raise GlanError(_changed(folder / path))


def copy_model_files(source: Path, target: Path) -> None:
    """Copy the files of a base model: weights as safetensors, configuration and tokenizer. Links of the Hub cache are followed."""
    target.mkdir(parents=True)
    for file in sorted(source.iterdir()):
        if file.is_file() and file.suffix in MODEL_SUFFIXES and PLAIN_NAME.fullmatch(file.name):
            shutil.copyfile(file, target / file.name)


def _changed(file: Path) -> str:
    return f"{file} was changed after it was written: its SHA-256 differs. Copy the bundle again."
