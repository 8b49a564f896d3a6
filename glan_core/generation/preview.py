"""Previews of a discipline: one subject, one syllabus and three questions with answers, before a full run.

A preview is a separate small workspace created by the same engine; nothing of it is in the taxonomy or dataset until it is
accepted. Because ids are derived, accepted rows are those that a full run would create first, so they are not paid for twice.
"""

import json
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from glan_core import access, runs
from glan_core.errors import GlanError
from glan_core.formatting import quoted
from glan_core.generation import streaming_state
from glan_core.generation.plan import Plan, price
from glan_core.generation.protocols import fingerprint
from glan_core.generation.settings import GenerationSettings, Target, TeacherSettings
from glan_core.generation.stages import chat_answer
from glan_core.generation.streaming_state import Writing
from glan_core.ids import syllabus_id
from glan_core.import_strings import load_symbol
from glan_core.records import Node
from glan_core.runs.heartbeat import Watcher
from glan_core.runs.registry import CHECK_TEACHERS
from glan_core.settings import read_settings
from glan_core.taxonomy import hierarchy, tree_editing
from glan_core.teachers.reasoning import split_reasoning
from glan_core.workspace import (
    Workspace,
    WorkspaceError,
    call_rows,
    curriculum_rows,
    find_workspaces,
    homework_rows,
    run_rows,
    taxonomy_rows,
)
from glan_core.workspace.call_rows import FailureGroup
from glan_core.workspace.curriculum_rows import Session, Subject, Syllabus
from glan_core.workspace.homework_rows import Pair
from glan_core.workspace.merge import merge_discipline
from glan_core.workspace.pair_filter import PairFilter
from glan_core.workspace.run_rows import LIVE, Run

QUESTIONS = 3
CALLS = {"subject_list": 1, "subjects": 1, "syllabus": 1, "sessions": 1, "question": QUESTIONS, "answer": QUESTIONS}


@dataclass(frozen=True, slots=True)
class Preview:
    """The content of a preview so far.

    Attributes:
        node: The discipline.
        run: The latest run of the preview.
        state: Its actual state.
        subjects: The subjects.
        syllabus: The syllabus of the first subject.
        sessions: Its class sessions.
        pairs: Its pairs.
        failures: Failures by stage and cause.
        writing: Replies that are being generated.
        usd: Cost of all its calls in USD, None if the price of any is unknown.
    """

    node: Node
    run: Run
    state: str
    subjects: list[Subject]
    syllabus: Syllabus | None
    sessions: list[Session]
    pairs: list[Pair]
    failures: list[FailureGroup]
    writing: list[Writing]
    usd: float | None

    @property
    def alive(self) -> bool:
        """Whether the preview is being generated."""
        return self.state in LIVE

    @property
    def whole(self) -> bool:
        """Whether the preview is complete."""
        return len(self.pairs) == QUESTIONS and all(pair.answer for pair in self.pairs)

    @property
    def acceptable(self) -> bool:
        """Whether the preview has an answered question, so that accepting it adds something."""
        return any(pair.answer for pair in self.pairs)

    @property
    def terms(self) -> TeacherSettings:
        """Teacher settings of the preview."""
        values = {name: self.run.params[name] for name in TeacherSettings.model_fields if name in self.run.params}
        return read_settings(TeacherSettings, values | {"live": False})

    def text_of(self, stage: str) -> str | None:
        """Return the text of a stage that is being generated, or None."""
        return next((writing.text for writing in self.writing if writing.stage == stage), None)

    def answer_of(self, pair: Pair) -> str | None:
        """Return the answer that is being generated for a question, or None."""
        chat = fingerprint(chat_answer(pair.question.text))
        return next((writing.text for writing in self.writing if writing.chat == chat), None)


@dataclass(frozen=True, slots=True)
class PendingPreview:
    """A preview that is neither accepted nor discarded."""

    node: Node
    state: str
    begun_at: float


def folder_of(ws: Workspace, discipline_id: str) -> Path:
    """Return the folder of the preview of a discipline."""
    return ws.folder / "previews" / discipline_id


def can_preview(ws: Workspace, discipline_id: str) -> bool:
    """Return whether a discipline has no rows yet, so that it can be previewed."""
    return not curriculum_rows.subject_queries(ws.db, discipline_id)


def plan_preview(ws: Workspace, terms: TeacherSettings) -> Plan:
    """Plan a preview.

    Raises:
        GlanError: If a budget in USD is set for a teacher without a price.
    """
    return price(ws, _settings("any", terms), {stage: (calls, calls) for stage, calls in CALLS.items()})


def create(ws: Workspace, discipline_id: str, terms: TeacherSettings, watch: Watcher | None = None) -> Run:
    """Create a preview in this process, replacing an earlier one; return its run in the final state.

    Raises:
        GlanError: If the discipline does not exist, already has rows, its preview is being generated, or the teacher cannot be used.
    """
    node = hierarchy.discipline(tree_editing.tree(ws), discipline_id)
    settings = _settings(node.id, terms)
    _check(settings)
    small, run_id = _prepare(ws, node, settings)
    return runs.work(small, run_id, watch)


def _check(settings: TeacherSettings, environment: Mapping[str, str] | None = None) -> None:
    """Check that a run can start. The engine is imported only here, because every page imports this module."""
    load_symbol(CHECK_TEACHERS)(settings, environment)


def start(ws: Workspace, node: Node, terms: TeacherSettings, environment: Mapping[str, str] | None = None) -> None:
    """Start creating a preview in a worker process, with streamed replies; an earlier preview is replaced.

    Args:
        ws: The workspace.
        node: A discipline of the taxonomy or a draft (`tree_editing.draft`).
        terms: Teacher settings.
        environment: Additional environment variables of the worker, such as an API key.

    Raises:
        GlanError: As `create`, or if the teacher cannot be used; an earlier preview is kept.
    """
    settings = _settings(node.id, terms.model_copy(update={"live": True}))
    _check(settings, environment)
    small, run_id = _prepare(ws, node, settings)
    runs.launch(small, run_id, environment)
    small.close()


def resume(ws: Workspace, discipline_id: str, environment: Mapping[str, str] | None = None) -> None:
    """Resume a preview after a failure; stored calls are not repeated.

    Raises:
        GlanError: If there is no preview, it is being generated, or the teacher cannot be used.
    """
    with _opened(ws, discipline_id) as small:
        if (made := _resting(small, discipline_id)) is None:
            raise _none(discipline_id)
        _check(read_settings(GenerationSettings, made.params), environment)
        runs.launch(small, runs.submit(small, made.kind, made.title, made.params), environment)


def cancel(ws: Workspace, discipline_id: str) -> None:
    """Stop a preview; replies in flight are still stored."""
    with _opened(ws, discipline_id) as small:
        if (made := _latest(small)) is None:
            raise _none(discipline_id)
        runs.cancel(small, made.id)


def pending(ws: Workspace) -> list[PendingPreview]:
    """Return the previews that are neither accepted nor discarded, newest first; damaged ones are skipped."""
    found = []
    for folder in find_workspaces(ws.folder / "previews"):
        with suppress(WorkspaceError), _opened(ws, folder.name) as small:
            node, made = taxonomy_rows.node(small.db, folder.name), _latest(small)
            if node and made:
                found.append(PendingPreview(node, runs.state_of(made), made.created_at))
    return sorted(found, key=lambda preview: -preview.begun_at)


def read(ws: Workspace, discipline_id: str) -> Preview:
    """Return a preview.

    Raises:
        GlanError: If there is none.
    """
    with _opened(ws, discipline_id) as small:
        node, made = taxonomy_rows.node(small.db, discipline_id), _latest(small)
        if node is None or made is None:
            raise _none(discipline_id)
        state = runs.state_of(made)
        # Read before the rows, otherwise a reply that arrives in between would be in neither.
        writing = streaming_state.read(small.folder) if state in LIVE else []
        subjects = curriculum_rows.subjects(small.db, discipline_id)
        syllabus = curriculum_rows.syllabus(small.db, syllabus_id(subjects[0].id)) if subjects else None
        counts = call_rows.counters(small.db).get(discipline_id, {})
        return Preview(
            node, made, state, subjects, syllabus, curriculum_rows.sessions(small.db, syllabus.id) if syllabus else [],
            homework_rows.pairs_page(small.db, PairFilter((discipline_id,)))[::-1],
            call_rows.failure_groups(small.db), writing,
            None if counts.get("unpriced") else counts.get("cost_usd", 0.0),
        )  # fmt: skip


@contextmanager
def workspace_of(ws: Workspace, discipline_id: str) -> Iterator[Workspace]:
    """Open the workspace of a preview for editing.

    Raises:
        GlanError: If there is no preview or it is being generated.
    """
    with _opened(ws, discipline_id) as small:
        _resting(small, discipline_id)
        yield small


def accept(ws: Workspace, discipline_id: str, who: str | None = None) -> None:
    """Merge a preview into the workspace, and its discipline into the taxonomy if needed.

    Raises:
        GlanError: If there is no preview, it is being generated, the discipline got rows in the meantime, or it does not fit into
            the taxonomy anymore, or the preview has no pair.
    """
    made = read(ws, discipline_id)
    if not made.acceptable:
        raise GlanError(
            f"The preview of {quoted(made.node.name)} has no answered question, so there is nothing to accept. Retry it, change the "
            "teacher, or discard it."
        )
    _settle(ws, discipline_id, who or tree_editing.default_user(), content=True)
    with ws.write() as db:  # make the new pairs searchable, unless a running run has more to index
        homework_rows.index_text(db)


def discard(ws: Workspace, discipline_id: str) -> None:
    """Discard a preview; its cost remains recorded.

    Raises:
        GlanError: If there is no preview or it is being generated.
    """
    _settle(ws, discipline_id, "", content=False)


def partial_names(text: str) -> list[str]:
    """Return the names of subjects or class sessions in a partial reply."""
    names = []
    _, text = split_reasoning(text)
    for quoted_name in re.findall(r'"(?:subject_name|session)"\s*:\s*("(?:[^"\\\n]|\\.)*")', text):
        with suppress(ValueError):
            names.append(json.loads(quoted_name))
    return names


def _settings(discipline_id: str, terms: TeacherSettings) -> GenerationSettings:
    """Return the settings of a preview run."""
    target = Target(disciplines=(discipline_id,), subject_queries=1, max_subjects=1, questions_per_syllabus=QUESTIONS)
    return read_settings(GenerationSettings, {**terms.model_dump(), "target": target.model_dump()})


def _prepare(ws: Workspace, node: Node, settings: GenerationSettings) -> tuple[Workspace, int]:
    """Create a small workspace with a queued run."""
    access.check_may_change()
    if not can_preview(ws, node.id):
        raise GlanError(
            f"{quoted(node.name)} already has subjects in the workspace. Only disciplines without subjects can be previewed."
        )
    nodes = [*(other for other in taxonomy_rows.nodes(ws.db) if other.id != node.id), node]
    hierarchy.check(nodes)
    folder = folder_of(ws, node.id)
    if any(preview.node.id == node.id for preview in pending(ws)):
        _refuse_another(ws, node)
        discard(ws, node.id)
    shutil.rmtree(folder, ignore_errors=True)  # leftovers of an interrupted creation
    small = Workspace.create(folder, f"Preview of {node.name}")
    tree_editing.import_nodes(small, nodes, "preview")
    return small, runs.submit(small, "generate", f"Preview of {node.name}", settings.model_dump(mode="json"))


def _refuse_another(ws: Workspace, node: Node) -> None:
    """Refuse a draft that has the id of a pending draft with another parent, since they would share a folder."""
    other = read(ws, node.id).node
    if other.parent_id != node.parent_id and taxonomy_rows.node(ws.db, node.id) is None:
        raise GlanError(f"A preview of {quoted(other.name)} under another parent is pending. Accept or discard it first.")


def _settle(ws: Workspace, discipline_id: str, who: str, *, content: bool) -> None:
    with _opened(ws, discipline_id) as small:
        made = _resting(small, discipline_id)
        node = taxonomy_rows.require_node(small.db, discipline_id)
        with ws.write() as db:  # not queued, because other runs would wait for it
            run_id = run_rows.add_run(db, "preview", str(small.metadata("name")), made.params if made else {})
            times = {"started_at": made and made.started_at, "finished_at": (made and made.finished_at) or time.time()}
            run_rows.update_run(db, run_id, state="failed", message="Interrupted.", **times)
        join = (lambda db: tree_editing.add_draft(db, node, who)) if content else None
        try:
            merge_discipline(ws, small, discipline_id, run_id, content=content, also=join)
        except Exception as error:
            _finish_run(ws, run_id, "failed", str(error) or type(error).__name__)
            raise
        _finish_run(ws, run_id, "finished", "Accepted." if content else "Discarded. Only its calls remain recorded.")
    shutil.rmtree(folder_of(ws, discipline_id), ignore_errors=True)  # the worker may still be closing its files


def _finish_run(ws: Workspace, run_id: int, state: str, message: str) -> None:
    with ws.write() as db:
        run_rows.update_run(db, run_id, state=state, message=message)


@contextmanager
def _opened(ws: Workspace, discipline_id: str) -> Iterator[Workspace]:
    """Open the workspace of a preview within the block."""
    if folder_of(ws, discipline_id) not in find_workspaces(ws.folder / "previews"):  # '..' is a folder but not a preview
        raise _none(discipline_id)
    small = Workspace.open(folder_of(ws, discipline_id))
    try:
        yield small
    finally:
        small.close()


def _none(discipline_id: str) -> GlanError:
    return GlanError(f"There is no preview of {quoted(discipline_id)}. Create one first.")


def _latest(small: Workspace) -> Run | None:
    return next(iter(run_rows.runs(small.db, 1)), None)


def _resting(small: Workspace, discipline_id: str) -> Run | None:
    """Return the latest run of a preview; raises GlanError if it is live."""
    made = _latest(small)
    if made and runs.state_of(made) in LIVE:
        raise GlanError(f"The preview of {quoted(discipline_id)} is being generated. Wait until it is finished.")
    return made
