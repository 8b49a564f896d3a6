"""Fixtures for all tests: no key, no endpoint and no proxy of the person who runs them; a small workspace; orders."""

import pytest
from support.runs import Canned

from glan_core.generation import engine
from glan_core.operations import demo_workspace
from glan_core.records import Node
from glan_core.taxonomy import tree_editing
from glan_core.workspace import Workspace

demo_workspace.QUESTIONS = {
    "mathematics": 24,
    "earth-science": 16,
    "music": 8,
}  # a sixth of the demo's: as good for a test, and quicker

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


@pytest.fixture(autouse=True)
def nobodys_environment(monkeypatch, tmp_path_factory):
    """Neither key nor address nor proxy nor model process reaches a test from outside."""
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.setenv("GLAN_RUNTIME", str(tmp_path_factory.getbasetemp() / "runtime"))


@pytest.fixture
def new_workspace(tmp_path):
    """Makes workspaces with the small taxonomy, each in a folder of its own."""
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
    """A workspace with the small taxonomy."""
    return new_workspace()


@pytest.fixture
def settings():
    """Builds orders: one discipline, one query and four questions a syllabus, unless said; target settings by their names."""

    def build(*disciplines: str, **values) -> dict:
        target = {"disciplines": list(disciplines) or ["mathematics"], "subject_queries": 1, "questions_per_syllabus": 4}
        for name in ("subject_queries", "max_subjects", "questions_per_syllabus"):
            if name in values:
                target[name] = values.pop(name)
        return {"target": target, "max_in_flight": 8, **values}

    return build


@pytest.fixture
def teach(monkeypatch):
    """Puts a teacher in the place of every one that a run would open; faults are retried without a wait."""

    def quick(ws: Workspace):
        db = connect(ws)
        db.pragma("synchronous", "off")  # a kill of this process is not tested with it, and waiting for the disk takes long
        return db

    connect = Workspace.new_connection

    def use(teacher: Canned) -> Canned:
        monkeypatch.setattr(Workspace, "new_connection", quick)
        monkeypatch.setattr("glan_core.generation.run.open_teacher", lambda spec, base_url=None, **key: teacher)
        monkeypatch.setattr(engine, "BACKOFF", 0.001)
        return teacher

    return use


# Markers by folder: `make test-fast` leaves out pages, browser and training.
MARKED_FOLDERS = {
    "pages": "pages",
    "browser": "browser",
    "training": "training",
    "models": "training",
    "compatibility": "pages",
}


WEIGHTS = {
    "taught",
    "taught_folder",
    "base",
    "models_ws",
    "tuned_ws",
    "probed",
    "talking",
}  # fixtures that train or load weights


def pytest_collection_modifyitems(items):
    """Mark tests by their folder, and those with weights as training."""
    for item in items:
        if marker := MARKED_FOLDERS.get(item.path.parent.name):
            item.add_marker(getattr(pytest.mark, marker))
        if not WEIGHTS.isdisjoint(item.fixturenames):
            item.add_marker(pytest.mark.training)
