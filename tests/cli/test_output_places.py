"""No command writes among the files of a workspace, over a file that is not an earlier output of its kind, or through a link."""

import apsw
import pytest
from support.demo import small_demo

from glan_core.chat import preferences
from glan_core.cli import main
from glan_core.workspace import Workspace, schema
from glan_core.workspace.workspace import FILE

WRITERS = {
    "export": lambda ws, out: ["export", ws, "--out", out],
    "export as parquet": lambda ws, out: ["export", ws, "--format", "parquet", "--out", out],
    "export of a folder": lambda ws, out: ["export", ws, "--folder", "--out", out],
    "taxonomy": lambda ws, out: ["taxonomy", ws, "export", out],
    "preferences": lambda ws, out: ["preferences", ws, out],
    "held-out test": lambda ws, out: ["evaluate", "glan-test", ws, "export", "kept", "--file", out],
    "report": lambda ws, out: ["report", ws, "--out", out, "--force"],
}


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("places") / "ws"
    small_demo(folder).close()
    assert main(["evaluate", "glan-test", str(folder), "create", "kept", "--questions", "4"]) == 0
    return folder


def contents(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".sqlite-shm"}


@pytest.fixture
def precious(tmp_path):
    path = tmp_path / "precious.yaml"
    path.write_text("precious: notes\n")
    return path


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize(
    "place",
    ["glan.sqlite", "new.yaml", "runs/new.yaml", "by a linked folder", "precious", "link", "link in exports", "hard link"],
)
def test_a_place_that_must_not_be_written_is_refused(filled, tmp_path, precious, monkeypatch, capsys, writer, place):
    monkeypatch.setattr(preferences, "to_jsonl", lambda ws: b"{}\n")
    target = {"precious": precious}.get(place, filled / place)
    if place == "by a linked folder":
        (tmp_path / "in").symlink_to(filled)
        target = tmp_path / "in" / "new.yaml"
    elif place == "link":
        target = tmp_path / "link.yaml"
        target.symlink_to(precious)
    elif place == "link in exports":
        (filled / "exports").mkdir(exist_ok=True)
        target = filled / "exports" / "link.yaml"
        target.unlink(missing_ok=True)
        target.symlink_to(precious)
    elif place == "hard link":
        target = tmp_path / "hard.yaml"
        target.hardlink_to(filled / FILE)
    before = contents(tmp_path), Workspace.open(filled).metadata("id")
    capsys.readouterr()
    code = main(WRITERS[writer](str(filled), str(target)))
    err = capsys.readouterr()
    assert code in (1, 2) and str(target) in err.out + err.err and "Traceback" not in err.err
    assert (contents(tmp_path), Workspace.open(filled).metadata("id")) == before
    assert apsw.Connection(str(filled / FILE)).pragma("integrity_check") == "ok"


@pytest.mark.parametrize("writer", [name for name in WRITERS if name != "preferences"])
def test_an_earlier_output_is_replaced_but_not_through_a_link(filled, tmp_path, writer, capsys):
    out = tmp_path / ("out" if "folder" in writer else "out.parquet" if "parquet" in writer else "out.yaml")
    command = WRITERS[writer](str(filled), str(out))
    assert main(command) == 0 and main(command) == 0
    link = tmp_path / "link.yaml"
    link.symlink_to(out)
    before = contents(tmp_path)
    assert main(WRITERS[writer](str(filled), str(link))) in (1, 2)
    said = capsys.readouterr()
    assert "symbolic link" in said.err + said.out and link.is_symlink() and contents(tmp_path) == before


def foreign(file):
    db = apsw.Connection(str(file))
    db.execute("CREATE TABLE notes (text)")
    db.close()


def empty_of_the_same_kind(file):
    """A database with the header of a workspace and none of its tables."""
    foreign(file)
    db = apsw.Connection(str(file))
    db.pragma("application_id", schema.APPLICATION_ID)
    db.pragma("user_version", len(schema.MIGRATIONS))
    db.close()


def half_migrated(file):
    """A database that claims to be older, so that its migration fails."""
    empty_of_the_same_kind(file)
    db = apsw.Connection(str(file))
    db.pragma("user_version", 1)
    db.close()


READERS = {
    "status": lambda ws: ["status", ws],
    "runs": lambda ws: ["runs", ws],
    "cancel": lambda ws: ["runs", ws, "cancel", "1"],
    "plan": lambda ws: ["plan", ws, "--disciplines", "all"],
    "generate": lambda ws: ["generate", ws, "--disciplines", "all"],
    "taxonomy": lambda ws: ["taxonomy", ws, "show"],
    "show": lambda ws: ["show", ws, "mathematics"],
    "create snapshot": lambda ws: ["snapshot", ws, "create", "one"],
    "judge": lambda ws: ["judge", ws],
    "dedup": lambda ws: ["dedup", ws],
    "filter": lambda ws: ["filter", ws],
    "export": lambda ws: ["export", ws, "--out", f"{ws}.jsonl"],
    "measure": lambda ws: ["measure", ws],
    "glan-test": lambda ws: ["evaluate", "glan-test", ws, "create", "x"],
}


@pytest.mark.parametrize("make", [foreign, empty_of_the_same_kind, half_migrated])
@pytest.mark.parametrize("reader", READERS)
def test_a_foreign_database_is_one_line(tmp_path, capsys, make, reader):
    (tmp_path / "ws").mkdir()
    make(tmp_path / "ws" / FILE)
    assert main(READERS[reader](str(tmp_path / "ws"))) == 2
    err = capsys.readouterr().err
    assert err.startswith("glan: ") and err.count("\n") == 1
