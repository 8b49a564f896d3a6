"""Continuous decoding: a batch of answers in which an ended answer makes room for a waiting one at the next token.

Decoding a fixed batch costs as many steps as its longest answer has tokens, with the slots of ended answers idle. Here ended
rows leave the batch, and waiting rows join it: their prompts are processed as a batch of their own, whose key/value cache is
padded on the left to the width of the running one. Rows may differ in decoding parameters, adapter, seed and length.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.nn.functional import pad

from glan_core.models.batched_decode import DecodingRow, Sampler

Take = Callable[[int], Sequence[DecodingRow]]


def can_join(model: Any) -> bool:
    """Return whether rows can join a running batch: every layer attends to cached keys and values, and keeps no other state.

    Layers with a sliding window qualify, since `DynamicCache()` keeps all keys and the attention mask applies the window.
    """
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ())
    layers = DynamicCache(config=config).layers
    attends = all(type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in layers)
    return bool(layers) and attends and kinds <= {"full_attention", "sliding_attention"}


def decode_continuously(model: Any, take: Take, slots: int) -> None:
    """Decode rows until none is waiting; every row that was taken ends, even if decoding fails.

    Args:
        model: Model for which `can_join`; a PEFT model if rows name an adapter.
        take: Returns up to the given number of waiting rows, without blocking; called before each token while slots are free.
        slots: Most rows decoded at once.
    """
    batch = _RunningBatch(model)
    try:
        with torch.inference_mode():
            while True:
                if len(batch.rows) < slots and (new := list(take(slots - len(batch.rows)))):
                    batch.join(new)
                if not batch.rows:
                    return
                batch.step()
    finally:
        for row in batch.taken:
            row.end("failed")


class _RunningBatch:
    """Rows that are decoded, and their key/value cache.

    Attributes:
        rows: Rows that have not ended.
        taken: `rows` and those that are joining, which must end if decoding fails.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self.rows: list[DecodingRow] = []
        self.taken: list[DecodingRow] = []
        self._samplers: list[Sampler] = []
        self._cache: Any = None
        self._seen = torch.empty(0)  # (rows, width): 1 for tokens, 0 for padding
        self._last = torch.empty(0)  # (rows, 1): newest token of each row

    def join(self, new: Sequence[DecodingRow]) -> None:
        """Process the prompts of new rows, sample their first tokens and add them to the batch."""
        from transformers import DynamicCache

        self.taken = [*self.rows, *new]
        width, device = max(len(row.tokens) for row in new), self._model.device
        ids = torch.tensor([[0] * (width - len(row.tokens)) + row.tokens for row in new], device=device)
        seen = torch.tensor([[0] * (width - len(row.tokens)) + [1] * len(row.tokens) for row in new], device=device)
        places = (seen.cumsum(-1) - 1).clamp(min=0)
        cache, samplers = DynamicCache(), [Sampler(row) for row in new]
        logits = self._forward(ids, seen, places, cache, new)
        joining = _RunningBatch(self._model)
        joining.rows, joining.taken, joining._samplers = list(new), list(new), samplers
        joining._cache, joining._seen = cache, seen
        joining._sample(logits)
        self._merge(joining)

    def step(self) -> None:
        """Generate one token of each row."""
        one = torch.ones(len(self.rows), 1, dtype=self._seen.dtype, device=self._seen.device)
        self._seen = torch.cat([self._seen, one], dim=-1)
        places = self._seen.sum(-1, keepdim=True) - 1
        self._sample(self._forward(self._last, self._seen, places, self._cache, self.rows))

    def _forward(self, ids: Any, seen: Any, places: Any, cache: Any, rows: Sequence[DecodingRow]) -> torch.Tensor:
        """Return the logits of the next tokens, `(rows, vocabulary)`, and extend the cache."""
        adapters = {} if rows[0].adapter is None else {"adapter_names": [row.adapter for row in rows]}
        output = self._model(
            input_ids=ids, attention_mask=seen, position_ids=places, past_key_values=cache, use_cache=True, logits_to_keep=1,
            **adapters,
        )  # fmt: skip
        return output.logits[:, -1].float()

    def _sample(self, logits: torch.Tensor) -> None:
        """Add the sampled tokens to their rows, and remove the rows that have ended."""
        chosen = [sampler.next_token(logits[n]) for n, sampler in enumerate(self._samplers)]
        for row, token in zip(self.rows, chosen, strict=True):
            row.add_token(token)
        kept = [n for n, row in enumerate(self.rows) if not row.finish]
        self._last = torch.tensor([[chosen[n]] for n in kept], dtype=torch.long, device=logits.device)
        if len(kept) == len(self.rows):
            return
        self.rows, self._samplers = [self.rows[n] for n in kept], [self._samplers[n] for n in kept]
        self.taken = [row for row in self.taken if not row.finish]
        if not kept:
            self._cache = None
            return
        at = torch.tensor(kept, device=logits.device)
        self._seen = self._seen[at]
        unused = int(self._seen.argmax(-1).min())  # columns that only ended rows needed
        self._seen = self._seen[:, unused:]
        for layer in self._cache.layers:
            layer.keys, layer.values = layer.keys[at, :, unused:], layer.values[at, :, unused:]

    def _merge(self, other: "_RunningBatch") -> None:
        if not other.rows:
            return
        if not self.rows:
            self._cache, self._seen, self._last = other._cache, other._seen, other._last
        else:
            width = max(self._seen.shape[1], other._seen.shape[1])
            mine, theirs = width - self._seen.shape[1], width - other._seen.shape[1]
            self._seen = torch.cat([pad(self._seen, (mine, 0)), pad(other._seen, (theirs, 0))])
            self._last = torch.cat([self._last, other._last])
            for layer, new in zip(self._cache.layers, other._cache.layers, strict=True):
                layer.keys = torch.cat([pad(layer.keys, (0, 0, mine, 0)), pad(new.keys, (0, 0, theirs, 0))])
                layer.values = torch.cat([pad(layer.values, (0, 0, mine, 0)), pad(new.values, (0, 0, theirs, 0))])
        self.rows, self._samplers = self.rows + other.rows, self._samplers + other._samplers
        self.taken = list(self.rows)
