"""Render text written by models and users so that it can neither break nor script a page."""

import re

import streamlit as st

from glan_core.delimited_spans import replaced
from glan_core.errors import GlanError
from glan_core.markdown_parts import FENCE, MathSign, code_parts, math_signs
from glan_core.tex_formulas import drawable
from glan_core.untrusted import clean, clean_line
from glan_core.workspace.homework_rows import SCRIPTED

TOP_HEADING = 3  # level of the highest heading in a text; above it are the page's title and a section
JOINER = "\u2060"  # zero-width; separates characters that would form markup together
_OPEN, _CLOSE = "\ue000", "\ue001"  # enclose the index of a protected part

_LINK = re.compile(r"<(?:https?|mailto):[^\s<>]*>|https?://[^\s<>\[\](){}\"'`\\$\ue000]*", re.IGNORECASE)
# What would become a link to anything but an address of the web or of a person: destinations, definitions, and addresses in brackets.
_OTHER_LINK = re.compile(
    r"\](?=\((?!\s*<?(?:https?://|mailto:)))|\](?=:(?!\s*<?(?:https?://|mailto:)))|<(?=(?!https?://|mailto:)[a-z][a-z0-9+.-]{1,31}:)"
    r"|\b(?:xmpp|ftp)(?=:)", re.IGNORECASE,
)  # fmt: skip
_EMOJI = re.compile(r":(?=(?:[a-z][\w+-]*|[+-]1|100|1234|8ball):)", re.IGNORECASE)
_HEADING = re.compile(r"^([ \t>]*(?:[-*+][ \t]+|\d{1,9}[.)][ \t]+)?)(#{1,6})(?=[ \t]|$)", re.MULTILINE)
_UNDERLINE = re.compile(r"^( {0,3})(=+|-+)(?=[ \t]*$)", re.MULTILINE)
_ADDRESS = re.compile(r"(?i)\b(?:https?|ftp|mailto|xmpp)(?=:)|\bwww(?=\.)|@(?=[\w-]+\.)")
_LINE_START = re.compile(r"^[ \t>]*(?:#{1,6}[ \t]+|[-*+][ \t]+|\d{1,9}[.)][ \t]+|[-=*_]{3,}[ \t]*$)?")
_ICON = re.compile(r":(?=material/|streamlit:)")
_DIRECTIVE = re.compile(r"(?<!\\)(\\*+):(?=[A-Za-z:])")  # with the backslashes before it
_SETEXT = re.compile(r"^([ \t]*)=", re.MULTILINE)  # makes a heading of the line above


def model_markdown(text: str) -> str:
    r"""Convert untrusted Markdown to Markdown that is safe to pass to Streamlit.

    Images are disabled (the browser would fetch them from any URL in the text), and so are links to anything but http, https and
    mailto. Headings go below those of the page, TeX in \( \) and \[ \] is delimited by dollars, formulas that could reach beyond
    their place are shown as source, and dollars outside of formulas and Streamlit's directives for colors, icons and emoji mean
    nothing. Code is unchanged, and characters that act on their surroundings are removed (`glan_core.untrusted`). Streamlit itself
    escapes HTML.
    """
    kept: list[str] = []

    def keep(part: str) -> str:
        kept.append(part)
        return f"{_OPEN}{len(kept) - 1}{_CLOSE}"

    text = clean(text).replace(_OPEN, "").replace(_CLOSE, "")
    if re.search(
        r"\][(\[:]", text
    ):  # an image needs one of these; where one occurs, detection of code is not reliable enough to exempt it
        text = text.replace("![", f"!{JOINER}[")
    text = replaced(text, code_parts(text), keep)
    text = _without_math(text, keep)
    text = _LINK.sub(lambda found: keep(found.group()), _OTHER_LINK.sub(lambda found: f"{found.group()}{JOINER}", text))
    text = _below_section(text)
    text = _UNDERLINE.sub(lambda found: f"{found[1]}\\{found[2]}" if "=" in found[2] else f"\n{found[0]}", text)
    text = _DIRECTIVE.sub(_without_directive, _EMOJI.sub(f":{JOINER}", _ICON.sub(f":{JOINER}", text)))
    while _OPEN in text:
        text = re.sub(f"{_OPEN}(\\d+){_CLOSE}", lambda found: kept[int(found.group(1))], text)
    return text


def _without_directive(found: re.Match) -> str:
    """Return a colon escaped once: a second backslash would be a character, and leave the colon to Streamlit."""
    return found[0] if len(found[1]) % 2 else f"{found[1]}\\:"


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


def _without_math(text: str, keep) -> str:
    """Replace formulas by placeholders in dollars and escape all other dollars."""
    parts, last = [], 0
    for sign in math_signs(text):
        parts += [text[last : sign.start], keep(_formula(text, sign)) if sign.tex else r"\$" * len(sign.sign)]
        last = sign.end
    return "".join([*parts, text[last:]])


def _formula(text: str, found: MathSign) -> str:
    """Return a formula in dollars, as a block if it has its own lines; as code if it must not be drawn."""
    tex = drawable(found.tex)
    if tex is None:
        return _source(found.tex)
    inside = tex.replace(r"\$", r"\text{\textdollar}")
    if not found.display:
        return f"${inside}$"
    before = text[text.rfind("\n", 0, found.start) + 1 : found.start]
    stop = text.find("\n", found.end)
    after = text[found.end : len(text) if stop < 0 else stop]
    if before.strip(" \t>") or after.strip():
        return f"$${inside}$$"
    return f"$$\n{before}{inside}\n{before}$$"


def _source(tex: str) -> str:
    """Return the source of a formula as a code span."""
    line = " ".join(tex.split())
    ticks = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    return f"{ticks} {line} {ticks}"


def snippet(text: str, most: int) -> str:
    """Return the first `most` characters of a text as one line of safe Markdown.

    Emphasis, code and formulas are kept and closed where the cut leaves them open; block markup is removed.
    """
    lines = (_LINE_START.sub("", line) for line in text.splitlines() if not FENCE.match(line))
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
    text = _ADDRESS.sub(lambda found: f"{found.group()}{JOINER}", clean(text))
    text = _EMOJI.sub(f":{JOINER}", _ICON.sub(f":{JOINER}", text))
    return _SETEXT.sub(r"\1\\=", re.sub(r"([\\`*_{}\[\]()#+\-.!|$<>~:&])", r"\\\1", text))


def badge_label(text: str) -> str:
    """Escape a text for `st.badge`, which escapes brackets itself and needs one line."""
    return escape(clean_line(text)).replace("\\[", "[").replace("\\]", "]")


def show_error(error: GlanError) -> None:
    """Show an error; its message is escaped because it may quote names and paths."""
    st.error(escape(str(error)))


def scripted_badge(teacher: str | None) -> None:
    """Draw a badge if the scripted teacher wrote the text."""
    if teacher in SCRIPTED:
        st.badge("scripted teacher", color="gray", help="Composed offline from a small textbook, not by a language model.")
