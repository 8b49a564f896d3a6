"""Replies of teachers: what a parser returns is valid, and what is written in its form is read back."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.outside_strategies import texts

from glan_core.curriculum.curriculum_parsing import SessionLine, SubjectLine, parse_sessions, parse_subjects
from glan_core.generation.quality_judge import Verdict
from glan_core.homework.question_parsing import MAX_CHARACTERS, parse_question
from glan_core.reply_parsing import MalformedReply, check_complete, json_lines, storable
from glan_core.teachers.reasoning import split_reasoning
from glan_core.teachers.wire_format import StreamParser, read_reply
from glan_core.text_validation import MAX_NAME

MESSAGES = [{"role": "user", "content": "Hello"}]
NAMES = st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), min_size=1, max_size=20).map(str.strip).filter(bool)
PROSE = st.text(st.characters(codec="utf-8", exclude_characters="<[{◁⟨【«`~>]}▷⟩】»"), max_size=60).map(str.strip).filter(bool)


@given(st.lists(st.builds(SubjectLine, subject_name=NAMES, level=NAMES, subtopics=st.lists(NAMES, max_size=3)), min_size=1, max_size=4),
       st.sampled_from(("{}", "Here you are:\n{}", "```json\n{}\n```", "{}\nI hope {{this}} helps.")))  # fmt: skip
def test_subjects_are_read_back(subjects, around):
    rows = "\n".join(subject.model_dump_json() for subject in subjects)
    assert parse_subjects(around.format(rows)) == subjects
    array = json.dumps([subject.model_dump() for subject in subjects], indent=1)
    assert parse_subjects(array) == parse_subjects(json.dumps({"subjects": json.loads(array)})) == subjects


@given(st.lists(st.builds(SessionLine, session=NAMES, description=NAMES, key_concepts=st.lists(NAMES, min_size=1, max_size=3)), min_size=1,
                max_size=4))  # fmt: skip
def test_sessions_are_read_back(lines):
    drafts = parse_sessions("\n".join(line.model_dump_json() for line in lines))
    assert [(draft.name, draft.description) for draft in drafts] == [(line.session, line.description) for line in lines]
    assert all(0 < len(draft.concepts) <= len(line.key_concepts) for draft, line in zip(drafts, lines))


@given(texts())
def test_sessions_are_valid(text):
    try:
        drafts = parse_sessions(text)
    except MalformedReply:
        return
    for draft in drafts:
        assert (
            0 < len(draft.name) <= MAX_NAME
            and draft.name == draft.name.strip()
            and draft.name.isprintable() | ("\n" not in draft.name)
        )
        assert draft.concepts and all(concept.strip() and len(concept) <= MAX_NAME for concept in draft.concepts)


@given(st.integers(-3, 9) | st.booleans() | st.floats() | st.sampled_from(["3", "", None]))
def test_scores_are_from_one_to_five(score):
    text = json.dumps({"correct": score, "clear": 3, "self_contained": 3, "difficulty": 3})
    try:
        (verdict,) = json_lines(text, Verdict)
    except MalformedReply:
        assert isinstance(score, bool) or not (isinstance(score, int) and 1 <= score <= 5)
    else:
        assert 1 <= verdict.correct <= 5 and float(score) == verdict.correct


@given(texts())
def test_a_question_is_stripped_and_bounded(text):
    try:
        question = parse_question(text)
    except MalformedReply as error:
        assert error.repairable
    else:
        assert 10 <= len(question) <= MAX_CHARACTERS and question == question.strip() and question in text


@given(texts(), st.sampled_from(["stop", "length", None, "content_filter", "odd"]))
def test_a_complete_reply_is_its_text(text, finish):
    try:
        assert check_complete(text, finish) == text.strip()
    except MalformedReply as error:
        assert error.cause in ("cut", "refused", "empty")


@pytest.mark.parametrize(("opened", "closed"), [("<think>", "</think>"), ("[THINK]", "[/THINK]"), ("◁think▷", "◁/think▷"),
                                                ("<|channel|>analysis<|message|>", "<|end|><|channel|>final<|message|>")])  # fmt: skip
@given(thought=PROSE, reply=PROSE)
def test_reasoning_is_split_from_the_reply(opened, closed, thought, reply):
    assert split_reasoning(f"{opened}{thought}{closed}{reply}") == (thought, reply)


@given(texts())
def test_splitting_reasoning_loses_no_word_of_a_text_without_tags(text):
    plain = "".join(letter for letter in text if letter not in "<>[]{}◁▷*#`").replace("thinking", "")
    assert split_reasoning(plain, closed_only=False) == ("", plain)


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=60), st.integers(1, 40))
def test_a_stream_gives_the_same_text_in_pieces_of_any_size(text, size):
    raw = (
        b"".join(f"data: {json.dumps({'choices': [{'delta': {'content': letter}}]})}\n\n".encode() for letter in text)
        + b'data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
    )
    parser = StreamParser(MESSAGES)
    shown = "".join(parser.feed(raw[at : at + size]) for at in range(0, len(raw), size))
    whole = read_reply(json.dumps({"choices": [{"message": {"content": text}, "finish_reason": "stop"}]}).encode(), MESSAGES)
    assert shown == parser.reply().text == whole.text == text


@given(st.text(st.characters()))
def test_storable_text_can_be_stored(text):
    assert "\0" not in storable(text) and storable(storable(text)) == storable(text).encode().decode()
