"""Fixtures for all tests: an environment without keys and proxies, a small workspace, run settings, an in-memory teacher."""

from itertools import count

import pytest
from support.runs import Canned

from glan_core.generation import engine
from glan_core.records import Node
from glan_core.taxonomy import tree_editing
from glan_core.workspace import Workspace

NODES = [
    Node("formal-sciences", "Formal Sciences", "field", None, "Academic-Formal Science"),
    Node("mathematics", "Mathematics", "discipline", "formal-sciences", None, "Structure, quantity, change and space."),
    Node("arts", "Arts", "field", None, "Academic-Humanities"),
    Node("music", "Music", "discipline", "arts"),
    Node("natural-sciences", "Natural Sciences", "field", None, "Academic-Natural Science"),
    Node("earth", "Earth and its surface", "sub-field", "natural-sciences"),
    Node("earth-science", "Earth Science", "discipline", "earth"),
    Node("cave-mapping", "Cave Mapping", "discipline", "earth"),
    Node("crafts", "Crafts", "field", None, "Industry-Manufacturing"),
    Node("bell-founding", "Bell Founding", "discipline", "crafts"),
]

NUMBERS = count()


def new_configuration(tmp_path_factory) -> str:
    """Return a configuration folder of somebody who has seen the tour."""
    # Not by mktemp, which lists all folders of the session.
    config = tmp_path_factory.getbasetemp() / "configurations" / str(next(NUMBERS))
    config.mkdir(parents=True)
    (config / "tour-seen").touch()
    return str(config)


@pytest.fixture(autouse=True, scope="session")
def nobodys_environment(tmp_path_factory):
    """Remove keys, endpoints and proxies from the environment, and give each session a model server of its own.

    Of the session, because servers of browser tests start before the fixtures of a test.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
            patch.delenv(name, raising=False)
        patch.setenv("NO_PROXY", "127.0.0.1,localhost")
        patch.setenv("GLAN_PACKAGED_MODELS", "off")  # the default embedder would depend on what is installed
        patch.setenv("GLAN_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
        patch.setenv("GLAN_CONFIG_HOME", new_configuration(tmp_path_factory))
        patch.setenv("GLAN_RUNTIME", str(tmp_path_factory.getbasetemp() / "runtime"))
        yield


@pytest.fixture(autouse=True)
def configuration_of_its_own(nobodys_environment, monkeypatch, tmp_path_factory):
    """Keep what a test stores in the configuration folder from the others."""
    monkeypatch.setenv("GLAN_CONFIG_HOME", new_configuration(tmp_path_factory))


@pytest.fixture
def new_workspace(tmp_path):
    """Return a function that creates workspaces with the small taxonomy."""
    made = []

    def make(name: str = "ws") -> Workspace:
        ws = Workspace.create(tmp_path / name)
        tree_editing.import_nodes(ws, NODES, "test")
        made.append(ws)
        return ws

    yield make
    for ws in made:
        ws.close()


@pytest.fixture
def ws(new_workspace):
    """Return a workspace with the small taxonomy."""
    return new_workspace()


@pytest.fixture
def settings():
    """Return a function that builds run settings; defaults: Mathematics, one subject query, four questions per syllabus."""

    def build(*disciplines: str, **values) -> dict:
        target = {"disciplines": list(disciplines) or ["mathematics"], "subject_queries": 1, "questions_per_syllabus": 4}
        for name in ("subject_queries", "max_subjects", "questions_per_syllabus"):
            if name in values:
                target[name] = values.pop(name)
        return {"target": target, "max_in_flight": 8, **values}

    return build


@pytest.fixture
def teach(monkeypatch):
    """Return a function that replaces every teacher a run would open; retries do not wait."""

    def quick(ws: Workspace):
        db = connect(ws)
        db.pragma("synchronous", "off")  # for speed; tests that kill processes do not use it
        return db

    connect = Workspace.new_connection

    def use(teacher: Canned) -> Canned:
        monkeypatch.setattr(Workspace, "new_connection", quick)
        monkeypatch.setattr("glan_core.generation.run.open_teacher", lambda spec, base_url=None, **key: teacher)
        monkeypatch.setattr(engine, "BACKOFF", 0.001)
        return teacher

    return use


# Markers by folder or file: `make test-fast` leaves out pages, browser, training and processes.
MARKERS = {
    "pages": "pages",
    "compatibility": "pages",
    "browser": "browser",
    "training": "training",
    "models": "training",
    "test_kill.py": "processes",
    "test_sandbox.py": "processes",
    "test_sandbox_values.py": "processes",
    "test_sandbox_verdict.py": "processes",
    "test_processes.py": "processes",
    "test_process_pool.py": "processes",
    "test_hash_seed.py": "processes",
    "test_preview.py": "processes",
    "test_engine_http.py": "processes",
}
# Fixtures that train a model or load its weights.
WEIGHTS = {"taught", "taught_folder", "base", "models_ws", "tuned_ws", "probed", "talking"}


def pytest_collection_modifyitems(items):
    """Mark tests by their folder or file, and those with weights as training."""
    for item in items:
        for place in (item.path.parent.name, item.path.name):
            if marker := MARKERS.get(place):
                item.add_marker(getattr(pytest.mark, marker))
        if not WEIGHTS.isdisjoint(item.fixturenames):
            item.add_marker(pytest.mark.training)
