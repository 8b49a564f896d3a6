"""Forms of homework questions: `assets/question_forms.yaml`, by number of concepts, type and level."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import yaml

from glan_core.resources import ASSETS

FILE = ASSETS / "question_forms.yaml"
INTRODUCTORY = ("upper secondary", "secondary", "introductory", "vocational", "first", "beginner", "foundation")
PARTS = ("meaning", "significance", "example", "mistake", "relation", "topics", "choice")
_FIELD = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class QuestionForm:
    """A form of questions.

    Attributes:
        count: 'one' concept, several of one session ('joint'), or several of two sessions ('across').
        type: 'analyze', 'judge', 'explain', 'relate', 'correct' or 'compute'.
        level: 'all', 'introductory' or 'advanced'.
        text: The form with its fields in braces.
        asks: What an answer has to contain besides verdicts on claims and analyses of cases, as (part, field of the concepts).
    """

    count: str
    type: str
    level: str
    text: str
    asks: frozenset[tuple[str, str]]

    @property
    def fields(self) -> frozenset[str]:
        """Names of its fields."""
        return frozenset(_FIELD.findall(self.text))

    @property
    def joins(self) -> str:
        """The field of the concepts whose relation the form asks for, '' for none."""
        return next((field for part, field in self.asks if part == "relation"), "")


@cache
def question_forms() -> tuple[QuestionForm, ...]:
    """Return all forms."""
    return tuple(_read())


def forms_for(count: str, level: str) -> list[QuestionForm]:
    """Return the forms for a number of concepts at a level."""
    wanted = ("all", "introductory" if level.lower().startswith(INTRODUCTORY) else "advanced")
    return [form for form in question_forms() if form.count == count and form.level in wanted]


def _read() -> Iterator[QuestionForm]:
    for count, types in yaml.safe_load(FILE.read_text(encoding="utf-8")).items():
        for kind, levels in types.items():
            for level, forms in levels.items():
                for form in forms:
                    yield QuestionForm(count, kind, level, form["form"], frozenset(_asks(form.get("asks", ""))))


def _asks(line: str) -> Iterator[tuple[str, str]]:
    """Parse 'meaning all, mistake a'."""
    for item in filter(None, line.split(", ")):
        part, field = item.split(" ")
        if part not in PARTS:
            raise ValueError(f"{FILE}: unknown part {part!r}. Choose from {', '.join(PARTS)}.")
        yield part, field
