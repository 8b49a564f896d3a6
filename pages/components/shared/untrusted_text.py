"""Text that models and people wrote, rendered so that it can neither break nor script a page."""

import re
from bisect import bisect_right

import streamlit as st

from glan_core.errors import GlanError
from glan_core.workspace.homework_rows import SCRIPTED

JOINER = "\u2060"  # has no width, and keeps signs apart that would mean something side by side
_OPEN, _CLOSE = "\ue000", "\ue001"  # enclose the number of a part that was set aside

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
    """Markdown as Streamlit should get it from an untrusted writer.

    Images are broken up (an image is fetched from wherever the text says as soon as it is seen), headings become small ones,
    TeX in \\( \\) and \\[ \\] gets dollars, and dollars that enclose no formula are escaped, as are Streamlit's own signs for
    colours and icons. HTML is escaped by Streamlit itself, which is never told otherwise here. Code is left alone.
    """
    kept: list[str] = []

    def keep(part: str) -> str:
        kept.append(part)
        return f"{_OPEN}{len(kept) - 1}{_CLOSE}"

    text = text.replace(_OPEN, "").replace(_CLOSE, "")
    if re.search(
        r"\][(\[:]", text
    ):  # without one of these there is no image; with one, no reading of what is code is sure enough
        text = text.replace("![", f"!{JOINER}[")
    text = _without_code(text, keep)
    text = _without_math(text, keep)
    text = _LINK.sub(lambda found: keep(found.group()), text)
    text = _HEADING.sub(lambda found: found.group(1) + "#" * min(6, len(found.group(2)) + 3), text)
    text = _UNDERLINE.sub(lambda found: f"{found[1]}\\{found[2]}" if "=" in found[2] else f"\n{found[0]}", text)
    text = re.sub(r":(?=[A-Za-z:])", r"\\:", _ICON.sub(f":{JOINER}", text))
    while _OPEN in text:
        text = re.sub(f"{_OPEN}(\\d+){_CLOSE}", lambda found: kept[int(found.group(1))], text)
    return text


def _without_code(text: str, keep) -> str:
    """The text with fenced blocks and code spans set aside."""
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
    """The text with code spans set aside: a run of backticks up to the next as long, in the same paragraph."""
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
    """The text with formulas set aside in dollars, and every other dollar escaped."""
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
    """Whether what two signs enclose is a formula: '$5 and $6' is none."""
    inside = text[sign.end() : end.start()]
    if sign.group() != "$":
        return bool(inside.strip())
    return bool(inside) and not (
        inside[0].isspace() or inside[-1].isspace() or "\n" in inside or text[end.end() : end.end() + 1].isdigit()
    )


def _formula(text: str, sign: re.Match, end: re.Match) -> str:
    """A formula in dollars; one that has its lines for itself is set as a block."""
    inside = text[sign.end() : end.start()].strip().replace(r"\$", r"\text{\textdollar}")
    if sign.group() in ("$", r"\("):
        return f"${inside}$"
    before = text[text.rfind("\n", 0, sign.start()) + 1 : sign.start()]
    stop = text.find("\n", end.end())
    after = text[end.end() : len(text) if stop < 0 else stop]
    if before.strip(" \t>") or after.strip():
        return f"$${inside}$$"
    return f"$$\n{before}{inside}\n{before}$$"


def opening(text: str, most: int) -> str:
    """The first `most` signs of a text on one line, as Streamlit should get it: emphasis, code and formulas are set, what the
    cut leaves open of them is closed or left out, and what makes headings, lists, quotations and fences is gone."""
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


def plain(text: str) -> str:
    """Text with every Markdown sign escaped: for names that models gave, in places that render Markdown. Addresses, which
    would become links even so, are broken up."""
    text = _ADDRESS.sub(lambda found: f"{found.group()}{JOINER}", text)
    return re.sub(r"([\\`*_{}\[\]()#+\-.!|$<>~:&])", r"\\\1", _ICON.sub(f":{JOINER}", text))


def fault(error: GlanError) -> None:
    """Say what went wrong. Messages quote names and paths, which are no Markdown."""
    st.error(plain(str(error)))


def scripted_mark(teacher: str | None) -> None:
    """A quiet mark where the offline teacher wrote the text."""
    if teacher in SCRIPTED:
        st.badge(
            "scripted teacher", color="gray", help="Composed offline from a small textbook, not written by a language model."
        )
