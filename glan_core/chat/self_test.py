"""Proof that panes run the weights that they say: logits of a fixed prompt, compared between panes and with weights that are
loaded afresh. In the model process only."""

from collections.abc import Sequence
from itertools import combinations

import torch

from glan_core.models.batched_decode import prompt_tokens
from glan_core.models.model_specs import Pane
from glan_core.models.weights_cache import Held, PaneFault, WeightsCache, attach, hash_of, load, located, tokenizer_of

PROMPT = [{"role": "user", "content": "Why is the sky blue?"}]
# Largest difference of two logits that rounding alone explains, as a share of the largest logit.
TOLERANCE = {"float32": 1e-4, "float16": 2e-2, "bfloat16": 5e-2}

ALIKE = TOLERANCE["float32"]
UNLIKE = 1e9  # what stands for a difference that can't be a number


def self_test(shelf: WeightsCache, panes: Sequence[Pane]) -> dict:
    """Compare the panes, all asked the same as they are asked in a turn, as one batch where they share a base.

    `panes`: of each its hashes; `fresh`, the largest difference of a logit to weights that were loaded anew and applied in the
    ordinary way for this test (None where memory did not suffice for a second copy); and `as_noted`, whether its files are
    those that its training wrote. `pairs`: of every two panes the largest difference of a logit. `passed`: each equals its
    fresh copy, and two panes differ exactly when their files do; `said` tells it in words. PaneFault
    when a pane can't be loaded.
    """
    asked = [pane for pane in panes if not pane.teacher]
    if not asked:
        raise PaneFault("There is nothing to compare: endpoints and the scripted teacher keep their weights to themselves.")
    live = _live(shelf, asked)
    found, good = [], True
    for pane, (logits, dtype) in zip(asked, live, strict=True):
        fresh = _fresh(shelf, pane)
        off = None if fresh is None else _off(logits, fresh)
        good &= off is None or off <= TOLERANCE.get(dtype, 5e-2)
        adapter = hash_of(located(pane.adapter)) if pane.adapter else ""
        weights = hash_of(located(pane.base))
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
    return {"panes": found, "pairs": pairs, "passed": bool(good), "said": _said(found, pairs, good)}


def _live(shelf: WeightsCache, panes: Sequence[Pane]) -> list[tuple[torch.Tensor, str]]:
    """The logits of each pane as a turn would compute them, in the order of the panes."""
    of: dict[int, tuple[torch.Tensor, str]] = {}
    for base in dict.fromkeys(pane.base for pane in panes):
        group = [n for n, pane in enumerate(panes) if pane.base == base]
        with shelf.taken(panes[group[0]]) as held, held.lock:
            for n in group:
                attach(held, panes[n])
            names = [held.adapter_name(panes[n].adapter) for n in group]
            tokens = [_tokens(held, panes[n]) for n in group]
            # Prompts of different templates differ in length: each then goes alone.
            batches = [list(range(len(group)))] if len({len(t) for t in tokens}) == 1 else [[n] for n in range(len(group))]
            for batch in batches:
                logits = _logits(held, [tokens[n] for n in batch], [names[n] for n in batch])
                of |= {group[n]: (row, held.dtype) for n, row in zip(batch, logits, strict=True)}
    return [of[n] for n in range(len(panes))]


def _fresh(shelf: WeightsCache, pane: Pane) -> torch.Tensor | None:
    """The logits of weights loaded for this test, with the adapter as the active one; None where there is no room for it."""
    with shelf.taken(pane) as held, held.lock:
        if not shelf.room_beside(held):
            return None
        tokens = _tokens(held, pane)
        fresh = load(held.folder, held.dtype)
    attach(fresh, pane)
    return _logits(fresh, [tokens], [None])[0]


def _tokens(held: Held, pane: Pane) -> list[int]:
    return prompt_tokens(tokenizer_of(held, pane), PROMPT)


def _logits(held: Held, tokens: list[list[int]], names: list[str | None]) -> list[torch.Tensor]:
    of = {} if names[0] is None else {"adapter_names": names}
    with torch.inference_mode():
        ids = torch.tensor(tokens, device=held.model.device)
        return list(held.model(input_ids=ids, **of).logits[:, -1].float().cpu())


def _off(a: torch.Tensor, b: torch.Tensor) -> float:
    """The largest difference of two logits, as a share of the largest; `UNLIKE` for vocabularies of different sizes."""
    if a.shape != b.shape:
        return UNLIKE
    return float((a - b).abs().max() / b.abs().max().clamp_min(1e-9))


def _said(found: list[dict], pairs: list[dict], good: bool) -> str:
    if not good:
        equal = [pair for pair in pairs if not pair["same_files"] and pair["difference"] <= ALIKE]
        if equal:
            return (
                f"{equal[0]['a']} and {equal[0]['b']} answer alike, though their files differ: one of them is not what it says."
            )
        if changed := [pane["spec"] for pane in found if not pane["as_noted"]]:
            return f"The weights of {changed[0]} are no longer those that its training wrote."
        return "A pane does not compute what its files say: do not trust these answers."
    parts = ["Each pane equals a fresh load of its files"] if all(pane["fresh"] is not None for pane in found) else [
        "There was no memory for a second copy, so panes were compared with one another only"]  # fmt: skip
    if differing := [pair["difference"] for pair in pairs if not pair["same_files"]]:
        least = min(differing)
        parts.append(f"panes of different files differ (by at least {least:.2g} of the largest logit)" if least < UNLIKE else
                     "panes of different files differ")  # fmt: skip
    if any(pair["same_files"] for pair in pairs):
        parts.append("panes of the same files agree")
    return "; ".join(parts) + "."
