"""Spans between delimiters, phrases with words of theirs, and normalization of many marks."""

import re
import unicodedata

import pytest

from glan_core.delimited_spans import NextPlaces, replaced, spans
from glan_core.markdown_parts import code_parts, math_signs
from glan_core.phrase_patterns import PhrasePatterns
from glan_core.unicode_text import normalized


def test_places_are_found_in_any_order():
    places = NextPlaces("a)b)c")
    assert [places.find(")", at) for at in (0, 1, 2, 0, 4)] == [(1, 2), (1, 2), (3, 4), (1, 2), None]
    assert places.find(re.compile("[bc]"), 3) == (4, 5)


def test_spans_do_not_overlap_and_openings_without_an_end_are_passed_over():
    text = "((a) (b) (c"
    places = NextPlaces(text)

    def end_of(found):
        closing = places.find(")", found.end())
        return closing[1] if closing else None

    found = list(spans(text, re.compile(r"\("), end_of))
    assert [text[start:end] for start, end in found] == ["((a)", "(b)"]
    assert replaced(text, found, "-") == "- - (c"
    assert replaced(text, found, str.upper) == "((A) (B) (c"


def test_phrases_are_the_alternatives_of_one_pattern():
    phrases = PhrasePatterns((("cat",), r"a\scat\w*"), (("dog", "wolf"), r"\w+\s(?:dog|wolf)"), (("cat",), "cat"))
    text = "A wolf, a CATFISH and the dog"
    assert [found.group() for found in phrases.finditer(text)] == ["A wolf", "a CATFISH", "the dog"]
    assert phrases.search(text).group() == "A wolf"
    assert phrases.search("some cats").group() == "cat" and phrases.search("a bird") is None
    assert phrases.may_match("Dogma") and not phrases.may_match("a bird")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a `b` c", ["`b`"]),
        ("```py\nx\n```\n`y` and `z", ["```py\nx\n```\n", "`y`"]),
        ("~~~\n``` a", ["~~~\n``` a"]),
        ("`a\n\nb`", []),
        ("- ```\n  x\n  ```\nrest", ["- ```\n  x\n  ```\n"]),
    ],
)
def test_code_parts(text, parts):
    assert [text[start:end] for start, end in code_parts(text)] == parts


def test_formulas_and_money():
    found = list(math_signs(r"$x$ costs $5, \(y\) and $$z$$ or \[w\]"))
    assert [(sign.sign, sign.tex, sign.display) for sign in found] == [
        ("$", "x", False), ("$", "", False), ("\\(", "y", False), ("$$", "z", True), ("\\[", "w", True),
    ]  # fmt: skip


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
def test_normalization_is_that_of_unicode_up_to_thirty_marks(form):
    for text in ("ﬁ Ǖ naïve", "a" + "\u0301\u0323" * 15, "ᄀ" + "ᅡ"):
        assert normalized(form, text) == unicodedata.normalize(form, text)
    flood = normalized(form, "a" + "\u0301\u0323" * 50)
    assert flood.count("\u034f") == 3
