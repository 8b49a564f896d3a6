"""Parsing of subjects, class sessions and key concepts from teacher replies."""

import re
from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict, Field, field_validator

from glan_core.ids import derive, name_key
from glan_core.records import SessionDraft, Subject
from glan_core.reply_parsing import Line, MalformedReply, json_lines, one_line
from glan_core.text_validation import MAX_NAME

MAX_SUBTOPICS = 20  # per merged subject; enough to plan 30 sessions while bounding the length of prompts


# A line that starts the list of sessions: "## Class sessions", "**4. Class Schedule:**", "Session 1: ...".
_LINE_MARKS = re.compile(r"^[\s#*>]*+", re.MULTILINE)
_SESSIONS_BEGIN = re.compile(
    r"(?:\d+[.)]\s*)?(?:(?:class|course|teaching)\s+)?(?:sessions?|schedule|outline|lectures?|weeks?)\b[^\n]{0,60}$",
    re.IGNORECASE | re.MULTILINE,
)
_TITLE = re.compile(r"\A\s*#\s[^\n]*\n(?:\s*\**Level\**:[^\n]*\n)?")


class SubjectLine(BaseModel):
    """One line of a reply that lists subjects."""

    model_config = ConfigDict(str_strip_whitespace=True, coerce_numbers_to_str=True)

    subject_name: Line = Field(min_length=1, max_length=MAX_NAME)
    level: str = ""
    subtopics: list[Line] = []

    @field_validator("level", mode="before")
    @classmethod
    def _level(cls, value: object) -> object:
        level = one_line(", ".join(map(str, value)) if isinstance(value, list) else value or "")
        return level[:MAX_NAME] if isinstance(level, str) else level

    @field_validator("subtopics", mode="before")
    @classmethod
    def _subtopics(cls, value: object) -> object:
        return [part for part in value.replace(";", ",").split(",") if part.strip()] if isinstance(value, str) else value or []


class SessionLine(BaseModel):
    """One line of a reply that extracts class sessions."""

    model_config = ConfigDict(str_strip_whitespace=True, coerce_numbers_to_str=True)

    session: Line = Field(min_length=1, max_length=MAX_NAME)
    description: str = ""
    key_concepts: list[Line] = Field(min_length=1)


def parse_subjects(text: str) -> list[SubjectLine]:
    """Parse the subjects of a JSON lines reply.

    Raises:
        MalformedReply: If the reply cannot be parsed.
    """
    return json_lines(text, SubjectLine)


def parse_sessions(text: str) -> list[SessionDraft]:
    """Parse the class sessions of a JSON lines reply, with unique key concepts per session.

    Raises:
        MalformedReply: If the reply cannot be parsed or a session has no key concepts.
    """
    drafts = [
        SessionDraft(line.session, line.description, unique(concept[:MAX_NAME] for concept in line.key_concepts))
        for line in json_lines(text, SessionLine)
    ]
    for number, draft in enumerate(drafts, start=1):
        if not draft.concepts:
            raise MalformedReply("malformed", f"session {number} has no key concepts", repairable=True)
    return drafts


def before_sessions(text: str) -> str:
    """Return the part of a syllabus before its class sessions, without the title; all of it if no sessions are found."""
    begun = next((marks.start() for marks in _LINE_MARKS.finditer(text) if _SESSIONS_BEGIN.match(text, marks.end())), len(text))
    front = text[:begun]
    return _TITLE.sub("", front, count=1).strip()


def unique(names: Iterable[str]) -> tuple[str, ...]:
    """Remove blank and duplicate names, keeping the first occurrences in order."""
    return tuple({name_key(name): name.strip() for name in reversed(list(names)) if name.strip()}.values())[::-1]


def merge_subjects(
    discipline_id: str, queries: Iterable[tuple[str, list[SubjectLine]]], known: Iterable[Subject] = ()
) -> tuple[list[Subject], list[tuple[str, str]]]:
    """Merge the subjects that several queries list for one discipline.

    Subjects with the same name become one, with the name and level of the first mention and the union of the subtopics. Known
    subjects are not changed.

    Args:
        discipline_id: The discipline.
        queries: (query id, its subjects) by index.
        known: Subjects merged before.

    Returns:
        The new subjects by first mention, and the mentions as (subject id, query id).
    """
    settled = {subject.id for subject in known}
    merged: dict[str, list[SubjectLine]] = {}
    mentions = []
    for query_id, lines in queries:
        for line in lines:
            subject_id = derive("sub", discipline_id, name_key(line.subject_name))
            mentions.append((subject_id, query_id))
            if subject_id not in settled:
                merged.setdefault(subject_id, []).append(line)
    subjects = [
        Subject(id, discipline_id, lines[0].subject_name, lines[0].level,
                unique(topic for line in lines for topic in line.subtopics)[:MAX_SUBTOPICS])
        for id, lines in merged.items()
    ]  # fmt: skip
    return subjects, mentions
