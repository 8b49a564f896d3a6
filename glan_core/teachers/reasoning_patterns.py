"""Patterns of the tags and layouts by which model families mark reasoning; `reasoning` applies them."""

import re

STRONG = (
    r"(?:(?:ant|\w{1,12}[:_.-])?(?:think(?:ing)?(?:[_ ](?:fast|slow|hard))?|thoughts?(?:[_ ]process)?"
    r"|reason(?:ing)?(?:[_ ](?:process|content|steps))?"
    r"|scratch[_ -]?pad|(?:inner|internal)[_ -]?(?:monologue|thoughts?|dialogue|reasoning)|chain[_ -]of[_ -]thought|cot"
    r"|deliberat(?:ion|e)|ponder(?:ing)?|contemplat(?:ion|e|or)|cogitation)|思考(?:过程)?|推理|思维链)"
)
# These also name parts of an answer, so they count only where a reply follows the closing tag.
WEAK = r"(?:reflection|analysis|planning|plan|rationale|brainstorm(?:ing)?|musings?)"
_ANSWER = r"(?:final[_ -]?)?(?:answer|response|output|solution|reply|result|final)"
_LEFT, _RIGHT = r"[<\[◁⟨【«{]{1,2}\s*+[|｜]?", r"[|｜]?[>\]▷⟩】»}]{1,2}"


def opening(name: str) -> str:
    """Pattern of an opening tag: <name>, [NAME], <|begin_of_name|>, <|START_NAME|>, <name_start>, with attributes or without."""
    return (
        rf"{_LEFT}\s*+(?:(?:begin|start)[_ ▁](?:of[_ ▁])?)?(?P<name>{name})(?:[_ ](?:start|begin))?"
        rf"(?:\s++[\w-]++=[^<>\]]{{0,300}}|\s*+){_RIGHT}"
    )


def closing(name: str) -> str:
    """Pattern of a closing tag: </name>, [/NAME], <|end_of_name|>, <|END_NAME|>, <name_end>, <|/name|>."""
    return rf"{_LEFT}(?:/\s*+[|｜]?\s*+{name}|\s*+end[_ ▁](?:of[_ ▁])?{name}|\s*+{name}[_ ]end)\s*+{_RIGHT}"


HEADER = re.compile(
    r"(?:[\s\ufeff\u200b-\u200d\u2060]|<\|im_start\|>|<\|start\|>|<\|start_header_id\|>|<\|end_header_id\|>|<[|｜]Assistant[|｜]>"
    r"|<\|START_OF_TURN_TOKEN\|>|<\|CHATBOT_TOKEN\|>|<role>ASSISTANT</role>|assistant\b(?=[^\S\n]*+\n\s*+<|<\|channel\|>))*"
)
EMPTY_TAG = re.compile(r"<think\s*/>\s*")
END_TOKENS = (
    "<|im_end|>", "<|eot_id|>", "<|end|>", "<|return|>", "<|endoftext|>", "<|end_of_text|>", "<|end_of_box|>", "</s>",
    "<｜end▁of▁sentence｜>",
)  # fmt: skip
OPENING = re.compile(opening(f"{STRONG}|{WEAK}"), re.IGNORECASE)
STRONG_OPENING = re.compile(opening(STRONG), re.IGNORECASE)
STRONG_CLOSING = re.compile(closing(STRONG), re.IGNORECASE)
IS_WEAK = re.compile(WEAK, re.IGNORECASE)
CLOSING_MARKS = ("/", "|", "｜", "_end", "_END")  # one of these is part of every closing tag
ANSWER_OPENING = re.compile(rf"\s*(?:{opening(_ANSWER)}|\[BEGIN FINAL RESPONSE\])", re.IGNORECASE)
ANSWER_CLOSING = re.compile(rf"(?:{closing(_ANSWER)}|\[END FINAL RESPONSE\])\s*(?:<\|\w+\|>\s*)*\Z", re.IGNORECASE)
ANSWER_TAG = re.compile(f"{opening(_ANSWER)}|{closing(_ANSWER)}", re.IGNORECASE)
# What may begin code: backticks, a fence of tildes, or an indented line, which is code as a whole.
CODE_OPENING = re.compile(r"`+|~{3,}|^(?: {4}|\t)[^\n]*", re.MULTILINE)
CODE_SPAN = re.compile(r"`[^`\n]+`")
WHOLE_FENCE = re.compile(r"(`{3,})(?P<kind>\w*)[^\S\n]*\n(?P<inside>.*?)\n\1[^\S\n]*(?:\n(?P<rest>.*))?\Z", re.DOTALL)
THOUGHT_FENCES = ("think", "thinking", "thought", "thoughts", "reasoning")
PREAMBLE = re.compile(r"[^\n]{0,120}\b(?:think|reason|consider|sure|okay|ok|hmm|let me|let's)\b[^\n]{0,120}", re.IGNORECASE)
# Words after which a sentence names a tag: "the closing tag is </think>"; a short text may also announce it: "it ends with:\n</think>".
NAMING = re.compile(
    r"\b(?:tags?|tokens?|markers?|delimiters?|with|is|are|as|the|of|and|or|by|like|uses?|emits?|writes?|outputs?|prints?|called)"
    r"[^\S\n]*\Z|:[^\S\n]*\Z",
    re.IGNORECASE,
)
ANNOUNCING = re.compile(r":\s*\Z")
# What follows a pair of tags in a sentence about them: "<think>.*?</think> is the pattern".
ABOUT_TAGS = re.compile(
    r" (?:is|are|and|or|marks?|matches|means|ends?|denotes?|wraps?|encloses?|tags?|pairs?|blocks?|stands|would|will|should|can|must|was|has)\b"
)

# Layouts that mark reasoning without a pair of tags: whole texts with the groups 'reasoning' and 'reply'.
LAYOUTS = tuple(
    re.compile(pattern, re.DOTALL)
    for pattern in (
        r"(?:(?i:\.{0,3}\s*thinking)\s*(?:\.{3}|…)[^\S\n]*+\n)(?P<reasoning>.*?)(?:\.{3}|…)\s*(?i:done thinking)\.?(?P<reply>.*)",
        r"(?i:thinking)\s*(?:\.{3}|…)(?P<reasoning>.*?)(?:(?:\.{3}|…|\.)\s*+|(?<!\s)\s*+)(?i:done thinking)\b\.?(?P<reply>.*)",
        r"(?i:here(?:'s| is) my thought process):?(?P<reasoning>.*?)(?i:\bhere(?:'s| is) my (?:response|answer)):?(?P<reply>.*)",
        r"(?i:here are my reasoning steps):?(?P<reasoning>.*?)(?P<reply>\[BEGIN FINAL RESPONSE\].*)",
        r"<unused94>(?:thought\b)?(?P<reasoning>.*?)<unused95>(?P<reply>.*)",
        r"<unused94>thought\b(?P<reasoning>.*)(?P<reply>)",
        r"<\|channel>\s*(?:thought|analysis|thinking)\b(?P<reasoning>.*?)(?:<channel\|>(?P<reply>.*))?",
        r"<\|inner_prefix\|>(?P<reasoning>.*?)(?:<\|inner_suffix\|>(?P<reply>.*))?",
        r"<details(?=[^>]*reasoning)[^>]*>(?P<reasoning>.*?)(?:</details>(?P<reply>.*))?",
        r"<details[^>]*>\s*<summary>\s*(?i:thought for|thinking)[^<]*</summary>(?P<reasoning>.*?)(?:</details>(?P<reply>.*))?",
        r"(?:\*\*|#{1,6}\s*)(?i:thinking|thoughts?|thought process):?(?:\*\*)?:?(?P<reasoning>.*?)"
        r"\n[^\S\n]*+(?:\*\*|#{1,6}\s*)(?i:(?:final )?(?:answer|response|reply|output)):?(?:\*\*)?:?(?P<reply>.*)",
        # gpt-oss whose special tokens were removed from the text
        r"analysis(?=.*?assistant\s*final)(?P<reasoning>.*?)assistant\s*(?:commentary.*?assistant\s*)?final(?P<reply>.*)",
        r"analysis(?P<reasoning>(?=[A-Z]).*)(?P<reply>)",
    )
)
LAYOUT_STARTS = "<tThHa.…*#"
CHANNEL = re.compile(
    r"<\|channel\|>\s*(?P<channel>\w++)[^<]*+(?:<\|constrain\|>[^<]*+)?<\|message\|>(?P<text>.*?)"
    r"(?=<\|(?:end|return|call|start|channel)\|>|\Z)",
    re.DOTALL,
)
