"""Having one record written anew: an answer, or a syllabus with its sessions. The older text is kept, and can be brought back."""

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


def open_redo(ws: Workspace, settings: RegenerateSettings, run_id: int) -> "RedoAnswer | RedoSyllabus":
    """The work of an order: for a question's id its answer, for a syllabus's id the syllabus; GlanError for any other."""
    if (pair := homework_rows.pair(ws.db, settings.record_id)) is not None:
        return RedoAnswer(pair, run_id, ws)
    if curriculum_rows.syllabus(ws.db, settings.record_id) is not None:
        return RedoSyllabus(ws, settings.record_id, run_id)
    raise GlanError(f"There is no question and no syllabus {quoted(settings.record_id)}.")


def forget_failures(ws: Workspace, run_id: int) -> None:
    """Take what a run could not write anew off the list of failures: the older text stands, so that no later run lacks it."""
    with ws.write() as db:
        for failure in call_rows.failures(db, run_id):
            if record_rows.value_of(db, failure.work_id, "text") is not None:
                call_rows.clear_failure(db, failure.work_id, failure.stage, failure.discipline_id)


class _Redo:
    """What both kinds share: a queue of works, of which some may have been paid for by an earlier process of the run."""

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
        """See WorkQueue: its own."""
        return self

    def failed(self, work: Work) -> None:
        """See WorkQueue: the record stays as it was."""

    def planned(self) -> dict[str, int]:
        """See WorkQueue."""
        return dict(self._planned)

    def ended(self, ending: tuple[str, str]) -> tuple[str, str]:
        """See WorkQueue: what could not be written anew still has its older text."""
        forget_failures(self._ws, self._run_id)
        return ending

    def record_text(self, parsed: Any) -> None:
        """See Stage: the call keeps its reply, since the record may get yet another text."""


class RedoAnswer(_Redo):
    """Another answer to a question as it now stands."""

    def __init__(self, pair: homework_rows.Pair, run_id: int, ws: Workspace) -> None:
        question, id = pair.question, ids.answer_id(pair.question.id)
        done = _reply_of(ws, id, run_id, "answer") is not None
        work = Work("answer", id, question.discipline_id, prompt("answer"), chat_answer(question.text), question)
        super().__init__(ws, run_id, [] if done else [work])

    def parse(self, work: Work, text: str) -> str:
        """The answer, as it stands."""
        return text

    def store(self, db: apsw.Connection, work: Work, parsed: str, teacher: str) -> None:
        """Put the answer in the place of the older one, or where there was none."""
        if record_rows.value_of(db, work.id, "text") is None:
            homework_rows.add_answer(db, work.facts.id, work.discipline_id, parsed, teacher)
        else:
            edit_batch.change(db, teacher, [(work.id, "text", parsed), (work.id, "teacher", teacher)])

    def stored(self, work: Work, value: None) -> None:
        """See WorkQueue: nothing follows."""


class RedoSyllabus(_Redo):
    """Another syllabus for its subject, then its sessions: both take the place of the older ones in one step."""

    def __init__(self, ws: Workspace, syllabus_id: str, run_id: int) -> None:
        syllabus = curriculum_rows.syllabus(ws.db, syllabus_id)
        self._subject = curriculum_rows.subject(ws.db, syllabus.subject_id)
        node = taxonomy_rows.node(ws.db, syllabus.discipline_id)
        if node.id not in tree_editing.tree(ws):
            raise GlanError(f"{quoted(node.name)} has been removed from the taxonomy: restore it first.")
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
        """The syllabus as it stands, or its sessions."""
        return text if work.stage == "syllabus" else curriculum_parsing.parse_sessions(text)

    def store(self, db: apsw.Connection, work: Work, parsed: str | list[SessionDraft], teacher: str) -> str | None:
        """Keep the new text with its call until its sessions are read; then put all in place."""
        if work.stage == "syllabus":
            return parsed
        syllabus_editing.replace_sessions(db, work.id, teacher, work.facts, parsed)
        return None

    def stored(self, work: Work, value: str | None) -> None:
        """See WorkQueue: after the syllabus come its sessions."""
        if value is not None:
            self._works.append(self._sessions_work(value))

    def failed(self, work: Work) -> None:
        """See WorkQueue: the record stays as it was."""
        if work.stage == "syllabus":
            self._planned["sessions"] = 0


def _reply_of(ws: Workspace, work_id: str, run_id: int, stage: str) -> str | None:
    """What an earlier process of this run has been answered and stored, or None."""
    calls = [c for c in call_rows.calls_of(ws.db, work_id) if (c.run_id, c.stage, c.outcome) == (run_id, stage, "stored")]
    return calls[-1].reply.strip() if calls else None
