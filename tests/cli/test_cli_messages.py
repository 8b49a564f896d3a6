"""Bad input of commands is explained in one line that names it, with exit code 2."""

import pytest
from support.demo import small_demo

from glan_core.cli import main
from glan_core.workspace import run_rows


def refused(words: list[str], capsys) -> str:
    try:
        code = main(words)
    except SystemExit as exit:
        code = exit.code
    said = capsys.readouterr()
    assert code == 2 and said.out == "" and said.err.count("\n") == 1, (words, said)
    return said.err


@pytest.mark.parametrize(
    ("words", "parts"),
    [(["plan", "--disciplines", "music", "--teacher", "local:/nonexistent"], ["local:/nonexistent", "does not exist"]),
     (["plan", "--disciplines", "music", "--answer-teacher", "local:./gone"], ["./gone", "does not exist"]),
     (["plan", "--disciplines", "music", "--stage", "foo:a=b"], ["Unknown stage 'foo'", "question"]),
     (["plan", "--disciplines", "music", "--stage", "question:a=b"], ["no setting 'a'", "temperature"]),
     (["plan", "--disciplines", "music", "--stage", "question:temperature=hot"], ["question:temperature=hot", "number", "'hot'"]),
     (["plan", "--disciplines", "music", "--price", "-1,1"], ["'-1,1' is not a valid price", "IN,OUT"]),
     (["plan", "--disciplines", "music", "--price", "-.5,-2"], ["'-.5,-2' is not a valid price"]),
     (["plan", "--disciplines", "music", "--seed", "-5"], ["seed", "-5"]), (["map", "--seed", "-5"], ["seed", "-5"]),
     (["snapshot", "create", "x", "--include", "bogus"], ["include: ", "'held_out'", "'bogus'"]),
     (["snapshot", "make", "x"], ["'make' does not exist", "create, list, show, verify, compare, remove"])],
    ids=lambda value: " ".join(value)[:60],
)  # fmt: skip
def test_it_names_what_is_wrong(ws, capsys, words, parts):
    said = refused([words[0], str(ws.folder), *words[1:]], capsys)
    assert all(part in said for part in parts), said
    assert run_rows.runs(ws.db) == []


def test_an_unknown_command_lists_the_commands_for_people(capsys):
    said = refused(["bogus"], capsys)
    assert "'bogus' does not exist" in said and "generate" in said and "work" not in said.replace("workspace", "")


@pytest.mark.parametrize("folder", ["", "  "])
def test_an_empty_folder_is_not_the_current_one(tmp_path, monkeypatch, capsys, folder):
    monkeypatch.chdir(tmp_path)
    for words in (["init", folder], ["status", folder], ["plan", folder, "--disciplines", "music"]):
        assert "folder of the workspace is empty" in refused(words, capsys)
    assert list(tmp_path.iterdir()) == []


def test_names_that_exist_are_refused_before_a_run_starts(tmp_path, capsys):
    ws = small_demo(tmp_path / "ws")
    folder, number = str(ws.folder), len(run_rows.runs(ws.db))
    assert main(["snapshot", folder, "create", "first"]) == 0 and main(["evaluate", "glan-test", folder, "create", "held"]) == 0
    capsys.readouterr()
    assert "already exists" in refused(["snapshot", folder, "create", "first"], capsys)
    assert "already exists" in refused(["evaluate", "glan-test", folder, "create", "held"], capsys)
    assert "does not exist" in refused(["models", folder, "merge", "gone", "new"], capsys)
    assert len(run_rows.runs(ws.db)) == number + 2
    words = ["finetune", folder, "--snapshot", "first", "--name", "m", "--recipe", "lora", "--plan", "--base"]
    assert "no weights in /nope" in refused([*words, "/nope"], capsys)
    assert main(["snapshot", folder, "create", "whole", "--split", "none"]) == 0  # 'none' is a choice here, not an unset value
