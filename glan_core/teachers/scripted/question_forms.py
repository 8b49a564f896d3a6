"""Forms of homework questions: `assets/question_forms.yaml`, by number of concepts, type and level."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property

import yaml

from glan_core.resources import ASSETS

FILE = ASSETS / "question_forms.yaml"
INTRODUCTORY = ("upper secondary", "secondary", "introductory", "vocational", "first", "beginner", "foundation")
PARTS = ("meaning", "significance", "example", "mistake", "relation", "choice", "problem", "card")
_FIELD = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, eq=False)
class QuestionForm:
    """A form of questions.

    Attributes:
        count: 'one' concept, several of one session ('joint'), or several of two sessions ('across').
        type: 'analyze', 'judge', 'explain', 'relate', 'correct' or 'compute'.
        level: 'all', 'introductory' or 'advanced'.
        text: The form with its fields in braces.
        asks: What an answer has to contain besides what it says on quotations, as (part, field of the concepts).
        weight: How often it is used, compared with the others.
        close: 'relation' or 'contrast' if the textbook has to relate the concepts, or to set them against each other; else ''.
    """

    count: str
    type: str
    level: str
    text: str
    asks: frozenset[tuple[str, str]]
    weight: int
    close: str

    @cached_property
    def fields(self) -> frozenset[str]:
        """Names of its fields."""
        return frozenset(_FIELD.findall(self.text))


@cache
def question_forms() -> tuple[QuestionForm, ...]:
    """Return all forms."""
    return tuple(_read())


@cache
def forms_for(count: str, level: str) -> tuple[tuple[QuestionForm, ...], tuple[int, ...]]:
    """Return the forms for a number of concepts at a level, and their weights."""
    wanted = ("all", "introductory" if level.lower().startswith(INTRODUCTORY) else "advanced")
    forms = tuple(form for form in question_forms() if form.count == count and form.level in wanted)
    return forms, tuple(form.weight for form in forms)


def _read() -> Iterator[QuestionForm]:
    for count, types in yaml.safe_load(FILE.read_text(encoding="utf-8")).items():
        for kind, levels in types.items():
            for level, forms in levels.items():
                for form in forms:
                    asks = frozenset(_asks(form.get("asks", "")))
                    close = form.get("close") or ("relation" if any(part == "relation" for part, _ in asks) else "")
                    yield QuestionForm(count, kind, level, form["form"], asks, form.get("weight", 1), close)


def _asks(line: str) -> Iterator[tuple[str, str]]:
    """Parse 'meaning all, mistake a'."""
    for item in filter(None, line.split(", ")):
        part, field = item.split(" ")
        if part not in PARTS:
            raise ValueError(f"{FILE}: unknown part {part!r}. Choose from {', '.join(PARTS)}.")
        yield part, field
