"""Parsing of teacher replies: lenient about form, strict about content, including self-contained questions."""

import json

import pytest

from glan_core.curriculum.curriculum_parsing import (
    MAX_SUBTOPICS,
    SubjectLine,
    merge_subjects,
    parse_sessions,
    parse_subjects,
    unique,
)
from glan_core.generation.proposals import ProposalLine
from glan_core.homework.question_parsing import parse_question
from glan_core.ids import derive, name_key
from glan_core.records import Subject
from glan_core.reply_parsing import MalformedReply, check_complete, json_lines, storable

LINE = '{"subject_name": "Algebra", "level": "basic", "subtopics": ["groups", "rings"]}'
OTHER = '{"subject_name": "Topology", "level": "graduate", "subtopics": []}'

# Each only makes sense to someone who attended a class or submits coursework.
NOT_SELF_CONTAINED = [
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
    "Please include your name and student ID, and email it to me by Friday 5 pm.", "As we saw last time, entropy grows. Why?",
    "You are graded on style: describe a sunset.", "You will be graded on clarity. Explain entropy.",
    "Your essay will be graded strictly. Describe Rome.", "Solve x + 1 = 2 and e-mail the solution to me.",
    "State your name and student number, then derive the formula.", "As we have seen, heat flows. Explain why.",
    "Last time we met Euler's formula. Prove it.", "Use the trick that we learned last time to solve x + 1 = 2.",
    "Explain the law of Ohm and submit it by noon.", "Write an essay on Rome and submit it as a PDF.",
    "Describe the process.\n- Submit a report of two pages.", "You must submit a report of two pages on the fall of Rome.",
    "Explain inertia and then hand in your essay.", "Ask your teacher for the data set and plot it.",
    "Once the proof is done, hand it in.", "Share the result with your classmates.",
    "If you get stuck on the proof, ask your instructor.", "When you are done, discuss it with your peers.",
    "Discuss in your group which model fits.", "Using the selected key concepts above, design a bridge.",
]  # fmt: skip

# Each contains a word that is suspicious in other contexts.
SELF_CONTAINED = [
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
    "A contractor must submit a report on emissions to the agency every year. Which gases does it cover?",
    "How would you react if your teacher asked you to divide by zero?",
    "Is it polite if your professor is called by her first name in Denmark?", "How would you explain tides to your classmates?",
    "Imagine that your professor is Euler. What would he ask?",
    "A firm has to draft and submit a report on its accounts within 90 days. Which ratios does it hold?",
    "Suppliers hand in a file of invoices each month. How are they matched with orders?",
    "A table has the columns student ID, name and grade. Write a query for the mean grade.",
    "When was the last time that the magnetic field of the Earth reversed?", "Show that a graded ring is a ring.",
    "How do we know when the Sahara was green for the last time?", "A slope is graded at 3 %. How high is it after 40 m?",
    "Let f(x) = x + 1. (a) Find f(2). (b) As we saw in part (a), f is defined at 2. Is it continuous there?",
    "Write a program that reads a form, checks it, and lets users submit the file to a server.",
    "A rocket's first stage burns until week 3. What is its velocity if it starts at rest?",
]  # fmt: skip


@pytest.mark.parametrize("text", NOT_SELF_CONTAINED)
def test_a_question_that_needs_a_class_is_refused_with_the_phrase(text):
    with pytest.raises(MalformedReply, match="must be self-contained") as caught:
        parse_question(text)
    assert (caught.value.cause, caught.value.repairable) == ("not self-contained", True)


@pytest.mark.parametrize("text", SELF_CONTAINED)
def test_an_innocent_question_passes_word_for_word(text):
    assert parse_question(text) == text


@pytest.mark.parametrize("lead", ["Question: ", "**Question:** ", "## Homework question 3: ", "QUESTION 1. ", "\n Question:\n"])
def test_a_preamble_is_taken_off(lead):
    assert parse_question(f"{lead}What is the sum of the first n odd numbers?") == "What is the sum of the first n odd numbers?"


def test_a_question_of_no_or_too_many_words_is_refused():
    for text in ("Why?", "Question: Why?", "x" * 20_001):
        with pytest.raises(MalformedReply):
            parse_question(text)


@pytest.mark.parametrize(
    "text",
    [
        f"{LINE}\n{OTHER}", f"```json\n{LINE}\n{OTHER}\n```", f"[{LINE}, {OTHER}]",
        f"Here they are:\n\n{LINE}\n\n{OTHER}\nGood luck!",
        f"1. {LINE}\n2. {OTHER}", f"{LINE},\n{OTHER},", LINE.replace(", ", ",\n  ") + OTHER,
        f'{{"subjects":[{LINE},{OTHER}]}}', f'```\n{{"list": [\n{LINE},\n{OTHER}\n]\n}}\n```',
        f"\ufeff{LINE}\r\n{OTHER}\r\n", f"{LINE}\n{OTHER}\nnote {{x}}",
        f"{LINE}\nThe set {{x : x > 0}}, and {{}}s.\n{OTHER}\n}}".replace("{}s", "{1, {2}}"),
    ],
)  # fmt: skip
def test_json_is_found_in_many_formats(text):
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
        (f'{LINE}\n{OTHER}\n{{"subject_name": "Al', "begins on line 3"), (f"{LINE}\n{{", "begins on line 2"),
        (f'{LINE}\n{{"subject_name": "Al\n\nnote {{x}}', "begins on line 2"), (f"{LINE}\n{{'subject_name': 'A'}}", "line 2"),
        (f"{LINE}\n{{subject_name: A}}", "line 2"), (f'{{"subjects":[{LINE},{{"level": "basic"}}]}}', "object 2, subject_name"),
        (f'{{"subjects":[{LINE},{{"subject_name": "Al', "begins on line 1"), ('{"subjects": []}', "object 1, subject_name"),
        ('{"subject_name": "\\n\\u0000 \\u2028"}', "object 1, subject_name"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_told_with_its_place_and_can_be_repaired(text, words):
    with pytest.raises(MalformedReply, match=words) as caught:
        parse_subjects(text)
    assert caught.value.repairable and caught.value.cause == "malformed"


def test_levels_and_subtopics_are_read_in_the_forms_that_teachers_write():
    text = '{"subject_name": 7, "level": ["basic", "advanced"], "subtopics": "a, b; c"}\n'
    text += '{"subject_name": "B", "level": null, "subtopics": null}'
    first, second = parse_subjects(text)
    assert (first.subject_name, first.level, first.subtopics) == ("7", "basic, advanced", ["a", "b", "c"])
    assert (second.level, second.subtopics) == ("", [])


def test_names_become_one_line_and_other_texts_keep_theirs():
    (subject,) = parse_subjects('{"subject_name": "Linear\\r\\nalgebra\\u0000", "subtopics": ["a\\tb", "c\nd"]}')
    assert (subject.subject_name, subject.subtopics) == ("Linear algebra", ["a b", "c d"])
    (draft,) = parse_sessions('{"session": "On\\u2028e", "description": "d\\ne", "key_concepts": ["\\u0001", "X\\u0085Y"]}')
    assert (draft.name, draft.description, draft.concepts) == ("On e", "d\ne", ("X Y",))
    (node,) = json_lines('{"name": "Dance\\nand mime"}', ProposalLine)
    assert node.name == "Dance and mime"
    with pytest.raises(MalformedReply):
        json_lines('{"name": "\\n"}', ProposalLine)


def test_half_a_character_in_a_name_is_malformed():
    with pytest.raises(MalformedReply):
        parse_subjects('{"subject_name": "A \\ud83d"}')


def test_sessions_keep_their_order_and_lose_repeated_concepts():
    drafts = parse_sessions(
        '{"session": "One", "description": "d", "key_concepts": ["Limit", "limit ", "Sum", ""]}\n'
        '{"session": "Two", "key_concepts": ["X"]}'
    )
    assert [(draft.name, draft.concepts) for draft in drafts] == [("One", ("Limit", "Sum")), ("Two", ("X",))]


@pytest.mark.parametrize("concepts", ["[]", '["", "  "]', "null"])
def test_a_session_without_concepts_is_malformed(concepts):
    with pytest.raises(MalformedReply):
        parse_sessions(f'{{"session": "One", "key_concepts": {concepts}}}')


@pytest.mark.parametrize(
    ("text", "finish", "cause"),
    [
        ("Half an ans", "length", "cut"), ("", "stop", "empty"), (" \n", "stop", "empty"),
        ("fine", "content_filter", "refused"),
        ("Half an ans", "max_tokens", "cut"), ("Half an ans", "abort", "cut"), ("Half an ans", "error", "cut"),
        ("Half an ans", "tool_calls", "cut"), ("", "abort", "cut"), ("Half an ans", "LENGTH", "cut"),
        ("", "refusal", "refused"), ("I'm sorry, but I can't assist with that.", "stop", "refused"),
        ("I’m sorry, but I can’t help with that request.", "stop", "refused"), ("I cannot provide that.", "stop", "refused"),
        ("Sorry, I am unable to help with this.", "stop", "refused"), ("I won't write this.", "stop", "refused"),
        ("As an AI language model, I cannot do that.", "stop", "refused"), ("I am unable to comply.", "stop", "refused"),
        ("I'm sorry, but I can't help with that.", "stop", "refused"), ("I can't help with that", "stop", "refused"),
        ("I cannot assist with this request", "stop", "refused"), ("I can’t assist you with that.", "stop", "refused"),
        ("As an AI language model, I can't provide medical diagnoses.", "stop", "refused"),
        ("As an AI, I don't have the ability to open files.", "stop", "refused"),
        ("I'm unable to provide an answer to this.", "stop", "refused"), ("I cannot comply with it.", "stop", "refused"),
        ("I am very sorry, but I cannot fulfill your request.", "stop", "refused"),
        ("Unfortunately, I cannot answer that question.", "stop", "refused"), ("I won't do that, sorry.", "stop", "refused"),
        ("Sorry, but I can't provide instructions for making weapons.", "stop", "refused"),
        ("I apologize, but I'm not able to help with creating such texts.", "stop", "refused"),
        ("I cannot write content that demeans people.", "stop", "refused"), ("I can't help you.", "stop", "refused"),
        ("I'm sorry, I can't discuss this because it may harm.", "stop", "refused"),
    ],
)  # fmt: skip
def test_truncated_empty_and_refused_replies_are_not_repairable(text, finish, cause):
    with pytest.raises(MalformedReply) as caught:
        check_complete(text, finish)
    assert (caught.value.cause, caught.value.repairable) == (cause, False)


@pytest.mark.parametrize(
    "text",
    [
        "I cannot be divided by two without a remainder: which number am I? It is odd.", "Sorry! is a board game of 1934.",
        "I can help you see it: by induction, the claim holds.", "As an AI researcher, Turing asked whether machines think.",
        "The clerk says: I'm sorry, but I can't help with that. Describe how he could be more helpful.",
        "I cannot create something from nothing is the claim of Lucretius, in the first person.",
        "Sorry, I made an error in the last line: the limit is 2.", "I am sorry, but the sum is 4, not 5.",
        "I'm sorry for your loss: with these words a letter of condolence may begin.", "Sorry, I see it now: x = 3.",
        "I cannot write Greek, says Casca, and means that it was Greek to him.", "I can't help but admire the proof.",
        "I cannot provide for my family on this wage: so a weaver in 1844 put it.", "I will not do harm, says the oath.",
        "I won't answer the door, Nora tells herself. The line shows her fear.", "I'm unable to sleep: insomnia.",
        "I cannot give this speech without a pause: mark where the pauses belong.",
        "I am not able to create is the meaning of the German \"Ich kann nicht schaffen\".",
        "As an AI safety engineer, I can use interval analysis to bound the network's output.",
        "I cannot answer for my brother, replies Cain. The verse asks who is responsible.",
    ],
)  # fmt: skip
def test_an_answer_that_only_sounds_like_a_refusal_is_kept(text):
    assert check_complete(f"  {text}\n", "stop") == text


@pytest.mark.parametrize("finish", ["stop", "STOP", "eos", "eos_token", "end_turn", "stop_sequence", "", None])
def test_a_reply_is_whole_where_its_teacher_ended_it_or_says_nothing(finish):
    assert check_complete("An answer.", finish) == "An answer."


def test_an_unknown_reason_to_end_is_named():
    with pytest.raises(MalformedReply, match="“abort”"):
        check_complete("Half an ans", "abort")


def test_lone_surrogates_and_nuls_are_replaced():
    assert storable("a\ud83d\0b") == "a?\ufffdb"
    assert storable("\ud83d\ude00 \ude00\ud83d") == "😀 ??"
    assert storable("日本語 𝔸 \n\t é") == "日本語 𝔸 \n\t é"


def lines(*names: str, topics: tuple[str, ...] = ()) -> list[SubjectLine]:
    """Build parsed subject lines with these names."""
    return [SubjectLine(subject_name=name, level="basic", subtopics=list(topics)) for name in names]


def test_subjects_of_one_name_in_one_discipline_become_one_with_all_subtopics():
    subjects, mentions = merge_subjects(
        "mathematics", [("q0", lines("Algebra", topics=("a", "b"))), ("q1", lines("ALGEBRA ", "Sets", topics=("B", "c")))]
    )
    assert [(s.name, s.subtopics) for s in subjects] == [("Algebra", ("a", "b", "c")), ("Sets", ("B", "c"))]
    assert mentions == [(subjects[0].id, "q0"), (subjects[0].id, "q1"), (subjects[1].id, "q1")]


def test_the_same_name_in_two_disciplines_gives_two_subjects():
    (here,), _ = merge_subjects("mathematics", [("q0", lines("Statistics"))])
    (there,), _ = merge_subjects("psychology", [("q1", lines("Statistics"))])
    assert here.id != there.id


def test_subjects_that_are_known_stay_frozen():
    known = Subject(derive("sub", "mathematics", "algebra"), "mathematics", "Algebra", "basic", ("a",))
    subjects, mentions = merge_subjects("mathematics", [("q1", lines("algebra", "Sets", topics=("new",)))], [known])
    assert [s.name for s in subjects] == ["Sets"]
    assert (known.id, "q1") in mentions


def test_the_order_of_mentions_not_of_arrival_gives_name_and_place():
    queries = [("q0", lines("Sets", "algebra")), ("q1", lines("Algebra", "Graphs"))]
    assert [s.name for s in merge_subjects("m", queries)[0]] == ["Sets", "algebra", "Graphs"]


def test_merged_subtopics_are_bounded():
    queries = [(f"q{n}", lines("Algebra", topics=tuple(f"topic {n}.{k}" for k in range(9)))) for n in range(9)]
    (subject,), _ = merge_subjects("m", queries)
    assert len(subject.subtopics) == MAX_SUBTOPICS and subject.subtopics[0] == "topic 0.0"


def test_names_are_compared_without_case_width_and_spacing():
    assert name_key("  Ｌinear\u00a0 ALGEBRA ") == name_key("linear algebra")
    assert name_key("C") != name_key("C++")
    assert unique(["B", "a", " b", "A ", ""]) == ("B", "a")


def test_the_level_of_a_subject_is_one_short_line():
    levels = ["First\n===\nyear", "y" * 10_000, ["a\n", "b"], 3, None]
    reply = "\n".join(json.dumps({"subject_name": "S", "level": level}) for level in levels)
    assert [line.level for line in parse_subjects(reply)] == ["First === year", "y" * 200, "a , b", "3", ""]
