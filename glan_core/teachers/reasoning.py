"""Separation of a model's reasoning from its reply."""

import re

TAGS = (("<think>", "</think>"),)  # (opening, closing) per model family: DeepSeek-R1, Qwen3, QwQ
_CODE = re.compile(r"(?P<fence>`{3,}|~{3,}).*?(?P=fence)|`[^`\n]+`", re.DOTALL)


def split_reasoning(text: str) -> tuple[str, str]:
    """Split a model output into leading reasoning and the reply.

    Reasoning starts with its opening tag at the beginning of the text, or without one if the chat template put the tag into the
    prompt. Later tags and tags within code belong to the reply.

    Args:
        text: The model output.

    Returns:
        (reasoning, reply), both stripped; ('', text) unchanged if there is no reasoning. The reply is '' if the reasoning has no
        closing tag.
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
    """Return the position of a tag outside code blocks and code spans, or -1."""
    return _CODE.sub(lambda code: " " * len(code[0]), text).find(tag)
