"""Where outputs may be written: outside every workspace or in its `exports` folder, over nothing but an earlier output."""

import os
from collections.abc import Callable
from pathlib import Path

from glan_core.errors import GlanError
from glan_core.workspace import Workspace
from glan_core.workspace.workspace import FILE

EXPORTS = "exports"  # the one folder of a workspace that outputs may go to
SQLITE = b"SQLite format 3\0"


def check_output(ws: Workspace, path: Path, is_earlier: Callable[[Path], bool] | None = None) -> None:
    """Make sure that an output may be written to a path, which links are followed for.

    Args:
        ws: The workspace that the output is of. None of its files may be replaced, nor those of any other workspace.
        path: The file or folder to write.
        is_earlier: Whether an existing file or folder is an earlier output of the same kind; None: nothing may be replaced.

    Raises:
        GlanError: If the path lies in a workspace outside its folder for exports, or holds something else than an earlier
            output.
    """
    try:
        places = {path.resolve(), path.parent.resolve() / path.name}
        kept = {entry.resolve() for entry in ws.folder.iterdir() if entry.is_symlink() and entry.name != EXPORTS}
        for place in places:
            for folder in (place, *place.parents):
                if folder in kept or (os.path.lexists(folder / FILE) and folder / EXPORTS not in place.parents):
                    raise GlanError(
                        f"{path} cannot be written: it would lie among the files of a workspace. Name a place outside of it, or in "
                        f"{ws.folder.absolute() / EXPORTS}."
                    )
        if os.path.lexists(path):
            _check_replaced(path, is_earlier)
    except (OSError, RuntimeError) as error:  # RuntimeError: links that lead in a circle
        raise GlanError(f"{path} cannot be written: {getattr(error, 'strerror', None) or error}.") from None


def _check_replaced(path: Path, is_earlier: Callable[[Path], bool] | None) -> None:
    """Make sure that what is there already may be replaced."""
    if path.is_dir():
        empty = not any(path.iterdir())
    elif path.is_file():
        with path.open("rb") as file:
            head = file.read(len(SQLITE))
        if head == SQLITE:
            raise GlanError(f"{path} cannot be written: it is a database. Choose another name.")
        empty = not head
    else:
        raise GlanError(f"{path} cannot be written: it is no ordinary file. Choose another name.")
    if is_earlier is None or not (empty or is_earlier(path)):
        what = "exists already" if is_earlier is None else "exists already, and is no earlier output of this kind"
        raise GlanError(f"{path} cannot be written: it {what}. Choose another name.")
