"""Prompt templates, one file each, versioned by content.

A template is plain text with `$name` placeholders (string.Template). Its version is a prefix of the SHA-256 of the file, so
rows record which wording produced them; every workspace stores the prompts that it used. The paper published no prompts;
these follow its description.

Source: GLAN, arXiv 2402.13064, section 2.
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
    """A prompt template.

    Attributes:
        name: Stem of the file name.
        text: The template.
        version: 12 hexadecimal digits of the content hash.
    """

    name: str
    text: str
    version: str

    def render(self, **values: str) -> str:
        """Fill in all placeholders.

        Raises:
            KeyError: If a value is missing.
        """
        return Template(self.text).substitute(values).strip()


@cache
def prompt(name: str) -> Prompt:
    """Load the prompt template of this name."""
    text = (FOLDER / f"{name}.md").read_text(encoding="utf-8")
    return Prompt(name, text, hashlib.sha256(text.encode()).hexdigest()[:12])
