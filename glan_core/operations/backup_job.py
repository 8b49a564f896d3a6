"""Backup job: a live workspace as one compressed file, which `restore_backup` turns into a workspace again.

The file is a tar archive compressed by Zstandard (`tar --zstd -xf FILE` reads it, too): `backup.json`, the files, then the database,
in the order of `duplicate_job`, so that no file refers to rows that the database lacks. It holds no keys, as the workspace itself.
"""

import io
import json
import os
import shutil
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Literal

import apsw
from pydantic import Field

from glan_core import __version__
from glan_core.errors import GlanError
from glan_core.formatting import plural, quoted, size
from glan_core.io.atomic import atomic_output
from glan_core.operations.duplicate_job import MEGABYTE, RESERVE, files_to_copy, report_bytes
from glan_core.runs.heartbeat import Progress
from glan_core.settings import Settings
from glan_core.workspace import Workspace, WorkspaceError, workspace_facts
from glan_core.workspace.output_paths import check_output
from glan_core.workspace.workspace import FILE, check_file, refuse_program
from glan_core.workspace.workspace_copy import copy_database, mark_as_backup

ABOUT, SUFFIX = "backup.json", ".tar.zst"
CHUNK = 1 << 20


class BackupSettings(Settings):
    """Settings of a backup: one file with everything in a workspace."""

    path: str = Field(title="File", description=f"The file to write, outside of the workspace; it ends in {SUFFIX}.")
    kind: Literal["backup"] = "backup"


def check_backup(ws: Workspace, path: Path) -> None:
    """Check that a backup may be written to a path.

    Raises:
        GlanError: If it exists, is inside the workspace, has another ending, or its disk has too little space.
    """
    if not path.name.endswith(SUFFIX) or path.name == SUFFIX:
        raise GlanError(f"{path} is no name of a backup. End it in {SUFFIX}.")
    if not path.parent.is_dir():
        raise GlanError(f"{path.parent} does not exist. Create the folder of the backup first.")
    check_output(ws, path)
    if link := next((file for file, _ in files_to_copy(ws, whole=True) if file.is_symlink()), None):
        raise GlanError(f"{link} is a symbolic link, which a backup cannot hold. Put the file itself in its place.")
    needed, free = workspace_facts.disk_bytes(ws.folder), shutil.disk_usage(path.parent).free
    if needed + RESERVE > free:
        raise GlanError(
            f"A backup of {quoted(ws.folder.name)} needs up to {size(needed)}, and {path.parent} has {size(free)} left."
        )


def back_up(ws: Workspace, settings: BackupSettings, progress: Progress) -> str:
    """Write the backup.

    Returns:
        One sentence about the result.

    Raises:
        GlanError: If the path is taken, the disk has too little space, or a file cannot be read.
    """
    path = Path(settings.path)
    if (earlier := read_about(path)) and earlier.get("run") == progress.run_id and earlier.get("id") == ws.metadata("id"):
        return _message(ws, path)  # this run was killed after it had finished its work
    check_backup(ws, path)
    about = {
        "id": ws.metadata("id"), "name": ws.metadata("name") or ws.folder.name, "run": progress.run_id, "at": time.time(),
        "release": __version__,
    }  # fmt: skip
    with atomic_output(path, folder=False, mark=progress.run_id) as new, _packed(new) as tar:
        _add(tar, ABOUT, json.dumps(about).encode())
        files = files_to_copy(ws, whole=True)
        total, done = sum(number for _, number in files), 0
        step = f"{plural(len(files), 'file')}, MB"
        for file, number in files:
            with suppress(FileNotFoundError):  # removed meanwhile
                _add_file(tar, file, file.relative_to(ws.folder).as_posix(), partial(report_bytes, progress, step, done, total))
            done += number
            report_bytes(progress, step, done, total)
        with tempfile.TemporaryDirectory(prefix=".glan-backup-", dir=path.parent) as folder:
            copy_database(ws, Path(folder) / FILE, lambda done, of: report_bytes(progress, "database, MB", done, of))
            mark_as_backup(Path(folder), progress.run_id)
            _add_file(tar, Path(folder) / FILE, FILE, partial(report_bytes, progress, "compression", 0, 1))
    return _message(ws, path)


def _message(ws: Workspace, path: Path) -> str:
    return f"Backed up {quoted(ws.folder.name)} to {path} ({size(path.stat().st_size)})."


@contextmanager
def _packed(path: Path) -> Iterator[tarfile.TarFile]:
    import pyarrow as pa

    with (
        path.open("wb") as raw,
        pa.CompressedOutputStream(raw, "zstd") as stream,
        tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        yield tar


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mtime = len(content), int(time.time())
    tar.addfile(entry, io.BytesIO(content))


def _add_file(tar: tarfile.TarFile, file: Path, name: str, step: Callable[[], None]) -> None:
    """Add a file with the length it has now: logs may grow meanwhile."""
    with file.open("rb") as opened:
        entry = tar.gettarinfo(arcname=name, fileobj=opened)
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        entry.type = tarfile.REGTYPE  # a hard link to an earlier file would be stored without content
        entry.size = os.fstat(opened.fileno()).st_size
        tar.addfile(entry, _Stepping(opened, step))


class _Stepping(io.RawIOBase):
    """Reads a file and reports after each part, so that a large one can be cancelled."""

    def __init__(self, file: io.BufferedReader, step: Callable[[], None]) -> None:
        self._file, self._step, self._read = file, step, 0

    def read(self, size: int = -1) -> bytes:
        self._read += size
        if self._read >= 64 * MEGABYTE:
            self._read = 0
            self._step()
        return self._file.read(size)


class _Entry(tarfile.TarInfo):
    """An entry whose extended header is bounded: tarfile reads it into memory before anything can be checked."""

    def _proc_member(self, tar):  # type: ignore[no-untyped-def]
        extended = (
            tarfile.XHDTYPE,
            tarfile.XGLTYPE,
            tarfile.SOLARIS_XHDTYPE,
            tarfile.GNUTYPE_LONGNAME,
            tarfile.GNUTYPE_LONGLINK,
        )
        if self.type in extended and self.size > CHUNK:
            raise tarfile.ReadError("a header is too long")
        return super()._proc_member(tar)  # type: ignore[misc]


def read_about(path: Path) -> dict | None:
    """Return the facts of a backup: id, name and release of its workspace, and when it was made; None if the file is none."""
    try:
        with _unpacked(path) as tar:
            first = tar.next()
            if first is None or first.name != ABOUT or first.size > CHUNK or (content := tar.extractfile(first)) is None:
                return None
            about = json.loads(content.read())
    except (OSError, ValueError, RecursionError, tarfile.TarError):
        return None
    return about if isinstance(about, dict) else None


@contextmanager
def _unpacked(path: Path) -> Iterator[tarfile.TarFile]:
    import pyarrow as pa

    with (
        path.open("rb") as raw,
        pa.CompressedInputStream(raw, "zstd") as stream,
        tarfile.open(fileobj=stream, mode="r|", tarinfo=_Entry) as tar,
    ):
        yield tar


def restore_backup(file: Path, folder: Path, watch: Callable[[int], None] | None = None) -> Workspace:
    """Unpack a backup to a new folder and check its database; the folder appears when it is complete.

    Args:
        file: The backup.
        folder: The new workspace folder.
        watch: Called with the bytes that were unpacked.

    Raises:
        GlanError: If the file is not a complete backup, or the folder exists.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise WorkspaceError(f"{folder} already exists. Choose a new folder for the restored workspace.")
    if not file.is_file():
        raise GlanError(f"{file} does not exist.")
    if read_about(file) is None:
        raise GlanError(f"{file} is not a backup of a workspace. Make one with 'glan backup DIR FILE{SUFFIX}'.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with atomic_output(folder, folder=True, mark=os.getpid()) as new:
        _unpack(file, new, watch)
        _check(new, file)
    return Workspace.open(folder)


def _unpack(file: Path, new: Path, watch: Callable[[int], None] | None) -> None:
    done = 0
    try:
        with _unpacked(file) as tar:
            for entry in tar:
                if not entry.isfile():
                    raise ValueError(f"{entry.name!r} is not a regular file")
                if entry.size + RESERVE > shutil.disk_usage(new).free:
                    raise GlanError(f"The disk of {new.parent} is too small for {file}. Free some space first.")
                tar.extract(entry, new, filter="data")  # refuses paths and links that lead outside
                done += entry.size
                if watch:
                    watch(done)
    except (OSError, ValueError, tarfile.TarError) as error:
        if isinstance(error, OSError) and error.errno:
            raise
        raise GlanError(f"{file} is damaged or incomplete ({error}). Use another backup.") from None
    (new / ABOUT).unlink(missing_ok=True)


def _check(new: Path, file: Path) -> None:
    """Check the database of an unpacked backup."""
    try:
        check_file(new / FILE)
        db = apsw.Connection(str(new / FILE))
        found = db.pragma("integrity_check")
        refuse_program(file, db)
        db.close()
    except (apsw.Error, GlanError) as error:
        raise GlanError(f"{file} is damaged: its database cannot be used ({error}). Use another backup.") from None
    if found != "ok":
        raise GlanError(f"{file} is damaged: its database is not consistent. Use another backup.")
