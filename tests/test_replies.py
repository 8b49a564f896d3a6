"""Reading what teachers send back: tolerant of form, strict about substance, and about what a question may say."""

import pytest

from glan_core.curriculum import MAX_SUBTOPICS, Subject, SubjectLine, parse_sessions, parse_subjects, same_name, settle, unique
from glan_core.homework import parse_question
from glan_core.ids import derive
from glan_core.replies import Malformed, check_whole, storable

LINE = '{"subject_name": "Algebra", "level": "basic", "subtopics": ["groups", "rings"]}'
OTHER = '{"subject_name": "Topology", "level": "graduate", "subtopics": []}'

# Each only makes sense to somebody who was in a class or hands something in.
NOT_ALONE = [
    "Submit your answer as a PDF by Friday.", "Please submit a report that compares both.", "Turn in your essay before Monday.",
    "Hand it in by the end of the week.", "Upload your solution to the course site.", "Refer to the lecture above and explain.",
    "As discussed in class, derive the formula.", "Use the method that was covered in the previous lecture.",
    "Explain the theorem we learned in session 4.", "From session 3, recall the definition of a group and prove the claim.",
    "Based on the syllabus, which topic comes first?", "Using the figure above, find the angle.", "Look at the table above.",
    "Read the passage above and summarize it.", "According to your textbook, what is inertia?",
    "Do the assigned reading first.",
    "Discuss it with your classmates and report.", "Your instructor will provide the data set.", "Bring it to the next class.",
    "In today's lesson you met three laws. State them.", "This assignment is due on Tuesday: explain entropy.",
    "Present your findings to the class.", "Post your answer on the discussion board.",
    "As we saw in the last lecture, prove it.",
    "Prepare a ten-slide presentation for the next class session.", "Attach your spreadsheet to the submission.",
    "Use the attached data set to fit a line.",
    "Email your code to the teaching assistant.", "Recall from the lecture that x > 0.",
    "Discuss in your group which model fits.", "Using the selected key concepts above, design a bridge.",
]  # fmt: skip

# Each has a word that is suspicious elsewhere.
INNOCENT = [
    "A contractor submits a bid of $40,000. What is the expected profit?",
    "A lecture hall seats 300 people in 20 rows. How many sit in each row on average?",
    "What was condemned by the Syllabus of Errors of 1864, and why did it matter?",
    "Two classes of steel are compared. Which class of session musicians was paid better in 1965?",
    "How does a judge proceed when the parties submit their dispute to arbitration?",
    "A patient must take the tablets by Friday. How many does she need if it is Monday now?",
    "Write a class in Python whose sessions expire after ten minutes.",
    "A jazz session lasts 90 minutes. How many tunes of 7 minutes fit into it?",
    "Explain how a person hands in a resignation in Japanese business culture.",
    "A car must turn in a circle of radius 6 m. What is the least friction coefficient?",
    "The due diligence of a merger revealed three risks. Name typical ones.",
    "Upload speeds are measured in Mbit/s. How long does a file of 2 GB take at 40 Mbit/s?",
    "A user uploads a file to a server. Which headers does the HTTP request carry?",
    "What is a week in which the demand is three times the mean called in inventory theory?",
    "A teacher has 28 pupils; in how many ways can she choose 3 of them?",
    "Professor Higgins teaches phonetics in Pygmalion. What does Shaw criticize?",
    "Assign reading levels to these sentences: 'The cat sat.' and 'Ontology recapitulates philology.'",
    "The lesson of the Great Depression for monetary policy is disputed. Summarize both sides.",
    "In module theory, show that every free module is projective.",
    "In unit 3 of a power plant the pressure falls by 10 %. What happens to the efficiency?",
    "The following table lists masses: A 2 kg, B 3 kg. Where is the center of mass?",
    "Given the code below, what does it print?\n\nprint(sum(range(4)))",
    "The sentence above the door reads 'Know thyself'. To whom is it attributed?",
    "A company presents its quarterly results; its revenue table shows 4, 5 and 6 million. What is the growth rate?",
    "A deadline scheduler runs three tasks. Is the set schedulable?",
    "A nurse hands in hand with a doctor reviews a chart. Which checks come first?",
    "The text that Luther submitted to the archbishop had 95 theses. What was their aim?",
    "The introduction covered in ivy leads into the garden. Which pruning does ivy need in spring?",
    "How is the working class presented in Zola's novels?",
    "Show that the class of regular languages is closed under union.",
    "A patient presented in week 30 of pregnancy with a headache. Which tests come first?",
    "Which changes are seen during the course of an infection with measles?",
    "A loan payment is due on 1 May. What does it cost?",
    "A user must upload a file of 5 MB to a server. Design the request.",
    "What is the due date of a pregnancy by Naegele's rule?",
    "Which lessons from the Challenger accident changed engineering ethics? Name the lessons learned about O-rings.",
    "A table of masses: A 2 kg, B 3 kg, C 4 kg; distances 1 m, 2 m and 3 m. From the table above, find the center of mass.",
    "A rocket's first stage burns until week 3. What is its velocity if it starts at rest?",
]  # fmt: skip


@pytest.mark.parametrize("text", NOT_ALONE)
def test_a_question_that_needs_a_class_is_refused_with_the_phrase(text):
    with pytest.raises(Malformed, match="must stand alone") as caught:
        parse_question(text)
    assert (caught.value.cause, caught.value.repairable) == ("not self-contained", True)


@pytest.mark.parametrize("text", INNOCENT)
def test_an_innocent_question_passes_word_for_word(text):
    assert parse_question(text) == text


@pytest.mark.parametrize("lead", ["Question: ", "**Question:** ", "## Homework question 3: ", "QUESTION 1. ", "\n Question:\n"])
def test_a_preamble_is_taken_off(lead):
    assert parse_question(f"{lead}What is the sum of the first n odd numbers?") == "What is the sum of the first n odd numbers?"


def test_a_question_of_no_or_too_many_words_is_refused():
    for text in ("Why?", "Question: Why?", "x" * 20_001):
        with pytest.raises(Malformed):
            parse_question(text)


@pytest.mark.parametrize(
    "text",
    [
        f"{LINE}\n{OTHER}", f"```json\n{LINE}\n{OTHER}\n```", f"[{LINE}, {OTHER}]",
        f"Here they are:\n\n{LINE}\n\n{OTHER}\nGood luck!",
        f"1. {LINE}\n2. {OTHER}", f"{LINE},\n{OTHER},", LINE.replace(", ", ",\n  ") + OTHER, f'{{"subjects": [{LINE}]}}',
        f"\ufeff{LINE}\r\n{OTHER}\r\n",
    ],
)  # fmt: skip
def test_json_is_found_in_many_dresses(text):
    if text.startswith('{"subjects"'):
        with pytest.raises(Malformed, match="subject_name"):
            parse_subjects(text)
        return
    assert [line.subject_name for line in parse_subjects(text)] == ["Algebra", "Topology"]


def test_braces_inside_of_text_do_not_end_an_object():
    (line,) = parse_subjects('{"subject_name": "Sets {a, b}", "subtopics": ["\\"}\\"", "x"]}')
    assert line.subject_name == "Sets {a, b}" and line.subtopics == ['"}"', "x"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("no JSON at all", "no JSON object"), ("[]", "no JSON object"), (f"{LINE}\n{{broken", "begins on line 2"),
        (f'{LINE}\n{{"level": "basic"}}', "object 2, subject_name"), ('{"subject_name": "  "}', "object 1, subject_name"),
        ('{"subject_name": "A", "subtopics": [{"deep": 1}]}', "object 1, subtopics.0"), ('{"subject_name": ["A"]}', "object 1"),
        ('{"subject_name": ' + "9" * 5000 + "}", "cannot be read"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_told_with_its_place_and_can_be_repaired(text, words):
    with pytest.raises(Malformed, match=words) as caught:
        parse_subjects(text)
    assert caught.value.repairable and caught.value.cause == "malformed"


def test_levels_and_subtopics_are_read_in_the_forms_that_teachers_write():
    text = '{"subject_name": 7, "level": ["basic", "advanced"], "subtopics": "a, b; c"}\n'
    text += '{"subject_name": "B", "level": null, "subtopics": null}'
    first, second = parse_subjects(text)
    assert (first.subject_name, first.level, first.subtopics) == ("7", "basic, advanced", ["a", "b", "c"])
    assert (second.level, second.subtopics) == ("", [])


def test_sessions_keep_their_order_and_lose_repeated_concepts():
    drafts = parse_sessions(
        '{"session": "One", "description": "d", "key_concepts": ["Limit", "limit ", "Sum", ""]}\n'
        '{"session": "Two", "key_concepts": ["X"]}'
    )
    assert [(draft.name, draft.concepts) for draft in drafts] == [("One", ("Limit", "Sum")), ("Two", ("X",))]


@pytest.mark.parametrize("concepts", ["[]", '["", "  "]', "null"])
def test_a_session_without_concepts_is_malformed(concepts):
    with pytest.raises(Malformed):
        parse_sessions(f'{{"session": "One", "key_concepts": {concepts}}}')


@pytest.mark.parametrize(
    ("text", "finish", "cause"),
    [
        ("Half an ans", "length", "cut"), ("", "stop", "empty"), (" \n", "stop", "empty"),
        ("fine", "content_filter", "refused"),
        ("", "refusal", "refused"), ("I'm sorry, but I can't assist with that.", "stop", "refused"),
        ("I’m sorry, but I can’t help with that request.", "stop", "refused"), ("I cannot provide that.", "stop", "refused"),
        ("Sorry, I am unable to help with this.", "stop", "refused"), ("I won't write this.", "stop", "refused"),
        ("As an AI language model, I cannot do that.", "stop", "refused"), ("I am unable to comply.", "stop", "refused"),
    ],
)  # fmt: skip
def test_a_reply_that_is_cut_empty_or_refused_is_no_data_and_cannot_be_repaired(text, finish, cause):
    with pytest.raises(Malformed) as caught:
        check_whole(text, finish)
    assert (caught.value.cause, caught.value.repairable) == (cause, False)


@pytest.mark.parametrize(
    "text",
    [
        "I cannot be divided by two without a remainder: which number am I? It is odd.", "Sorry! is a board game of 1934.",
        "I can help you see it: by induction, the claim holds.", "As an AI researcher, Turing asked whether machines think.",
        "The clerk says: I'm sorry, but I can't help with that. Describe how he could be more helpful.",
    ],
)  # fmt: skip
def test_an_answer_that_only_sounds_like_a_refusal_is_kept(text):
    assert check_whole(f"  {text}\n", "stop") == text


def test_half_characters_and_nuls_are_made_visible_and_all_else_stays():
    assert storable("a\ud83d\0b") == "a?\ufffdb"
    assert storable("日本語 𝔸 \n\t é") == "日本語 𝔸 \n\t é"


def lines(*names: str, topics: tuple[str, ...] = ()) -> list[SubjectLine]:
    """Lines of subjects."""
    return [SubjectLine(subject_name=name, level="basic", subtopics=list(topics)) for name in names]


def test_subjects_of_one_name_in_one_discipline_become_one_with_all_subtopics():
    subjects, mentions = settle(
        "mathematics", [("q0", lines("Algebra", topics=("a", "b"))), ("q1", lines("ALGEBRA ", "Sets", topics=("B", "c")))]
    )
    assert [(s.name, s.subtopics) for s in subjects] == [("Algebra", ("a", "b", "c")), ("Sets", ("B", "c"))]
    assert mentions == [(subjects[0].id, "q0"), (subjects[0].id, "q1"), (subjects[1].id, "q1")]


def test_the_same_name_in_two_disciplines_gives_two_subjects():
    (here,), _ = settle("mathematics", [("q0", lines("Statistics"))])
    (there,), _ = settle("psychology", [("q1", lines("Statistics"))])
    assert here.id != there.id


def test_subjects_that_are_known_stay_frozen():
    known = Subject(derive("sub", "mathematics", "algebra"), "mathematics", "Algebra", "basic", ("a",))
    subjects, mentions = settle("mathematics", [("q1", lines("algebra", "Sets", topics=("new",)))], [known])
    assert [s.name for s in subjects] == ["Sets"]
    assert (known.id, "q1") in mentions


def test_the_order_of_mentions_not_of_arrival_gives_name_and_place():
    queries = [("q0", lines("Sets", "algebra")), ("q1", lines("Algebra", "Graphs"))]
    assert [s.name for s in settle("m", queries)[0]] == ["Sets", "algebra", "Graphs"]


def test_merged_subtopics_are_bounded():
    queries = [(f"q{n}", lines("Algebra", topics=tuple(f"topic {n}.{k}" for k in range(9)))) for n in range(9)]
    (subject,), _ = settle("m", queries)
    assert len(subject.subtopics) == MAX_SUBTOPICS and subject.subtopics[0] == "topic 0.0"


def test_names_are_compared_without_case_width_and_spacing():
    assert same_name("  Ｌinear\u00a0 ALGEBRA ") == same_name("linear algebra")
    assert same_name("C") != same_name("C++")
    assert unique(["B", "a", " b", "A ", ""]) == ("B", "a")
