"""Terms: the words of a text that count for similarity and keywords, in any script."""

from functools import cache

from glan_core.dataset.text_normalization import is_character, placed_words, words

# Contractions without their apostrophes, as `words` returns them; the lists of scikit-learn have only their parts.
CONTRACTIONS = (
    "arent", "cant", "couldnt", "didnt", "doesnt", "dont", "hadnt", "hasnt", "havent", "heres", "im", "isnt", "ive", "lets",
    "shouldnt", "thats", "theres", "theyre", "wasnt", "werent", "whats", "wont", "wouldnt", "youre", "youve",
)  # fmt: skip
_HANGUL = ("\uac00", "\ud7a3")


@cache
def stop_words() -> frozenset[str]:
    """Return English grammatical words."""
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    return frozenset((*ENGLISH_STOP_WORDS, *CONTRACTIONS))


def terms(text: str) -> list[str]:
    """Return the words of at least two letters, Korean words as syllables, and single characters of scripts without spaces."""
    found = words(text)
    if text.isascii():
        return [word for word in found if len(word) > 1]
    return [
        part
        for word in found
        for part in (word if _HANGUL[0] <= word[0] <= _HANGUL[1] else (word,))
        if len(word) > 1 or is_character(word) or part != word
    ]


def content_terms(text: str) -> list[str]:
    """Return the terms of a text without stop words."""
    return [term for term in terms(text) if term not in stop_words()]


def readable_terms(text: str) -> list[str]:
    """Return the words of at least two letters for display, adjacent characters of scripts without spaces as pairs."""
    if text.isascii():
        return terms(text)
    placed = placed_words(text)
    found = []
    for nth, (word, (_, end)) in enumerate(zip(placed.words, placed.spans, strict=True)):
        if not is_character(word):
            found += [word] if len(word) > 1 else []
        elif nth + 1 < len(placed.words) and placed.spans[nth + 1][0] == end and is_character(placed.words[nth + 1]):
            found.append(word + placed.words[nth + 1])
    return found
