"""Render text written by models and users so that it can neither break nor script a page."""

import re
from bisect import bisect_right

import streamlit as st

from glan_core.errors import GlanError
from glan_core.workspace.homework_rows import SCRIPTED

TOP_HEADING = 3  # level of the highest heading in a text; above it are the page's title and a section
JOINER = "\u2060"  # zero-width; separates characters that would form markup together
_OPEN, _CLOSE = "\ue000", "\ue001"  # enclose the index of a protected part

_FENCE = re.compile(r"[ \t>]*(?:[-*+][ \t]+|\d{1,9}[.)][ \t]+)?(`{3,}(?=[^`]*$)|~{3,})")
_TICKS = re.compile(r"\\`|`+")
_BLANK_LINE = re.compile(r"\n[ \t]*\n")
_MATH = re.compile(r"\\\\|\\\$|\$\$|\$|\\[\[\]()]")
_PARTNER = {"$$": "$$", "$": "$", r"\[": r"\]", r"\(": r"\)"}
_LINK = re.compile(r"<[a-zA-Z][a-zA-Z0-9+.-]{1,31}:[^\s<>]*>|https?://[^\s<>\[\](){}\"'`\\$\ue000]*")
_HEADING = re.compile(r"^([ \t>]*(?:[-*+][ \t]+|\d{1,9}[.)][ \t]+)?)(#{1,6})(?=[ \t]|$)", re.MULTILINE)
_UNDERLINE = re.compile(r"^( {0,3})(=+|-+)(?=[ \t]*$)", re.MULTILINE)
_ADDRESS = re.compile(r"(?i)\b(?:https?|ftp|mailto|xmpp)(?=:)|\bwww(?=\.)|@(?=[\w-]+\.)")
_LINE_START = re.compile(r"^[ \t>]*(?:#{1,6}[ \t]+|[-*+][ \t]+|\d{1,9}[.)][ \t]+|[-=*_]{3,}[ \t]*$)?")
_ICON = re.compile(r":(?=material/|streamlit:)")


def model_markdown(text: str) -> str:
    r"""Convert untrusted Markdown to Markdown that is safe to pass to Streamlit.

    Images are disabled (the browser would fetch them from any URL in the text), headings go below those of the page, TeX in \( \) and \[ \]
    is delimited by dollars, and dollars outside of formulas and Streamlit's directives for colors and icons are escaped.
    Code is unchanged. Streamlit itself escapes HTML.
    """
    kept: list[str] = []

    def keep(part: str) -> str:
        kept.append(part)
        return f"{_OPEN}{len(kept) - 1}{_CLOSE}"

    text = text.replace(_OPEN, "").replace(_CLOSE, "")
    if re.search(
        r"\][(\[:]", text
    ):  # an image needs one of these; where one occurs, detection of code is not reliable enough to exempt it
        text = text.replace("![", f"!{JOINER}[")
    text = _without_code(text, keep)
    text = _without_math(text, keep)
    text = _LINK.sub(lambda found: keep(found.group()), text)
    text = _below_section(text)
    text = _UNDERLINE.sub(lambda found: f"{found[1]}\\{found[2]}" if "=" in found[2] else f"\n{found[0]}", text)
    text = re.sub(r":(?=[A-Za-z:])", r"\\:", _ICON.sub(f":{JOINER}", text))
    while _OPEN in text:
        text = re.sub(f"{_OPEN}(\\d+){_CLOSE}", lambda found: kept[int(found.group(1))], text)
    return text


def _below_section(text: str) -> str:
    """Return a text whose headings begin at `TOP_HEADING` and skip no level, as readers of headings by ear expect."""
    above: list[int] = []  # levels of the text's headings that the current one is under

    def level(found: re.Match) -> str:
        written = len(found[2])
        while above and above[-1] >= written:
            above.pop()
        above.append(written)
        return found[1] + "#" * min(6, TOP_HEADING + len(above) - 1)

    return _HEADING.sub(level, text)


def _without_code(text: str, keep) -> str:
    """Replace fenced blocks and code spans by placeholders."""
    parts, prose, fence = [], [], ""
    for line in re.findall(r"[^\n]*\n|[^\n]+", text):
        if fence:
            parts[-1] += line
            bare = line.strip(" \t>\r\n")
            fence = "" if len(bare) >= len(fence) and set(bare) == {fence[0]} else fence
        elif found := _FENCE.match(line.rstrip("\r\n")):
            parts += [_without_spans("".join(prose), keep), line]
            prose, fence = [], found.group(1)
        else:
            prose.append(line)
            continue
        if not fence:
            parts[-1] = keep(parts[-1])
    if fence:
        parts[-1] = keep(parts[-1])
    return "".join([*parts, _without_spans("".join(prose), keep)])


def _without_spans(text: str, keep) -> str:
    """Replace code spans by placeholders: a run of backticks up to the next of equal length in the same paragraph."""
    runs = [run for run in _TICKS.finditer(text) if run.group()[0] == "`"]
    blanks = [found.start() for found in _BLANK_LINE.finditer(text)]
    starts: dict[int, list[int]] = {}
    for run in runs:
        starts.setdefault(len(run.group()), []).append(run.start())
    parts, last = [], 0
    for run in runs:
        if run.start() < last:
            continue
        same = starts[len(run.group())]
        after = bisect_right(same, run.start())
        if after < len(same) and bisect_right(blanks, run.start()) == bisect_right(blanks, same[after]):
            end = same[after] + len(run.group())
            parts += [text[last : run.start()], keep(text[run.start() : end])]
            last = end
    return "".join([*parts, text[last:]])


def _without_math(text: str, keep) -> str:
    """Replace formulas by placeholders in dollars and escape all other dollars."""
    signs = list(_MATH.finditer(text))
    places: dict[str, list[int]] = {}
    for number, sign in enumerate(signs):
        places.setdefault(sign.group(), []).append(number)
    blanks = [found.start() for found in _BLANK_LINE.finditer(text)]
    parts, last, number = [], 0, 0
    while number < len(signs):
        sign = signs[number]
        closing = places.get(_PARTNER.get(sign.group(), ""), ())
        after = bisect_right(closing, number)
        end = signs[closing[after]] if after < len(closing) else None
        if end and _is_formula(text, sign, end) and bisect_right(blanks, sign.start()) == bisect_right(blanks, end.start()):
            formula = _formula(text, sign, end)
            parts += [text[last : sign.start()], keep(formula)]
            last, number = end.end(), closing[after] + 1
            continue
        if sign.group() in ("$", "$$"):
            parts += [text[last : sign.start()], r"\$" * len(sign.group())]
            last = sign.end()
        number += 1
    return "".join([*parts, text[last:]])


def _is_formula(text: str, sign: re.Match, end: re.Match) -> bool:
    """Return whether two delimiters enclose a formula; '$5 and $6' is not one."""
    inside = text[sign.end() : end.start()]
    if sign.group() != "$":
        return bool(inside.strip())
    return bool(inside) and not (
        inside[0].isspace() or inside[-1].isspace() or "\n" in inside or text[end.end() : end.end() + 1].isdigit()
    )


def _formula(text: str, sign: re.Match, end: re.Match) -> str:
    """Return a formula in dollars, as a block if it has its own lines."""
    inside = text[sign.end() : end.start()].strip().replace(r"\$", r"\text{\textdollar}")
    if sign.group() in ("$", r"\("):
        return f"${inside}$"
    before = text[text.rfind("\n", 0, sign.start()) + 1 : sign.start()]
    stop = text.find("\n", end.end())
    after = text[end.end() : len(text) if stop < 0 else stop]
    if before.strip(" \t>") or after.strip():
        return f"$${inside}$$"
    return f"$$\n{before}{inside}\n{before}$$"


def snippet(text: str, most: int) -> str:
    """Return the first `most` characters of a text as one line of safe Markdown.

    Emphasis, code and formulas are kept and closed where the cut leaves them open; block markup is removed.
    """
    lines = (_LINE_START.sub("", line) for line in text.splitlines() if not _FENCE.match(line))
    line = " ".join(" ".join(lines).split())
    if len(line) <= most:
        return model_markdown(line)
    begun, rest = line[: most - 1], line[most - 1 :]
    for sign in ("$", "`"):
        if begun.count(sign) % 2 and sign in rest:
            begun, rest = begun[: begun.rindex(sign)], line
    begun = begun.rstrip()
    if begun.count("**") % 2:
        begun = begun[:-2].rstrip() if begun.endswith("**") else f"{begun}**"
    return model_markdown(f"{begun}…")


def escape(text: str) -> str:
    """Escape all Markdown in a text and break up URLs, which would become links."""
    text = _ADDRESS.sub(lambda found: f"{found.group()}{JOINER}", text)
    return re.sub(r"([\\`*_{}\[\]()#+\-.!|$<>~:&])", r"\\\1", _ICON.sub(f":{JOINER}", text))


def show_error(error: GlanError) -> None:
    """Show an error; its message is escaped because it may quote names and paths."""
    st.error(escape(str(error)))


def scripted_badge(teacher: str | None) -> None:
    """Draw a badge if the scripted teacher wrote the text."""
    if teacher in SCRIPTED:
        st.badge("scripted teacher", color="gray", help="Composed offline from a small textbook, not by a language model.")
