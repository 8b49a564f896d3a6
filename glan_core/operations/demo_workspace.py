"""New workspaces: with the starter taxonomy, or a copy of the demo, which `demo_build` makes and packs."""

import fcntl
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import apsw

from glan_core.errors import GlanError
from glan_core.io.packaged_models import SMOLLM2_NAME, display_name, local_place
from glan_core.resources import ASSETS
from glan_core.taxonomy import taxonomy_files, tree_editing
from glan_core.workspace import Workspace
from glan_core.workspace.workspace import FILE, UNFINISHED, WorkspaceError, new_folder

STARTER_TAXONOMY = ASSETS / "taxonomy.yaml"
DEMO_ARCHIVE = ASSETS / "demo" / "workspace.tar.xz"
# Of a workspace, what a copy of it does not need: logs, checkpoints, measured speeds, files of running programs.
NOT_PACKED = ("runs", "training", "tensorboard", "exports")
WHO = "GLAN Studio"


def create_workspace(folder: str | os.PathLike, *, demo: bool = False) -> Workspace:
    """Create a workspace with the starter taxonomy, or a copy of the demo.

    The workspace is assembled in a temporary folder and moved into place when complete, so a kill leaves no partial one.

    Args:
        folder: Folder of the workspace.
        demo: Copy the demo: pairs, checks, a map, a tuned model and its evaluation.

    Raises:
        WorkspaceError: If the folder is in use.
        GlanError: If the demo is not part of this installation.
    """
    was_there = Path(folder).expanduser().exists()
    path = new_folder(folder)
    unfinished = path / UNFINISHED
    with _alone_in(path):
        shutil.rmtree(unfinished, ignore_errors=True)
        try:
            if demo:
                _unpack(DEMO_ARCHIVE, unfinished)
            else:
                ws = Workspace.create(unfinished, path.name)
                tree_editing.import_nodes(ws, taxonomy_files.read(STARTER_TAXONOMY), WHO)
                ws.close()  # closing the last connection checkpoints the WAL into the database file
            for entry in sorted(unfinished.iterdir(), key=lambda entry: entry.name == FILE):  # the database last
                entry.replace(path / entry.name)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
            if not was_there:
                with suppress(OSError):  # the folder is not empty: it contains the workspace
                    path.rmdir()
    return Workspace.open(path)


@contextmanager
def _alone_in(path: Path) -> Iterator[None]:
    """Lock a folder against other processes; the lock is released when this process ends."""
    lock = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        new_folder(path)  # check again now that the folder is locked
        yield
    except BlockingIOError:
        raise WorkspaceError(
            f"Another process is creating a workspace in {path}. Wait for it or choose another folder."
        ) from None
    finally:
        os.close(lock)


def _unpack(archive: Path, folder: Path) -> None:
    if not archive.is_file():
        raise GlanError(f"{archive} does not exist: this installation has no demo. Create a workspace without it.")
    folder.mkdir()
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")


def pack_demo(folder: Path, archive: Path) -> None:
    """Pack a workspace into an archive that can be unpacked anywhere: without logs, free pages and paths of this machine."""
    with tempfile.TemporaryDirectory(dir=archive.parent, prefix=".pack-") as scratch:
        copy = Path(scratch) / "workspace"
        shutil.copytree(
            folder, copy, ignore=lambda _, names: [n for n in names if n in NOT_PACKED or n.startswith((".", FILE))]
        )
        whole = apsw.Connection(str(folder / FILE))
        whole.execute("VACUUM INTO ?", (str(copy / FILE),))
        whole.close()
        _remove_paths(copy / FILE, str(folder.absolute()))
        for file in (*copy.rglob("*.json"), *copy.rglob("*.md")):
            text = file.read_text("utf-8")
            portable = text.replace(str(folder.absolute()), ".").replace(local_place(SMOLLM2_NAME), display_name(SMOLLM2_NAME))
            if portable != text:
                file.write_text(portable, "utf-8")
        with tarfile.open(archive.with_suffix(".new"), "w:xz", preset=9) as packed:
            for entry in sorted(copy.rglob("*")):
                packed.add(entry, entry.relative_to(copy), recursive=False, filter=_anonymous)
        archive.with_suffix(".new").replace(archive)


def _remove_paths(database: Path, folder: str) -> None:
    """Make paths within the workspace relative, in the settings and metadata that mention them."""
    db = apsw.Connection(str(database))
    with db:
        for table, column in (
            ("meta", "value"),
            ("runs", "params"),
            ("runs", "message"),
            ("matches", "about"),
            ("benchmark_scores", "about"),
            ("probes", "about"),
        ):
            db.execute(f"UPDATE {table} SET {column} = replace({column}, ?, '.') WHERE instr({column}, ?)", (folder, folder))
    db.execute("VACUUM")
    db.close()


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Return an entry without owner and time, so that the same content gives the same archive."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mtime = 0
    return entry
