"""Separation of a model's reasoning from its reply, for the tags and layouts of the common model families.

Covered: tags such as `<think>`, `[THINK]`, `◁think▷`, `<seed:think>`, `<|begin_of_thought|>`, `<|START_THINKING|>`, `<think_start>`,
`<unused94>`; the channels of gpt-oss and Gemma; 'Thinking... done thinking.' of a console; the sentences of Granite and Apriel; and
`<details>` blocks of web interfaces.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate

from glan_core.delimited_spans import NextPlaces, Span, replaced, spans
from glan_core.teachers.reasoning_patterns import (
    ABOUT_TAGS,
    ANNOUNCING,
    ANSWER_CLOSING,
    ANSWER_OPENING,
    ANSWER_TAG,
    CHANNEL,
    CLOSING_MARKS,
    CODE_OPENING,
    CODE_SPAN,
    EMPTY_TAG,
    END_TOKENS,
    HEADER,
    IS_WEAK,
    LAYOUT_STARTS,
    LAYOUTS,
    NAMING,
    OPENING,
    PREAMBLE,
    STRONG,
    STRONG_CLOSING,
    STRONG_OPENING,
    THOUGHT_FENCES,
    WHOLE_FENCE,
    closing,
    opening,
)

MAX_DEPTH = 8  # further blocks on the same line, or with other tags
SHORT = 200  # characters of a sentence that may mention a tag
FENCE = 3  # signs of a fence, at least
_REST_OF_LINE = re.compile(r"[^\S\n]*\n?")


def split_reasoning(text: str, *, closed_only: bool = True) -> tuple[str, str]:
    """Split a model output into reasoning and the reply.

    Reasoning starts at the beginning of the text, or is a block whose opening tag begins a line. Without an opening tag it ends at
    the closing one, because some chat templates put the opening tag into the prompt. Tags within code belong to the reply, and so do
    tags that a sentence mentions.

    Args:
        text: The model output.
        closed_only: Whether a closing tag without an opening one ends reasoning. False where the endpoint has sent the reasoning
            apart, so that the text is the reply.

    Returns:
        (reasoning, reply), both stripped; ('', text) unchanged if there is no reasoning. The reply is '' if the reasoning has no
        end.
    """
    reasoning, reply = _split(text, closed_only=closed_only)
    return reasoning, _without_end_tokens(reply)


def _without_end_tokens(reply: str) -> str:
    """Return a reply without the end tokens behind it, and the white space before these; unchanged if there is nothing else."""
    end = len(reply)
    while reply.endswith(END_TOKENS, 0, end):
        end -= next(len(token) for token in END_TOKENS if reply.endswith(token, 0, end))
        while end and reply[end - 1].isspace():
            end -= 1
    return reply[:end] or reply


def _split(text: str, *, closed_only: bool) -> tuple[str, str]:
    header = HEADER.match(text)
    inside = text[header.end() :] if header else text
    if empty := EMPTY_TAG.match(inside):
        return "", inside[empty.end() :].strip()
    if CHANNEL.match(inside):
        return _split_channels(inside)
    if inside.startswith("```") and (found := _split_fence(inside, closed_only=closed_only)) is not None:
        return found
    if (opened := OPENING.match(inside)) and (found := _split_tags(inside, opened)) is not None:
        return found
    for layout in LAYOUTS if inside[:1] in LAYOUT_STARTS else ():
        if (found_layout := layout.fullmatch(inside.rstrip())) is not None:
            return found_layout["reasoning"].strip(), _unwrap(found_layout["reply"] or "")
    if any(mark in text for mark in CLOSING_MARKS) and STRONG_CLOSING.search(text):
        if not opened and (found := _split_later_blocks(text)) is not None:
            return found
        if closed_only:
            return _split_closed_only(text)
    return "", text


def _split_channels(text: str) -> tuple[str, str]:
    """Split the channels of gpt-oss (harmony format): the reply is 'final', all others are reasoning."""
    parts = [(found["channel"].lower(), found["text"].strip()) for found in CHANNEL.finditer(text)]
    reasoning = "\n\n".join(part for channel, part in parts if channel != "final" and part)
    return reasoning, "\n\n".join(part for channel, part in parts if channel == "final" and part)


def _split_fence(text: str, *, closed_only: bool) -> tuple[str, str] | None:
    """Split a reply that begins with a fence named after thoughts, or that is enclosed in one fence as a whole."""
    fenced = WHOLE_FENCE.match(text)
    if fenced is None:
        return None
    rest = (fenced["rest"] or "").strip()
    if fenced["kind"].lower() in THOUGHT_FENCES and rest:
        return fenced["inside"].strip(), _unwrap(rest)
    if not rest and not fenced["kind"] and STRONG_OPENING.match(fenced["inside"].lstrip()):
        found = _split(fenced["inside"], closed_only=closed_only)
        return found if found[1] else None
    return None


def _split_tags(text: str, opened: re.Match[str], depth: int = 0) -> tuple[str, str] | None:
    """Split text that begins with an opening tag; None if the tag belongs to the reply after all."""
    name = opened["name"]
    closes = re.compile(closing(re.escape(name)), re.IGNORECASE)
    inside = text[opened.end() :]
    weak = IS_WEAK.fullmatch(name) is not None
    end = next(closes.finditer(_without_code(inside)), None) or closes.search(inside)
    if end is None and not weak:
        end = STRONG_CLOSING.search(_without_code(inside))  # <think> … </thinking>
    if end is None:
        certain = text.startswith(("<", "◁")) or name.isupper()  # "[Thought] experiments" is a sentence
        return (inside.strip(), "") if certain and not weak and not inside.startswith(" is ") else None
    reply = inside[end.end() :]
    if end.start() < 60 and "\n" not in inside[: end.start()] and ABOUT_TAGS.match(reply):
        return None  # "<think>.*?</think> is the pattern"
    if weak and not reply.strip():
        return None
    thoughts = [inside[: end.start()].strip()]
    # A thought may itself contain the closing tag: another one without an opening tag in between is the real end.
    if (later := _last_closing(reply, closes)) is not None:
        thoughts.append(reply[: later.start()].strip())
        reply = reply[later.end() :]
    blocks, reply = _take_blocks(reply, re.escape(name))
    thoughts += blocks
    again = OPENING.match(reply.lstrip()) if depth < MAX_DEPTH else None
    if again and (more := _split_tags(reply.lstrip(), again, depth + 1)) is not None:
        thoughts.append(more[0])
        reply = more[1]
    cut = None if weak else re.search(opening(re.escape(name)), _without_code(reply), re.IGNORECASE)
    if cut and not closes.search(reply, cut.end()) and not NAMING.search(reply[: cut.start()]):
        thoughts.append(reply[cut.end() :].strip())  # a further thought that was truncated
        reply = reply[: cut.start()]
    return "\n\n".join(filter(None, thoughts)), _unwrap(reply)


def _split_later_blocks(text: str) -> tuple[str, str] | None:
    """Remove blocks of reasoning that begin a line after the start of the text; None if there are none."""
    thoughts, reply = _take_blocks(text, STRONG)
    if not thoughts or not reply.strip():
        return None
    before = text[: text.find(thoughts[0])].strip()
    if len(before) < SHORT and PREAMBLE.fullmatch(before) and reply.strip() != before:
        thoughts, reply = [before, *thoughts], reply.strip().removeprefix(before)  # "Sure, let me think."
    return "\n\n".join(thoughts), reply.strip()


def _take_blocks(text: str, name: str) -> tuple[list[str], str]:
    """Return the blocks with a tag of this name that begin a line outside code, and the text without them."""
    opens = re.compile(rf"^[^\S\n]*+{opening(name)}", re.IGNORECASE | re.MULTILINE)
    closes = re.compile(closing(name), re.IGNORECASE)
    plain = _without_code(text)
    places = NextPlaces(plain)

    def end_of(opened: re.Match[str]) -> int | None:
        closed = places.find(closes, opened.end())
        return _REST_OF_LINE.match(plain, closed[1]).end() if closed else None  # type: ignore[union-attr]

    blocks = list(spans(plain, opens, end_of))
    return [text[start:end].strip() for start, end in blocks], replaced(text, blocks, "")


def _split_closed_only(text: str) -> tuple[str, str]:
    end = _last_closing(text, STRONG_CLOSING)
    if end is None:
        return "", text
    return text[: end.start()].strip(), _unwrap(text[end.end() :])


def _last_closing(text: str, closes: re.Pattern[str]) -> re.Match[str] | None:
    """Return the last closing tag that ends reasoning at the start of the text, None if there is none."""
    plain = _without_code(text)
    opened = STRONG_OPENING.search(plain)
    limit = opened.start() if opened else len(plain)
    return next((found for found in reversed(list(closes.finditer(plain, 0, limit))) if not _mentioned(plain, found)), None)


def _mentioned(text: str, tag: re.Match[str]) -> bool:
    """Whether a sentence mentions the tag: it follows a word that names tags, or stands between words or in quotation marks."""
    start, end = tag.span()
    before, after = text[max(0, start - 1) : start], text[end : end + 2]
    if (before and before in "\"'“‘(*_>") or (after and after[0] in "\"'”’)*_,.;:!?，。、；："):
        return True
    short = start < SHORT
    if NAMING.search(text, max(0, start - SHORT), start) or (short and ANNOUNCING.search(text, 0, start)):
        return True
    if short and text[:start].strip() and not text[end:].strip() and "\n" not in text[:start]:
        return True
    return before in (" ", "\t") and after[:1] == " " and after[1:].islower() and short


def _unwrap(reply: str) -> str:
    """Strip a reply, and the tags of the reply part (`<answer>`) if they enclose it."""
    opened = ANSWER_OPENING.match(reply)
    if opened is None or len(ANSWER_TAG.findall(reply)) > 2:  # several parts: <result>4</result> and <result>5</result>
        return reply.strip()
    closed = ANSWER_CLOSING.search(reply, opened.end())
    return reply[opened.end() : closed.start() if closed else len(reply)].strip()


def _without_code(text: str) -> str:
    """Return the text with code blocks, code spans and indented lines blanked, so that positions stay the same."""
    return replaced(text, _code(text), lambda code: " " * len(code))


def _code(text: str) -> Iterator[Span]:
    """Yield the spans of code: between fences, between backticks on one line, and indented lines."""
    places = NextPlaces(text)
    longest = {sign: _LongestRuns(text, sign) for sign in "`~"}

    def end_of(found: re.Match[str]) -> int | None:
        sign, end = found.group()[0], found.end()
        if sign not in longest:
            return end
        # A shorter fence than the opening one closes it if there is no other.
        size = min(len(found.group()), longest[sign].after(end))
        if size >= FENCE and (closing := places.find(sign * size, end)):
            return closing[1]
        closed = CODE_SPAN.match(text, end - 1) if sign == "`" else None
        return closed.end() if closed else None

    return spans(text, CODE_OPENING, end_of)


class _LongestRuns:
    """The length of the longest run of a character after a position."""

    def __init__(self, text: str, sign: str) -> None:
        runs = [run.span() for run in re.finditer(f"{sign}{{{FENCE},}}", text)]
        self._starts = [start for start, _ in runs]
        sizes = (end - start for start, end in reversed(runs))
        self._longest = [*reversed(list(accumulate(sizes, max))), 0]

    def after(self, position: int) -> int:
        """Return the length of the longest run that begins at a position or later, 0 if there is none of a fence's length."""
        return self._longest[bisect_left(self._starts, position)]
