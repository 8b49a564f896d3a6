"""Files and folders that appear whole or not at all, and only where nothing else is lost."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from glan_core.errors import GlanError


@contextmanager
def placed(path: Path, *, folder: bool, mark: object) -> Iterator[Path]:
    """A new file or folder beside `path`, which takes its place when the block ends well and is removed when it does not.

    `mark` (the number of a run, or of a process) is part of its name: what the same mark left behind when it was killed is
    removed first. GlanError when the place can't be written.
    """
    new = path.parent / f".{path.name}.unfinished-{mark}"
    old = path.parent / f".{path.name}.replaced-{mark}"
    try:
        _remove(new)
        if folder:
            new.mkdir()
        yield new
        if path.is_dir() and not path.is_symlink():
            _remove(old)
            path.rename(old)
        os.replace(new, path)
    except OSError as error:
        raise GlanError(f"{path} cannot be written: {error.strerror or error}.") from None
    finally:
        _remove(new)
        _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
