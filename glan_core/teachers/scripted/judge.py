"""How the scripted teacher judges: a pair by its form alone, two answers by the words they share with its textbook, and it says
so."""

import json
import re

from glan_core.teachers.scripted.homework import SCAFFOLD, write_answer

NOT_ALONE = re.compile(r"\b(?:the|this|your) (?:lecture|lesson|syllabus|class session|textbook)\b", re.IGNORECASE)
HARD = re.compile(r"\b(?:prove|derive|design|compare|evaluate|justify|why)\b", re.IGNORECASE)
SHORT = 40  # characters
WORD = re.compile(r"\w+")


def judge(question: str, answer: str) -> str:
    """The scores as the prompt asks for them; a pure function of the texts."""
    scores = {
        "correct": 2 if len(answer) < SHORT else 3 if SCAFFOLD in answer else 5,
        "clear": 2 if len(question) < SHORT else 5,
        "self_contained": 1 if NOT_ALONE.search(question) else 5,
        "difficulty": min(5, 1 + len(question.split()) // 60 + len(set(map(str.lower, HARD.findall(question))))),
        "comment": "Judged by its form alone: the scripted teacher knows nothing of its content.",
    }
    return json.dumps(scores)


def compare(question: str, first: str, second: str) -> str:
    """The scores of two answers as the prompt asks for them; a pure function of the texts, the same in either order."""
    expected = write_answer(question)
    known = SCAFFOLD not in expected
    return json.dumps({
        "first": _scores(question, first, expected if known else ""),
        "second": _scores(question, second, expected if known else ""),
        "comment": "Scored by the words that each shares with the textbook's own answer."
        if known else "Scored by form alone: the scripted teacher has no textbook for this question.",
    })  # fmt: skip


def _scores(question: str, answer: str, expected: str) -> dict[str, int]:
    """Scores from 1 to 10: by F1 of the words of the textbook's answer, or where there is none by how many of an answer's words
    differ."""
    said, asked, right = _content(answer), _content(question), _content(expected)
    both = len(said & right)
    precision, recall = (both / len(said) if said else 0.0), (both / len(right) if right else 0.0)
    relevance = len(said & asked) / len(asked) if asked else 0.0
    if not right:
        varied = len(said) / max(1, sum(len(word) > 3 for word in WORD.findall(answer)))
        precision = recall = min(1.0, len(said) / 40) * varied
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    shares = {"helpfulness": f1, "relevance": min(1.0, 2 * relevance), "accuracy": precision, "detail": recall, "overall": f1}
    return {name: 1 + round(9 * share) for name, share in shares.items()}


def _content(text: str) -> set[str]:
    """The words of a text that say something: the short ones join others."""
    return {word for word in WORD.findall(text.lower()) if len(word) > 3}
