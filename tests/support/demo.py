"""Workspaces that many tests use: a small one of the scripted teacher, marked as a demo, and one with the starter taxonomy."""

import atexit
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from glan_core import runs
from glan_core.operations.demo_workspace import create_workspace
from glan_core.workspace import Workspace, taxonomy_rows
from glan_core.workspace.taxonomy_rows import DisciplineTarget
from glan_core.workspace.workspace import set_metadata

QUESTIONS = {"mathematics": 24, "earth-science": 32, "music": 16}  # per syllabus; mathematics has two
TARGETS = {"mathematics": 24, "earth-science": 48, "music": 48}


def small_demo(folder: Path) -> Workspace:
    """Return a new workspace with pairs of three disciplines and open proposals."""
    return _copy(_make_demo, folder)


def starter_workspace(folder: Path) -> Workspace:
    """Return a new workspace with the starter taxonomy and nothing else."""
    return _copy(create_workspace, folder)


def _copy(make: Callable[[Path], Workspace], folder: Path) -> Workspace:
    shutil.copytree(_made(make), folder)
    return Workspace.open(folder)


@cache
def _made(make: Callable[[Path], Workspace]) -> Path:
    """Create a workspace for `_copy`, once per process because it takes seconds."""
    parent = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, parent, ignore_errors=True)
    ws = make(parent / "starter")
    ws.close()
    return ws.folder


def _make_demo(folder: Path) -> Workspace:
    ws = create_workspace(folder)
    for discipline, questions in QUESTIONS.items():
        target = {"disciplines": [discipline], "subject_queries": 1, "questions_per_syllabus": questions}
        _run(ws, "generate", f"Demo: {discipline.replace('-', ' ')}", {"target": target})
    _run(ws, "propose", "Demo: proposals for Natural Sciences", {"parent_id": "natural-sciences"})
    with ws.write() as db:
        for discipline in QUESTIONS:
            taxonomy_rows.put_target(db, discipline, DisciplineTarget(1, None, TARGETS[discipline]))
        set_metadata(db, "demo", value=True)
        set_metadata(db, "name", "Demo")
    return ws


def _run(ws: Workspace, kind: str, title: str, settings: dict) -> None:
    assert runs.work(ws, runs.submit(ws, kind, title, settings)).state == "finished"
