"""Parts of a text that are not its author's prose: code, tables, formulas, URLs and quotations."""

import re
from collections.abc import Iterator

from glan_core.delimited_spans import NextPlaces, Span, replaced, spans

SHOWN = 80  # characters of the matched text shown

CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]+`|^(?: {4}|\t).*$", re.DOTALL | re.MULTILINE)
_FENCED = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_FORMULA_OPENING = re.compile(r"\$|\\[\[(]|https?://(?=\S)")
_DOLLARS = re.compile(r"\$[^$\n]+\$")
_NOT_SPACE = re.compile(r"\S+")
TABLE = re.compile(r"^[^\S\n]*\|.*\|[^\S\n]*$", re.MULTILINE)
_QUOTE_OPENING = re.compile(r"“|(?<!\w)[\"']|^(?:\s++>?|>)", re.MULTILINE)  # blank lines before a line are read once
_DOUBLE_QUOTES, _SINGLE_QUOTES = re.compile(r"\"[^\"\n]*\""), re.compile(r"'[^'\n]{12,}'(?!\w)")


def formulas(text: str) -> Iterator[Span]:
    """Yield the spans of formulas and URLs."""
    places = NextPlaces(text)

    def end_of(found: re.Match[str]) -> int | None:
        at, sign = found.start(), found.group()
        if sign[0] == "h":
            return match.end() if (match := _NOT_SPACE.match(text, found.end())) else None
        if sign[0] == "\\":
            closing = places.find("\\]" if sign[1] == "[" else "\\)", at + 3)
        else:
            closing = places.find("$$", at + 3) if text.startswith("$$", at) else None
            if closing is None and (match := _DOLLARS.match(text, at)):
                return match.end()
        return closing[1] if closing else None

    return spans(text, _FORMULA_OPENING, end_of)


def quotations(text: str) -> Iterator[Span]:
    """Yield the spans of text in quotation marks and of quoted lines."""
    places = NextPlaces(text)

    def end_of(found: re.Match[str]) -> int | None:
        match found.group()[-1]:
            case "“":
                return closing[1] if (closing := places.find("”", found.end())) else None
            case ">":
                return line[0] if (line := places.find("\n", found.end())) else len(text)
            case '"':
                closed = _DOUBLE_QUOTES.match(text, found.start())
            case "'":
                closed = _SINGLE_QUOTES.match(text, found.start())
            case _:
                closed = None
        return closed.end() if closed else None

    return spans(text, _QUOTE_OPENING, end_of)


def own_words(text: str) -> str:
    """Return a text without code blocks and quotations, with straight apostrophes."""
    prose = _FENCED.sub(" ", text)
    return replaced(prose, quotations(prose)).replace("’", "'")


def shown(match: re.Match | None) -> str | None:
    """Return the text of a match in quotation marks, shortened to `SHOWN` characters; None without one."""
    if match is None:
        return None
    found = " ".join(match.group().split())
    return f"“{found if len(found) <= SHOWN else found[: SHOWN - 1].rstrip() + '…'}”"
