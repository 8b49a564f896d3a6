r"""TeX formulas of untrusted text that a renderer may draw: bounded in length, depth and size, without links, macros and colors.

KaTeX draws `\rule{500em}{500em}` as large as it says. Sizes, colors and large spaces are replaced; a formula with a command that reaches
beyond it, or is too long or deep, is shown as its source.
"""

import re

MOST_LENGTH = 3000  # characters
MOST_DEPTH = 24  # groups and environments within each other
MOST_COMMANDS = 800
MOST_CHAIN = 12  # commands with an argument in a row, such as \sqrt\sqrt\sqrt x
MOST_SPACE = 4.0  # em
# Commands that reach beyond the formula, overlap their surroundings, define others, or name any character.
REFUSED = frozenset((
    "rule", "raisebox", "raise", "lower", "vspace", "vskip", "vphantom", "smash", "llap", "rlap", "clap", "mathllap", "mathrlap", "mathclap",
    "above", "genfrac", "href", "url", "includegraphics", "htmlClass", "htmlId", "htmlStyle", "htmlData", "html", "def", "gdef", "edef", "xdef",
    "let", "futurelet", "global", "long", "newcommand", "renewcommand", "providecommand", "newenvironment", "renewenvironment",
    "DeclareMathOperator", "expandafter", "noexpand", "csname", "endcsname", "char", "unicode", "verb", "colorbox", "fcolorbox", "require",
    "input", "include", "write", "openout", "catcode", "mathchoice", "vcenter", "cr", "arraystretch", "setlength", "mathpalette", "@firstoftwo",
    "@secondoftwo", "bordermatrix", "includesvg", "style", "class", "cssId", "bbox", "mmlToken", "toggle",
))  # fmt: skip
SIZES = frozenset((
    "tiny", "sixptsize", "scriptsize", "footnotesize", "small", "normalsize", "large", "Large", "LARGE", "huge", "Huge",
))  # fmt: skip
SPACES = frozenset((
    "hspace", "hskip", "kern", "mkern", "mskip", "mspace",
))  # fmt: skip
COLORS = frozenset((
    "color", "textcolor",
))  # fmt: skip
CHAINED = frozenset((
    "sqrt", "frac", "dfrac", "tfrac", "cfrac", "binom", "overline", "underline", "widehat", "widetilde", "overbrace", "underbrace", "hat",
    "bar", "vec", "boxed", "overset", "underset", "stackrel", "overrightarrow", "overleftarrow", "xrightarrow", "xleftarrow", "text", "mathrm",
    "mathbf", "cancel",
))  # fmt: skip
_TOKEN = re.compile(r"\\(?P<name>[A-Za-z@]+)\*?|\\(?P<sign>.)|(?P<brace>[{}])|[^\\{}]+|\\", re.DOTALL)
_ARGUMENT = re.compile(r"\s*+\{[^{}\\]*+\}")
_LENGTH = re.compile(r"\s*+(?:\{\s*+)?[+-]?[\d.]*+\s*+(?:em|ex|mu|pt|mm|cm|in|bp|pc|dd|cc|sp|px)(?:\s*+\})?|\s*+\{[^{}]*+\}")
_ROW_SPACE = re.compile(r"\s*+\[\s*+(?P<number>[+-]?[\d.]*+)\s*+(?P<unit>[a-z]*+)\s*+\]")
_EM = {"em": 1.0, "ex": 0.45, "mu": 1 / 18, "pt": 0.1, "mm": 0.28, "cm": 2.8, "in": 7.2, "bp": 0.1, "pc": 1.2, "px": 0.06}


def drawable(tex: str) -> str | None:
    r"""Return a formula that may be drawn, or None if its source is to be shown instead.

    Args:
        tex: Source of the formula, without delimiters.
    """
    if len(tex) > MOST_LENGTH:
        return None
    parts: list[str] = []
    depth = commands = chain = at = 0
    while found := _TOKEN.match(tex, at):
        at = found.end()
        part, name = found.group(), found["name"]
        if name is not None:
            commands += 1
            chain = chain + 1 if name in CHAINED else 0
            depth += (name in ("begin", "left")) - (name in ("end", "right"))
            if name in REFUSED or commands > MOST_COMMANDS or chain > MOST_CHAIN:
                return None
            if name in SIZES:
                part = " "
            elif name in SPACES:
                length = _LENGTH.match(tex, at)
                at, part = length.end() if length else at, r"\quad "
            elif name in COLORS:
                argument = _ARGUMENT.match(tex, at)
                if argument is None:
                    return None
                at, part = argument.end(), " "
        elif found["brace"]:
            depth += 1 if part == "{" else -1
        elif found["sign"] == "\\" and (space := _ROW_SPACE.match(tex, at)):
            at = at if _is_small(space) else space.end()
        elif part.strip(" ^_"):
            chain = 0
        if depth > MOST_DEPTH:
            return None
        parts.append(part)
    return "".join(parts)


def _is_small(space: re.Match[str]) -> bool:
    """Return whether the space between two rows is a small one."""
    try:
        return abs(float(space["number"])) * _EM[space["unit"]] <= MOST_SPACE
    except (ValueError, KeyError):
        return False
