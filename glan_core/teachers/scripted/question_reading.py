"""Reading of questions: which concepts, cases and claims of the textbook a question contains, and what it asks about each.

Cases, claims, exercises, concepts, topics and fields are recognized by their text. The words around them are read sentence by
sentence: what a sentence asks concerns the concepts that it names, or those of the sentence before if it names none.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from glan_core.teachers.scripted.exercises import find_exercise
from glan_core.teachers.scripted.textbook import Claim, Entry, Example, Mention, Session, textbook

MAX_WORDS_BY_NAME = 30
MOST_ASKED = 12  # a text that names more concepts, such as a syllabus, is no question about them

_PARTS = {
    "meaning": r"meant|means?|meaning|defin\w+|explain\w*|explanation|introduc\w+|what (?:is|are)|glossary|overview|notes|tell me about",
    "significance": r"good for|(?<!other )matters?|importan\w+|useful|significan\w+|worth (?:knowing|learning)|"
    r"why (?:is|are|do|does|should|would|study|learn)",
    "mistake": r"mistakes?|go(?:es)? wrong|gets? wrong|get \w+ wrong|errors?|wrongly|pitfalls?",
    "relation": r"connect\w*|relat(?:e|ed|es|ion|ions|ionship)|bear on|link(?:s|ed)?|depend on|differen(?:t|ce|ces)|differ|compar\w+|distinguish\w*|"
    r"to do with|fit together|hang together|confus\w+",
    "example": r"examples?|illustrat\w+|instances?",
    "topics": r"belongs?|sort",
    "choice": r"which (?:of )?(?:these |the )?(?:terms?|ideas?)|match",
}
_PATTERNS = {part: re.compile(rf"\b(?:{words})\b", re.IGNORECASE) for part, words in _PARTS.items()}
_ALL = re.compile(
    r"\b(?:(?:all|each|every|both)(?: one)?(?: of)? (?:the |these |those )?(?:terms?|concepts?|ideas?)|(?:the|these) terms)\b",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"(?<=[.?!])[\"')]?\s+|(?<=[.?!][\"')])\s+")
_PLACE = re.compile(r"<(\d+)>")


@dataclass
class Reading:
    """What a question contains and asks.

    Attributes:
        entries: The concepts, in the order of the question; all belong to one subject.
        quoted: The quoted cases and claims with their concepts, in the order of the question.
        topics: The topics that the question names.
        asked: The concepts that each part is asked about, by their `order`.
    """

    entries: list[Entry] = field(default_factory=list)
    quoted: list[tuple[Entry, Example | Claim]] = field(default_factory=list)
    topics: list[Session] = field(default_factory=list)
    asked: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))

    @property
    def cases(self) -> list[tuple[Entry, Example]]:
        """The quoted cases with their concepts."""
        return [(entry, item) for entry, item in self.quoted if isinstance(item, Example)]

    @property
    def claims(self) -> list[tuple[Entry, Claim]]:
        """The quoted claims with their concepts."""
        return [(entry, item) for entry, item in self.quoted if isinstance(item, Claim)]

    def asks(self, part: str, entry: Entry) -> bool:
        """Return whether a part is asked about a concept."""
        return entry.order in self.asked[part]

    def about(self, part: str) -> list[Entry]:
        """Return the concepts that a part is asked about."""
        return [entry for entry in self.entries if self.asks(part, entry)]

    def quotes(self, entry: Entry) -> bool:
        """Return whether the question quotes a case or claim of a concept."""
        return any(entry is of for of, _ in self.quoted)


def read_question(question: str) -> Reading:
    """Read a question; the result has no concepts if the question is not about the textbook."""
    if found := find_exercise(question):
        question = question.replace(found[1].group(), "An exercise.")
    mentions = textbook().mentions(question)
    reading = Reading(_asked_about(question, mentions))
    if not reading.entries:
        return reading
    for mention in mentions:
        entry, quoted = mention.entries[0], question[mention.start : mention.end].lower()
        if mention.kind == "situation":
            reading.quoted += [(entry, case) for case in entry.concept.examples if case.situation.lower() == quoted]
        elif mention.kind == "claim":
            claims = (entry.concept.true_claim, entry.concept.false_claim)
            reading.quoted += [(entry, claim) for claim in claims if claim.claim.lower() == quoted]
        elif mention.kind == "topic" and entry.subject is reading.entries[0].subject:
            reading.topics.append(entry.session)
    _read_sentences(reading, question, mentions)
    return reading


def _asked_about(question: str, mentions: Sequence[Mention]) -> list[Entry]:
    """Return the concepts that a question is about, in the order of the question; all belong to one subject."""
    certain = [mention.entries[0] for mention in mentions if mention.kind in ("situation", "claim")]
    # A long question without textbook quotations comes from elsewhere, where a name may have another meaning.
    place = [m.entries[0] for m in mentions if m.kind in ("subject", "topic")]
    if not certain and not place and question.count(" ") >= MAX_WORDS_BY_NAME:
        return []
    subjects = {entry.subject.name for entry in certain or place}
    found: dict[int, Entry] = {}
    for mention in mentions:
        if mention.kind in ("situation", "claim"):
            found.setdefault(mention.entries[0].order, mention.entries[0])
        elif mention.kind == "concept":
            for entry in mention.entries:
                subjects = subjects or {entry.subject.name}
                if entry.subject.name in subjects:
                    found.setdefault(entry.order, entry)
    return list(found.values()) if len(found) <= MOST_ASKED else []


def _read_sentences(reading: Reading, question: str, mentions: Sequence[Mention]) -> None:
    """Find the parts that each sentence asks for, and the concepts that it concerns."""
    known = {entry.order: entry for entry in reading.entries}
    subject = reading.entries[0].subject
    sentences = _SENTENCE_END.split(_own_words(question, mentions))
    named = [_named(sentence, mentions, subject.name) & set(known) for sentence in sentences]
    for nth, sentence in enumerate(sentences):
        earlier = next((orders for orders in reversed(named[:nth]) if orders), set())
        later = next((orders for orders in named[nth + 1 :] if orders), set())
        concerned = set(known) if _ALL.search(sentence) else named[nth] or earlier or later or set(known)
        for part, pattern in _PATTERNS.items():
            if pattern.search(sentence) and (part != "topics" or _has_topic(sentence, mentions)):
                reading.asked[part] |= concerned
    if len(reading.asked["relation"]) < 2:
        reading.asked["relation"].clear()
    if not reading.cases:
        reading.asked["choice"].clear()


def _own_words(question: str, mentions: Sequence[Mention]) -> str:
    """Return the question with '<3>' in place of the fourth mention."""
    text, end = "", 0
    for nth, mention in enumerate(mentions):
        stop = "." if mention.kind in ("situation", "claim") else ""
        text += f"{question[end : mention.start]}<{nth}>{stop}"
        end = mention.end
    return text + question[end:]


def _named(sentence: str, mentions: Sequence[Mention], subject: str) -> set[int]:
    """Return the concepts that a sentence names."""
    entries = (entry for mention in _places(sentence, mentions) if mention.kind == "concept" for entry in mention.entries)
    return {entry.order for entry in entries if entry.subject.name == subject}


def _has_topic(sentence: str, mentions: Sequence[Mention]) -> bool:
    return any(mention.kind == "topic" for mention in _places(sentence, mentions))


def _places(sentence: str, mentions: Sequence[Mention]) -> list[Mention]:
    return [mentions[int(number)] for number in _PLACE.findall(sentence) if int(number) < len(mentions)]
