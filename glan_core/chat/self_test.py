"""Self-test: proves that models run the weights they claim, by comparing logits. Runs in the model server only."""

from collections.abc import Sequence
from itertools import combinations

import torch

from glan_core.models.batched_decode import prompt_tokens
from glan_core.models.model_specs import ResolvedModel
from glan_core.models.weights_cache import (
    LoadedWeights,
    ModelUnavailable,
    WeightsCache,
    attach_adapter,
    cached_hash,
    find_weights,
    get_tokenizer,
    load_weights,
)
from glan_core.teachers.contract import Message

PROMPT: list[Message] = [{"role": "user", "content": "Why is the sky blue?"}]
# largest logit difference explained by rounding, relative to the largest logit
TOLERANCE = {"float32": 1e-4, "float16": 2e-2, "bfloat16": 5e-2}

ALIKE = TOLERANCE["float32"]
UNLIKE = 1e9  # stands for a difference between vocabularies of different sizes


def self_test(cache: WeightsCache, panes: Sequence[ResolvedModel]) -> dict:
    """Compare the logits of models on a fixed prompt with each other and with freshly loaded weights.

    Models that share a base are evaluated as one batch, as in a turn.

    Returns:
        `panes`: for each model its hashes, `fresh` (largest logit difference from freshly loaded weights, None if memory
        does not suffice for a second copy) and `as_noted` (whether its files match the hash recorded after training).
        `pairs`: largest logit difference of every two models. `passed`: each model equals its fresh copy, and two models
        differ exactly if their files do. `said`: the result in words.

    Raises:
        ModelUnavailable: If a model cannot be loaded.
    """
    asked = [pane for pane in panes if not pane.teacher]
    if not asked:
        raise ModelUnavailable("Nothing to compare: endpoints and the scripted teacher do not expose their weights.")
    live = _live(cache, asked)
    found, good = [], True
    for pane, (logits, dtype) in zip(asked, live, strict=True):
        fresh = _fresh(cache, pane)
        off = None if fresh is None else _off(logits, fresh)
        good &= off is None or off <= TOLERANCE.get(dtype, 5e-2)
        adapter = cached_hash(find_weights(pane.adapter)) if pane.adapter else ""
        weights = cached_hash(find_weights(pane.base))
        noted = not pane.said_hash or pane.said_hash == (adapter or weights)
        good &= noted
        hashes = {"weights_hash": weights, "adapter_hash": adapter}
        found.append({"spec": pane.spec, **hashes, "dtype": dtype, "fresh": off, "as_noted": noted})
    pairs = []
    for a, b in combinations(range(len(asked)), 2):
        same = all(found[a][name] == found[b][name] for name in ("weights_hash", "adapter_hash"))
        off = _off(live[a][0], live[b][0])
        pairs.append({"a": asked[a].spec, "b": asked[b].spec, "same_files": same, "difference": off})
        good &= off <= TOLERANCE.get(live[a][1], 5e-2) if same else off > ALIKE
    return {"panes": found, "pairs": pairs, "passed": bool(good), "said": _summary(found, pairs, passed=good)}


def _live(cache: WeightsCache, panes: Sequence[ResolvedModel]) -> list[tuple[torch.Tensor, str]]:
    """Return the logits and dtype of each model as a turn would compute them."""
    of: dict[int, tuple[torch.Tensor, str]] = {}
    for base in dict.fromkeys(pane.base for pane in panes):
        group = [n for n, pane in enumerate(panes) if pane.base == base]
        with cache.acquire(panes[group[0]]) as held, held.lock:
            for n in group:
                attach_adapter(held, panes[n])
            names = [held.adapter_name(panes[n].adapter) for n in group]
            tokens = [_tokens(held, panes[n]) for n in group]
            # prompts of different templates differ in length and are evaluated separately
            batches = [list(range(len(group)))] if len({len(t) for t in tokens}) == 1 else [[n] for n in range(len(group))]
            for batch in batches:
                logits = _logits(held, [tokens[n] for n in batch], [names[n] for n in batch])
                of |= {group[n]: (row, held.dtype) for n, row in zip(batch, logits, strict=True)}
    return [of[n] for n in range(len(panes))]


def _fresh(cache: WeightsCache, pane: ResolvedModel) -> torch.Tensor | None:
    """Return the logits of freshly loaded weights with the adapter active; None if memory does not suffice."""
    with cache.acquire(pane) as held, held.lock:
        if not cache.fits_second_copy(held):
            return None
        tokens = _tokens(held, pane)
        fresh = load_weights(held.folder, held.dtype)
    attach_adapter(fresh, pane)
    return _logits(fresh, [tokens], [None])[0]


def _tokens(held: LoadedWeights, pane: ResolvedModel) -> list[int]:
    return prompt_tokens(get_tokenizer(held, pane), PROMPT)


def _logits(held: LoadedWeights, tokens: list[list[int]], names: list[str | None]) -> list[torch.Tensor]:
    of = {} if names[0] is None else {"adapter_names": names}
    with torch.inference_mode():
        ids = torch.tensor(tokens, device=held.model.device)
        return list(held.model(input_ids=ids, **of).logits[:, -1].float().cpu())


def _off(a: torch.Tensor, b: torch.Tensor) -> float:
    """Return the largest difference of two logits relative to the largest; `UNLIKE` if vocabulary sizes differ."""
    if a.shape != b.shape:
        return UNLIKE
    return float((a - b).abs().max() / b.abs().max().clamp_min(1e-9))


def _summary(found: list[dict], pairs: list[dict], *, passed: bool) -> str:
    if not passed:
        equal = [pair for pair in pairs if not pair["same_files"] and pair["difference"] <= ALIKE]
        if equal:
            return (
                f"{equal[0]['a']} and {equal[0]['b']} give equal logits although their files differ: one of them does not run "
                "its own weights."
            )
        if changed := [pane["spec"] for pane in found if not pane["as_noted"]]:
            return f"The weights of {changed[0]} are not those written by its training."
        return "A model does not compute what its files contain. Do not trust these answers."
    parts = ["Each model equals freshly loaded weights"] if all(pane["fresh"] is not None for pane in found) else [
        "Models were compared with each other only, because memory does not suffice for a second copy"]  # fmt: skip
    if differing := [pair["difference"] for pair in pairs if not pair["same_files"]]:
        least = min(differing)
        parts.append(f"models with different files differ (by at least {least:.2g} of the largest logit)" if least < UNLIKE else
                     "models with different files differ")  # fmt: skip
    if any(pair["same_files"] for pair in pairs):
        parts.append("models with the same files agree")
    return "; ".join(parts) + "."
