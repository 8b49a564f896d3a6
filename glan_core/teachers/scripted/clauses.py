"""Names and sentences of the textbook as parts of other sentences: capitals, articles and number."""

import re

_WORD = re.compile(r"\w+")
_PLURAL_VERBS = "are|occur|state|reimburse"


class Capitals:
    """Determines which words stay capitalized within a sentence, from their spelling in the texts of a discipline."""

    def __init__(self, text: str) -> None:
        self._text = text
        lower = set(re.findall(r"\b[a-z]\w*", text))
        self._proper = set(re.findall(r"(?<=[\w,;] )[A-Z]\w*", text)) - {word.capitalize() for word in lower}

    def name_inside(self, name: str) -> str:
        """Return a name as it is written within a sentence."""
        first = _WORD.match(name)
        if not first or not name[0].isupper():
            return name
        lowered = name[0].lower() + name[1:]
        if re.search(rf"\b{re.escape(lowered)}\b", self._text):
            return lowered
        word = first.group()
        keeps = name[:2].isupper() or word in self._proper or name[len(word) :].startswith(("'", "’", "–"))
        return name if keeps else lowered

    def sentence_inside(self, sentence: str) -> str:
        """Return a sentence as a clause: without its period, and with a small letter unless it begins with a proper name."""
        clause = sentence.rstrip(".")
        first = _WORD.match(clause)
        word = first.group() if first else ""
        proper = (
            not word
            or word == "I"
            or (word in self._proper and not word.endswith("ing"))
            or (len(word) > 1 and not word[1:].islower())
        )
        return clause if proper else clause[0].lower() + clause[1:]


def with_article(term: str, definition: str) -> str:
    """Return a term with the article that its definition uses, if any."""
    found = re.search(rf"\b(an?|the)\s+{re.escape(term)}\b", definition, re.IGNORECASE)
    first = re.search(rf"\b{re.escape(term)}\b", definition, re.IGNORECASE)
    return f"{found.group(1).lower()} {term}" if found and first and found.end() == first.end() else term


def is_plural(term: str, definition: str) -> bool:
    """Return whether a term is a plural, by the verb of its definition."""
    subject = rf"(?:the )?{re.escape(term)}(?: of (?:a |an |the )?\w+)?"
    return bool(re.match(rf"{subject} (?:{_PLURAL_VERBS})\b", definition, re.IGNORECASE))


def has_phrase(text: str, phrase: str) -> bool:
    """Return whether a lowercase phrase occurs in a lowercase text as whole words."""
    start = text.find(phrase)
    while start >= 0:
        if not text[start - 1 : start].isalnum() and phrase_end(text, start + len(phrase)):
            return True
        start = text.find(phrase, start + 1)
    return False


def phrase_end(text: str, end: int) -> int:
    """Return the end of a matched phrase including a plural 's', or 0 if it ends within a word."""
    if text[end : end + 1] == "s":
        end += 1
    return 0 if text[end : end + 1].isalnum() and text[end - 1].isalnum() else end
