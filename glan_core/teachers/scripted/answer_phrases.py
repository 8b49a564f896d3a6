"""Phrases of the scripted teacher's answers: `assets/answer_phrases.yaml`, drawn so that an answer uses none twice."""

import random
from functools import cache

import yaml

from glan_core.resources import ASSETS

FILE = ASSETS / "answer_phrases.yaml"


class Phrases:
    """Draws phrases for one answer."""

    def __init__(self, draw: random.Random) -> None:
        self._draw = draw
        self._used: set[str] = set()
        self._patterns: dict[str, int] = {}

    def pick(self, kind: str, **fields: object) -> str:
        """Return a phrase of a kind with its fields filled in; '' if a text needs none."""
        return self.pick_unfilled(kind).format(**fields)

    def pick_unfilled(self, kind: str) -> str:
        """Return a phrase of a kind with its fields in braces."""
        unused = [phrase for phrase in _phrases()[kind] if phrase not in self._used] or _phrases()[kind]
        phrase = self._draw.choice(unused)
        if phrase:
            self._used.add(phrase)
        return phrase

    def pattern(self, kind: str, part: int | None = None) -> str:
        """Return a phrase of a kind, the same for the whole answer; of a phrase in several parts, the part with this index."""
        phrases = _phrases()[kind]
        chosen = self._patterns.setdefault(kind, self._draw.randrange(len(phrases)))
        return phrases[chosen] if part is None else phrases[chosen][part]

    def opening(self, kind: str, case: str) -> str:
        """Return a phrase of a kind for one of its cases."""
        return self._draw.choice(_phrases()[kind][case])


@cache
def _phrases() -> dict:
    return yaml.safe_load(FILE.read_text(encoding="utf-8"))


def led(lead: str, text: str) -> str:
    """Return a text with a lead, if there is one."""
    return f"{lead} {text}" if lead else text
