"""A folder for numba's compiled code where none can be written to."""

import atexit
from pathlib import Path

import numba
import pytest

from glan_core.compile_cache import with_compile_cache


@pytest.fixture
def at_exit(monkeypatch):
    """Collect what is to be done when the process ends, and restore numba's setting."""
    asked = []
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    monkeypatch.setattr(atexit, "register", lambda function, *args, **named: asked.append(lambda: function(*args, **named)))
    yield asked
    for function in asked:
        function()


def test_a_module_is_loaded_with_a_temporary_folder_if_numba_finds_none(at_exit):
    folders = []

    def load() -> str:
        folders.append(numba.config.CACHE_DIR)
        if not numba.config.CACHE_DIR:
            raise RuntimeError("cannot cache function 'f': no locator available for file 'f.py'")
        return "loaded"

    assert with_compile_cache(load) == "loaded"
    assert len(folders) == 2 and folders[0] == "" and Path(folders[1]).is_dir()
    at_exit.pop()()
    assert not Path(folders[1]).exists()


def test_nothing_changes_where_a_folder_is_found(at_exit):
    assert with_compile_cache(lambda: 5) == 5
    assert numba.config.CACHE_DIR == "" and at_exit == []


def test_other_errors_are_raised(at_exit):
    def load() -> None:
        raise RuntimeError("other")

    with pytest.raises(RuntimeError, match="other"):
        with_compile_cache(load)
    assert numba.config.CACHE_DIR == ""
