"""How the scripted teacher judges a pair: by its form alone, and it says so."""

import json
import re

from glan_core.teachers.scripted_homework import SCAFFOLD

NOT_ALONE = re.compile(r"\b(?:the|this|your) (?:lecture|lesson|syllabus|class session|textbook)\b", re.IGNORECASE)
HARD = re.compile(r"\b(?:prove|derive|design|compare|evaluate|justify|why)\b", re.IGNORECASE)
SHORT = 40  # characters


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
