"""Questions of the scripted teacher, built from the textbook's cases, claims and exercises.

The form of a question and what it quotes are chosen by a stable hash of its concepts, so that the same concepts give the same
question in any order and process. Unknown content gets labeled placeholder text.
"""

import random
from collections.abc import Iterable, Sequence

from glan_core.teachers.scripted.exercises import exercise_text
from glan_core.teachers.scripted.question_forms import QuestionForm, forms_for
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

_ALSO = (" Also explain what is meant by {}.", " Then explain {}.", " Include what is meant by {}.", " Finally, define {}.")


def write_question(discipline: str, subject: str, concepts: Sequence[str], *, pair: bool) -> str:
    """Return a self-contained question, the same for the same concepts in any order."""
    entries = [entry for name in concepts if (entry := textbook().concept(subject, name))]
    if not entries or len(entries) < len(concepts):
        return _scaffold_question(discipline, subject, concepts)
    entries.sort(key=lambda entry: entry.order)
    draw = random.Random("|".join([subject.lower(), *(entry.term.lower() for entry in entries)]))
    first = [entry for entry in entries if entry.topic == entries[0].topic]
    second = [entry for entry in entries if entry.topic != entries[0].topic]
    if len(entries) == 1:
        count, a, b = "one", entries[0], entries[0]
    elif pair and second:
        count, a, b = "across", draw.choice(first), draw.choice(second)
    else:
        count, (a, b) = "joint", draw.sample(entries, 2)
    quoted = _leading("a", a, draw) | _leading("b", b, draw)
    exercises = frozenset(name for name in ("exercise_a", "exercise_b") if quoted[name])
    form = draw.choice(forms_for(count, a.subject.level, exercises))
    text = form.text.format(
        **quoted, subject=a.subject_term, all=_phrases(entries), rest=_phrases(entry for entry in entries if entry is not a),
        first=_phrases(first), second=_phrases(second), topic_1=a.session.name, topic_2=b.session.name,
    )  # fmt: skip
    unnamed = [entry for entry in entries if entry not in _named(form, entries, a, b)]
    return text + (draw.choice(_ALSO).format(_phrases(unnamed)) if unnamed else "")


def _named(form: QuestionForm, entries: Sequence[Entry], a: Entry, b: Entry) -> list[Entry]:
    """Return the concepts that a form names or quotes."""
    if "all" in form.fields:
        return list(entries)
    named = [entry for letter, entry in (("a", a), ("b", b)) if {letter, f"case_{letter}", f"claim_{letter}"} & form.fields]
    named += [entry for entry in entries if "rest" in form.fields and entry is not a]
    named += [entry for entry in entries if "first" in form.fields and entry.topic == entries[0].topic]
    return named + [entry for entry in entries if "second" in form.fields and entry.topic != entries[0].topic]


def _leading(letter: str, entry: Entry, draw: random.Random) -> dict[str, str]:
    """Return the form fields of one leading concept."""
    cases = draw.sample(entry.concept.examples, 2)
    claims = draw.sample((entry.concept.true_claim.claim, entry.concept.false_claim.claim), 2)
    return {
        letter: entry.phrase, f"case_{letter}": cases[0].situation, f"other_case_{letter}": cases[1].situation,
        f"claim_{letter}": claims[0], f"claims_{letter}": f'First statement: "{claims[0]}" Second statement: "{claims[1]}"',
        f"exercise_{letter}": exercise_text(entry, draw),
    }  # fmt: skip


def _scaffold_question(discipline: str, subject: str, concepts: Sequence[str]) -> str:
    names = sorted(concepts)
    draw = random.Random("|".join([subject.lower(), *(name.lower() for name in names)]))
    form = draw.choice(_SCAFFOLD_ONE if len(names) == 1 else _SCAFFOLD_SEVERAL)
    return form.format(tag=SCAFFOLD, subject=quotable(subject), discipline=quotable(discipline), all=listed(map(quote, names)))


def _phrases(entries: Iterable[Entry]) -> str:
    return listed(entry.phrase for entry in entries)


def listed(items: Iterable[str]) -> str:
    """Join items: 'A', 'A and B', 'A, B and C'."""
    *head, last = list(items) or [""]
    return f"{', '.join(head)} and {last}" if head else last


def quotable(text: str) -> str:
    """Return a text that can stand in double quotes."""
    return text.replace('"', "'")


def quote(name: str) -> str:
    """Return a name in double quotes."""
    return f'"{quotable(name)}"'
