"""The textbook that the scripted teacher answers from: one file a discipline in `assets/textbook/`, written by people.

A textbook holds disciplines, a discipline subjects, a subject class sessions, a session key concepts. Every concept
brings its definition, its importance, one worked example and one common mistake with its correction; from these pieces
the scripted teacher builds syllabi, questions and answers. `textbook()` is the one that comes with GLAN Studio.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from glan_core.errors import GlanError
from glan_core.resources import ASSETS

# Quotations are looked up by this many characters, because dozens of situations begin with 'A'.
QUOTATION_HEAD = 12
FOLDER = ASSETS / "textbook"

# The C loader reads the shipped files ten times as fast; it is missing where PyYAML was built without libyaml.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _one_line(value: object) -> object:
    """Text with every run of whitespace made one space, so that a question quotes it as it is indexed."""
    return " ".join(value.split()) if isinstance(value, str) else value


Line = Annotated[str, BeforeValidator(_one_line), StringConstraints(min_length=1)]
Sentences = Annotated[str, BeforeValidator(_one_line), StringConstraints(min_length=2, pattern=r"[.!?][)$]?$")]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Example(_Record):
    """A concrete situation that does not name the concept, and what the concept says about it."""

    situation: Sentences
    analysis: Sentences


class Mistake(_Record):
    """A false claim as a learner might make it, and what is true instead."""

    belief: Sentences
    correction: Sentences

    @model_validator(mode="after")
    def _quotable(self) -> "Mistake":
        if '"' in self.belief:
            raise ValueError("the belief is quoted in questions, so it can't hold double quotes")
        return self


class Concept(_Record):
    """One key concept with all that the textbook says about it."""

    name: Line
    definition: Sentences
    importance: Sentences
    example: Example
    mistake: Mistake

    @model_validator(mode="after")
    def _named_where_it_should_be(self) -> "Concept":
        name = self.name.lower()
        if name not in self.definition.lower():
            raise ValueError(f"the definition does not contain the name {self.name!r}")
        if _has_phrase(self.example.situation.lower(), name):
            raise ValueError(f"the situation gives the concept away: it contains the name {self.name!r}")
        return self


class Session(_Record):
    """One class session: what it is about and the concepts it teaches."""

    name: Line
    description: Sentences
    concepts: tuple[Concept, ...] = Field(min_length=4, max_length=5)


class Subject(_Record):
    """One subject with its teaching plan."""

    name: Line
    level: Line
    subtopics: tuple[Line, ...] = Field(min_length=5, max_length=8)
    introduction: Sentences
    objectives: tuple[Line, ...] = Field(min_length=4, max_length=5)
    sessions: tuple[Session, ...] = Field(min_length=4)


class Discipline(_Record):
    """One file of the textbook; `discipline` is the id that the file is named after."""

    discipline: Line
    name: Line
    subjects: tuple[Subject, ...] = Field(min_length=1)


@dataclass(frozen=True, eq=False)
class Entry:
    """One concept in its place. `order` counts through its subject, `topic` through the subject's sessions.

    `term` is the name as it reads inside a sentence ('sample space', 'Bayes' theorem'), `phrase` the same with the
    article that its definition gives it ('a sample space'); `subject_term` is the subject's name inside a sentence.
    """

    discipline: Discipline
    subject: Subject
    session: Session
    concept: Concept
    order: int
    topic: int
    term: str
    phrase: str
    subject_term: str

    def refers_to(self, other: "Entry") -> bool:
        """Whether the definition of this concept names the other one."""
        return _has_phrase(self.concept.definition.lower(), other.concept.name.lower())


@dataclass(frozen=True)
class Mention:
    """A phrase of the textbook found in a text: its `kind` is 'situation', 'belief', 'concept', 'subject' or 'topic'.

    `entries` are the concepts it may mean; for a subject or a topic, those that belong to it.
    """

    kind: str
    start: int
    end: int
    entries: tuple[Entry, ...]


# A phrase in lower case, its kind and its concepts, as in Mention.
Phrase = tuple[str, str, tuple[Entry, ...]]


class Textbook:
    """All disciplines, with an index of every phrase that a question can be recognized by. Names match in any case."""

    def __init__(self, disciplines: Iterable[Discipline]) -> None:
        self.disciplines = tuple(disciplines)
        self._disciplines = {key: d for d in self.disciplines for key in (d.name.lower(), d.discipline.lower())}
        self._subjects = {s.name.lower(): s for d in self.disciplines for s in d.subjects}
        self._entries: dict[str, dict[str, Entry]] = {name: {} for name in self._subjects}
        for entry in _entries(self.disciplines):
            self._entries[entry.subject.name.lower()][entry.concept.name.lower()] = entry
        self._phrases = _phrases(self.entries())

    def discipline(self, name: str) -> Discipline | None:
        """The discipline of that name or id, or None."""
        return self._disciplines.get(name.strip().lower())

    def subject(self, name: str) -> Subject | None:
        """The subject of that name, or None; subject names are unique in a textbook."""
        return self._subjects.get(name.strip().lower())

    def concept(self, subject: str, name: str) -> Entry | None:
        """The concept of that name in that subject, or None."""
        return self._entries.get(subject.strip().lower(), {}).get(name.strip().lower())

    def entries(self) -> Iterator[Entry]:
        """Every concept, in the order of teaching."""
        for concepts in self._entries.values():
            yield from concepts.values()

    def mentions(self, text: str) -> list[Mention]:
        """The phrases of the textbook in the text, from left to right, the longest at each place, none overlapping.

        Situations and beliefs count where they stand word for word, names of concepts and subjects in any case and with
        a plural 's', names of class sessions only where they are quoted in double quotes.
        """
        lowered = text.lower()
        found: list[Mention] = []
        end = 0
        while word := _WORD.search(lowered, end):
            start, end = word.span()
            for phrase, kind, entries in self._phrases_at(lowered, start, word.group()):
                if lowered.startswith(phrase, start) and (stop := _phrase_end(lowered, start + len(phrase))):
                    found.append(Mention(kind, start, stop, entries))
                    end = stop
                    break
        return found

    def _phrases_at(self, text: str, start: int, word: str) -> tuple[Phrase, ...]:
        """The phrases that may begin there, the longest first: quotations are longer than any name."""
        return self._phrases.get(text[start : start + QUOTATION_HEAD], ()) + self._phrases.get(word, ())


@cache
def textbook() -> Textbook:
    """The textbook that comes with GLAN Studio, read once per process; raises as `load` does."""
    return load(FOLDER)


def load(folder: Path) -> Textbook:
    """The textbook of the files `*.yaml` in a folder; GlanError names the file and place of a mistake."""
    disciplines: list[Discipline] = []
    subjects: dict[str, Path] = {}
    for path in sorted(folder.glob("*.yaml")):
        discipline = _read(path)
        for subject in discipline.subjects:
            if other := subjects.get(subject.name.lower()):
                raise GlanError(f"{path}: {other.name} has a subject {subject.name!r} already. Give it another name.")
            subjects[subject.name.lower()] = path
        disciplines.append(discipline)
    return Textbook(disciplines)


def _read(path: Path) -> Discipline:
    try:
        discipline = Discipline.model_validate(yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise GlanError(f"{path} can't be read as a textbook: {error}") from error
    except ValidationError as error:
        raise GlanError("\n".join(f"{path}: {_place(e['loc'])}: {e['msg']}" for e in error.errors())) from error
    _refuse_repeats(path, discipline)
    return discipline


def _place(loc: Sequence[int | str]) -> str:
    """A pydantic location as one reads it in YAML: subjects[0].sessions[2].concepts[1].mistake.belief."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).lstrip(".") or "the file"


def _refuse_repeats(path: Path, discipline: Discipline) -> None:
    seen: set[str] = set()
    for concept in (c for subject in discipline.subjects for session in subject.sessions for c in session.concepts):
        for text in (concept.name, concept.example.situation, concept.mistake.belief):
            if text.lower() in seen:
                raise GlanError(f"{path}: under the concept {concept.name!r}: {text!r} occurs twice in this file.")
            seen.add(text.lower())


_WORD = re.compile(r"\w+")


def _has_phrase(text: str, phrase: str) -> bool:
    """Whether the phrase stands in the text as whole words; both in lower case."""
    start = text.find(phrase)
    while start >= 0:
        if not text[start - 1 : start].isalnum() and _phrase_end(text, start + len(phrase)):
            return True
        start = text.find(phrase, start + 1)
    return False


def _phrase_end(text: str, end: int) -> int:
    """Where a phrase that matched up to `end` stops, its plural 's' included; 0 when it breaks off inside a word."""
    if text[end : end + 1] == "s":
        end += 1
    return 0 if text[end : end + 1].isalnum() and text[end - 1].isalnum() else end


def _entries(disciplines: Iterable[Discipline]) -> Iterator[Entry]:
    for discipline in disciplines:
        inside = _Capitals(discipline)
        for subject in discipline.subjects:
            order = 0
            for topic, session in enumerate(subject.sessions):
                for concept in session.concepts:
                    term = inside.sentence(concept.name)
                    phrase = _with_article(term, concept.definition)
                    yield Entry(
                        discipline, subject, session, concept, order, topic, term, phrase, inside.sentence(subject.name)
                    )
                    order += 1


def _with_article(term: str, definition: str) -> str:
    """The term with the article that its definition gives it, if any."""
    found = re.search(rf"\b(?:(an?|the)\s+)?{re.escape(term)}", definition, re.IGNORECASE)
    article = found and found.group(1)
    return f"{article.lower()} {term}" if article else term


class _Capitals:
    """Knows which names keep their capital inside a sentence, from how the texts of the discipline spell them."""

    def __init__(self, discipline: Discipline) -> None:
        text = " ".join(_texts(discipline.model_dump(exclude={"discipline", "name"})))
        self._lower = set(re.findall(r"\b[a-z]\w*", text))
        self._proper = set(re.findall(r"(?<=[\w,;] )[A-Z]\w*", text)) - {word.capitalize() for word in self._lower}

    def sentence(self, name: str) -> str:
        """The name as it reads inside a sentence."""
        first = _WORD.match(name)
        if not first or not name[0].isupper() or name[:2].isupper():
            return name
        word = first.group()
        keeps = word in self._proper or name[len(word) :].startswith(("'", "’", "–"))
        return name if keeps else name[0].lower() + name[1:]


def _texts(value: object) -> Iterator[str]:
    """All sentences in a record, names left out: a name always starts with a capital and so tells nothing."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, part in value.items():
            if key not in ("name", "level", "subtopics"):
                yield from _texts(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _texts(part)


def _phrases(entries: Iterable[Entry]) -> dict[str, tuple[Phrase, ...]]:
    """Every phrase to recognize, the longest first: quotations by how they begin, names by their first word."""
    found: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in entries:
        concept = entry.concept
        found[concept.example.situation.lower(), "situation"].append(entry)
        found[concept.mistake.belief.lower(), "belief"].append(entry)
        found[concept.name.lower(), "concept"].append(entry)
        found[entry.subject.name.lower(), "subject"].append(entry)
        # The closing quote makes a topic longer than a concept of the same name, so that the quoted one is the topic.
        found[f'{entry.session.name.lower()}"', "topic"].append(entry)
    by_head: dict[str, list[Phrase]] = defaultdict(list)
    for (phrase, kind), owners in found.items():
        if word := _WORD.search(phrase):
            known_by = phrase[word.start() :]
            head = known_by[:QUOTATION_HEAD] if kind in ("situation", "belief") else word.group()
            by_head[head].append((known_by, kind, tuple(owners)))
    return {head: tuple(sorted(phrases, key=lambda p: -len(p[0]))) for head, phrases in by_head.items()}
