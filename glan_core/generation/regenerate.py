"""Regeneration of one record: an answer, or a syllabus with its class sessions. The earlier text is kept and can be restored."""

from collections import deque
from typing import Any

import apsw

from glan_core import ids
from glan_core.curriculum import curriculum_parsing, syllabus_editing
from glan_core.errors import GlanError
from glan_core.formatting import quoted
from glan_core.generation.protocols import Work
from glan_core.generation.settings import RegenerateSettings
from glan_core.generation.stages import chat_answer, chat_sessions, chat_syllabus
from glan_core.prompts import prompt
from glan_core.records import SessionDraft
from glan_core.taxonomy import tree_editing
from glan_core.workspace import Workspace, call_rows, curriculum_rows, edit_batch, homework_rows, record_rows, taxonomy_rows


def open_regeneration(ws: Workspace, settings: RegenerateSettings, run_id: int) -> "AnswerQueue | SyllabusQueue":
    """Open the work queue for a question id (its answer) or a syllabus id.

    Raises:
        GlanError: If there is no such question or syllabus.
    """
    if (pair := homework_rows.pair(ws.db, settings.record_id)) is not None:
        return AnswerQueue(pair, run_id, ws)
    if curriculum_rows.syllabus(ws.db, settings.record_id) is not None:
        return SyllabusQueue(ws, settings.record_id, run_id)
    raise GlanError(f"{quoted(settings.record_id)} is neither a question nor a syllabus.")


def clear_failures(ws: Workspace, run_id: int) -> None:
    """Remove the failures of a regeneration run, because the earlier text remains and nothing is missing."""
    with ws.write() as db:
        for failure in call_rows.failures(db, run_id):
            if record_rows.value_of(db, failure.work_id, "text") is not None:
                call_rows.clear_failure(db, failure.work_id, failure.stage, failure.discipline_id)


class _RegenerationQueue:
    """Shared part of both queues: tasks, some of which an earlier process of the run may have stored."""

    def __init__(self, ws: Workspace, run_id: int, works: list[Work]) -> None:
        self._ws, self._run_id = ws, run_id
        self._works = deque(works)
        self._planned: dict[str, int] = {}
        for work in works:
            self._planned[work.stage] = self._planned.get(work.stage, 0) + 1

    def next(self) -> Work | None:
        """See WorkQueue."""
        return self._works.popleft() if self._works else None

    def stage(self, work: Work):
        """See WorkQueue: the queue is its own only stage."""
        return self

    def failed(self, work: Work) -> None:
        """See WorkQueue: the record is unchanged."""

    def planned(self) -> dict[str, int]:
        """See WorkQueue."""
        return dict(self._planned)

    def finish(self, outcome: tuple[str, str]) -> tuple[str, str]:
        """See WorkQueue: failures are removed, because the earlier text remains."""
        clear_failures(self._ws, self._run_id)
        return outcome

    def record_text(self, parsed: Any) -> None:
        """See Stage: the call stores its reply, because the record may be regenerated again."""


class AnswerQueue(_RegenerationQueue):
    """Regenerates the answer of a question with its current text."""

    def __init__(self, pair: homework_rows.Pair, run_id: int, ws: Workspace) -> None:
        question, id = pair.question, ids.answer_id(pair.question.id)
        done = _reply_of(ws, id, run_id, "answer") is not None
        work = Work("answer", id, question.discipline_id, prompt("answer"), chat_answer(question.text), question)
        super().__init__(ws, run_id, [] if done else [work])

    def parse(self, work: Work, text: str) -> str:
        """Return the answer unchanged."""
        return text

    def store(self, db: apsw.Connection, work: Work, parsed: str, teacher: str) -> None:
        """Replace or add the answer."""
        if record_rows.value_of(db, work.id, "text") is None:
            homework_rows.add_answer(db, work.facts.id, work.facts.discipline_id, parsed, teacher)
        else:
            edit_batch.change(db, teacher, [(work.id, "text", parsed), (work.id, "teacher", teacher)])

    def stored(self, work: Work, value: None) -> None:
        """See WorkQueue: answers have no follow-up tasks."""


class SyllabusQueue(_RegenerationQueue):
    """Regenerates a syllabus and its class sessions, which replace the earlier ones in one step."""

    def __init__(self, ws: Workspace, syllabus_id: str, run_id: int) -> None:
        syllabus = curriculum_rows.require_syllabus(ws.db, syllabus_id)
        self._subject = curriculum_rows.require_subject(ws.db, syllabus.subject_id)
        node = taxonomy_rows.require_node(ws.db, syllabus.discipline_id)
        if node.id not in tree_editing.tree(ws):
            raise GlanError(f"{quoted(node.name)} was removed from the taxonomy. Restore it first.")
        self._discipline = node
        written = _reply_of(ws, syllabus_id, run_id, "syllabus")
        self._id = syllabus_id
        if written is None:
            super().__init__(ws, run_id, [self._syllabus_work()])
            self._planned["sessions"] = 1
        else:
            done = _reply_of(ws, syllabus_id, run_id, "sessions") is not None
            super().__init__(ws, run_id, [] if done else [self._sessions_work(written)])

    def _syllabus_work(self) -> Work:
        messages = chat_syllabus(self._discipline.name, self._subject)
        return Work("syllabus", self._id, self._discipline.id, prompt("syllabus"), messages, None)

    def _sessions_work(self, text: str) -> Work:
        messages = chat_sessions(self._discipline.name, self._subject, text)
        return Work("sessions", self._id, self._discipline.id, prompt("sessions"), messages, text)

    def parse(self, work: Work, text: str) -> str | list[SessionDraft]:
        """Return the syllabus unchanged, or parse its sessions."""
        return text if work.stage == "syllabus" else curriculum_parsing.parse_sessions(text)

    def store(self, db: apsw.Connection, work: Work, parsed: str | list[SessionDraft], teacher: str) -> str | None:
        """Keep the new text with its call until the sessions are extracted; then replace everything."""
        if isinstance(parsed, str):
            return parsed
        syllabus_editing.replace_sessions(db, work.id, teacher, work.facts, parsed)
        return None

    def stored(self, work: Work, value: str | None) -> None:
        """See WorkQueue: the sessions follow the syllabus."""
        if value is not None:
            self._works.append(self._sessions_work(value))

    def failed(self, work: Work) -> None:
        """See WorkQueue: the record is unchanged."""
        if work.stage == "syllabus":
            self._planned["sessions"] = 0


def _reply_of(ws: Workspace, work_id: str, run_id: int, stage: str) -> str | None:
    """Return the reply that an earlier process of this run stored, or None."""
    calls = [c for c in call_rows.calls_of(ws.db, work_id) if (c.run_id, c.stage, c.outcome) == (run_id, stage, "stored")]
    return (calls[-1].reply or "").strip() if calls else None
