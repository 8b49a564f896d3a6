"""The scripted teacher's textbook: one human-written file per discipline in `assets/textbook/`.

A textbook contains disciplines, subjects, class sessions and key concepts. Each concept has a definition, its significance,
two worked examples, a true and a false claim with reasons, a common mistake with its correction and its relations to two
other concepts, from which the scripted teacher builds syllabi, questions and answers. `textbook()` returns the bundled one.
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

# Quotations are indexed by this many characters, because dozens of situations start with 'A'.
QUOTATION_HEAD = 12
HEAD = 200  # characters of a file that contain the name of its discipline
FOLDER = ASSETS / "textbook"

# The C loader is ten times as fast; it is missing if PyYAML was built without libyaml.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _one_line(value: object) -> object:
    """Collapse white space, so that questions quote texts exactly as they are indexed."""
    return " ".join(value.split()) if isinstance(value, str) else value


Line = Annotated[str, BeforeValidator(_one_line), StringConstraints(min_length=1)]
Sentences = Annotated[str, BeforeValidator(_one_line), StringConstraints(min_length=2, pattern=r"[.!?][)$]?$")]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Example(_Record):
    """A concrete situation that does not name the concept, and its analysis."""

    situation: Sentences
    analysis: Sentences


class Claim(_Record):
    """A statement about the concept, true or false, and the reason why it is."""

    claim: Sentences
    reason: Sentences

    @model_validator(mode="after")
    def _quotable(self) -> "Claim":
        if '"' in self.claim:
            raise ValueError("the claim is quoted in questions, so it cannot contain double quotes")
        return self


class Mistake(_Record):
    """What learners often do wrong with the concept, and how to do it right."""

    mistake: Sentences
    correction: Sentences


class Relation(_Record):
    """How the concept is related to another one of the same subject; the sentence names both."""

    to: Line
    relation: Sentences


class Concept(_Record):
    """A key concept with its textbook content."""

    name: Line
    definition: Sentences
    significance: Sentences
    examples: tuple[Example, Example]
    true_claim: Claim
    false_claim: Claim
    mistake: Mistake
    relations: tuple[Relation, Relation]

    @model_validator(mode="after")
    def _named_where_it_should_be(self) -> "Concept":
        name = self.name.lower()
        if name not in self.definition.lower():
            raise ValueError(f"the definition does not contain the name {self.name!r}")
        for example in self.examples:
            if _has_phrase(example.situation.lower(), name):
                raise ValueError(f"the situation must not reveal the concept: it contains the name {self.name!r}")
        for relation in self.relations:
            for named in (name, relation.to.lower()):
                if named not in relation.relation.lower():
                    raise ValueError(f"the relation to {relation.to!r} does not contain the name {named!r}")
        return self


class Session(_Record):
    """A class session with its description and concepts."""

    name: Line
    description: Sentences
    concepts: tuple[Concept, ...] = Field(min_length=4, max_length=5)


class Subject(_Record):
    """A subject with its teaching plan; questions call it by its field of knowledge ('linguistics')."""

    name: Line
    field: Line
    level: Line
    subtopics: tuple[Line, ...] = Field(min_length=5, max_length=8)
    introduction: Sentences
    objectives: tuple[Line, ...] = Field(min_length=4, max_length=5)
    sessions: tuple[Session, ...] = Field(min_length=10)

    @model_validator(mode="after")
    def _relations_lead_somewhere(self) -> "Subject":
        concepts = [concept for session in self.sessions for concept in session.concepts]
        names = {concept.name for concept in concepts}
        for concept in concepts:
            for relation in concept.relations:
                if relation.to not in names or relation.to == concept.name:
                    raise ValueError(f"{concept.name!r} is related to {relation.to!r}, no other concept of {self.name!r}")
        return self


class Discipline(_Record):
    """One file of the textbook; `discipline` is the id in its file name."""

    discipline: Line
    name: Line
    subjects: tuple[Subject, ...] = Field(min_length=1)


@dataclass(frozen=True, eq=False)
class Entry:
    """A concept with its position in the textbook.

    Attributes:
        order: Index of the concept within its subject.
        topic: Index of the session within its subject.
        term: The name as it is written within a sentence ('sample space', 'Bayes' theorem').
        phrase: The term with the article of its definition ('the sample space').
    """

    discipline: Discipline
    subject: Subject
    session: Session
    concept: Concept
    order: int
    topic: int
    term: str
    phrase: str


@dataclass(frozen=True)
class Mention:
    """A phrase of the textbook found in a text.

    Attributes:
        kind: 'situation', 'claim', 'concept', 'subject' or 'topic'.
        start: Start offset.
        end: End offset.
        entries: The concepts it may refer to; for a subject or topic, those it contains.
    """

    kind: str
    start: int
    end: int
    entries: tuple[Entry, ...]


# (lowercase phrase, kind, concepts), as in Mention.
Phrase = tuple[str, str, tuple[Entry, ...]]


class Textbook:
    """All disciplines, with an index of the phrases that identify a question; lookups ignore case."""

    def __init__(self, disciplines: Iterable[Discipline]) -> None:
        self.disciplines = tuple(disciplines)
        self._disciplines = {key: d for d in self.disciplines for key in (d.name.lower(), d.discipline.lower())}
        self._subjects = {s.name.lower(): s for d in self.disciplines for s in d.subjects}
        self._entries: dict[str, dict[str, Entry]] = {name: {} for name in self._subjects}
        for entry in _entries(self.disciplines):
            self._entries[entry.subject.name.lower()][entry.concept.name.lower()] = entry
        self._phrases = _phrases(self.entries())

    def discipline(self, name: str) -> Discipline | None:
        """Return the discipline with this name or id, or None."""
        return self._disciplines.get(name.strip().lower())

    def subject(self, name: str) -> Subject | None:
        """Return the subject with this name, or None; subject names are unique."""
        return self._subjects.get(name.strip().lower())

    def concept(self, subject: str, name: str) -> Entry | None:
        """Return the concept with this name in a subject, or None."""
        return self._entries.get(subject.strip().lower(), {}).get(name.strip().lower())

    def entries(self) -> Iterator[Entry]:
        """Iterate over all concepts in teaching order."""
        for concepts in self._entries.values():
            yield from concepts.values()

    def mentions(self, text: str) -> list[Mention]:
        """Return the textbook phrases in a text from left to right, the longest at each position, without overlaps.

        Situations and claims must match exactly, names of concepts, subjects and fields in any case and with a plural 's', session names
        only in double quotes.
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
        """Return the phrases that may start at a position, longest first; quotations are longer than names."""
        return self._phrases.get(text[start : start + QUOTATION_HEAD], ()) + self._phrases.get(word, ())


@cache
def textbook() -> Textbook:
    """Return the bundled textbook, loaded once per process; raises as `load` does."""
    return load(FOLDER)


@cache
def discipline_names() -> tuple[str, ...]:
    """Return the names of the disciplines of the bundled textbook, without reading it whole."""
    heads = (path.read_text(encoding="utf-8")[:HEAD] for path in sorted(FOLDER.glob("*.yaml")))
    return tuple(found.group(1).strip() for head in heads if (found := re.search(r"^name: (.+)$", head, re.MULTILINE)))


def load(folder: Path) -> Textbook:
    """Load the textbook from the `*.yaml` files in a folder.

    Raises:
        GlanError: If a file is not valid; the message names the file and location.
    """
    disciplines: list[Discipline] = []
    subjects: dict[str, Path] = {}
    for path in sorted(folder.glob("*.yaml")):
        discipline = _read(path)
        for subject in discipline.subjects:
            if other := subjects.get(subject.name.lower()):
                raise GlanError(f"{path}: {other.name} already has a subject {subject.name!r}. Choose another name.")
            subjects[subject.name.lower()] = path
        disciplines.append(discipline)
    return Textbook(disciplines)


def _read(path: Path) -> Discipline:
    try:
        discipline = Discipline.model_validate(yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise GlanError(f"{path} cannot be read as a textbook: {error}") from error
    except ValidationError as error:
        raise GlanError("\n".join(f"{path}: {_place(e['loc'])}: {e['msg']}" for e in error.errors())) from error
    _refuse_repeats(path, discipline)
    return discipline


def _place(loc: Sequence[int | str]) -> str:
    """Format a pydantic location, such as subjects[0].sessions[2].concepts[1].mistake.belief."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).lstrip(".") or "the file"


def _refuse_repeats(path: Path, discipline: Discipline) -> None:
    seen: set[str] = set()
    for concept in (c for subject in discipline.subjects for session in subject.sessions for c in session.concepts):
        situations = [example.situation for example in concept.examples]
        for text in (concept.name, *situations, concept.true_claim.claim, concept.false_claim.claim):
            if text.lower() in seen:
                raise GlanError(f"{path}: under the concept {concept.name!r}: {text!r} occurs twice in this file.")
            seen.add(text.lower())


_WORD = re.compile(r"\w+")


def _has_phrase(text: str, phrase: str) -> bool:
    """Return whether a lowercase phrase occurs in a lowercase text as whole words."""
    start = text.find(phrase)
    while start >= 0:
        if not text[start - 1 : start].isalnum() and _phrase_end(text, start + len(phrase)):
            return True
        start = text.find(phrase, start + 1)
    return False


def _phrase_end(text: str, end: int) -> int:
    """Return the end of a matched phrase including a plural 's', or 0 if it ends within a word."""
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
                    yield Entry(discipline, subject, session, concept, order, topic, term, phrase)
                    order += 1


def _with_article(term: str, definition: str) -> str:
    """Return the term with the article that its definition uses, if any."""
    found = re.search(rf"\b(an?|the)\s+{re.escape(term)}\b", definition, re.IGNORECASE)
    first = re.search(rf"\b{re.escape(term)}\b", definition, re.IGNORECASE)
    return f"{found.group(1).lower()} {term}" if found and first and found.end() == first.end() else term


class _Capitals:
    """Determines which names stay capitalized within a sentence, from the spelling in the discipline's texts."""

    def __init__(self, discipline: Discipline) -> None:
        self._text = " ".join(_texts(discipline.model_dump(exclude={"discipline", "name"})))
        lower = set(re.findall(r"\b[a-z]\w*", self._text))
        self._proper = set(re.findall(r"(?<=[\w,;] )[A-Z]\w*", self._text)) - {word.capitalize() for word in lower}

    def sentence(self, name: str) -> str:
        """Return a name as it is written within a sentence."""
        first = _WORD.match(name)
        if not first or not name[0].isupper():
            return name
        lowered = name[0].lower() + name[1:]
        if re.search(rf"\b{re.escape(lowered)}\b", self._text):
            return lowered
        word = first.group()
        keeps = name[:2].isupper() or word in self._proper or name[len(word) :].startswith(("'", "’", "–"))
        return name if keeps else lowered


def _texts(value: object) -> Iterator[str]:
    """Yield all sentences of a record; names are excluded because they are always capitalized."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, part in value.items():
            if key not in ("name", "field", "level", "subtopics"):
                yield from _texts(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _texts(part)


def _phrases(entries: Iterable[Entry]) -> dict[str, tuple[Phrase, ...]]:
    """Index the recognizable phrases, longest first: quotations by their beginning, names by their first word."""
    found: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in entries:
        concept = entry.concept
        for example in concept.examples:
            found[example.situation.lower(), "situation"].append(entry)
        for claim in (concept.true_claim, concept.false_claim):
            found[claim.claim.lower(), "claim"].append(entry)
        found[concept.name.lower(), "concept"].append(entry)
        for place in {entry.subject.name.lower(), entry.subject.field.lower()}:
            found[place, "subject"].append(entry)
        # The closing quote makes a topic longer than a concept of the same name, so a quoted name matches the topic.
        found[f'{entry.session.name.lower()}"', "topic"].append(entry)
    by_head: dict[str, list[Phrase]] = defaultdict(list)
    for (phrase, kind), owners in found.items():
        if word := _WORD.search(phrase):
            known_by = phrase[word.start() :]
            head = known_by[:QUOTATION_HEAD] if kind in ("situation", "claim") else word.group()
            by_head[head].append((known_by, kind, tuple(owners)))
    return {head: tuple(sorted(phrases, key=lambda p: -len(p[0]))) for head, phrases in by_head.items()}
