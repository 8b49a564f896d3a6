"""Opening, refusing and writing workspaces; refused workspaces are left unchanged byte for byte."""

import asyncio
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import apsw
import pytest
from support.runs import Canned, execute_run, number

from glan_core.errors import GlanError
from glan_core.workspace import Workspace, WorkspaceError, group_commit, run_rows, schema
from glan_core.workspace.group_commit import GroupCommit
from glan_core.workspace.workspace import FILE, set_metadata

ROOT = Path(__file__).resolve().parents[2]


def fingerprint(folder: Path) -> dict[str, str]:
    """Return the hash of every file in a folder."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in folder.rglob("*")
        if file.is_file()
    }


def refusal(folder: Path) -> str:
    """Return the error message for a folder that is refused, and check that nothing in it changed."""
    before = fingerprint(folder)
    with pytest.raises(WorkspaceError) as caught:
        Workspace.open(folder)
    assert fingerprint(folder) == before
    assert "\n" not in str(caught.value) and str(folder) in str(caught.value)
    return str(caught.value)


@pytest.fixture
def closed(new_workspace, settings, teach):
    """Folder of a workspace with some content and no open connection."""
    teach(Canned())
    ws = new_workspace("closed")
    execute_run(ws, settings())
    ws.db.pragma("wal_checkpoint(truncate)")
    ws.close()
    return ws.folder


def test_a_created_workspace_can_be_opened(tmp_path):
    made = Workspace.create(tmp_path / "deep" / "ws", "My course")
    made.close()
    opened = Workspace.open(tmp_path / "deep" / "ws")
    assert opened.metadata("name") == "My course" and len(opened.metadata("id")) == 32
    assert opened.metadata("nothing", 7) == 7
    assert opened.db.pragma("user_version") == len(schema.MIGRATIONS)
    assert opened.db.pragma("journal_mode") == "wal" and opened.db.pragma("synchronous") == 2


def test_create_refuses_paths_that_are_not_empty(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "note.txt").write_text("mine")
    Workspace.create(tmp_path / "ws").close()
    (tmp_path / "file").write_text("mine")
    before = fingerprint(tmp_path)
    for name, words in (
        ("full", "is not empty"),
        ("ws", "already contains a workspace"),
        ("file", "is a file"),
        ("file/x", "cannot be created"),
    ):
        with pytest.raises(WorkspaceError, match=words):
            Workspace.create(tmp_path / name)
    assert fingerprint(tmp_path) == before


def test_a_folder_without_a_workspace_is_refused(tmp_path):
    assert "contains no workspace" in refusal(tmp_path)
    assert "contains no workspace" in refusal(tmp_path / "not-there")
    (tmp_path / FILE).touch()
    assert "contains no workspace" in refusal(tmp_path)


def test_files_that_are_not_workspaces_are_refused(tmp_path):
    (tmp_path / FILE).write_text("a letter")
    assert "is not a GLAN workspace" in refusal(tmp_path)
    (tmp_path / FILE).unlink()
    other = apsw.Connection(str(tmp_path / FILE))
    other.execute("CREATE TABLE t (x)").fetchall()
    other.close()
    assert "is not a GLAN workspace" in refusal(tmp_path)


def test_a_workspace_of_a_newer_release_is_refused(closed):
    db = apsw.Connection(str(closed / FILE))
    db.pragma("user_version", len(schema.MIGRATIONS) + 1)
    db.pragma("wal_checkpoint(truncate)")
    db.close()
    assert "newer release" in refusal(closed) and "Update GLAN Studio" in refusal(closed)


@pytest.mark.parametrize("damage", ["cut", "zeros", "noise", "header", "page size"])
def test_a_damaged_workspace_is_refused(closed, damage):
    file = closed / FILE
    data = bytearray(file.read_bytes())
    if damage == "cut":
        data = data[:100]
    elif damage == "zeros":
        data[100:4096] = bytes(3996)
    elif damage == "noise":
        data[100:4096] = bytes(n * 37 % 256 for n in range(3996))
    elif damage == "header":
        data[:16] = b"SQLite format 9\0"
    else:
        data[16:18] = b"\x01\x03"
    file.write_bytes(data)
    message = refusal(closed)
    assert "damaged" in message or "is not a GLAN workspace" in message


@pytest.mark.skipif(os.name != "posix" or os.getuid() != 0, reason="gives up root's rights to be refused")
@pytest.mark.parametrize("locked", ["folder", "file"])
def test_a_read_only_workspace_is_read_and_nothing_else(closed, locked):
    for parent in closed.parents:
        if parent.stat().st_uid == 0 and parent != Path("/") and parent.stat().st_mode & 0o005 != 0o005:
            parent.chmod(0o755)
    closed.chmod(0o755 if locked == "folder" else 0o777)
    (closed / FILE).chmod(0o666 if locked == "folder" else 0o644)
    before = fingerprint(closed)
    code = f"""
import os, sys
from glan_core.workspace import Workspace, WorkspaceError
os.setgid(65534); os.setuid(65534)
ws = Workspace.open({str(closed)!r})
print(ws.read_only, ws.db.execute("SELECT count(*) FROM questions").fetchone()[0])
try:
    with ws.write() as db:
        db.execute("DELETE FROM questions")
except WorkspaceError as error:
    print(error)
    sys.exit(3)
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert told.returncode == 3, told.stderr
    assert told.stdout.startswith("True 8\n") and "is read-only. Get write permission" in told.stdout
    assert fingerprint(closed) == before


def test_a_read_only_workspace_of_an_older_release_is_refused(closed, monkeypatch):
    monkeypatch.setattr(schema, "MIGRATIONS", [*schema.MIGRATIONS, lambda db: None])
    monkeypatch.setattr(os, "access", lambda *where: False)
    assert "made by an older release" in refusal(closed) and "is read-only" in refusal(closed)


def test_an_older_schema_is_migrated_and_keeps_its_rows(closed, monkeypatch):
    def version_2(db):
        db.execute("ALTER TABLE nodes ADD COLUMN note TEXT NOT NULL DEFAULT 'none'")

    monkeypatch.setattr(schema, "MIGRATIONS", [*schema.MIGRATIONS, version_2])
    opened = Workspace.open(closed)
    assert opened.db.pragma("user_version") == len(schema.MIGRATIONS)
    assert number(opened, "SELECT count(*) FROM nodes WHERE note = 'none'") == 10
    assert number(opened, "SELECT count(*) FROM answers") == 8


def test_a_migration_that_fails_changes_nothing(closed, monkeypatch):
    def version_2(db):
        db.execute("DROP TABLE answers")
        raise RuntimeError("power cut")

    monkeypatch.setattr(schema, "MIGRATIONS", [*schema.MIGRATIONS, version_2])
    with pytest.raises(RuntimeError):
        Workspace.open(closed)
    monkeypatch.undo()
    opened = Workspace.open(closed)
    assert number(opened, "SELECT count(*) FROM answers") == 8


def test_an_exception_rolls_back_all_of_a_transaction(ws):
    with pytest.raises(KeyboardInterrupt), ws.write() as db:
        set_metadata(db, "half", 1)
        raise KeyboardInterrupt
    assert ws.metadata("half") is None
    with ws.write() as db:
        set_metadata(db, "whole", 1)
    assert ws.metadata("whole") == 1


def test_two_processes_write_at_once_and_lose_nothing(ws):
    code = (
        "import sys; from glan_core.workspace import Workspace, run_rows\n"
        f"ws = Workspace.open({str(ws.folder)!r})\n"
        "for n in range(60):\n"
        "    with ws.write() as db: run_rows.add_run(db, 'generate', f'{sys.argv[1]} {n}', {})\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, name], cwd=ROOT) for name in "ab"]
    for n in range(60):
        with ws.write() as db:
            run_rows.add_run(db, "generate", f"c {n}", {})
    assert [writer.wait(60) for writer in writers] == [0, 0]
    titles = {title for (title,) in ws.db.execute("SELECT title FROM runs")}
    assert titles == {f"{name} {n}" for name in "abc" for n in range(60)}


def test_a_full_disk_is_reported_and_rolled_back(ws):
    ws.db.pragma("max_page_count", ws.db.pragma("page_count"))
    with pytest.raises(WorkspaceError, match=r"disk of .* is full"), ws.write() as db:
        set_metadata(db, "first", 1)
        set_metadata(db, "big", "x" * 1_000_000)
    assert ws.metadata("first") is None


def said_with_limit(ws, most: int, *steps: str) -> list[str]:
    """Return what a process prints that limits the size of files to this many bytes after its first step."""
    code = "\n".join([
        "import resource, sys", "from glan_core.workspace import Workspace, WorkspaceError",
        "from glan_core.workspace.workspace import set_metadata", steps[0],
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({most}, {most}))", *steps[1:],
    ])  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code, ws.folder], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@pytest.mark.skipif(sys.platform == "win32", reason="has no such limit")
def test_a_workspace_without_room_for_the_index_of_its_log_is_not_called_damaged(ws):
    ws.close()
    (said,) = said_with_limit(
        ws, 4096, "pass", "try: Workspace.open(sys.argv[1])", "except WorkspaceError as error: print(error)"
    )
    assert said.startswith(f"{ws.folder} cannot be opened: the disk is full, or its quota")


@pytest.mark.skipif(sys.platform == "win32", reason="has no such limit")
def test_a_limit_of_the_size_of_files_is_reported_and_rolled_back(ws):
    assert said_with_limit(
        ws, 1_500_000, "ws = Workspace.open(sys.argv[1])",
        "try:", "    with ws.write() as db: set_metadata(db, 'big', 'x' * 5_000_000)", "except WorkspaceError as error: print(error)",
        "print(ws.metadata('big'))",
    ) == [
        f"The disk quota or the limit of a file's size is reached in {ws.folder}: this step was not stored. Free some space or raise the "
        "limit, and try again.",
        "None",
    ]  # fmt: skip


def test_a_failing_job_does_not_affect_others_of_its_batch(ws):
    async def store() -> list:
        commits = GroupCommit(ws)

        def bad(db):
            set_metadata(db, "bad", 1)
            raise ValueError("mine")

        jobs = [lambda db, n=n: set_metadata(db, f"good {n}", n) for n in range(5)]
        results = await asyncio.gather(*(commits.store(job) for job in [*jobs[:2], bad, *jobs[2:]]), return_exceptions=True)
        await commits.close()
        return results

    results = asyncio.run(store())
    assert [type(result) for result in results] == [type(None)] * 2 + [ValueError] + [type(None)] * 3
    assert [ws.metadata(f"good {n}") for n in range(5)] == [0, 1, 2, 3, 4] and ws.metadata("bad") is None


def test_a_cancelled_caller_of_a_failing_job_does_not_block_others(ws):
    async def store() -> object:
        commits = GroupCommit(ws)

        def bad(db):
            raise ValueError

        leaving = asyncio.create_task(commits.store(bad))
        await asyncio.sleep(0)
        leaving.cancel()
        value = await asyncio.wait_for(commits.store(lambda db: "stored"), 10)
        await commits.close()
        return value

    assert asyncio.run(store()) == "stored"


def test_stored_values_are_visible_to_other_readers(ws):
    async def store() -> list:
        commits = GroupCommit(ws)
        seen = []
        for n in range(3):
            await commits.store(lambda db, n=n: set_metadata(db, "n", n))
            seen.append(ws.metadata("n"))
        await commits.close()
        return seen

    assert asyncio.run(store()) == [0, 1, 2]


def test_jobs_that_keep_coming_do_not_delay_a_transaction(ws, monkeypatch):
    monkeypatch.setattr(group_commit, "MAX_JOBS", 1_000_000)  # so that time alone ends the wait

    async def store() -> int:
        commits = GroupCommit(ws)
        first = asyncio.create_task(commits.store(lambda db: set_metadata(db, "first", 1)))
        others = []
        while not first.done() and len(others) < 20_000:
            others.append(asyncio.create_task(commits.store(lambda db: None)))
            await asyncio.sleep(0)
        await asyncio.gather(first, *others)
        await commits.close()
        return len(others)

    assert asyncio.run(store()) < 20_000 and ws.metadata("first") == 1


def test_workspace_errors_are_shown_to_users():
    assert issubclass(WorkspaceError, GlanError)


@pytest.fixture
def older(tmp_path):
    """Folder of a workspace with the first schema."""
    db = apsw.Connection(str(tmp_path / FILE))
    schema.version_1(db)
    db.execute("INSERT INTO meta VALUES ('name', '\"old\"')")
    db.pragma("application_id", schema.APPLICATION_ID)
    db.pragma("user_version", 1)
    db.close()
    return tmp_path


def test_a_workspace_that_another_process_migrates_is_busy(older, monkeypatch):
    monkeypatch.setattr("glan_core.workspace.workspace.BUSY_MS", 10)
    other = apsw.Connection(str(older / FILE))
    other.pragma("journal_mode", "wal")
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(WorkspaceError, match="cannot be migrated: another process is using it"):
        Workspace.open(older)
    other.execute("ROLLBACK")
    other.close()
    assert Workspace.open(older).db.pragma("user_version") == len(schema.MIGRATIONS)


def test_a_killed_migration_restarts(older):
    program = f"""
import os
from glan_core.workspace import Workspace, schema
def killed(db):
    schema.version_2(db)
    os.kill(os.getpid(), 9)
schema.MIGRATIONS[1] = killed
Workspace.open({str(older)!r})
"""
    assert subprocess.run([sys.executable, "-c", program]).returncode == -9
    ws = Workspace.open(older)
    assert ws.db.pragma("user_version") == len(schema.MIGRATIONS) and ws.metadata("name") == "old"
    assert number(ws, "SELECT count(*) FROM record_events") == 0
