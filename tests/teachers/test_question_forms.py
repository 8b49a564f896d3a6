"""Every form of questions is answered in every discipline: each named concept, quoted case and claim, and each part that it asks for."""

import random
import re

import pytest

from glan_core.teachers.scripted.answers import write_answer
from glan_core.teachers.scripted.homework import FormFields, form_fields
from glan_core.teachers.scripted.question_forms import QuestionForm, question_forms
from glan_core.teachers.scripted.textbook import Entry, textbook

SUBJECTS = [subject for discipline in textbook().disciplines for subject in discipline.subjects]
SETS = 4  # of concepts per number of concepts and subject


def entries_of(subject) -> list[list[Entry]]:
    """Return the concepts of a subject by session."""
    return [[textbook().concept(subject.name, concept.name) for concept in session.concepts] for session in subject.sessions]


def fields_of(subject) -> list[FormFields]:
    """Return the fields of forms for a fixed sample of sets of one to five concepts."""
    draw, sessions = random.Random(subject.name), entries_of(subject)
    found = []
    for _ in range(SETS):
        session, first, second = draw.choice(sessions), *sorted(draw.sample(range(len(sessions)), 2))
        found.append(form_fields([draw.choice(session)], draw, pair=False))
        for size in (2, 3, 4):
            joint = sorted(draw.sample(session, size), key=lambda entry: entry.order)
            across = [draw.choice(sessions[first]), draw.choice(sessions[second])]
            rest = [entry for entry in sessions[first] + sessions[second] if entry not in across]
            across = sorted(across + draw.sample(rest, size - 2), key=lambda entry: entry.order)
            found += [form_fields(joint, draw, pair=False), form_fields(across, draw, pair=True)]
    return found


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)
def test_answers_cover_what_their_forms_ask(subject):
    fields = fields_of(subject)
    answered = 0
    for form in question_forms():
        for one in [one for one in fields if one.count == form.count and one.suit(form)][:2]:
            check(form, one)
            answered += 1
    assert answered > 200, "most forms must suit some of the sampled concepts"


def test_every_form_is_answered_in_some_subject():
    fields = [one for subject in SUBJECTS for one in fields_of(subject)]
    assert not [form.text for form in question_forms() if not any(one.count == form.count and one.suit(form) for one in fields)]


def check(form: QuestionForm, fields: FormFields) -> None:
    """Assert that the answer to a question contains all that the question asks for, and nothing else of its kind."""
    question = fields.question(form)
    answer = write_answer(question)
    about = f"{question}\n\n{answer}"
    entries = fields.groups["all"]
    asked = {(part, entry.order) for part, name in form.asks for entry in fields.groups[name]}
    for entry in entries:
        concept = entry.concept
        assert concept.name.lower() in answer.lower(), (concept.name, about)
        for part, text in (("meaning", concept.definition[-60:-1]), ("significance", concept.significance)):
            assert text in answer or (part, entry.order) not in asked, (part, concept.name, about)
        examples = [e for e in concept.examples if e.situation not in question and f"{e.situation} {e.analysis}" in answer]
        assert bool(examples) == (("example", entry.order) in asked), ("example", concept.name, about)
        assert (concept.mistake.correction in answer) == (("mistake", entry.order) in asked), ("mistake", concept.name, about)
        for case in concept.examples:
            assert case.situation not in question or case.analysis in answer, ("case", concept.name, about)
            if case.situation in question and ("choice", entry.order) in asked:
                assert entry.phrase.lower() in paragraph_of(case.analysis, answer).split(case.analysis[:20])[0].lower(), about
        for claim, words in ((concept.true_claim, TRUE), (concept.false_claim, FALSE)):
            if claim.claim in question:
                assert re.search(words, verdict(claim.reason, answer), re.IGNORECASE), (claim.claim, about)
    joined = [entry for part, name in form.asks if part == "relation" for entry in fields.groups[name]]
    relations = " ".join(said_relations(entries[0].subject, answer)).lower()
    assert all(entry.concept.name.lower() in relations for entry in joined), ("relation", about)
    for topic in {entry.session.name for entry in entries} if any(part == "topics" for part, _ in form.asks) else ():
        assert f'"{topic}"' in answer, ("topic", about)


TRUE = r"\b(?:true|right|correct|yes|holds?|agree|both|only)\b"
FALSE = r"\b(?:false|wrong|incorrect|not?|neither|misconception|disagree|only)\b"


def paragraph_of(text: str, answer: str) -> str:
    return next(paragraph for paragraph in answer.split("\n\n") if text in paragraph)


def verdict(reason: str, answer: str) -> str:
    """Return the words around the reason of a claim, and the sentence that opens a verdict on two claims."""
    assert reason in answer, answer
    around = paragraph_of(reason, answer).replace(reason, " ")
    opening = re.findall(r"^(?:Both|Neither|Yes to|No to|The first (?:statement|claim)|Only the)[^\n]*$", answer, re.MULTILINE)
    return " ".join([around, *opening])


def said_relations(subject, answer: str) -> list[str]:
    """Return the relations of a subject that an answer states."""
    relations = [
        relation.relation for session in subject.sessions for concept in session.concepts for relation in concept.relations
    ]
    return [relation for relation in relations if relation in answer]


def test_concepts_without_a_connection_are_named():
    apart = write_answer("How are a tectonic plate and El Niño connected in earth science?")
    assert re.search(r"(?:no close link|No direct connection)[^.]* a tectonic plate and El Niño", apart), apart
    some = write_answer("In earth science, how are a tectonic plate, the lithosphere and El Niño related?")
    assert re.search(r"(?:no|No) [^.]*El Niño", some) and "Each tectonic plate is a piece of the lithosphere." in some


def test_a_chain_names_the_concept_between():
    answer = write_answer("How are the buoyant force and Bernoulli's principle connected in physics?")
    assert "hydrostatic pressure" in answer.split("\n\n")[-1].split(".")[0]


@pytest.mark.parametrize("why", ["Why should anyone know about", "Why does one need", "Why is it important to know"])
def test_reasons_to_know_a_concept_are_its_significance(why):
    concept = textbook().concept("Music theory", "Triad").concept
    assert concept.significance in write_answer(f"{why} a triad in music theory?")


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
        assert re.search(r"mistake|error|wrong|avoid|slip", around), (entry.phrase, answer)
