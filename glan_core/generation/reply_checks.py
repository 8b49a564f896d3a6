"""Checks of a reply before its stage parses it: reasoning, truncation by limits, and repetition loops."""

import re
from collections.abc import Sequence

from glan_core.generation.call_records import ReceivedReply
from glan_core.generation.protocols import Stage
from glan_core.reply_parsing import TRUNCATED, MalformedReply, check_complete
from glan_core.teachers.contract import DecodingParams, Message, Reply

MIN_WORDS = 150  # of a prompt; the tokens of a shorter one are too few to tell
TOKENS_PER_WORD = 0.9  # at least; tokenizers split text at white space, so that every word is a token or more
MIN_PROMPT_TOKENS = 32  # a smaller count for a long prompt is not a truncated one: some servers report only what was not cached
MIN_CONTEXT = 256  # tokens of prompt and completion; no context window is smaller
MIN_REPEATED = 200  # characters of a repetition loop
_LOOP = re.compile(r"(?P<unit>.{1,200}?)(?P=unit){3,}.{0,200}\Z", re.DOTALL)


def checked_text(stage: Stage, received: ReceivedReply, messages: Sequence[Message], decoding: DecodingParams) -> str:
    """Return the text of a reply that may be parsed, stripped.

    Raises:
        MalformedReply: If the prompt was truncated, or the reply has no text, or its stage needs complete replies and it is
            truncated, withheld, empty or a refusal.
    """
    reply, text, reasoning = received.reply, received.text, received.reasoning
    words = _words(messages, more_than=reply.tokens_in / TOKENS_PER_WORD)
    if words >= MIN_WORDS and not reply.estimated and reply.tokens_in >= MIN_PROMPT_TOKENS:
        raise MalformedReply(
            "prompt truncated",
            f"the server used {reply.tokens_in:,} tokens of a prompt of {words:,} words: it truncated the prompt to its context window",
        )
    truncated = reply.finish_reason.lower() in TRUNCATED
    if not text and (reasoning or (truncated and reply.tokens_reasoning)):
        how = "reached the token limit within the reasoning" if truncated else "ended within the reasoning"
        raise MalformedReply("reasoning only", f"the reply has only reasoning and no answer: it {how} (raise max_tokens)")
    check = getattr(stage, "check_reply", None)
    if check is not None:
        return check(text, reply.finish_reason)
    if truncated:
        raise _truncation(reply, text, decoding)
    return check_complete(text, reply.finish_reason)


def _words(messages: Sequence[Message], *, more_than: float) -> int:
    """Return the number of words of a chat, 0 if there are no more than a bound."""
    contents = [message["content"] for message in messages]
    if sum(content.count(" ") + content.count("\n") + 1 for content in contents) <= more_than:
        return 0  # most prompts: counting characters is much faster than splitting
    words = sum(len(content.split()) for content in contents)
    return words if words > more_than else 0


def _truncation(reply: Reply, text: str, decoding: DecodingParams) -> MalformedReply:
    """Return why a reply was truncated: a repetition loop, a full context window, or the token limit."""
    if (loop := repetition(text)) is not None:
        return MalformedReply("repetition", f"the reply repeats “{loop}” until the token limit")
    limit = decoding.max_tokens
    known = not reply.estimated and reply.tokens_in + reply.tokens_out >= MIN_CONTEXT
    if known and limit is not None and reply.tokens_out < 0.95 * limit:
        return MalformedReply(
            "context full",
            f"the context window of the server is full: {reply.tokens_in:,} prompt and {reply.tokens_out:,} completion tokens, although "
            f"max_tokens is {limit:,}",
        )
    return MalformedReply("cut", "the reply was truncated at the token limit: raise max_tokens for this stage")


def repetition(text: str) -> str | None:
    """Return the text that the end of a reply repeats at least four times, shortened; None if there is no such loop."""
    end = text[-4000:]
    for size in (80, 200, 600):  # short units first; the pattern is tried on a bounded end only
        found = _LOOP.search(end[-size * 8 :])
        if found is None:
            continue
        unit = found["unit"]
        repeated = len(found[0])
        if repeated >= MIN_REPEATED and unit.strip(" \n-=_*#|.·"):
            first, space, rest = unit.partition(" ")  # the pattern may begin within a word
            return " ".join(f"{rest}{space}{first}".split())[:60]
    return None
