"""Text that models wrote, rendered so that it can neither break nor script a page."""

import re

import streamlit as st

from glan_core.workspace.homework_rows import SCRIPTED

_MATH = re.compile(r"\$\$.+?\$\$|(?<![\\$])\$(?![\s$])[^$\n]*?(?<![\s\\])\$(?![\d$])", re.DOTALL)
_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]+`", re.DOTALL)
_HEADING = re.compile(r"^(#{1,6})(?=\s)", re.MULTILINE)
_BRACKETS = re.compile(r"\\([\[\]()])")


def model_markdown(text: str) -> str:
    """Markdown as Streamlit should get it from an untrusted writer.

    Images become links (an image is fetched from wherever the text says as soon as it is seen), headings become small
    ones, TeX in \\( \\) and \\[ \\] becomes dollars, and dollars that enclose no formula are escaped. HTML is escaped by
    Streamlit itself, which is never told otherwise here. Code is left alone.
    """
    parts, last = [], 0
    for code in _CODE.finditer(text):
        parts += [_prose(text[last : code.start()]), code.group()]
        last = code.end()
    return "".join([*parts, _prose(text[last:])])


def _prose(text: str) -> str:
    text = _BRACKETS.sub(lambda found: "$$" if found.group(1) in "[]" else "$", text)
    text = text.replace("![", "\\![")
    text = _HEADING.sub(lambda found: "#" * min(6, len(found.group(1)) + 3), text)
    parts, last = [], 0
    for math in _MATH.finditer(text):
        parts += [_escape_dollars(text[last : math.start()]), math.group()]
        last = math.end()
    return "".join([*parts, _escape_dollars(text[last:])])


def _escape_dollars(text: str) -> str:
    return re.sub(r"(?<!\\)\$", r"\\$", text).replace(":", "\\:") if "$" in text or ":" in text else text


def plain(text: str) -> str:
    """Text with every Markdown sign escaped: for names that models gave, in places that render Markdown."""
    return re.sub(r"([\\`*_{}\[\]()#+\-.!|$<>~:])", r"\\\1", text)


def scripted_mark(teacher: str | None) -> None:
    """A quiet mark where the offline teacher wrote the text."""
    if teacher in SCRIPTED:
        st.badge("scripted teacher", color="gray", help="Composed offline from a small textbook, not written by a language model.")
