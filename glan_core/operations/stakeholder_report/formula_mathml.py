r"""TeX formulas as MathML, which browsers render without a library; for the commands that models use most.

A formula with any other command is not converted: its source is shown instead, which is better than a wrong formula.
"""

import re
from collections.abc import Iterator
from html import escape

from glan_core.operations.stakeholder_report.html_blocks import Html

MOST = 2000  # characters of a formula that are converted
MOST_DEPTH = 40
LETTERS = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ϵ", "varepsilon": "ε", "zeta": "ζ", "eta": "η", "theta": "θ",
    "vartheta": "ϑ", "iota": "ι", "kappa": "κ", "lambda": "λ", "mu": "μ", "nu": "ν", "xi": "ξ", "pi": "π", "rho": "ρ", "sigma": "σ",
    "tau": "τ", "upsilon": "υ", "phi": "ϕ", "varphi": "φ", "chi": "χ", "psi": "ψ", "omega": "ω", "Gamma": "Γ", "Delta": "Δ", "Theta": "Θ",
    "Lambda": "Λ", "Xi": "Ξ", "Pi": "Π", "Sigma": "Σ", "Phi": "Φ", "Psi": "Ψ", "Omega": "Ω", "infty": "∞", "ell": "ℓ", "hbar": "ℏ",
    "partial": "∂", "nabla": "∇", "emptyset": "∅", "varnothing": "∅", "ldots": "…", "dots": "…", "cdots": "⋯", "circ": "∘", "prime": "′",
    "angle": "∠", "degree": "°", "Re": "ℜ", "Im": "ℑ", "aleph": "ℵ", "vdots": "⋮",
}  # fmt: skip
OPERATORS = {
    "cdot": "⋅", "times": "×", "div": "÷", "pm": "±", "mp": "∓", "le": "≤", "leq": "≤", "ge": "≥", "geq": "≥", "ne": "≠", "neq": "≠",
    "approx": "≈", "equiv": "≡", "sim": "∼", "simeq": "≃", "cong": "≅", "propto": "∝", "to": "→", "rightarrow": "→", "leftarrow": "←",
    "Rightarrow": "⇒", "implies": "⟹", "iff": "⟺", "Leftrightarrow": "⇔", "leftrightarrow": "↔", "mapsto": "↦", "in": "∈", "notin": "∉",
    "subset": "⊂", "subseteq": "⊆", "supset": "⊃", "supseteq": "⊇", "cup": "∪", "cap": "∩", "setminus": "∖", "forall": "∀", "exists": "∃",
    "neg": "¬", "lnot": "¬", "land": "∧", "wedge": "∧", "lor": "∨", "vee": "∨", "mid": "∣", "parallel": "∥", "perp": "⊥", "ll": "≪",
    "gg": "≫", "langle": "⟨", "rangle": "⟩", "lfloor": "⌊", "rfloor": "⌋", "lceil": "⌈", "rceil": "⌉", "oplus": "⊕", "otimes": "⊗",
    "star": "⋆", "ast": "∗", "bullet": "∙", "colon": ":", "vert": "|", "Vert": "‖", "{": "{", "}": "}", "|": "‖", "%": "%", "#": "#",
    "&": "&", "_": "_", "$": "$", "rightleftharpoons": "⇌", "uparrow": "↑", "downarrow": "↓", "therefore": "∴", "because": "∵",
}  # fmt: skip
LARGE = {"sum": "∑", "prod": "∏", "int": "∫", "oint": "∮", "bigcup": "⋃", "bigcap": "⋂", "iint": "∬"}
NAMES = {
    "sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "log", "ln", "exp", "lim", "max", "min",
    "sup", "inf", "gcd", "det", "dim", "ker", "deg", "arg", "Pr", "lg", "limsup", "liminf", "bmod", "hom",
}  # fmt: skip
ACCENTS = {
    "hat": "^",
    "bar": "¯",
    "overline": "¯",
    "vec": "→",
    "dot": "˙",
    "ddot": "¨",
    "tilde": "~",
    "widehat": "^",
    "widetilde": "~",
}
SPACES = {",": "0.17em", ":": "0.22em", ";": "0.28em", " ": "0.25em", "quad": "1em", "qquad": "2em", "!": "0"}
TEXTS = {"text": "normal", "mathrm": "normal", "textbf": "bold", "textit": "italic", "operatorname": "normal", "mbox": "normal"}
DOUBLE = dict(zip("CHNPQRZ", "ℂℍℕℙℚℝℤ", strict=True))
IGNORED = {
    "left",
    "right",
    "big",
    "Big",
    "bigl",
    "bigr",
    "Bigl",
    "Bigr",
    "displaystyle",
    "textstyle",
    "limits",
    "nolimits",
    "biggl",
    "biggr",
}
_TOKEN = re.compile(r"\\[A-Za-z]+|\\.|\d+(?:[.,]\d+)*|\s+|.", re.DOTALL)


class _UnknownCommandError(Exception):
    """The formula uses what is not converted."""


def mathml(tex: str, *, block: bool = False) -> Html | None:
    """Return a TeX formula as MathML, or None if it uses a command that is not converted."""
    if len(tex) > MOST:
        return None
    try:
        body = _Parser(_TOKEN.findall(tex)).row("")
    except _UnknownCommandError:
        return None
    display = ' display="block"' if block else ""
    return Html(f"<math{display}><mrow>{body}</mrow></math>")


class _Parser:
    """A recursive-descent parser of TeX tokens that returns MathML."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens, self._at, self._depth = tokens, 0, 0

    def row(self, end: str) -> str:
        """Parse up to `end` ('}' or ']'; '' for the end of the formula)."""
        parts = []
        while (token := self._peek()) != end:
            if token == "" or token == "}":
                raise _UnknownCommandError  # braces that do not match
            parts.append(self._scripted())
        if end:
            self._at += 1
        return "".join(parts)

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _next(self) -> str:
        token = self._peek()
        if token == "":
            raise _UnknownCommandError
        self._at += 1
        return token

    def _skip_space(self) -> None:
        while self._peek().isspace():
            self._at += 1

    def _scripted(self) -> str:
        """Parse one element with its subscript and superscript."""
        large = self._peek()[1:] in LARGE or self._peek() in (r"\lim", r"\max", r"\min", r"\sup", r"\inf")
        base = self._element()
        below = above = ""
        while True:
            self._skip_space()
            sign = self._peek()
            if sign in ("^", "_"):
                self._at += 1
                value = self._argument()
            elif sign == "'":
                self._at += 1
                sign, value = "^", "<mo>′</mo>"
            else:
                break
            if (above if sign == "^" else below) and value != "<mo>′</mo>":
                raise _UnknownCommandError
            above, below = (above + value, below) if sign == "^" else (above, value)
        one, other, both = ("munder", "mover", "munderover") if large else ("msub", "msup", "msubsup")
        base = base or "<mrow></mrow>"
        if above and below:
            return f"<{both}>{base}<mrow>{below}</mrow><mrow>{above}</mrow></{both}>"
        return (
            f"<{other}>{base}<mrow>{above}</mrow></{other}>"
            if above
            else f"<{one}>{base}<mrow>{below}</mrow></{one}>"
            if below
            else base
        )

    def _argument(self) -> str:
        """Parse the argument of a command or script: a group or one element."""
        self._skip_space()
        if self._peek() == "{":
            self._at += 1
            return f"<mrow>{self.row('}')}</mrow>"
        return self._element()

    def _text(self) -> str:
        """Return the source of a group."""
        self._skip_space()
        if self._next() != "{":
            raise _UnknownCommandError
        return "".join(self._source())

    def _source(self) -> Iterator[str]:
        while (token := self._next()) != "}":
            if token == "{" or (token.startswith("\\") and token[1:] not in ("%", "&", "#", "$", "_", " ")):
                raise _UnknownCommandError
            yield token.removeprefix("\\") if len(token) == 2 else token

    def _element(self) -> str:
        self._depth += 1
        if self._depth > MOST_DEPTH:
            raise _UnknownCommandError
        parsed = self._parsed(self._next())
        self._depth -= 1
        return parsed

    def _parsed(self, token: str) -> str:
        if token.isspace():
            return ""
        if token == "{":
            return f"<mrow>{self.row('}')}</mrow>"
        if token.startswith("\\"):
            return self._command(token[1:])
        if token[0].isdigit():
            return f"<mn>{token}</mn>"
        if token.isalpha():
            return f"<mi>{escape(token)}</mi>"
        if token in "&^_~#%":
            raise _UnknownCommandError
        return f"<mo>{escape('−' if token == '-' else token)}</mo>"

    def _command(self, name: str) -> str:
        if name in LETTERS:
            return f"<mi>{LETTERS[name]}</mi>"
        if name in OPERATORS or name in LARGE:
            return f"<mo>{escape(OPERATORS.get(name) or LARGE[name])}</mo>"
        if name in NAMES:
            return f"<mi>{name}</mi><mo>&#8289;</mo>" if self._peek() not in ("^", "_") else f"<mi>{name}</mi>"
        if name in SPACES:
            return f'<mspace width="{SPACES[name]}"></mspace>'
        if name in ACCENTS:
            return f'<mover accent="true"><mrow>{self._argument()}</mrow><mo>{ACCENTS[name]}</mo></mover>'
        if name in TEXTS:
            return f'<mtext class="{TEXTS[name]}">{escape(self._text())}</mtext>'
        return self._structure(name)

    def _structure(self, name: str) -> str:
        match name:
            case "frac" | "dfrac" | "tfrac":
                return f"<mfrac><mrow>{self._argument()}</mrow><mrow>{self._argument()}</mrow></mfrac>"
            case "binom":
                above, below = self._argument(), self._argument()
                return f'<mrow><mo>(</mo><mfrac linethickness="0"><mrow>{above}</mrow><mrow>{below}</mrow></mfrac><mo>)</mo></mrow>'
            case "sqrt":
                self._skip_space()
                if self._peek() == "[":
                    self._at += 1
                    index = self.row("]")
                    return f"<mroot><mrow>{self._argument()}</mrow><mrow>{index}</mrow></mroot>"
                return f"<msqrt>{self._argument()}</msqrt>"
            case "mathbb":
                letters = self._text()
                if not set(letters) <= set(DOUBLE):
                    raise _UnknownCommandError
                return "".join(f"<mi>{DOUBLE[letter]}</mi>" for letter in letters)
            case "mathbf" | "boldsymbol":
                return f'<mrow class="bold">{self._argument()}</mrow>'
            case "mathit" | "mathsf" | "mathcal":
                return self._argument()
            case "pmod":
                space = '<mspace width="0.35em"></mspace>'
                return f"<mrow>{space}<mo>(</mo><mi>mod</mi>{space}{self._argument()}<mo>)</mo></mrow>"
            case "left" | "right":
                self._skip_space()
                if self._peek() == ".":  # an invisible delimiter
                    self._at += 1
                return ""
            case _ if name in IGNORED:
                return ""
        raise _UnknownCommandError
