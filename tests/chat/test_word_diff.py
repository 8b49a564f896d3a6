"""Word diff: spans join to the texts, and only words that the other side lacks are marked."""

import pytest

from glan_core.chat.word_diff import MOST_WORDS, word_diff


def test_words_that_one_side_lacks_are_marked():
    first, second = word_diff("A ring has two operations.", "A ring has one operation and two rules.")
    assert first == [("A ring has", False), (" two", False), (" operations.", True)]
    assert second == [("A ring has", False), (" one operation and", True), (" two", False), (" rules.", True)]


def test_case_and_line_breaks_are_no_difference():
    first, second = word_diff("The same\n\nwords", "the  same words")
    assert not any(alone for side in (first, second) for _, alone in side)


@pytest.mark.parametrize(("first", "second"), [("", ""), ("", "a b"), ("a b", "")])
def test_an_empty_side_shares_nothing(first, second):
    sides = word_diff(first, second)
    assert ["".join(text for text, _ in side) for side in sides] == [first, second]
    assert all(alone for side in sides for _, alone in side)


def test_long_texts_are_cut():
    side, _ = word_diff("word " * (MOST_WORDS + 10), "other")
    assert sum(len(text.split()) for text, _ in side) == MOST_WORDS
