"""Every pattern that is applied to a text, collected from the sources, and texts that make careless patterns slow."""

import ast
import importlib
import re
import re._constants as sre  # type: ignore[import-not-found]
import re._parser as sre_parser  # type: ignore[import-not-found]
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import regex

from glan_core.phrase_patterns import PhrasePatterns

ROOT = Path(__file__).parents[2]
PACKAGES = ("glan_core", "pages/components")
# Patterns that are reached through a collection or an argument, with the way they are applied there.
APPLIED = {
    "LAYOUTS": ("fullmatch",),
}
# Patterns that never see a text of any length, with the reason.
BOUNDED = {
    "glan_core/models/gguf_file.py:GENERATION": "chat templates of local models",
    "glan_core/generation/reply_checks.py:_LOOP": "at most 4,800 characters",
    "glan_core/teachers/reasoning_patterns.py:PREAMBLE": "at most 200 characters",
}
PIECES = (
    "\\(", "\\[", "\\", "$", "$$", "$ ", "$a ", "`", "```", "```\n", "` ", "|", "| ", "|\n", "'", "\"", "“", "”", "’", " ", "\t", "\n",
    " \n", "\n\n", "<think>", "</think>", "<think>\n", "the </think> ", "<", "</", "<a ", "<!--", "[", "]", "[[", "](", "![", "{", "}", '{"',
    '{"a":', '{"a": 1} ', '{"a": 1}\n', "{ x", "(", ")", "a", "Z", "1", "1.", "1. ", "1,", "- ", "- a\n", "  - a\n", "a: b\n", "a:\n", "a,b\n",
    "a > b\n", "| a | b |\n", "-", "=", "*", "**", "_", "__", "#", "# ", "# a\n", "> ", ">", ":", ": ", ";", ",", ".", ". ", "!", "?", "…",
    "a b ", "a ", "a\n", "A ", "word ", "é", "思", "\u0301", "\u0301\u0323", "\u200d", "👍", "👍\u200d", "https://", "http://a ", "www.", "@", "@a",
    "&", "%", "~", "~~~", "/", "//", "/*", "\\\\", "\\frac{", "^", "you ", "the ", "your ", "in the ", "and ", "x=", "a-", "a.", "|---|", "+--",
    "├── ", "├── a\n", "data: ", "data: {}\n\n", "\x00", "\x1b[", "\u202e", "\ud800",
)  # fmt: skip


@dataclass(frozen=True)
class Reader:
    """What reads a text: a pattern with its method, a rule, or a parser.

    Attributes:
        name: Place and name.
        read: Function of a text; its errors are of no interest here.
        own: Pieces that it looks for itself.
        bound: Characters from which on it reads no more of a text, up to which its time may grow faster.
    """

    name: str
    read: Callable[[str], object]
    own: tuple[str, ...] = ()
    bound: int = 0

    def __str__(self) -> str:
        return self.name


# Patterns


@cache
def patterns() -> tuple[Reader, ...]:
    """Return every compiled pattern of a module with its methods, and every pattern written into a call of `re` or `regex`."""
    found: dict[str, Reader] = {}
    sources = {path: ast.parse(path.read_text()) for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))}
    importing = {path: tree for path, tree in sources.items() if _imports_re(tree) or _has_pattern(path, tree)}
    methods: dict[int, set[str]] = {}
    named: dict[int, tuple[str, Any]] = {}
    for path, tree in importing.items():
        module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"))
        values = vars(module)
        place = path.relative_to(ROOT).as_posix()
        for name, value in values.items():
            for label, pattern in _patterns_in(name, value):
                named.setdefault(id(pattern), (f"{place}:{label}", pattern))
                methods.setdefault(id(pattern), set()).update(APPLIED.get(name, ()))
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.attr in METHODS:
                value = values.get(node.value.id)
                if isinstance(value, re.Pattern | regex.Pattern):
                    methods.setdefault(id(value), set()).add(node.attr)
            if (inline := _inline(node, values)) is not None:
                pattern, method = inline
                reader = _reader(f"{place}:{node.lineno}", pattern, method)  # type: ignore[attr-defined]
                found[reader.name] = reader
    for key, (name, pattern) in named.items():
        for method in sorted(methods[key] or {"search"}):
            reader = _reader(name, pattern, method)
            if name not in BOUNDED:
                found[reader.name] = reader
    return tuple(found.values())


METHODS = {
    "search": lambda pattern: pattern.search,
    "match": lambda pattern: pattern.match,
    "fullmatch": lambda pattern: pattern.fullmatch,
    "sub": lambda pattern: lambda text: pattern.sub(" ", text),
    "subn": lambda pattern: lambda text: pattern.sub(" ", text),
    "split": lambda pattern: pattern.split,
    "findall": lambda pattern: pattern.findall,
    "finditer": lambda pattern: lambda text: sum(1 for _ in pattern.finditer(text)),
}


def _reader(name: str, pattern: Any, method: str) -> Reader:
    read = METHODS[method](pattern)
    if isinstance(pattern.pattern, bytes):
        return Reader(f"{name}.{method}", lambda text: read(text.encode("utf-8", "replace")), own_pieces(pattern))
    return Reader(f"{name}.{method}", read, own_pieces(pattern))


def _imports_re(tree: ast.Module) -> bool:
    return any(isinstance(node, ast.Import) and {"re", "regex"} & {name.name for name in node.names} for node in tree.body)


def _has_pattern(path: Path, tree: ast.Module) -> bool:
    """Whether a module imports a pattern: a name in capitals from a module of ours."""
    return any(
        isinstance(node, ast.ImportFrom) and (node.module or "").startswith(("glan_core", "pages"))
        and any(name.name.isupper() for name in node.names)
        for node in tree.body
    )  # fmt: skip


def _patterns_in(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, re.Pattern | regex.Pattern):
        yield name, value
    elif isinstance(value, dict):
        yield from ((f"{name}[{key!r}]", each) for key, each in value.items() if isinstance(each, re.Pattern | regex.Pattern))
    elif isinstance(value, PhrasePatterns):
        yield from ((f"{name}[{n}]", pattern) for n, (_, pattern) in enumerate(value.parts))
    elif isinstance(value, list | tuple):
        yield from ((f"{name}[{n}]", each) for n, each in enumerate(value) if isinstance(each, re.Pattern | regex.Pattern))


def _inline(node: ast.AST, values: dict[str, Any]) -> tuple[Any, str] | None:
    """Return the pattern and the method of a call such as `re.search(r"…", text)`; None if it is no constant."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name)):
        return None
    engine, method = values.get(node.func.value.id), node.func.attr
    if engine not in (re, regex) or method not in METHODS:
        return None
    flags = next((word.value for word in node.keywords if word.arg == "flags"), None)
    if flags is None and len(node.args) > (3 if method in ("sub", "subn") else 2) and method != "split":
        flags = node.args[-1]
    try:
        pattern = eval(compile(ast.Expression(node.args[0]), "pattern", "eval"), dict(values))
        option = eval(compile(ast.Expression(flags), "flags", "eval"), dict(values)) if flags is not None else 0
    except NameError:
        return None  # of a local value
    return (pattern, method) if not isinstance(pattern, str | bytes) else (engine.compile(pattern, option), method)


@cache
def own_pieces(pattern: Any, most: int = 48) -> tuple[str, ...]:
    """Return texts that a pattern begins to match: one of each alternative, whole and without its end."""
    if isinstance(pattern, regex.Pattern):
        return ()
    source = pattern.pattern.decode("latin-1") if isinstance(pattern.pattern, bytes) else pattern.pattern
    tree = sre_parser.parse(source, pattern.flags & ~re.UNICODE if isinstance(pattern.pattern, bytes) else pattern.flags)
    samples = list(dict.fromkeys(islice(_samples(tree), 400)))
    step = max(1, len(samples) // most)
    return tuple(dict.fromkeys(
        piece for sample in samples[::step][:most] if sample.strip("a 1") for piece in (sample, sample[:-1], sample + " ") if piece
    ))  # fmt: skip


def _samples(parts: Any) -> Iterator[str]:
    """Yield texts of a parsed pattern: its first alternatives, then each other alternative in its place."""
    options = [list(islice(_options(part), 60)) for part in parts]
    first = [option[0] if option else "" for option in options]
    yield "".join(first)
    for at, option in enumerate(options):
        for other in option[1:]:
            yield "".join([*first[:at], other, *first[at + 1 :]])
            if at < len(first) - 2:
                yield "".join([*first[:at], other])  # cut behind it


def _options(part: Any) -> Iterator[str]:
    kind, value = part
    match kind:
        case sre.LITERAL:
            yield chr(value)
        case sre.NOT_LITERAL:
            yield "b" if value == ord("a") else "a"
        case sre.ANY:
            yield "a"
        case sre.IN:
            yield _member(value)
        case sre.BRANCH:
            for branch in value[1]:
                yield from _samples(branch)
        case sre.SUBPATTERN:
            yield from _samples(value[-1])
        case sre.ATOMIC_GROUP:
            yield from _samples(value)
        case sre.MAX_REPEAT | sre.MIN_REPEAT | sre.POSSESSIVE_REPEAT:
            least, _, inner = value
            for sample in _samples(inner):
                yield sample * max(1, min(least, 50))
            if not least:
                yield ""
        case _:
            yield ""


def _member(items: Any) -> str:
    if items[0][0] is sre.NEGATE:
        return next(letter for letter in "aA1 .\n" if not any(_is_in(letter, item) for item in items[1:]))
    kind, value = items[0]
    if kind is sre.LITERAL:
        return chr(value)
    if kind is sre.RANGE:
        return chr(value[0])
    return {sre.CATEGORY_SPACE: " ", sre.CATEGORY_DIGIT: "1", sre.CATEGORY_WORD: "a", sre.CATEGORY_NOT_SPACE: "a",
            sre.CATEGORY_NOT_WORD: ".", sre.CATEGORY_NOT_DIGIT: "a"}[value]  # fmt: skip


def _is_in(letter: str, item: Any) -> bool:
    kind, value = item
    if kind is sre.LITERAL:
        return ord(letter) == value
    if kind is sre.RANGE:
        return value[0] <= ord(letter) <= value[1]
    return {
        sre.CATEGORY_SPACE: letter.isspace(),
        sre.CATEGORY_DIGIT: letter.isdigit(),
        sre.CATEGORY_WORD: letter.isalnum(),
    }.get(value, False)


# Texts

FILLINGS = (" ", "\n", "a", "a ", "1", "-", ".", "`", '"', "\\", "é")
ENDS = ("", "x", "?")


def texts(reader: Reader) -> Iterator[tuple[str, Callable[[int], str]]]:
    """Yield labels and functions of texts that may make a reader slow: one piece repeated, and what it looks for before a filling."""
    for piece in dict.fromkeys((*PIECES, *reader.own)):
        for end in ENDS:
            yield repr(piece) + (f" … {end!r}" if end else ""), repeated("", piece, end)
    for begun in reader.own:
        for filling in FILLINGS:
            yield f"{begun!r} {filling!r} …", repeated(begun, filling, "x")


def repeated(begun: str, piece: str, end: str) -> Callable[[int], str]:
    """Return a function that makes a text of about a number of characters from a piece."""
    return lambda size: begun + piece * (size // len(piece)) + end
