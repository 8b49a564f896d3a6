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
        return "".join(values[part] if is_name else part for part, is_name in _parts(self.text)).strip()


@cache
def _parts(text: str) -> list[tuple[str, bool]]:
    """Split a template into its text and the names of its placeholders; `Template.substitute` would do so for every call.

    Raises:
        ValueError: If it has a `$` that is part of no placeholder.
    """
    parts, end = [], 0
    for found in Template.pattern.finditer(text):
        parts.append((text[end : found.start()], False))
        if name := found["named"] or found["braced"]:
            parts.append((name, True))
        elif found["escaped"]:
            parts.append(("$", False))
        else:
            raise ValueError(f"the template has a $ that is part of no placeholder at character {found.start() + 1}")
        end = found.end()
    return [*parts, (text[end:], False)]


@cache
def prompt(name: str) -> Prompt:
    """Load the prompt template of this name."""
    text = (FOLDER / f"{name}.md").read_text(encoding="utf-8")
    return Prompt(name, text, hashlib.sha256(text.encode()).hexdigest()[:12])
