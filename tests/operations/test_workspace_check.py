"""`glan doctor --workspace` finds what is wrong in a workspace and repairs it without losing rows."""

import json
import socket
import time

import pytest
from support.demo import small_demo
from support.studio_app import add_run

from glan_core.cli import main, setup
from glan_core.errors import GlanError
from glan_core.formatting import size
from glan_core.operations import workspace_check
from glan_core.workspace import removed

DEAD = 2**22 - 7  # a process id that is not in use


@pytest.fixture
def ws(tmp_path):
    made = small_demo(tmp_path / "ws")
    yield made
    made.close()


def faults(ws):
    return [finding.what for finding in workspace_check.find_faults(ws)]


def checked(ws, capsys, *words):
    """Exit code and output of the command."""
    code = main(["doctor", "--workspace", str(ws.folder), *words])
    return code, capsys.readouterr().out


def test_a_sound_workspace_has_no_findings(ws, capsys):
    assert faults(ws) == []
    assert checked(ws, capsys) == (0, f"ok    {ws.folder} is consistent.\n")
    assert checked(ws, capsys, "--json") == (0, "[]\n")


def test_the_check_of_a_large_workspace_says_beforehand_that_it_takes_long(ws, capsys, monkeypatch):
    bytes = (ws.folder / "glan.sqlite").stat().st_size
    monkeypatch.setattr(setup, "LONG_CHECK", bytes + 1)
    assert "Checking" not in checked(ws, capsys)[1]
    monkeypatch.setattr(setup, "LONG_CHECK", bytes)
    code, out = checked(ws, capsys)
    assert code == 0 and out.splitlines()[0].startswith(f"Checking {size(bytes)}.")
    assert checked(ws, capsys, "--json") == (0, "[]\n")


def change(ws, *statements):
    with ws.write() as db:
        for statement in statements:
            db.execute(statement)


def partial_file(ws):
    (ws.folder / "exports").mkdir(exist_ok=True)
    (ws.folder / "exports" / ".rows.jsonl.unfinished-7").write_text("half")


def replaced_file(ws):
    (ws.folder / "maps").mkdir(exist_ok=True)
    (ws.folder / "maps" / ".one.replaced-7").mkdir()
    (ws.folder / "maps" / ".one.replaced-7" / "kept").write_text("kept")


PLANTED = {
    "counter": (lambda ws: change(ws, "UPDATE counters SET value = value + 3 WHERE measure = 'pairs'"), "counters that differ"),
    "lost counter": (lambda ws: change(ws, "DELETE FROM counters WHERE measure = 'concepts_asked'"), "concepts_asked of"),
    "cost": (lambda ws: change(ws, "INSERT OR REPLACE INTO counters VALUES ('mathematics', 'cost_usd', 0.5)"), "cost_usd of mathematics"),
    "derived": (lambda ws: change(ws, "UPDATE questions SET answer_length = 1, answered = 0 WHERE seq = 2"), "1 question with facts"),
    "syllabus": (lambda ws: change(ws, "UPDATE syllabi SET questions = questions + 2"), "syllabi with a number of questions that differs"),
    "orphan": (lambda ws: change(ws, "DELETE FROM questions WHERE seq = 2"), "1 of answers"),
    "lost run": (lambda ws: add_run(ws, "running", "Gone", pid=DEAD, host=socket.gethostname()), "1 run without a worker"),
    "partial file": (partial_file, "exports/.rows.jsonl.unfinished-7"),
    "replaced file": (replaced_file, "maps/.one.replaced-7"),
    "half removal": (lambda ws: (ws.folder / removed.FOLDER / "3").mkdir(parents=True), "1 half-removed item"),
}  # fmt: skip


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_found_and_repaired(ws, capsys, fault):
    plant, said = PLANTED[fault]
    plant(ws)
    code, out = checked(ws, capsys)
    assert code == 1 and said in out and f"Repair with: glan doctor --workspace {ws.folder} --repair" in out
    assert said in " ".join(faults(ws)), "a check alone repairs nothing"
    code, out = checked(ws, capsys, "--repair")
    assert code == 0 and "ok    " in out and "FAIL" not in out
    assert faults(ws) == []


def test_orphans_are_kept_as_lines_with_all_that_belonged_to_them(ws, capsys):
    (answer,) = ws.db.execute(
        "SELECT a.text FROM answers a JOIN questions q ON q.id = a.question_id WHERE q.seq = 2"
    ).fetchall()
    change(ws, "DELETE FROM questions WHERE seq = 2")
    checked(ws, capsys, "--repair")
    (file,) = (ws.folder / removed.FOLDER).glob("rows-*.jsonl")
    head, *lines = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    assert sum(head["rows"].values()) == len(lines)
    assert [line["row"]["text"] for line in lines if line["table"] == "answers"] == [answer[0]]
    assert {line["table"] for line in lines} >= {"answers", "question_concepts"}


def test_a_replaced_output_comes_back_if_its_successor_never_came(ws, capsys):
    replaced_file(ws)
    checked(ws, capsys, "--repair")
    assert (ws.folder / "maps" / "one" / "kept").read_text() == "kept"
    replaced_file(ws)
    checked(ws, capsys, "--repair")
    assert [path.name for path in (ws.folder / "maps").iterdir()] == ["one"]


def test_nothing_is_repaired_below_a_live_run(ws):
    add_run(ws, "running", "Live", heartbeat_at=time.time())
    change(ws, "UPDATE counters SET value = value + 3 WHERE measure = 'pairs'")
    (finding,) = list(workspace_check.find_faults(ws))
    with pytest.raises(GlanError, match="is live"):
        workspace_check.repair(ws, finding)
    assert len(faults(ws)) == 1


def test_a_damaged_file_is_named_and_not_touched(ws, capsys):
    path = ws.folder / "glan.sqlite"
    ws.db.pragma("wal_checkpoint(truncate)")
    ws.close()
    content = bytearray(path.read_bytes())
    for at in range(8192, len(content), 4096):
        content[at : at + 64] = b"\xff" * 64
    path.write_bytes(content)
    code = main(["doctor", "--workspace", str(ws.folder), "--repair"])
    said = capsys.readouterr()
    assert code in (1, 2) and "damaged" in said.out + said.err + " unusable" and path.read_bytes() == bytes(content)
    assert "Traceback" not in said.err


@pytest.mark.parametrize("about", ["", '{"new_field": 1}', None])
def test_what_was_removed_is_never_deleted_by_a_repair(ws, capsys, about):
    place = ws.folder / "models" / "one"
    place.mkdir(parents=True)
    one = removed.set_aside(ws, place, "model", "one")
    record = one.content(ws).parent / removed.ABOUT
    record.unlink() if about is None else record.write_text(about)
    code, out = checked(ws, capsys, "--repair")
    assert code == 1 and "holds something that was removed" in out and one.content(ws).is_dir()
