"""Fixtures of the tests of pages; a test module takes them with `pytest_plugins = ["support.studio_fixtures"]`."""

import pytest
from streamlit.runtime.pages_manager import PagesManager
from support.demo import starter_workspace
from support.runs import execute_run
from support.studio_app import copy_of, make_demo

from glan_core.taxonomy import tree_editing
from glan_core.workspace import Workspace
from pages.components.shared import page_frame


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The folder in which the studio looks for workspaces; the changes are by 'Ada'."""
    initialise = PagesManager.__init__

    def framed(self, *args, **kwargs) -> None:
        """AppTest takes pages/ for the older kind of pages at every run, and would run a page without streamlit_app.py."""
        initialise(self, *args, **kwargs)
        PagesManager.uses_pages_directory = False

    monkeypatch.setattr(PagesManager, "__init__", framed)
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setattr(page_frame, "HOME", folder)
    monkeypatch.setattr(tree_editing, "default_user", lambda: "Ada")
    return folder


@pytest.fixture(scope="module")
def demo_made(tmp_path_factory):
    return make_demo(tmp_path_factory.mktemp("made") / "demo")


@pytest.fixture
def demo_ws(home, demo_made):
    """The demo workspace, the only one there is."""
    ws = Workspace.open(copy_of(demo_made, home, "demo"))
    yield ws
    ws.close()


@pytest.fixture
def starter_ws(home):
    """A workspace with the starter taxonomy and nothing else."""
    ws = starter_workspace(home / "starter")
    yield ws
    ws.close()


@pytest.fixture
def launched(monkeypatch):
    """The numbers of the runs that were started; none is carried out."""
    numbers = []
    monkeypatch.setattr("glan_core.runs.launcher.launch", lambda ws, run_id, environment=None: numbers.append(run_id))
    return numbers


@pytest.fixture(scope="module")
def snapshot_made(demo_made, tmp_path_factory):
    """The demo workspace with a snapshot "first"; a fifth of the key concept combinations is its validation split."""
    folder = copy_of(demo_made, tmp_path_factory.mktemp("snapshot"), "demo")
    ws = Workspace.open(folder)
    run = execute_run(ws, {"name": "first", "split": "combination", "validation_share": 0.2}, kind="snapshot")
    assert run.state == "finished", run.message
    ws.close()
    return folder


@pytest.fixture
def snapshot_ws(home, snapshot_made):
    ws = Workspace.open(copy_of(snapshot_made, home, "demo"))
    yield ws
    ws.close()
