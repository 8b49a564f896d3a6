"""Atomic outputs: files and folders that appear complete or not at all."""

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from glan_core import access
from glan_core.errors import GlanError


@contextmanager
def atomic_output(path: Path, *, folder: bool, mark: object) -> Iterator[Path]:
    """Yield a temporary path next to `path` that replaces it if the block succeeds and is removed otherwise.

    Files and folders get the permissions that new ones have under the process's umask, whatever wrote them: safetensors
    and `tempfile` create files that only their owner can read, and copied files keep the permissions of their source.

    Args:
        path: The file or folder to write.
        folder: Whether to create a folder.
        mark: Run id or process id in the temporary name; leftovers with the same mark are removed first.

    Raises:
        GlanError: If the path cannot be written, or nothing may be changed here.
    """
    access.check_may_change()
    new = path.parent / f".{path.name}.unfinished-{mark}"
    old = path.parent / f".{path.name}.replaced-{mark}"
    try:
        _remove(new)
        new.mkdir()  # also for a file: shows the permissions of new folders, without changing the umask of other threads
        mode = stat.S_IMODE(new.stat().st_mode)
        if not folder:
            new.rmdir()
        yield new
        _set_permissions(new, mode)
        if path.is_dir() and not path.is_symlink():
            _remove(old)
            path.rename(old)
        os.replace(new, path)
    except OSError as error:
        raise GlanError(f"{path} cannot be written: {error.strerror or error}.") from None
    finally:
        _remove(new)
        _remove(old)


def _set_permissions(path: Path, folder_mode: int) -> None:
    """Set the permissions of a folder and all below it, or of a file."""
    for entry in (path, *path.rglob("*")):
        if not entry.is_symlink():
            entry.chmod(folder_mode if entry.is_dir() else folder_mode & 0o666)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
