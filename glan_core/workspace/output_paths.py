"""Checks of output paths: exports must not overwrite workspace files or unrelated files."""

import os
from collections.abc import Callable
from pathlib import Path

from glan_core.errors import GlanError
from glan_core.workspace import Workspace
from glan_core.workspace.workspace import FILE

EXPORTS = "exports"  # the only folder of a workspace that accepts outputs
SQLITE = b"SQLite format 3\0"


def check_output(ws: Workspace, path: Path, is_earlier: Callable[[Path], bool] | None = None) -> None:
    """Check that an output may be written to a path. The links of its folders are resolved; the path itself may not be one.

    Args:
        ws: The workspace that the output comes from.
        path: The file or folder to write.
        is_earlier: Returns whether an existing path is an earlier output of the same kind, which may be replaced; None if
            nothing may be replaced.

    Raises:
        GlanError: If the path is in a workspace but not in its `exports` folder, or exists and may not be replaced.
    """
    try:
        places = {path.resolve(), path.parent.resolve() / path.name}
        kept = {entry.resolve() for entry in ws.folder.iterdir() if entry.is_symlink() and entry.name != EXPORTS}
        for place in places:
            for folder in (place, *place.parents):
                if folder in kept or (os.path.lexists(folder / FILE) and folder / EXPORTS not in place.parents):
                    raise GlanError(
                        f"{path} cannot be written: it is inside a workspace. Choose a path outside of it or in "
                        f"{ws.folder.absolute() / EXPORTS}."
                    )
        if os.path.lexists(path):
            _check_replaced(path, is_earlier)
    except (OSError, RuntimeError) as error:  # RuntimeError: circular symbolic links
        raise GlanError(f"{path} cannot be written: {getattr(error, 'strerror', None) or error}.") from None


def _check_replaced(path: Path, is_earlier: Callable[[Path], bool] | None) -> None:
    """Check that an existing path may be replaced."""
    if path.is_symlink():
        raise GlanError(f"{path} cannot be written: it is a symbolic link, which is not followed. Choose another name.")
    if path.is_dir():
        empty = not any(path.iterdir())
    elif path.is_file():
        with path.open("rb") as file:
            head = file.read(len(SQLITE))
        if head == SQLITE:
            raise GlanError(f"{path} cannot be written: it is a database. Choose another name.")
        empty = not head
    else:
        raise GlanError(f"{path} cannot be written: it is not a regular file. Choose another name.")
    if is_earlier is None or not (empty or is_earlier(path)):
        what = "" if is_earlier is None else " and is not an earlier output of this kind"
        raise GlanError(f"{path} cannot be written: it already exists{what}. Choose another name.")
