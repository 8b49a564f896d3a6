"""Outputs have the permissions of new files under the umask, whatever library wrote them."""

import os
import shutil
import stat
import tempfile
from pathlib import Path

import pytest
from support.model_rows import put_model
from support.runs import execute_run

from glan_core.cli import main
from glan_core.dataset.formats import FORMATS
from glan_core.io.atomic import atomic_output

UMASKS = (0o000, 0o002, 0o022, 0o027, 0o077)


@pytest.fixture(params=UMASKS, ids=[f"{mask:03o}" for mask in UMASKS])
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def modes(path: Path) -> dict[str, int]:
    entries = [path, *path.rglob("*")] if path.is_dir() else [path]
    return {str(entry.relative_to(path.parent)): stat.S_IMODE(entry.stat().st_mode) for entry in entries}


def expected(path: Path, umask: int) -> dict[str, int]:
    return {name: (0o777 if (path.parent / name).is_dir() else 0o666) & ~umask for name in modes(path)}


def private_file(path: Path) -> None:
    """Write a file as safetensors and many others do: in a private temporary file that is renamed."""
    handle, name = tempfile.mkstemp(dir=path.parent)
    os.close(handle)
    os.replace(name, path)


def test_a_private_file_follows_the_umask(tmp_path, umask):
    with atomic_output(tmp_path / "out.bin", folder=False, mark=1) as new:
        private_file(new)
    assert modes(tmp_path / "out.bin") == {"out.bin": 0o666 & ~umask}


def test_a_folder_with_private_copied_and_executable_files_follows_the_umask(tmp_path, umask):
    source = tmp_path / "source"
    source.mkdir()
    (source / "a").write_text("a")
    (source / "a").chmod(0o400)
    out = tmp_path / "out"
    with atomic_output(out, folder=True, mark=1) as new:
        private_file(new / "b")
        shutil.copy2(source / "a", new / "a")
        (new / "c").write_text("c")
        (new / "c").chmod(0o755)
        Path(tempfile.mkdtemp(dir=new)).rename(new / "below")
        private_file(new / "below" / "d")
        (new / "link").symlink_to(source / "a")
    assert modes(out) | {"out/link": 0} == expected(out, umask) | {"out/link": 0}
    assert modes(source / "a") == {"a": 0o400}  # what a link leads to is not the output


def test_an_output_that_is_replaced_gets_new_permissions(tmp_path, umask):
    (tmp_path / "out").write_text("old")
    (tmp_path / "out").chmod(0o600)
    with atomic_output(tmp_path / "out", folder=False, mark=1) as new:
        new.write_text("new")
    assert modes(tmp_path / "out") == {"out": 0o666 & ~umask}


@pytest.mark.long
def test_every_export_follows_the_umask(ws, settings, tmp_path, umask):
    execute_run(ws, settings("mathematics", questions_per_syllabus=8))
    model = put_model(ws, "tuned")
    for file in model.weights(ws).rglob("*"):
        file.chmod(0o600)
    commands = [["models", str(ws.folder), "export", "tuned", "--out"]]
    for form in FORMATS:
        commands += [["export", str(ws.folder), "--format", form, "--out"]]
        commands += [["export", str(ws.folder), "--format", form, "--split", "combination", "--out"]]
    for number, words in enumerate(commands):
        out = tmp_path / f"out-{number}"
        assert main([*words, str(out)]) == 0
        assert modes(out) == expected(out, umask), words
