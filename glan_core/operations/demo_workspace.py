"""Demo workspace: the starter taxonomy, with pairs of three disciplines by the scripted teacher."""

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
from glan_core.workspace.workspace import FILE, UNFINISHED, WorkspaceError, new_folder, set_metadata

STARTER_TAXONOMY = ASSETS / "taxonomy.yaml"
QUESTIONS = {"mathematics": 250, "earth-science": 60, "music": 20}  # questions per syllabus, of a target of 250
WHO = "GLAN Studio"


def create_workspace(folder: str | os.PathLike, *, demo: bool = False) -> Workspace:
    """Create a workspace with the starter taxonomy.

    The workspace is assembled in a temporary folder and moved into place when complete, so a kill leaves no partial one.

    Args:
        folder: Folder of the workspace.
        demo: Add pairs and open proposals of the scripted teacher.

    Raises:
        WorkspaceError: If the folder is in use.
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
            ws.close()  # closing the last connection checkpoints the WAL into the database file
            (unfinished / FILE).replace(path / FILE)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
            if not was_there:
                with suppress(OSError):  # the folder is not empty: it contains the workspace
                    path.rmdir()
    return Workspace.open(path)


@contextmanager
def _alone_in(path: Path) -> Iterator[None]:
    """Lock a folder against other processes; the lock is released when this process ends."""
    lock = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        new_folder(path)  # check again now that the folder is locked
        yield
    except BlockingIOError:
        raise WorkspaceError(
            f"Another process is creating a workspace in {path}. Wait for it or choose another folder."
        ) from None
    finally:
        os.close(lock)


def _fill(ws: Workspace) -> None:
    for discipline_id, questions in QUESTIONS.items():
        target = {"disciplines": [discipline_id], "subject_queries": 1, "questions_per_syllabus": questions}
        settings = read_settings(GenerationSettings, {"target": target, "teacher": "scripted"})
        _run(ws, "generate", f"Demo: {discipline_id.replace('-', ' ')}", settings)
    _run(ws, "propose", "Demo: proposals for Natural Sciences", ProposalSettings(parent_id="natural-sciences"))
    with ws.write() as db:
        for discipline_id in QUESTIONS:
            taxonomy_rows.put_target(db, discipline_id, DisciplineTarget(1, None, max(QUESTIONS.values())))
        set_metadata(db, "demo", value=True)


def _run(ws: Workspace, kind: str, title: str, settings: GenerationSettings | ProposalSettings) -> None:
    run = runs.work(ws, runs.submit(ws, kind, title, settings.model_dump(mode="json")))
    if run.state != "finished":
        raise GlanError(f"The demo data could not be created: run {run.id} is {run.state}. {run.message}")
