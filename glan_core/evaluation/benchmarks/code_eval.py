"""Stands in for the metric `code_eval` that lm-eval's code tasks fetch from the hub: that one runs what models write unguarded, this
one in the sandbox. Same arguments, same result; pass@1 of one program a question."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from glan_core.evaluation.sandbox.runner import Outcome, run_code

_watchers: list[Callable[[], None]] = []
outcomes: dict[tuple[str, str], Outcome] = {}  # (program, tests) -> what became of it, for who shows items


class SandboxedCodeEval:
    """What `evaluate.load('code_eval')` gives while lm-eval's task modules are imported."""

    def compute(self, references: list[str], predictions: list[list[str]], k: list[int]) -> tuple[dict[str, float], dict]:
        """The share of questions whose program passes its tests; raises ValueError for more programs a question than one."""
        if list(k) != [1] or any(len(programs) != 1 for programs in predictions):
            raise ValueError("one program a question")
        passed = []
        for tests, (program,) in zip(references, predictions, strict=True):
            outcome = outcomes[program, tests] = run_code(f"{program}\n{tests}")
            passed.append(outcome.passed)
            for watcher in _watchers:
                watcher()
        return {"pass@1": sum(passed) / len(passed)}, {}


@contextmanager
def in_place() -> Iterator[None]:
    """While the block runs, `evaluate.load` gives the sandboxed metric, and nothing else of the hub."""
    import evaluate

    def load(name: str, *_: object, **__: object) -> SandboxedCodeEval:
        if name != "code_eval":
            raise ValueError(f"the metric {name} would have to be fetched")
        return SandboxedCodeEval()

    original, evaluate.load = evaluate.load, load
    try:
        yield
    finally:
        evaluate.load = original


@contextmanager
def watched(on_run: Callable[[], None]) -> Iterator[None]:
    """While the block runs, call something after each program, which may raise to end the run; `outcomes` are those of the block,
    and stay until the next."""
    outcomes.clear()
    _watchers.append(on_run)
    try:
        yield
    finally:
        _watchers.remove(on_run)
