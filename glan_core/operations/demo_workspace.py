"""The demo workspace: the starter taxonomy, and pairs of the textbook's three disciplines by the scripted teacher."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from glan_core import runs
from glan_core.errors import GlanError
from glan_core.generation.settings import GenerationSettings, ProposalSettings
from glan_core.resources import ASSETS
from glan_core.settings import read_settings
from glan_core.taxonomy import taxonomy_files, tree_editing
from glan_core.workspace import Workspace, taxonomy_rows
from glan_core.workspace.taxonomy_rows import DisciplineTarget
from glan_core.workspace.workspace import FILE, UNFINISHED, WorkspaceError, new_folder, set_fact

STARTER_TAXONOMY = ASSETS / "taxonomy.yaml"
QUESTIONS = {"mathematics": 250, "earth-science": 60, "music": 20}  # of a target of 250: finished, on the way, begun
WHO = "GLAN Studio"


def create(folder: str | os.PathLike, *, demo: bool = False) -> Workspace:
    """A new workspace with the starter taxonomy; with `demo`, pairs and open proposals of the scripted teacher too.

    It is made aside and put in its place when it is whole: who is killed before leaves no half of it, only what the next
    try clears away. WorkspaceError when the folder is in use.
    """
    was_there = Path(folder).expanduser().exists()
    path = new_folder(folder)
    unfinished = path / UNFINISHED
    with _alone_in(path):
        shutil.rmtree(unfinished, ignore_errors=True)
        try:
            ws = Workspace.create(unfinished, "Demo" if demo else path.name)
            tree_editing.import_nodes(ws, taxonomy_files.read(STARTER_TAXONOMY), WHO)
            if demo:
                _fill(ws)
            ws.close()  # the last connection: all is in the one file now
            (unfinished / FILE).replace(path / FILE)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
            if not was_there:
                with suppress(OSError):  # not empty: it holds the workspace
                    path.rmdir()
    return Workspace.open(path)


@contextmanager
def _alone_in(path: Path) -> Iterator[None]:
    """Keep other makers out of a folder; the lock ends with this process, however it ends."""
    lock = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        new_folder(path)  # still free, now that nobody else can fill it
        yield
    except BlockingIOError:
        raise WorkspaceError(f"{path} is being made by another process: wait for it, or choose another folder.") from None
    finally:
        os.close(lock)


def _fill(ws: Workspace) -> None:
    for discipline_id, questions in QUESTIONS.items():
        target = {"disciplines": [discipline_id], "subject_queries": 1, "questions_per_syllabus": questions}
        settings = read_settings(GenerationSettings, {"target": target, "teacher": "scripted"})
        _run(ws, "generate", f"Demo: {discipline_id.replace('-', ' ')}", settings)
    _run(ws, "propose", "Demo: what is missing in Natural Sciences?", ProposalSettings(parent_id="natural-sciences"))
    with ws.write() as db:
        for discipline_id in QUESTIONS:
            taxonomy_rows.put_target(db, discipline_id, DisciplineTarget(1, None, max(QUESTIONS.values())))
        set_fact(db, "demo", True)


def _run(ws: Workspace, kind: str, title: str, settings: GenerationSettings | ProposalSettings) -> None:
    run = runs.work(ws, runs.submit(ws, kind, title, settings.model_dump(mode="json")))
    if run.state != "finished":
        raise GlanError(f"The demo content could not be made: run {run.id} is {run.state}. {run.message}")
