"""Questions of the scripted teacher, built from the textbook's cases, claims and exercises.

The form of a question and what it quotes are chosen by a stable hash of its concepts, so that the same concepts give the same
question in any order and process. Unknown content gets labeled placeholder text.
"""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations, product

from glan_core.teachers.scripted.exercises import exercise_text
from glan_core.teachers.scripted.question_forms import QuestionForm, forms_for
from glan_core.teachers.scripted.relations import connected, related
from glan_core.teachers.scripted.textbook import Entry, textbook

SCAFFOLD = "[scaffold]"
_SCAFFOLD_ONE = (
    '{tag} In "{subject}" ({discipline}), what is meant by {all}, and what would be a good example?',
    '{tag} How would one explain {all} to somebody who is new to "{subject}" ({discipline})?',
    '{tag} Which mistakes are common when somebody first meets {all} in "{subject}" ({discipline})?',
)
_SCAFFOLD_SEVERAL = (
    '{tag} In "{subject}" ({discipline}), how are {all} connected?',
    '{tag} Which problem from "{subject}" ({discipline}) calls for {all} together?',
    '{tag} How do {all} differ, as they are understood in "{subject}" ({discipline})?',
)

# The concepts that a field of a form quotes; an exercise does not tell to which concept it belongs.
_CONCEPTS_OF = {
    "any": "all", "case_a": "a", "claim_a": "a", "claims_a": "a", "case_b": "b", "claim_b": "b", "claims_b": "b", "exercise_a": "",
    "exercise_b": "",
}  # fmt: skip
RELATED_SHARE = 0.7  # of the questions about concepts of which some are related directly; two of these then lead


@dataclass(frozen=True)
class FormFields:
    """The fields of forms for some concepts.

    Attributes:
        count: 'one', 'joint' or 'across', as in `QuestionForm`.
        groups: The concepts of the fields that list concepts.
        values: The text of every field; '' if it is not available.
    """

    count: str
    groups: Mapping[str, Sequence[Entry]]
    values: Mapping[str, str]

    def suit(self, form: QuestionForm) -> bool:
        """Return whether a form names all concepts, has all its fields, and asks for a relation only where there is one."""
        named = {entry.order for field in form.fields for entry in self.groups.get(_CONCEPTS_OF.get(field, field), ())}
        if len(named) < len(self.groups["all"]) or not all(self.values[field] for field in form.fields):
            return False
        if form.joins == "ab":
            return related(*self.groups["ab"])
        return not form.joins or connected(self.groups[form.joins])

    def question(self, form: QuestionForm) -> str:
        """Return the question in a form."""
        text = form.text.format(**self.values)
        return text[0].upper() + text[1:]


def write_question(discipline: str, subject: str, concepts: Sequence[str], *, pair: bool) -> str:
    """Return a self-contained question, the same for the same concepts in any order."""
    entries = [entry for name in concepts if (entry := textbook().concept(subject, name))]
    if not entries or len(entries) < len(concepts):
        return _scaffold_question(discipline, subject, concepts)
    entries.sort(key=lambda entry: entry.order)
    draw = random.Random("|".join([subject.lower(), *(entry.term.lower() for entry in entries)]))
    fields = form_fields(entries, draw, pair=pair)
    return fields.question(
        draw.choice([form for form in forms_for(fields.count, entries[0].subject.level) if fields.suit(form)])
    )


def form_fields(entries: Sequence[Entry], draw: random.Random, *, pair: bool) -> FormFields:
    """Draw the leading concepts, cases, claims and exercises for a question about concepts in teaching order."""
    first = [entry for entry in entries if entry.topic == entries[0].topic]
    second = [entry for entry in entries if entry.topic != entries[0].topic]
    if len(entries) == 1:
        count, a, b = "one", entries[0], entries[0]
    elif pair and second:
        count, (a, b) = "across", _leaders(list(product(first, second)), draw)
    else:
        count, (a, b) = "joint", _leaders(list(permutations(entries, 2)), draw)
    groups = {
        "a": [a], "b": [b], "ab": [a, b], "all": entries, "first": first, "second": second, "rest_a": _without(entries, a),
        "rest_b": _without(entries, b), "others": _without(entries, a, b),
    }  # fmt: skip
    values = _leading("a", a, draw) | _leading("b", b, draw)
    values |= {name: _phrases(group) for name, group in groups.items()}
    values |= {
        "field": a.subject.field,
        "any": listed(_each(entries), "or"),
        "topic_1": a.session.name,
        "topic_2": b.session.name,
    }
    return FormFields(count, groups, values)


def _leaders(pairs: Sequence[tuple[Entry, Entry]], draw: random.Random) -> tuple[Entry, Entry]:
    """Draw the two leading concepts, more often than not related ones."""
    close = [pair for pair in pairs if related(*pair)]
    return draw.choice(close if close and draw.random() < RELATED_SHARE else pairs)


def _without(entries: Sequence[Entry], *excluded: Entry) -> list[Entry]:
    return [entry for entry in entries if entry not in excluded]


def _leading(letter: str, entry: Entry, draw: random.Random) -> dict[str, str]:
    """Return the form fields of one leading concept."""
    cases = draw.sample(entry.concept.examples, 2)
    claims = draw.sample((entry.concept.true_claim.claim, entry.concept.false_claim.claim), 2)
    return {
        f"case_{letter}": cases[0].situation, f"other_case_{letter}": cases[1].situation,
        f"claim_{letter}": claims[0], f"claims_{letter}": f'First statement: "{claims[0]}" Second statement: "{claims[1]}"',
        f"exercise_{letter}": exercise_text(entry, draw),
    }  # fmt: skip


def _scaffold_question(discipline: str, subject: str, concepts: Sequence[str]) -> str:
    names = sorted(concepts)
    draw = random.Random("|".join([subject.lower(), *(name.lower() for name in names)]))
    form = draw.choice(_SCAFFOLD_ONE if len(names) == 1 else _SCAFFOLD_SEVERAL)
    return form.format(tag=SCAFFOLD, subject=quotable(subject), discipline=quotable(discipline), all=listed(map(quote, names)))


def _phrases(entries: Iterable[Entry]) -> str:
    return listed(_each(entries))


def _each(entries: Iterable[Entry]) -> list[str]:
    return [entry.phrase for entry in entries]


def listed(items: Iterable[str], conjunction: str = "and") -> str:
    """Join items: 'A', 'A and B', 'A, B and C'."""
    *head, last = list(items) or [""]
    return f"{', '.join(head)} {conjunction} {last}" if head else last


def quotable(text: str) -> str:
    """Return a text that can stand in double quotes."""
    return text.replace('"', "'")


def quote(name: str) -> str:
    """Return a name in double quotes."""
    return f'"{quotable(name)}"'
