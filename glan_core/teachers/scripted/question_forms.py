"""Forms of homework questions: `assets/question_forms.yaml`, by number of concepts, type and level."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import yaml

from glan_core.resources import ASSETS

FILE = ASSETS / "question_forms.yaml"
INTRODUCTORY = ("upper secondary", "secondary", "introductory", "vocational", "first", "beginner", "foundation")
_FIELD = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class QuestionForm:
    """A form of questions.

    Attributes:
        count: 'one' concept, several of one session ('joint'), or several of two sessions ('across').
        type: 'analyze', 'judge', 'explain', 'relate', 'correct' or 'compute'.
        level: 'all', 'introductory' or 'advanced'.
        text: The form with its fields in braces.
    """

    count: str
    type: str
    level: str
    text: str

    @property
    def fields(self) -> frozenset[str]:
        """Names of its fields."""
        return frozenset(_FIELD.findall(self.text))


@cache
def question_forms() -> tuple[QuestionForm, ...]:
    """Return all forms."""
    return tuple(_read())


def forms_for(count: str, level: str, exercises: frozenset[str]) -> list[QuestionForm]:
    """Return the forms for a number of concepts at a level, with only those of the exercise fields that are available."""
    wanted = ("all", "introductory" if level.lower().startswith(INTRODUCTORY) else "advanced")
    return [
        form
        for form in question_forms()
        if form.count == count and form.level in wanted and {f for f in form.fields if f.startswith("exercise_")} <= exercises
    ]


def _read() -> Iterator[QuestionForm]:
    for count, types in yaml.safe_load(FILE.read_text(encoding="utf-8")).items():
        for kind, levels in types.items():
            for level, texts in levels.items():
                for text in texts:
                    yield QuestionForm(count, kind, level, text)
