"""The commands of the README succeed in order, in a new folder, and its links lead to files."""

import re
import shlex

import pytest

from glan_core.cli import main
from glan_core.resources import CHECKOUT

README = (CHECKOUT / "README.md").read_text("utf-8")


def commands() -> list[list[str]]:
    section = README.partition("## On the command line")[2]
    block = re.search(r"```sh\n(.*?)```", section, re.DOTALL)[1]
    lines = (shlex.split(line, comments=True) for line in block.splitlines())
    return [words[1:] for words in lines if words and words[0] == "glan"]


@pytest.mark.slow
def test_the_commands_succeed_in_order(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert len(commands()) >= 8
    for words in commands():
        assert main(words) == 0, (words, capsys.readouterr())
    assert sorted(path.name for path in (tmp_path / "pairs").iterdir() if path.suffix == ".jsonl") == [
        "train.jsonl",
        "validation.jsonl",
    ]


def test_links_lead_to_files():
    links = re.findall(r"\]\(((?!http)[^)#]+)\)", README)
    assert links and [link for link in links if not (CHECKOUT / link).exists()] == []


def test_it_is_short():
    assert len(README.splitlines()) < 150
