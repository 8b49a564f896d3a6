"""The wheel works in an environment of its own, from any folder.

Dependencies come from this environment through a .pth file, so that the test needs no network; the checkout is not on the path.
"""

import os
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.request
import venv
import zipfile
from pathlib import Path

import pytest

from glan_core.resources import CHECKOUT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        folder,
        CHECKOUT,
    ]
    subprocess.run([str(word) for word in command], check=True, timeout=300)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """The bin folder of an environment with the wheel."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel], check=True, timeout=300)
    site = next(folder.glob("lib/python*/site-packages"))
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return folder / "bin"


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "GLAN_HOME")}


def glan(installed: Path, folder: Path, *words: str) -> str:
    done = subprocess.run(
        [installed / "glan", *words], cwd=folder, env=environment(), capture_output=True, text=True, timeout=300
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_nothing_lies_outside_the_package(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"glan_core"}
    for needed in ("prompts/answer.md", "assets/taxonomy.yaml", "studio/streamlit_app.py", "studio/pages/overview.py"):
        assert f"glan_core/{needed}" in names


def test_a_workspace_is_created_shown_and_opened(installed, tmp_path):
    glan(installed, tmp_path, "init", "d", "--demo")
    assert "14 of 126 disciplines" in glan(installed, tmp_path, "status", "d")
    where = subprocess.run(
        [installed / "python", "-c", "import glan_core; print(glan_core.__file__)"], cwd=tmp_path, env=environment(),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert str(installed.parent) in where.stdout, "the checkout was imported instead of the wheel"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [installed / "glan", "studio", "d", "--no-browser", "--port", str(port)]
    with subprocess.Popen(command, cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL) as studio:
        try:
            assert answers(f"http://localhost:{port}/_stcore/health", studio) == b"ok"
        finally:
            studio.terminate()


def answers(url: str, process: subprocess.Popen) -> bytes:
    """What an address answers once it does, within a minute."""
    for _ in range(300):
        assert process.poll() is None, "the studio ended"
        try:
            return urllib.request.urlopen(url, timeout=5).read()
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"{url} does not answer")
