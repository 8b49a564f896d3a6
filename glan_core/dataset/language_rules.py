"""Quality rule for the language of questions and answers, and which texts the rules for English phrases cannot judge."""

import re
from functools import cache
from typing import Any

from glan_core.dataset.prose_spans import CODE, formulas, quotations
from glan_core.dataset.text_normalization import words
from glan_core.delimited_spans import replaced

_LANGUAGE_TASK = re.compile(
    r"""\b(?:translat\w+|languages?|dialects?|phrases?\sin|pronunciation|conjugat\w+|vocabulary|bilingual|multilingual|
    (?:in|into|from|the)\s(?:english|french|german|spanish|italian|portuguese|russian|chinese|mandarin|cantonese|japanese|korean|
    arabic|hebrew|hindi|urdu|bengali|latin|greek|dutch|swedish|norwegian|danish|finnish|polish|czech|turkish|persian|vietnamese|
    thai|indonesian|swahili|sanskrit|ukrainian|romanian|hungarian))\b""",
    re.IGNORECASE | re.VERBOSE,
)
_LEAST_WORDS, _LEAST_CERTAIN, _LOOKED_AT = 12, 0.95, 600
_ALIKE = [
    {"no", "nn", "da"},
    {"zh", "yue", "wuu"},
    {"hr", "sr", "bs"},
    {"id", "ms"},
    {"en", "pcm"},
    {"es", "gl", "ext"},
    {"de", "lb"},
]
_ENGLISH = frozenset(("the", "of", "and", "to", "in", "is", "a", "that", "for", "with", "are", "what", "how"))


def language(question: str, answer: str, expected: str = "en") -> str | None:
    """Flag a question or answer that is not in the expected language.

    Code, formulas, quotations and short texts are skipped, and so are answers to questions about languages.
    """
    for which, text in (("question", question), ("answer", answer)):
        if which == "answer" and _LANGUAGE_TASK.search(question):
            continue
        if found := _other_language(text, expected):
            return f"the {which} is in language {found!r}"
    return None


def _other_language(text: str, expected: str) -> str | None:
    if expected == "en" and _has_english(text[:_LOOKED_AT].lower().split()):
        return None
    opening = text[: 3 * _LOOKED_AT]
    prose = CODE.sub(" ", replaced(opening, quotations(opening)))
    prose = replaced(prose, formulas(prose))[:_LOOKED_AT]
    own = [word for word in words(prose) if not word.isnumeric()]
    if len(own) < _LEAST_WORDS or (expected == "en" and _has_english(own)):
        return None
    found, certain = _identifier().classify(prose)
    alike = next((group for group in _ALIKE if expected in group), {expected})
    least = 0.4 if expected == "en" and _beyond_latin(prose) else _LEAST_CERTAIN
    return None if found in alike or found == "zxx" or certain < least else found


def is_foreign(text: str, context: str = "") -> bool:
    """Return whether a text is in another language than English.

    Args:
        text: The text.
        context: Text of the same language that decides if `text` is too short to tell.
    """
    if not text.isascii() and _beyond_latin(text):
        return True
    if _other_language(text, "en"):
        return True
    lowered = text[:_LOOKED_AT].lower().split()
    return bool(context) and len(lowered) < _LEAST_WORDS and not _has_english(lowered) and is_foreign(context)


def _has_english(own: list[str]) -> bool:
    """Return whether common English words are as frequent as in English prose."""
    return sum(map(_ENGLISH.__contains__, own)) > 0.12 * len(own)


def _beyond_latin(text: str) -> bool:
    """Return whether most letters are non-Latin, so that the language is not in doubt for English."""
    letters = [letter for letter in text if letter.isalpha()]
    return 2 * sum(letter >= "\u0370" for letter in letters) > len(letters)


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
