"""Previewing a discipline before paying for it: one subject, one syllabus, three questions with answers.

A preview is a small workspace of its own below the workspace, made by the same engine, so nothing of it is in the dataset
until it is accepted. Ids are derived, so what is accepted is what a full run would have made first: it is not paid for twice.
"""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from glan_core import runs, taxonomy_edit
from glan_core.errors import GlanError
from glan_core.generation.order import Order, Target, Terms, read_order
from glan_core.generation.run import Watcher
from glan_core.ids import syllabus_id
from glan_core.taxonomy import quoted
from glan_core.workspace import Workspace, call_rows, curriculum_rows, homework_rows, run_rows, taxonomy_rows
from glan_core.workspace.curriculum_rows import Session, Subject, Syllabus
from glan_core.workspace.homework_rows import Pair
from glan_core.workspace.merge import take_over
from glan_core.workspace.run_rows import LIVE, Run

QUESTIONS = 3


@dataclass(frozen=True, slots=True)
class Preview:
    """What a preview holds so far: the subjects found, the syllabus of the first with its sessions, its pairs; and what
    failed, as (stage, cause, how many)."""

    subjects: list[Subject]
    syllabus: Syllabus | None
    sessions: list[Session]
    pairs: list[Pair]
    failures: list[tuple[str, str, int]]


def folder_of(ws: Workspace, discipline_id: str) -> Path:
    """Where the preview of a discipline is kept."""
    return ws.folder / "previews" / discipline_id


def make(ws: Workspace, discipline_id: str, terms: Terms, watch: Watcher | None = None) -> Run:
    """Make a preview in this process, in place of an earlier one that was not accepted; returns its run as it ended.

    GlanError when there is no such discipline, it already has rows in the workspace, or its preview is being made.
    """
    node = taxonomy_rows.node(ws.db, discipline_id)
    if node is None or node.kind != "discipline":
        raise GlanError(f"{quoted(discipline_id)} is no discipline of this workspace.")
    if curriculum_rows.subject_queries(ws.db, discipline_id):
        raise GlanError(
            f"{quoted(node.name)} already has subjects in the workspace: a preview is for a discipline's first rows."
        )
    if folder_of(ws, discipline_id).exists():
        discard(ws, discipline_id)
    small = Workspace.create(folder_of(ws, discipline_id), f"Preview of {node.name}")
    taxonomy_edit.import_nodes(small, taxonomy_rows.nodes(ws.db), "preview")
    target = Target(disciplines=(discipline_id,), subject_queries=1, max_subjects=1, questions_per_syllabus=QUESTIONS)
    order = read_order(Order, {**terms.model_dump(), "target": target.model_dump()})
    run_id = runs.submit(small, "generate", f"Preview of {node.name}", order.model_dump(mode="json"))
    return runs.work(small, run_id, watch)


def read(ws: Workspace, discipline_id: str) -> Preview:
    """The preview as far as it has come; GlanError when there is none."""
    small = _open(ws, discipline_id)
    subjects = curriculum_rows.subjects(small.db, discipline_id)
    syllabus = curriculum_rows.syllabus(small.db, syllabus_id(subjects[0].id)) if subjects else None
    sessions = curriculum_rows.sessions(small.db, syllabus.id) if syllabus else []
    pairs = homework_rows.pairs_page(small.db, homework_rows.PairFilter((discipline_id,)))
    return Preview(subjects, syllabus, sessions, pairs[::-1], call_rows.failure_causes(small.db))


def accept(ws: Workspace, discipline_id: str) -> None:
    """Take a preview's rows into the workspace.

    GlanError when there is none, it is still being made, or the discipline has rows meanwhile.
    """
    _settle(ws, discipline_id, content=True)


def discard(ws: Workspace, discipline_id: str) -> None:
    """Forget a preview's rows; what it cost stays in the accounts. GlanError when there is none or it is still being made."""
    _settle(ws, discipline_id, content=False)


def _settle(ws: Workspace, discipline_id: str, *, content: bool) -> None:
    small = _open(ws, discipline_id)
    [made, *_] = run_rows.runs(small.db, 1) or [None]
    if made and runs.state_of(made) in LIVE:
        raise GlanError(f"The preview of {quoted(discipline_id)} is at work: wait for its end.")
    started, finished = (made.started_at, made.finished_at) if made else (None, None)
    with ws.write() as db:  # never queued: other runs would wait for it
        run_id = run_rows.add_run(db, "preview", str(small.fact("name")), made.params if made else {})
        values = {"state": "failed", "message": "Interrupted.", "started_at": started, "finished_at": finished or time.time()}
        run_rows.update_run(db, run_id, **values)
    try:
        take_over(ws, small, discipline_id, run_id, content=content)
    except Exception as error:
        _say(ws, run_id, "failed", str(error) or type(error).__name__)
        raise
    _say(ws, run_id, "finished", "Accepted." if content else "Discarded: only its calls are kept in the accounts.")
    small.close()
    shutil.rmtree(small.folder)


def _say(ws: Workspace, run_id: int, state: str, message: str) -> None:
    with ws.write() as db:
        run_rows.update_run(db, run_id, state=state, message=message)


def _open(ws: Workspace, discipline_id: str) -> Workspace:
    folder = folder_of(ws, discipline_id)
    if taxonomy_rows.node(ws.db, discipline_id) is None or not folder.exists():  # '..' is a folder, but no node
        raise GlanError(f"There is no preview of {quoted(discipline_id)}: make one first.")
    return Workspace.open(folder)
