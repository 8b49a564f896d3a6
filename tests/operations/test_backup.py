"""A backup of a live workspace restores to what it was; a damaged one is refused whole."""

import io
import json
import tarfile
import threading

import apsw
import pyarrow as pa
import pytest
from support.demo import small_demo
from support.runs import execute_run, wait_for

from glan_core.cli import main
from glan_core.errors import GlanError
from glan_core.generation import preview
from glan_core.generation.settings import TeacherSettings
from glan_core.operations import backup_job
from glan_core.workspace import Workspace, removed, run_rows
from glan_core.workspace.workspace import FILE


@pytest.fixture
def ws(tmp_path):
    made = small_demo(tmp_path / "ws")
    (made.folder / "runs").mkdir(exist_ok=True)
    (made.folder / "runs" / "1.log").write_text("said\n")
    (made.folder / "maps").mkdir(exist_ok=True)
    (made.folder / "maps" / "big.bin").write_bytes(bytes(range(256)) * 1000)
    yield made
    made.close()


def tables(folder):
    db = apsw.Connection(str(folder / FILE), flags=apsw.SQLITE_OPEN_READONLY)
    names = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
    found = {name: db.execute(f"SELECT * FROM {name}").fetchall() for name in names if not name.startswith(("run", "sqlite"))}
    db.close()
    return found


def test_a_backup_restores_to_the_same_workspace(ws, tmp_path, capsys):
    live = run_rows.add_run(ws.db, "generate", "Live", {})
    run_rows.update_run(ws.db, live, state="running", claim="x")
    file = tmp_path / "kept.tar.zst"
    assert main(["backup", str(ws.folder), str(file)]) == 0
    assert "Backed up" in capsys.readouterr().out and file.stat().st_size > 1000
    assert main(["restore", str(file), str(tmp_path / "again")]) == 0
    assert "Restored" in capsys.readouterr().out
    back = Workspace.open(tmp_path / "again")
    assert tables(back.folder) == tables(ws.folder) and back.metadata("id") == ws.metadata("id")
    for name in ("runs/1.log", "maps/big.bin"):
        assert (back.folder / name).read_bytes() == (ws.folder / name).read_bytes()
    assert run_rows.run(back.db, live).state == "paused" and run_rows.run(back.db, live).claim is None
    assert run_rows.run(ws.db, live).state == "running"
    assert not list(tmp_path.glob(".*")), "no temporary files are left"


@pytest.mark.long
def test_a_backup_while_rows_are_written_is_consistent(ws, tmp_path):
    stop, written = threading.Event(), []

    def write():
        while not stop.is_set():
            with ws.write() as db:
                number = len(written)
                for key in ("one", "two"):
                    db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, str(number)))
            written.append(number)
        ws.close()

    writer = threading.Thread(target=write)
    writer.start()
    wait_for(lambda: written, "a write")
    try:
        run = execute_run(ws, {"path": str(tmp_path / "kept.tar.zst")}, kind="backup")
    finally:
        stop.set()
        writer.join()
    assert run.state == "finished" and written
    back = backup_job.restore_backup(tmp_path / "kept.tar.zst", tmp_path / "again")
    assert back.metadata("one") == back.metadata("two")


def test_a_run_that_was_killed_after_its_end_does_nothing_again(ws, tmp_path):
    file = tmp_path / "kept.tar.zst"
    run = execute_run(ws, {"path": str(file)}, kind="backup")
    about = backup_job.read_about(file)
    assert about["run"] == run.id and about["name"] == ws.metadata("name")
    before = file.read_bytes()
    refused = execute_run(ws, {"path": str(file)}, kind="backup")
    assert refused.state == "failed" and "already exists" in refused.message and file.read_bytes() == before


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("ws/in.tar.zst", "inside a workspace"),
        ("gone/x.tar.zst", "does not exist"),
        ("x.zip", "End it in .tar.zst"),
        (".tar.zst", "End it"),
    ],
)
def test_a_place_that_cannot_be_used_is_refused_before_a_run_is_stored(ws, tmp_path, capsys, path, why):
    assert main(["backup", str(ws.folder), str(tmp_path / path)]) == 2
    assert why in capsys.readouterr().err and run_rows.runs(ws.db, 5)[0].kind != "backup"


def packed(path, entries):
    with (
        path.open("wb") as raw,
        pa.CompressedOutputStream(raw, "zstd") as stream,
        tarfile.open(fileobj=stream, mode="w|") as tar,
    ):
        for entry, content in entries:
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return path


def entry(name, **values):
    made = tarfile.TarInfo(name)
    for key, value in values.items():
        setattr(made, key, value)
    return made


ABOUT = (entry("backup.json"), json.dumps({"id": "x"}).encode())


@pytest.mark.parametrize(
    "bad",
    [(entry("../out.txt"), b"x"), (entry("/tmp/glan-out.txt"), b"x"), (entry("a/../../out.txt"), b"x"),
     (entry("link", type=tarfile.SYMTYPE, linkname="/etc/passwd"), b""), (entry("dev", type=tarfile.CHRTYPE), b""),
     (entry("glan.sqlite", type=tarfile.SYMTYPE, linkname="other"), b""), (entry("kept", type=tarfile.LNKTYPE, linkname="backup.json"), b""),
     (entry("glan.sqlite"), b"no database"), (entry("other.txt"), b"no database at all")],
    ids=lambda bad: f"{bad[0].name}-{bad[0].type.decode()}",
)  # fmt: skip
def test_a_hostile_or_broken_archive_leaves_nothing(tmp_path, bad):
    file = packed(tmp_path / "bad.tar.zst", [ABOUT, bad])
    with pytest.raises(GlanError):
        backup_job.restore_backup(file, tmp_path / "home" / "again")
    assert not list((tmp_path / "home").iterdir()) and not (tmp_path / "out.txt").exists()


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_cut_backup_is_refused(ws, tmp_path, capsys, share):
    file = tmp_path / "kept.tar.zst"
    execute_run(ws, {"path": str(file)}, kind="backup")
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])
    assert main(["restore", str(file), str(tmp_path / "again")]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and str(file) in err and not (tmp_path / "again").exists()


def test_an_existing_folder_is_kept(ws, tmp_path, capsys):
    file = tmp_path / "kept.tar.zst"
    execute_run(ws, {"path": str(file)}, kind="backup")
    assert main(["restore", str(file), str(ws.folder)]) == 2
    assert "already exists" in capsys.readouterr().err and Workspace.open(ws.folder)


def test_previews_and_removed_files_are_part_of_a_backup(ws, tmp_path):
    (ws.folder / "models" / "gone").mkdir(parents=True)
    (ws.folder / "models" / "gone" / "weights.bin").write_bytes(b"123")
    removed.set_aside(ws, ws.folder / "models" / "gone", "model", "gone")
    preview.create(ws, "astronomy", TeacherSettings())
    assert execute_run(ws, {"path": str(tmp_path / "kept.tar.zst")}, kind="backup").state == "finished"
    back = backup_job.restore_backup(tmp_path / "kept.tar.zst", tmp_path / "again")
    assert [one.node.id for one in preview.pending(back)] == ["astronomy"]
    (one,) = removed.list_removed(back)
    assert (removed.put_back(back, one) / "weights.bin").read_bytes() == b"123"


def test_a_link_is_refused_when_it_is_backed_up(ws, tmp_path, capsys):
    (ws.folder / "maps" / "link").symlink_to(tmp_path)
    assert main(["backup", str(ws.folder), str(tmp_path / "kept.tar.zst")]) == 2
    assert "maps/link is a symbolic link" in capsys.readouterr().err and not (tmp_path / "kept.tar.zst").exists()


@pytest.mark.parametrize(
    "program", ["TRIGGER t AFTER INSERT ON runs BEGIN UPDATE runs SET params = '{}'; END", "VIEW v AS SELECT 1"]
)
def test_a_database_with_a_program_is_refused(ws, tmp_path, capsys, program):
    """A trigger could send the key of the next run to another endpoint."""
    ws.db.execute(f"CREATE {program}")
    ws.db.pragma("wal_checkpoint(truncate)")
    ws.close()
    file = packed(tmp_path / "kept.tar.zst", [ABOUT, (entry(FILE), (ws.folder / FILE).read_bytes())])
    for words in (["restore", str(file), str(tmp_path / "again")], ["status", str(ws.folder)]):
        assert main(words) == 2 and "which the studio never makes" in capsys.readouterr().err
    assert not (tmp_path / "again").exists()


def test_a_header_is_not_read_into_memory(tmp_path):
    file = packed(tmp_path / "bad.tar.zst", [ABOUT, (entry("x", pax_headers={"comment": "y" * (2 << 20)}), b"")])
    with pytest.raises(GlanError, match="damaged or incomplete"):
        backup_job.restore_backup(file, tmp_path / "again")
