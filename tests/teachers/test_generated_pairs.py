"""Pairs of the scripted teacher as a data set: no faults that the quality filters know, little repetition, natural wording.

The rows are those of a run with default settings, in the order in which the Homework page lists them.
"""

import re
from collections import Counter, defaultdict
from itertools import islice

import pytest

from glan_core.dataset import language_rules, quality_rules, question_rules
from glan_core.dataset.duplicate_finder import DuplicateFinder
from glan_core.homework.concept_sampling import draws
from glan_core.ids import derive, name_key, syllabus_id
from glan_core.teachers.scripted.answers import write_answer
from glan_core.teachers.scripted.homework_plan import planned, write_question
from glan_core.teachers.scripted.textbook import textbook

PER_SUBJECT = 240
APART = 50  # rows between two uses of a case, claim, mistake or definition
SUBJECTS = [(discipline, subject) for discipline in textbook().disciplines for subject in discipline.subjects]
RULES = (
    quality_rules.refusal, quality_rules.as_an_ai, quality_rules.cut, quality_rules.short, question_rules.depends,
    question_rules.hand_in, quality_rules.loop, language_rules.language,
)  # fmt: skip
# Sentences that an earlier teacher put before or after the substance of its answers and questions.
STOCK = (
    "A case that involves", "To illustrate", "With regard to", "The case can be read", "one has to think of", "What one needs for",
    "That leaves the", "Now to the", "Back to the", "The key term", "Seen in the light", "The terms first", "Let me begin",
)  # fmt: skip


def rows_of(discipline, subject, *, seed: int, name: str, number: int) -> list[tuple[str, str]]:
    """Return the first questions and answers of a run with a seed."""
    found = []
    sizes = [len(session.concepts) for session in subject.sessions]
    for draw in islice(draws(sizes, seed=seed, name=name), number):
        names = [subject.sessions[session].concepts[concept].name for session, concept in draw.concepts]
        question = write_question(discipline.name, subject.name, names, pair=draw.strategy == "pair")
        found.append((question, write_answer(question)))
    return found


@pytest.fixture(scope="module")
def by_subject() -> dict[str, list[tuple[str, str]]]:
    """Return the rows of a run with default settings by subject."""
    return {
        subject.name: rows_of(
            discipline, subject, seed=0, number=PER_SUBJECT,
            name=syllabus_id(derive("sub", discipline.discipline, name_key(subject.name))),
        )
        for discipline, subject in SUBJECTS
    }  # fmt: skip


@pytest.fixture(scope="module")
def pairs(by_subject) -> list[tuple[str, str]]:
    """Return the rows of all subjects."""
    return [pair for rows in by_subject.values() for pair in rows]


@pytest.mark.long
def test_no_quality_filter_flags_a_pair(pairs):
    assert not [(rule.__name__, question) for question, answer in pairs for rule in RULES if rule(question, answer)]


def test_no_long_sentence_is_in_two_percent_of_the_pairs(pairs):
    found = Counter(
        sentence
        for pair in pairs
        for sentence in set(re.split(r"(?<=[.!?])\s+", " ".join(pair)))
        if len(sentence.split()) >= 10
    )
    (sentence, number), *_ = found.most_common(1)
    assert number < 0.02 * len(pairs), sentence


def test_questions_differ_and_fewer_than_two_percent_are_near_duplicates(pairs, tmp_path):
    assert len({question for question, _ in pairs}) > 0.999 * len(pairs)  # a concept may occur in two disciplines
    with DuplicateFinder(0.7, tmp_path) as finder:
        finder.add([(nth, question) for nth, (question, _) in enumerate(pairs)])
        assert len(list(finder.repeats())) < 0.02 * len(pairs)


@pytest.mark.parametrize("subject", [subject for _, subject in SUBJECTS], ids=lambda subject: subject.name)
def test_content_recurs_after_fifty_rows_at_the_earliest(by_subject, subject):
    concepts = [concept for session in subject.sessions for concept in session.concepts]
    texts = {
        text
        for concept in concepts
        for text in (
            concept.definition, concept.true_claim.reason, concept.false_claim.reason, concept.mistake.correction,
            *(case.situation for case in concept.examples),
        )
    }  # fmt: skip
    last: dict[str, int] = {}
    for row, pair in enumerate(by_subject[subject.name]):
        for text in texts:
            if text in " ".join(pair):
                assert row - last.get(text, -APART) >= APART, (row, text)
                last[text] = row
    assert len(last) > 0.8 * len(texts), "most of the textbook is used"


def test_a_run_with_another_seed_repeats_little_too(tmp_path):
    discipline, subject = next(one for one in SUBJECTS if one[1].name == "Music theory")
    rows = rows_of(discipline, subject, seed=7, name="elsewhere", number=100)
    with DuplicateFinder(0.7, tmp_path) as finder:
        finder.add([(nth, question) for nth, (question, _) in enumerate(rows)])
        assert len(list(finder.repeats())) <= 5


def test_no_form_makes_a_twentieth_and_claims_are_as_often_true_as_false(pairs):
    forms: Counter[str] = Counter()
    for _, subject in SUBJECTS:
        forms.update(candidate.form.text for candidate in islice(planned(subject.name).values(), PER_SUBJECT))
    assert len(forms) >= 60 and max(forms.values()) < 0.05 * sum(forms.values()), forms.most_common(3)
    claims: Counter[str] = Counter()
    quoted = " ".join(question for question, _ in pairs).lower()
    for _, subject in SUBJECTS:
        for concept in (concept for session in subject.sessions for concept in session.concepts):
            for kind, claim in (("true", concept.true_claim), ("false", concept.false_claim)):
                claims[kind] += quoted.count(claim.claim.rstrip(".").lower())
    assert abs(claims["true"] - claims["false"]) < 0.05 * sum(claims.values()), claims


def test_a_form_does_not_recur_within_ten_rows():
    for _, subject in SUBJECTS:
        last: dict[str, int] = defaultdict(lambda: -100)
        close = 0
        for row, candidate in enumerate(planned(subject.name).values()):
            close += row - last[candidate.form.text] < 10
            last[candidate.form.text] = row
        assert close < 0.05 * len(planned(subject.name)), subject.name


def test_answers_begin_with_their_substance(pairs):
    openings = Counter(" ".join(answer.split()[:3]) for _, answer in pairs)
    (opening, number), *_ = openings.most_common(1)
    assert number < 0.025 * len(pairs), opening
    assert not [phrase for phrase in STOCK for pair in pairs if phrase in " ".join(pair)]


def test_filled_in_questions_are_grammatical(pairs):
    faults = re.compile(
        r"\ba (?=[aeio]\w|u[bmnp]\w)(?!one|once|eu|uni|U)|\ban (?=[b-df-gj-np-tv-z]\w{2})|\b(\w+) \1\b(?! \1)|[.?!][.?]|\? [a-z]"
        r"|(?:wrong with|avoid|instead of|that|call|term for) [A-Z][a-z]+ing\b|\bis (?:the )?\w+ (?:precautions|damages|fifths)\b"
    )
    allowed = re.compile(
        r"\$[^$]*\$|\"[^\"]*\"|'[^']*'|`[^`]*`|\.\.\.|that that|had had|second second|very very|heads heads|\w+-\w+"
    )
    found = [question for question, _ in pairs if faults.search(allowed.sub("§", question))]
    assert not found, found[:5]
