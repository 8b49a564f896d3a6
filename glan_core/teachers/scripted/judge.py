"""Judging by the scripted teacher: pairs by form, two answers by word overlap with the textbook's answer."""

import json
import re

from glan_core.teachers.scripted.answers import write_answer
from glan_core.teachers.scripted.scaffold import SCAFFOLD

COURSE_REFERENCE = re.compile(r"\b(?:the|this|your) (?:lecture|lesson|syllabus|class session|textbook)\b", re.IGNORECASE)
HARD = re.compile(r"\b(?:prove|derive|design|compare|evaluate|justify|why)\b", re.IGNORECASE)
SHORT = 40  # characters
WORD = re.compile(r"\w+")


def judge(question: str, answer: str) -> str:
    """Return the quality scores of a pair as JSON, deterministically."""
    scores = {
        "correct": 2 if len(answer) < SHORT else 3 if SCAFFOLD in answer else 5,
        "clear": 2 if len(question) < SHORT else 5,
        "self_contained": 1 if COURSE_REFERENCE.search(question) else 5,
        "difficulty": min(5, 1 + len(question.split()) // 60 + len(set(map(str.lower, HARD.findall(question))))),
        "comment": "Judged by its form alone: the scripted teacher knows nothing of its content.",
    }
    return json.dumps(scores)


def compare(question: str, first: str, second: str) -> str:
    """Return the scores of two answers as JSON, deterministically and independently of their order."""
    expected = write_answer(question)
    known = SCAFFOLD not in expected
    return json.dumps({
        "first": _scores(question, first, expected if known else ""),
        "second": _scores(question, second, expected if known else ""),
        "comment": "Scored by the words that each shares with the textbook's own answer."
        if known else "Scored by form alone: the scripted teacher has no textbook for this question.",
    })  # fmt: skip


def _scores(question: str, answer: str, expected: str) -> dict[str, int]:
    """Return scores from 1 to 10, by word F1 with the textbook's answer, or without one by the variety of words."""
    given, asked, reference = _content(answer), _content(question), _content(expected)
    shared = len(given & reference)
    precision, recall = (shared / len(given) if given else 0.0), (shared / len(reference) if reference else 0.0)
    relevance = len(given & asked) / len(asked) if asked else 0.0
    if not reference:
        variety = len(given) / max(1, sum(len(word) > 3 for word in WORD.findall(answer)))
        precision = recall = min(1.0, len(given) / 40) * variety
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    shares = {"helpfulness": f1, "relevance": min(1.0, 2 * relevance), "accuracy": precision, "detail": recall, "overall": f1}
    return {name: 1 + round(9 * share) for name, share in shares.items()}


def _content(text: str) -> set[str]:
    """Return the content words of a text, approximated as words with more than three letters."""
    return {word for word in WORD.findall(text.lower()) if len(word) > 3}
