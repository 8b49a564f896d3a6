"""Pairs of the scripted teacher as a data set: no faults that the quality filters know, few repeated sentences and near-duplicates."""

import re
from collections import Counter
from itertools import islice

import pytest

from glan_core.dataset import language_rules, quality_rules, question_rules
from glan_core.dataset.near_duplicate_job import DuplicateFinder
from glan_core.homework.concept_sampling import draws
from glan_core.teachers.scripted.answers import write_answer
from glan_core.teachers.scripted.homework import write_question
from glan_core.teachers.scripted.textbook import textbook

PER_SUBJECT = 60
RULES = (
    quality_rules.refusal, quality_rules.as_an_ai, quality_rules.cut, quality_rules.short, question_rules.depends,
    question_rules.hand_in, quality_rules.loop, language_rules.language,
)  # fmt: skip


@pytest.fixture(scope="module")
def pairs() -> list[tuple[str, str]]:
    """Return questions and answers of all subjects, with the concepts drawn as in a run."""
    found = []
    for discipline in textbook().disciplines:
        for subject in discipline.subjects:
            sizes = [len(session.concepts) for session in subject.sessions]
            for draw in islice(draws(sizes, seed=1, name=subject.name), PER_SUBJECT):
                names = [subject.sessions[session].concepts[concept].name for session, concept in draw.concepts]
                question = write_question(discipline.name, subject.name, names, pair=draw.strategy == "pair")
                found.append((question, write_answer(question)))
    return found


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


def test_fewer_than_two_percent_of_the_questions_are_near_duplicates(pairs, tmp_path):
    with DuplicateFinder(0.7, tmp_path) as finder:
        finder.add([(nth, question) for nth, (question, _) in enumerate(pairs)])
        assert len(list(finder.repeats())) < 0.02 * len(pairs)


def test_paragraphs_of_answers_begin_differently(pairs):
    openings = Counter()
    for _, answer in pairs:
        openings.update({" ".join(re.sub(r"[*\d.]", "", text).split()[:4]) for text in answer.split("\n\n")})
    (opening, number), *_ = openings.most_common(1)
    assert number < 0.06 * len(pairs), opening
