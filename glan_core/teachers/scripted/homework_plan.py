"""Plan of the scripted teacher's homework: which question each combination of concepts gets along the draws of a run.

A teacher call sees only the concepts of one question. To keep a case or definition from recurring within a few rows, the questions
of the first draws of a run with default settings are chosen one after the other: of several candidates the one whose content and
form have not occurred for the longest time. Combinations outside this sequence get their first candidate.
"""

from collections import Counter
from collections.abc import Sequence
from functools import cache
from itertools import islice

from glan_core.homework.concept_sampling import draw_key, draws
from glan_core.ids import derive, name_key, syllabus_id
from glan_core.teachers.scripted.homework import Candidate, Piece, candidates, known_entries, scaffold_question
from glan_core.teachers.scripted.question_forms import QuestionForm
from glan_core.teachers.scripted.textbook import Entry, Subject, textbook

ROWS = 400  # planned questions per subject
SPACING = 60  # rows before a piece of the textbook may recur
FORM_SPACING = 15  # rows before a form should recur
CHOICE = 48  # candidates per row


def write_question(discipline: str, subject: str, concepts: Sequence[str], *, pair: bool) -> str:
    """Return a self-contained question, the same for the same concepts in any order."""
    entries = known_entries(subject, concepts)
    if not entries:
        return scaffold_question(discipline, subject, concepts)
    known = planned(entries[0].subject.name).get(draw_key([_place(entry) for entry in entries]))
    return (known or next(candidates(entries, pair=pair))).text


@cache
def planned(name: str) -> dict[str, Candidate]:
    """Return the questions of the first draws of a subject by the keys of their combinations, in the order of the draws."""
    discipline, subject = next((d, s) for d in textbook().disciplines for s in d.subjects if s.name == name)
    syllabus = syllabus_id(derive("sub", discipline.discipline, name_key(subject.name)))
    history, chosen = _History(), {}
    for draw in islice(draws([len(s.concepts) for s in subject.sessions], seed=0, name=syllabus), ROWS):
        entries = known_entries(name, [_name(subject, place) for place in draw.concepts])
        offered = islice(candidates(entries, pair=draw.strategy == "pair"), CHOICE)
        chosen[draw.key] = min(offered, key=history.cost)
        history.add(chosen[draw.key])
    return chosen


class _History:
    """What the questions so far contain, and what one more of them would cost."""

    def __init__(self) -> None:
        self._row = 0
        self._last: dict[Piece, int] = {}
        self._uses: Counter[Piece] = Counter()
        self._texts: set[str] = set()
        self._forms: Counter[QuestionForm] = Counter()
        self._form_last: dict[QuestionForm, int] = {}
        self._surplus = 0  # of true claims over false ones

    def cost(self, candidate: Candidate) -> float:
        """Return how much a question repeats: recent content above all, then content of any age, then forms."""
        form = candidate.form
        close = sum(self._row - self._last.get(piece, -SPACING) < SPACING for piece in candidate.pieces)
        repeated = max((self._uses[piece] for piece in candidate.pieces), default=0)
        crowded = self._row - self._form_last.get(form, -FORM_SPACING) < FORM_SPACING
        share = self._forms[form] / form.weight
        bias = self._surplus * _surplus(candidate)
        known = candidate.text in self._texts
        return 3000 * known + 1000 * close + 20 * repeated + 15 * crowded + 6 * share + 4 * bias

    def add(self, candidate: Candidate) -> None:
        """Add a question as the next row."""
        self._texts.add(candidate.text)
        self._uses.update(candidate.pieces)
        self._last |= dict.fromkeys(candidate.pieces, self._row)
        self._forms[candidate.form] += 1
        self._form_last[candidate.form] = self._row
        self._surplus += _surplus(candidate)
        self._row += 1


def _surplus(candidate: Candidate) -> int:
    """Return how many more true than false claims a question contains."""
    return sum(2 * nth - 1 for kind, _, nth in candidate.pieces if kind == "claim")


def _place(entry: Entry) -> tuple[int, int]:
    """Return the session and the number of a concept within it."""
    return entry.topic, entry.session.concepts.index(entry.concept)


def _name(subject: Subject, place: tuple[int, int]) -> str:
    session, concept = place
    return subject.sessions[session].concepts[concept].name
