"""Every form of questions is answered in every discipline: each quoted case, claim and mistake, and each part that it asks for."""

import random
import re
from collections import Counter
from itertools import islice

import pytest

from glan_core.teachers.scripted.answers import write_answer
from glan_core.teachers.scripted.homework import Candidate, candidates, example_for
from glan_core.teachers.scripted.question_forms import question_forms
from glan_core.teachers.scripted.question_reading import read_question
from glan_core.teachers.scripted.textbook import Entry, textbook

SUBJECTS = [subject for discipline in textbook().disciplines for subject in discipline.subjects]
SETS, EACH = 6, 40  # sets of concepts per number of concepts and subject, and questions of each


def candidates_of(subject) -> list[Candidate]:
    """Return questions on a fixed sample of sets of one to four concepts."""
    draw = random.Random(subject.name)
    sessions = [
        [textbook().concept(subject.name, concept.name) for concept in session.concepts] for session in subject.sessions
    ]
    found: list[Candidate] = []
    for _ in range(SETS):
        session, (first, second) = draw.choice(sessions), sorted(draw.sample(range(len(sessions)), 2))
        sets = [
            ([draw.choice(session)], False),
            (sorted(draw.sample(session, draw.randint(2, 4)), key=lambda entry: entry.order), False),
            ([draw.choice(sessions[first]), draw.choice(sessions[second])], True),
        ]
        for entries, pair in sets:
            found += islice(candidates(entries, pair=pair), EACH)
    return found


@pytest.mark.long
@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)
def test_answers_cover_what_their_forms_ask(subject):
    for candidate in candidates_of(subject):
        assert all(entry.subject is subject for entry in read_question(candidate.text).entries), candidate.text
        check(candidate)


def test_nearly_every_form_is_used_in_some_subject():
    used = {candidate.form for subject in SUBJECTS for candidate in candidates_of(subject)}
    assert len(used) > 0.95 * len(question_forms())


def check(candidate: Candidate) -> None:
    """Assert that the answer to a question contains all that the question asks for, and nothing else of its kind."""
    question, answer = candidate.text, write_answer(candidate.text)
    about = f"{question}\n\n{answer}"
    reading = read_question(question)
    asked = Counter(part for task in reading.tasks for part in [task.part] * len(task.entries))
    wanted = Counter(part for part, group in candidate.form.asks for _ in range(2 if group == "ab" else 1))
    del asked["quoted"], asked["exercise"]
    assert reading.choice == (wanted.pop("choice", 0) > 0) and asked == wanted, about
    for task in reading.tasks:
        for entry in task.entries:
            check_part(task.part, entry, question, answer, about)
    for entry in reading.entries:
        concept = entry.concept
        for case in concept.examples:
            assert case.situation not in question or case.analysis in answer, ("case", concept.name, about)
        for claim, words in ((concept.true_claim, TRUE), (concept.false_claim, FALSE)):
            if claim.claim.rstrip(".").lower() in question.lower():
                assert re.search(words, verdict(claim.reason, answer), re.IGNORECASE), (claim.claim, about)


def check_part(part: str, entry: Entry, question: str, answer: str, about: str) -> None:
    """Assert that an answer contains one part on a concept."""
    concept = entry.concept
    texts = {
        "meaning": concept.definition[-40:-1], "significance": concept.significance[-40:], "mistake": concept.mistake.correction,
        "card": concept.definition, "problem": example_for(entry, question).analysis, "example": example_for(entry, question).analysis,
    }  # fmt: skip
    assert texts.get(part, "") in answer, (part, concept.name, about)
    if part == "relation":
        said = [relation.relation for session in entry.subject.sessions for c in session.concepts for relation in c.relations]
        assert any(text in answer and concept.name.lower() in text.lower() for text in said), (part, concept.name, about)


TRUE = r"\b(?:true|right|correct|yes)\b"
FALSE = r"\b(?:false|wrong|incorrect|not?|misconception)\b"


def paragraph_of(text: str, answer: str) -> str:
    return next(paragraph for paragraph in answer.split("\n\n") if text in paragraph)


def verdict(reason: str, answer: str) -> str:
    """Return the words around the reason of a claim."""
    assert reason in answer, answer
    return paragraph_of(reason, answer).replace(reason, " ")


def test_a_question_does_not_depend_on_what_was_asked_before():
    entries = [textbook().concept("Music theory", "Triad")]
    first = [candidate.text for candidate in islice(candidates(entries, pair=False), 10)]
    assert first == [candidate.text for candidate in islice(candidates(entries, pair=False), 10)]


def test_concepts_without_a_connection_are_named():
    apart = write_answer("How are a tectonic plate and El Niño connected in earth science?")
    assert re.search(r"(?:no close link|No direct connection)[^.]* a tectonic plate and El Niño", apart), apart
    some = write_answer("In earth science, how are a tectonic plate, the lithosphere and El Niño related?")
    assert (
        re.search(r"(?:no|No) .*El Niño|El Niño there is no", some)
        and "Each tectonic plate is a piece of the lithosphere." in some
    )


def test_a_chain_names_the_concept_between():
    answer = write_answer("How are the buoyant force and Bernoulli's principle connected in physics?")
    assert "hydrostatic pressure" in answer.split("\n\n")[-1].split(".")[0]


def test_an_answer_keeps_the_labels_and_the_order_of_its_question():
    a, b = (textbook().concept("Music theory", name).concept for name in ("Beating", "Formant"))
    claim, case = a.false_claim, b.examples[0]
    answer = write_answer(f"(a) {case.situation} {case.question} (b) True or false: {claim.claim}")
    assert answer == f"(a) {case.analysis}\n\n(b) False. {claim.reason}"


def test_the_case_and_its_question_are_answered_by_the_analysis_alone():
    for entry in textbook().entries():
        for case in entry.concept.examples:
            assert write_answer(f"{case.situation} {case.question}") == case.analysis


@pytest.mark.parametrize("why", ["Why should anyone know about", "Why does one need", "Why is it important to know"])
def test_reasons_to_know_a_concept_are_its_significance(why):
    concept = textbook().concept("Music theory", "Triad").concept
    assert concept.significance.split(" ", 1)[1] in write_answer(f"{why} a triad in music theory?")


def test_what_is_asked_of_one_concept_is_not_answered_for_others():
    answer = write_answer("Name a common mistake with beating in music theory. Then explain a formant, with an example.")
    beating, formant = (textbook().concept("Music theory", name).concept for name in ("Beating", "Formant"))
    assert beating.mistake.correction in answer and formant.mistake.correction not in answer
    assert any(e.analysis in answer for e in formant.examples) and not any(e.analysis in answer for e in beating.examples)


def test_a_mistake_never_stands_as_a_statement():
    for entry in textbook().entries():
        mistake = entry.concept.mistake
        answer = write_answer(f"Which mistake do learners of {entry.subject.field} make with {entry.phrase}?")
        said = mistake.mistake if mistake.mistake in answer else mistake.mistake[1:]
        around = paragraph_of(mistake.correction, answer).replace(said, " ").replace(mistake.correction, " ")
        assert re.search(r"mistake|error|wrong|avoid", around), (entry.phrase, answer)


def test_a_name_of_two_disciplines_means_the_one_that_knows_all_names():
    answer = write_answer("What is traceability, and what is a HACCP plan?")
    assert all(
        textbook().concept("Food processing and safety", n).concept.definition in answer for n in ("Traceability", "HACCP plan")
    )
