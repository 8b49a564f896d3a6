"""Separation of a model's reasoning from its reply, for the tags and layouts of the common model families.

Covered: tags such as `<think>`, `[THINK]`, `◁think▷`, `<seed:think>`, `<|begin_of_thought|>`, `<|START_THINKING|>`, `<think_start>`,
`<unused94>`; the channels of gpt-oss and Gemma; 'Thinking... done thinking.' of a console; the sentences of Granite and Apriel; and
`<details>` blocks of web interfaces.
"""

import re

_STRONG = (
    r"(?:\w{1,12}[:_.-])?(?:think(?:ing)?|thoughts?(?:[_ ]process)?|reason(?:ing)?(?:[_ ](?:process|content|steps))?"
    r"|scratch[_ -]?pad|(?:inner|internal)[_ -]?(?:monologue|thoughts?|dialogue|reasoning)|chain[_ -]of[_ -]thought|cot"
    r"|deliberat(?:ion|e)|ponder(?:ing)?|contemplat(?:ion|e|or)|cogitation)"
)
# These also name parts of an answer, so they count only where a reply follows the closing tag.
_WEAK = r"(?:reflection|analysis|planning|plan|rationale|brainstorm(?:ing)?|musings?)"
_ANSWER = r"(?:final[_ -]?)?(?:answer|response|output|solution|reply|result|final)"
_LEFT, _RIGHT = r"[<\[◁⟨【«{]{1,2}\|?", r"\|?[>\]▷⟩】»}]{1,2}"


def _opening(name: str) -> str:
    """Pattern of an opening tag: <name>, [NAME], <|begin_of_name|>, <|START_NAME|>, <name_start>, with attributes or without."""
    return rf"{_LEFT}\s*(?:(?:begin|start)[_ ](?:of[_ ])?)?(?P<name>{name})(?:[_ ](?:start|begin))?(?:\s+[\w-]+=[^<>\]]*)?\s*{_RIGHT}"


def _closing(name: str) -> str:
    """Pattern of a closing tag: </name>, [/NAME], <|end_of_name|>, <|END_NAME|>, <name_end>, <|/name|>."""
    return rf"{_LEFT}(?:/\|?\s*{name}|\s*end[_ ](?:of[_ ])?{name}|\s*{name}[_ ]end)\s*{_RIGHT}"


_HEADER = re.compile(
    r"(?:\s|\ufeff|<\|im_start\|>|<\|start\|>|<\|start_header_id\|>|<[|｜]Assistant[|｜]>|assistant\b(?=\s*\n\s*<))*"
)
_OPENING = re.compile(_opening(f"{_STRONG}|{_WEAK}"), re.IGNORECASE)
_STRONG_OPENING = re.compile(_opening(_STRONG), re.IGNORECASE)
_STRONG_CLOSING = re.compile(_closing(_STRONG), re.IGNORECASE)
_IS_WEAK = re.compile(_WEAK, re.IGNORECASE)
_ANSWER_OPENING = re.compile(rf"\s*(?:{_opening(_ANSWER)}|\[BEGIN FINAL RESPONSE\])", re.IGNORECASE)
_ANSWER_CLOSING = re.compile(rf"(?:{_closing(_ANSWER)}|\[END FINAL RESPONSE\])\s*(?:<\|\w+\|>\s*)*\Z", re.IGNORECASE)
_CODE = re.compile(r"(?P<fence>`{3,}|~{3,}).*?(?P=fence)|`[^`\n]+`", re.DOTALL)
_CLOSING_MARKS = ("/", "|", "_end", "_END")  # one of these is part of every closing tag

# Layouts that mark reasoning without a pair of tags: (whole text with the groups 'reasoning' and 'reply').
_LAYOUTS = tuple(
    re.compile(pattern, re.DOTALL)
    for pattern in (
        r"(?:(?i:\.{0,3}\s*thinking)\s*(?:\.{3}|…)\s*\n)(?P<reasoning>.*?)(?:\.{3}|…)\s*(?i:done thinking)\.?(?P<reply>.*)",
        r"(?i:thinking)\s*(?:\.{3}|…)(?P<reasoning>.*?)(?:\.{3}|…|\.)?\s*(?i:done thinking)\b\.?(?P<reply>.*)",
        r"(?i:thinking)\s*(?:\.{3}|…)[^\S\n]*\n(?P<reasoning>.*)(?P<reply>)",
        r"(?i:here(?:'s| is) my thought process):?(?P<reasoning>.*?)(?i:\bhere(?:'s| is) my (?:response|answer)):?(?P<reply>.*)",
        r"(?i:here(?:'s| is) my thought process):(?P<reasoning>.*)(?P<reply>)",
        r"(?i:here are my reasoning steps):?(?P<reasoning>.*?)(?P<reply>\[BEGIN FINAL RESPONSE\].*)",
        r"(?i:here are my reasoning steps):(?P<reasoning>.*)(?P<reply>)",
        r"<unused94>(?:thought\b)?(?P<reasoning>.*?)(?:<unused95>(?P<reply>.*))?",
        r"<\|channel>\s*(?:thought|analysis|thinking)\b(?P<reasoning>.*?)(?:<channel\|>(?P<reply>.*))?",
        r"<details(?=[^>]*reasoning)[^>]*>(?P<reasoning>.*?)(?:</details>(?P<reply>.*))?",
        r"<details[^>]*>\s*<summary>\s*(?i:thought|thinking|reasoning)[^<]*</summary>(?P<reasoning>.*?)(?:</details>(?P<reply>.*))?",
        # gpt-oss whose special tokens were removed from the text
        r"analysis(?P<reasoning>(?=[A-Z\"'(]|\s).*?)assistant\s*(?:commentary.*?assistant\s*)?final(?P<reply>.*)",
        r"analysis(?P<reasoning>(?=[A-Z]).*)(?P<reply>)",
    )
)
_CHANNEL = re.compile(
    r"<\|channel\|>\s*(?P<channel>\w+)[^<]*(?:<\|constrain\|>[^<]*)?<\|message\|>(?P<text>.*?)"
    r"(?=<\|(?:end|return|call|start|channel)\|>|\Z)",
    re.DOTALL,
)


def split_reasoning(text: str, *, closed_only: bool = True) -> tuple[str, str]:
    """Split a model output into leading reasoning and the reply.

    Reasoning starts at the beginning of the text. Without an opening tag it ends at the closing one, because some chat templates put
    the opening tag into the prompt. Tags within code belong to the reply, and so do tags that a sentence mentions.

    Args:
        text: The model output.
        closed_only: Whether a closing tag without an opening one ends reasoning. False where the endpoint has sent the reasoning
            apart, so that the text is the reply.

    Returns:
        (reasoning, reply), both stripped; ('', text) unchanged if there is no reasoning. The reply is '' if the reasoning has no
        end.
    """
    start = _HEADER.match(text)
    inside = text[start.end() :] if start else text
    if inside.startswith("<|channel|>"):
        return _split_channels(inside)
    if (opened := _OPENING.match(inside)) and (found := _split_tags(inside, opened)) is not None:
        return found
    for layout in _LAYOUTS if inside[:1] in "<tThHa.…" else ():
        if (found_layout := layout.fullmatch(inside.rstrip())) is not None:
            return found_layout["reasoning"].strip(), _unwrap(found_layout["reply"] or "")
    if closed_only and any(mark in text for mark in _CLOSING_MARKS) and _STRONG_CLOSING.search(text):
        return _split_closed_only(text)
    return "", text


def _split_channels(text: str) -> tuple[str, str]:
    """Split the channels of gpt-oss (harmony format): the reply is 'final', all others are reasoning."""
    parts = [(found["channel"].lower(), found["text"].strip()) for found in _CHANNEL.finditer(text)]
    reasoning = "\n\n".join(part for channel, part in parts if channel != "final" and part)
    return reasoning, "\n\n".join(part for channel, part in parts if channel == "final" and part)


def _split_tags(text: str, opened: re.Match[str]) -> tuple[str, str] | None:
    """Split text that begins with an opening tag; None if the tag belongs to the reply after all."""
    name = opened["name"]
    closing = re.compile(_closing(re.escape(name)), re.IGNORECASE)
    inside = text[opened.end() :]
    end = next(closing.finditer(_without_code(inside)), None) or closing.search(inside)
    weak = _IS_WEAK.fullmatch(name) is not None
    if end is None:
        return None if weak else (inside.strip(), "")
    thoughts, reply = [inside[: end.start()].strip()], inside[end.end() :]
    if weak and not reply.strip():
        return None
    # A thought may itself contain the closing tag: another one without an opening tag in between is the real end.
    if (later := _last_closing(reply, closing)) is not None:
        thoughts.append(reply[: later.start()].strip())
        reply = reply[later.end() :]
    if (again := _OPENING.match(reply.lstrip())) and (more := _split_tags(reply.lstrip(), again)) is not None:
        thoughts.append(more[0])
        reply = more[1]
    blocks = re.compile(rf"^{_opening(re.escape(name))}.*?{_closing(re.escape(name))}[^\S\n]*\n?", re.I | re.M | re.S)
    for block in reversed(list(blocks.finditer(_without_code(reply)))):
        thoughts.append(reply[block.start() : block.end()].strip())
        reply = reply[: block.start()] + reply[block.end() :]
    return "\n\n".join(filter(None, thoughts)), _unwrap(reply)


def _split_closed_only(text: str) -> tuple[str, str]:
    end = _last_closing(text, _STRONG_CLOSING)
    if end is None:
        return "", text
    return text[: end.start()].strip(), _unwrap(text[end.end() :])


def _last_closing(text: str, closing: re.Pattern[str]) -> re.Match[str] | None:
    """Return the last closing tag that ends reasoning at the start of the text, None if there is none."""
    plain = _without_code(text)
    opened = _STRONG_OPENING.search(plain)
    limit = opened.start() if opened else len(plain)
    return next((found for found in reversed(list(closing.finditer(plain, 0, limit))) if not _mentioned(plain, found)), None)


def _mentioned(text: str, tag: re.Match[str]) -> bool:
    """Whether a sentence mentions the tag: it stands between words or in quotation marks."""
    before, after = text[: tag.start()][-1:], text[tag.end() :][:2]
    if before in ('"', "'", "“", "‘", "(") or after[:1] in ('"', "'", "”", "’", ")"):
        return True
    return before in (" ", "\t") and (after[:1] in (",", ".", ";", ":", "?", "!") or (after[:1] == " " and after[1:].islower()))


def _unwrap(reply: str) -> str:
    """Strip a reply, and the tags of the reply part (`<answer>`) if they enclose it."""
    opened = _ANSWER_OPENING.match(reply)
    if opened is None:
        return reply.strip()
    closed = _ANSWER_CLOSING.search(reply, opened.end())
    return reply[opened.end() : closed.start() if closed else len(reply)].strip()


def _without_code(text: str) -> str:
    """Return the text with code blocks and code spans blanked, so that positions stay the same."""
    return _CODE.sub(lambda code: " " * len(code[0]), text)
