"""Each how-to works: its files are created, its changes applied and its commands run in a copy of the checkout."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from glan_core.resources import CHECKOUT

pytestmark = pytest.mark.slow
HOWTOS = sorted((CHECKOUT / "docs" / "howto").glob("*.md"))
BLOCK = re.compile(r'^```(?P<kind>\w+)(?: title="(?P<path>[^"]+)")?\n(?P<text>.*?)^```$', re.MULTILINE | re.DOTALL)


@pytest.fixture
def copy(tmp_path) -> Path:
    """The files of the checkout, without those that git ignores."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=CHECKOUT, capture_output=True, text=True, check=True
    ).stdout.splitlines()  # fmt: skip
    for name in listed:
        if (CHECKOUT / name).is_file():
            target = tmp_path / "copy" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(CHECKOUT / name, target)
    return tmp_path / "copy"


@pytest.mark.parametrize("howto", HOWTOS, ids=lambda path: path.stem)
def test_a_howto_can_be_followed(howto, copy):
    blocks = list(BLOCK.finditer(howto.read_text("utf-8")))
    assert {block["kind"] for block in blocks} >= {"python", "sh"} or {block["kind"] for block in blocks} >= {"diff", "sh"}
    for block in blocks:
        match block["kind"]:
            case "sh":
                run(block["text"], copy)
            case "diff":
                change(copy / block["path"], block["text"])
            case _:
                new = copy / block["path"]
                assert not new.exists(), f"{block['path']} exists already"
                new.parent.mkdir(parents=True, exist_ok=True)
                new.write_text(block["text"], "utf-8")


def run(commands: str, folder: Path) -> None:
    """Run the commands of a block with this environment's programs and the copy's code."""
    python = folder / "bin"
    python.mkdir(exist_ok=True)
    for name, words in {"python": "", "glan": "-m glan_core"}.items():
        (python / name).write_text(f'#!/bin/sh\nexec {sys.executable} {words} "$@"\n')
        (python / name).chmod(0o755)
    variables = os.environ | {"PATH": f"{python}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(folder)}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands], cwd=folder, env=variables, capture_output=True, text=True, timeout=300
    )  # fmt: skip
    assert done.returncode == 0, f"{commands}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"


def change(file: Path, diff: str) -> None:
    """Apply a diff of one place: lines that begin with a space or a minus must be there, once."""
    lines = [line for line in diff.splitlines() if line]
    before = "".join(f"{line[1:]}\n" for line in lines if line[0] in " -")
    after = "".join(f"{line[1:]}\n" for line in lines if line[0] in " +")
    text = file.read_text("utf-8")
    assert text.count(before) == 1, f"{file.name} does not have these lines once:\n{before}"
    file.write_text(text.replace(before, after), "utf-8")
