"""The stages of a generation run: how each builds its prompt, parses the reply and stores the records.

`chat_*` functions build chats from stored rows only, so that provenance can reconstruct them; `wording` replaces this release's
version of the prompt.
"""

import json
from collections.abc import Sequence

import apsw
import networkx as nx

from glan_core import ids
from glan_core.curriculum import curriculum_parsing
from glan_core.curriculum.curriculum_parsing import SubjectLine
from glan_core.generation.protocols import NO_PROMPT, Work, ask
from glan_core.homework import question_parsing
from glan_core.homework.concept_sampling import Draw
from glan_core.prompts import Prompt, prompt
from glan_core.records import SessionDraft, Subject
from glan_core.taxonomy import hierarchy
from glan_core.teachers.contract import Message
from glan_core.workspace import curriculum_rows, homework_rows
from glan_core.workspace.curriculum_rows import Session, Syllabus
from glan_core.workspace.homework_rows import Question


def chat_subject_list(tree: nx.DiGraph, discipline_id: str, wording: Prompt | None = None) -> list[Message]:
    """Build the first turn of a subject query: a list as free text."""
    *above, discipline = hierarchy.path(tree, discipline_id)
    return ask(
        wording or prompt("subjects_list"), discipline=discipline.name, description=discipline.description or discipline.name,
        path=" > ".join(node.name for node in above),
    )  # fmt: skip


def chat_subjects(
    tree: nx.DiGraph, discipline_id: str, list_text: str, wording: Prompt | None = None, list_wording: Prompt | None = None
) -> list[Message]:
    """Build the second turn of a subject query: the same list as JSON lines."""
    return [
        *chat_subject_list(tree, discipline_id, list_wording),
        {"role": "assistant", "content": list_text},
        *ask(wording or prompt("subjects_format")),
    ]


def chat_syllabus(discipline: str, subject: Subject, wording: Prompt | None = None) -> list[Message]:
    """Build the chat for the syllabus of a subject."""
    topics = "\n".join(f"- {topic}" for topic in subject.subtopics) or "- choose them yourself"
    return ask(
        wording or prompt("syllabus"), discipline=discipline, subject=subject.name, level=subject.level or "not stated",
        subtopics=topics,
    )  # fmt: skip


def chat_sessions(discipline: str, subject: Subject, syllabus: str, wording: Prompt | None = None) -> list[Message]:
    """Build the chat that extracts the class sessions and key concepts of a syllabus."""
    return ask(wording or prompt("sessions"), discipline=discipline, subject=subject.name, syllabus=syllabus)


def chat_question(
    discipline: str, subject: Subject, syllabus: str, strategy: str, sessions: Sequence[str], concepts: Sequence[str],
    wording: Prompt | None = None,
) -> list[Message]:  # fmt: skip
    """Build the chat for a question from the sampled class sessions and key concepts."""
    return ask(
        wording or prompt(f"question_{strategy}"), discipline=discipline, subject=subject.name,
        level=subject.level or "not stated", syllabus=syllabus, sessions="\n".join(f"- {name}" for name in sessions),
        concepts="\n".join(f"- {name}" for name in concepts),
    )  # fmt: skip


def chat_answer(question: str, wording: Prompt | None = None) -> list[Message]:
    """Build the chat for an answer, which contains only the question."""
    return ask(wording or prompt("answer"), question=question)


class SubjectListStage:
    """First turn of a subject query; the task's facts are the index of the query."""

    name = "subject_list"

    def work(self, tree: nx.DiGraph, discipline_id: str, index: int) -> Work:
        """Return the task for the query with this index."""
        return Work(self.name, ids.query_id(discipline_id, index), discipline_id, prompt("subjects_list"),
                    chat_subject_list(tree, discipline_id), index)  # fmt: skip

    def parse(self, work: Work, text: str) -> str:
        """Return the list unchanged."""
        return text

    def store(self, db: apsw.Connection, work: Work, parsed: str, teacher: str) -> str:
        """Store the list with its query."""
        curriculum_rows.add_subject_list(db, work.id, work.require_discipline(), work.facts, parsed)
        return parsed

    def record_text(self, parsed: str) -> str:
        """See Stage: the list."""
        return parsed


class SubjectsStage:
    """Second turn of a subject query; its subjects are stored with the query until they are merged."""

    name = "subjects"

    def work(self, tree: nx.DiGraph, discipline_id: str, query_id: str, list_text: str) -> Work:
        """Return the task for the second turn of a query."""
        return Work(self.name, query_id, discipline_id, prompt("subjects_format"),
                    chat_subjects(tree, discipline_id, list_text), None)  # fmt: skip

    def parse(self, work: Work, text: str) -> list[SubjectLine]:
        """Parse the subjects."""
        return curriculum_parsing.parse_subjects(text)

    def store(self, db: apsw.Connection, work: Work, parsed: list[SubjectLine], teacher: str) -> None:
        """Store the subjects with their query."""
        lines = [line.model_dump() for line in parsed]
        curriculum_rows.set_query_subjects(db, work.id, json.dumps(lines, ensure_ascii=False))

    def record_text(self, parsed: list[SubjectLine]) -> None:
        """See Stage: subjects are stored in another form than the reply."""
        return None


class SettleStage:
    """Merges the subjects of a discipline's queries, without a call."""

    name = "settle"

    def work(self, discipline_id: str) -> Work:
        """Return the task that merges the subjects of a discipline."""
        return Work(self.name, discipline_id, discipline_id, NO_PROMPT, [], None)

    def store(self, db: apsw.Connection, work: Work, parsed: None, teacher: str) -> list[Subject]:
        """Store the new subjects and their mentions; return all subjects of the discipline."""
        known = curriculum_rows.subjects(db, work.require_discipline())
        fresh = [
            q
            for q in curriculum_rows.subject_queries(db, work.require_discipline())
            if q.subjects is not None and not q.settled
        ]
        queries = [(q.id, [SubjectLine(**line) for line in json.loads(q.subjects or "[]")]) for q in fresh]
        subjects, mentions = curriculum_parsing.merge_subjects(work.require_discipline(), queries, known)
        curriculum_rows.add_subjects(
            db, work.require_discipline(), [(subject, teacher) for subject in subjects], mentions, [q.id for q in fresh]
        )
        return known + subjects


class SyllabusStage:
    """Syllabus of a subject; the task's facts are the subject."""

    name = "syllabus"

    def work(self, discipline: str, subject: Subject) -> Work:
        """Return the task for the syllabus of a subject."""
        return Work(self.name, ids.syllabus_id(subject.id), subject.discipline_id, prompt("syllabus"),
                    chat_syllabus(discipline, subject), subject)  # fmt: skip

    def parse(self, work: Work, text: str) -> str:
        """Return the syllabus unchanged."""
        return text

    def store(self, db: apsw.Connection, work: Work, parsed: str, teacher: str) -> str:
        """Store the syllabus and its teacher."""
        curriculum_rows.add_syllabus(db, work.id, work.facts.id, work.require_discipline(), parsed, teacher)
        return parsed

    def record_text(self, parsed: str) -> str:
        """See Stage: the syllabus."""
        return parsed


class SessionsStage:
    """Class sessions of a syllabus; the task's facts are the subject and its id is that of the syllabus."""

    name = "sessions"

    def work(self, discipline: str, subject: Subject, syllabus_id: str, text: str) -> Work:
        """Return the task that extracts the sessions of a stored syllabus."""
        return Work(self.name, syllabus_id, subject.discipline_id, prompt("sessions"),
                    chat_sessions(discipline, subject, text), subject)  # fmt: skip

    def parse(self, work: Work, text: str) -> list[SessionDraft]:
        """Parse the sessions and their key concepts."""
        return curriculum_parsing.parse_sessions(text)

    def store(self, db: apsw.Connection, work: Work, parsed: list[SessionDraft], teacher: str) -> list[int]:
        """Store the sessions and key concepts; return the number of concepts in each session."""
        curriculum_rows.add_sessions(db, work.id, work.require_discipline(), parsed)
        return [len(draft.concepts) for draft in parsed]

    def record_text(self, parsed: list[SessionDraft]) -> None:
        """See Stage: sessions are stored in another form than the reply."""
        return None


class QuestionStage:
    """Homework question; the task's facts are the question without text and teacher."""

    name = "question"

    def work(
        self, discipline: str, subject: Subject, syllabus: Syllabus, sessions: Sequence[Session], draw: Draw, *, seed: int,
        law: str,
    ) -> Work:  # fmt: skip
        """Return the task for the question of one draw."""
        concepts = [sessions[s].concepts[c] for s, c in draw.concepts]
        picked = [sessions[s] for s in draw.sessions]
        question = Question(
            0, ids.derive("qst", syllabus.sampling_key, draw.key), syllabus.id, subject.discipline_id, draw.strategy, law, seed,
            draw.index, tuple(session.id for session in picked), tuple(id for id, _ in concepts), "", "",
        )  # fmt: skip
        messages = chat_question(
            discipline, subject, syllabus.text, draw.strategy, [session.name for session in picked],
            [name for _, name in concepts],
        )  # fmt: skip
        return Work(self.name, question.id, subject.discipline_id, prompt(f"question_{draw.strategy}"), messages, question)

    def parse(self, work: Work, text: str) -> str:
        """Parse the question, which must be self-contained."""
        return question_parsing.parse_question(text)

    def store(self, db: apsw.Connection, work: Work, parsed: str, teacher: str) -> str:
        """Store the question with its draw."""
        q = work.facts
        homework_rows.add_question(
            db, Question(0, q.id, q.syllabus_id, q.discipline_id, q.strategy, q.draw_law, q.seed, q.draw, q.sessions,
                         q.concepts, parsed, teacher)
        )  # fmt: skip
        return parsed

    def record_text(self, parsed: str) -> str:
        """See Stage: the question."""
        return parsed


class AnswerStage:
    """Answer to a question; the task's facts are the id of the question."""

    name = "answer"

    def work(self, question_id: str, discipline_id: str, question: str) -> Work:
        """Return the task for the answer to a stored question."""
        return Work(self.name, ids.answer_id(question_id), discipline_id, prompt("answer"), chat_answer(question), question_id)

    def parse(self, work: Work, text: str) -> str:
        """Return the answer unchanged."""
        return text

    def store(self, db: apsw.Connection, work: Work, parsed: str, teacher: str) -> None:
        """Store the answer."""
        homework_rows.add_answer(db, work.facts, work.require_discipline(), parsed, teacher)

    def record_text(self, parsed: str) -> str:
        """See Stage: the answer."""
        return parsed
