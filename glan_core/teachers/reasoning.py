"""Reasoning in replies: the thought that a model writes before its reply, told apart from the reply itself."""

import re

TAGS = (("<think>", "</think>"),)  # opening and closing, by family of models: DeepSeek-R1, Qwen3, QwQ
_CODE = re.compile(r"(?P<fence>`{3,}|~{3,}).*?(?P=fence)|`[^`\n]+`", re.DOTALL)


def split_reasoning(text: str) -> tuple[str, str]:
    """Split a reply into the reasoning at its start and what is said after it.

    A thought begins with its opening tag at the start of the text, or without one where the chat template wrote it into the
    prompt. Tags later in the text or within code are part of the reply.

    Args:
        text: The reply as the model wrote it.

    Returns:
        (reasoning, reply), both stripped; ('', text) with the text untouched where it holds no reasoning. The reply is ''
        where the thought does not end.
    """
    for opening, closing in TAGS:
        begins = text.lstrip().startswith(opening)
        inside = text.lstrip().removeprefix(opening)
        end = _find_outside_code(inside, closing)
        if begins:
            end = inside.find(closing) if end < 0 else end
            end = len(inside) if end < 0 else end
        elif end < 0 or opening in inside[:end]:
            continue
        return inside[:end].strip(), inside[end + len(closing) :].strip()
    return "", text


def _find_outside_code(text: str, tag: str) -> int:
    """Where a tag first stands outside of fenced blocks and code spans; -1 where it does not."""
    return _CODE.sub(lambda code: " " * len(code[0]), text).find(tag)
