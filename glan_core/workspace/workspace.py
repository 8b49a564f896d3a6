"""Opening and creating a workspace folder, and the transactions on it."""

import json
import os
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from glan_core.errors import GlanError
from glan_core.workspace.schema import APPLICATION_ID, MIGRATIONS

FILE = "glan.sqlite"
UNFINISHED = ".unfinished"  # the folder in a workspace's folder where its first content is made
BUSY_MS = 30_000
Damaged = apsw.CorruptError  # what reading a damaged file raises, wherever that is noticed


class WorkspaceError(GlanError):
    """The folder is not a workspace that this release can use."""


class Workspace:
    """An open workspace folder.

    Each thread gets a connection of its own. Reading needs no ceremony (`ws.db`); writing goes through `ws.write()`,
    which takes SQLite's write lock at once and commits at the end, or rolls everything back on an exception.
    """

    def __init__(self, folder: Path, *, read_only: bool = False) -> None:
        self.folder, self.read_only = folder, read_only
        self._local = threading.local()

    @property
    def db(self) -> apsw.Connection:
        """This thread's connection."""
        connection = getattr(self._local, "db", None)
        if connection is None:
            connect = _connect_to_read if self.read_only else _connect
            connection = self._local.db = connect(self.folder / FILE)
        return connection

    def another_connection(self) -> apsw.Connection:
        """A connection for a caller that keeps it to itself and closes it."""
        return _connect(self.folder / FILE)

    @contextmanager
    def write(self) -> Iterator[apsw.Connection]:
        """One transaction, all or nothing; other processes may write before and after it, not during it."""
        if self.read_only:
            raise WorkspaceError(_locked(self.folder))
        db = self.db
        try:
            db.execute("BEGIN IMMEDIATE")
        except apsw.ReadOnlyError:
            raise WorkspaceError(_locked(self.folder)) from None
        except apsw.BusyError:
            raise WorkspaceError(f"{self.folder} is busy: another process has been writing for {BUSY_MS // 1000} s.") from None
        try:
            yield db
            db.execute("COMMIT")
        except BaseException as error:
            self.roll_back(db, error)
            raise

    def writable_folder(self, name: str) -> Path:
        """A folder of the workspace that is about to be written to.

        Raises:
            WorkspaceError: If the workspace can only be read.
        """
        if self.read_only:
            raise WorkspaceError(_locked(self.folder))
        return self.folder / name

    def roll_back(self, db: apsw.Connection, error: BaseException) -> None:
        """Undo the open transaction, if there is one; a WorkspaceError when the error was a full disk."""
        if db.in_transaction:
            db.execute("ROLLBACK")
        if isinstance(error, apsw.FullError):
            raise WorkspaceError(f"The disk of {self.folder} is full: nothing of this step was stored.") from None

    def close(self) -> None:
        """Close this thread's connection."""
        if (connection := getattr(self._local, "db", None)) is not None:
            connection.close()
            del self._local.db

    @classmethod
    def create(cls, folder: str | os.PathLike, name: str = "") -> "Workspace":
        """Make an empty workspace in a new or empty folder; WorkspaceError when something is in the way."""
        path = new_folder(folder)
        # Without WAL first: the marks by which `open` knows a workspace must be in the file itself, whatever happens next.
        plain = apsw.Connection(str(path / FILE))
        _migrate(plain)
        plain.close()
        ws = cls(path)
        with ws.write() as db:
            facts = {"id": uuid.uuid4().hex, "name": name or path.name, "created_at": time.time()}
            db.executemany("INSERT INTO meta VALUES (?, ?)", [(k, json.dumps(v)) for k, v in facts.items()])
        return ws

    @classmethod
    def open(cls, folder: str | os.PathLike) -> "Workspace":
        """Open an existing workspace, bringing an older schema up to date; one that may not be written, to be read.

        WorkspaceError, with nothing changed, for a folder without one, a file that is no workspace, one made by a newer
        release, and one of an older release that may not be written.
        """
        path = Path(folder).expanduser().absolute()
        file = path / FILE
        try:
            if not file.is_file() or file.stat().st_size == 0:
                raise WorkspaceError(f"{path} holds no workspace: make one with 'glan init {folder}'.")
            _check_header(file)
        except OSError as error:
            raise WorkspaceError(f"{path} cannot be opened: {error.strerror}.") from None
        ws = cls(path, read_only=not (os.access(file, os.W_OK) and os.access(path, os.W_OK)))
        try:
            version = ws.db.pragma("user_version")
            _refuse_newer(file, version)
            if ws.read_only and version < len(MIGRATIONS):
                raise WorkspaceError(f"It was made by an older release. {_locked(path)}")
            _migrate(ws.db)
        except apsw.CantOpenError:
            ws.close()
            raise WorkspaceError(f"Another process is at it. {_locked(path)}") from None
        except (apsw.BusyError, apsw.FullError) as error:
            ws.close()
            why = "its disk is full" if isinstance(error, apsw.FullError) else "another process is at it: try again in a while"
            raise WorkspaceError(f"{path} cannot be brought up to date: {why}.") from None
        except (apsw.CorruptError, apsw.NotADBError) as error:
            ws.close()
            raise WorkspaceError(f"{file} is damaged ({error}): restore it from a copy.") from None
        return ws

    def fact(self, key: str, default: object = None) -> object:
        """A fact about the workspace as a whole, such as 'name', 'demo' or 'pair_text_seq'."""
        row = self.db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return default if row is None else json.loads(row[0])


def new_folder(folder: str | os.PathLike) -> Path:
    """The folder for a new workspace, made where it is not there; WorkspaceError when something is in the way.

    What a maker that was killed left behind, an empty file or an unfinished workspace, is not in the way.
    """
    path = Path(folder).expanduser().absolute()
    try:
        if path.exists() and not path.is_dir():
            raise WorkspaceError(f"{path} is a file: choose a folder for the workspace.")
        path.mkdir(parents=True, exist_ok=True)
        in_the_way = [e for e in path.iterdir() if e.name != UNFINISHED and (e.name != FILE or e.stat().st_size)]
    except OSError as error:
        raise WorkspaceError(f"{path} cannot be made: {error.strerror}.") from None
    if in_the_way:
        what = "already holds a workspace" if (path / FILE).exists() else "is not empty"
        raise WorkspaceError(f"{path} {what}: choose a new folder.")
    return path


def found_in(home: Path) -> list[Path]:
    """The workspace folders directly below `home`, by name; none where there is no such folder."""
    return sorted(file.parent for file in home.glob(f"*/{FILE}")) if home.is_dir() else []


def set_fact(db: apsw.Connection, key: str, value: object) -> None:
    """Store a fact about the workspace as a whole; `value` is kept as JSON."""
    db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, json.dumps(value)))


def _check_header(file: Path) -> None:
    """Read the file's first 100 bytes (SQLite's header) rather than open it: opening alone may write beside it."""
    with file.open("rb") as opened:
        header = opened.read(100)
    if not header.startswith(b"SQLite format 3\0") or int.from_bytes(header[68:72], "big") != APPLICATION_ID:
        raise WorkspaceError(f"{file} is not a GLAN workspace.")
    _refuse_newer(file, int.from_bytes(header[60:64], "big"))


def _refuse_newer(file: Path, version: int) -> None:
    if version > (known := len(MIGRATIONS)):
        raise WorkspaceError(
            f"{file.parent} was made by a newer release (its schema is {version}, this one knows {known}): update GLAN Studio."
        )


def _connect(file: Path) -> apsw.Connection:
    db = apsw.Connection(str(file))
    try:
        db.set_busy_timeout(BUSY_MS)
        db.pragma("journal_mode", "wal")
        db.pragma("synchronous", "full")
        db.pragma("cache_size", -16_000)
    except apsw.Error:
        db.close()  # or SQLite's own files would stay beside it
        raise
    return db


def _connect_to_read(file: Path) -> apsw.Connection:
    """A connection that writes nothing, not even beside the file."""
    waiting = file.with_name(f"{FILE}-wal")
    # Without a write-ahead log all is in the file; SQLite would still want to make one beside it, unless told that nobody writes.
    told = "mode=ro" if waiting.exists() and waiting.stat().st_size else "immutable=1"
    return apsw.Connection(f"{file.as_uri()}?{told}", flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)


def _locked(folder: Path) -> str:
    return f"{folder} is read-only: give yourself write permission, or copy it to a folder of yours."


def _migrate(db: apsw.Connection) -> None:
    if db.pragma("user_version") == len(MIGRATIONS):
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        for number in range(db.pragma("user_version"), len(MIGRATIONS)):
            MIGRATIONS[number](db)
        db.pragma("application_id", APPLICATION_ID)
        db.pragma("user_version", len(MIGRATIONS))
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # a full disk has ended it already
            db.execute("ROLLBACK")
        raise
