"""Removed rows of a workspace: orphaned rows are set aside by a repair, and can be restored.

`DIR/.removed/rows-N.jsonl` holds those of one repair: a line with the time and the number of rows by table, then a line per row.
"""

import json
import os
import re
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw

from glan_core.errors import GlanError
from glan_core.formatting import number, plural
from glan_core.io.atomic import unfinished_path
from glan_core.workspace import consistency, homework_rows, tag_rows
from glan_core.workspace.removed import FOLDER
from glan_core.workspace.sql import fetch_value
from glan_core.workspace.workspace import Workspace

MOST_HEAD = 10_000  # characters of the first line
_BY_SEQ = ("tags", "judgements")  # tables that name questions by `seq`


@dataclass(frozen=True, slots=True)
class RemovedRows:
    """The rows that one repair removed.

    Attributes:
        key: Names them among the removed items of the workspace.
        name: Number of rows by table.
        at: When they were removed, in seconds since 1970.
        bytes: Size of their file.
    """

    key: str
    name: str
    at: float
    bytes: int


def take_orphans(ws: Workspace) -> None:
    """Remove orphaned rows (rows whose owner is missing) so that they can be restored; their file is on disk before they are deleted.

    Raises:
        GlanError: If the workspace is read-only or the file cannot be written.
    """
    home = ws.writable_folder(FOLDER)
    path = home / f"rows-{time.time_ns()}.jsonl"
    try:
        with ws.write(path.stem) as db:
            rows = consistency.take_orphans(db)
            home.mkdir(exist_ok=True)
            _write(path, rows)
    except OSError as error:
        raise GlanError(f"{path} cannot be written: {error.strerror or error}. The rows were not removed.") from None


def _write(path: Path, rows: list[tuple[str, dict[str, Any]]]) -> None:
    """Write rows to a file, which appears complete or not at all and is on the disk afterwards."""
    new = unfinished_path(path, os.getpid())
    try:
        with new.open("w", encoding="utf-8") as file:
            file.write(json.dumps({"at": time.time(), "rows": Counter(table for table, _ in rows)}) + "\n")
            for table, row in rows:
                file.write(json.dumps({"table": table, "row": row}) + "\n")
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
    with suppress(OSError):  # not every file system can do this
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def list_rows(ws: Workspace) -> list[RemovedRows]:
    """Return what repairs removed and can be restored, newest first."""
    found = [_head(path) for path in (ws.folder / FOLDER).glob("rows-*.jsonl")]
    return sorted((one for one in found if one), key=lambda one: -one.at)


def _head(path: Path) -> RemovedRows | None:
    try:
        with path.open(encoding="utf-8") as file:
            head = json.loads(file.readline(MOST_HEAD))
        rows, at = head["rows"], float(head["at"])
        if not re.fullmatch(r"rows-\d+", path.stem) or not rows.keys() <= consistency.ORPHANS.keys():
            return None
        return RemovedRows(path.stem, _name({table: int(count) for table, count in rows.items()}), at, path.stat().st_size)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return None


def _name(rows: dict[str, int]) -> str:
    return ", ".join(f"{number(count)} of {table}" for table, count in rows.items()) or "no rows"


def restore_rows(ws: Workspace, key: str) -> str:
    """Restore the rows that a repair removed; rows whose ID is taken again stay set aside.

    Counters are counted anew. Rows whose owner is still missing are found by the next check again.

    Returns:
        What was restored, for display.

    Raises:
        GlanError: If all of them exist again, the file cannot be read, or the workspace is read-only.
    """
    path = ws.writable_folder(FOLDER) / f"{key}.jsonl"
    kept: list[tuple[str, dict[str, Any]]] = []
    done: Counter[str] = Counter()
    with ws.write(key) as db:
        rows = list(_read(db, path))
        questions = {row.get("seq"): row.get("id") for table, row in rows if table == "questions"}
        for table, row in rows:
            try:
                restored = _put_back(db, table, row, questions)
            except (apsw.MismatchError, ValueError):
                raise _unreadable(path) from None
            if restored:
                done[table] += 1
            else:
                kept.append((table, row))
        if not done:
            raise GlanError(
                f"All of {plural(len(kept), 'removed row')} exist again. Delete the removed ones: 'glan removed {ws.folder} purge {key}'."
            )
        _update(db, [row for table, row in rows if table in ("questions", "answers")])
    with suppress(OSError):  # rows that remain in the file although they are restored are found to exist again
        _write(path, kept) if kept else path.unlink(missing_ok=True)
    return _name(done) + (f" ({plural(len(kept), 'row')} of them exist again and stay removed)" if kept else "")


def _read(db: apsw.Connection, path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (table, row) of a file, which may come from a stranger's backup: only columns and values that the tables have."""
    columns = {table: {row[1] for row in db.execute(f"PRAGMA table_info({table})")} for table in consistency.ORPHANS}
    try:
        with path.open(encoding="utf-8") as file:
            file.readline(MOST_HEAD)
            for line in file:
                entry = json.loads(line)
                table, row = entry["table"], entry["row"]
                if not row or not row.keys() <= columns[table] or not all(_is_value(value) for value in row.values()):
                    raise ValueError
                yield table, row
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise _unreadable(path) from None


def _unreadable(path: Path) -> GlanError:
    return GlanError(f"{path} is not a file of removed rows of this workspace. No rows were restored.")


def _is_value(value: object) -> bool:
    return value is None or isinstance(value, str | float) or (isinstance(value, int) and abs(value) < 2**63)


def _put_back(db: apsw.Connection, table: str, row: dict[str, Any], questions: dict[Any, Any]) -> bool:
    """Insert a row unless its place is taken; return whether it was inserted.

    Args:
        db: The workspace database.
        table: Table of the row.
        row: Values by column.
        questions: `seq` -> ID of the removed questions.
    """
    if table in _BY_SEQ:
        found = db.execute("SELECT id FROM questions WHERE seq = ?", (row.get("seq"),)).fetchone()
        if found and found[0] != questions.get(row.get("seq")):
            return False  # a later question has this `seq`
    if table == "answers" and fetch_value(db, "SELECT EXISTS (SELECT 1 FROM answers WHERE seq = ?)", (row.get("seq"),)):
        row = {name: value for name, value in row.items() if name != "seq"}  # nothing names answers by `seq`
    names = ", ".join(row)
    db.execute(f"INSERT OR IGNORE INTO {table} ({names}) VALUES ({', '.join('?' * len(row))})", tuple(row.values()))
    return bool(db.changes())


def _update(db: apsw.Connection, rows: list[dict[str, Any]]) -> None:
    """Update what is derived from restored questions and answers: columns about answers, exclusions, counters, full-text index."""
    consistency.repair_questions(db)
    ids = {str(row.get("question_id", row.get("id"))) for row in rows}
    seqs = [seq for id in ids for (seq,) in db.execute("SELECT seq FROM questions WHERE id = ?", (id,))]
    tag_rows.update_dropped(db, seqs)
    consistency.repair_syllabi(db)
    consistency.set_counters(db, {key: after for key, (_, after) in consistency.wrong_counters(db).items()})
    for id in ids:
        homework_rows.reindex(db, id)
    homework_rows.index_text(db)


def purge_rows(ws: Workspace, key: str) -> None:
    """Delete the rows that a repair removed permanently.

    Raises:
        GlanError: If the workspace is read-only or their file cannot be deleted.
    """
    path = ws.writable_folder(FOLDER) / f"{key}.jsonl"
    with ws.write(key):
        pass
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise GlanError(f"{path} cannot be deleted: {error.strerror or error}.") from None
