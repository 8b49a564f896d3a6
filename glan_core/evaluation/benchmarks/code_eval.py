"""Sandboxed replacement for the `code_eval` metric of lm-eval's code tasks, which runs generated code unprotected.

Same arguments and results; pass@1 with one program per question. A program that the sandbox cannot judge has not passed; its outcome
says so.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from glan_core.evaluation.sandbox.runner import Outcome, run_code

_watchers: list[Callable[[], None]] = []
_prompts: set[str] = set()
outcomes: dict[tuple[str, str], Outcome] = {}  # (program, tests) -> outcome, for displaying items


class SandboxedCodeEval:
    """Returned by `evaluate.load('code_eval')` while lm-eval's task modules are imported."""

    def compute(self, references: list[str], predictions: list[list[str]], k: list[int]) -> tuple[dict[str, float], dict]:
        """Return the share of questions whose program passes its tests.

        Raises:
            ValueError: If there is more than one program per question.
        """
        if list(k) != [1] or any(len(programs) != 1 for programs in predictions):
            raise ValueError("code_eval supports exactly one program per question")
        passed = []
        for tests, (program,) in zip(references, predictions, strict=True):
            outcome = outcomes[program, tests] = run_code(program, tests, _prompt(program))
            passed.append(outcome.passed)
            for watcher in _watchers:
                watcher()
        return {"pass@1": sum(passed) / len(passed)}, {}


def _prompt(program: str) -> str:
    """Return the prompt of the benchmark with which a program begins, or ''."""
    return max((prompt for prompt in _prompts if program.startswith(prompt)), key=len, default="")


@contextmanager
def sandboxed_metric() -> Iterator[None]:
    """Make `evaluate.load` return the sandboxed metric, and nothing from the Hub, while the block runs."""
    import evaluate

    def load(name: str, *_: object, **__: object) -> SandboxedCodeEval:
        if name != "code_eval":
            raise ValueError(f"metric {name!r} would have to be downloaded")
        return SandboxedCodeEval()

    original, evaluate.load = evaluate.load, load
    try:
        yield
    finally:
        evaluate.load = original


@contextmanager
def on_each_run(callback: Callable[[], None], prompts: Iterable[str] = ()) -> Iterator[None]:
    """Call a function after each program while the block runs; it may raise to end the run.

    `outcomes` are those of the block and are kept until the next one.

    Args:
        callback: Function to call.
        prompts: Beginnings of programs that come from the benchmark; tests use their helper functions.
    """
    outcomes.clear()
    _watchers.append(callback)
    _prompts.update(prompts)
    try:
        yield
    finally:
        _watchers.remove(callback)
        _prompts.clear()
