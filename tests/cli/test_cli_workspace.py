"""`glan workspace` and `glan snapshot DIR compare` from the command line."""

import json

import pytest
from support.demo import small_demo
from support.runs import execute_run

from glan_core.cli import main
from glan_core.workspace import Workspace, find_workspaces


@pytest.fixture
def run(capsys):
    """Return a function that runs a command and returns (exit code, stdout, stderr)."""

    def command(*words: str) -> tuple[int, str, str]:
        code = main([str(word) for word in words])
        return code, *capsys.readouterr()

    return command


@pytest.fixture
def home(tmp_path):
    small_demo(tmp_path / "home" / "demo").close()
    return tmp_path / "home"


def test_a_workspace_goes_through_its_life(run, home):
    def names() -> list[str]:
        return [folder.name for folder in find_workspaces(home)]

    assert run("workspace", home, "create", "My Research")[0] == 0
    assert run("workspace", home, "rename", "my-research", "Second")[1] == "Renamed my-research to second.\n"
    code, out, _ = run("workspace", home, "duplicate", "second", "Third", "--json")
    assert code == 0 and json.loads(out)["result"]["folder"] == str(home / "third")
    assert names() == ["demo", "second", "third"]
    assert "glan workspace" in run("workspace", home, "archive", "third")[1] and names() == ["demo", "second"]
    listed = json.loads(run("workspace", home, "list", "--json")[1])
    assert [(one["name"], one["title"], one["archived"]) for one in listed] == [
        ("demo", "Demo", False), ("second", "Second", False), ("third", "Third", True)
    ]  # fmt: skip
    assert "archived" in run("workspace", home, "list")[1]
    assert run("workspace", home, "restore", "third", "--as", "Fourth")[0] == 0
    assert names() == ["demo", "fourth", "second"]
    code, out, _ = run("workspace", home, "reset-demo", "--json")
    assert code == 0 and json.loads(out)["archived"].startswith(str(home / ".archive" / "demo-20"))


def test_errors_are_told_in_one_line(run, home):
    for words, said in (
        (("nowhere", "list"), "is not a folder"),
        ((home, "archive", "none"), 'Workspace "none" does not exist'),
        ((home, "duplicate", "demo", "demo"), "already exists"),
        ((home, "compare", "demo", "none"), "There are: "),
        ((home, "create", "…"), "no letter or digit"),
    ):
        code, _, err = run("workspace", *words)
        assert code == 2 and said in err and err.count("\n") == 1


def test_two_workspaces_are_compared(run, home, settings):
    run("workspace", home, "create", "other")
    ws = Workspace.open(home / "other")
    execute_run(ws, settings("music", teacher="scripted"))
    ws.close()
    code, out, _ = run("workspace", home, "compare", "demo", "other")
    assert code == 0 and "pairs by field" in out and "answers" in out
    found = json.loads(run("workspace", home, "compare", "demo", "other", "--json")[1])
    assert found["names"] == ["demo", "other"] and found["counts"]["Disciplines with subjects"] == [3, 1]
    assert found["settings"]["Questions per syllabus"][1] == "4"


def test_two_snapshots_are_compared(run, home):
    folder = home / "demo"
    for name, share in (("one", 0.1), ("two", 0.4)):
        assert run("snapshot", folder, "create", name, "--split", "combination", "--validation-share", share)[0] == 0
    assert run("snapshot", folder, "create", "music", "--disciplines", "music", "--split", "none")[0] == 0
    found = json.loads(run("snapshot", folder, "compare", "one", "two", "--json")[1])
    shared = found["shared"]
    assert shared["only"] == [0, 0] and shared["changed"] == 0 and found["overlap"] == 1
    assert shared["leaked"][0] == shared["moved"] > 0 and shared["leaked"][1] == 0
    assert set(found["settings"]) == {"Validation share"} and found["disciplines"][0]["rows"][0] > 0
    code, out, _ = run("snapshot", folder, "compare", "one", "music")
    assert code == 0 and "only in one" in out and "Disciplines of the filter" in out
    assert run("snapshot", folder, "compare", "one")[0] == 2
    assert "Give two snapshots" in run("snapshot", folder, "compare", "one", "one")[2]
    assert "takes one name" in run("snapshot", folder, "show", "one", "two")[2]
