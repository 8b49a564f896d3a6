"""The model as lm-eval asks it: weights of a pane that are in memory already, and a file that keeps what was answered, so that a run
that was ended goes on with the next question. In a run's process only."""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lm_eval.models.huggingface import HFLM

from glan_core.models.model_specs import Pane
from glan_core.models.weights_cache import Held

AT_ONCE = 4  # batches between two looks at whether the run is to end


class AskedModel(HFLM):
    """lm-eval's own model class, asked a few batches at a time. `step(done)` is called with how many requests of a benchmark are
    answered, and may raise to end the run."""

    def __init__(self, model: object, tokenizer: object, batch: int) -> None:
        super().__init__(pretrained=model, tokenizer=tokenizer, batch_size=batch)
        self._kept: dict[str, object] = {}
        self._file: Path | None = None
        self._step: Callable[[int, int], None] = lambda done, of: None
        self.cut: set[str] = set()  # prompts whose start the model did not see

    @contextmanager
    def keeping(self, file: Path, step: Callable[[int, int], None]) -> Iterator[None]:
        """Within the block answers are kept in a file, and those that it holds are not computed again."""
        file.parent.mkdir(parents=True, exist_ok=True)
        self._kept, self._file, self._step, self.cut = _read(file), file, step, set()
        try:
            yield
        finally:
            self._kept, self._file = {}, None

    def generate_until(self, requests, disable_tqdm: bool = False) -> list[str]:
        """As lm-eval defines it."""
        for request in requests:
            self._note_cut(request.args[0], "", request.args[1].get("max_gen_toks", self.max_gen_toks))
        return self._answers("generate", requests, lambda some: super(AskedModel, self).generate_until(some, disable_tqdm=True))

    def loglikelihood(self, requests, disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """As lm-eval defines it."""
        for request in requests:
            self._note_cut(request.args[0], request.args[1], -1)  # the last token is not seen, only foretold
        found = self._answers(
            "loglikelihood", requests, lambda some: super(AskedModel, self).loglikelihood(some, disable_tqdm=True)
        )
        return [(float(value), bool(greedy)) for value, greedy in found]

    def _note_cut(self, prompt: str, more: str, room: int) -> None:
        """lm-eval cuts the start of what is longer than the model can see, with `room` tokens left for the answer."""
        limit = self.max_length - room
        if (
            len((prompt + more).encode()) >= limit - 2 and len(self.tok_encode(prompt + more)) > limit
        ):  # no token is shorter than a byte
            self.cut.add(prompt)

    def _answers(self, kind: str, requests, ask: Callable) -> list:
        if self._file is None:
            return ask(requests)
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


def longest_answer(model: AskedModel, wanted: int) -> int:
    """Tokens that an answer may have: as many as wanted, but at most half of what the model can see."""
    return min(wanted, max(1, model.max_length // 2))


@contextmanager
def as_pane(held: Held, pane: Pane) -> Iterator[object]:
    """The weights as the pane wants them: with its adapter, or bare where the pane is the base of one."""
    name = held.adapter_name(pane.adapter)
    if name is None:
        yield held.model
    elif pane.adapter:
        held.model.set_adapter(name)
        yield held.model
    else:
        with held.model.disable_adapter():
            yield held.model


def _read(file: Path) -> dict[str, object]:
    """What was answered before; a last line that was cut short counts as not answered."""
    kept = {}
    if file.is_file():
        whole = file.read_bytes().rpartition(b"\n")
        file.write_bytes(whole[0] + whole[1])
        for line in whole[0].splitlines():
            key, answer = json.loads(line)
            kept[key] = answer
    return kept
