"""Previewing a discipline before paying for it: one subject, one syllabus, three questions with answers.

A preview is a small workspace of its own below the workspace, made by the same engine, so nothing of it is in the tree or in
the dataset until it is accepted. Ids are derived, so what is accepted is what a full run would have made first: it is not paid
for twice.
"""

import json
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from glan_core import runs
from glan_core.errors import GlanError
from glan_core.formatting import quoted
from glan_core.generation import streaming_state
from glan_core.generation.plan import Plan, price
from glan_core.generation.protocols import fingerprint
from glan_core.generation.run import check
from glan_core.generation.settings import GenerationSettings, Target, TeacherSettings
from glan_core.generation.stages import chat_answer
from glan_core.generation.streaming_state import Writing
from glan_core.ids import syllabus_id
from glan_core.records import Node
from glan_core.runs.heartbeat import Watcher
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
from glan_core.workspace.curriculum_rows import Session, Subject, Syllabus
from glan_core.workspace.homework_rows import Pair
from glan_core.workspace.merge import merge_discipline
from glan_core.workspace.pair_filter import PairFilter
from glan_core.workspace.run_rows import LIVE, Run

QUESTIONS = 3
CALLS = {"subject_list": 1, "subjects": 1, "syllabus": 1, "sessions": 1, "question": QUESTIONS, "answer": QUESTIONS}


@dataclass(frozen=True, slots=True)
class Preview:
    """What a preview holds so far: the subjects found, the syllabus of the first with its sessions, its pairs; what failed, as
    (stage, cause, how many); what is being written. `run` is the last run that worked on it, `state` how that really is, `usd`
    what all calls for it cost."""

    node: Node
    run: Run
    state: str
    subjects: list[Subject]
    syllabus: Syllabus | None
    sessions: list[Session]
    pairs: list[Pair]
    failures: list[tuple[str, str, int]]
    writing: list[Writing]
    usd: float

    @property
    def alive(self) -> bool:
        """Whether it is still being made."""
        return self.state in LIVE

    @property
    def whole(self) -> bool:
        """Whether all that was to be made is there."""
        return len(self.pairs) == QUESTIONS and all(pair.answer for pair in self.pairs)

    @property
    def terms(self) -> TeacherSettings:
        """Who was asked, and under which limits."""
        values = {name: self.run.params[name] for name in TeacherSettings.model_fields if name in self.run.params}
        return read_settings(TeacherSettings, values | {"live": False})

    def text_of(self, stage: str) -> str | None:
        """The text so far of what is being written at a stage, None where nothing is."""
        return next((writing.text for writing in self.writing if writing.stage == stage), None)

    def answer_of(self, pair: Pair) -> str | None:
        """The answer to a question as far as it is written, None where nobody writes it."""
        chat = fingerprint(chat_answer(pair.question.text))
        return next((writing.text for writing in self.writing if writing.chat == chat), None)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A preview that is neither accepted nor thrown away: of which discipline, in which state, begun when."""

    node: Node
    state: str
    begun_at: float


def folder_of(ws: Workspace, discipline_id: str) -> Path:
    """Where the preview of a discipline is kept."""
    return ws.folder / "previews" / discipline_id


def possible(ws: Workspace, discipline_id: str) -> bool:
    """Whether a discipline of the tree has no rows yet, so that a preview can be its first ones."""
    return not curriculum_rows.subject_queries(ws.db, discipline_id)


def cost(ws: Workspace, terms: TeacherSettings) -> Plan:
    """What a preview would cost; GlanError when a budget in money can't hold for want of a price."""
    return price(ws, _order("any", terms), {stage: (calls, calls) for stage, calls in CALLS.items()})


def make(ws: Workspace, discipline_id: str, terms: TeacherSettings, watch: Watcher | None = None) -> Run:
    """Make a preview in this process, in place of an earlier one that was not accepted; returns its run as it ended.

    GlanError when there is no such discipline, it already has rows in the workspace, or its preview is being made.
    """
    node = hierarchy.discipline(tree_editing.tree(ws), discipline_id)
    small, run_id = _prepare(ws, node, _order(node.id, terms))
    return runs.work(small, run_id, watch)


def begin(ws: Workspace, node: Node, terms: TeacherSettings, environment: Mapping[str, str] | None = None) -> None:
    """Start making a preview in a child process, to be watched while it is written; in place of an earlier one.

    The discipline is one of the tree or a draft (`taxonomy_edit.draft`). `environment` is the child's, for a key. GlanError,
    with the earlier preview kept, as `make` raises it and when the teacher can't be asked.
    """
    settings = _order(node.id, terms.model_copy(update={"live": True}))
    check(settings, (environment or {}).get("OPENAI_API_KEY"))
    small, run_id = _prepare(ws, node, settings)
    runs.launch(small, run_id, environment)
    small.close()


def go_on(ws: Workspace, discipline_id: str, environment: Mapping[str, str] | None = None) -> None:
    """Start making what a preview lacks after a fault: what it holds is not paid for again.

    GlanError when there is none, it is being made, or the teacher can't be asked.
    """
    with _opened(ws, discipline_id) as small:
        made = _resting(small, discipline_id)
        check(read_settings(GenerationSettings, made.params), (environment or {}).get("OPENAI_API_KEY"))
        runs.launch(small, runs.submit(small, made.kind, made.title, made.params), environment)


def stop(ws: Workspace, discipline_id: str) -> None:
    """Ask for a preview's end: what is being written is still stored, nothing more is begun."""
    with _opened(ws, discipline_id) as small:
        runs.cancel(small, _latest(small).id)


def waiting(ws: Workspace) -> list[Waiting]:
    """The previews that are neither accepted nor thrown away, the newest first; damaged ones are left out."""
    found = []
    for folder in find_workspaces(ws.folder / "previews"):
        with suppress(WorkspaceError), _opened(ws, folder.name) as small:
            node, made = taxonomy_rows.node(small.db, folder.name), _latest(small)
            if node and made:
                found.append(Waiting(node, runs.state_of(made), made.created_at))
    return sorted(found, key=lambda preview: -preview.begun_at)


def read(ws: Workspace, discipline_id: str) -> Preview:
    """The preview as far as it has come; GlanError when there is none."""
    with _opened(ws, discipline_id) as small:
        node, made = taxonomy_rows.node(small.db, discipline_id), _latest(small)
        if node is None or made is None:
            raise _none(discipline_id)
        state = runs.state_of(made)
        # Before the rows, or what arrives meanwhile would be in neither.
        writing = streaming_state.read(small.folder) if state in LIVE else []
        subjects = curriculum_rows.subjects(small.db, discipline_id)
        syllabus = curriculum_rows.syllabus(small.db, syllabus_id(subjects[0].id)) if subjects else None
        return Preview(
            node, made, state, subjects, syllabus, curriculum_rows.sessions(small.db, syllabus.id) if syllabus else [],
            homework_rows.pairs_page(small.db, PairFilter((discipline_id,)))[::-1],
            call_rows.failure_causes(small.db), writing,
            call_rows.counters(small.db).get(discipline_id, {}).get("cost_usd", 0.0),
        )  # fmt: skip


@contextmanager
def workspace_of(ws: Workspace, discipline_id: str) -> Iterator[Workspace]:
    """The small workspace of a preview that is not being made, for editing what it holds; GlanError as `accept`."""
    with _opened(ws, discipline_id) as small:
        _resting(small, discipline_id)
        yield small


def accept(ws: Workspace, discipline_id: str, who: str | None = None) -> None:
    """Take a preview's rows into the workspace, and with them the discipline, where the tree does not have it yet.

    GlanError when there is none, it is still being made, the discipline has rows meanwhile, or its place in the tree is gone
    or taken.
    """
    _settle(ws, discipline_id, who or tree_editing.default_user(), content=True)
    with ws.write() as db:  # a search finds them at once, unless a run before has left more than that to its end
        homework_rows.index_text(db)


def discard(ws: Workspace, discipline_id: str) -> None:
    """Forget a preview's rows; what it cost stays in the accounts. GlanError when there is none or it is still being made."""
    _settle(ws, discipline_id, "", content=False)


def names_so_far(text: str) -> list[str]:
    """The names of subjects or class sessions in a reply that is still being written."""
    names = []
    _, text = split_reasoning(text)
    for quoted_name in re.findall(r'"(?:subject_name|session)"\s*:\s*("(?:[^"\\\n]|\\.)*")', text):
        with suppress(ValueError):
            names.append(json.loads(quoted_name))
    return names


def _order(discipline_id: str, terms: TeacherSettings) -> GenerationSettings:
    target = Target(disciplines=(discipline_id,), subject_queries=1, max_subjects=1, questions_per_syllabus=QUESTIONS)
    return read_settings(GenerationSettings, {**terms.model_dump(), "target": target.model_dump()})


def _prepare(ws: Workspace, node: Node, settings: GenerationSettings) -> tuple[Workspace, int]:
    """A fresh small workspace with a run that waits to be worked on."""
    if not possible(ws, node.id):
        raise GlanError(
            f"{quoted(node.name)} already has subjects in the workspace: a preview is for a discipline's first rows."
        )
    nodes = [*(other for other in taxonomy_rows.nodes(ws.db) if other.id != node.id), node]
    hierarchy.check(nodes)
    folder = folder_of(ws, node.id)
    if any(preview.node.id == node.id for preview in waiting(ws)):
        _refuse_another(ws, node)
        discard(ws, node.id)
    shutil.rmtree(folder, ignore_errors=True)  # one that was begun and has nothing
    small = Workspace.create(folder, f"Preview of {node.name}")
    tree_editing.import_nodes(small, nodes, "preview")
    return small, runs.submit(small, "generate", f"Preview of {node.name}", settings.model_dump(mode="json"))


def _refuse_another(ws: Workspace, node: Node) -> None:
    """A draft gets its id from its name, so two of the same name in different places would share a folder."""
    other = read(ws, node.id).node
    if other.parent_id != node.parent_id and taxonomy_rows.node(ws.db, node.id) is None:
        raise GlanError(f"A preview of {quoted(other.name)} in another place waits: accept it or throw it away first.")


def _settle(ws: Workspace, discipline_id: str, who: str, *, content: bool) -> None:
    with _opened(ws, discipline_id) as small:
        made = _resting(small, discipline_id)
        node = taxonomy_rows.node(small.db, discipline_id)
        with ws.write() as db:  # never queued: other runs would wait for it
            run_id = run_rows.add_run(db, "preview", str(small.metadata("name")), made.params if made else {})
            times = {"started_at": made and made.started_at, "finished_at": (made and made.finished_at) or time.time()}
            run_rows.update_run(db, run_id, state="failed", message="Interrupted.", **times)
        join = (lambda db: tree_editing.take_in(db, node, who)) if content else None
        try:
            merge_discipline(ws, small, discipline_id, run_id, content=content, also=join)
        except Exception as error:
            _say(ws, run_id, "failed", str(error) or type(error).__name__)
            raise
        _say(ws, run_id, "finished", "Accepted." if content else "Discarded: only its calls are kept in the accounts.")
    shutil.rmtree(folder_of(ws, discipline_id), ignore_errors=True)  # its process may just be closing its files


def _say(ws: Workspace, run_id: int, state: str, message: str) -> None:
    with ws.write() as db:
        run_rows.update_run(db, run_id, state=state, message=message)


@contextmanager
def _opened(ws: Workspace, discipline_id: str) -> Iterator[Workspace]:
    """The small workspace of a preview, closed again after the block."""
    if folder_of(ws, discipline_id) not in find_workspaces(ws.folder / "previews"):  # '..' is a folder, but no preview
        raise _none(discipline_id)
    small = Workspace.open(folder_of(ws, discipline_id))
    try:
        yield small
    finally:
        small.close()


def _none(discipline_id: str) -> GlanError:
    return GlanError(f"There is no preview of {quoted(discipline_id)}: make one first.")


def _latest(small: Workspace) -> Run | None:
    return next(iter(run_rows.runs(small.db, 1)), None)


def _resting(small: Workspace, discipline_id: str) -> Run | None:
    """The last run of a preview; GlanError when it is still at work."""
    made = _latest(small)
    if made and runs.state_of(made) in LIVE:
        raise GlanError(f"The preview of {quoted(discipline_id)} is at work: wait for its end.")
    return made
