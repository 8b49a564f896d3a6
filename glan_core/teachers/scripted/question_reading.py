"""Reading of questions: which concepts, cases and claims of the textbook a question contains, and what it asks about each.

Cases, claims, mistakes, definitions, exercises, concepts and fields are recognized by their text. The words around them are read
sentence by sentence: what a sentence asks concerns the concepts that it names or quotes, or else those of the sentence before.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from glan_core.teachers.scripted.exercises import find_exercise
from glan_core.teachers.scripted.mentions import Mention, Quotation, find_mentions
from glan_core.teachers.scripted.textbook import Claim, Entry, Example, Mistake, textbook

MAX_WORDS_BY_NAME = 30
MOST_ASKED = 12  # a text that names more concepts, such as a syllabus, is no question about them

_NAME = r"(?:an? |the )?<"  # a concept is written as '<3>', a quotation as '[3]'
_PARTS = {
    "card": r"flash ?cards?",
    "problem": r"(?:practice|exam) (?:problem|question)s?",
    "meaning": rf"meant|means?|meaning|defin\w+|explain\w*|explanation|introduc\w+|what (?:\w+ )?(?:is|are) {_NAME}|glossary|"
    r"overview|notes|tell me about|difference|differs?|distinguish\w*|compar\w+|summar\w+",
    "significance": r"good for|(?<!other )matters?|importan(?:t|ce)|useful|significan\w+|worth (?:knowing|learning)|"
    r"why (?:is|are|do|does|should|would|study|learn)\b[^\[<]{0,200}<",
    "mistake": r"mistakes?|go(?:es)? wrong|gets? wrong|get \w+ wrong|errors?|pitfalls?",
    "relation": r"connect\w*|relat(?:e|ed|es|ion|ions|ionship)|bear on|link(?:s|ed)?|depend on|differen(?:t|ce|ces)|differ|"
    r"compar\w+|distinguish\w*|to do with|fit together|hang together|confus\w+",
    "example": r"examples?|illustrat\w+|instances?",
}
_PATTERNS = {part: re.compile(rf"\b(?:{words})", re.IGNORECASE) for part, words in _PARTS.items()}
_CHOICE = re.compile(
    r"\b(?:which|what|choose|name) (?:of (?:these|the) |\w+ )?(?:terms?|ideas?|concepts?|principles?)\b|\bmatch\b|\bwhich fits here\b",
    re.IGNORECASE,
)
_ALL = re.compile(
    r"\b(?:(?:all|each|every|both)(?: one)?(?: of)? (?:the |these |those )?(?:terms?|concepts?|ideas?)|(?:the|these) terms)\b",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"(?<=[.?!])[\"')]?\s+|(?<=[.?!][\"')])\s+")
_PLACE = re.compile(r"[<\[](\d+)[>\]]")
_LABEL = re.compile(r"\(([a-d]|[1-4])\)|(?<!\S)([1-4])\.(?=\s)")


@dataclass(frozen=True)
class Task:
    """One thing that a question asks.

    Attributes:
        part: 'quoted' for a quotation, 'exercise' for one, else what is asked about concepts ('meaning', 'relation').
        entries: The concepts; several only for a relation.
        quoted: The quotation.
        label: The label of the part of the question, as '(a)' or '2.'; '' for none.
    """

    part: str
    entries: tuple[Entry, ...]
    quoted: Quotation | None = None
    label: str = ""


@dataclass
class Reading:
    """What a question contains and asks.

    Attributes:
        entries: The concepts, in the order of the question; all belong to one subject.
        tasks: What is asked, in the order of the question.
        choice: Whether the question asks which concept a case belongs to.
        words: The question with '<3>' in place of a name and '[3]' in place of a quotation.
    """

    entries: list[Entry] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)
    choice: bool = False
    words: str = ""

    @property
    def cases(self) -> list[Example]:
        """The quoted cases."""
        return [task.quoted for task in self.tasks if isinstance(task.quoted, Example)]

    @property
    def claims(self) -> list[Claim]:
        """The quoted claims."""
        return [task.quoted for task in self.tasks if isinstance(task.quoted, Claim)]


def read_question(question: str) -> Reading:
    """Read a question; the result has no concepts if the question is not about the textbook."""
    exercise = find_exercise(question)
    owner = next((e for e in textbook().entries() if exercise and e.concept.name == exercise[0].concept), None)
    if exercise:
        question = question.replace(exercise[1].group(), "An exercise.")
    mentions = find_mentions(question)
    reading = Reading(_asked_about(question, mentions))
    if owner and (not reading.entries or owner.subject is reading.entries[0].subject) and owner not in reading.entries:
        reading.entries.insert(0, owner)
    if not reading.entries:
        return reading
    reading.words = _own_words(question, mentions)
    placed: list[tuple[int, Task]] = []
    if owner:
        placed.append((reading.words.find("An exercise."), Task("exercise", (owner,))))
    places = {int(found.group(1)): found.start() for found in _PLACE.finditer(reading.words)}
    for nth, mention in enumerate(mentions):
        if mention.quoted is not None:
            placed.append((places[nth], Task("quoted", mention.entries[:1], mention.quoted)))
    placed += _read_sentences(reading, mentions)
    reading.choice = bool(_CHOICE.search(reading.words)) and any(isinstance(task.quoted, Example) for _, task in placed)
    if not placed:
        placed = [(nth, Task("meaning", (entry,))) for nth, entry in enumerate(reading.entries)]
    reading.tasks = [_labeled(task, reading.words[:at]) for at, task in sorted(placed, key=lambda item: item[0])]
    return reading


def _labeled(task: Task, before: str) -> Task:
    """Return a task with the label of its part of the question, the last one before it."""
    labels = [found.group() for found in _LABEL.finditer(before)]
    return Task(task.part, task.entries, task.quoted, labels[-1] if labels else "")


def _asked_about(question: str, mentions: Sequence[Mention]) -> list[Entry]:
    """Return the concepts that a question is about, in the order of the question; all belong to one subject."""
    certain = [mention.entries[0] for mention in mentions if mention.quoted is not None]
    # A long question without textbook quotations comes from elsewhere, where a name may have another meaning.
    place = [mention.entries[0] for mention in mentions if mention.quoted is None and not mention.names_concept]
    if not certain and not place and question.count(" ") >= MAX_WORDS_BY_NAME:
        return []
    named = [mention for mention in mentions if mention.quoted is None and mention.names_concept]
    common = Counter(name for mention in named for name in dict.fromkeys(entry.subject.name for entry in mention.entries))
    subjects = {entry.subject.name for entry in certain or place} or {name for name, _ in common.most_common(1)}
    found: dict[int, Entry] = {}
    for mention in mentions:
        if mention.quoted is not None or mention.names_concept:
            for entry in mention.entries:
                if entry.subject.name in subjects:
                    found.setdefault(entry.order, entry)
    return list(found.values()) if len(found) <= MOST_ASKED else []


def _read_sentences(reading: Reading, mentions: Sequence[Mention]) -> list[tuple[int, Task]]:
    """Return what each sentence asks about the concepts that it concerns, with its place."""
    known = {entry.order: entry for entry in reading.entries}
    corrected = {mention.entries[0].order for mention in mentions if isinstance(mention.quoted, Mistake)}
    found: dict[tuple[str, int], tuple[int, Task]] = {}
    joined: dict[int, Entry] = {}
    joined_at = 0
    at = 0
    sentences = _SENTENCE_END.split(reading.words)
    named = [_named(sentence, mentions, reading.entries[0].subject.name, known) for sentence in sentences]
    for nth, sentence in enumerate(sentences):
        at = reading.words.index(sentence, at)
        earlier = next((orders for orders in reversed(named[:nth]) if orders), [])
        later = next((orders for orders in named[nth + 1 :] if orders), [])
        concerned = list(known) if _ALL.search(sentence) else named[nth] or earlier or later or list(known)
        for part, pattern in _PATTERNS.items():
            if not (place := pattern.search(sentence)):
                continue
            for order in concerned:
                if part == "relation":
                    joined[order], joined_at = known[order], at + place.start()
                elif not (part == "mistake" and order in corrected):
                    found.setdefault((part, order), (at + place.start(), Task(part, (known[order],))))
    tasks = list(found.values())
    if len(joined) == 1 and len(known) > 1:  # 'What has this to do with <2>?' concerns the case before as well
        joined = known
    return [*tasks, (joined_at, Task("relation", tuple(joined.values())))] if len(joined) > 1 else tasks


def _own_words(question: str, mentions: Sequence[Mention]) -> str:
    """Return the question with '<3>' in place of the fourth mention if it is a name, else '[3]'."""
    text, end = "", 0
    for nth, mention in enumerate(mentions):
        place = f"[{nth}]" if mention.quoted is not None else f"<{nth}>" if mention.names_concept else f"{{{nth}}}"
        stop = "." if question[mention.end - 1] in ".?!" else ""
        text += f"{question[end : mention.start]}{place}{stop}"
        end = mention.end
    return text + question[end:]


def _named(sentence: str, mentions: Sequence[Mention], subject: str, known: dict[int, Entry]) -> list[int]:
    """Return the concepts that a sentence names, in its order, or else those that it quotes."""
    found = [mentions[int(number)] for number in _PLACE.findall(sentence) if int(number) < len(mentions)]
    names = [mention for mention in found if mention.quoted is None]
    entries = (entry for mention in names or found for entry in mention.entries)
    return list(dict.fromkeys(entry.order for entry in entries if entry.subject.name == subject and entry.order in known))
