"""Scoring: converts lm-eval results into scores and readable items. Used in the process of a run only."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from glan_core.evaluation.benchmarks.code_eval import outcomes
from glan_core.evaluation.benchmarks.item_store import ScoredItem
from glan_core.evaluation.benchmarks.registry import IFEVAL, MAIN, Benchmark, Metric, Way

CUT = "The prompt exceeds the context of the model: its start was truncated."


@dataclass(frozen=True, slots=True)
class PartScore:
    """A score from 0 to 1, its standard error (None if unknown), and the number of rows."""

    score: float
    error: float | None
    number: int


def score_parts(benchmark: Benchmark, way: Way, tasks: Mapping[str, Any], results: Mapping) -> dict[str, PartScore]:
    """Return the scores of the whole benchmark (MAIN), its parts and groups, and its further metrics.

    As in lm-eval, the score of several parts is the mean over rows, with a pooled standard error
    (`pooled_sample_stderr`).
    """
    by_part = {part: _part(task, way.measure, results) for part, task in tasks.items()}
    found = {MAIN: _joined(list(by_part.values()))}
    if len(benchmark.parts) > 1:
        for group, members in benchmark.groups.items():
            if here := [by_part[part] for part in members if part in by_part]:
                found[group] = _joined(here)
        found |= by_part
    for name, measure in way.others.items():
        found[name] = _joined([_part(task, measure, results) for task in tasks.values()])
    return found


def scored_items(
    benchmark: Benchmark, way: Way, tasks: Mapping[str, Any], results: Mapping, cut: Collection[str] = ()
) -> Iterator[ScoredItem]:
    """Yield every question with its answer, part by part; `cut` are prompts truncated at the start."""
    for part, task in tasks.items():
        for sample in results["samples"][task.task_name]:
            if sample["filter"] == way.measure.filter:
                item = replace(_item(benchmark, way, part, task, sample), question=str(sample["doc"][benchmark.columns[0]]))
                yield replace(item, note=f"{CUT}\n{item.note}".strip()) if item.prompt in cut else item


def _part(task: Any, measure: Metric, results: Mapping) -> PartScore:
    found = results["results"][task.task_name]
    error = found.get(f"{measure.metric}_stderr,{measure.filter}")
    number = results["n-samples"][task.task_name]["effective"]
    known = isinstance(error, float) and error == error
    return PartScore(float(found[f"{measure.metric},{measure.filter}"]), error if known else None, number)


def _joined(parts: list[PartScore]) -> PartScore:
    if len(parts) == 1:
        return parts[0]
    from lm_eval.api.metrics import pooled_sample_stderr

    number = sum(part.number for part in parts)
    score = sum(part.score * part.number for part in parts) / number
    errors = [part.error for part in parts]
    known = None not in errors and number > len(parts)
    return PartScore(score, float(pooled_sample_stderr(errors, [part.number for part in parts])) if known else None, number)


def _item(benchmark: Benchmark, way: Way, part: str, task: Any, sample: Mapping) -> ScoredItem:
    prompt, right = str(sample["arguments"][0][0]), float(sample[way.measure.metric])
    if way.tokens is None:
        options = task.doc_to_choice(sample["doc"])
        chances = [float(response[0]) for response in sample["filtered_resps"]]
        likeliest = options[max(range(len(options)), key=chances.__getitem__)]
        target = sample["target"]
        return ScoredItem(
            part, prompt, "", likeliest, options[target] if isinstance(target, int) else str(target), right,
            options=tuple(zip(options, chances, strict=True)),
        )  # fmt: skip
    output, extracted = sample["resps"][0][0], sample["filtered_resps"][0]
    note = ""
    if benchmark.runs_code:
        extracted = extracted if isinstance(extracted, str) else extracted[0]
        outcome = outcomes.get((extracted, str(sample["target"])))
        note = outcome.why if outcome else ""
    target = str(sample["target"])
    if benchmark.id == "ifeval":
        extracted, target = "", ""
        followed = zip(sample["doc"]["instruction_id_list"], sample["inst_level_strict_acc"], strict=True)
        note = "\n".join(f"{'followed' if done else 'not followed'}: {name}" for name, done in followed)
        note += "".join(f"\n{IFEVAL[name]}: {'yes' if sample[name] else 'no'}" for name in IFEVAL if name.startswith("prompt"))
    return ScoredItem(part, prompt, output, str(extracted), target, right, note)
