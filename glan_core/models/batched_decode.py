"""Batched decoding: generates several answers as one batch, each with its own adapter, seed, length and stop condition.

Used in the model server, and for models whose rows cannot join a running batch (`continuous_decode`). Rows of a batch select
their adapter by `adapter_names`; switching adapters on and off would affect rows generated concurrently. Sampling uses the
Gumbel-max trick: argmax(log p - log E) with E ~ Exp(1) is a sample from p. Each row draws E from its own generator, so a seed
gives the same answer regardless of the other rows.

Source: Gumbel, 1954; Maddison et al., 2014, arXiv 1411.0030.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import LogitsProcessor, StoppingCriteria

from glan_core.models.model_specs import SeededDecodingParams
from glan_core.teachers.contract import Message

UNFINISHED = "\ufffd"  # decoded from an incomplete UTF-8 sequence
LONGEST_CHARACTER = 4  # bytes, hence at most as many tokens
LIKELY = 512  # tokens that nearly always contain the nucleus
LOOK_BACK = 6  # tokens decoded again, so that spaces between words are correct


@dataclass
class DecodingRow:
    """One answer while it is generated.

    Attributes:
        tokens: Prompt tokens.
        adapter: Adapter name, None if the model has no adapters.
        tokenizer: Tokenizer of the model.
        ends: EOS token IDs.
        limit: Maximum number of new tokens.
        seed: Sampling seed.
        on_text: Called with each new piece of text; None if only the whole answer is needed.
        should_stop: Returns True to stop generation.
        on_end: Called when the answer ends.
        decoding: Decoding parameters, where rows of a batch may differ in them.
        written: Generated tokens.
        finish: 'stop', 'length', 'stopped' or 'failed'; '' while generating.
        first_at: Time of the first token (monotonic).
        ended_at: Time of the end (monotonic).
    """

    tokens: list[int]
    adapter: str | None
    tokenizer: Any
    ends: frozenset[int]
    limit: int
    seed: int
    on_text: Callable[[str], None] | None
    should_stop: Callable[[], bool] = lambda: False
    on_end: Callable[[], None] = lambda: None
    decoding: SeededDecodingParams = field(default_factory=lambda: SeededDecodingParams(temperature=0.0))
    written: list[int] = field(default_factory=list)
    finish: str = ""
    first_at: float = 0.0
    ended_at: float = 0.0
    _sent_to: int = 0
    _read_from: int = 0

    def add_token(self, token: int) -> None:
        """Add a token: emit its text, or end the answer."""
        if self.finish:
            return
        now = time.monotonic()
        self.first_at = self.first_at or now
        if token in self.ends:
            self.end("stop", now)
            return
        self.written.append(token)
        self._emit()
        if len(self.written) >= self.limit:
            self.end("length", now)
        elif self.should_stop():
            self.end("stopped", now)

    def end(self, finish: str, now: float | None = None) -> None:
        """End the answer and emit an incomplete character that was held back."""
        if not self.finish:
            self._emit(last=True)
            self.finish, self.ended_at = finish, now or time.monotonic()
            self.on_end()

    def _emit(self, *, last: bool = False) -> None:
        if self.on_text is None:
            return
        before = self._text(self.written[self._read_from : self._sent_to])
        text = self._text(self.written[self._read_from :])
        held_back = len(self.written) - self._sent_to
        if len(text) <= len(before) or (text.endswith(UNFINISHED) and not last and held_back < LONGEST_CHARACTER):
            return
        self.on_text(text[len(before) :])
        self._sent_to = len(self.written)
        self._read_from = max(self._read_from, self._sent_to - LOOK_BACK)

    def _text(self, tokens: list[int]) -> str:
        return self.tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False) if tokens else ""


class TokenDispatcher(StoppingCriteria):
    """Passes each row its new token and reports which rows have ended.

    It replaces a streamer, whose reader would wait forever if `generate` raises.
    """

    def __init__(self, rows: Sequence[DecodingRow]) -> None:
        self._rows = rows

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor, **_: Any) -> torch.BoolTensor:
        """Pass on the new tokens; return the rows that have ended."""
        for row, token in zip(self._rows, input_ids[:, -1].tolist(), strict=True):
            row.add_token(token)
        ended: Any = torch.tensor([bool(row.finish) for row in self._rows], device=input_ids.device)
        return ended


class Sampler:
    """Samples the tokens of one answer with its own random generator; greedy at temperature 0."""

    def __init__(self, row: DecodingRow) -> None:
        self._row, self._decoding, self._generator = row, row.decoding, torch.Generator().manual_seed(row.seed)

    @property
    def changes_logits(self) -> bool:
        """Whether the next token may differ from the argmax of the logits."""
        return self._decoding.temperature > 0 or self._decoding.repetition_penalty != 1

    def perturbed(self, logits: torch.Tensor) -> torch.Tensor:
        """Return logits `(vocabulary,)` perturbed so that their argmax is a sample by temperature, top-k and top-p."""
        if self._decoding.repetition_penalty != 1:
            logits = _penalized(logits, {*self._row.tokens, *self._row.written}, self._decoding.repetition_penalty)
        if not self._decoding.temperature:
            return logits
        logits = logits / self._decoding.temperature
        if 0 < self._decoding.top_k < logits.shape[-1]:
            logits = logits.masked_fill(logits < logits.topk(self._decoding.top_k).values[-1], -torch.inf)
        if self._decoding.top_p < 1:
            logits = _nucleus(logits, self._decoding.top_p)
        noise = torch.empty(logits.shape[-1]).exponential_(generator=self._generator)
        return logits - noise.log().to(logits.device)

    def next_token(self, logits: torch.Tensor) -> int:
        """Return the sampled token for logits `(vocabulary,)`."""
        return int(self.perturbed(logits).argmax())


def _penalized(logits: torch.Tensor, seen: set[int], penalty: float) -> torch.Tensor:
    """Lower the logits of tokens that were seen.

    Source: Keskar et al., 2019, arXiv 1909.05858, section 4.1; negative logits are multiplied, as in transformers.
    """
    at = torch.tensor(sorted(token for token in seen if token < logits.shape[-1]), device=logits.device)
    old = logits[at]
    return logits.scatter(-1, at, torch.where(old < 0, old * penalty, old / penalty))


def _nucleus(logits: torch.Tensor, top_p: float) -> torch.Tensor:
    """Mask all but the likeliest tokens whose probabilities sum to `top_p`; sorts only as many as are needed."""
    total = logits.logsumexp(-1)
    for most in (LIKELY, logits.shape[-1]):
        best, places = logits.topk(min(most, logits.shape[-1]))
        shares = (best - total).exp()
        before = shares.cumsum(-1) - shares
        if before[-1] >= top_p:
            break
    return torch.full_like(logits, -torch.inf).scatter(-1, places, best.masked_fill(before >= top_p, -torch.inf))


class GumbelSampler(LogitsProcessor):
    """Perturbs the logits of a batch so that their argmax is a sample of each row, by its own decoding parameters."""

    def __init__(self, rows: Sequence[DecodingRow]) -> None:
        self._samplers = [Sampler(row) for row in rows]

    @property
    def changes_logits(self) -> bool:
        """Whether any row needs it: greedy decoding does not."""
        return any(sampler.changes_logits for sampler in self._samplers)

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """Return the perturbed logits, `(rows, vocabulary)`."""
        perturbed: Any = torch.stack([sampler.perturbed(row) for sampler, row in zip(self._samplers, scores, strict=True)])
        return perturbed


def decode_batch(model: Any, rows: Sequence[DecodingRow]) -> None:
    """Generate the answers of all rows as one batch; every row ends, even if generation fails.

    Args:
        model: Model; a PEFT model if rows name an adapter ('__base__' selects the base).
        rows: Answers to generate.
    """
    width = max(len(row.tokens) for row in rows)
    ids = torch.tensor([[0] * (width - len(row.tokens)) + row.tokens for row in rows], device=model.device)
    seen = torch.tensor([[0] * (width - len(row.tokens)) + [1] * len(row.tokens) for row in rows], device=model.device)
    adapters = {} if rows[0].adapter is None else {"adapter_names": [row.adapter for row in rows]}
    gumbel = GumbelSampler(rows)
    sampler = {"logits_processor": [gumbel]} if gumbel.changes_logits else {}
    ends = sorted(set().union(*(row.ends for row in rows)))
    try:
        with torch.inference_mode():
            model.generate(
                input_ids=ids, attention_mask=seen, do_sample=False, max_new_tokens=max(row.limit for row in rows),
                pad_token_id=ends[0] if ends else 0, stopping_criteria=[TokenDispatcher(rows)], **sampler, **adapters,
            )  # fmt: skip
    finally:
        for row in rows:
            row.end("failed")


class PromptTooLong(Exception):
    """Raised if a prompt leaves no room for an answer: it has `tokens` tokens, and the context has `most`."""

    def __init__(self, tokens: int, most: int) -> None:
        super().__init__(f"The prompt has {tokens:,} tokens, and the context of the model is {most:,}.")
        self.tokens, self.most = tokens, most


def create_row(
    model: Any,
    tokenizer: Any,
    chat: Sequence[Message],
    decoding: SeededDecodingParams,
    on_text: Callable[[str], None] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> DecodingRow:
    """Create the row for an answer to a chat, without an adapter.

    Raises:
        PromptTooLong: If the prompt leaves no room for an answer.
    """
    tokens, most = prompt_tokens(tokenizer, chat), getattr(model.config, "max_position_embeddings", None) or 2**31
    if len(tokens) >= most:
        raise PromptTooLong(len(tokens), most)
    ends = model.generation_config.eos_token_id
    ends = frozenset(ends if isinstance(ends, list) else [ends]) | {tokenizer.eos_token_id}
    limit = min(decoding.max_tokens, most - len(tokens))
    return DecodingRow(tokens, None, tokenizer, ends, limit, decoding.seed, on_text, should_stop, decoding=decoding)


def prompt_tokens(tokenizer: Any, chat: Sequence[Message]) -> list[int]:
    """Tokenize a chat with the tokenizer's chat template, or a plain one if it has none."""
    if not tokenizer.chat_template:
        text = "".join(f"### {m['role'].capitalize()}:\n{m['content']}\n\n" for m in chat) + "### Assistant:\n"
        return tokenizer(text)["input_ids"]
    try:
        text = _templated(tokenizer, chat)
    except Exception:  # some templates raise for system prompts
        if chat[0]["role"] != "system":
            raise
        first: Message = {"role": "user", "content": f"{chat[0]['content']}\n\n{chat[1]['content']}"}
        text = _templated(tokenizer, [first, *chat[2:]])
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def _templated(tokenizer: Any, chat: Sequence[Message]) -> str:
    return tokenizer.apply_chat_template(list(chat), tokenize=False, add_generation_prompt=True)
