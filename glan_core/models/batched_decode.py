"""Writing answers with a loaded model: several panes as one batch, each with its own weights, seed, length and end.

Runs in the model process only. The rows of a batch differ by `adapter_names`, never by switching adapters on and off, which
would change what is written beside them. Drawing is by the Gumbel-max trick (Gumbel 1954; Maddison et al. 2014, arXiv
1411.0030): argmax(log p - log E) with E ~ Exp(1) is a draw from p. Each row has a generator of its own for E, so that a seed
gives the same answer whoever is asked beside it.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from transformers import LogitsProcessor, StoppingCriteria

from glan_core.models.model_specs import SeededDecodingParams
from glan_core.teachers.contract import Message

UNFINISHED = "\ufffd"  # what the first bytes of a character decode to
LONGEST_CHARACTER = 4  # bytes, so at most as many tokens
LOOK_BACK = 6  # tokens that are decoded again, so that spaces between words come out right


@dataclass
class Row:
    """One answer as it is written. `say` gets each new piece of text; `unwanted` says that nobody wants more of it;
    `ended` is called at its end."""

    tokens: list[int]
    adapter: str | None
    tokenizer: object
    ends: frozenset[int]
    limit: int
    seed: int
    say: Callable[[str], None]
    unwanted: Callable[[], bool] = lambda: False
    ended: Callable[[], None] = lambda: None
    written: list[int] = field(default_factory=list)
    finish: str = ""
    first_at: float = 0.0
    ended_at: float = 0.0
    _said_to: int = 0
    _read_from: int = 0

    def take(self, token: int) -> None:
        """One more token: say what it adds, or see that it was the last."""
        if self.finish:
            return
        now = time.monotonic()
        self.first_at = self.first_at or now
        if token in self.ends:
            self.end("stop", now)
            return
        self.written.append(token)
        self._say_new()
        if len(self.written) >= self.limit:
            self.end("length", now)
        elif self.unwanted():
            self.end("stopped", now)

    def end(self, finish: str, now: float | None = None) -> None:
        """No more tokens; half a character that was held back is said."""
        if not self.finish:
            self._say_new(last=True)
            self.finish, self.ended_at = finish, now or time.monotonic()
            self.ended()

    def _say_new(self, last: bool = False) -> None:
        before = self._text(self.written[self._read_from : self._said_to])
        text = self._text(self.written[self._read_from :])
        held_back = len(self.written) - self._said_to
        if len(text) <= len(before) or (text.endswith(UNFINISHED) and not last and held_back < LONGEST_CHARACTER):
            return
        self.say(text[len(before) :])
        self._said_to = len(self.written)
        self._read_from = max(self._read_from, self._said_to - LOOK_BACK)

    def _text(self, tokens: list[int]) -> str:
        return self.tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False) if tokens else ""


class HandOn(StoppingCriteria):
    """Hands each row its new token, and says which rows have ended. It stands where a streamer would: one that waits for its
    end hangs for ever when `generate` raises."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = rows

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor, **_: object) -> torch.BoolTensor:
        for row, token in zip(self._rows, input_ids[:, -1].tolist(), strict=True):
            row.take(token)
        return torch.tensor([bool(row.finish) for row in self._rows], device=input_ids.device)


class Draw(LogitsProcessor):
    """Turns scores so that their largest is a draw at a temperature from the likeliest tokens that share `top_p`."""

    def __init__(self, rows: Sequence[Row], drawing: SeededDecodingParams) -> None:
        self._drawing = drawing
        self._generators = [torch.Generator().manual_seed(row.seed) for row in rows]

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        scores = scores / self._drawing.temperature
        if self._drawing.top_p < 1:
            best, places = scores.sort(dim=-1, descending=True)
            shares = best.softmax(dim=-1)
            unlikely = shares.cumsum(dim=-1) - shares >= self._drawing.top_p
            scores = scores.masked_fill(unlikely.scatter(-1, places, unlikely), -torch.inf)
        noise = torch.stack([torch.empty(scores.shape[-1]).exponential_(generator=g) for g in self._generators])
        return scores - noise.log().to(scores.device)


def write(model, rows: Sequence[Row], drawing: SeededDecodingParams) -> None:
    """Write the answers of all rows at once; each has its end whatever happens. `model` is a peft model where a row names an
    adapter, '__base__' for none."""
    width = max(len(row.tokens) for row in rows)
    ids = torch.tensor([[0] * (width - len(row.tokens)) + row.tokens for row in rows], device=model.device)
    seen = torch.tensor([[0] * (width - len(row.tokens)) + [1] * len(row.tokens) for row in rows], device=model.device)
    of = {} if rows[0].adapter is None else {"adapter_names": [row.adapter for row in rows]}
    draw = {"logits_processor": [Draw(rows, drawing)]} if drawing.temperature > 0 else {}
    ends = sorted(set().union(*(row.ends for row in rows)))
    try:
        with torch.inference_mode():
            model.generate(
                input_ids=ids, attention_mask=seen, do_sample=False, max_new_tokens=max(row.limit for row in rows),
                pad_token_id=ends[0] if ends else 0, stopping_criteria=[HandOn(rows)], **draw, **of,
            )  # fmt: skip
    finally:
        for row in rows:
            row.end("failed")


class TooLong(Exception):
    """A chat that leaves a model no room for an answer: `tokens` long, where it takes `most`."""

    def __init__(self, tokens: int, most: int) -> None:
        super().__init__(f"{tokens:,} tokens long, and the model takes {most:,}")
        self.tokens, self.most = tokens, most


def row_of(
    model, tokenizer, chat: Sequence[Message], drawing: SeededDecodingParams, say: Callable[[str], None] = lambda text: None,
    unwanted: Callable[[], bool] = lambda: False,
) -> Row:  # fmt: skip
    """An answer to a chat that is to be written, by the model without an adapter until the row names one. TooLong where there is
    no room for it."""
    tokens, most = prompt_tokens(tokenizer, chat), getattr(model.config, "max_position_embeddings", None) or 2**31
    if len(tokens) >= most:
        raise TooLong(len(tokens), most)
    ends = model.generation_config.eos_token_id
    ends = frozenset(ends if isinstance(ends, list) else [ends]) | {tokenizer.eos_token_id}
    limit = min(drawing.max_tokens, most - len(tokens))
    return Row(tokens, None, tokenizer, ends, limit, drawing.seed, say, unwanted)


def prompt_tokens(tokenizer, chat: Sequence[Message]) -> list[int]:
    """A chat as tokens, in the tokenizer's own template, or in a plain one where it has none."""
    if not tokenizer.chat_template:
        text = "".join(f"### {m['role'].capitalize()}:\n{m['content']}\n\n" for m in chat) + "### Assistant:\n"
        return tokenizer(text)["input_ids"]
    try:
        text = _templated(tokenizer, chat)
    except Exception:  # templates raise what they like where they know no system prompt
        if chat[0]["role"] != "system":
            raise
        first = {"role": "user", "content": f"{chat[0]['content']}\n\n{chat[1]['content']}"}
        text = _templated(tokenizer, [first, *chat[2:]])
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def _templated(tokenizer, chat: Sequence[Message]) -> str:
    return tokenizer.apply_chat_template(list(chat), tokenize=False, add_generation_prompt=True)
