"""Answers of the scripted teacher: they depend only on the text of the question.

Cases, claims, exercises and concept names of the textbook are recognized in the question; the words around them say what is asked.
Unknown content gets labeled placeholder text.
"""

import random
import re
from collections.abc import Sequence
from itertools import pairwise

import networkx as nx

from glan_core.teachers.scripted.exercises import solve
from glan_core.teachers.scripted.homework import SCAFFOLD, listed, quotable, quote
from glan_core.teachers.scripted.textbook import Claim, Entry, Example, Mention, Subject, textbook

_SCAFFOLD_ANSWER = (
    "{tag} The offline scripted teacher has no textbook for {subject}, so this is placeholder text and not an answer. "
    "A teacher who knows the subject would explain {concepts} here, give an example, and say where the limits are."
)
_UNKNOWN = (
    "{tag} The offline scripted teacher has no textbook for this, so this is placeholder text and not an answer. "
    'It was asked: "{question}"'
)
_ASKED = {
    "meaning": r"meant|means?|meaning|defin\w+|explain\w*|explanation|introduc\w+|what (?:is|are)|comment|glossary|talk",
    "significance": r"good for|matters?|importan\w+|contribute|useful|significan\w+|why (?:is|are|do|does)",
    "mistake": r"mistakes?|go(?:es)? wrong|get wrong|gets wrong|errors|avoid",
    "relation": r"connect\w*|relat\w+|bear on|linked|links|depend\w*|differen\w+|compar\w+|distinguish|to do with each other|meet|fit together|"
    r"prepare the ground",
    "example": r"examples?|illustrate|cases of your own",
}
_PATTERNS = {part: re.compile(rf"\b(?:{words})\b", re.IGNORECASE) for part, words in _ASKED.items()}
_QUOTED = re.compile(r'"([^"]+)"')
_ORDINALS = ("first", "second", "third", "fourth", "fifth")
_MAX_WORDS_BY_NAME = 30
_MOST_ASKED = 12  # a text that names more concepts, such as a syllabus, is no question about them
LONGEST_CHAIN, MOST_RELATIONS = 2, 3
NAME_WITHIN = 90  # characters from the beginning of a paragraph that names its concept
_STYLES = ("bold", "bold", "plain", "plain", "numbered")
_MAX_QUOTE = 160

_TRUE = ("That is correct.", "The statement is true.", "This is right.", "Yes, that holds.", "The claim is correct.", "True.")
_FALSE = (
    "That is wrong.",
    "The statement is false.",
    "This is a misconception.",
    "No, that does not hold.",
    "The claim is incorrect.",
    "False.",
)
_NTH_TRUE = ("The {nth} statement is true.", "The {nth} claim is correct.", "As to the {nth} statement: it holds.")
_NTH_FALSE = ("The {nth} statement is false.", "The {nth} claim is wrong.", "As to the {nth} statement: it does not hold.")
_CASE = ("", "In this case the reasoning is as follows.", "Applied to the case:", "Now to the case.", "Here is what follows.")
_NTH_CASE = ("In the {nth} case the reasoning is this.", "Now to the {nth} case.", "The {nth} case:", "On the {nth} case:")
_EXAMPLE = ("An example:", "Take an example.", "For instance:", "Here is a case in point.")
_MISTAKE = ("", "", "A common mistake is the following.", "One mistake deserves a warning.")
_GERUND_MISTAKE = ("A common mistake is {}", "What often goes wrong is {}", "Learners often make the mistake of {}")
_WORK = ("**Solution.**", "The calculation:", "Step by step:")
_LINK = ("", "", "Taken together:", "How they are related:", "As to the connection:")


def write_answer(question: str) -> str:
    """Return the textbook's answer to a question, or labeled placeholder text for unknown questions."""
    question = " ".join(question.split())
    if question.startswith(SCAFFOLD):
        return _scaffold_answer(question)
    mentions = textbook().mentions(question)
    entries = _asked_about(question, mentions)
    if not entries:
        return _UNKNOWN.format(tag=SCAFFOLD, question=quotable(_shortened(question)))
    return _Answer(question, mentions, entries).text()


def _asked_about(question: str, mentions: Sequence[Mention]) -> list[Entry]:
    """Return the concepts that a question is about, in the order of the question; all belong to one subject."""
    certain = [mention.entries[0] for mention in mentions if mention.kind in ("situation", "claim")]
    # A long question without textbook quotations comes from elsewhere, where a name may have another meaning.
    place = [m.entries[0] for m in mentions if m.kind in ("subject", "topic")]
    if not certain and not place and question.count(" ") >= _MAX_WORDS_BY_NAME:
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
    return list(found.values()) if len(found) <= _MOST_ASKED else []


class _Answer:
    """The answer to a question about known concepts."""

    def __init__(self, question: str, mentions: Sequence[Mention], entries: Sequence[Entry]) -> None:
        self._entries, self._draw = entries, random.Random(question)
        self._cases = [
            (m.entries[0], case) for m in mentions if m.kind == "situation" if (case := _case(m.entries[0], question, m))
        ]
        self._claims = [
            (m.entries[0], claim) for m in mentions if m.kind == "claim" if (claim := _claim(m.entries[0], question, m))
        ]
        own_words = _between(question, mentions)
        self._asks = {part for part, pattern in _PATTERNS.items() if pattern.search(own_words)}
        self._solution = solve(question)

    def text(self) -> str:
        """Return the answer as Markdown."""
        paragraphs = [f"{self._draw.choice(_WORK)} {self._solution}"] if self._solution else []
        several = len(self._entries) > 1
        style = self._draw.choice(_STYLES)
        for nth, entry in enumerate(self._entries, start=1):
            body = self._about(entry)
            if several:
                body[0] = _headed(style, nth, entry, body[0])
            paragraphs += body
        if several and "relation" in self._asks:
            paragraphs.append(_led(self._draw.choice(_LINK), _connection(self._entries)))
        return "\n\n".join(paragraphs)

    def _about(self, entry: Entry) -> list[str]:
        """Return what is asked about one concept, each part as a paragraph."""
        concept = entry.concept
        parts = []
        quoted = [self._judged(claim) for of, claim in self._claims if of is entry]
        quoted += [self._analyzed(case) for of, case in self._cases if of is entry]
        meaning = [concept.definition] if "meaning" in self._asks or not quoted else []
        meaning += [concept.significance] if "significance" in self._asks else []
        if meaning:
            parts.append(" ".join(meaning))
        parts += quoted
        if "example" in self._asks and not any(of is entry for of, _ in self._cases):
            parts.append(self._examples(entry))
        if "mistake" in self._asks:
            parts.append(self._mistake(entry))
        return parts

    def _judged(self, claim: Claim) -> str:
        """Return the verdict on a quoted claim with the reason."""
        nth = [other for _, other in self._claims].index(claim)
        true = any(claim is entry.concept.true_claim for entry in self._entries)
        if len(self._claims) == 1:
            verdict = self._draw.choice(_TRUE if true else _FALSE)
        else:
            verdict = self._draw.choice(_NTH_TRUE if true else _NTH_FALSE).format(nth=_ORDINALS[nth % len(_ORDINALS)])
        return f"{verdict} {claim.reason}"

    def _analyzed(self, case: Example) -> str:
        """Return the analysis of a quoted case."""
        nth = [other for _, other in self._cases].index(case)
        lead = self._draw.choice(_CASE if len(self._cases) == 1 else _NTH_CASE).format(nth=_ORDINALS[nth % len(_ORDINALS)])
        return _led(lead, case.analysis)

    def _examples(self, entry: Entry) -> str:
        """Return an example of a concept, or two if cases in the plural are asked for."""
        example = self._draw.choice(entry.concept.examples)
        return _led(self._draw.choice(_EXAMPLE), f"{example.situation} {example.analysis}")

    def _mistake(self, entry: Entry) -> str:
        """Return a common mistake and its correction; the textbook has it as a sentence or as a gerund phrase."""
        mistake = entry.concept.mistake
        first = mistake.mistake.split(maxsplit=1)[0]
        if first.endswith("ing"):
            phrase = mistake.mistake[0].lower() + mistake.mistake[1:]
            return f"{self._draw.choice(_GERUND_MISTAKE).format(phrase)} {mistake.correction}"
        return _led(self._draw.choice(_MISTAKE), f"{mistake.mistake} {mistake.correction}")


def _case(entry: Entry, question: str, mention: Mention) -> Example | None:
    quoted = question[mention.start : mention.end].lower()
    return next((example for example in entry.concept.examples if example.situation.lower() == quoted), None)


def _claim(entry: Entry, question: str, mention: Mention) -> Claim | None:
    quoted = question[mention.start : mention.end].lower()
    return next(
        (claim for claim in (entry.concept.true_claim, entry.concept.false_claim) if claim.claim.lower() == quoted), None
    )


def _led(lead: str, text: str) -> str:
    return f"{lead} {text}" if lead else text


def _headed(style: str, nth: int, entry: Entry, text: str) -> str:
    """Return the first paragraph on a concept in a style of answers."""
    if style == "bold":
        return f"**{entry.concept.name}.** {text}"
    if style == "numbered":
        return f"{nth}. **{entry.concept.name}.** {text}"
    return text if entry.concept.name.lower() in text[:NAME_WITHIN].lower() else f"On {entry.phrase}: {text}"


def _connection(entries: Sequence[Entry]) -> str:
    """Describe how concepts are connected: the relations between them, or short chains of relations from one to another."""
    graph = _relations(entries[0].subject)
    names = [entry.concept.name for entry in entries]
    sentences: list[str] = []
    for nth, name in enumerate(names[1:], start=1):
        paths = [nx.shortest_path(graph, other, name) for other in names[:nth] if nx.has_path(graph, other, name)]
        path: list[str] = min(paths, key=len, default=[])
        if 1 < len(path) <= LONGEST_CHAIN + 1:
            sentences += [graph.edges[edge]["relation"] for edge in pairwise(path)]
    if sentences:
        return " ".join(list(dict.fromkeys(sentences))[:MOST_RELATIONS])
    return " ".join(["There is no direct link between them.", *(entry.concept.relations[0].relation for entry in entries[:2])])


def _relations(subject: Subject) -> nx.Graph:
    """Return the concepts of a subject with their relations as edges."""
    graph = nx.Graph()
    for session in subject.sessions:
        for concept in session.concepts:
            for relation in concept.relations:
                if not graph.has_edge(concept.name, relation.to):
                    graph.add_edge(concept.name, relation.to, relation=relation.relation)
    return graph


def _scaffold_answer(question: str) -> str:
    names = _QUOTED.findall(question)
    subject = re.search(r'"([^"]+)" \(', question)
    concepts = [quote(name) for name in names if not subject or name != subject.group(1)]
    return _SCAFFOLD_ANSWER.format(
        tag=SCAFFOLD,
        subject=quote(subject.group(1)) if subject else "this",
        concepts=listed(concepts) or "what was asked",
    )


def _shortened(text: str) -> str:
    return text if len(text) <= _MAX_QUOTE else text[:_MAX_QUOTE].rsplit(" ", 1)[0] + " ..."


def _between(text: str, mentions: Sequence[Mention]) -> str:
    """Return the text without the recognized phrases."""
    starts = [0, *(mention.end for mention in mentions)]
    ends = [*(mention.start for mention in mentions), len(text)]
    return " ".join(text[start:end] for start, end in zip(starts, ends, strict=True))
