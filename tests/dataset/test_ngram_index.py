"""N-gram index by value: run lengths on both sides of each rule, keywords, stock phrases, short questions and positions."""

from itertools import product

import numpy as np
import pytest

from glan_core.dataset import ngram_index
from glan_core.dataset.benchmark_files import BenchmarkItem
from glan_core.dataset.ngram_index import Match, NgramIndex
from glan_core.dataset.stopwords import STOPWORDS
from glan_core.dataset.text_normalization import words

VOCABULARY = [f"{a}{b}{c}" for a, b, c in product("bdfgk", "aeiou", ("mub", "rund", "lix", "zot"))]  # 100 keywords
STOP = [word for word in sorted(STOPWORDS) if len(word) > 3]


def text(start: int, number: int) -> str:
    """Return consecutive words of the vocabulary."""
    return " ".join(VOCABULARY[start : start + number])


def own(question: int, number: int) -> str:
    """Return words that no other question has; without digits, which are masked."""
    return " ".join("".join(chr(97 + int(digit)) for digit in f"{question:04}{at:02}") for at in range(number))


def index_of(*texts: str, digits: bool = False) -> NgramIndex:
    return NgramIndex([BenchmarkItem("bench", "test", str(nth), one) for nth, one in enumerate(texts)], digits=digits)


def matches(index: NgramIndex, one: str) -> list[Match]:
    return index.matches([one])[0]


def around(run: str) -> str:
    """Return a run of words within a text of other words."""
    return f"{text(80, 4)} {run} {text(90, 5)}"


# ------------------------------------------------------------------------------------------------------------------- runs


def test_constants_are_those_of_the_documentation():
    module = ngram_index
    assert (module.SHORT, module.LONG, module.MIN_KEYWORDS, module.MIN_KEYWORDS_SHORT) == (8, 13, 3, 4)
    assert (module.LEAST_SENTENCE, module.MOST_SHIFTS, module.FEW, module.MANY) == (3, 16, 3, 10)


@pytest.mark.parametrize(("question", "run", "counts"), [
    (40, 12, False), (40, 13, True), (40, 20, True),  # 13 words
    (24, 11, False), (24, 12, True), (25, 12, False), (16, 8, True), (17, 8, False), (17, 9, True),  # half of the question
    (15, 8, True), (15, 7, False), (9, 7, False), (9, 8, True), (8, 7, False), (8, 8, True),  # at least 8
])  # fmt: skip
def test_a_run_counts_from_13_words_or_half_of_the_question(question, run, counts):
    expected = [Match(0, 4, 0, run, run / question)] if counts else []
    assert matches(index_of(text(0, question)), around(text(0, run))) == expected


def test_a_match_has_its_places_in_text_and_question():
    index = index_of(text(50, 10), text(0, 30))
    assert matches(index, around(text(5, 15))) == [Match(1, 4, 5, 15, 0.5)]
    assert matches(index, text(15, 15)) == [Match(1, 0, 15, 15, 0.5)], "from the start of the text to the end of the question"
    assert matches(index, f"{text(0, 14)} {text(70, 1)} {text(15, 15)}") == [Match(1, 15, 15, 15, 0.5)], "the longest run"
    assert matches(index, f"{text(0, 14)} {text(70, 1)} {text(16, 14)}") == [Match(1, 0, 0, 14, 14 / 30)], (
        "the first of equal ones"
    )
    assert matches(index, around(text(0, 30))) == [Match(1, 4, 0, 30, 1.0)]


def test_several_questions_in_several_texts():
    index = index_of(text(0, 9), text(10, 9), text(20, 9))
    found = index.matches([f"{text(20, 9)} {text(0, 9)}", "", text(60, 20), text(10, 9)])
    assert [{(m.item, m.at) for m in one} for one in found] == [{(2, 0), (0, 9)}, set(), set(), {(1, 0)}]
    assert index.matches([]) == [] and NgramIndex([]).matches([text(0, 20)]) == [[]]
    assert NgramIndex([]).short_matches("Why?") == []


def test_an_index_is_configured_by_keyword():
    index = NgramIndex(items=[BenchmarkItem("bench", "test", "0", text(0, 9))], digits=True)
    assert index.digits is True and len(index.items) == 1
    with pytest.raises(TypeError):
        NgramIndex([], True)  # type: ignore[misc]


def test_a_run_does_not_extend_from_one_question_or_text_into_the_next():
    index = index_of(text(0, 10), text(10, 10))
    assert index.matches([text(5, 5), text(10, 3)]) == [[], []]
    assert matches(index, text(6, 8)) == []


def test_alignments_are_tried_separately():
    index = index_of(text(0, 30))
    assert matches(index, f"{text(0, 10)} {text(60, 3)} {text(10, 14)}") == [Match(0, 13, 10, 14, 14 / 30)]
    assert matches(index, f"{text(16, 14)} {text(0, 13)}") == [Match(0, 0, 16, 14, 14 / 30)]


def test_words_are_hashed_with_their_numbers_masked_but_compared_with_them():
    asked = f"{text(0, 4)} 12 {text(4, 5)} 7 {text(9, 3)}"
    changed = asked.replace("12", "13")
    assert matches(index_of(asked), changed) == [] and matches(index_of(asked), asked) == [Match(0, 0, 0, 14, 1.0)]
    assert matches(index_of(asked, digits=True), changed) == [Match(0, 0, 0, 14, 1.0, digits=True)]
    assert matches(index_of(asked, digits=True), asked) == [Match(0, 0, 0, 14, 1.0, digits=False)]
    part = f"{text(4, 5)} 7 {text(9, 3)} {text(60, 2)}"  # 9 words without the changed number
    assert matches(index_of(asked), part) == [Match(0, 0, 5, 9, 9 / 14)]
    other = part.replace("7", "8")
    assert matches(index_of(asked), other) == []
    assert matches(index_of(asked, digits=True), other) == [Match(0, 0, 5, 9, 9 / 14, digits=True)]


def test_a_whole_question_with_other_numbers_hides_no_equal_part():
    asked = f"{text(0, 14)} 5"
    assert matches(index_of(asked), f"{text(0, 14)} 6") == [], "it is another exercise"
    assert matches(index_of(asked), f"{text(0, 14)} {text(50, 1)}") == [Match(0, 0, 0, 14, 14 / 15)]


# --------------------------------------------------------------------------------------------------------------- keywords


def mixed(keywords: int, number: int, start: int = 0) -> str:
    """Return a run with so many keywords, the others stopwords."""
    return " ".join([*VOCABULARY[start : start + keywords], *STOP[: number - keywords]])


@pytest.mark.parametrize(("keywords", "run", "question", "counts"), [
    (2, 13, 40, False), (3, 13, 40, True), (3, 12, 24, False), (4, 12, 24, True), (3, 8, 16, False), (4, 8, 16, True),
    (0, 16, 16, True), (0, 8, 8, True),  # a whole question needs no keywords
])  # fmt: skip
def test_a_run_needs_3_keywords_or_4_if_it_is_short(keywords, run, question, counts):
    asked = f"{mixed(keywords, run)} {text(50, question - run)}"
    assert bool(matches(index_of(asked), f"{mixed(keywords, run)} zzz")) is counts


@pytest.mark.parametrize(("run", "number"), [
    (["alpha", "beta"], 2), (["alpha", "alpha"], 1), (["x", "+", "y"], 0), (["12", "3.5"], 1), (["7"], 1), (["the"], 0),
    (["x1", "x2"], 2), (["π"], 1), (["x"], 0), ([], 0), (["alpha", "12", "34"], 2),
])  # fmt: skip
def test_keywords_are_distinct_words_with_all_numbers_counted_as_one(run, number):
    assert ngram_index._has_keywords(run, number) and not ngram_index._has_keywords(run, number + 1)


# ----------------------------------------------------------------------------------------------------------- stock phrases


def sharing(number: int, others: int = 0, phrase: str = text(0, 13)) -> NgramIndex:
    """Return an index of `number` questions that end with a phrase, and others without it."""
    return index_of(*(f"{own(n, 30)} {phrase}" if n < number else own(n, 30) for n in range(number + others)))


@pytest.mark.parametrize(("number", "others", "stock"), [
    (1, 5, False), (2, 5, False), (3, 5, True), (3, 196, True), (3, 197, False), (4, 196, True), (9, 491, False), (10, 490, True),
    (9, 991, False), (10, 990, True),
])  # fmt: skip
def test_a_phrase_is_stock_if_3_questions_share_it_or_one_in_50_up_to_10(number, others, stock):
    assert bool(matches(sharing(number, others), around(text(0, 13)))) is not stock


def test_a_phrase_that_occurs_twice_in_a_question_counts_once():
    phrase = text(0, 13)
    index = index_of(f"{phrase} {own(0, 20)} {phrase} {own(1, 20)}", f"{own(2, 20)} {phrase}", own(3, 20))
    assert [match.item for match in matches(index, around(phrase))] == [0, 1]


@pytest.mark.parametrize(("others", "counts"), [(5, False), (6, True), (7, True)])
@pytest.mark.parametrize("side", ["before", "after"])
def test_stock_phrases_are_trimmed_from_a_run_before_it_is_measured(others, counts, side):
    # a phrase of 10 words has 3 stock runs of 8 words, so 3 words are trimmed: 10 + 6 - 3 = 13
    phrase = text(0, 10)
    ends = [own(n, 30) for n in range(3)]
    index = index_of(*(f"{phrase} {end}" if side == "before" else f"{end} {phrase}" for end in ends))
    part = " ".join(ends[1].split()[:others] if side == "before" else ends[1].split()[-others:])
    run = f"{phrase} {part}" if side == "before" else f"{part} {phrase}"
    assert bool(matches(index, around(run))) is counts
    if counts:
        assert [(m.item, m.run) for m in matches(index, around(run))] == [(1, 10 + others)], "the run itself is reported whole"


def test_a_question_of_stock_phrases_alone_is_found_as_a_whole():
    phrase = text(0, 12)
    index = index_of(phrase, *(f"{phrase} {text(start, 20)}" for start in (20, 40, 60)))
    assert [m.item for m in matches(index, around(phrase))] == [0]
    assert matches(index, around(text(0, 11))) == []


# --------------------------------------------------------------------------------------------------------- short questions


@pytest.mark.parametrize(("question", "said", "at"), [
    ("Who wrote Hamlet?", "who wrote HAMLET", 0), ("Who wrote Hamlet?", "A quiz. Who wrote Hamlet? Give a source.", 2),
    ("Hamlet?", "Hamlet", 0), ("Hamlet?", "A quiz. Hamlet?", None), ("Hamlet?", "Hamlet? Explain.", None),
    ("Hamlet who?", "A quiz. Hamlet who?", None),
    ("What is it?", "What is it?", 0), ("What is it?", "A quiz. What is it?", None),  # no keyword
    ("Who wrote Hamlet?", "Who wrote Hamlet and Macbeth?", None), ("What is 2 + 2?", "What is 2 - 2?", None),
    ("What is 2 + 2?", "Add: what is 2 + 2?", 1), ("Let x be 2. Find y.", "Try this. Let x be 2. Find y. Thanks!", 2),
])  # fmt: skip
def test_a_short_question_is_the_whole_text_or_a_sentence_of_3_words_with_a_keyword(question, said, at):
    found = index_of(question).short_matches(said)
    number = len(words(question))
    assert found == ([] if at is None else [Match(0, at, 0, number, 1.0, False)])


def test_sentences_are_joined_up_to_16_words_and_signs():
    seven = "a + b = c + d"  # 4 words, 7 words and signs
    assert index_of(seven).short_matches(seven)
    asked = ". ".join(f"+ + {word}" for word in VOCABULARY[:5])  # 15 words and signs
    assert len(index_of(asked).short_matches(asked)) == 1
    sixteen = ". ".join(f"+ + + {word}" for word in VOCABULARY[:4])
    assert len(index_of(sixteen).short_matches(sixteen)) == 1
    seventeen = f"+ {sixteen}"
    assert index_of(seventeen).short_matches(seventeen) == []


def test_seven_words_are_short_and_eight_are_not():
    assert index_of(text(0, 7)).short_matches(text(0, 7)) == [Match(0, 0, 0, 7, 1.0)] and not matches(
        index_of(text(0, 7)), text(0, 7)
    )
    assert index_of(text(0, 8)).short_matches(text(0, 8)) == [] and matches(index_of(text(0, 8)), text(0, 8))


def test_short_questions_with_other_numbers():
    assert index_of("What is 2 + 2?").short_matches("What is 3 + 2?") == []
    assert index_of("What is 2 + 2?", digits=True).short_matches("What is 3 + 2?") == [Match(0, 0, 0, 4, 1.0, True)]
    assert index_of("What is 2 + 2?", digits=True).short_matches("What is 2 + 2?") == [Match(0, 0, 0, 4, 1.0, False)]


def test_of_repeated_words_the_place_nearest_to_the_sentence_is_taken():
    said = "Ask who wrote hamlet again and again. Then: Who wrote Hamlet?"
    assert index_of("Who wrote Hamlet?").short_matches(said) == [Match(0, 8, 0, 3, 1.0)]


# ------------------------------------------------------------------------------------------------------------------ twins


def test_equal_questions_are_twins_and_empty_ones_are_skipped():
    index = index_of(text(0, 9), "Who wrote Hamlet?", text(0, 9).upper(), "", "who wrote hamlet", "?!", text(50, 9))
    assert index.twins == {0: [0, 2], 1: [1, 4], 6: [6]}
    assert [match.item for match in matches(index, text(0, 9))] == [0]
    assert [match.item for match in index.short_matches("Who wrote Hamlet?")] == [1]


# ----------------------------------------------------------------------------------------------------------------- helpers


@pytest.mark.parametrize(("flags", "expected"), [
    ("", []), ("1", [(0, 1)]), ("0", []), ("110100111", [(0, 2), (3, 4), (6, 9)]), ("0110", [(1, 3)]),
])  # fmt: skip
def test_stretches_of_true_flags(flags, expected):
    assert ngram_index._stretches([flag == "1" for flag in flags]) == expected


def test_runs_lie_within_one_text():
    hashes = np.arange(30, dtype=np.uint64)
    values, places, owner = ngram_index._runs(hashes, np.array([0, 9, 9, 16, 25, 30]))
    assert places.tolist() == [0, 1, 16, 17] and owner.tolist() == [0, 0, 3, 3] and len(values) == 4
    assert all(len(part) == 0 for part in ngram_index._runs(hashes[:5], np.array([0, 5])))
    values, places, owner = ngram_index._runs(hashes[:8], np.array([0, 8]))
    assert places.tolist() == [0] and owner.tolist() == [0]
