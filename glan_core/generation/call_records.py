"""Records of calls: what was sent, what came back, and what it cost."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from glan_core.generation.protocols import Work, fingerprint
from glan_core.reply_parsing import storable
from glan_core.teachers.contract import DEFAULT_LIMIT, DecodingParams, Message, Reply, Teacher
from glan_core.teachers.prices import Price
from glan_core.workspace.call_rows import Call


@dataclass(slots=True)
class StageModel:
    """The model of a stage with its decoding parameters and price (None if unknown)."""

    teacher: Teacher
    decoding: DecodingParams
    price: Price | None


def cost_of(model: StageModel, reply: Reply) -> float | None:
    """Return the price of a reply in USD, None if unknown."""
    return model.price.of(reply.tokens_in, reply.tokens_out) if model.price else None


def largest_reply(messages: Sequence[Message], decoding: DecodingParams) -> Reply:
    """Return an empty reply with the most tokens that a call may be billed: one per byte of the prompt, and `max_tokens`."""
    tokens_in = sum(len(message["content"].encode("utf-8", "replace")) + 10 for message in messages)
    return Reply("", "lost", tokens_in, decoding.max_tokens or DEFAULT_LIMIT, estimated=True)


@dataclass(frozen=True, slots=True)
class ReceivedReply:
    """A reply with its reasoning split off, and the seconds from the request to it."""

    reply: Reply
    reasoning: str
    text: str
    seconds: float


def call_record(
    work: Work, model: StageModel, received: ReceivedReply, outcome: str, kept: str | None, *, run_id: int | None,
    keep_reasoning: bool,
) -> Call:  # fmt: skip
    """Return the record of a call with this outcome (see `Call`); `kept` is the text of the reply to store with it."""
    reply = received.reply
    temperature, top_p, max_tokens, others = _sent(reply, model.decoding)
    return Call(
        work.id, run_id, work.stage, work.discipline_id, model.teacher.name, work.prompt.version, fingerprint(work.messages),
        temperature, top_p, max_tokens, reply.tokens_in, reply.tokens_out, reply.estimated, cost_of(model, reply),
        round(received.seconds * 1000), work.attempts, outcome, kept, time.time(), reply.reasoning_tokens(received.reasoning),
        received.reasoning or None if keep_reasoning else None, others, work.endpoint,
    )  # fmt: skip


def storable_reply(reply: Reply) -> Reply:
    """Return a reply whose texts can be stored."""
    text, reasoning = storable(reply.text), storable(reply.reasoning)
    return reply if (text, reasoning) == (reply.text, reply.reasoning) else replace(reply, text=text, reasoning=reasoning)


def _sent(reply: Reply, decoding: DecodingParams) -> tuple[float | None, float | None, int | None, str | None]:
    """Return temperature, top-p and token limit as sent, and further parameters as a JSON object."""
    if reply.sent is None:
        return decoding.temperature, decoding.top_p, decoding.max_tokens, None
    others = dict(reply.sent)
    limits = [others.pop(name, None) for name in ("max_tokens", "max_completion_tokens")]
    temperature, top_p = others.pop("temperature", None), others.pop("top_p", None)
    for name in ("stream", "stream_options"):  # how a reply is transmitted does not change it
        others.pop(name, None)
    return temperature, top_p, next(filter(None, limits), None), json.dumps(others) if others else None
