"""The prompts: one template file each, versioned by what it says.

A template is plain text with `$name` placeholders (string.Template). Its version is the start of the SHA-256 of the file,
so that a row made under another wording can be told apart; the wording itself is kept in every workspace that used it.
The paper published no prompts; these are ours, after its description (arXiv 2402.13064, section 2).
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from string import Template

FOLDER = Path(__file__).parent
TAXONOMY_DRAFTS = ("taxonomy_academic", "taxonomy_vocational", "taxonomy_library", "taxonomy_gaps")


@dataclass(frozen=True, slots=True)
class Prompt:
    """One template: its name (the file's stem), its text and its version (12 hexadecimal digits)."""

    name: str
    text: str
    version: str

    def render(self, **values: str) -> str:
        """The text with every placeholder filled; KeyError when one is missing."""
        return Template(self.text).substitute(values).strip()


@cache
def prompt(name: str) -> Prompt:
    """The prompt of that name, as this release words it."""
    text = (FOLDER / f"{name}.md").read_text(encoding="utf-8")
    return Prompt(name, text, hashlib.sha256(text.encode()).hexdigest()[:12])
