"""The scripted teacher: answers every prompt of the pipeline without key or network, alike for the same messages.

It sees chat messages and nothing else, and tells our prompts apart by their tags; any other text is a question to
answer. What it knows is in the textbook (`assets/textbook/`); all else gets scaffolding that says that it is that.
"""

import re
from collections.abc import AsyncIterator, Sequence

from glan_core.teachers.contract import DecodingParams, Message, Reply, estimate_tokens
from glan_core.teachers.scripted.course import extract_sessions, format_subjects, list_subjects, write_syllabus
from glan_core.teachers.scripted.homework import SCAFFOLD, write_answer, write_question
from glan_core.teachers.scripted.judge import compare, judge
from glan_core.teachers.scripted.lookalike import write_lookalike
from glan_core.teachers.scripted.taxonomy import propose

NAME = "scripted"
MODEL = "scripted"

_REPAIR_OPENING = "That reply cannot be used:"
_FORMAT_KEY = '"subject_name"'
_NO_SUBTOPICS = "choose them yourself"
_ITEM_MARK = re.compile(r"^\s*(?:[-*•]|\d{1,3}[.)])\s+")
_PIECE = re.compile(r"\s*\S+|\s+")


class ScriptedTeacher:
    """The scripted teacher behind the contract of `base.Teacher`; it never fails and holds nothing open."""

    name = NAME

    async def reply(self, messages: Sequence[Message], sampling: DecodingParams) -> Reply:
        """The whole reply; sampling decides nothing but its greatest length."""
        text, finish_reason = cut(answer(messages), sampling.max_tokens)
        tokens_in = sum(estimate_tokens(message["content"]) for message in messages)
        return Reply(text, finish_reason, tokens_in, estimate_tokens(text), estimated=True)

    async def stream(self, messages: Sequence[Message], sampling: DecodingParams) -> AsyncIterator[str | Reply]:
        """The same reply word by word."""
        reply = await self.reply(messages, sampling)
        for piece in pieces(reply.text):
            yield piece
        yield reply

    async def close(self) -> None:
        """Nothing to give back."""


def answer(messages: Sequence[Message]) -> str:
    """The reply to a chat; a pure function of its messages."""
    asked = [message["content"] for message in messages if message["role"] == "user"]
    while len(asked) > 1 and asked[-1].startswith(_REPAIR_OPENING):
        asked.pop()
    return _answer_to(asked[-1], asked[:-1]) if asked else f"{SCAFFOLD} Nothing was asked."


def cut(text: str, max_tokens: int) -> tuple[str, str]:
    """The text up to a number of tokens as `estimate_tokens` counts them, and its finish reason: 'stop' or 'length'."""
    if estimate_tokens(text) <= max_tokens:
        return text, "stop"
    return text.encode("utf-8", "replace")[: max_tokens * 4].decode("utf-8", "ignore"), "length"


def pieces(text: str) -> list[str]:
    """The text in words, each with the white space before it; joined they are the text."""
    return _PIECE.findall(text)


def _answer_to(prompt: str, earlier: Sequence[str]) -> str:
    """The reply to the last prompt of a chat; `earlier` are the user's turns before it."""
    if (compared := _tagged(prompt, "question_to_compare")) is not None:
        return compare(compared, _tagged(prompt, "first_answer") or "", _tagged(prompt, "second_answer") or "")
    if (judged := _tagged(prompt, "answer_to_judge")) is not None:
        return judge(_tagged(prompt, "question_to_judge") or "", judged)
    if (example := _tagged(prompt, "example_question")) is not None:
        return write_lookalike(example, _tagged(prompt, "example_answer") or "")
    if (concepts := _tagged(prompt, "selected_key_concepts")) is not None:
        sessions = _items(_tagged(prompt, "selected_sessions"))
        discipline, subject = _tagged(prompt, "discipline") or "", _tagged(prompt, "subject") or ""
        return write_question(discipline, subject, _items(concepts), pair=len(sessions) > 1)
    if _FORMAT_KEY in prompt and earlier and (discipline := _tagged(earlier[-1], "discipline")):
        return format_subjects(discipline)
    if (parent := _tagged(prompt, "parent")) is not None:
        return propose(prompt, parent, _items(_tagged(prompt, "existing")))
    if (discipline := _tagged(prompt, "discipline")) is not None:
        return _answer_about(discipline, prompt)
    return write_answer(prompt)


def _answer_about(discipline: str, prompt: str) -> str:
    """The reply to a prompt of the curriculum: subjects, syllabus or class sessions."""
    subject = _tagged(prompt, "subject")
    if subject is None:
        return list_subjects(discipline)
    if (syllabus := _tagged(prompt, "syllabus")) is not None:
        return extract_sessions(syllabus)
    subtopics = [topic for topic in _items(_tagged(prompt, "subtopics")) if topic != _NO_SUBTOPICS]
    return write_syllabus(discipline, subject, _tagged(prompt, "level") or "", subtopics)


def _tagged(prompt: str, tag: str) -> str | None:
    """What stands between the first opening tag and the last closing one, or None."""
    start, end = prompt.find(f"<{tag}>"), prompt.rfind(f"</{tag}>")
    return prompt[start + len(tag) + 2 : end].strip() if 0 <= start < end else None


def _items(lines: str | None) -> list[str]:
    """The items of a list in a prompt, one a line, without bullets and numbers."""
    return [item for line in (lines or "").splitlines() if (item := _ITEM_MARK.sub("", line).strip())]
