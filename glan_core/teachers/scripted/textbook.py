"""The scripted teacher's textbook: one human-written file per discipline in `assets/textbook/`.

A textbook contains disciplines, subjects, class sessions and key concepts. Each concept has a definition, its significance,
two cases with a question and its answer each, a true and a false claim with reasons, a common mistake with its correction and its relations to two
other concepts, from which the scripted teacher builds syllabi, questions and answers. `textbook()` returns the bundled one.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from glan_core.errors import GlanError
from glan_core.resources import ASSETS
from glan_core.teachers.scripted.clauses import Capitals, has_phrase, is_plural, with_article

HEAD = 200  # characters of a file that contain the name of its discipline
FOLDER = ASSETS / "textbook"

# The C loader is ten times as fast; it is missing if PyYAML was built without libyaml.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _one_line(value: object) -> object:
    """Collapse white space, so that questions quote texts exactly as they are indexed."""
    return " ".join(value.split()) if isinstance(value, str) else value


Line = Annotated[str, BeforeValidator(_one_line), StringConstraints(min_length=1)]
Sentences = Annotated[str, BeforeValidator(_one_line), StringConstraints(min_length=2, pattern=r"[.!?][)$]?$")]
Question = Annotated[str, BeforeValidator(_one_line), StringConstraints(min_length=2, pattern=r"\?$")]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Example(_Record):
    """A concrete situation that does not name the concept, a question about it, and its analysis, which answers the question."""

    situation: Sentences
    question: Question
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

    @property
    def is_gerund(self) -> bool:
        """Whether the mistake is a gerund phrase ('Averaging ...') and not a sentence."""
        return self.mistake.split(maxsplit=1)[0].endswith("ing")


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
            if has_phrase(example.situation.lower(), name):
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
        plural: Whether the name is a plural ('the yield components').
        capitals: The capitals of the discipline.
    """

    discipline: Discipline
    subject: Subject
    session: Session
    concept: Concept
    order: int
    topic: int
    term: str
    phrase: str
    plural: bool
    capitals: Capitals


class Textbook:
    """All disciplines; lookups ignore case."""

    def __init__(self, disciplines: Iterable[Discipline]) -> None:
        self.disciplines = tuple(disciplines)
        self._disciplines = {key: d for d in self.disciplines for key in (d.name.lower(), d.discipline.lower())}
        self._subjects = {s.name.lower(): s for d in self.disciplines for s in d.subjects}
        self._entries: dict[str, dict[str, Entry]] = {name: {} for name in self._subjects}
        for entry in _entries(self.disciplines):
            self._entries[entry.subject.name.lower()][entry.concept.name.lower()] = entry

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


@cache
def textbook() -> Textbook:
    """Return the bundled textbook, loaded once per process; raises as `load` does."""
    return load(FOLDER)


@cache
def shares_name(entry: Entry) -> bool:
    """Return whether another subject has a concept of the same name."""
    return (
        sum(
            textbook().concept(subject.name, entry.concept.name) is not None
            for d in textbook().disciplines
            for subject in d.subjects
        )
        > 1
    )


@cache
def discipline_names() -> tuple[str, ...]:
    """Return the names of the disciplines of the bundled textbook, without reading it whole."""
    heads = (path.read_text(encoding="utf-8")[:HEAD] for path in sorted(FOLDER.glob("*.yaml")))
    return tuple(found.group(1).strip() for head in heads if (found := re.search(r"^name: (.+)$", head, re.MULTILINE)))


@cache
def subject_counts() -> dict[str, int]:
    """Return the number of subjects by name and by id of each discipline of the bundled textbook, both in lower case.

    Reading and checking the whole textbook takes seconds, so only the lines of the subjects are read.
    """
    counts = {}
    for path in FOLDER.glob("*.yaml"):
        text = path.read_text(encoding="utf-8")
        for found in re.finditer(r"^(?:discipline|name): (.+)$", text[:HEAD], re.MULTILINE):
            counts[found.group(1).strip().lower()] = len(re.findall(r"^  - name: ", text, re.MULTILINE))
    return counts


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


def _entries(disciplines: Iterable[Discipline]) -> Iterator[Entry]:
    for discipline in disciplines:
        capitals = Capitals(" ".join(_texts(discipline.model_dump(exclude={"discipline", "name"}))))
        for subject in discipline.subjects:
            order = 0
            for topic, session in enumerate(subject.sessions):
                for concept in session.concepts:
                    term, definition = capitals.name_inside(concept.name), concept.definition
                    yield Entry(
                        discipline, subject, session, concept, order, topic, term, with_article(term, definition),
                        is_plural(term, definition), capitals,
                    )  # fmt: skip
                    order += 1


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
