"""Paraphrases by the scripted teacher: the example with other numbers and names.

Numbers in the answer are replaced by the same rule, so its arithmetic is not recomputed: use it to test the pipeline, not to
measure a model.
"""

import hashlib
import json
import re

NOTE = "By the scripted teacher: the example with other numbers and names; its arithmetic is not worked out."
NAMES = (
    "Amina", "Bruno", "Chiara", "Dmitri", "Elena", "Farid", "Greta", "Hiro", "Imani", "Jonas", "Kavya", "Lucia", "Marek", "Noor",
    "Olga", "Priya", "Quentin", "Rosa", "Sven", "Tariq",
)  # fmt: skip
_NUMBER = re.compile(r"(?<![\w.])\d+(?![\w])")
_WORD = re.compile(r"(?<![.?!:>\n] )(?<!^)(?<![\w'])[A-Z][a-z]{2,}\b")
_OPENING = "Consider another case of the same kind. "


def write_paraphrase(question: str, answer: str) -> str:
    """Return the paraphrase as JSON, deterministically."""
    seed = hashlib.sha256(f"{question}\x1f{answer}".encode()).digest()
    numbers = {found: _other(found, seed) for found in dict.fromkeys(_NUMBER.findall(question))}
    names = dict.fromkeys(word for word in _WORD.findall(question) if question.count(word) > 1 or word in answer)
    swaps = numbers | {name: NAMES[(seed[0] + nth) % len(NAMES)] for nth, name in enumerate(names)}
    fresh = _swapped(question, swaps)
    if fresh == question:
        fresh = _OPENING + question
    return json.dumps({"question": fresh, "answer": _swapped(answer, swaps), "note": NOTE}, ensure_ascii=False)


def _other(number: str, seed: bytes) -> str:
    """Return another number with the same number of digits."""
    size = len(number)
    low, span = (0 if size == 1 else 10 ** (size - 1)), (10 if size == 1 else 9 * 10 ** (size - 1))
    step = 1 + int.from_bytes(hashlib.sha256(seed + number.encode()).digest()[:8], "big") % (span - 1)
    return str(low + (int(number) - low + step) % span)


def _swapped(text: str, swaps: dict[str, str]) -> str:
    if not swaps:
        return text
    pattern = "|".join(rf"(?<![\w.]){re.escape(old)}(?!\w)" for old in sorted(swaps, key=len, reverse=True))
    return re.sub(pattern, lambda found: swaps[found.group()], text)
