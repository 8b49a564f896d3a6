"""Tests for terms: words of any script count for the word embedder, lexical metrics and keywords."""

import numpy as np
import pytest

from glan_core.diversity.clusters import keywords
from glan_core.diversity.embedders import WordEmbedder
from glan_core.diversity.metrics import distinct_n, ngrams
from glan_core.diversity.terms import content_terms, readable_terms, terms

PAIRS = {
    "Hindi": ("दिन का अर्थ समझाओ", "दान का अर्थ समझाओ"),
    "Thai": ("ปู่กินอะไร", "ป่ากินอะไร"),
    "Tamil": ("கல் என்ன", "கால் என்ன"),
    "Chinese": ("什么是质数", "什么是合数"),
    "emoji": ("🙂", "🙁"),
}


@pytest.mark.parametrize("name", PAIRS)
def test_different_questions_have_different_vectors_and_ngrams(name):
    one, other = PAIRS[name]
    x = WordEmbedder().embed([one, other, one])
    assert x[0] @ x[1] < 0.99 and np.allclose(x[0], x[2])
    assert distinct_n(ngrams([one, one], 1)) < distinct_n(ngrams([one, other], 1))


@pytest.mark.parametrize(("text", "expected"), [
    ("What's a prime? It isn't x.", ["whats", "prime", "it", "isnt"]), ("물은", ["물", "은"]), ("质数 é да и", ["质", "数", "да"]),
    ("दिन में", ["दिन", "में"]), ("👍🏽!", ["👍🏽"]),
])  # fmt: skip
def test_terms(text, expected):
    assert terms(text) == expected


def test_content_terms_have_no_contractions():
    assert content_terms("What's a prime? It isn't x, don't worry.") == ["prime", "worry"]


def test_keywords_of_scripts_without_spaces_are_pairs_of_characters():
    assert readable_terms("质数, 合数 ok 물은") == ["质数", "合数", "ok", "물은"]
    texts = ["什么是质数", "质数有多少", "光合作用", "光合作用的叶"] * 5
    found = keywords(texts, np.array([0, 0, 1, 1] * 5), 2)
    assert "质数" in found[0] and {"光合", "合作", "作用"} & set(found[1])
    assert keywords(["दिन दिन", "दान दान"] * 5, np.array([0, 1] * 5), 2) == [["दिन"], ["दान"]]
    assert keywords(["?", "12 3.5"], np.array([0, 1]), 2) == [[], []]
