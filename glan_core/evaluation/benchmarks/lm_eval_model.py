"""lm-eval model for weights that are already loaded, with a file of answers so that an interrupted run resumes.

Used in the process of a run only.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lm_eval.models.huggingface import HFLM

from glan_core.models.model_specs import ResolvedModel
from glan_core.models.weights_cache import LoadedWeights
from glan_core.teachers.reasoning import split_reasoning

AT_ONCE = 4  # batches between progress reports, at which the run may end


class EvaluationModel(HFLM):
    """lm-eval's Hugging Face model, evaluated a few batches at a time with progress reports that may end the run."""

    def __init__(self, model: Any, tokenizer: Any, batch: int) -> None:
        super().__init__(pretrained=model, tokenizer=tokenizer, batch_size=batch)
        self._kept: dict[str, Any] = {}
        self._file: Path | None = None
        self._step: Callable[[int, int], None] = lambda done, of: None
        self.cut: set[str] = set()  # prompts truncated at the start

    @contextmanager
    def keeping(self, file: Path, step: Callable[[int, int], None]) -> Iterator[None]:
        """Store answers in a file while the block runs, and reuse those it contains."""
        file.parent.mkdir(parents=True, exist_ok=True)
        self._kept, self._file, self._step, self.cut = _read(file), file, step, set()
        try:
            yield
        finally:
            self._kept, self._file = {}, None

    def generate_until(self, requests: Sequence[Any], *_: Any, **__: Any) -> list[str]:
        """Generate answers without their reasoning; see lm-eval."""
        for request in requests:
            self._note_cut(request.args[0], "", request.args[1].get("max_gen_toks", self.max_gen_toks))
        answers = self._answers(
            "generate", requests, lambda some: super(EvaluationModel, self).generate_until(some, disable_tqdm=True)
        )
        return [split_reasoning(answer)[1] for answer in answers]

    def loglikelihood(self, requests: Sequence[Any], *_: Any, **__: Any) -> list[tuple[float, bool]]:
        """Return the log-likelihoods of continuations; see lm-eval."""
        for request in requests:
            self._note_cut(request.args[0], request.args[1], -1)  # the last token is predicted, not read
        found = self._answers(
            "loglikelihood", requests, lambda some: super(EvaluationModel, self).loglikelihood(some, disable_tqdm=True)
        )
        return [(float(value), bool(greedy)) for value, greedy in found]

    def _note_cut(self, prompt: str, more: str, room: int) -> None:
        """Record prompts that lm-eval truncates at the start, with `room` tokens reserved for the answer."""
        limit = self.max_length - room
        if (
            len((prompt + more).encode()) >= limit - 2 and len(self.tok_encode(prompt + more)) > limit
        ):  # a token has at least one byte
            self.cut.add(prompt)

    def _answers(self, kind: str, requests: Sequence[Any], ask: Callable[[list], list]) -> list:
        if self._file is None:
            return ask(list(requests))
        keys = [hashlib.sha256(json.dumps([kind, request.args], default=str).encode()).hexdigest() for request in requests]
        missing = {key: request for key, request in zip(keys, requests, strict=True) if key not in self._kept}
        left, size = list(missing.items()), int(self.batch_size) * AT_ONCE
        with self._file.open("a", encoding="utf-8") as file:
            for start in range(0, len(left), size):
                self._step(len(requests) - len(left) + start, len(requests))
                some = left[start : start + size]
                for (key, _), answer in zip(some, ask([request for _, request in some]), strict=True):
                    self._kept[key] = answer
                    file.write(json.dumps([key, answer]) + "\n")
                file.flush()
        self._step(len(requests), len(requests))
        return [self._kept[key] for key in keys]


def longest_answer(model: EvaluationModel, wanted: int) -> int:
    """Return the token limit of answers: `wanted`, but at most half of the context."""
    return min(wanted, max(1, model.max_length // 2))


@contextmanager
def active_adapter(held: LoadedWeights, pane: ResolvedModel) -> Iterator[Any]:
    """Yield the model with the requested adapter active, or with adapters disabled for the base."""
    name = held.adapter_name(pane.adapter)
    if name is None:
        yield held.model
    elif pane.adapter:
        held.model.set_adapter(name)
        yield held.model
    else:
        with held.model.disable_adapter():
            yield held.model


def _read(file: Path) -> dict[str, Any]:
    """Return stored answers; an incomplete last line is dropped."""
    kept: dict[str, Any] = {}
    if file.is_file():
        whole = file.read_bytes().rpartition(b"\n")
        file.write_bytes(whole[0] + whole[1])
        for line in whole[0].splitlines():
            key, answer = json.loads(line)
            kept[key] = answer
    return kept
