"""The scripted teacher answers every stage, from the textbook if possible, otherwise with labeled placeholders."""

import asyncio
import json
import random
import re
import subprocess
import sys
from collections import Counter
from itertools import combinations

import pytest

from glan_core.curriculum.curriculum_parsing import parse_sessions, parse_subjects
from glan_core.homework.question_parsing import parse_question
from glan_core.prompts import TAXONOMY_DRAFTS, prompt
from glan_core.reply_parsing import REFUSAL
from glan_core.teachers.contract import DecodingParams, estimate_tokens
from glan_core.teachers.scripted.exercises import EXERCISES, solve
from glan_core.teachers.scripted.question_forms import question_forms
from glan_core.teachers.scripted.question_reading import read_question
from glan_core.teachers.scripted.scripted_teacher import ScriptedTeacher, answer, pieces
from glan_core.teachers.scripted.textbook import FOLDER, textbook

SUBJECTS = [(discipline, subject) for discipline in textbook().disciplines for subject in discipline.subjects]
SUBJECT_NAMES = [subject.name for _, subject in SUBJECTS]
# 'above' refers to something outside the question unless an object follows, as in 'above the horizon'.
COURSE_REFERENCE = re.compile(
    r"\b(lecture|syllabus|session|in class|hand in|submit)\b|\babove\b(?! (?:a|an|the)\b)", re.IGNORECASE
)
SHARE_OF_PAIRS = 40


def chat(*turns: str) -> list[dict[str, str]]:
    """Build a chat with alternating user and teacher messages."""
    return [{"role": ("user", "assistant")[at % 2], "content": turn} for at, turn in enumerate(turns)]


def listed(names) -> str:
    return "\n".join(f"- {name}" for name in names)


def ask_subjects(discipline: str) -> tuple[str, list]:
    """Return the subjects of a discipline as free text and as records."""
    first = prompt("subjects_list").render(discipline=discipline, path="Somewhere", description=f"All about {discipline}.")
    text = answer(chat(first))
    return text, parse_subjects(answer(chat(first, text, prompt("subjects_format").render())))


def ask_syllabus(discipline: str, line) -> tuple[str, list]:
    """Return the syllabus of a subject and its sessions."""
    subtopics = listed(line.subtopics)
    values = {"discipline": discipline, "subject": line.subject_name}
    syllabus = answer(chat(prompt("syllabus").render(**values, level=line.level, subtopics=subtopics)))
    return syllabus, parse_sessions(answer(chat(prompt("sessions").render(**values, syllabus=syllabus))))


def ask_question(discipline: str, subject: str, sessions, concepts, syllabus: str = "A syllabus.") -> str:
    """Return a question generated with the real prompts, from one or two sessions."""
    name = "question_single" if len(sessions) == 1 else "question_pair"
    return answer(
        chat(
            prompt(name).render(
                discipline=discipline, subject=subject, level="x", syllabus=syllabus,
                sessions=listed(sessions), concepts=listed(concepts),
            )
        )
    )  # fmt: skip


def single_draws(subject):
    """Yield all sets of concepts within one session as (sessions, concepts)."""
    for session in subject.sessions:
        for size in range(1, len(session.concepts) + 1):
            for concepts in combinations(session.concepts, size):
                yield [session], list(concepts)


def pair_draws(subject, count: int):
    """Yield a fixed sample of sets of two to five concepts from two sessions."""
    rng = random.Random(subject.name)
    for _ in range(count):
        first, second = sorted(rng.sample(range(len(subject.sessions)), 2))
        chosen = [subject.sessions[first], subject.sessions[second]]
        both = [rng.choice(session.concepts) for session in chosen]
        rest = [c for session in chosen for c in session.concepts if c not in both]
        yield chosen, both + rng.sample(rest, rng.randint(0, 3))


def all_draws(subject):
    yield from single_draws(subject)
    yield from pair_draws(subject, SHARE_OF_PAIRS)


def question_for(discipline, subject, sessions, concepts) -> str:
    return ask_question(discipline.name, subject.name, [s.name for s in sessions], [c.name for c in concepts])


# ------------------------------------------------------------------------------------------------------------ textbook


@pytest.mark.parametrize("discipline", [d.name for d in textbook().disciplines])
def test_textbook_discipline_goes_through_every_stage(discipline):
    known = textbook().discipline(discipline)
    text, lines = ask_subjects(discipline)
    assert "[scaffold]" not in text and "offline" not in text
    assert [line.subject_name for line in lines] == [subject.name for subject in known.subjects]
    for line, subject in zip(lines, known.subjects, strict=True):
        assert subject.introduction in text
        assert line.level == subject.level and line.subtopics == list(subject.subtopics)
        syllabus, sessions = ask_syllabus(discipline, line)
        headings = ("## Introduction", "## Learning objectives", "## Learning outcomes", "## Class sessions")
        places = [syllabus.index(heading) for heading in headings]
        assert places == sorted(places)
        read = [(s.name, s.description, list(s.concepts)) for s in sessions]
        assert read == [(s.name, s.description, [c.name for c in s.concepts]) for s in subject.sessions]


# ----------------------------------------------------------------------------------------------------------- questions


@pytest.mark.parametrize("name", SUBJECT_NAMES)
def test_questions_stand_alone_and_are_about_their_concepts(name):
    discipline, subject = SUBJECTS[SUBJECT_NAMES.index(name)]
    questions: Counter[str] = Counter()
    for sessions, concepts in all_draws(subject):
        question = question_for(discipline, subject, sessions, concepts)
        assert parse_question(question) == question
        # A question need not use all concepts: it asks about one or two of them unless it connects or compares more.
        asked = {entry.concept.name for entry in read_question(question).entries}
        assert asked and asked <= {concept.name for concept in concepts}
        assert "{" not in re.sub(r"\$[^$]*\$|`[^`]*`", "", question), "a field was not filled"
        questions[question] += 1
    assert len(questions) > 0.9 * questions.total(), "few sets of concepts lead to the same question"


@pytest.mark.parametrize("name", SUBJECT_NAMES)
def test_answers_say_what_the_textbook_says_of_just_these_concepts(name):
    discipline, subject = SUBJECTS[SUBJECT_NAMES.index(name)]
    for sessions, concepts in all_draws(subject):
        question = question_for(discipline, subject, sessions, concepts)
        reply = answer(chat(prompt("answer").render(question=question)))
        assert "[scaffold]" not in reply and not REFUSAL.match(reply)
        for session in subject.sessions:
            for concept in session.concepts:
                assert concept in concepts or not any(text in reply for text in said_of(concept)), (concept.name, question)
                for example in concept.examples:
                    assert example.situation not in question or example.analysis in reply
                    assert example.analysis not in reply or example.situation in question + reply
                for claim in (concept.true_claim, concept.false_claim):
                    assert (claim.reason in reply) == (claim.claim.rstrip(".").lower() in question.lower())


def said_of(concept) -> list[str]:
    """Return what an answer may say of a concept: the end of its definition, an analysis, a verdict or a correction."""
    return [
        end_of(concept.definition), concept.significance, *(example.analysis for example in concept.examples),
        concept.true_claim.reason, concept.false_claim.reason,
        concept.mistake.correction,
    ]  # fmt: skip


def end_of(definition: str) -> str:
    """Return the end of a definition, which an answer may begin in other words."""
    return definition[-60:-1]


def test_a_verdict_is_that_of_the_textbook():
    for entry in textbook().entries():
        concept = entry.concept
        question = (
            f'Is this statement correct? "{{}}" Give your verdict with regard to {entry.phrase} in {entry.subject.field}.'
        )
        for claim, words in (
            (concept.true_claim, ("correct", "true", "right", "holds", "yes", "agree")),
            (concept.false_claim, ("incorrect", "wrong", "false", "misconception", "not", "no")),
        ):
            verdict = answer(chat(question.format(claim.claim)))
            paragraph = next(part for part in verdict.split("\n\n") if claim.reason in part)
            verdict = re.sub(r"\W+", " ", paragraph.replace(claim.reason, " ").lower())
            assert any(word in verdict.split() for word in words), (claim.claim, verdict)


def test_a_pair_question_brings_in_both_sessions():
    for discipline, subject in SUBJECTS:
        for sessions, concepts in pair_draws(subject, 10):
            entries = read_question(question_for(discipline, subject, sessions, concepts)).entries
            assert {entry.session for entry in entries} == set(sessions)


def test_forms_cover_types_and_levels_and_their_fixed_sentences_are_short():
    forms = question_forms()
    assert len(forms) >= 60 and {form.count for form in forms} == {"one", "joint", "across"}
    assert {form.type for form in forms} == {"analyze", "judge", "explain", "relate", "correct", "compute"}
    assert len({form.text for form in forms}) == len(forms)
    assert not [form.text for form in forms if COURSE_REFERENCE.search(form.text)]
    assert sum("{field}" in form.text for form in forms) < 0.3 * len(forms)
    for form in forms:
        for sentence in re.split(r"(?<=[.?!])\s", form.text):
            assert "{" in sentence or len(sentence.split()) < 10, sentence


# ----------------------------------------------------------------------------------------------------------- exercises


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.concept)
def test_an_exercise_is_solved_from_the_text_of_its_question(exercise):
    assert any(entry.concept.name == exercise.concept for entry in textbook().entries()), "no concept has this exercise"
    rng, texts = random.Random(5), set()
    for _ in range(20):
        text = exercise.text.format(**exercise.draw(rng))
        texts.add(text)
        solution = solve(f"Solve this problem. {text} Then explain.")
        assert solution and "nan" not in solution and "{" not in solution.replace("{", "", 0).split("$")[0]
    assert len(texts) > 3, "the numbers hardly vary"
    assert solve("What is a triad?") == ""


@pytest.mark.parametrize(
    ("concept", "numbers", "result"),
    [
        ("Combination", {"n": 10, "k": 3}, "= 120$"),
        ("Permutation", {"n": 9, "k": 4}, "= 3{,}024$"),
        ("Binomial distribution", {"p": 10, "n": 5, "k": 1}, r"\approx 0.3281$"),
        ("Bayes' theorem", {"base": 1, "hit": 90, "false": 10}, r"\approx 0.083$"),
        ("Handshaking lemma", {"a": 5, "d": 3, "b": 4, "e": 4}, "such a graph does not exist"),
        ("Cayley's formula", {"n": 6}, "= 1{,}296$"),
        ("Newton's second law", {"m": 40, "pull": 82, "drag": 42}, r"= 1\ \mathrm{m/s^2}"),
        ("Binary search", {"n": 1024}, "at most 11 comparisons"),
        ("Binary search", {"n": 1023}, "at most 10 comparisons"),
        ("Market equilibrium", {"a": 79, "b": 3, "c": 23, "d": 5}, "= 7$ dollars"),
        ("Price elasticity of demand", {"p1": 10, "p2": 12, "q1": 100, "q2": 50}, "demand is elastic"),
        ("Moisture shrink", {"mass": 17, "wet": 26, "dry": 13}, r"14.46\ \mathrm{t}"),
    ],
)
def test_exercises_are_computed_correctly(concept, numbers, result):
    exercise = next(one for one in EXERCISES if one.concept == concept)
    assert result in solve(exercise.text.format(**numbers))


def test_the_order_of_the_concepts_does_not_matter():
    a = ask_question("Music", "Music theory", ["Hearing and timbre"], ["Beating", "Formant", "Critical band"])
    b = ask_question("Music", "Music theory", ["Hearing and timbre"], ["Formant", "Critical band", "Beating"])
    assert a == b


def test_short_questions_of_people_are_answered_from_the_textbook():
    about = {entry.concept.name: entry.concept for entry in textbook().entries()}
    assert end_of(about["Canon"].definition) in answer(chat("What is a canon?"))
    assert end_of(textbook().concept("Music theory", "Standing wave").concept.definition) in answer(
        chat("In music theory, what are standing waves?")
    )
    why = answer(chat("Why is the leading tone important in music theory?"))
    assert about["Leading tone"].significance in why


def test_a_subject_that_is_named_bounds_the_answer():
    assert "[scaffold]" in answer(chat("In general physics, what is a canon?"))


@pytest.mark.parametrize(
    "question",
    [
        "How tall is the Eiffel Tower?",
        "Write a function that merges two sorted lists and explain why it needs linear time; then test it on lists of "
        "different lengths, say where a canon of tests would be kept, and compare that with sorting from scratch.",
    ],
)
def test_what_the_textbook_does_not_know_is_labelled(question):
    reply = answer(chat(question))
    assert reply.startswith("[scaffold] The offline scripted teacher has no textbook for this")
    assert question[:60] in reply


def test_a_text_that_names_a_whole_syllabus_is_no_question_about_its_concepts():
    names = [concept.name for _, subject in SUBJECTS[:1] for session in subject.sessions for concept in session.concepts]
    assert len(names) > 12 and answer(chat(f"Summarize a course on {SUBJECT_NAMES[0]}: {listed(names)}")).startswith(
        "[scaffold]"
    )
    assert not answer(chat(f"Explain these terms of {SUBJECT_NAMES[0]}: {listed(names[:12])}")).startswith("[scaffold]")


# ---------------------------------------------------------------------------------------------------------- scaffolding


def test_scaffold_discipline_goes_through_every_stage():
    text, lines = ask_subjects("Bell Founding")
    assert "no textbook for Bell Founding" in text.split("\n")[0]
    assert text.count("[scaffold]") == len(lines) == 6
    assert len({line.subject_name for line in lines}) == 6
    for line in lines:
        assert "Bell Founding" in line.subject_name and "[" not in line.subject_name
        syllabus, sessions = ask_syllabus("Bell Founding", line)
        assert syllabus.startswith("[scaffold]")
        names = [name for session in sessions for name in session.concepts]
        assert [len(session.concepts) for session in sessions] == [5] * 10
        assert len(set(names)) == 50 and len({session.name for session in sessions}) == 10
        seen = set()
        for concepts in [*combinations(sessions[0].concepts, 1), *combinations(sessions[0].concepts, 3)]:
            question = ask_question("Bell Founding", line.subject_name, [sessions[0].name], concepts, syllabus)
            assert question.startswith("[scaffold]") and parse_question(question) == question
            assert all(f'"{name}"' in question for name in [*concepts, line.subject_name])
            assert COURSE_REFERENCE.search(question) is None
            reply = answer(chat(question))
            assert reply.startswith("[scaffold]") and all(f'"{name}"' in reply for name in concepts)
            seen.add(question)
        assert len(seen) == 15


@pytest.mark.parametrize("count", [1, 4, 9, 20])
def test_scaffold_syllabi_have_ten_sessions_whatever_the_subtopics(count):
    class Line:
        subject_name, level, subtopics = "Casting", "Advanced", [f"Topic {n}" for n in range(count)]

    _, sessions = ask_syllabus("Bell Founding", Line)
    assert len({name for session in sessions for name in session.concepts}) == 50


def test_a_concept_that_the_textbook_lacks_makes_the_question_scaffolding():
    question = ask_question("Music", "Music theory", ["Hearing and timbre"], ["Beating", "Ear training"])
    assert question.startswith("[scaffold]") and '"Ear training"' in question


def test_sessions_of_other_layouts_are_read():
    syllabus = """**Class Session 1 - Melting**
Description: How bronze is melted.
Key concepts: furnace; flux; **slag**

**Class Session 2 - Pouring**
How a mold is filled.
* gate
* riser
"""
    text = answer(chat(prompt("sessions").render(discipline="Crafts", subject="Casting", syllabus=syllabus)))
    first, second = parse_sessions(text)
    assert (first.name, first.description, first.concepts) == (
        "Melting",
        "How bronze is melted.",
        ("furnace", "flux", "slag"),
    )
    assert (second.name, second.concepts) == ("Pouring", ("gate", "riser"))


# ------------------------------------------------------------------------------------------------------------ the rest


def propose(name: str, parent: str, existing=(), count: int = 5) -> list[dict]:
    text = prompt(name).render(parent=parent, path="x", description="y", existing=listed(existing), count=str(count))
    return [json.loads(line) for line in answer(chat(text)).splitlines()]


@pytest.mark.parametrize("parent", ["Natural Sciences", "Bell Founding"])
def test_proposals_differ_between_the_wordings_and_overlap(parent):
    names = {wording: {p["name"].lower() for p in propose(wording, parent)} for wording in TAXONOMY_DRAFTS}
    together = [name for found in names.values() for name in found]
    assert all(len(found) == 5 for found in names.values())
    assert len(together) > len(set(together)) > 7
    assert len({frozenset(found) for found in names.values()}) == 4


def test_proposals_obey_count_and_existing_and_label_scaffolding():
    proposals = propose("taxonomy_academic", "Natural Sciences", ["oceanography", "Chemistry"], count=3)
    assert [p["name"] for p in proposals][:1] != ["Oceanography"] and len(proposals) == 3
    assert all(p.keys() == {"name", "kind", "description", "reason"} for p in proposals)
    assert all("[scaffold]" in p["description"] for p in propose("taxonomy_gaps", "Bell Founding"))


def test_a_repair_prompt_gets_the_original_request_answered():
    first = prompt("subjects_list").render(discipline="Music", path="x", description="y")
    turns = [first, answer(chat(first)), prompt("subjects_format").render()]
    repair = prompt("repair").render(problem="it contains no JSON object")
    assert answer(chat(*turns, "rubbish", repair)) == answer(chat(*turns))
    assert answer(chat(*turns, "rubbish", repair, "rubbish", repair)) == answer(chat(*turns))


def test_teacher_cuts_at_max_tokens_and_streams_what_it_replies():
    teacher, messages = ScriptedTeacher(), chat("What is a standing wave?")

    async def ask(sampling: DecodingParams):
        *streamed, last = [piece async for piece in teacher.stream(messages, sampling)]
        assert last == await teacher.reply(messages, sampling)
        return last, streamed

    whole, streamed = asyncio.run(ask(DecodingParams()))
    assert (teacher.name, whole.finish_reason, whole.estimated) == ("scripted", "stop", True)
    assert "".join(streamed) == whole.text and len(streamed) > 10
    assert whole.tokens_out == estimate_tokens(whole.text) and whole.tokens_in == estimate_tokens(messages[0]["content"])
    short, streamed = asyncio.run(ask(DecodingParams(max_tokens=7)))
    assert (short.finish_reason, short.tokens_out, "".join(streamed)) == ("length", 7, short.text)
    assert whole.text.startswith(short.text)


@pytest.mark.parametrize("text", ["", "  a\n\n b ", "one", "tab\tand\n"])
def test_pieces_joined_are_the_text(text):
    assert "".join(pieces(text)) == text


@pytest.mark.long
def test_another_process_says_the_same():
    question = ask_question("Music", "Music theory", ["Hearing and timbre"], ["Beating", "Formant"])
    code = (
        "from glan_core.teachers.scripted.homework_plan import write_question as w;"
        "print(w('Music', 'Music theory', ['Formant', 'Beating'], pair=False), end='')"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", cwd=FOLDER.parents[1], check=True)
    assert run.stdout == question
