"""Provenance: the chain from the taxonomy to a record, with the prompts and calls that created it."""

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import apsw

from glan_core.curriculum.curriculum_parsing import parse_sessions, parse_subjects
from glan_core.errors import GlanError
from glan_core.formatting import quoted
from glan_core.generation import stages
from glan_core.generation.protocols import ask, fingerprint
from glan_core.homework.question_parsing import parse_question
from glan_core.ids import answer_id, judgment_id
from glan_core.prompts import Prompt
from glan_core.records import Node, Subject
from glan_core.reply_parsing import MalformedReply, check_complete
from glan_core.taxonomy import hierarchy, tree_editing
from glan_core.teachers.contract import Message
from glan_core.teachers.reasoning import split_reasoning
from glan_core.workspace import Workspace, call_rows, curriculum_rows, homework_rows, judgment_rows, record_rows, taxonomy_rows
from glan_core.workspace.call_rows import Call
from glan_core.workspace.homework_rows import Pair
from glan_core.workspace.taxonomy_rows import NodeEvent

# Stages whose replies can be malformed and therefore have repair turns.
PARSERS = {"subjects": parse_subjects, "sessions": parse_sessions, "question": parse_question}
ALL = -1  # no limit in SQLite
MAX_CHANGES = 50  # earlier versions that are tried to reconstruct the chat of one call


@dataclass(frozen=True, slots=True)
class Link:
    """One record of a provenance chain.

    Attributes:
        what: Kind of the record, such as 'subject' or 'syllabus'.
        calls: The calls that created it.
    """

    what: str
    id: str
    title: str
    text: str
    calls: tuple[Call, ...] = ()


def chain(ws: Workspace, id: str) -> list[Link]:
    """Return the provenance chain of a record, from the taxonomy path down to it.

    Raises:
        GlanError: If there is no record with this id.
    """
    pair = homework_rows.pair(ws.db, id)
    if pair is not None:
        return [*_syllabus_chain(ws, pair.question.syllabus_id, pair), *_pair_links(ws, pair)]
    if (syllabus := curriculum_rows.syllabus(ws.db, curriculum_rows.syllabus_of(ws.db, id) or id)) is not None:
        return _syllabus_chain(ws, syllabus.id, None)
    if (subject := curriculum_rows.subject(ws.db, id)) is not None:
        return [*_path(ws, subject.discipline_id), _subject_link(ws, subject)]
    if taxonomy_rows.node(ws.db, id) is not None:
        return _path(ws, id)
    raise GlanError(f"No record in {ws.folder} has the id {quoted(id)}.")


def _path(ws: Workspace, node_id: str) -> list[Link]:
    tree = tree_editing.tree(ws)
    if node_id not in tree:  # removed since, but its data is kept
        node = taxonomy_rows.require_node(ws.db, node_id)
        return [Link(f"{node.kind} (removed)", node.id, node.name, node.description)]
    return [Link(node.kind, node.id, node.name, node.description) for node in hierarchy.path(tree, node_id)]


def _subject_link(ws: Workspace, subject: Subject) -> Link:
    queries = curriculum_rows.queries_mentioning(ws.db, subject.id)
    calls = tuple(call for query_id in queries for call in call_rows.calls_of(ws.db, query_id))
    return Link(
        "subject", subject.id, subject.name, f"Level: {subject.level}. Subtopics: {', '.join(subject.subtopics)}.", calls
    )


def _syllabus_chain(ws: Workspace, syllabus_id: str, pair: Pair | None) -> list[Link]:
    """Return the chain from the field to the class sessions, those of a pair or all of the syllabus."""
    syllabus = curriculum_rows.require_syllabus(ws.db, syllabus_id)
    subject = curriculum_rows.require_subject(ws.db, syllabus.subject_id)
    calls = tuple(call_rows.calls_of(ws.db, syllabus_id))
    links = [*_path(ws, syllabus.discipline_id), _subject_link(ws, subject),
             Link("syllabus", syllabus_id, subject.name, syllabus.text, calls)]  # fmt: skip
    for session in curriculum_rows.sessions(ws.db, syllabus_id, retired=pair is not None):
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
    title = f"{question.strategy}, draw {question.draw} of seed {question.seed}, {question.draw_law} sampling"
    links = [Link("question", question.id, title, question.text, tuple(call_rows.calls_of(ws.db, question.id)))]
    if pair.answer is not None:
        id = answer_id(question.id)
        links.append(Link("answer", id, "", pair.answer, tuple(call_rows.calls_of(ws.db, id))))
    if (judgment := judgment_rows.judgment(ws.db, question.seq)) is not None:
        id = judgment_id(question.id)
        scores = ", ".join(f"{name.replace('_', '-')} {getattr(judgment, name)}" for name in judgment_rows.SCORES)
        links.append(Link("judgment", id, f"{scores} (1 to 5)", judgment.comment, tuple(call_rows.calls_of(ws.db, id))))
    return links


def messages_of(ws: Workspace, call: Call) -> list[Message] | None:
    """Reconstruct the chat of a call from stored rows, with the prompts and taxonomy of its time.

    A repair turn follows the chat and the reply that it repairs.

    Returns:
        The chat, None if it cannot be reconstructed (a reply too long to be stored, a record that was never created), which is
        verified by the call's fingerprint.
    """
    kept = call_rows.prompt_text(ws.db, call.prompt_version)
    wording = Prompt(*kept, call.prompt_version) if kept else None
    if wording and wording.name == "repair":
        return _same(call, [_repair_messages(ws, call, wording)])
    return _same(call, _candidates(ws, call, wording))


def _same(call: Call, candidates: Iterable[list[Message] | None]) -> list[Message] | None:
    return next((chat for chat in candidates if chat and fingerprint(chat) == call.prompt_sha), None)


def _repair_messages(ws: Workspace, call: Call, wording: Prompt) -> list[Message] | None:
    """Reconstruct a repair turn: the chat of the previous call, its reply, and the problem."""
    calls = [other for other in call_rows.calls_of(ws.db, call.work_id) if other.stage == call.stage]
    earlier = calls[: calls.index(call)]
    bad = next((c for c in reversed(earlier) if c.prompt_version != call.prompt_version and c.outcome != "lost"), None)
    if bad is None or not bad.reply or (parse := PARSERS.get(call.stage)) is None:
        return None
    if not (chat := messages_of(ws, bad)):
        return None
    _, text = split_reasoning(bad.reply)
    try:
        parse(check_complete(text, ""))
    except MalformedReply as fault:
        return [*chat, {"role": "assistant", "content": text}, *ask(wording, problem=str(fault))]
    return None  # this release accepts the reply


def _candidates(ws: Workspace, call: Call, wording: Prompt | None) -> Iterator[list[Message] | None]:
    """Yield the chats that a call may have sent, most likely first: from the records at its time, then from earlier versions."""
    times = [call.at, *_edited_before(ws, call)]
    for path in _paths_until(ws, call.discipline_id, call.at):
        for list_wording in _list_wordings(ws, call) if call.stage == "subjects" else [None]:
            for at in times:
                try:
                    yield _messages(ws, call, path, at, wording, list_wording)
                except (KeyError, ValueError):  # a prompt version with other placeholders
                    yield None


def _edited_before(ws: Workspace, call: Call) -> list[float]:
    """Return the times just before the latest edits that a call in flight did not see, newest first."""
    pair = homework_rows.pair(ws.db, call.work_id)
    syllabus_id = pair.question.syllabus_id if pair else call.work_id
    changes = record_rows.syllabus_events(ws.db, syllabus_id)
    changes += record_rows.events(ws.db, pair.question.id) if pair and call.stage == "answer" else []
    times = {math.nextafter(event.at, 0) for event in changes if event.at <= call.at}
    return sorted(times, reverse=True)[:MAX_CHANGES]


def _list_wordings(ws: Workspace, call: Call) -> Iterator[Prompt | None]:
    """Yield the prompt versions that the quoted subject list may have used; None is this release's."""
    yield None
    for version in {other.prompt_version for other in call_rows.calls_of(ws.db, call.work_id) if other.stage == "subject_list"}:
        if kept := call_rows.prompt_text(ws.db, version):
            yield Prompt(*kept, version)


def _paths_until(ws: Workspace, discipline_id: str | None, at: float) -> Iterator[list[Node]]:
    """Yield the path of a discipline at a time and before each of its latest changes until then.

    Earlier versions are included because a run uses the taxonomy from its start.
    """
    histories: dict[str, list[NodeEvent]] = {}
    path = _path_at(ws, discipline_id, at, histories)
    changes = sorted({event.at for node in path for event in histories[node.id] if event.at <= at}, reverse=True)
    yield path
    for change in changes[:MAX_CHANGES]:
        yield _path_at(ws, discipline_id, math.nextafter(change, 0), histories)


def _path_at(ws: Workspace, node_id: str | None, at: float, histories: dict[str, list[NodeEvent]]) -> list[Node]:
    """Return the path of a node at a time; `histories` caches the events of visited nodes."""
    path: dict[str, Node] = {}
    while node_id is not None and node_id not in path:
        if node_id not in histories:
            histories[node_id] = taxonomy_rows.events(ws.db, ALL, node_id)
        node = _node_at(ws, node_id, at, histories[node_id])
        if node is None:
            break
        path[node_id], node_id = node, node.parent_id
    return list(path.values())[::-1]


def _node_at(ws: Workspace, node_id: str, at: float, history: list[NodeEvent]) -> Node | None:
    """Return a node at a time: after its latest change until then, or before its first later change."""
    if not history:
        return taxonomy_rows.node(ws.db, node_id)
    latest = next((event for event in history if event.at <= at), None)
    return history[-1].before if latest is None else latest.after or latest.before  # for a removed node, its last version


def _messages(
    ws: Workspace, call: Call, path: list[Node], at: float, wording: Prompt | None, list_wording: Prompt | None
) -> list[Message] | None:
    """Build the chat of a call from the path and the records at a time."""
    db = ws.db
    if not path or path[-1].id != call.discipline_id:
        return None
    discipline = path[-1].name
    match call.stage:
        case "subject_list":
            return stages.chat_subject_list(hierarchy.tree_of(path), call.discipline_id, wording)
        case "subjects":
            query = curriculum_rows.subject_query(db, call.work_id)
            if query is None:
                return None
            return stages.chat_subjects(hierarchy.tree_of(path), call.discipline_id, query.list_text, wording, list_wording)
        case "syllabus" | "sessions":
            syllabus = curriculum_rows.syllabus(db, call.work_id)
            subject = _subject_at(db, syllabus.subject_id, at) if syllabus else None
            if syllabus is None or subject is None:
                return None
            if call.stage == "syllabus":
                return stages.chat_syllabus(discipline, subject, wording)
            text = _written_for(db, call) or record_rows.value_at(db, syllabus.id, "text", syllabus.text, at)
            return stages.chat_sessions(discipline, subject, text, wording)
        case "question" | "answer":
            pair = homework_rows.pair(db, call.work_id)
            if pair is None:
                return None
            if call.stage == "answer":
                question = record_rows.value_at(db, pair.question.id, "text", pair.question.text, at)
                return stages.chat_answer(question, wording)
            return _question_messages(ws, discipline, pair, wording, at)
    return None


def _question_messages(ws: Workspace, discipline: str, pair: Pair, wording: Prompt | None, at: float) -> list[Message] | None:
    question = pair.question
    syllabus = curriculum_rows.require_syllabus(ws.db, question.syllabus_id)
    sessions = {session.id: session for session in curriculum_rows.sessions(ws.db, syllabus.id, retired=True)}
    names = {id: name for session in sessions.values() for id, name in session.concepts}
    if (subject := _subject_at(ws.db, syllabus.subject_id, at)) is None:
        return None
    return stages.chat_question(
        discipline, subject,
        record_rows.value_at(ws.db, syllabus.id, "text", syllabus.text, at), question.strategy,
        [record_rows.value_at(ws.db, id, "name", sessions[id].name, at) for id in question.sessions],
        [record_rows.value_at(ws.db, id, "name", names[id], at) for id in question.concepts], wording,
    )  # fmt: skip


def _subject_at(db: apsw.Connection, subject_id: str, at: float) -> Subject | None:
    """Return a subject at a time."""
    if (subject := curriculum_rows.subject(db, subject_id)) is None:
        return None
    topics = record_rows.value_at(db, subject_id, "subtopics", json.dumps(subject.subtopics), at)
    name = record_rows.value_at(db, subject_id, "name", subject.name, at)
    level = record_rows.value_at(db, subject_id, "level", subject.level, at)
    return replace(subject, name=name, level=level, subtopics=tuple(json.loads(topics)))


def _written_for(db: apsw.Connection, call: Call) -> str | None:
    """Return the regenerated syllabus whose sessions were requested, which its call stores."""
    own = [c for c in call_rows.calls_of(db, call.work_id) if (c.stage, c.run_id) == ("syllabus", call.run_id)]
    written = [c.reply for c in own if c.outcome == "stored" and c.reply]
    return written[-1].strip() if written else None


def sampling_of(call: Call) -> tuple[str, str]:
    """Return temperature and top-p of a call in words; an endpoint may not accept them, and a setting may leave them out."""
    temperature, top_p = ("not sent" if value is None else f"{value:g}" for value in (call.temperature, call.top_p))
    return f"temperature {temperature}", f"top-p {top_p}"


def reply_of(ws: Workspace, call: Call, record_id: str, text: str) -> str:
    """Return the reply of a call: as stored with it, or the record's text at that time; `text` is its current text."""
    return call.reply or str(record_rows.value_at(ws.db, record_id, "text", text, call.at))
