"""Subjects, syllabi and class sessions of the scripted teacher.

Subjects of the textbook have human-written content. For other disciplines the teacher returns labeled placeholder text made
from the name of the discipline, so that workspaces can be filled offline.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from glan_core.teachers.scripted.scaffold import SCAFFOLD
from glan_core.teachers.scripted.textbook import Subject, subject_counts, textbook

SESSIONS_OF_SCAFFOLD = 10

_SCAFFOLD_SUBJECTS = {
    "Foundations of {}": ("Introductory", "Aims of {}; Basic terms of {}; Branches of {}; First principles of {}"),
    "History of {}": ("Introductory", "Origins of {}; Schools of {}; Turning points of {}; Pioneers of {}"),
    "Methods of {}": ("Intermediate", "Observation in {}; Evidence in {}; Tools of {}; Sources of error in {}"),
    "Practice of {}": ("Intermediate", "Standard tasks of {}; Quality in {}; Safety in {}; Teamwork in {}"),
    "Ethics of {}": ("Advanced", "Duties in {}; Conflicts of interest in {}; Fairness in {}; Public trust in {}"),
    "Open questions in {}": ("Graduate", "Unsolved problems of {}; New tools of {}; Debates in {}; Outlook of {}"),
}
_SPARE_TOPICS = ("Terms of {}", "Principles of {}", "Methods of {}", "Uses of {}", "Outlook of {}")
_ROUNDS = {
    "basics": ("vocabulary", "purpose", "elements", "examples", "history"),
    "practice": ("procedure", "tools", "checks", "mistakes", "limits"),
}


@dataclass(frozen=True)
class Outline:
    """A subject in the subject list of a discipline."""

    name: str
    level: str
    introduction: str
    subtopics: Sequence[str]


@dataclass(frozen=True)
class Lesson:
    """A class session in a syllabus."""

    name: str
    description: str
    concepts: Sequence[str]


# ----------------------------------------------------------------------------------------------------------- subjects


def list_subjects(discipline: str) -> str:
    """Return the subjects of a discipline as free text."""
    known = textbook().discipline(discipline) is not None
    outlines = _outlines(discipline)
    opening = (
        f"A student who wants to master {discipline} should learn these subjects."
        if known
        else f"The offline scripted teacher has no textbook for {discipline}: the {len(outlines)} subjects below are "
        "scaffolding, made from the name of the discipline."
    )
    return "\n\n".join([opening, *(_as_text(number, outline) for number, outline in enumerate(outlines, start=1))])


def count_subjects(discipline: str) -> int:
    """Return the number of subjects of a discipline, without reading the textbook whole."""
    return subject_counts().get(discipline.strip().lower(), len(_SCAFFOLD_SUBJECTS))


def format_subjects(discipline: str) -> str:
    """Return the same subjects as JSON lines."""
    return json_lines(
        {"subject_name": outline.name, "level": outline.level, "subtopics": list(outline.subtopics)}
        for outline in _outlines(discipline)
    )


def _outlines(discipline: str) -> list[Outline]:
    if known := textbook().discipline(discipline):
        return [Outline(s.name, s.level, s.introduction, s.subtopics) for s in known.subjects]
    return [
        Outline(
            name.format(discipline),
            level,
            f"{SCAFFOLD} A placeholder for a subject of {discipline}; no textbook stands behind it.",
            [topic.format(discipline) for topic in subtopics.split("; ")],
        )
        for name, (level, subtopics) in _SCAFFOLD_SUBJECTS.items()
    ]


def _as_text(number: int, outline: Outline) -> str:
    return (
        f"{number}. **{outline.name}**\n"
        f"   Level: {outline.level}\n"
        f"   {outline.introduction}\n"
        f"   Subtopics: {'; '.join(outline.subtopics)}."
    )


# ------------------------------------------------------------------------------------------------------------ syllabus


def write_syllabus(discipline: str, name: str, level: str, subtopics: Sequence[str]) -> str:
    """Return the syllabus of a subject as Markdown."""
    if subject := textbook().subject(name):
        return _textbook_syllabus(subject)
    return _scaffold_syllabus(discipline, name, level, subtopics)


def _textbook_syllabus(subject: Subject) -> str:
    lessons = [Lesson(s.name, s.description, [c.name for c in s.concepts]) for s in subject.sessions]
    outcomes = []
    for nth, lesson in enumerate(lessons):
        phrases = [entry.phrase for name in lesson.concepts[:2] if (entry := textbook().concept(subject.name, name))]
        outcomes.append(_OUTCOMES[nth % len(_OUTCOMES)].format(*phrases, topic=lesson.name))
    return _document(subject.name, subject.level, subject.introduction, subject.objectives, outcomes, lessons)


_OUTCOMES = (
    "Define {0} and {1}, and give an example of each.",
    "Judge statements about {0} and correct the false ones.",
    'Work through a problem of "{topic}" with the help of {0} and {1}.',
    "Explain {1} to somebody outside the field, with a case from practice.",
    "Recognize the usual mistakes with {0} and avoid them.",
    "Say what {0} and {1} are good for, and where their limits are.",
    'Choose the right idea of "{topic}" for an unfamiliar case.',
)


def _scaffold_syllabus(discipline: str, name: str, level: str, subtopics: Sequence[str]) -> str:
    opening = (
        f"{SCAFFOLD} The offline scripted teacher has no textbook for {name}, a subject of {discipline}: this syllabus "
        "is scaffold text that shows only what the form of one is."
    )
    lessons = _scaffold_lessons(name, subtopics)
    objectives = [f'Explain "{lesson.name}" in plain words.' for lesson in lessons[:5]]
    outcomes = [f'The student answers questions about "{lesson.name}" in writing.' for lesson in lessons[:5]]
    introduction = f"This document stands in for a syllabus of {name} until a teacher who knows the subject writes one."
    return f"{opening}\n\n{_document(name, level, introduction, objectives, outcomes, lessons)}"


def _scaffold_lessons(name: str, subtopics: Sequence[str]) -> list[Lesson]:
    """Build a session on the basics of each subtopic, then one on its practice, up to SESSIONS_OF_SCAFFOLD."""
    topics = _distinct(subtopics)
    if len(topics) < len(_SPARE_TOPICS):
        topics = _distinct([*topics, *(topic.format(name) for topic in _SPARE_TOPICS)])[: len(_SPARE_TOPICS)]
    lessons = [
        Lesson(
            f"{topic}: {about}",
            f'A placeholder on the {about} of "{topic}"; a teacher who knows the subject would say more.',
            [f"{topic}: {aspect}" for aspect in aspects],
        )
        for about, aspects in _ROUNDS.items()
        for topic in topics
    ]
    return lessons[:SESSIONS_OF_SCAFFOLD]


def _distinct(names: Iterable[str]) -> list[str]:
    """Remove names that differ from an earlier one only in case."""
    first: dict[str, str] = {}
    for name in names:
        first.setdefault(name.casefold(), name)
    return list(first.values())


def _document(
    name: str,
    level: str,
    introduction: str,
    objectives: Iterable[str],
    outcomes: Iterable[str],
    lessons: Iterable[Lesson],
) -> str:
    parts = [f"# {name}", f"Level: {level}"] if level else [f"# {name}"]
    parts += ["## Introduction", introduction]
    parts += ["## Learning objectives", _bullets(objectives)]
    parts += ["## Learning outcomes", _bullets(outcomes)]
    parts += ["## Class sessions"]
    for number, lesson in enumerate(lessons, start=1):
        parts += [f"### Session {number}: {lesson.name}", lesson.description]
        parts += [f"Key concepts:\n{_bullets(lesson.concepts)}"]
    return "\n\n".join(parts)


def _bullets(items: Iterable[str]) -> str:
    return "\n".join(f"- {item}" for item in items)


# ------------------------------------------------------------------------------------------------------------ sessions

_DECORATION = r"[\s#>*_\-•]*"
_NUMBERED_SESSION = re.compile(
    rf"^{_DECORATION}(?:class\s+)?(?:session|lesson|lecture|unit|module|week|class)\s+\d+\s*[:.)–—-]*\s*(.+)$",
    re.IGNORECASE,
)
_NUMBERED_LINE = re.compile(r"^(?:#{2,6}\s*+)?\**+\s*+\d{1,2}[.)]\s+(.+)$")
_SUBHEADING = re.compile(r"^#{3,6}\s+(.+)$")
_CONCEPTS_LABEL = re.compile(rf"^{_DECORATION}(?:key\s+)?concepts{_DECORATION}[:.]{_DECORATION}(.*)$", re.IGNORECASE)
_DESCRIPTION_LABEL = re.compile(rf"^{_DECORATION}description{_DECORATION}[:.]{_DECORATION}", re.IGNORECASE)
_BULLET = re.compile(r"^\s*(?:[-*•+]|\d{1,2}[.)])\s+(.+)$")
_HEADING = re.compile(r"^#{1,6}\s")
_NO_SESSIONS = f"{SCAFFOLD} The offline scripted teacher found no class sessions in this syllabus."


def extract_sessions(syllabus: str) -> str:
    """Return the class sessions of a syllabus as JSON lines; other layouts are parsed as far as they are similar."""
    lines = syllabus.splitlines()
    for pattern in (_NUMBERED_SESSION, _SUBHEADING, _NUMBERED_LINE):
        heads = [(at, match.group(1)) for at, line in enumerate(lines) if (match := pattern.match(line))]
        ends = [*(at for at, _ in heads), len(lines)][1:]
        lessons = [_lesson(name, lines[at + 1 : end]) for (at, name), end in zip(heads, ends, strict=False)]
        if lessons := [lesson for lesson in lessons if lesson.concepts]:
            return json_lines(
                {"session": lesson.name, "description": lesson.description, "key_concepts": list(lesson.concepts)}
                for lesson in lessons
            )
    return _NO_SESSIONS


def _lesson(name: str, body: Sequence[str]) -> Lesson:
    """Parse one session from its heading and the lines up to the next heading."""
    description: list[str] = []
    concepts: list[str] = []
    for line in body:
        if _HEADING.match(line):
            break
        if label := _CONCEPTS_LABEL.match(line):
            concepts += _split(label.group(1))
        elif bullet := _BULLET.match(line):
            concepts.append(_plain(bullet.group(1)))
        elif line.strip():
            description.append(_plain(_DESCRIPTION_LABEL.sub("", line)))
    return Lesson(_plain(name), " ".join(description), [concept for concept in concepts if concept])


def _split(text: str) -> list[str]:
    """Split a list of concepts on one line."""
    return [_plain(part) for part in text.rstrip(". ").split(";" if ";" in text else ",")]


def _plain(text: str) -> str:
    return text.strip().strip("*_ ").strip()


def json_lines(rows: Iterable[dict]) -> str:
    """Format rows as JSON lines."""
    return "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
