"""Outputs replace neither workspace files nor anything but an earlier output of the same kind."""

import hashlib
import shutil
import sqlite3

import pytest
from support.model_rows import put_model
from support.runs import execute_run

from glan_core import runs
from glan_core.chat import preferences
from glan_core.cli import main
from glan_core.dataset import glan_test_store
from glan_core.dataset.export_job import exports_folder
from glan_core.errors import GlanError
from glan_core.workspace import run_rows
from glan_core.workspace.output_paths import check_output

INSIDE = ("glan.sqlite", "glan.sqlite-wal", "glan.sqlite-shm", "runs/1.log", "models/x.jsonl", "pairs.jsonl", "exports/../runs/2",
          "exports", "runs")  # fmt: skip


@pytest.fixture
def filled(ws, settings):
    """A workspace with pairs, a GLAN-Test, a model and the folders of runs and exports."""
    execute_run(ws, settings("mathematics", "music", questions_per_syllabus=25))
    assert execute_run(ws, {"name": "first", "questions": 5}, "glan-test").state == "finished"
    put_model(ws, "tuned")
    exports_folder(ws).mkdir()
    (ws.folder / "runs").mkdir(exist_ok=True)
    (ws.folder / "runs" / "1.log").write_text("a log")
    return ws


def files(folder) -> dict[str, str]:
    """Return the hash of every workspace file except SQLite's temporary files."""
    found = (path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(("-wal", "-shm")))
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def commands(folder) -> list[tuple[list[str], str]]:
    """Return every command that writes to a path, without the path, and the suffix of its output."""
    return [
        (["export", folder, "--out"], ""), (["export", folder, "--detach", "--out"], ""),
        (["export", folder, "--format", "parquet", "--out"], ""), (["export", folder, "--format", "datasets", "--out"], ""),
        (["taxonomy", folder, "export"], ".yaml"), (["taxonomy", folder, "export"], ".json"),
        (["evaluate", "glan-test", folder, "export", "first", "--file"], ""),
        (["models", folder, "export", "tuned", "--out"], ""), (["preferences", folder], ""),
    ]  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize("inside", INSIDE)
def test_no_command_writes_inside_a_workspace(filled, capsys, inside):
    filled.close()
    before = files(filled.folder)
    for words, suffix in commands(str(filled.folder)):
        assert main([*words, f"{filled.folder / inside}{suffix}"]) == 2, words
        message = capsys.readouterr().err
        assert message.count("\n") == 1 and "cannot be written" in message.replace("can't", "cannot"), message
    assert files(filled.folder) == before
    with sqlite3.connect(filled.folder / "glan.sqlite") as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_the_folder_for_exports_takes_every_output(filled, capsys):
    for number, (words, suffix) in enumerate(commands(str(filled.folder))[:-1]):
        if "--detach" not in words:
            assert main([*words, str(exports_folder(filled) / f"out-{number}{suffix}")]) == 0, capsys.readouterr().err


def test_links_are_resolved_before_a_path_is_checked(filled, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "to-models").symlink_to(filled.folder / "models")
    (outside / "to-database").symlink_to(filled.folder / "glan.sqlite")
    (exports_folder(filled) / "to-runs").symlink_to(filled.folder / "runs")
    (outside / "circle").symlink_to(outside / "circle")
    shutil.move(filled.folder / "runs", tmp_path / "large-disk")
    (filled.folder / "runs").symlink_to(tmp_path / "large-disk")
    (outside / "to-nothing").symlink_to(outside / "gone")
    for place in (
        outside / "to-models" / "x.jsonl", outside / "to-database", exports_folder(filled) / "to-runs" / "x.jsonl", outside / "circle",
        tmp_path / "large-disk" / "x.jsonl", outside / "to-nothing",
    ):  # fmt: skip
        with pytest.raises(GlanError, match="cannot be written"):
            check_output(filled, place, lambda path: True)
    check_output(filled, outside / "x.jsonl")


def test_files_of_another_workspace_are_protected(filled, new_workspace):
    other = new_workspace("other")
    with pytest.raises(GlanError, match="inside a workspace"):
        check_output(filled, other.folder / "x.jsonl")
    check_output(filled, other.folder / "exports" / "x.jsonl")


@pytest.mark.long
@pytest.mark.parametrize(
    "content", [b"precious", b'{"text": "a row of somebody"}\n', b"[1, 2]\n", b"PAR1 and no more", b"SQLite format 3\0"]
)
def test_only_an_earlier_output_of_the_same_kind_is_replaced(filled, tmp_path, capsys, content):
    for words, suffix in commands(str(filled.folder)):
        file = tmp_path / f"there{suffix}"
        file.write_bytes(content)
        assert main([*words, str(file)]) == 2, words
        assert file.read_bytes() == content and capsys.readouterr().err.count("\n") == 1
        file.unlink()


@pytest.mark.long
def test_earlier_outputs_are_replaced_and_those_of_another_kind_are_not(filled, tmp_path, capsys):
    again = [words for words, _ in commands(str(filled.folder))[:7] if "--detach" not in words]
    places = [str(tmp_path / f"out-{n}{'.yaml' if 'taxonomy' in words else ''}") for n, words in enumerate(again)]
    places[4] = str(tmp_path / "tree.json")
    for _ in range(2):
        for words, place in zip(again, places):
            assert main([*words, place]) == 0, (words, capsys.readouterr().err)
    assert main([*again[0], places[1]]) == 0  # rows again, in another format
    test = places[5]
    assert main([*again[0], test]) == 2 and glan_test_store.is_test_file(tmp_path / "out-5")
    assert main([*again[5], places[0]]) == 2


def test_a_card_takes_the_place_of_an_earlier_card_only(filled, tmp_path, capsys):
    words = ["export", str(filled.folder), "--card", "--out", str(tmp_path / "README.jsonl")]
    (tmp_path / "README.md").write_text("# My project\n")
    assert main(words) == 2 and not (tmp_path / "README.jsonl").exists()
    assert (tmp_path / "README.md").read_text() == "# My project\n"
    (tmp_path / "README.md").unlink()
    assert main(words) == 0 and main(words) == 0


def test_a_folder_with_the_manifest_of_another_program_is_not_replaced(filled, tmp_path):
    folder = tmp_path / "extension"
    folder.mkdir()
    (folder / "manifest.json").write_text('{"manifest_version": 3}')
    assert main(["export", str(filled.folder), "--format", "datasets", "--out", str(folder)]) == 2
    assert (folder / "manifest.json").exists()


def test_a_job_that_was_stored_before_is_refused_too(filled):
    for kind, values in (("model-export", {"model": "tuned"}), ("export", {"form": "chat"})):
        settings = values | {"path": str(filled.folder / "runs" / "new")}
        done = runs.work(filled, runs.submit(filled, kind, "test", settings))
        assert done.state == "failed" and "inside a workspace" in done.message
    assert run_rows.runs(filled.db)


def test_preference_rows_keep_away_from_the_workspace(filled):
    with pytest.raises(GlanError, match="inside a workspace"):
        preferences.write_preferences(filled, filled.folder / "rows.jsonl")
