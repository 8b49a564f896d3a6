"""Questions of the scripted teacher, built from the textbook's cases, claims, mistakes and exercises.

The form of a question and what it quotes depend on its concepts alone, so that the same concepts give the same question in any
order and process. Along the draws of a run with default settings they are planned, so that nothing recurs too soon
(`homework_plan`); for other concepts they are chosen by a stable hash. Unknown content gets labeled placeholder text.
"""

import random
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice, permutations, product

from glan_core.teachers.scripted.definitions import called
from glan_core.teachers.scripted.exercises import exercise_text
from glan_core.teachers.scripted.question_forms import QuestionForm, forms_for
from glan_core.teachers.scripted.relations import contrasted, related
from glan_core.teachers.scripted.scaffold import SCAFFOLD
from glan_core.teachers.scripted.textbook import Claim, Entry, Example, shares_name, textbook

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
ONE_SHARE = 0.45  # of the questions on several concepts of one session that ask about one of them
RELATED_SHARE = 0.5  # of the questions about concepts of which some are related directly; two of these then lead
_TRIES, _FORMS = 20, 3  # forms drawn and forms used for the same content
_SHORT = 14  # words of a claim that can stand beside another one in a sentence
# A piece of the textbook in a question or its answer: its kind, the concept and which of several.
Piece = tuple[str, int, int]


@dataclass(frozen=True)
class FormFields:
    """The fields of forms for some concepts.

    Attributes:
        entries: The concepts.
        groups: The concepts of the fields in `QuestionForm.asks`.
        values: The text of every field; '' if it is not available.
        pieces: What each field quotes.
    """

    entries: Sequence[Entry]
    groups: Mapping[str, Sequence[Entry]]
    values: Mapping[str, str]
    pieces: Mapping[str, frozenset[Piece]]

    def suit(self, form: QuestionForm) -> bool:
        """Return whether a form has all its fields, asks for a relation only where there is one, and names the subject if need be."""
        if not all(self.values[field] for field in form.fields):
            return False
        if not (self.pieces.keys() | {"field"}) & form.fields and all(shares_name(entry) for entry in self.groups["ab"]):
            return False  # the names alone do not tell the discipline
        return not form.close or (contrasted if form.close == "contrast" else related)(*self.groups["ab"])

    def question(self, form: QuestionForm) -> str:
        """Return the question in a form."""
        text = form.text.format(**self.values)
        return text[0].upper() + text[1:]


@dataclass(frozen=True)
class Candidate:
    """A question that some concepts allow.

    Attributes:
        form: Its form.
        text: The question.
        pieces: What the question quotes and what its answer says, without exercises.
    """

    form: QuestionForm
    text: str
    pieces: frozenset[Piece]


def scaffold_question(discipline: str, subject: str, concepts: Sequence[str]) -> str:
    """Return labeled placeholder text for concepts that the textbook lacks."""
    names = sorted(concepts)
    draw = random.Random("|".join([subject.lower(), *(name.lower() for name in names)]))
    form = draw.choice(_SCAFFOLD_ONE if len(names) == 1 else _SCAFFOLD_SEVERAL)
    return form.format(tag=SCAFFOLD, subject=quotable(subject), discipline=quotable(discipline), all=listed(map(quote, names)))


def candidates(entries: Sequence[Entry], *, pair: bool) -> Iterator[Candidate]:
    """Yield questions on concepts in teaching order without end, the same ones for the same concepts."""
    draw = random.Random("|".join([entries[0].subject.name.lower(), *(entry.term.lower() for entry in entries)]))
    while True:
        one = len(entries) == 1 or (not pair and draw.random() < ONE_SHARE)
        chosen = [draw.choice(entries)] if one else list(entries)
        fields = form_fields(chosen, draw, pair=pair)
        count = "one" if one else "across" if pair else "joint"
        drawn = dict.fromkeys(draw.choices(*forms_for(count, entries[0].subject.level), k=_TRIES))
        for form in islice(filter(fields.suit, drawn), _FORMS):
            text = fields.question(form)
            yield Candidate(form, text, pieces_of(form, fields, text))


def form_fields(entries: Sequence[Entry], draw: random.Random, *, pair: bool) -> FormFields:
    """Draw the leading concepts, cases, claims and exercises for a question about concepts in teaching order."""
    first = [entry for entry in entries if entry.topic == entries[0].topic]
    second = [entry for entry in entries if entry.topic != entries[0].topic]
    if len(entries) == 1:
        a = b = entries[0]
    else:
        a, b = _leaders(list(product(first, second) if pair and second else permutations(entries, 2)), draw)
        if pair and draw.random() < 1 / 2:
            a, b = b, a
    values_a, pieces_a = _leading("a", a, draw)
    values_b, pieces_b = _leading("b", b, draw)
    values = values_a | values_b | {"field": a.subject.field, "any": listed(_shuffled_phrases(entries, draw), "or")}
    return FormFields(entries, {"a": [a], "b": [b], "ab": [a, b], "all": entries}, values, pieces_a | pieces_b)


def pieces_of(form: QuestionForm, fields: FormFields, question: str) -> frozenset[Piece]:
    """Return what a question quotes and what its answer says of the textbook."""
    found = {piece for field in form.fields for piece in fields.pieces.get(field, ())}
    for part, group in form.asks:
        for entry in fields.groups[group]:
            if part in ("example", "problem"):
                found.add(("case", entry.order, entry.concept.examples.index(example_for(entry, question))))
            elif part in ("meaning", "card"):
                found.add(("definition", entry.order, 0))
            elif part in ("significance", "mistake"):
                found.add((part, entry.order, 0))
        if part == "relation":
            one, other = sorted(entry.order for entry in fields.groups[group])
            found.add((part, one, other))
    return frozenset(found)


def example_for(entry: Entry, question: str) -> Example:
    """Return the case by which an answer illustrates a concept: one that the question does not quote, chosen by its text."""
    fresh = [case for case in entry.concept.examples if case.situation.lower() not in question.lower()]
    cases = fresh or list(entry.concept.examples)
    return cases[zlib.crc32(f"{question}{entry.term}".encode()) % len(cases)]


def _leaders(pairs: Sequence[tuple[Entry, Entry]], draw: random.Random) -> tuple[Entry, Entry]:
    """Draw the two leading concepts, more often than not related ones."""
    close = [pair for pair in pairs if related(*pair)]
    return draw.choice(close if close and draw.random() < RELATED_SHARE else pairs)


def _leading(letter: str, entry: Entry, draw: random.Random) -> tuple[dict[str, str], dict[str, frozenset[Piece]]]:
    """Return the form fields of one leading concept and what they quote."""
    nth, claims = draw.randrange(len(entry.concept.examples)), (entry.concept.true_claim, entry.concept.false_claim)
    values, pieces = _content(letter, entry, nth, draw.choice(claims))
    return values | {f"exercise_{letter}": exercise_text(entry, draw)}, pieces


@cache
def _content(letter: str, entry: Entry, nth: int, first: Claim) -> tuple[dict[str, str], dict[str, frozenset[Piece]]]:
    """Return the form fields of a leading concept, except exercises, for one of its cases and one of its claims first."""
    concept, order = entry.concept, entry.order
    truth = int(first is concept.true_claim)
    second = concept.false_claim if truth else concept.true_claim
    clause = entry.capitals.sentence_inside(first.claim)
    mistake = concept.mistake.mistake
    values = {
        letter: entry.phrase,
        f"is_{letter}": "are" if entry.plural else "is",
        f"does_{letter}": "do" if entry.plural else "does",
        f"it_{letter}": "they" if entry.plural else "it",
        f"case_{letter}": concept.examples[nth].situation,
        f"ask_{letter}": concept.examples[nth].question,
        f"claim_{letter}": first.claim,
        f"that_{letter}": clause,
        f"short_{letter}": clause if len(clause.split()) <= _SHORT else "",
        f"name_{letter}": "" if mistake.lower().startswith(concept.name.lower()) else concept.name,
        f"claim_1_{letter}": first.claim,
        f"claim_2_{letter}": second.claim,
        f"mistake_{letter}": "" if concept.mistake.is_gerund else mistake,
        f"doing_{letter}": (mistake[0].lower() + mistake[1:]).rstrip(".") if concept.mistake.is_gerund else "",
        f"called_{letter}": called(entry),
    }
    pieces: dict[str, set[Piece]] = {
        "case": {("case", order, nth)},
        "claim": {("claim", order, truth)},
        "that": {("claim", order, truth)},
        "short": {("claim", order, truth)},
        "claim_1": {("claim", order, 0), ("claim", order, 1)},
        "mistake": {("mistake", order, 0)},
        "doing": {("mistake", order, 0)},
        "called": {("definition", order, 0), ("significance", order, 0)},
        "exercise": {("exercise", order, 0)},
    }
    return values, {f"{name}_{letter}": frozenset(found) for name, found in pieces.items()}


def _shuffled_phrases(entries: Sequence[Entry], draw: random.Random) -> list[str]:
    return [entry.phrase for entry in draw.sample(list(entries), len(entries))]


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


def known_entries(subject: str, concepts: Sequence[str]) -> list[Entry]:
    """Return the concepts with these names in teaching order, [] if the textbook lacks one of them."""
    entries = [entry for name in concepts if (entry := textbook().concept(subject, name))]
    return sorted(entries, key=lambda entry: entry.order) if len(entries) == len(concepts) else []
