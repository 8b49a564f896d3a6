"""Target minus workspace: what is left to ask, deepest stage first, found as it is needed.

Work is made one piece at a time, so a run of a million calls needs no more memory than one of a thousand.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

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
    """The work of an order, whose target the workspace remembers from now on."""
    frontier, target = GenerationQueue(ws, settings), settings.target
    values = taxonomy_rows.DisciplineTarget(target.subject_queries, target.max_subjects, target.questions_per_syllabus)
    with ws.write() as db:
        for discipline_id in target.disciplines:
            taxonomy_rows.put_target(db, discipline_id, values)
    return frontier


class GenerationQueue:
    """The work of an order: subject lists > subjects > (settle) > syllabi > sessions > questions > answers.

    The subjects of a discipline are settled once all its queries of this run are done or have failed, so that what they
    merge into does not depend on which reply came first. Nothing else waits for a whole stage.
    """

    def __init__(self, ws: Workspace, settings: GenerationSettings) -> None:
        self._ws, self._order = ws, settings
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
        db, wanted = self._ws.db, self._order.target.subject_queries
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
        """Queue the syllabi, sessions and questions that a discipline's subjects lack."""
        states = curriculum_rows.syllabus_states(self._ws.db, discipline_id)
        for subject in subjects[: self._order.target.max_subjects]:
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
        """Queue the questions that a syllabus lacks."""
        wanted = min(self._order.target.questions_per_syllabus, count_draws(sizes, self._order.pair_share))
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

    def _next_of(self, name: str, make) -> Work | None:
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
        """The answers that were missing when the run began."""
        for discipline_id in self._order.target.disciplines:
            for question_id in homework_rows.unanswered(self._ws.db, discipline_id, up_to):
                yield self._answer_work(question_id, discipline_id)

    def _discipline(self, discipline_id: str) -> str:
        return self._tree.nodes[discipline_id]["node"].name

    def _answer_work(self, question_id: str, discipline_id: str) -> Work:
        """The answer to a question as it now reads: it may have been edited while it waited."""
        return self._stages["answer"].work(question_id, discipline_id, homework_rows.question_text(self._ws.db, question_id))

    def _syllabus_work(self, subject: Subject) -> Work:
        return self._stages["syllabus"].work(self._discipline(subject.discipline_id), subject)

    def _sessions_work(self, subject: Subject, syllabus_id: str) -> Work:
        text = curriculum_rows.syllabus(self._ws.db, syllabus_id).text
        return self._stages["sessions"].work(self._discipline(subject.discipline_id), subject, syllabus_id, text)

    def _question_works(self, subject: Subject, syllabus_id: str, missing: int) -> Iterator[Work]:
        """The first `missing` draws of a syllabus that no question was made from yet."""
        syllabus = curriculum_rows.syllabus(self._ws.db, syllabus_id)
        sessions = curriculum_rows.sessions(self._ws.db, syllabus_id)
        done = homework_rows.combinations(self._ws.db, syllabus_id)
        settings = self._order
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

    def stage(self, work: Work) -> Stage:
        """See WorkQueue."""
        return self._stages[work.stage]

    def stored(self, work: Work, value: Any) -> None:
        """See WorkQueue."""
        match work.stage:
            case "subject_list":
                self._queues["subjects"].append((work.discipline_id, work.id, value))
            case "subjects":
                self._query_done(work.discipline_id)
            case "settle":
                self._settled(work.discipline_id, value)
            case "syllabus":
                self._queues["sessions"].append((work.facts, work.id))
            case "sessions":
                self._extracted(work.facts, work.id, value, 0)
            case "question":
                self._queues["answer"].append((work.id, work.discipline_id))

    def failed(self, work: Work) -> None:
        """See WorkQueue. What hangs from the failed work is no longer planned."""
        match work.stage:
            case "subject_list":
                self._planned["subjects"] -= 1
                self._query_done(work.discipline_id)
            case "subjects":
                self._query_done(work.discipline_id)
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
