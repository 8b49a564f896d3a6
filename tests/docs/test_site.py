"""The documentation site: its commands parse, its pictures exist and are of the present demo, and it builds without a network."""

import json
import re
import shlex
import subprocess
import sys

import pytest

from glan_core.cli import build_parser
from glan_core.resources import CHECKOUT

DOCS = CHECKOUT / "docs"
PAGES = sorted([DOCS / "index.md", *(DOCS / "start").glob("*.md")])
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    """Return every `glan` command of the pages, joined where it goes on in the next line."""
    lines = (
        line
        for page in PAGES
        for block in BLOCK.findall(page.read_text("utf-8"))
        for line in block.replace("\\\n", " ").splitlines()
    )
    return [line for line in lines if line.startswith("glan ")]


@pytest.mark.parametrize("command", commands())
def test_a_command_is_one_that_exists(command):
    words = shlex.split(command, comments=True)[1:]
    assert build_parser().parse_args(words).command, command


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_and_pictures_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), f"{page.name} links {target}"


def test_the_pictures_are_of_the_present_demo():
    sys.path.insert(0, str(DOCS))
    try:
        import make_pictures
    finally:
        sys.path.remove(str(DOCS))
    made = json.loads((DOCS / "pictures" / "made_from.json").read_text("utf-8"))
    assert made == {"demo": make_pictures.archive_hash(), "views": sorted(make_pictures.VIEWS)}, "run make pictures"
    for name in make_pictures.VIEWS:
        assert (DOCS / "pictures" / f"{name}.webp").stat().st_size > 5000
    for page in make_pictures.EMPTY:
        assert all((CHECKOUT / "assets" / "stills" / f"{page}-{theme}.webp").is_file() for theme in ("light", "dark"))


@pytest.mark.slow
def test_the_site_builds_offline_without_warnings(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")], cwd=CHECKOUT,
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    index = (tmp_path / "site" / "index.html").read_text("utf-8")
    assert not re.findall(r'(?:src|href)="https?://(?:fonts|cdn|unpkg)', index), (
        "the page would load something from the network"
    )
