"""Phrases of the textbook in a text: quoted cases, claims, mistakes and definitions, and names."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

from glan_core.teachers.scripted.clauses import phrase_end
from glan_core.teachers.scripted.definitions import called
from glan_core.teachers.scripted.textbook import Claim, Entry, Example, Mistake, textbook

# Quotations are indexed by this many characters, because dozens of situations start with 'A'.
QUOTATION_HEAD = 12
_WORD = re.compile(r"\w+")

Quotation = Example | Claim | Mistake | str  # a string is a definition without the name
# (lowercase phrase, concepts, what is quoted or None for a name of a concept or subject, whether it names a concept).
Phrase = tuple[str, tuple[Entry, ...], Quotation | None, bool]


@dataclass(frozen=True)
class Mention:
    """A phrase of the textbook found in a text.

    Attributes:
        start: Start offset.
        end: End offset.
        entries: The concepts it may refer to; for the name of a subject, those that the subject contains.
        quoted: The case, claim, mistake or definition that is quoted, None if the phrase is a name.
        names_concept: Whether the phrase is the name of a concept and not of a subject.
    """

    start: int
    end: int
    entries: tuple[Entry, ...]
    quoted: Quotation | None
    names_concept: bool


def find_mentions(text: str) -> list[Mention]:
    """Return the textbook phrases in a text from left to right, the longest at each position, without overlaps.

    Quotations must match exactly, except that claims may lack their period; a case includes its question if that follows. Names
    of concepts, subjects and fields match in any case and with a plural 's'.
    """
    lowered = text.lower()
    found: list[Mention] = []
    end = 0
    while word := _WORD.search(lowered, end):
        start, end = word.span()
        phrases = _index().get(lowered[start : start + QUOTATION_HEAD], ()) + _index().get(word.group(), ())
        for phrase, entries, quoted, names_concept in phrases:
            if lowered.startswith(phrase, start) and (stop := phrase_end(lowered, start + len(phrase))):
                if isinstance(quoted, Example) and lowered.startswith(f" {quoted.question.lower()}", stop):
                    stop += 1 + len(quoted.question)
                found.append(Mention(start, stop, entries, quoted, names_concept))
                end = stop
                break
    return found


@cache
def _index() -> dict[str, tuple[Phrase, ...]]:
    """Index the recognizable phrases, longest first: quotations by their beginning, names by their first word."""
    by_head: dict[str, list[Phrase]] = defaultdict(list)
    names: dict[tuple[str, bool], list[Entry]] = defaultdict(list)
    for entry in textbook().entries():
        for text, quoted in _quotations(entry):
            if word := _WORD.search(text):
                known_by = text[word.start() :]
                by_head[known_by[:QUOTATION_HEAD]].append((known_by, (entry,), quoted, False))
        names[entry.concept.name.lower(), True].append(entry)
        for place in {entry.subject.name.lower(), entry.subject.field.lower()}:
            names[place, False].append(entry)
    for (name, names_concept), entries in names.items():
        if word := _WORD.search(name):
            by_head[word.group()].append((name[word.start() :], tuple(entries), None, names_concept))
    return {head: tuple(sorted(phrases, key=lambda phrase: -len(phrase[0]))) for head, phrases in by_head.items()}


def _quotations(entry: Entry) -> Iterator[tuple[str, Quotation]]:
    """Yield the texts that questions quote of a concept, in lower case."""
    concept = entry.concept
    quotations: Iterable[tuple[str, Quotation]] = [
        *((example.situation, example) for example in concept.examples),
        *((claim.claim.rstrip("."), claim) for claim in (concept.true_claim, concept.false_claim)),
        (concept.mistake.mistake.rstrip("."), concept.mistake),
        (called(entry), called(entry)),
    ]
    return ((text.lower(), quoted) for text, quoted in quotations if text)
