"""Databases of every earlier schema, with a row in each of their tables, are migrated and keep their rows."""

import json

import apsw
import pytest

from glan_core.cli import main
from glan_core.errors import GlanError
from glan_core.workspace import Workspace, consistency, migration, schema
from glan_core.workspace.workspace import FILE

VIRTUAL = "pair_text"  # full-text index, whose columns cannot be read


def tables(db: apsw.Connection) -> list[str]:
    query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name"
    return [name for (name,) in db.execute(query) if not name.startswith(VIRTUAL)]


def sample(table: str, name: str, kind: str, number: int) -> object:
    """A value that fits a column: what is JSON in the schema is JSON here."""
    if name in ("params", "settings", "detail", "facts", "about", "aspects", "plan", "counters", "before", "after", "sizes"):
        return "{}" if name != "sizes" else "[1]"
    if name in ("value",) and table == "meta":
        return '"kept"'
    if name in ("subtopics", "subjects", "sessions", "concepts", "prompts", "tags", "notices", "blind", "endpoints"):
        return "[]"
    return {"INTEGER": number, "REAL": number + 0.5, "TEXT": f"{table}-{name}-{number}"}[kind]


def make(folder, version: int) -> dict[str, tuple[str, list[tuple]]]:
    """Create a database of a schema version with two rows per table; return its rows by table."""
    folder.mkdir()
    db = apsw.Connection(str(folder / FILE))
    for change in schema.MIGRATIONS[:version]:
        change(db)
    kept = {}
    for table in tables(db):
        columns = [(row[1], row[2]) for row in db.execute(f"PRAGMA table_info({table})")]
        for number in (1, 2):
            values = [sample(table, name, kind, number) for name, kind in columns]
            db.execute(
                f"INSERT INTO {table} ({', '.join(name for name, _ in columns)}) VALUES ({', '.join('?' * len(values))})",
                values,
            )
        names = ", ".join(name for name, _ in columns)
        kept[table] = (names, sorted(db.execute(f"SELECT {names} FROM {table}"), key=repr))
    db.pragma("application_id", schema.APPLICATION_ID)
    db.pragma("user_version", version)
    db.close()
    return kept


@pytest.mark.parametrize("version", range(1, len(schema.MIGRATIONS) + 1))
def test_a_database_of_each_version_is_migrated_with_its_rows(tmp_path, version):
    kept = make(tmp_path / "ws", version)
    ws = Workspace.open(tmp_path / "ws")
    assert ws.db.pragma("user_version") == len(schema.MIGRATIONS) and consistency.integrity(ws.db) == []
    for table, (names, rows) in kept.items():
        found = sorted(ws.db.execute(f"SELECT {names} FROM {table}"), key=repr)
        assert found == rows or (table == "counters" and set(rows) < set(found)), f"{table}: a migration may add counters only"
    fresh = Workspace.create(tmp_path / "fresh")
    assert shape(ws.db) == shape(fresh.db), "a migrated database has the tables and columns of a new one"


def test_a_command_reports_the_steps_of_a_long_migration(tmp_path, monkeypatch, capsys):
    make(tmp_path / "ws", 2)
    monkeypatch.setattr(migration, "REPORT_SECONDS", 0.0)
    monkeypatch.setattr(migration, "STEPS", 1)
    assert main(["status", str(tmp_path / "ws"), "--json"]) == 0
    said = capsys.readouterr()
    json.loads(said.out)
    steps = len(schema.MIGRATIONS) - 2
    assert (
        f"The workspace is being migrated to the schema of this release: step 1 of {steps}, for 0 s." in said.err.splitlines()
    )
    assert f"step {steps} of {steps}" in said.err
    assert main(["status", str(tmp_path / "ws")]) == 0 and capsys.readouterr().err == "", "the second command has no migration"


def test_a_report_that_cannot_be_printed_does_not_end_a_migration(tmp_path, monkeypatch):
    make(tmp_path / "ws", 2)
    monkeypatch.setattr(migration, "REPORT_SECONDS", 0.0)
    monkeypatch.setattr(migration, "STEPS", 1)
    said = []

    def report(sentence: str) -> None:
        said.append(sentence)
        raise BrokenPipeError

    token = migration.watcher.set(report)
    try:
        assert Workspace.open(tmp_path / "ws").db.pragma("user_version") == len(schema.MIGRATIONS)
    finally:
        migration.watcher.reset(token)
    assert len(said) > 1


class Overtaken:
    """A connection before whose transaction another one migrates the database."""

    def __init__(self, db: apsw.Connection, other: apsw.Connection) -> None:
        self._db, self._other = db, other

    def __getattr__(self, name: str):
        return getattr(self._db, name)

    def execute(self, statement: str):
        if statement.startswith("BEGIN"):
            migration.migrate(self._other)
        return self._db.execute(statement)


def test_a_database_that_another_process_migrates_at_the_same_time_is_migrated_once(tmp_path):
    make(tmp_path / "ws", 2)
    one, other = (apsw.Connection(str(tmp_path / "ws" / FILE)) for _ in range(2))
    migration.migrate(Overtaken(one, other))
    assert one.pragma("user_version") == len(schema.MIGRATIONS) and consistency.integrity(one) == []


def shape(db: apsw.Connection) -> dict[str, set]:
    """Columns by table, and the indexes."""
    found = {table: {tuple(row[1:4]) for row in db.execute(f"PRAGMA table_info({table})")} for table in tables(db)}
    return found | {
        "indexes": set(db.execute("SELECT name FROM sqlite_master WHERE type = 'index' AND name NOT LIKE 'sqlite%'"))
    }


@pytest.mark.parametrize("version", range(1, len(schema.MIGRATIONS)))
def test_a_migration_that_is_interrupted_changes_nothing(tmp_path, version, monkeypatch):
    make(tmp_path / "ws", version)

    def stop(db: apsw.Connection) -> None:
        raise KeyboardInterrupt

    before = shape(apsw.Connection(str(tmp_path / "ws" / FILE)))
    monkeypatch.setattr(schema, "MIGRATIONS", [*schema.MIGRATIONS[:-1], stop])
    with pytest.raises(KeyboardInterrupt):
        Workspace.open(tmp_path / "ws")
    db = apsw.Connection(str(tmp_path / "ws" / FILE))
    assert db.pragma("user_version") == version
    assert shape(db) == before


def test_a_newer_database_is_refused(tmp_path, capsys):
    make(tmp_path / "ws", 1)
    db = apsw.Connection(str(tmp_path / "ws" / FILE))
    db.pragma("user_version", len(schema.MIGRATIONS) + 1)
    db.close()
    with pytest.raises(GlanError, match="newer release"):
        Workspace.open(tmp_path / "ws")
    assert main(["status", str(tmp_path / "ws")]) == 2 and "newer release" in capsys.readouterr().err
