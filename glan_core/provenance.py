"""Where a row comes from: the chain from the taxonomy down to a record, with the prompts and calls that made it."""

from dataclasses import dataclass

from glan_core import taxonomy, taxonomy_edit
from glan_core.errors import GlanError
from glan_core.generation import stages
from glan_core.generation.work import fingerprint
from glan_core.ids import answer_id
from glan_core.teachers.base import Message
from glan_core.workspace import Workspace, call_rows, curriculum_rows, homework_rows, taxonomy_rows
from glan_core.workspace.call_rows import Call
from glan_core.workspace.homework_rows import Pair


@dataclass(frozen=True, slots=True)
class Link:
    """One record of a chain: what it is ('subject', 'syllabus', ...), its id, its text, and the calls that made it."""

    what: str
    id: str
    title: str
    text: str
    calls: tuple[Call, ...] = ()


def chain(ws: Workspace, id: str) -> list[Link]:
    """The chain of any record by its id: taxonomy path, subject, syllabus, sessions, concepts, question, answer, as far
    down as the id reaches. GlanError when nothing has that id."""
    pair = homework_rows.pair(ws.db, id)
    if pair is not None:
        return [*_syllabus_chain(ws, pair.question.syllabus_id, pair), *_pair_links(ws, pair)]
    if (syllabus := curriculum_rows.syllabus(ws.db, curriculum_rows.syllabus_of(ws.db, id) or id)) is not None:
        return _syllabus_chain(ws, syllabus.id, None)
    if (subject := curriculum_rows.subject(ws.db, id)) is not None:
        return [*_path(ws, subject.discipline_id), _subject_link(ws, subject)]
    if taxonomy_rows.node(ws.db, id) is not None:
        return _path(ws, id)
    raise GlanError(f"Nothing in {ws.folder} has the id {taxonomy.quoted(id)}.")


def _path(ws: Workspace, node_id: str) -> list[Link]:
    tree = taxonomy_edit.tree(ws)
    if node_id not in tree:  # removed since; its data stay
        node = taxonomy_rows.node(ws.db, node_id)
        return [Link(f"{node.kind} (removed)", node.id, node.name, node.description)]
    return [Link(node.kind, node.id, node.name, node.description) for node in taxonomy.path(tree, node_id)]


def _subject_link(ws: Workspace, subject) -> Link:
    queries = curriculum_rows.queries_naming(ws.db, subject.id)
    calls = tuple(call for query_id in queries for call in call_rows.calls_of(ws.db, query_id))
    return Link(
        "subject", subject.id, subject.name, f"Level: {subject.level}. Subtopics: {', '.join(subject.subtopics)}.", calls
    )


def _syllabus_chain(ws: Workspace, syllabus_id: str, pair: Pair | None) -> list[Link]:
    """From the field to the sessions: those that a pair was drawn from, or all of the syllabus."""
    syllabus = curriculum_rows.syllabus(ws.db, syllabus_id)
    subject = curriculum_rows.subject(ws.db, syllabus.subject_id)
    calls = tuple(call_rows.calls_of(ws.db, syllabus_id))
    links = [*_path(ws, syllabus.discipline_id), _subject_link(ws, subject),
             Link("syllabus", syllabus_id, subject.name, syllabus.text, calls)]  # fmt: skip
    for session in curriculum_rows.sessions(ws.db, syllabus_id):
        if pair is None or session.id in pair.question.sessions:
            links.append(Link("class session", session.id, session.name, session.description))
            links += [
                Link("key concept", concept_id, name, "")
                for concept_id, name in session.concepts
                if pair is None or concept_id in pair.question.concepts
            ]
    return links


def _pair_links(ws: Workspace, pair: Pair) -> list[Link]:
    question = pair.question
    title = f"{question.strategy}, draw {question.draw} of seed {question.seed} by the {question.draw_law} law"
    links = [Link("question", question.id, title, question.text, tuple(call_rows.calls_of(ws.db, question.id)))]
    if pair.answer is not None:
        id = answer_id(question.id)
        links.append(Link("answer", id, "", pair.answer, tuple(call_rows.calls_of(ws.db, id))))
    return links


def messages_of(ws: Workspace, call: Call) -> list[Message] | None:
    """The chat that a call sent, made again from stored rows; None when they no longer give the same chat (an edited
    taxonomy, another wording of the prompt), which the call's fingerprint tells."""
    messages = _messages(ws, call)
    return messages if messages is not None and fingerprint(messages) == call.prompt_sha else None


def _messages(ws: Workspace, call: Call) -> list[Message] | None:
    db, tree = ws.db, taxonomy_edit.tree(ws)
    if call.discipline_id not in tree:
        return None
    discipline = tree.nodes[call.discipline_id]["node"].name
    match call.stage:
        case "subject_list":
            return stages.chat_subject_list(tree, call.discipline_id)
        case "subjects":
            query = curriculum_rows.subject_query(db, call.work_id)
            return query and stages.chat_subjects(tree, call.discipline_id, query.list_text)
        case "syllabus" | "sessions":
            syllabus = curriculum_rows.syllabus(db, call.work_id)
            subject = syllabus and curriculum_rows.subject(db, syllabus.subject_id)
            if not subject:
                return None
            if call.stage == "syllabus":
                return stages.chat_syllabus(discipline, subject)
            return stages.chat_sessions(discipline, subject, syllabus.text)
        case "question" | "answer":
            pair = homework_rows.pair(db, call.work_id)
            if pair is None:
                return None
            if call.stage == "answer":
                return stages.chat_answer(pair.question.text)
            return _question_messages(ws, discipline, pair)
    return None


def _question_messages(ws: Workspace, discipline: str, pair: Pair) -> list[Message]:
    question = pair.question
    syllabus = curriculum_rows.syllabus(ws.db, question.syllabus_id)
    subject = curriculum_rows.subject(ws.db, syllabus.subject_id)
    sessions = {session.id: session for session in curriculum_rows.sessions(ws.db, syllabus.id)}
    names = {id: name for session in sessions.values() for id, name in session.concepts}
    return stages.chat_question(
        discipline, subject, syllabus.text, question.strategy, [sessions[id].name for id in question.sessions],
        [names[id] for id in question.concepts],
    )  # fmt: skip
