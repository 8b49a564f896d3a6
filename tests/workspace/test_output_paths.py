"""Output paths: only exports/ of a workspace accepts files, links are resolved, and only earlier outputs are replaced."""

import os

import pytest

from glan_core.errors import GlanError
from glan_core.workspace.output_paths import EXPORTS, SQLITE, check_output


@pytest.fixture
def outside(tmp_path):
    folder = tmp_path / "outside"
    folder.mkdir()
    return folder


def refused(ws, path, is_earlier=None) -> str:
    """Return the reason why a path is refused."""
    with pytest.raises(GlanError) as caught:
        check_output(ws, path, is_earlier)
    said = str(caught.value)
    assert said.startswith(f"{path} cannot be written") and "\n" not in said
    return said


def test_a_new_path_outside_of_workspaces_and_one_in_exports_are_accepted(ws, outside):
    exports = ws.folder / EXPORTS
    for path in (outside / "x.jsonl", exports / "x.jsonl", exports / "deep" / "x.jsonl"):
        assert check_output(ws, path) is None
    exports.mkdir()
    assert check_output(ws, exports / "x.jsonl") is None


@pytest.mark.parametrize(
    "place", ["x.jsonl", "snapshots/x", "exports", "exports/../x.jsonl", "exports/../../ws/x", ".", "exportsx/x"]
)
def test_a_path_in_the_workspace_is_refused(ws, place):
    (ws.folder / EXPORTS).mkdir()
    said = refused(ws, ws.folder / place, lambda path: True)
    assert said == (
        f"{ws.folder / place} cannot be written: it is inside a workspace. Choose a path outside of it or in "
        f"{ws.folder.absolute() / EXPORTS}."
    )


def test_a_relative_path_is_resolved(ws, monkeypatch):
    from pathlib import Path

    monkeypatch.chdir(ws.folder)
    assert "inside a workspace" in refused(ws, Path("x.jsonl"))
    assert check_output(ws, Path("exports/x.jsonl")) is None


def test_another_workspace_is_protected_too(ws, new_workspace):
    other = new_workspace("other")
    assert "inside a workspace" in refused(ws, other.folder / "x") and check_output(ws, other.folder / EXPORTS / "x") is None


def test_a_link_into_the_workspace_is_refused_by_its_target(ws, outside):
    (outside / "in").symlink_to(ws.folder)
    (outside / "file").symlink_to(ws.folder / "new.jsonl")
    for path in (outside / "in" / "x", outside / "file", outside / "in"):
        assert "inside a workspace" in refused(ws, path, lambda path: True)


def test_a_link_in_the_workspace_is_refused_by_its_own_place(ws, outside):
    (ws.folder / "out").symlink_to(outside / "new.jsonl")
    assert "inside a workspace" in refused(ws, ws.folder / "out", lambda path: True)


def test_a_folder_of_the_workspace_on_another_disk_is_protected_but_linked_exports_are_not(ws, outside):
    (outside / "runs").mkdir()
    (outside / "exports").mkdir()
    (ws.folder / "runs").symlink_to(outside / "runs")
    (ws.folder / EXPORTS).symlink_to(outside / "exports")
    assert "inside a workspace" in refused(ws, outside / "runs" / "x.jsonl")
    assert check_output(ws, outside / "exports" / "x.jsonl") is None and check_output(ws, outside / "x.jsonl") is None
    assert "inside a workspace" in refused(ws, ws.folder / EXPORTS, lambda path: True)


def test_circular_links_are_an_error_in_one_line(ws, outside):
    (outside / "circle").symlink_to(outside / "circle")
    refused(ws, outside / "circle", lambda path: True)
    refused(ws, outside / "circle" / "x", lambda path: True)


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_an_earlier_output_is_replaced_and_other_paths_are_not(ws, outside, kind):
    path = outside / "out"
    if kind == "file":
        path.write_text("rows")
    else:
        path.mkdir()
        (path / "rows").write_text("rows")
    asked = []
    assert check_output(ws, path, lambda place: asked.append(place) or True) is None and asked == [path]
    assert refused(ws, path, lambda place: False) == (
        f"{path} cannot be written: it already exists and is not an earlier output of this kind. Choose another name."
    )
    assert refused(ws, path) == f"{path} cannot be written: it already exists. Choose another name."


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_an_empty_path_is_replaced_if_outputs_of_its_kind_are(ws, outside, kind):
    path = outside / "out"
    path.write_bytes(b"") if kind == "file" else path.mkdir()
    assert check_output(ws, path, lambda place: False) is None
    assert "it already exists. Choose" in refused(ws, path)


def test_a_database_is_never_replaced(ws, outside):
    (outside / "data").write_bytes(SQLITE + b"more")
    assert refused(ws, outside / "data", lambda path: True).endswith("it is a database. Choose another name.")
    (outside / "data").write_bytes(SQLITE[:-1] + b"x")
    assert check_output(ws, outside / "data", lambda path: True) is None
    assert SQLITE == b"SQLite format 3\0"


def test_a_pipe_or_a_link_is_refused(ws, outside):
    os.mkfifo(outside / "pipe")
    (outside / "nothing").symlink_to(outside / "gone")
    (outside / "rows").write_text("rows")
    (outside / "link").symlink_to(outside / "rows")
    for name, said in (("pipe", "it is not a regular file"), ("nothing", "a symbolic link"), ("link", "a symbolic link")):
        assert said in refused(ws, outside / name, lambda path: True)


def test_a_file_that_cannot_be_read_is_an_error_in_one_line(ws, outside, monkeypatch):
    (outside / "out").write_text("rows")

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", refuse)
    assert refused(ws, outside / "out", lambda path: True) == f"{outside / 'out'} cannot be written: Permission denied."
