"""The work queue of a generation run: target minus workspace, deepest stage first.

Tasks are created on demand, so memory does not depend on the number of calls.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from glan_core.errors import GlanError
from glan_core.generation.protocols import Stage, Work
from glan_core.generation.settings import GenerationSettings
from glan_core.generation.stages import (
    AnswerStage,
    QuestionStage,
    SessionsStage,
    SettleStage,
    SubjectListStage,
    SubjectsStage,
    SyllabusStage,
)  # fmt: skip
from glan_core.homework.concept_sampling import count_draws, draws
from glan_core.records import Subject
from glan_core.taxonomy import hierarchy, tree_editing
from glan_core.workspace import Workspace, curriculum_rows, homework_rows, taxonomy_rows


def open_generation(ws: Workspace, settings: GenerationSettings, run_id: int) -> "GenerationQueue":
    """Open the work queue of a run and store its target."""
    queue, target = GenerationQueue(ws, settings), settings.target
    values = taxonomy_rows.DisciplineTarget(target.subject_queries, target.max_subjects, target.questions_per_syllabus)
    with ws.write() as db:
        for discipline_id in target.disciplines:
            taxonomy_rows.put_target(db, discipline_id, values)
    return queue


class GenerationQueue:
    """Work queue: subject lists > subjects > (settle) > syllabi > sessions > questions > answers.

    The subjects of a discipline are merged (settled) after all its queries of this run are done or have failed, so that the result
    does not depend on the order of replies. All other stages overlap.
    """

    def __init__(self, ws: Workspace, settings: GenerationSettings) -> None:
        self._ws, self._settings = ws, settings
        self._tree = tree_editing.tree(ws)
        for discipline_id in settings.target.disciplines:
            hierarchy.discipline(self._tree, discipline_id)
        self._stages: dict[str, Any] = {
            stage.name: stage
            for stage in (SubjectListStage(), SubjectsStage(), SettleStage(), SyllabusStage(), SessionsStage(), QuestionStage(),
                          AnswerStage())
        }  # fmt: skip
        self._queues: dict[str, deque] = {name: deque() for name in self._stages}
        self._questions: Iterator[Work] = iter(())
        self._open_queries: dict[str, int] = {}
        self._planned = dict.fromkeys((name for name in self._stages if name != "settle"), 0)
        self._old_answers = self._unanswered(homework_rows.last_seq(ws.db))
        for discipline_id in settings.target.disciplines:
            self._open(discipline_id)

    def _open(self, discipline_id: str) -> None:
        """Queue what a discipline lacks at the start of the run."""
        db, wanted = self._ws.db, self._settings.target.subject_queries
        queries = {query.index: query for query in curriculum_rows.subject_queries(db, discipline_id)}
        lists = [index for index in range(wanted) if index not in queries]
        unread = [query for index, query in queries.items() if index < wanted and query.subjects is None]
        self._queues["subject_list"].extend((discipline_id, index) for index in lists)
        self._queues["subjects"].extend((discipline_id, query.id, query.list_text) for query in unread)
        self._planned["subject_list"] += len(lists)
        self._planned["subjects"] += len(lists) + len(unread)
        self._planned["answer"] += homework_rows.count_unanswered(db, discipline_id)
        if lists or unread:
            self._open_queries[discipline_id] = len(lists) + len(unread)
        elif any(not query.settled for query in queries.values()):
            self._queues["settle"].append(discipline_id)
        else:
            self._settled(discipline_id, curriculum_rows.subjects(db, discipline_id))

    def _settled(self, discipline_id: str, subjects: list[Subject]) -> None:
        """Queue the missing syllabi, sessions and questions of a discipline's subjects."""
        states = curriculum_rows.syllabus_states(self._ws.db, discipline_id)
        for subject in subjects[: self._settings.target.max_subjects]:
            state = states.get(subject.id)
            if state is None:
                self._queues["syllabus"].append(subject)
                self._planned["syllabus"] += 1
                self._planned["sessions"] += 1
            elif state.sizes is None:
                self._queues["sessions"].append((subject, state.id))
                self._planned["sessions"] += 1
            else:
                self._extracted(subject, state.id, state.sizes, state.questions)

    def _extracted(self, subject: Subject, syllabus_id: str, sizes: Sequence[int], questions: int) -> None:
        """Queue the missing questions of a syllabus."""
        wanted = min(self._settings.target.questions_per_syllabus, count_draws(sizes, self._settings.pair_share))
        missing = wanted - questions
        if missing > 0:
            self._queues["question"].append((subject, syllabus_id, missing))
            self._planned["question"] += missing
            self._planned["answer"] += missing

    def next(self) -> Work | None:
        """See WorkQueue."""
        return (
            self._next_of("answer", self._answer_work)
            or next(self._old_answers, None)
            or self._next_question()
            or self._next_of("sessions", self._sessions_work)
            or self._next_of("settle", self._stages["settle"].work)
            or self._next_of("syllabus", self._syllabus_work)
            or self._next_of("subjects", lambda *job: self._stages["subjects"].work(self._tree, *job))
            or self._next_of("subject_list", lambda *job: self._stages["subject_list"].work(self._tree, *job))
        )

    def _next_of(self, name: str, make: Callable[..., Work]) -> Work | None:
        if not self._queues[name]:
            return None
        job = self._queues[name].popleft()
        return make(*job) if isinstance(job, tuple) else make(job)

    def _next_question(self) -> Work | None:
        while True:
            if (work := next(self._questions, None)) is not None:
                return work
            if not self._queues["question"]:
                return None
            self._questions = self._question_works(*self._queues["question"].popleft())

    def _unanswered(self, up_to: int) -> Iterator[Work]:
        """Yield the answers that were missing at the start of the run."""
        for discipline_id in self._settings.target.disciplines:
            for question_id in homework_rows.unanswered(self._ws.db, discipline_id, up_to):
                yield self._answer_work(question_id, discipline_id)

    def _discipline(self, discipline_id: str) -> str:
        return self._tree.nodes[discipline_id]["node"].name

    def _answer_work(self, question_id: str, discipline_id: str) -> Work:
        """Return the task for an answer to the current text of a question, which may have been edited since it was queued."""
        return self._stages["answer"].work(question_id, discipline_id, homework_rows.question_text(self._ws.db, question_id))

    def _syllabus_work(self, subject: Subject) -> Work:
        return self._stages["syllabus"].work(self._discipline(subject.discipline_id), subject)

    def _sessions_work(self, subject: Subject, syllabus_id: str) -> Work:
        text = curriculum_rows.require_syllabus(self._ws.db, syllabus_id).text
        return self._stages["sessions"].work(self._discipline(subject.discipline_id), subject, syllabus_id, text)

    def _question_works(self, subject: Subject, syllabus_id: str, missing: int) -> Iterator[Work]:
        """Yield tasks for the first `missing` draws of a syllabus without a question."""
        syllabus = curriculum_rows.require_syllabus(self._ws.db, syllabus_id)
        sessions = curriculum_rows.sessions(self._ws.db, syllabus_id)
        done = homework_rows.combinations(self._ws.db, syllabus_id)
        settings = self._settings
        sequence = draws(
            [len(session.concepts) for session in sessions], seed=settings.seed, name=syllabus.sampling_key,
            pair_share=settings.pair_share, law=settings.draw_distribution,
        )  # fmt: skip
        for draw in sequence:
            if not missing:
                return
            if frozenset(sessions[session].concepts[concept][0] for session, concept in draw.concepts) in done:
                continue
            missing -= 1
            yield self._stages["question"].work(
                self._discipline(subject.discipline_id),
                subject,
                syllabus,
                sessions,
                draw,
                seed=settings.seed,
                law=settings.draw_distribution,
            )

    def renewed(self, work: Work) -> Work | None:
        """See WorkQueue."""
        try:
            if work.stage == "answer":
                fresh = self._answer_work(work.facts, work.require_discipline())
            elif work.stage == "sessions":
                fresh = self._sessions_work(work.facts, work.id)
            else:
                return work
        except (LookupError, GlanError):  # removed
            return None
        sent = work.first[1] if work.first else work.messages
        return work if fresh.messages == sent else fresh

    def stage(self, work: Work) -> Stage:
        """See WorkQueue."""
        return self._stages[work.stage]

    def stored(self, work: Work, value: Any) -> None:
        """See WorkQueue."""
        match work.stage:
            case "subject_list":
                self._queues["subjects"].append((work.discipline_id, work.id, value))
            case "subjects":
                self._query_done(work.require_discipline())
            case "settle":
                self._settled(work.require_discipline(), value)
            case "syllabus":
                self._queues["sessions"].append((work.facts, work.id))
            case "sessions":
                self._extracted(work.facts, work.id, value, 0)
            case "question":
                self._queues["answer"].append((work.id, work.discipline_id))

    def failed(self, work: Work) -> None:
        """See WorkQueue: tasks that depend on the failed one are not planned anymore."""
        match work.stage:
            case "subject_list":
                self._planned["subjects"] -= 1
                self._query_done(work.require_discipline())
            case "subjects":
                self._query_done(work.require_discipline())
            case "syllabus":
                self._planned["sessions"] -= 1
            case "question":
                self._planned["answer"] -= 1

    def _query_done(self, discipline_id: str) -> None:
        self._open_queries[discipline_id] -= 1
        if not self._open_queries[discipline_id]:
            self._queues["settle"].append(discipline_id)

    def planned(self) -> dict[str, int]:
        """See WorkQueue."""
        return dict(self._planned)
