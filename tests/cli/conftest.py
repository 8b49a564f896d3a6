"""Fixtures of the tests of the command line."""

import pytest
from support.demo import starter_workspace

from glan_core.cli import main


@pytest.fixture
def glan(capsys):
    """Runs a command in this process: (exit code, stdout, stderr)."""

    def run(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            code = main([str(word) for word in words])
        except SystemExit as ended:
            code = ended.code
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def starter(tmp_path):
    """A workspace with the starter taxonomy and nothing else."""
    return starter_workspace(tmp_path / "starter")
