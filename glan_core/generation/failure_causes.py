"""Causes of failed calls: title, what to change, and whether the same settings may succeed when the run is repeated."""

from collections.abc import Iterable
from dataclasses import dataclass

from glan_core.generation.stage_specs import STAGE_SPECS
from glan_core.workspace.call_rows import FailureGroup

REPLY_SHOWN = 160  # characters of a failed reply in a list


@dataclass(frozen=True, slots=True)
class FailureCause:
    """One cause.

    Attributes:
        advice: What to change, in a sentence; '{stage}' is the name of the stage as in --stage.
        by_chance: Whether the same request may succeed next time.
        retried: Whether another reply is worth requesting within the run.
    """

    advice: str
    by_chance: bool = True
    retried: bool = True


CAUSES = {
    "malformed": FailureCause("Use a stronger model for this stage (--stage {stage}:teacher=…)."),
    "not self-contained": FailureCause("Use a stronger model for this stage (--stage {stage}:teacher=…)."),
    "cut": FailureCause("Raise the token limit (--stage {stage}:max_tokens=…).", by_chance=False),
    "repetition": FailureCause(
        "Raise the temperature or set a repetition penalty (--stage {stage}:temperature=1.0 or "
        '--stage {stage}:extra_body={{"frequency_penalty": 0.5}}), or use a stronger model.'
    ),
    "reasoning only": FailureCause(
        "Raise the token limit (--stage {stage}:max_tokens=…) or reduce the reasoning "
        '(--stage {stage}:extra_body={{"reasoning_effort": "low"}}, or {{"chat_template_kwargs": {{"enable_thinking": false}}}}).',
        by_chance=False,
    ),
    "context full": FailureCause(
        "Start the server with a larger context window (Ollama: num_ctx, llama.cpp: --ctx-size, vLLM: --max-model-len).",
        by_chance=False, retried=False,
    ),
    "prompt truncated": FailureCause(
        "Start the server with a larger context window (Ollama: OLLAMA_CONTEXT_LENGTH or num_ctx, llama.cpp: --ctx-size).",
        by_chance=False, retried=False,
    ),
    "empty": FailureCause("A content filter or a model that is too small is the usual reason; try another teacher."),
    "refused": FailureCause("Read the message of the endpoint; try another teacher.", by_chance=False),
    "too large": FailureCause("The endpoint ignores the token limit; update the server or use another one.", by_chance=False),
    "endpoint error": FailureCause("Read the message of the endpoint and its log."),
    "no reply": FailureCause("Check the endpoint's log, then continue the run."),
}  # fmt: skip


def advice_for(cause: str, stage: str) -> str:
    """Return what to change about a cause at a stage, '' for a cause that has no advice."""
    known = CAUSES.get(cause)
    return known.advice.format(stage=stage) if known and stage in STAGE_SPECS else ""


def retried_within_run(cause: str) -> bool:
    """Whether another reply is worth requesting after a failure with this cause."""
    return cause not in CAUSES or CAUSES[cause].retried


def summary(groups: Iterable[FailureGroup]) -> str:
    """Return how many calls of a run failed, mostly why, and what to do, in one or two sentences; '' if none failed."""
    groups = list(groups)
    if not (total := sum(group.count for group in groups)):
        return ""
    main = groups[0]
    what = "1 call failed" if total == 1 else f"{total:,} calls failed"
    reason = f": {main.cause}" if len(groups) == 1 else f", mostly: {main.cause} ({main.count:,})"
    known = CAUSES.get(main.cause)
    then = (
        "The next run retries them."
        if known is None or known.by_chance
        else "Running again without a change is likely to fail again."
    )
    return " ".join(filter(None, (f"{what}{reason}.", advice_for(main.cause, main.stage), then)))
