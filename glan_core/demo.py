"""The demo workspace: the starter taxonomy, and pairs of the textbook's three disciplines by the scripted teacher."""

import os
from pathlib import Path

from glan_core import runs, taxonomy_edit, taxonomy_file
from glan_core.errors import GlanError
from glan_core.generation.order import Order, ProposalOrder, read_order
from glan_core.workspace import Workspace, taxonomy_rows
from glan_core.workspace.taxonomy_rows import DisciplineTarget
from glan_core.workspace.workspace import set_fact

STARTER_TAXONOMY = Path(__file__).parents[1] / "assets" / "taxonomy.yaml"
QUESTIONS = {"mathematics": 24, "earth-science": 16, "music": 8}  # of a target of 24: finished, well on the way, begun
WHO = "GLAN Studio"


def create(folder: str | os.PathLike, *, demo: bool = False) -> Workspace:
    """A new workspace with the starter taxonomy; with `demo`, pairs and open proposals of the scripted teacher too.

    WorkspaceError when the folder is in use.
    """
    ws = Workspace.create(folder, "Demo" if demo else "")
    taxonomy_edit.import_nodes(ws, taxonomy_file.read(STARTER_TAXONOMY), WHO)
    if demo:
        _fill(ws)
    return ws


def _fill(ws: Workspace) -> None:
    for discipline_id, questions in QUESTIONS.items():
        target = {"disciplines": [discipline_id], "subject_queries": 1, "questions_per_syllabus": questions}
        order = read_order(Order, {"target": target, "teacher": "scripted"})
        _run(ws, "generate", f"Demo: {discipline_id.replace('-', ' ')}", order)
    _run(ws, "propose", "Demo: what is missing in Natural Sciences?", ProposalOrder(parent_id="natural-sciences"))
    with ws.write() as db:
        for discipline_id in QUESTIONS:
            taxonomy_rows.put_target(db, discipline_id, DisciplineTarget(1, None, max(QUESTIONS.values())))
        set_fact(db, "demo", True)


def _run(ws: Workspace, kind: str, title: str, order: Order | ProposalOrder) -> None:
    run = runs.work(ws, runs.submit(ws, kind, title, order.model_dump(mode="json")))
    if run.state != "finished":
        raise GlanError(f"The demo content could not be made: run {run.id} is {run.state}. {run.message}")
