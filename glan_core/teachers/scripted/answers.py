"""Answers of the scripted teacher: they depend only on the text of the question.

Cases, claims, mistakes, exercises and concept names of the textbook are recognized in the question; the words around them say
what is asked (`question_reading`). The answer follows the order and the labels of the question and begins with the substance.
Unknown content gets labeled placeholder text.
"""

import random
import re
from collections.abc import Sequence
from functools import cache
from itertools import groupby

import yaml

from glan_core.resources import ASSETS
from glan_core.teachers.scripted.definitions import contrast, emphasized
from glan_core.teachers.scripted.exercises import solve
from glan_core.teachers.scripted.homework import example_for, listed, quotable, quote
from glan_core.teachers.scripted.question_reading import Reading, Task, read_question
from glan_core.teachers.scripted.relations import connect
from glan_core.teachers.scripted.scaffold import SCAFFOLD
from glan_core.teachers.scripted.textbook import Claim, Entry, Example, Mistake

PHRASES = ASSETS / "answer_phrases.yaml"

_SCAFFOLD_ANSWER = (
    "{tag} The offline scripted teacher has no textbook for {subject}, so this is placeholder text and not an answer. "
    "A teacher who knows the subject would explain {concepts} here, give an example, and say where the limits are."
)
_UNKNOWN = (
    "{tag} The offline scripted teacher has no textbook for this, so this is placeholder text and not an answer. "
    'It was asked: "{question}"'
)
_QUOTED = re.compile(r'"([^"]+)"')
_ORDINALS = ("first", "second", "third", "fourth", "fifth")
_MAX_QUOTE = 160
# The words of a question that offer the two verdicts, and these, false first.
_VERDICTS = (
    (re.compile(r"\bright or wrong\b", re.IGNORECASE), ("Wrong.", "Right.")),
    (re.compile(r"\btrue or false\b|\bare (?:these|both|the) |\bwhether\b", re.IGNORECASE), ("False.", "True.")),
    (
        re.compile(r"\b(?:is|are|am|do|does|can|would|should|could|may) (?:it|that|this|i|you|one|we)\b", re.IGNORECASE),
        ("No.", "Yes."),
    ),
)
_REFERS_BACK = re.compile(r"(It|Its|They|Their) ")
_COMPARES = re.compile(r"\bdiffer|\bcompare|\bdistinguish", re.IGNORECASE)
_EMPHASIZED = 1 / 3  # share of definitions with the name in bold


def write_answer(question: str) -> str:
    """Return the textbook's answer to a question, or labeled placeholder text for unknown questions."""
    question = " ".join(question.split())
    if question.startswith(SCAFFOLD):
        return _scaffold_answer(question)
    reading = read_question(question)
    if not reading.entries:
        return _UNKNOWN.format(tag=SCAFFOLD, question=quotable(_shortened(question)))
    return _Answer(question, reading).text()


class _Answer:
    """The answer to a question about known concepts."""

    def __init__(self, question: str, reading: Reading) -> None:
        self._question, self._reading, self._draw = question, reading, random.Random(question)
        self._asked: dict[str, list[Entry]] = {}
        for task in reading.tasks:
            self._asked.setdefault(task.part, []).extend(task.entries)

    def text(self) -> str:
        """Return the answer as Markdown."""
        paragraphs: list[str] = []
        for label, tasks in groupby(self._reading.tasks, key=lambda task: task.label):
            first, *rest = [text for task in tasks if (text := self._task(task))] or [""]
            paragraphs += [f"{label} {first}".strip(), *rest]
        return "\n\n".join(paragraph for paragraph in paragraphs if paragraph)

    def _task(self, task: Task) -> str:
        """Return what there is to say on one task, '' if another one covers it."""
        entry = task.entries[0]
        match task.part:
            case "exercise":
                return solve(self._question)
            case "quoted":
                return self._quoted(task, entry)
            case "relation":
                return self._connection(task.entries)
            case "meaning":
                return self._meaning(entry)
            case "significance":
                return "" if entry in self._asked.get("meaning", []) else self._significance(entry)
            case "example":
                return self._example(entry)
            case "mistake":
                return self._mistake(entry)
            case "problem":
                case = example_for(entry, self._question)
                return f"**Problem.** {case.situation} {case.question}\n\n**Solution.** {case.analysis}"
            case _:
                return f"**Front:** {_question_about(entry)}\n\n**Back:** {entry.concept.definition}"

    # --------------------------------------------------------------------------------------------------------- quotations

    def _quoted(self, task: Task, entry: Entry) -> str:
        quoted = task.quoted
        if isinstance(quoted, Example):
            return f"{_capitalized(entry.phrase)}. {quoted.analysis}" if self._reading.choice else quoted.analysis
        if isinstance(quoted, Claim):
            return f"{self._verdict(quoted, entry, labeled=bool(task.label))} {quoted.reason}"
        if isinstance(quoted, Mistake):
            return quoted.correction
        return f"{_capitalized(entry.phrase)}. {entry.concept.significance}"

    def _verdict(self, claim: Claim, entry: Entry, *, labeled: bool) -> str:
        """Return whether a claim is true, in the words of the question where it offers some."""
        true, claims = claim is entry.concept.true_claim, self._reading.claims
        if len(claims) > 1 and not labeled:
            pattern = self._phrase("verdict_of_several", "true" if true else "false", of=claims[0].claim)
            return pattern.format(nth=_ORDINALS[claims.index(claim) % len(_ORDINALS)])
        for wording, words in _VERDICTS:
            if wording.search(self._reading.words):
                return words[true]
        if len(claims) > 1:
            return "True." if true else "False."
        return self._phrase("verdict", "true" if true else "false")

    # ------------------------------------------------------------------------------------------------------------ concepts

    def _meaning(self, entry: Entry) -> str:
        """Return the definition of a concept, with its significance if that is asked as well."""
        both = self._asked["meaning"]
        if len(both) == 2 and _COMPARES.search(self._question) and (text := contrast(*both)):
            return text if entry is both[0] else ""
        bold = len(both) > 1 and self._draw.random() < _EMPHASIZED
        text = emphasized(entry) if bold else entry.concept.definition
        return f"{text} {entry.concept.significance}" if entry in self._asked.get("significance", []) else text

    def _significance(self, entry: Entry) -> str:
        """Return the significance of a concept, which is named if the text begins with a pronoun."""
        text, phrase = entry.concept.significance, _capitalized(entry.phrase)
        found = _REFERS_BACK.match(text)
        if not found:
            return text
        return (
            f"{phrase} {text[found.end() :]}"
            if found.group(1) in ("It", "They")
            else f"{_possessive(phrase)} {text[found.end() :]}"
        )

    def _example(self, entry: Entry) -> str:
        case = example_for(entry, self._question)
        several = len(self._asked["example"]) > 1
        lead = (
            self._phrase("example_of", phrase=entry.phrase)
            if several
            else self._phrase("example")
            if len(self._asked) > 1
            else ""
        )
        return f"{lead} {case.situation} {case.analysis}".strip()

    def _mistake(self, entry: Entry) -> str:
        """Return a common mistake and its correction; the textbook has it as a sentence or as a gerund phrase."""
        mistake, correction = entry.concept.mistake.mistake, entry.concept.mistake.correction
        of = "_of" if len(self._asked["mistake"]) > 1 else ""
        if entry.concept.mistake.is_gerund:
            return f"{self._phrase(f'mistake_gerund{of}', phrase=entry.phrase, body=mistake[0].lower() + mistake[1:])} {correction}"
        return f"{self._phrase(f'mistake{of}', phrase=entry.phrase)} {mistake} {correction}"

    def _connection(self, entries: Sequence[Entry]) -> str:
        """Return how concepts are connected: by relations or short chains of them; concepts without any are named."""
        connection = connect(entries, self._draw)
        texts = []
        for link in connection.links:
            one, other = (entry.phrase for entry in link.ends)
            bridge = listed(entry.phrase for entry in link.bridges)
            lead = self._phrase("bridge", one=one, other=other, bridge=bridge) if bridge else ""
            texts.append(f"{lead} {' '.join(link.sentences)}".strip())
        kind = "apart" if connection.links else "apart_all"
        texts += [self._phrase(kind, list=listed(entry.phrase for entry in group)) for group in connection.apart]
        return " ".join(texts)

    def _phrase(self, kind: str, case: str = "", *, of: str = "", **fields: object) -> str:
        """Return a phrase of a kind, and for one of its cases, filled in; phrases with the same `of` are drawn alike."""
        phrases = _phrases()[kind][case] if case else _phrases()[kind]
        draw = random.Random(f"{self._question}{of}") if of else self._draw
        phrase = draw.choice(phrases)
        return phrase.format(**fields) if fields else phrase


@cache
def _phrases() -> dict:
    return yaml.safe_load(PHRASES.read_text(encoding="utf-8"))


def _question_about(entry: Entry) -> str:
    return f"What {'are' if entry.plural else 'is'} {entry.phrase}?"


def _capitalized(text: str) -> str:
    return text[0].upper() + text[1:]


def _possessive(phrase: str) -> str:
    return f"{phrase}'" if phrase.endswith("s") else f"{phrase}'s"


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
