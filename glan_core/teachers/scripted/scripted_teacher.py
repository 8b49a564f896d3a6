"""The scripted teacher: answers every prompt of the pipeline offline and deterministically.

It sees only the chat messages and recognizes the pipeline's prompts by their tags; any other text is a question. Its content
comes from the textbook (`assets/textbook/`); everything else gets labeled placeholder text.
"""

import re
from collections.abc import AsyncGenerator, Sequence

from glan_core.teachers.contract import DecodingParams, Message, Reply, estimate_tokens
from glan_core.teachers.scripted.answers import write_answer
from glan_core.teachers.scripted.course import extract_sessions, format_subjects, list_subjects, write_syllabus
from glan_core.teachers.scripted.homework_plan import write_question
from glan_core.teachers.scripted.judge import compare, judge
from glan_core.teachers.scripted.lookalike import write_paraphrase
from glan_core.teachers.scripted.scaffold import SCAFFOLD
from glan_core.teachers.scripted.taxonomy import propose

NAME = "scripted"
MODEL = "scripted"

_REPAIR_OPENING = "That reply cannot be used:"
_FORMAT_KEY = '"subject_name"'
_NO_SUBTOPICS = "choose them yourself"
_ITEM_MARK = re.compile(r"^\s*(?:[-*•]|\d{1,3}[.)])\s+")
_PIECE = re.compile(r"\s*\S+|\s+")


class ScriptedTeacher:
    """The scripted teacher as a `Teacher`; it never fails."""

    name = NAME

    async def reply(self, messages: Sequence[Message], decoding: DecodingParams) -> Reply:
        """Return the complete reply; of the decoding parameters only `max_tokens` has an effect."""
        text, finish_reason = cut(answer(messages), decoding.complete().max_tokens)
        tokens_in = sum(estimate_tokens(message["content"]) for message in messages)
        return Reply(text, finish_reason, tokens_in, estimate_tokens(text), estimated=True)

    async def stream(self, messages: Sequence[Message], decoding: DecodingParams) -> AsyncGenerator[str | Reply, None]:
        """Stream the reply word by word."""
        reply = await self.reply(messages, decoding)
        for piece in pieces(reply.text):
            yield piece
        yield reply

    async def close(self) -> None:
        """Do nothing: there is nothing to release."""


def answer(messages: Sequence[Message]) -> str:
    """Return the reply to a chat; a pure function of its messages."""
    asked = [message["content"] for message in messages if message["role"] == "user"]
    while len(asked) > 1 and asked[-1].startswith(_REPAIR_OPENING):
        asked.pop()
    return _answer_to(asked[-1], asked[:-1]) if asked else f"{SCAFFOLD} Nothing was asked."


def cut(text: str, max_tokens: int) -> tuple[str, str]:
    """Truncate text to `max_tokens` as counted by `estimate_tokens`; return it with the finish reason."""
    if estimate_tokens(text) <= max_tokens:
        return text, "stop"
    return text.encode("utf-8", "replace")[: max_tokens * 4].decode("utf-8", "ignore"), "length"


def pieces(text: str) -> list[str]:
    """Split text into words with their leading white space."""
    return _PIECE.findall(text)


def _answer_to(prompt: str, earlier: Sequence[str]) -> str:
    """Return the reply to the last prompt; `earlier` contains the previous user messages."""
    if (compared := _tagged(prompt, "question_to_compare")) is not None:
        return compare(compared, _tagged(prompt, "first_answer") or "", _tagged(prompt, "second_answer") or "")
    if (judged := _tagged(prompt, "answer_to_judge")) is not None:
        return judge(_tagged(prompt, "question_to_judge") or "", judged)
    if (example := _tagged(prompt, "example_question")) is not None:
        return write_paraphrase(example, _tagged(prompt, "example_answer") or "")
    discipline = _tagged(prompt, "discipline")
    if (concepts := _tagged(prompt, "selected_key_concepts")) is not None:
        sessions = _items(_tagged(prompt, "selected_sessions"))
        return write_question(discipline or "", _tagged(prompt, "subject") or "", _items(concepts), pair=len(sessions) > 1)
    if _FORMAT_KEY in prompt and earlier and (listed := _tagged(earlier[-1], "discipline")):
        return format_subjects(listed)
    if (parent := _tagged(prompt, "parent")) is not None:
        return propose(prompt, parent, _items(_tagged(prompt, "existing")))
    if discipline is not None:
        return _answer_about(discipline, prompt)
    return write_answer(prompt)


def _answer_about(discipline: str, prompt: str) -> str:
    """Return the reply to a curriculum prompt: subjects, syllabus or class sessions."""
    subject = _tagged(prompt, "subject")
    if subject is None:
        return list_subjects(discipline)
    if (syllabus := _tagged(prompt, "syllabus")) is not None:
        return extract_sessions(syllabus)
    subtopics = [topic for topic in _items(_tagged(prompt, "subtopics")) if topic != _NO_SUBTOPICS]
    return write_syllabus(discipline, subject, _tagged(prompt, "level") or "", subtopics)


def _tagged(prompt: str, tag: str) -> str | None:
    """Return the text between the first opening and the last closing tag, or None."""
    start, end = prompt.find(f"<{tag}>"), prompt.rfind(f"</{tag}>")
    return prompt[start + len(tag) + 2 : end].strip() if 0 <= start < end else None


def _items(lines: str | None) -> list[str]:
    """Return the items of a list in a prompt, without bullets and numbers."""
    return [item for line in (lines or "").splitlines() if (item := _ITEM_MARK.sub("", line).strip())]
