"""Opening and creating workspace folders, connections and transactions."""

import errno
import json
import os
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw

from glan_core import access
from glan_core.errors import GlanError
from glan_core.workspace import audit_rows, schema
from glan_core.workspace.migration import migrate

FILE = "glan.sqlite"
UNFINISHED = ".unfinished"  # subfolder in which the initial content is prepared
BUSY_MS = 30_000
LOCKED_MS = 200  # for reads that rather fail than wait
# Executions for which a connection keeps an unused statement. With the default of 100, a run would parse the statements for questions anew in
# each transaction, because those for answers are executed in between.
STATEMENTS = 300
# Of the quota of the user, or of the size of files (`ulimit -f`); SQLite reports them as errors of the disk.
AT_LIMIT = (errno.EDQUOT, errno.EFBIG)
DatabaseError = apsw.Error  # raised by any use of a damaged, foreign or locked database


class WorkspaceError(GlanError):
    """The folder is not a workspace that this release can use."""


class Workspace:
    """An open workspace folder.

    Each thread has its own connection. Reads use `ws.db` directly; writes use `ws.write()`, which takes SQLite's write lock
    immediately and commits at the end, or rolls back on an exception.
    """

    def __init__(self, folder: Path, *, read_only: bool = False) -> None:
        self.folder, self.read_only = folder, read_only
        self._identity: tuple[int, int] | None = None
        self._local = threading.local()

    @property
    def db(self) -> apsw.Connection:
        """The connection of the current thread."""
        connection = getattr(self._local, "db", None)
        if connection is None:
            connection = self._local.db = self._connect()
            self._identity = self._identity or _identity(self.folder / FILE)
        return connection

    def check_in_place(self) -> None:
        """Check that the database file is the one that was opened, with a schema that this release knows.

        Writes to a file that was deleted or replaced succeed and are lost.

        Raises:
            WorkspaceError: If the file was deleted, moved or replaced, or a newer release has migrated it.
        """
        if self._identity is not None and (found := _identity(self.folder / FILE)) != self._identity:
            what = "deleted or moved" if found is None else "replaced by another file"
            raise WorkspaceError(f"{self.folder / FILE} was {what} while it was in use. Restore it and start again.")
        if self.db.pragma("user_version") > len(schema.MIGRATIONS):
            raise WorkspaceError(
                f"A newer release of GLAN Studio migrated {self.folder} while it was in use. Update this installation, then resume the run."
            )

    def new_connection(self) -> apsw.Connection:
        """Open a separate connection that the caller must close; without the right to write if the workspace is read-only."""
        return self._connect()

    def _connect(self) -> apsw.Connection:
        file = self.folder / FILE
        return connect_to_read(file, writable=_writable(file)) if self.read_only else _connect(file)

    def _check_writable(self) -> None:
        access.check_may_change()
        if self.read_only:
            raise WorkspaceError(_locked(self.folder))

    @contextmanager
    def write(self, detail: str = "") -> Iterator[apsw.Connection]:
        """Run a transaction that excludes other writers and is rolled back on an exception.

        Args:
            detail: What it is about, for the audit log of signed-in users.
        """
        self._check_writable()
        db = self.db
        try:
            db.execute("BEGIN IMMEDIATE")
        except apsw.ReadOnlyError:
            raise WorkspaceError(_locked(self.folder)) from None
        except apsw.BusyError:
            raise WorkspaceError(
                f"{self.folder} is locked: another process has been writing for {BUSY_MS // 1000} s. Try again later."
            ) from None
        try:
            yield db
            if (visitor := access.visitor_name()) is not None:
                caller = sys._getframe(2)  # behind contextlib
                audit_rows.add_entry(db, time.time(), visitor, audit_rows.action_of(caller), detail)
            db.execute("COMMIT")
        except BaseException as error:
            self.roll_back(db, error)
            raise

    def writable_folder(self, name: str) -> Path:
        """Return a subfolder of the workspace for writing.

        Raises:
            GlanError: If the workspace is read-only.
        """
        self._check_writable()
        return self.folder / name

    def roll_back(self, db: apsw.Connection, error: BaseException) -> None:
        """Roll back the open transaction, if any.

        Raises:
            WorkspaceError: If `error` is a full disk or a limit of the user's.
        """
        at_limit = isinstance(error, apsw.IOError) and db.system_errno in AT_LIMIT
        if db.in_transaction:
            db.execute("ROLLBACK")
        if isinstance(error, apsw.FullError):
            raise WorkspaceError(
                f"The disk of {self.folder} is full: this step was not stored. Free some space and try again."
            ) from None
        if at_limit:
            raise WorkspaceError(
                f"The disk quota or the limit of a file's size is reached in {self.folder}: this step was not stored. Free some space or "
                "raise the limit, and try again."
            ) from None

    def close(self) -> None:
        """Close the connection of the current thread."""
        if (connection := getattr(self._local, "db", None)) is not None:
            connection.close()
            del self._local.db

    @classmethod
    def create(cls, folder: str | os.PathLike, name: str = "") -> "Workspace":
        """Create an empty workspace in a new or empty folder.

        Raises:
            WorkspaceError: If the folder is not empty or cannot be created.
        """
        path = new_folder(folder)
        # Without WAL, so that the header that `open` checks is in the file itself even if the process is killed.
        plain = apsw.Connection(str(path / FILE))
        migrate(plain)
        plain.close()
        ws = cls(path)
        with ws.write() as db:
            facts = {"id": uuid.uuid4().hex, "name": name or path.name, "created_at": time.time()}
            db.executemany("INSERT INTO meta VALUES (?, ?)", [(k, json.dumps(v)) for k, v in facts.items()])
        return ws

    @classmethod
    def open(cls, folder: str | os.PathLike) -> "Workspace":
        """Open an existing workspace and migrate an older schema; read-only if the folder is not writable or changes are refused.

        Raises:
            WorkspaceError: If the folder has no workspace, the file is not a workspace, it was made by a newer release, or it needs
                a migration and is read-only. The folder is unchanged.
        """
        path = Path(folder).expanduser().absolute()
        file = path / FILE
        check_file(file)
        ws = cls(path, read_only=not _writable(file) or access.refusal() is not None)
        try:
            version = ws.db.pragma("user_version")
            _refuse_newer(file, version)
            if ws.read_only and version < len(schema.MIGRATIONS):
                raise WorkspaceError(f"The workspace was made by an older release and must be migrated. {_locked(path)}")
            refuse_program(file, ws.db)
            if not ws.read_only:
                migrate(ws.db)
        except apsw.CantOpenError:
            ws.close()
            raise WorkspaceError(f"Another process is using the workspace. {_locked(path)}") from None
        except (apsw.BusyError, apsw.FullError) as error:
            ws.close()
            full = isinstance(error, apsw.FullError)
            why = "the disk is full" if full else "another process is using it. Try again later"
            raise WorkspaceError(f"{path} cannot be migrated: {why}.") from None
        except apsw.Error as error:
            ws.close()
            if getattr(error, "extendedresult", None) == apsw.SQLITE_IOERR_SHMSIZE:  # the index of the log cannot grow
                raise WorkspaceError(
                    f"{path} cannot be opened: the disk is full, or its quota or the limit of a file's size is reached. Free some space or "
                    "raise the limit, and try again."
                ) from None
            raise WorkspaceError(f"{file} is damaged ({error}). Restore it from a backup.") from None
        return ws

    @classmethod
    def open_to_read(cls, folder: Path) -> "Workspace":
        """Open an existing workspace for reads that fail rather than wait: for a migration, or for a process that locks the database.

        Raises:
            WorkspaceError: If the folder has no workspace of this release's schema.
            DatabaseError: If the database is damaged or locked.
        """
        file = folder / FILE
        check_file(file)
        ws = cls(folder, read_only=True)
        try:
            ws.db.set_busy_timeout(LOCKED_MS)
            if ws.db.pragma("user_version") < len(schema.MIGRATIONS):
                raise WorkspaceError(f"{folder} must be migrated first.")
            refuse_program(file, ws.db)
        except BaseException:
            ws.close()
            raise
        return ws

    def metadata(self, key: str, default: Any = None) -> Any:
        """Return a metadata value of the workspace, such as 'name' or 'demo'."""
        row = self.db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return default if row is None else json.loads(row[0])


def new_folder(folder: str | os.PathLike) -> Path:
    """Create the folder for a new workspace.

    Leftovers of an interrupted creation, an empty file or an unfinished workspace, are ignored.

    Raises:
        WorkspaceError: If the folder is not empty or cannot be created.
    """
    access.check_may_change()
    path = Path(folder).expanduser().absolute()
    try:
        if path.exists() and not path.is_dir():
            raise WorkspaceError(f"{path} is a file. Choose a folder for the workspace.")
        path.mkdir(parents=True, exist_ok=True)
        obstacles = [e for e in path.iterdir() if e.name != UNFINISHED and (e.name != FILE or e.stat().st_size)]
    except OSError as error:
        raise WorkspaceError(f"{path} cannot be created: {error.strerror}.") from None
    if obstacles:
        what = "already contains a workspace" if (path / FILE).exists() else "is not empty"
        raise WorkspaceError(f"{path} {what}. Choose a new folder.")
    return path


def find_workspaces(home: Path) -> list[Path]:
    """Return the workspace folders directly below `home`, by name; hidden folders hold unfinished and archived ones."""
    return sorted(file.parent for file in home.glob(f"[!.]*/{FILE}")) if home.is_dir() else []


def set_metadata(db: apsw.Connection, key: str, value: object) -> None:
    """Set a metadata value of the workspace, stored as JSON."""
    db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, json.dumps(value)))


def _identity(file: Path) -> tuple[int, int] | None:
    """Return the device and inode of a file; None if there is none."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def check_file(file: Path) -> None:
    """Check that a file is a workspace database that this release can open, without opening it.

    Raises:
        WorkspaceError: If there is none, it is something else, or it was made by a newer release.
    """
    try:
        if not file.is_file() or file.stat().st_size == 0:
            raise WorkspaceError(f"{file.parent} contains no workspace. Create one with 'glan init {file.parent}'.")
        _check_header(file)
    except OSError as error:
        raise WorkspaceError(f"{file.parent} cannot be opened: {error.strerror}.") from None


def _check_header(file: Path) -> None:
    """Read SQLite's 100-byte header instead of opening the database, which may write files next to it."""
    with file.open("rb") as opened:
        header = opened.read(100)
    if not header.startswith(b"SQLite format 3\0") or int.from_bytes(header[68:72], "big") != schema.APPLICATION_ID:
        raise WorkspaceError(f"{file} is not a GLAN workspace.")
    _refuse_newer(file, int.from_bytes(header[60:64], "big"))


def refuse_program(file: Path, db: apsw.Connection) -> None:
    """Refuse a database with triggers or views, which could change what is stored or where runs send their key."""
    found = db.execute("SELECT type, name FROM sqlite_master WHERE type IN ('trigger', 'view') LIMIT 1").fetchone()
    if found:
        raise WorkspaceError(f"{file} contains a {found[0]}, which the studio never makes. Do not use this file.")


def _refuse_newer(file: Path, version: int) -> None:
    if version > (known := len(schema.MIGRATIONS)):
        raise WorkspaceError(
            f"{file.parent} was made by a newer release (schema {version}, this release supports {known}). Update GLAN Studio."
        )


def _connect(file: Path) -> apsw.Connection:
    db = apsw.Connection(str(file), statementcachesize=STATEMENTS)
    try:
        db.set_busy_timeout(BUSY_MS)
        db.pragma("journal_mode", "wal")
        db.pragma("synchronous", "full")
        db.pragma("trusted_schema", 0)
        db.pragma("cache_size", -16_000)
    except apsw.Error:
        db.close()  # removes SQLite's temporary files
        raise
    return db


def connect_to_read(file: Path, *, writable: bool = False) -> apsw.Connection:
    """Open a connection to a database that writes nothing to it.

    Args:
        file: The database.
        writable: Whether others may be writing meanwhile and SQLite may create its files next to it; otherwise nothing is created.
    """
    if writable:
        db = apsw.Connection(f"{file.as_uri()}?mode=ro", flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)
        db.set_busy_timeout(BUSY_MS)
        return db
    waiting = file.with_name(f"{FILE}-wal")
    # Without a write-ahead log the file is complete, but SQLite would create one unless the file is declared immutable.
    mode = "mode=ro" if waiting.exists() and waiting.stat().st_size else "immutable=1"
    return apsw.Connection(f"{file.as_uri()}?{mode}", flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)


def _writable(file: Path) -> bool:
    return os.access(file, os.W_OK) and os.access(file.parent, os.W_OK)


def _locked(folder: Path) -> str:
    if why := access.refusal():
        return why
    return f"{folder} is read-only. Get write permission, or copy it to a writable folder."
